//! Tutti in the browser: the only Rust that touches the web platform, and the JavaScript that it calls.
//!
//! `client` takes calls, `driver` feeds the engine and carries out what it decides, through `store`
//! (IndexedDB, sealed), `tabs` (lock and channel), `transport` (WebSocket), `push` and `timer`.

mod client;
mod driver;
mod error;
mod json;
mod panic;
mod push;
pub mod store;
mod tabs;
mod text;
mod timer;
mod transport;
mod types;

use wasm_bindgen::prelude::*;

pub use client::WasmSyncClient;
pub use error::set_error_class;

#[wasm_bindgen(start)]
fn start() {
    panic::listen(driver::abandon_all);
}
