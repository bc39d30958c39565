//! What a connection takes of the server while nothing happens.

use std::time::{Duration, Instant};

use anyhow::Result;
use tokio::time::sleep;

use crate::{
    options::Options,
    report::{Report, Row, progress},
    target::Target,
};

pub(super) async fn run(target: &mut Target, options: &Options, report: &mut Report) -> Result<()> {
    let server = target.start().await?;
    report.title(format_args!("idle connections, over {} s", options.idle));
    let mut crowd = server.crowd();
    // What the first connection needs all share.
    crowd.grow(1).await?;
    let (none, first) = (server.memory()?, 1.0);
    let mut steps = options.connections.clone();
    steps.sort_unstable();
    for connections in steps {
        crowd.grow(connections as usize).await?;
        progress(format_args!("{connections} clients are watched for {} s", options.idle));
        let (before, since) = (server.usage()?, Instant::now());
        sleep(Duration::from_secs(options.idle)).await;
        let used = server.usage()?.since(before);
        let memory = server.memory()?;
        let more = memory.zip(none).map(|(now, none)| now.saturating_sub(none) as f64);
        report.add(Row::Memory {
            connections,
            memory,
            each: more.map(|more| more / (f64::from(connections) - first).max(1.0)),
            busy: used.server.map(|it| it.time.as_secs_f64() / since.elapsed().as_secs_f64() * 1_000.0),
        });
    }
    Ok(())
}
