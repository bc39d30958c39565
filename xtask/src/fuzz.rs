//! Hostile bytes for every decoder.

use anyhow::Result;

use crate::run::{cargo, run};

/// Builds the fuzzer and runs it with these options.
pub(crate) fn fuzz(options: &[&str]) -> Result<()> {
    run(cargo().args(["run", "--profile", "hunt", "-p", "tutti-fuzz", "--"]).args(options))
}
