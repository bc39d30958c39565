//! Pushes that wait for their turn: a few are sent at a time, and again where a push service asks for it.
//!
//! They wait in memory alone. What still waits when the server ends is lost, and nothing with it: a push only says that
//! there is something, and whoever comes gets it through the log anyhow.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, HashMap},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{StreamExt as _, stream::FuturesUnordered};
use tokio::{
    sync::{Notify, mpsc},
    time::{Instant, sleep_until},
};

use super::{
    sender::{Deliver, Outcome, Push, Urgency},
    subscription::Subscription,
};

/// Pushes that wait at most.
const WAITING: usize = 10_000;
/// Pushes that are sent at a time at most, …
const SENDS: usize = 32;
/// … and to one push service.
pub(crate) const SENDS_PER_SERVICE: usize = 8;
/// How long a push waits before it is sent a second time; twice as long before each further time, …
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// … up to this. Up to a half of it is taken off by chance, so that not all come back at once.
const LONGEST_PAUSE: Duration = Duration::from_secs(5 * 60);
/// How long a push service can keep its pushes back at a time.
const LONGEST_HOLD: Duration = Duration::from_secs(60 * 60);
/// How long even a push that is worth nothing later may wait for its first turn.
const FIRST_TURN: Duration = Duration::from_secs(1);

/// What a push is for. To the queue it says nothing: it is given back, and shown to who cancels.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    /// The account.
    pub account: String,
    /// The notification, or the message, that it tells of.
    pub notification: Bytes,
    /// The subscription, or the device that has it.
    pub subscription: Bytes,
}

/// How many pushes ended how, since the server was started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// The push service has them.
    pub delivered: u64,
    /// Their subscription is no more.
    pub gone: u64,
    /// The push service, or this server, does not take them.
    pub refused: u64,
    /// They were worth nothing any more before they could be sent.
    pub expired: u64,
    /// There was no room for them.
    pub dropped: u64,
    /// They were cancelled.
    pub cancelled: u64,
}

/// Pushes that wait for their turn. They are sent while [`Queue::run`] does.
pub struct Queue {
    deliver: Arc<dyn Deliver>,
    waiting: Mutex<Waiting>,
    changed: Notify,
    tell_gone: mpsc::Sender<Key>,
    gone: tokio::sync::Mutex<mpsc::Receiver<Key>>,
}

impl Queue {
    /// Nothing waits.
    #[must_use]
    pub fn new(deliver: Arc<dyn Deliver>) -> Self {
        // Who is not told of one that is gone is told the next time.
        let (tell_gone, gone) = mpsc::channel(WAITING);
        Self { deliver, waiting: Mutex::default(), changed: Notify::new(), tell_gone, gone: gone.into() }
    }

    /// Sends a push when its turn comes: the more urgent first, then the older. When 10,000 wait, the oldest of the
    /// least urgent is dropped for it.
    pub fn enqueue(&self, key: Key, to: Subscription, push: Push) {
        self.waiting().enqueue(key, to, push, Instant::now());
        self.changed.notify_one();
    }

    /// Drops all that waits of what is cancelled, those that are to be sent again too. What is being sent is sent.
    pub fn cancel(&self, is_cancelled: impl FnMut(&Key) -> bool) {
        self.waiting().cancel(is_cancelled);
    }

    /// Waits for the next push whose subscription is no more, which is to be removed.
    pub async fn gone(&self) -> Key {
        match self.gone.lock().await.recv().await {
            Some(key) => key,
            // The other end is this queue's own.
            None => std::future::pending().await,
        }
    }

