//! Tutti's sync state machine.

pub mod batch;
