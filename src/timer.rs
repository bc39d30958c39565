//! Clocks, the one timer that wakes the engine at its deadline, and tasks of their own.

use std::cell::{Cell, RefCell};

use gloo_timers::callback::Timeout;
use js_sys::Date;
use tutti_engine::Now;
use tutti_protocol::Millis;
use wasm_bindgen::prelude::*;
use web_sys::{MessageChannel, MessageEvent};

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_namespace = performance, js_name = now)]
    fn performance_now() -> f64;
}

/// This moment. The monotonic clock begins with the page.
pub(crate) fn now() -> Now {
    // Clocks before 1970 saturate at 0.
    Now { monotonic: Millis(performance_now() as u64), wall: Millis(Date::now() as u64) }
}

/// A timer that is set to one moment at a time.
#[derive(Default)]
pub(crate) struct Timer {
    set: RefCell<Option<Timeout>>,
    until: Cell<Option<Millis>>,
}

impl Timer {
    /// Calls `wake` at this moment instead of whatever was set before.
    pub(crate) fn set(&self, until: Option<Millis>, wake: impl FnOnce() + 'static) {
        if self.until.get() == until && self.set.borrow().is_some() {
            return;
        }
        self.until.set(until);
        let timeout = until.map(|until| {
            // One more, since both clocks are cut to whole milliseconds. Browsers take at most 2^31 - 1.
            let wait = until.0.saturating_sub(now().monotonic.0).saturating_add(1);
            Timeout::new(u32::try_from(wait).unwrap_or(u32::MAX).min(i32::MAX as u32), wake)
        });
        self.set.replace(timeout);
    }

    /// Forgets the moment that has come, so that the same one can be set again.
    pub(crate) fn fired(&self) {
        self.until.set(None);
        // A timeout that has fired is dropped without being cancelled.
        if let Some(timeout) = self.set.take() {
            timeout.forget();
        }
    }
}

/// Something to do in a task of its own, so that the page can draw and answer in between. Timers
/// would do, but hidden tabs hold them back.
pub(crate) struct Soon {
    channel: MessageChannel,
    on_message: Closure<dyn FnMut(MessageEvent)>,
}

impl Soon {
    /// Prepares what is to be done.
    pub(crate) fn new(task: impl Fn() + 'static) -> Result<Self, JsValue> {
        let channel = MessageChannel::new()?;
        let port = channel.port1();
        let on_message = Closure::<dyn FnMut(MessageEvent)>::new(move |_| {
            // Node does not end as long as a port is listened to.
            port.set_onmessage(None);
            task();
        });
        Ok(Self { channel, on_message })
    }

    /// Does it in the next task. Until then it is not to be called again.
    pub(crate) fn call(&self) {
        self.channel.port1().set_onmessage(Some(self.on_message.as_ref().unchecked_ref()));
        // Nothing is transferred, so nothing can be refused.
        let _ = self.channel.port2().post_message(&JsValue::NULL);
    }
}

impl Drop for Soon {
    fn drop(&mut self) {
        self.channel.port1().set_onmessage(None);
        self.channel.port1().close();
    }
}