    /// How many pushes ended how.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.waiting().counts
    }

    /// How many wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.waiting().len()
    }

    /// Whether none waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Sends what waits until this is dropped, and what is being sent with it. Once at a time.
    pub async fn run(&self) {
        self.waiting().begin();
        let mut sends = FuturesUnordered::new();
        loop {
            while let Some(turn) = self.next() {
                sends.push(self.send(turn));
            }
            let wake = self.waiting().wakes_at();
            tokio::select! {
                Some((turn, outcome)) = sends.next() => self.settle(turn, outcome),
                () = self.changed.notified() => {}
                () = sleep_until(wake) => {}
            }
        }
    }

    fn next(&self) -> Option<Turn> {
        self.waiting().next(Instant::now())
    }

    async fn send(&self, mut turn: Turn) -> (Turn, Outcome) {
        // The push service keeps it for what is left, not for all of it anew.
        let entry = &mut turn.entry;
        entry.push.ttl = entry.push.ttl.min(entry.expires.saturating_duration_since(Instant::now()));
        let outcome = self.deliver.deliver(&entry.to, &entry.push).await;
        (turn, outcome)
    }

    fn settle(&self, turn: Turn, outcome: Outcome) {
        if let Outcome::TooLarge | Outcome::Refused(_) | Outcome::NotAllowed = outcome {
            tracing::warn!(service = turn.service, ?outcome, "a push was not taken");
        }
        if outcome == Outcome::Gone {
            let _ = self.tell_gone.try_send(turn.entry.key.clone());
        }
        self.waiting().settle(turn, outcome, Instant::now());
    }

    /// No code can panic while it holds this lock, so a poisoned one is as good as any.
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue").field("counts", &self.counts()).finish_non_exhaustive()
    }
}

/// The order in which pushes are sent: by urgency, then by age.
type Place = (Reverse<Urgency>, u64);

/// What waits, by push service.
#[derive(Default)]
struct Waiting {
    services: HashMap<String, Lane>,
    /// What is being sent, and has not been cancelled since.
    sending: HashMap<Place, Key>,
    enqueued: u64,
    is_overflowing: bool,
    counts: Counts,
}

/// What waits for one push service.
#[derive(Default)]
struct Lane {
    waiting: BTreeMap<Place, Entry>,
    sends: usize,
    /// The push service wants nothing before.
    held_until: Option<Instant>,
}

struct Entry {
    key: Key,
    to: Subscription,
    push: Push,
    /// When it may be sent, …
    due: Instant,
    /// … how often it was, …
    sends: u32,
    /// … and when it is worth nothing any more.
    expires: Instant,
}

/// A push whose turn it is.
struct Turn {
    place: Place,
    service: String,
    entry: Entry,
}

impl Waiting {
    fn len(&self) -> usize {
        self.services.values().map(|lane| lane.waiting.len()).sum()
    }

    /// Nothing is being sent.
    fn begin(&mut self) {
        self.sending.clear();
        self.services.values_mut().for_each(|lane| lane.sends = 0);
    }

    fn enqueue(&mut self, key: Key, to: Subscription, push: Push, now: Instant) {
        let place = (Reverse(push.urgency), self.enqueued);
        self.enqueued += 1;
        let expires = now + push.ttl.max(FIRST_TURN);
        let service = to.origin();
        let entry = Entry { key, to, push, due: now, sends: 0, expires };
        self.put(&service, place, entry, now);
    }

    fn put(&mut self, service: &str, place: Place, entry: Entry, now: Instant) {
        self.services.entry(service.to_owned()).or_default().waiting.insert(place, entry);
        if self.len() > WAITING {
            self.forget(now);
        }
        while self.len() > WAITING {
            self.drop_one();
        }
    }

    /// Drops the oldest of the least urgent.
    fn drop_one(&mut self) {
        let oldest = |lane: &Lane| {
            let (least, _) = *lane.waiting.last_key_value()?.0;
            let (place, _) = lane.waiting.range((least, 0)..).next()?;
            Some(*place)
        };
        let lanes = self.services.values_mut().filter_map(|lane| Some((oldest(lane)?, lane)));
        let by_urgency = |((Reverse(urgency), number), _): &(Place, &mut Lane)| (*urgency, *number);
        if let Some((place, lane)) = lanes.min_by_key(by_urgency) {
            lane.waiting.remove(&place);
            self.counts.dropped += 1;
        }
        if !std::mem::replace(&mut self.is_overflowing, true) {
            tracing::warn!("more than {WAITING} pushes wait: the oldest of the least urgent are dropped");
        }
    }

    /// Forgets what is worth nothing any more, and push services that nothing is to be known of.
    fn forget(&mut self, now: Instant) {
        let before = self.len();
        self.services.retain(|_, lane| {
            lane.waiting.retain(|_, entry| now < entry.expires);
            lane.held_until = lane.held_until.filter(|until| now < *until);
            !lane.waiting.is_empty() || lane.sends > 0 || lane.held_until.is_some()
        });
        let left = self.len();
        self.counts.expired += (before - left) as u64;
        self.is_overflowing &= left > WAITING / 2;
    }

