//! The reference server of Tutti. It keeps a numbered log for every account, accepts what devices
//! do, and tells the others.
//!
//! ```text
//! sync ──┐             ┌── hub: who is connected, whom to wake
//!        ├── writer ───┤
//! api ───┘             └── tutti-acceptance: what happens to the logs, and where they are kept
//! both ──── status ─────── hub: what reaches only who is connected, and is kept nowhere
//! writer ── devices ────── hub: whose device was removed or renamed, who was erased, and who is told of it
//! writer ── alerts ─────── push: that there is something, to accounts of which nobody is there
//! all of these ─────────── bus: what several servers know together (roster), and tell each other (cluster)
//! ```
//! A frame or a request becomes work, the writer commits it together with whatever else is waiting,
//! then answers, then wakes the connections whose log has grown; those read on from where they are.

mod alerts;
mod api;
mod app;
mod bus;
mod clock;
mod cluster;
pub mod config;
mod devices;
mod erasing;
mod hub;
pub mod limits;
mod origin;
pub mod push;
mod rate;
mod roster;
mod server;
mod settings;
mod site;
mod status;
mod sync;
mod tls;
mod tokens;
mod trimming;
mod writer;

pub use api::{Access, ROUTES, Route};
pub use config::Config;
pub use server::{Server, StartError, rename_log};
pub use tls::{Tls, TlsError};
