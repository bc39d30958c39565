//! Operations a second, up to the highest at which 99 of 100 are confirmed and have arrived in time.

use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};

use crate::{
    clock::micros,
    crowd::Crowd,
    options::Options,
    process::Usage,
    report::{Report, Row, progress},
    search::Search,
    target::{Server, Target},
    traffic::Traffic,
};

/// How long what is late is waited for, if it may not take longer anyway.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a server that was offered too much has to work it off.
const RECOVERY: Duration = Duration::from_secs(120);

pub(super) async fn run(target: &mut Target, options: &Options, report: &mut Report) -> Result<()> {
    let server = target.start().await?;
    report.title(format_args!(
        "operations a second, {} accounts, p99 within {} ms over {} s",
        options.accounts, options.p99, options.window
    ));
    let mut crowd = server.crowd();
    crowd.grow(options.accounts as usize).await?;
    let mut step = async |rate: f64| {
        let (row, holds) = measure(&server, &mut crowd, options, rate).await?;
        report.add(row);
        if !holds {
            recover(&mut crowd, options).await?;
        }
        anyhow::Ok(holds)
    };
    let mut best = None;
    if options.rates.is_empty() {
        let mut search = Search::new(options.first_rate);
        while let Some(rate) = search.next() {
            search.note(step(rate).await?);
        }
        best = search.best();
    } else {
        for &rate in &options.rates {
            if step(rate).await? {
                best = Some(best.map_or(rate, |best: f64| best.max(rate)));
            }
        }
    }
    report.add(Row::Best { rate: best });
    Ok(())
}

/// Offers so much, and says what became of it.
async fn measure(server: &Server, crowd: &mut Crowd, options: &Options, rate: f64) -> Result<(Row, bool)> {
    let window = Duration::from_secs(options.window);
    let p99 = Duration::from_millis(options.p99);
    let traffic =
        Traffic { rate, warm_up: window / 5, window, patience: p99.max(PATIENCE), seed: options.seed };
    let mut before = None;
    let outcome = traffic
        .run(crowd, || {
            before = Some((server.usage()?, Instant::now()));
            Ok(())
        })
        .await?;
    let Some((before, since)) = before else {
        bail!("at {rate} a second nothing is sent in {} s", options.window);
    };
    let used = server.usage()?.since(before);
    let seconds = since.elapsed().as_secs_f64();
    let busy = |usage: Usage| usage.time.as_secs_f64() / seconds;
    let written = used.server.map(|server| server.written + used.database.map_or(0, |it| it.written));
    let holds = outcome.holds(p99);
    let row = Row::Sustained {
        rate,
        sent: outcome.sent,
        missing: outcome.sent.saturating_sub(outcome.confirmed.count().min(outcome.arrived.count())),
        confirmed: outcome.confirmed.summary(),
        arrived: outcome.arrived.summary(),
        holds,
        server: used.server.map(busy),
        database: used.database.map(busy),
        clients: busy(used.clients),
        written: written.map(|bytes| bytes as f64 / outcome.sent as f64),
    };
    Ok((row, holds))
}

/// Waits until what a server was offered in vain has been worked off: a message at a time is confirmed at once again.
async fn recover(crowd: &mut Crowd, options: &Options) -> Result<()> {
    let end = crowd.now() + micros(RECOVERY);
    progress(format_args!("the server works off what it was offered"));
    let calm = Traffic {
        rate: 20.0,
        warm_up: Duration::from_millis(500),
        window: Duration::from_secs(1),
        patience: PATIENCE,
        seed: options.seed,
    };
    loop {
        let outcome = calm.run(crowd, || Ok(())).await?;
        if outcome.holds(Duration::from_millis(options.p99)) {
            return Ok(());
        }
        ensure!(crowd.now() < end, "the server does not recover in {} s", RECOVERY.as_secs());
    }
}
