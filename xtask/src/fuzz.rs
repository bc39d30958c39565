//! Hostile bytes for every decoder.

use anyhow::Result;

use crate::run::{cargo, run};

/// Builds the fuzzer and runs it with these options.
pub(crate) fn fuzz(options: &[&str]) -> Result<()> {
    // In a profile of its own: as fast as a release, and whatever would overflow panics.
    let mut fuzzer = cargo();
    run(fuzzer.args(["run", "--quiet", "--profile", "fuzz", "-p", "tutti-fuzz", "--"]).args(options))
}
