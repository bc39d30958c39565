//! What a Tutti server does to its logs: operations are accepted, groups change, and every account's
//! log says what happened to it, in order and once.
//!
//! ```text
//! accept, groups, notifications, devices, erasure ── work: a step that happens entirely or not at all ── storage: SQLite, PostgreSQL, memory
//!        └── merge: which of two values holds; reach: which of an account's devices get a message;
//!            source: what may be written of a device
//! ```
//! No network and no clock. The server runs this over its database, the simulator over
//! [`storage::MemoryStorage`].

pub mod accept;
pub mod devices;
pub mod erasure;
pub mod groups;
pub mod history;
pub mod merge;
pub mod notifications;
pub mod platform;
pub mod reach;
pub mod source;
pub mod status;
pub mod storage;
pub mod work;
