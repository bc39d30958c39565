//! PostgreSQL and Redis: their programs alone, since the tests start servers of their own.

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
        .context("PostgreSQL's initdb, pg_ctl, createdb and pg_dump are needed on PATH")?;
    ensure!(has_postgres(), "PostgreSQL was installed but its programs are not where they are looked for");
    Ok(())
}

pub(crate) fn redis() -> Result<()> {
    if which("redis-server").is_some() {
        return Ok(());
    }
    apt(&["redis-server"], "several servers are tested with it").context("redis-server is needed on PATH")
}

fn has_postgres() -> bool {
    let programs = ["initdb", "pg_ctl", "createdb", "pg_dump"];
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let folders: Vec<_> = versions.map(|version| version.path().join("bin")).collect();
    let is_there =
        |name: &&str| which(name).is_some() || folders.iter().any(|folder| folder.join(name).is_file());
    programs.iter().all(is_there)
}
