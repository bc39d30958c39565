//! Histories in which everything goes wrong.

use anyhow::Result;

use crate::run::{cargo, run};

/// How many histories each run of the tests plays.
const TESTED: &str = "20000";

/// Builds the simulator to be as fast as it goes, and runs it with these options.
pub(crate) fn simulate(options: &[&str]) -> Result<()> {
    play(&["--profile", "hunt"], options)
}

/// Plays as many histories as is bearable in each run of the tests.
pub(crate) fn test() -> Result<()> {
    // As the other tests are built: what a faster one would gain is less than building it takes.
    play(&["--quiet"], &["--histories", TESTED])
}

fn play(build: &[&str], options: &[&str]) -> Result<()> {
    run(cargo().arg("run").args(build).args(["-p", "tutti-simulator", "--"]).args(options))
}
