//! The reference server of Tutti. It keeps a numbered log for every account, accepts what devices
//! do, and tells the others.
//!
//! ```text
//! sync ──┐                 ┌── hub: who is connected, whom to wake
//!        ├── accept ── writer ── storage: SQLite
//! api ───┘
//! ```
//! A frame or a request becomes work, the writer commits it together with whatever else is waiting,
//! then answers, then wakes the connections whose log has grown; those read on from where they are.

mod accept;
mod api;
mod app;
mod clock;
pub mod config;
mod hub;
mod origin;
mod platform;
mod rate;
mod server;
mod settings;
mod site;
mod storage;
mod sync;
mod tokens;
mod writer;

pub use config::Config;
pub use server::{Server, StartError};
