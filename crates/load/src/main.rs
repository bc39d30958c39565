//! `tutti-load`: see `--help`.

use std::{io, process::ExitCode};

use anyhow::anyhow;
use clap::Parser as _;
use tokio::signal::unix::{SignalKind, signal};
use tutti_load::{Options, run};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> ExitCode {
    let options = Options::parse();
    let result = tokio::select! {
        result = run(&options) => result.map(drop),
        // What was started goes with what is dropped here.
        interrupted = interrupted() => Err(interrupted.map_or_else(Into::into, |()| anyhow!("interrupted"))),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tutti-load: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Waits until somebody wants this to end.
async fn interrupted() -> io::Result<()> {
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    Ok(())
}
