//! Loads a Tutti server with thousands of clients, and says what it bears.
//!
//! Each client is what runs in a browser, the engine, with a store in memory and a WebSocket of its own, so it submits,
//! pulls, pings and comes back as browsers do. What is measured is what a user sees: from the moment in which a message
//! was to be sent until its sender sees it confirmed, and until the one to whom it goes has it.
//!
//! Messages are sent when their time has come (an open loop), not when the server has answered those before: a server
//! that stands still for a second makes all wait that were to be sent meanwhile, and each of those waits counts.
//! A closed loop would send one, wait, and count one (coordinated omission).

mod backend;
mod client;
mod clock;
mod crowd;
mod database;
mod latency;
mod options;
mod process;
mod report;
mod scenarios;
mod schedule;
mod search;
mod store;
mod target;
mod traffic;

use anyhow::{Context as _, Result};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

pub use options::{Options, Scenario};
pub use report::Row;

use crate::{report::Report, target::Target};

/// Runs the scenarios that were asked for, one after the other, and prints a row for each thing measured.
///
/// # Errors
/// When the server cannot be reached or does not do what it should; it says what to do.
pub async fn run(options: &Options) -> Result<Vec<Row>> {
    allow_connections(options.most_connections())?;
    // Another one may have been installed by whoever runs us.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut target = Target::new(options)?;
    let mut report = Report::new(target.storage());
    for scenario in options.scenarios() {
        scenarios::run(scenario, &mut target, options, &mut report)
            .await
            .with_context(|| format!("{} could not be measured", scenario.name()))?;
        if let Some(file) = &options.json {
            report.write(file).with_context(|| format!("cannot write {}", file.display()))?;
        }
    }
    Ok(report.into_rows())
}

/// Files that a process has open beside its connections.
const OTHER_FILES: u64 = 200;

/// Each connection is an open file, here and in a server that is started from here.
fn allow_connections(connections: usize) -> Result<()> {
    let wanted = connections as u64 + OTHER_FILES;
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    if soft >= wanted {
        return Ok(());
    }
    setrlimit(Resource::RLIMIT_NOFILE, wanted, hard.max(wanted)).with_context(|| {
        format!(
            "{connections} connections take {wanted} open files, and this process may have {hard}: raise \
             `ulimit -n`, or ask for fewer"
        )
    })
}
