//! Node and the packages that come from npm.

use std::{fs, path::Path};

use anyhow::{Context, Result, ensure};

use crate::run::{announced, command, read, root, run};

/// Node's oldest release line that everything here runs on.
const NODE: u32 = 20;

/// Fails with advice when there is no usable Node.
pub(crate) fn ensure_node() -> Result<()> {
    let advice = format!(
        "Node {NODE} or newer with npm is needed: get it from https://nodejs.org, or run: nvm install {NODE}"
    );
    let version = read(command("node").arg("--version")).context(advice.clone())?;
    let major = version.trim_start_matches('v').split('.').next().and_then(|n| n.parse().ok());
    ensure!(major.is_some_and(|major: u32| major >= NODE), "{advice} (found {version})");
    Ok(())
}

/// Installs a folder's packages, as its lock file says, when that has not been done.
pub(crate) fn install(folder: &str, why: &str) -> Result<()> {
    ensure_node()?;
    if is_installed(&root().join(folder)) {
        return Ok(());
    }
    // `npm ci` fails where a registry's mirror lacks what is optional, and for another platform.
    announced(&format!("installing the npm packages of {folder}: {why}"), || {
        run(command("npm").args(["install", "--no-save", "--no-audit", "--no-fund", "--prefix", folder]))
    })
}

/// Where packages from npm are used.
pub(crate) const FOLDERS: [&str; 5] = ["tests/bundlers", "tests/e2e", "tests/package", "www", "xtask/tools"];

/// Fails when one of a folder's packages has a known vulnerability.
pub(crate) fn audit(folder: &str) -> Result<()> {
    ensure_node()?;
    run(command("npm").args(["audit", "--prefix", folder]))
        .with_context(|| format!("npm's audit of {folder} found something, or could not be had"))
}

/// npm leaves a copy of the lock file behind when it has finished.
fn is_installed(folder: &Path) -> bool {
    let modified = |file: &str| fs::metadata(folder.join(file)).and_then(|file| file.modified());
    match (modified("node_modules/.package-lock.json"), modified("package-lock.json")) {
        (Ok(installed), Ok(locked)) => installed >= locked,
        _ => false,
    }
}

/// Runs a script of a folder's package.json.
pub(crate) fn script(folder: &str, name: &str) -> Result<()> {
    run(command("npm").args(["run", name, "--prefix", folder]))
}
