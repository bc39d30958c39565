//! What the other commands need, installed when it is missing.

mod browsers;
mod databases;
mod debian;
mod rust;

use anyhow::Result;

pub(crate) use browsers::{chromium, firefox, webkit};
pub(crate) use databases::{postgres, redis};
pub(crate) use rust::{CARGO_DENY, GECKODRIVER, llvm_tools, wasm_toolchain};

use crate::npm;

/// All of it.
pub(crate) fn everything() -> Result<()> {
    npm::ensure_node()?;
    wasm_toolchain(&[GECKODRIVER])?;
    chromium()?;
    firefox()?;
    webkit()?;
    postgres()?;
    redis()?;
    npm::install("www", "the demo is built from them")?;
    npm::install("tests/e2e", "they drive Chromium in the end-to-end tests")?;
    npm::install("tests/package", "the package is tested with React and TypeScript")
}
