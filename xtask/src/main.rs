//! `cargo xtask`: sets up, builds, tests and shows Tutti.
//!
//! Needs a Rust toolchain and Node; everything else it finds or installs, each thing only when
//! it is missing, and says what and why.

mod audit;
mod bench;
mod capabilities;
mod coverage;
mod demo;
mod fuzz;
mod load;
mod mutants;
mod npm;
mod pack;
mod purity;
mod run;
mod setup;
mod simulate;
mod stamp;
mod test;

use std::process::ExitCode;

use anyhow::{Result, bail};

const HELP: &str = "\
Usage: cargo xtask COMMAND

  demo [--port N]                  build everything and serve the demo on http://localhost:8787
  test [--only native|wasm|e2e|bundlers]
                                   every check and every test, or one part of them
  test --instances N               the end-to-end tests with N servers over PostgreSQL and Redis in the place of each
  takeovers [ENGINE:KIND:ROUNDS …] end leaders by the hundred, as in chromium:freeze:100, and print how long
                                   it takes until another tab leads; KIND is close, crash or freeze
  simulate [--histories N] [--seed N] [--profile calm|train|chaos]
                                   play histories in which everything goes wrong, and shrink one that fails;
                                   --replay FILE plays one again and tells each step
  fuzz [--cases N] [--decoder NAME] [--seed N] [--threads N]
                                   hand each decoder ten million hostile inputs, or N, and print what became of
                                   them; a failure prints how to have it again
  coverage [OPTIONS]               play five thousand histories, or what these options of simulate say, and see
                                   which branches of the engine they reach
  mutants [NAME …] [--histories N] [--jobs N] [--list]
                                   put one bug after another into a copy of the code, and see how soon the
                                   simulator catches it; fails if it does not catch all of them
  load [SCENARIO …] [OPTIONS]      load a server with thousands of clients, and print what it bears; SCENARIO is
                                   sustained, memory, fanout, storm or disk. --postgres: over PostgreSQL;
                                   --help tells the rest
  bench [peers] [--quick] [--only NAME,…] [--messages N]
                                   Tutti beside what one would use otherwise; --quick is
                                   one round of 10,000 messages
  bench million [MESSAGES …]       catch up on 10,000, 100,000 and 1,000,000 messages: time and memory for each
  bench profile                    where Tutti's time goes in each column of the peers' tables
  bench search [MESSAGES]          time a search in 100,000 messages, or so many, beside plain scans in JavaScript
  bench new-device [MESSAGES]      time until a new device has the list of an account with 100,000 messages, or so
                                   many, and the last day of them
  ci                               test, then fail if git sees a change in the checkout

  setup                            install what is missing
  pack                             build the npm package's WebAssembly into pkg/wasm
  pack --later                     build it as later versions could be, for the tests of two versions
  size                             weigh it: raw, gzip, brotli; fails over its budget
  audit                            check licences, sources and known vulnerabilities of all dependencies
  purity                           prove that protocol and engine reach no clock, network or browser
";

fn main() -> ExitCode {
    match command() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("\nerror: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn command() -> Result<ExitCode> {
    run::take_children_along()?;
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = |()| ExitCode::SUCCESS;
    match arguments[..] {
        [] | ["help" | "--help" | "-h"] => {
            print!("{HELP}");
            Ok(ExitCode::SUCCESS)
        }
        ["demo"] => demo::demo(8787).map(done),
        ["demo", "--port", port] => demo::demo(port.parse()?).map(done),
        ["test"] => test::test(None),
        ["test", "--only", part] => test::test(Some(part.parse()?)),
        ["test", "--instances", count] => test::instances(count.parse()?),
        ["takeovers", ref runs @ ..] => test::takeovers(runs).map(done),
        ["simulate", ref options @ ..] => simulate::simulate(options).map(done),
        ["fuzz", ref options @ ..] => fuzz::fuzz(options).map(done),
        ["load", ref options @ ..] => load::load(options).map(done),
        ["coverage", ref options @ ..] => coverage::coverage(options).map(done),
        ["mutants", ref arguments @ ..] => mutants::mutants(arguments).map(done),
        ["bench"] => bench::bench("peers", &[]).map(done),
        ["bench", what @ ("peers" | "million" | "profile" | "search" | "new-device"), ref options @ ..] => {
            bench::bench(what, options).map(done)
        }
        ["ci"] => test::ci(),
        ["setup"] => setup::everything().map(done),
        ["pack"] => pack::pack().map(done),
        ["pack", "--later"] => pack::later_versions().map(done),
        ["size"] => pack::size().map(done),
        ["audit"] => audit::audit().map(done),
        ["purity"] => purity::purity().map(done),
        _ => bail!("`{}` is not a command\n\n{HELP}", arguments.join(" ")),
    }
}
