//! Measurements that are made by hand.

use anyhow::Result;

use crate::{
    npm,
    pack::pack,
    run::{announced, cargo, command, run, target_dir},
    setup,
};

/// Benches that need what Tutti is measured beside, or what stands in for its server.
const BESIDE_PEERS: [&str; 3] = ["peers", "million", "profile"];

/// Runs `bench/WHAT.mjs` in Chromium against the server, with these options.
pub(crate) fn bench(what: &str, options: &[&str]) -> Result<()> {
    let browser = setup::chromium()?.binary;
    pack()?;
    npm::install("tests/e2e", "they drive the browser")?;
    if BESIDE_PEERS.contains(&what) {
        npm::install("bench", "they are what Tutti is measured beside")?;
    }
    announced("building the server", || run(cargo().args(["build", "--release", "-p", "tutti-server"])))?;
    let mut bench = command("node");
    bench.arg(format!("bench/{what}.mjs")).args(options);
    bench.env("TUTTI_SERVER", target_dir().join("release/tutti-server")).env("TUTTI_CHROMIUM", browser);
    run(bench.env("TUTTI_BENCH_OUT", target_dir().join("bench")))
}
