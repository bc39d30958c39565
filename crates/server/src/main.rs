//! `tutti-server`: see `--help`.

use std::{
    io::{self, IsTerminal as _},
    process::ExitCode,
};

use clap::Parser as _;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing_subscriber::EnvFilter;
use tutti_server::{Config, Server, Tls};

/// Also what SQLite allocates with: it copies each value of a row that one thread reads for another, and the allocator of
/// glibc minds when one thread frees what another has allocated.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> ExitCode {
    let config = Config::parse();
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(io::stderr().is_terminal())
        .with_writer(io::stderr)
        .init();
    match run(&config).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tutti-server: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(config: &Config) -> Result<(), Box<dyn std::error::Error>> {
    if config.restored {
        tutti_server::rename_log(config).await?;
        println!("the log has another name; now start the server without --restored");
        return Ok(());
    }
    let mut signals = Signals::new()?;
    let server = Server::start(config).await?;
    let scheme = if server.tls().is_some() { "https" } else { "http" };
    println!("listening on {scheme}://{}", server.local_addr()?);
    if let Some(tls) = server.tls().cloned() {
        tokio::spawn(read_again(tls, signal(SignalKind::hangup())?));
    }
    if config.dev {
        tracing::warn!("development: anyone on this machine can have a user token");
    }
    server
        .run(async move {
            signals.next().await;
            tracing::info!("stopping; once more to stop at once");
            tokio::spawn(async move {
                signals.next().await;
                std::process::exit(130);
            });
        })
        .await?;
    tracing::info!("stopped");
    Ok(())
}

/// A certificate is renewed without a restart.
async fn read_again(tls: Tls, mut asked: Signal) {
    while asked.recv().await.is_some() {
        match tls.read_again() {
            Ok(()) => tracing::info!("the certificate was read again"),
            Err(error) => tracing::error!("the certificate stays as it was: {error}"),
        }
    }
}

/// What asks the server to stop.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