    /// Whose turn it is, if it is anybody's.
    fn next(&mut self, now: Instant) -> Option<Turn> {
        self.forget(now);
        if self.is_busy() {
            return None;
        }
        let due = |(_, entry): &(&Place, &Entry)| entry.due <= now;
        let lanes = self.services.iter_mut().filter(|(_, lane)| lane.is_open());
        let turns = lanes.filter_map(|(service, lane)| {
            let (place, _) = lane.waiting.iter().find(due)?;
            Some((*place, service, lane))
        });
        let (place, service, lane) = turns.min_by_key(|(place, ..)| *place)?;
        let entry = lane.waiting.remove(&place)?;
        lane.sends += 1;
        self.sending.insert(place, entry.key.clone());
        Some(Turn { place, service: service.clone(), entry })
    }

    /// When there is something to do, if nothing happens before.
    fn wakes_at(&self) -> Instant {
        let wakes = |lane: &Lane| {
            let held = lane.held_until;
            let wake = |entry: &Entry| entry.expires.min(held.map_or(entry.due, |held| entry.due.max(held)));
            lane.waiting.values().map(wake).min()
        };
        // Who waits for a send to end is woken by that.
        let lanes = self.services.values().filter(|lane| !self.is_busy() && !lane.is_busy());
        lanes.filter_map(wakes).min().unwrap_or_else(|| Instant::now() + LONGEST_HOLD)
    }

    /// Whether as much is being sent as may be.
    fn is_busy(&self) -> bool {
        self.services.values().map(|lane| lane.sends).sum::<usize>() >= SENDS
    }

    /// A push was sent.
    fn settle(&mut self, mut turn: Turn, outcome: Outcome, now: Instant) {
        let cancelled = self.sending.remove(&turn.place).is_none();
        let lane = self.services.entry(turn.service.clone()).or_default();
        lane.sends = lane.sends.saturating_sub(1);
        match outcome {
            Outcome::Delivered => self.counts.delivered += 1,
            Outcome::Gone => {
                self.counts.gone += 1;
                let Key { account, subscription, .. } = turn.entry.key;
                self.cancel(|key| key.account == account && key.subscription == subscription);
            }
            Outcome::TooLarge | Outcome::Refused(_) | Outcome::NotAllowed => self.counts.refused += 1,
            Outcome::Retry { after } => {
                if let Some(after) = after {
                    let until = now + after.min(LONGEST_HOLD);
                    lane.held_until = lane.held_until.max(Some(until));
                }
                if cancelled {
                    self.counts.cancelled += 1;
                    return;
                }
                turn.entry.sends += 1;
                turn.entry.due = now + pause(turn.entry.sends, chance());
                if turn.entry.due < turn.entry.expires {
                    self.put(&turn.service, turn.place, turn.entry, now);
                } else {
                    self.counts.expired += 1;
                }
            }
        }
    }

    fn cancel(&mut self, mut is_cancelled: impl FnMut(&Key) -> bool) {
        let before = self.len();
        for lane in self.services.values_mut() {
            lane.waiting.retain(|_, entry| !is_cancelled(&entry.key));
        }
        self.sending.retain(|_, key| !is_cancelled(key));
        self.counts.cancelled += (before - self.len()) as u64;
    }
}

impl Lane {
    /// Whether something may be sent now. [`Waiting::forget`] ends a hold.
    fn is_open(&self) -> bool {
        !self.is_busy() && self.held_until.is_none()
    }

    /// Whether as much is being sent as may be.
    fn is_busy(&self) -> bool {
        self.sends >= SENDS_PER_SERVICE
    }
}

/// How long a push that was sent so many times waits, by a chance from 0 to 1.
fn pause(sends: u32, chance: f64) -> Duration {
    let doubled = 2_u32.saturating_pow(sends.saturating_sub(1));
    let longest = FIRST_PAUSE.saturating_mul(doubled).min(LONGEST_PAUSE);
    longest - longest.mul_f64(chance / 2.0)
}

/// From 0 to 1; without randomness always 0.
fn chance() -> f64 {
    f64::from(getrandom::u32().unwrap_or(0)) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests;
