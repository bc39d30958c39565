//! PostgreSQL: its programs alone, since the tests start a server of their own.

use std::fs;

use anyhow::{Context, Result, ensure};

use super::debian::apt;
use crate::run::which;

/// On PATH, or where Debian puts them.
pub(crate) fn postgres() -> Result<()> {
    if has_postgres() {
        return Ok(());
    }
    apt(&["postgresql"], "the storage in PostgreSQL is tested with it")
        .context("PostgreSQL's initdb, pg_ctl and createdb are needed on PATH")?;
    ensure!(has_postgres(), "PostgreSQL was installed but its programs are not where they are looked for");
    Ok(())
}

fn has_postgres() -> bool {
    let programs = ["initdb", "pg_ctl", "createdb"];
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let folders: Vec<_> = versions.map(|version| version.path().join("bin")).collect();
    let is_there =
        |name: &&str| which(name).is_some() || folders.iter().any(|folder| folder.join(name).is_file());
    programs.iter().all(is_there)
}
