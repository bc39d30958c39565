//! Devices with tabs, the server's own acceptance, and a hostile world between them, in virtual time: one
//! thread, one seed, the same result each time.
//!
//! ```text
//! history ── vocabulary: what may happen ── world: tabs, stores, network ── server
//!    │                                        │
//!    └── hunt: many of them, shrunk ones      └── model: what must have come of it
//! ```
//! A [`history::History`] is a list of words, each with the dice that its details come from. A new kind of
//! operation or fault is one entry in [`vocabulary`].

pub mod history;
pub mod hunt;
pub mod model;
pub mod notices;
pub mod store;
pub mod vocabulary;
pub mod world;

pub use tutti_stand_in as server;
