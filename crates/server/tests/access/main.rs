//! Who may do what: every route, every frame and every operation, asked by everyone who might try.
//!
//! What another account has must look as if it were nowhere. So the same bytes go to a server on which Alice has
//! things and to one on which she has never been, and the answers must be the same; and Alice must not notice.

#[path = "../common/mod.rs"]
mod common;

mod frames;
mod routes;
mod world;
