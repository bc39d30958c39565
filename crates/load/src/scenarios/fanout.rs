//! What a message to a group costs, by the number of its members, who are all connected.

use std::{collections::BTreeSet, time::Duration};

use anyhow::{Result, bail};

use crate::{
    client::What,
    clock::{Micros, micros},
    crowd::Crowd,
    latency::{Latencies, milliseconds},
    options::Options,
    process::Usage,
    report::{Report, Row},
    target::Target,
};

/// Longest that the last member may wait.
const PATIENCE: Duration = Duration::from_secs(30);

pub(super) async fn run(target: &mut Target, options: &Options, report: &mut Report) -> Result<()> {
    let server = target.start().await?;
    report.title(format_args!("messages to groups, {} to each", options.messages));
    let mut crowd = server.crowd();
    let mut sizes = options.groups.clone();
    sizes.sort_unstable();
    for members in sizes {
        crowd.grow(members as usize).await?;
        let group = server.group(members);
        let names: Vec<_> = (0..members as usize).map(|member| crowd.account(member)).collect();
        crowd.backend().put_group(&group, &names).await?;
        // The first also brings who is in the group.
        until_last_has_it(&mut crowd, &group, members).await?;
        let (rows, before) = (server.rows().await?, server.usage()?);
        let mut last = Latencies::new();
        for _ in 0..options.messages {
            let (sent, arrived) = until_last_has_it(&mut crowd, &group, members).await?;
            last.record(sent, arrived);
        }
        let used = server.usage()?.since(before);
        let each = |usage: Usage| milliseconds(usage.time) / f64::from(options.messages);
        let rows = server.rows().await?.zip(rows).map(|(after, before)| after.saturating_sub(before));
        report.add(Row::Fanout {
            members,
            last: last.summary(),
            server: used.server.map(each),
            database: used.database.map(each),
            rows: rows.map(|rows| rows as f64 / f64::from(options.messages)),
        });
    }
    Ok(())
}

/// Sends a message, and says when, and when the last member had it.
async fn until_last_has_it(crowd: &mut Crowd, group: &str, members: u32) -> Result<(Micros, Micros)> {
    let sent = crowd.now();
    let end = crowd.at(sent + micros(PATIENCE));
    crowd.say_to_group(0, group, sent);
    let mut waited_for: BTreeSet<_> = (0..members as usize).collect();
    loop {
        let Some(news) = crowd.next(end).await? else {
            bail!(
                "{} of {members} members did not get a message in {} s",
                waited_for.len(),
                PATIENCE.as_secs()
            );
        };
        if let What::Confirmed(due) | What::Arrived(due) = news.what
            && due == sent
        {
            waited_for.remove(&news.client);
            if waited_for.is_empty() {
                return Ok((sent, news.at));
            }
        }
    }
}
