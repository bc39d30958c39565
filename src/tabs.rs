//! The other tabs of this profile: the channel to them, and the lock of the one that leads.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
};

use bytes::Bytes;
use js_sys::{Function, Promise, Uint8Array};
use tutti_engine::Failure;
use tutti_protocol::Code;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::{JsFuture, spawn_local};
use web_sys::{BroadcastChannel, MessageEvent};

use crate::error::describe;

// web-sys has Web Locks behind its unstable flag only.
#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(catch, js_namespace = ["navigator", "locks"], js_name = request)]
    fn request_lock(name: &str, callback: &Function) -> Result<Promise, JsValue>;
}

/// The channel to the other tabs.
pub(crate) struct Channel {
    channel: BroadcastChannel,
    _on_message: Closure<dyn FnMut(MessageEvent)>,
}

impl Channel {
    /// Joins the channel of a profile.
    pub(crate) fn join(profile: &str, on_frame: impl Fn(Bytes) + 'static) -> Result<Self, Failure> {
        let channel = BroadcastChannel::new(&format!("tutti-{profile}"))
            .map_err(|error| Failure::new(Code::Unsupported, describe(&error)))?;
        let on_message = Closure::<dyn FnMut(MessageEvent)>::new(move |event: MessageEvent| {
            // Whoever shares the origin can post here; what is no bytes is not ours.
            if let Some(bytes) = event.data().dyn_ref::<Uint8Array>() {
                on_frame(bytes.to_vec().into());
            }
        });
        channel.set_onmessage(Some(on_message.as_ref().unchecked_ref()));
        Ok(Self { channel, _on_message: on_message })
    }

    /// Sends to all other tabs. A frame that cannot be sent is one that was lost, which the engine
    /// is made for.
    pub(crate) fn send(&self, bytes: &[u8]) {
        let _ = self.channel.post_message(&Uint8Array::from(bytes));
    }
}

impl Drop for Channel {
    fn drop(&mut self) {
        self.channel.set_onmessage(None);
        self.channel.close();
    }
}

/// A wish for the profile's lock; while it is granted, this tab leads.
pub(crate) struct Lock {
    inner: Rc<LockInner>,
}

#[derive(Default)]
struct LockInner {
    /// Ends the promise that holds the lock.
    release: RefCell<Option<Function>>,
    given_up: Cell<bool>,
}

impl Lock {
    /// Queues for the lock. `on_grant` is called when this tab has it, `on_loss` when it was taken
    /// away without [`Lock`] having been dropped.
    pub(crate) fn request(
        profile: &str,
        on_grant: impl FnOnce() + 'static,
        on_loss: impl FnOnce() + 'static,
    ) -> Result<Self, Failure> {
        let inner = Rc::new(LockInner::default());
        let granted = inner.clone();
        let grant = Closure::once_into_js(move |_lock: JsValue| -> Promise {
            if granted.given_up.get() {
                return Promise::resolve(&JsValue::UNDEFINED);
            }
            let held = Promise::new(&mut |resolve, _| drop(granted.release.replace(Some(resolve))));
            on_grant();
            held
        });
        let ended = request_lock(&format!("tutti-{profile}"), grant.unchecked_ref())
            .map_err(|_| Failure::new(Code::Unsupported, "this browser has no Web Locks"))?;
        let lost = inner.clone();
        spawn_local(async move {
            let result = JsFuture::from(ended).await;
            if result.is_err() && !lost.given_up.get() {
                on_loss();
            }
        });
        Ok(Self { inner })
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        self.inner.given_up.set(true);
        if let Some(release) = self.inner.release.take() {
            // Resolving a promise does not throw.
            let _ = release.call0(&JsValue::UNDEFINED);
        }
    }
}
