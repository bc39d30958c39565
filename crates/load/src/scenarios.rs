//! What is measured, and how.

mod disk;
mod fanout;
mod memory;
mod storm;
mod sustained;

use anyhow::Result;

use crate::{
    options::{Options, Scenario},
    report::Report,
    target::Target,
};

/// Runs one of them, on a server of its own if it is started here.
pub(crate) async fn run(
    scenario: Scenario,
    target: &mut Target,
    options: &Options,
    report: &mut Report,
) -> Result<()> {
    match scenario {
        Scenario::Sustained => sustained::run(target, options, report).await,
        Scenario::Memory => memory::run(target, options, report).await,
        Scenario::Fanout => fanout::run(target, options, report).await,
        Scenario::Storm => storm::run(target, options, report).await,
        Scenario::Disk => disk::run(target, options, report).await,
    }
}
