//! Measurements that are made by hand.

use anyhow::Result;

use crate::{
    npm,
    pack::pack,
    run::{announced, cargo, command, run, target_dir},
    setup,
};

/// Runs `bench/WHAT.mjs` in Chromium against the server, with so many messages.
pub(crate) fn bench(what: &str, messages: Option<&str>) -> Result<()> {
    let browser = setup::chromium()?.binary;
    pack()?;
    npm::install("tests/e2e", "they drive the browser")?;
    announced("building the server", || run(cargo().args(["build", "--release", "-p", "tutti-server"])))?;
    let mut bench = command("node");
    bench.arg(format!("bench/{what}.mjs")).args(messages);
    bench.env("TUTTI_SERVER", target_dir().join("release/tutti-server")).env("TUTTI_CHROMIUM", browser);
    run(&mut bench)
}
