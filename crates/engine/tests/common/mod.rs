//! The harness: see `world.rs`.

#![allow(dead_code, unreachable_pub, reason = "a harness that each test file uses its part of")]

pub(crate) mod server;
pub(crate) mod store;
pub(crate) mod world;
