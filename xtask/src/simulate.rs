//! Histories in which everything goes wrong.

use anyhow::Result;

use crate::run::{cargo, run};

/// How many histories each run of the tests plays.
const TESTED: &str = "20000";

/// Builds the simulator and runs it with these options.
pub(crate) fn simulate(options: &[&str]) -> Result<()> {
    let mut simulator = cargo();
    run(simulator.args(["run", "--quiet", "-p", "tutti-simulator", "--"]).args(options))
}

/// Plays as many histories as is bearable in each run of the tests.
pub(crate) fn test() -> Result<()> {
    simulate(&["--histories", TESTED])
}
