//! Whether what Tutti is built from may be used, comes from where it should, and has no known vulnerability.

use anyhow::Result;

use crate::{
    npm,
    run::{command, run},
    setup,
};

/// Licences, bans and sources: nothing that needs a network.
pub(crate) fn dependencies() -> Result<()> {
    deny(&["bans", "licenses", "sources"])
}

/// Known vulnerabilities too, as RustSec and npm tell them.
pub(crate) fn audit() -> Result<()> {
    dependencies()?;
    deny(&["advisories"])?;
    npm::FOLDERS.iter().try_for_each(|folder| npm::audit(folder))
}

fn deny(checks: &[&str]) -> Result<()> {
    let program = setup::CARGO_DENY.find_or_install()?;
    run(command(program).args(["--workspace", "--locked", "check", "--hide-inclusion-graph"]).args(checks))
}
