//! A panic leaves the instance half done: from then on nothing of it is used, and whoever waits is told.
//!
//! JavaScript gets no more than "unreachable", and only where the call came from; calls that come later
//! would find what was borrowed still borrowed.

use std::cell::Cell;

use tutti_engine::Failure;
use tutti_protocol::Code;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::spawn_local;

thread_local! {
    static PANICKED: Cell<bool> = const { Cell::new(false) };
}

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_namespace = console, js_name = error)]
    fn console_error(text: &str);
}

/// From now on a panic is told on the console, and then by `tell`, which runs once the panicking call
/// has come to its end.
pub(crate) fn listen(tell: fn()) {
    std::panic::set_hook(Box::new(move |panic| {
        PANICKED.set(true);
        console_error(&format!("tutti-sync: {panic}"));
        spawn_local(async move { tell() });
    }));
}

/// # Errors
/// `internal` once there was a panic.
pub(crate) fn check() -> Result<(), Failure> {
    if PANICKED.get() { Err(failure()) } else { Ok(()) }
}

/// What is said after a panic.
pub(crate) fn failure() -> Failure {
    Failure::new(Code::Internal, "the sync engine has failed; reload the page")
}
