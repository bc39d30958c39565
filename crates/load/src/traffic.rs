//! Messages between random accounts, each sent when its time has come.

use std::time::Duration;

use anyhow::Result;
use tokio::time::sleep_until;

use crate::{
    client::What,
    clock::{Micros, micros},
    crowd::Crowd,
    latency::Latencies,
    schedule::{Dice, Schedule},
};

/// With so many others each account has conversations.
const PARTNERS: usize = 10;

/// What is to be sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Traffic {
    /// Messages a second.
    pub(crate) rate: f64,
    /// What is sent so early is not counted …
    pub(crate) warm_up: Duration,
    /// … what follows for so long is.
    pub(crate) window: Duration,
    /// How long is waited for what is still on its way when all was sent.
    pub(crate) patience: Duration,
    pub(crate) seed: u64,
}

/// What became of it.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// Of so many messages in the window,
    pub(crate) sent: u64,
    /// until their senders saw them confirmed,
    pub(crate) confirmed: Latencies,
    /// and until those had them to whom they were sent.
    pub(crate) arrived: Latencies,
}

impl Outcome {
    /// Whether all has come, and of a hundred 99 in this time.
    pub(crate) fn holds(&self, p99: Duration) -> bool {
        let holds = |it: &Latencies| it.count() == self.sent && it.percentile(99.0) <= p99;
        holds(&self.confirmed) && holds(&self.arrived)
    }
}

impl Traffic {
    /// Sends it, and waits until all has come, for as long as that may take. `begun`: is called when the window begins.
    pub(crate) async fn run(self, crowd: &mut Crowd, begun: impl FnOnce() -> Result<()>) -> Result<Outcome> {
        // Who writes has nothing to do with when.
        let (times, mut dice) = (Dice::new(self.seed), Dice::new(!self.seed));
        let start = crowd.now();
        let counted = start + micros(self.warm_up);
        let length = self.warm_up + self.window;
        let mut schedule = Schedule::new(times, self.rate, start, length).peekable();
        let (mut begun, mut all) = (Some(begun), 0);
        let (mut all_confirmed, mut all_arrived) = (0, 0);
        let mut outcome = Outcome { sent: 0, confirmed: Latencies::new(), arrived: Latencies::new() };
        let end = start + micros(length + self.patience);
        loop {
            let next = schedule.peek().copied();
            if next.is_none() && all_confirmed == all && all_arrived == all {
                break;
            }
            let due = crowd.at(next.unwrap_or(end));
            tokio::select! {
                () = sleep_until(due) => {
                    if next.is_none() {
                        break;
                    }
                    let now = crowd.now();
                    while let Some(due) = schedule.next_if(|due| *due <= now) {
                        if due >= counted && let Some(begun) = begun.take() {
                            begun()?;
                        }
                        outcome.sent += u64::from(due >= counted);
                        all += 1;
                        say(crowd, &mut dice, due);
                    }
                }
                news = crowd.next(due) => {
                    let Some(news) = news? else { continue };
                    // Of what was sent before this began, some may come only now.
                    match news.what {
                        What::Confirmed(due) if due >= start => {
                            all_confirmed += 1;
                            if due >= counted {
                                outcome.confirmed.record(due, news.at);
                            }
                        }
                        What::Arrived(due) if due >= start => {
                            all_arrived += 1;
                            if due >= counted {
                                outcome.arrived.record(due, news.at);
                            }
                        }
                        _ => {}
                    }
                }
            }
        }
        Ok(outcome)
    }
}

/// Somebody writes to somebody with whom there is a conversation.
fn say(crowd: &Crowd, dice: &mut Dice, due: Micros) {
    let sender = dice.below(crowd.len());
    let partners = PARTNERS.min(crowd.len() - 1);
    let other = (sender + 1 + dice.below(partners)) % crowd.len();
    crowd.say_to(sender, other, due);
}
