//! The other tabs of this profile: the channel to them, and the lock of the one that leads.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
};

use bytes::Bytes;
use futures_channel::oneshot;
use js_sys::{Function, Object, Promise, Reflect, Uint8Array};
use tutti_engine::Failure;
use tutti_protocol::Code;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::{JsFuture, spawn_local};
use web_sys::{AbortController, BroadcastChannel, MessageEvent};

use crate::error::describe;

// web-sys has Web Locks behind its unstable flag only.
#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(catch, js_namespace = ["navigator", "locks"], js_name = request)]
    fn request_lock(name: &str, options: &Object, callback: &Function) -> Result<Promise, JsValue>;
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
        #[cfg(feature = "next")]
        let _ = self.channel.post_message(&Uint8Array::from(&*of_a_later_version(bytes)));
    }
}

impl Drop for Channel {
    fn drop(&mut self) {
        self.channel.set_onmessage(None);
        self.channel.close();
    }
}

/// What a later version says beside a frame: one of a kind that this version does not know, and that
/// it would misread (as the tab's leaving) if it overlooked that it does not know enough for it.
#[cfg(feature = "next")]
fn of_a_later_version(frame: &[u8]) -> Vec<u8> {
    const TAB: usize = 18;
    const LEAVE: [u8; 2] = [0x32, 0];
    const UNKNOWN: [u8; 5] = [0xfa, 0x06, 2, 7, 7];
    const NEEDS_THE_NEXT: [u8; 2] = [0x70, 2];
    [&frame[..TAB], &LEAVE, &UNKNOWN, &NEEDS_THE_NEXT].concat()
}

/// What becomes of a wish for the lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LockEvent {
    /// This tab has it.
    Granted,
    /// It was taken away.
    Lost,
    /// This browser, or this page, has no locks.
    Unavailable,
}

/// A wish for the profile's lock, and then the lock. Dropping it lets go of either, silently.
pub(crate) struct Lock {
    state: Rc<LockState>,
}

#[derive(Default)]
struct LockState {
    /// Ends the promise that holds the lock.
    release: RefCell<Option<Function>>,
    /// Ends the wait for it.
    waiting: RefCell<Option<AbortController>>,
    granted: Cell<bool>,
    given_up: Cell<bool>,
}

impl Lock {
    /// Queues for the lock, or takes it from whoever has it.
    pub(crate) fn request(profile: &str, steal: bool, on: Rc<dyn Fn(LockEvent)>) -> Self {
        let state = Rc::new(LockState::default());
        let (granting, tell) = (state.clone(), on.clone());
        let grant = Closure::once_into_js(move |_lock: JsValue| -> Promise {
            granting.waiting.take();
            if granting.given_up.get() {
                return Promise::resolve(&JsValue::UNDEFINED);
            }
            granting.granted.set(true);
            let held = Promise::new(&mut |resolve, _| drop(granting.release.replace(Some(resolve))));
            tell(LockEvent::Granted);
            held
        });
        let options = Object::new();
        // Setting a field of a fresh object cannot fail.
        if steal {
            let _ = Reflect::set(&options, &"steal".into(), &JsValue::TRUE);
        } else if let Ok(controller) = AbortController::new() {
            let _ = Reflect::set(&options, &"signal".into(), &controller.signal());
            state.waiting.replace(Some(controller));
        }
        let ended = request_lock(&format!("tutti-{profile}"), &options, grant.unchecked_ref());
        let asked = state.clone();
        // In a task of its own, since whoever asks is not done yet.
        spawn_local(async move {
            let result = match ended {
                Ok(ended) => JsFuture::from(ended).await,
                Err(error) => Err(error),
            };
            if result.is_err() && !asked.given_up.get() {
                on(if asked.granted.get() { LockEvent::Lost } else { LockEvent::Unavailable });
            }
        });
        Self { state }
    }

    /// Takes the lock from whoever has it. Where there are none, there is nothing to wait for.
    pub(crate) async fn steal(profile: &str) -> Self {
        let (tell, told) = oneshot::channel();
        let tell = Cell::new(Some(tell));
        let on = move |_| {
            // Whoever waits may have gone.
            let _ = tell.take().map(|tell| tell.send(()));
        };
        let lock = Self::request(profile, true, Rc::new(on));
        // It is told one way or the other.
        let _ = told.await;
        lock
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        self.state.given_up.set(true);
        if let Some(controller) = self.state.waiting.take() {
            controller.abort();
        }
        if let Some(release) = self.state.release.take() {
            // Resolving a promise does not throw.
            let _ = release.call0(&JsValue::UNDEFINED);
        }
    }
}
