//! Hostile bytes for every decoder: valid ones after accidents, and ones made to be large.
//!
//! A decoder is one entry of [`decoders::DECODERS`]. `cargo test` hands each a bounded number of inputs,
//! `cargo xtask fuzz` ten million. Whatever goes wrong, the seed brings it back:
//!
//! ```text
//! cargo xtask fuzz --decoder journal --seed 4711 --cases 1
//! ```

pub mod decoders;
pub mod memory;
pub mod mutation;
mod promises;
mod rng;
pub mod runner;
mod tab;
pub mod valid;

pub use rng::Rng;
