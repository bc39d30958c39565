//! The server ends under all its clients and is started again at once: how long until they are back.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Result, bail, ensure};
use tokio::time::{Instant, sleep_until};

use crate::{
    client::What,
    clock::{Micros, micros},
    crowd::Crowd,
    options::Options,
    report::{Report, Row, progress},
    target::{Own, Target},
};

/// So long clients rest after all have come, before the server ends.
const REST: Duration = Duration::from_secs(1);
/// Longest until all are back: with many failed attempts a client waits for up to a minute and a half.
const PATIENCE: Duration = Duration::from_secs(300);
/// One client in so many writes while the server is away.
const WRITERS: usize = 10;

/// How the server ends.
#[derive(Clone, Copy, Debug)]
enum End {
    Killed,
    Stopped,
}

pub(super) async fn run(target: &mut Target, options: &Options, report: &mut Report) -> Result<()> {
    target.must_be_own()?;
    let mut server = target.start().await?;
    report.title(format_args!("the server ends and is started again, {} clients", options.clients));
    let mut crowd = server.crowd();
    for end in [End::Killed, End::Stopped] {
        crowd.grow(options.clients as usize).await?;
        rest(&mut crowd).await?;
        let row = measure(server.own()?, &mut crowd, end).await?;
        report.add(row);
    }
    Ok(())
}

/// Lets the first excitement pass.
async fn rest(crowd: &mut Crowd) -> Result<()> {
    let end = Instant::now() + REST;
    while crowd.next(end).await?.is_some() {}
    sleep_until(end).await;
    Ok(())
}

async fn measure(server: &mut Own, crowd: &mut Crowd, end: End) -> Result<Row> {
    let clients = crowd.len();
    let mut back = Returns::new(clients);
    let start = crowd.now();
    match end {
        End::Killed => server.kill().await?,
        End::Stopped => server.stop().await?,
    }
    let mut written = 0;
    for writer in (0..clients).step_by(WRITERS) {
        crowd.say_to(writer, (writer + 1) % clients, crowd.now());
        written += 1;
    }
    server.start().await?;
    let down = crowd.now() - start;
    let until = crowd.at(start + micros(PATIENCE));
    let mut arrived = BTreeMap::new();
    let mut told = Instant::now();
    while back.count() < clients || arrived.len() < written {
        let Some(news) = crowd.next(until).await? else {
            bail!(
                "{} of {clients} clients are back after {} s, and {} of {written} messages have arrived",
                back.count(),
                PATIENCE.as_secs(),
                arrived.len()
            );
        };
        match news.what {
            What::InStep(in_step) => back.note(news.client, in_step, news.at),
            What::Arrived(due) if due >= start => *arrived.entry((news.client, due)).or_insert(0_u64) += 1,
            _ => {}
        }
        if told.elapsed() >= Duration::from_secs(2) {
            told = Instant::now();
            progress(format_args!("{} of {clients} clients are back", back.count()));
        }
    }
    ensure!(arrived.values().all(|times| *times == 1), "a message arrived twice");
    let after = |of_hundred| (back.when(of_hundred) - start) as f64 / 1_000.0;
    Ok(Row::Storm {
        end: match end {
            End::Killed => "killed",
            End::Stopped => "stopped",
        },
        clients: clients as u32,
        down: down as f64 / 1_000.0,
        half: after(50),
        most: after(99),
        all: after(100),
        written: written as u64,
        arrived: arrived.values().sum(),
    })
}

/// When clients that had gone were back for good.
#[derive(Debug)]
struct Returns {
    at: Vec<Option<Micros>>,
    count: usize,
}

impl Returns {
    fn new(clients: usize) -> Self {
        Self { at: vec![None; clients], count: 0 }
    }

    /// Who goes again was not back.
    fn note(&mut self, client: usize, in_step: bool, at: Micros) {
        let before = std::mem::replace(&mut self.at[client], in_step.then_some(at));
        self.count = self.count + usize::from(in_step) - usize::from(before.is_some());
    }

    fn count(&self) -> usize {
        self.count
    }

    /// When so many of a hundred were back.
    fn when(&self, of_hundred: usize) -> Micros {
        let mut all: Vec<_> = self.at.iter().flatten().copied().collect();
        all.sort_unstable();
        let count = (all.len() * of_hundred).div_ceil(100);
        all.get(count.saturating_sub(1)).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_back_is_counted_once_and_when_it_stays() {
        let mut back = Returns::new(200);
        for client in 0..200 {
            back.note(client, true, 1_000 + client as u64);
        }
        assert_eq!((back.count(), back.when(50), back.when(99), back.when(100)), (200, 1_099, 1_197, 1_199));
        back.note(0, false, 2_000);
        back.note(0, false, 2_001);
        assert_eq!(back.count(), 199);
        back.note(0, true, 3_000);
        assert_eq!((back.count(), back.when(100)), (200, 3_000));
    }

    #[test]
    fn of_nobody_there_is_no_time() {
        assert_eq!(Returns::new(3).when(99), 0);
    }
}
