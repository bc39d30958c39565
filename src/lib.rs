//! Tutti in the browser: the only Rust that touches the web platform.
//!
//! `client` takes calls, `driver` feeds the engine and carries out what it decides, through `store`
//! (IndexedDB, sealed), `tabs` (lock and channel), `transport` (WebSocket) and `timer`.

mod client;
mod driver;
mod error;
mod json;
pub mod store;
mod tabs;
mod timer;
mod transport;
mod types;

use wasm_bindgen::prelude::*;

pub use client::WasmSyncClient;
pub use error::set_error_class;

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_namespace = console, js_name = error)]
    fn console_error(text: &str);
}

#[wasm_bindgen(start)]
fn start() {
    // A panic leaves the instance half done and JavaScript with "unreachable": say what it was.
    std::panic::set_hook(Box::new(|panic| console_error(&format!("tutti-sync: {panic}"))));
}
