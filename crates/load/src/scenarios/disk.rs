//! What a message takes of the disk.

use std::time::Duration;

use anyhow::{Result, ensure};

use crate::{
    database::Contents,
    options::Options,
    report::{Report, Row},
    target::Target,
    traffic::Traffic,
};

/// So many are written in a second: few enough that each is a transaction of its own.
const RATE: f64 = 200.0;
/// How long the disk may take for all of it after that.
const PATIENCE: Duration = Duration::from_secs(120);
/// So many accounts at most, so that their conversations exist soon.
const ACCOUNTS: u32 = 100;

pub(super) async fn run(target: &mut Target, options: &Options, report: &mut Report) -> Result<()> {
    target.must_be_own()?;
    let mut server = target.start().await?;
    report.title(format_args!(
        "bytes that each of {} messages adds, of {} bytes",
        options.written, options.content
    ));
    let mut crowd = server.crowd();
    crowd.grow(options.accounts.min(ACCOUNTS) as usize).await?;
    let traffic = |messages: f64| Traffic {
        rate: RATE,
        warm_up: Duration::ZERO,
        window: Duration::from_secs_f64(messages / RATE),
        patience: PATIENCE,
        seed: options.seed,
    };
    // The first of each conversation is more than a message.
    traffic(f64::from(options.written) / 2.0).run(&mut crowd, || Ok(())).await?;
    let before = (server.own()?.database.contents().await?, server.usage()?);
    let outcome = traffic(f64::from(options.written)).run(&mut crowd, || Ok(())).await?;
    ensure!(outcome.arrived.count() == outcome.sent, "messages did not arrive in time");
    let used = server.usage()?.since(before.1);
    let after = server.own()?.database.contents().await?;
    let each = |sum: u64| sum as f64 / outcome.sent as f64;
    let mut add = |part: &str, sum: u64| report.add(Row::Disk { part: part.to_owned(), each: each(sum) });
    for (name, bytes) in &after.bytes {
        let more = bytes.saturating_sub(before.0.bytes.get(name).copied().unwrap_or_default());
        if more > 0 {
            add(name, more);
        }
    }
    let sum = |it: &Contents| (it.bytes.values().sum::<u64>(), it.rows.values().sum::<u64>());
    let (old, new) = (sum(&before.0), sum(&after));
    add("all tables and indexes", new.0.saturating_sub(old.0));
    add("rows", new.1.saturating_sub(old.1));
    if let (Some(old), Some(new)) = (before.0.journal, after.journal) {
        add("log of PostgreSQL", new.bytes.saturating_sub(old.bytes));
        add("log forced to the disk", new.forced.saturating_sub(old.forced));
    }
    let written = used.server.map_or(0, |it| it.written) + used.database.map_or(0, |it| it.written);
    add("written to the disk", written);
    Ok(())
}
