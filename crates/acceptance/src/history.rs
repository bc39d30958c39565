//! What a device that has no copy of an account gets of it, page by page, and what it asks for beyond that.

use async_trait::async_trait;
use bytes::Bytes;
use prost::Message as _;
use tutti_protocol::{
    Millis, OperationId, Position, Seq, limits,
    wire::{self, SnapshotPlace, event::Body},
};

use crate::{
    storage::{AccountKey, Reader, Result, Storage, StorageError, Transaction, Trimmed},
    work::{Growth, Work},
};

/// Most accounts in whose logs it is looked at once for what is too old.
const ACCOUNTS: usize = 64;
/// How much is read at once.
const CHUNK: usize = 64;

// The steps of a snapshot.
const CONVERSATIONS: u32 = 0;
const FIELDS: u32 = 1;
const DAYS: u32 = 2;
const NOTIFICATIONS: u32 = 3;

/// A page of an account as it is now for one of its devices: its conversations with their last messages, what is
/// set of them and of sessions, then the messages that were sent since `from`, and what it is notified of. What the
/// log says up to `head` is in it, and nothing there waits for the first device any more.
///
/// One that is not compensated gets all messages that are for it, however old: there are no others.
///
/// # Errors
/// When the storage refused.
pub async fn snapshot(
    storage: &dyn Storage,
    account: &str,
    reader: Reader,
    head: Seq,
    (place, from): (Option<SnapshotPlace>, Millis),
) -> Result<wire::Snapshot> {
    let begun = place.clone().unwrap_or_default();
    // Where no messages are left to be told of, it is settled since when they were.
    let from = if begun.step > DAYS { begun.from } else { from.0.max(begun.from) };
    let cursor = head.0;
    let since = if reader.compensated { Millis(from) } else { Millis(0) };
    let place_now = SnapshotPlace { from, ..begun };
    let mut page =
        Page { storage, account, reader, since, cursor, place: place_now, events: Vec::new(), size: 0 };
    let complete = page.fill().await?;
    let next = (!complete).then_some(page.place);
    Ok(wire::Snapshot { place, events: page.events, next, cursor, from })
}

struct Page<'a> {
    storage: &'a dyn Storage,
    account: &'a str,
    reader: Reader,
    /// Messages since then come with it.
    since: Millis,
    cursor: u64,
    place: SnapshotPlace,
    events: Vec<wire::Event>,
    size: usize,
}

impl Page<'_> {
    /// Takes in what fits. Answers whether that was all there is.
    async fn fill(&mut self) -> Result<bool> {
        while self.place.step == CONVERSATIONS {
            let overviews =
                self.storage.overviews(self.account, self.reader, &self.place.name, CHUNK).await?;
            let found = overviews.len();
            for overview in overviews {
                if !self.take(overview.news) {
                    return Ok(false);
                }
                self.place.name = overview.conversation;
            }
            self.end_step(found);
        }
        while self.place.step == FIELDS {
            let shared = self.storage.shared(self.account, &self.place.name, CHUNK).await?;
            let found = shared.len();
            for fields in shared {
                let name = fields.target.clone();
                if !self.take(vec![Body::Fields(fields)]) {
                    return Ok(false);
                }
                self.place.name = name;
            }
            self.end_step(found);
        }
        if self.place.step == DAYS {
            if !self.fill_days().await? {
                return Ok(false);
            }
            self.end_step(0);
        }
        self.fill_notifications().await
    }

    async fn fill_notifications(&mut self) -> Result<bool> {
        while self.place.step == NOTIFICATIONS && self.reader.notified {
            let after: Option<OperationId> = self.place.name.parse().ok();
            let notifications = self.storage.notifications(self.account, after, CHUNK).await?;
            let found = notifications.len();
            for notification in notifications {
                let id = OperationId::try_from(&notification.id).map_err(StorageError::new)?;
                if !self.take(vec![Body::Notification(notification)]) {
                    return Ok(false);
                }
                self.place.name = id.to_string();
            }
            self.end_step(found);
        }
        Ok(true)
    }

    /// Takes in messages of the days, conversation by conversation, the last ones first.
    async fn fill_days(&mut self) -> Result<bool> {
        let since = self.since;
        loop {
            if self.place.before == 0 {
                let Some((name, last)) = self.storage.active(self.account, &self.place.name, since).await?
                else {
                    return Ok(true);
                };
                // The last message is there already, if it is for the reader.
                (self.place.name, self.place.before) = (name, last.0);
            }
            let positions = (Position(1), Position(self.place.before - 1));
            let name = &self.place.name;
            let messages = self.storage.stretch(self.account, self.reader, name, positions, CHUNK).await?;
            let mut ended = messages.len() < CHUNK;
            for message in messages {
                if message.sent_at < since.0 {
                    ended = true;
                    break;
                }
                let position = message.position;
                if !self.take(vec![Body::Message(message)]) {
                    return Ok(false);
                }
                self.place.before = position;
            }
            if ended {
                self.place.before = 0;
            }
        }
    }

    fn end_step(&mut self, found: usize) {
        if found < CHUNK {
            self.place = SnapshotPlace {
                from: self.place.from,
                step: self.place.step + 1,
                ..SnapshotPlace::default()
            };
        }
    }

    /// Takes these in, unless the page is full.
    fn take(&mut self, news: Vec<Body>) -> bool {
        let full = self.size >= limits::PAGE_BYTES || self.events.len() + news.len() > limits::PAGE_EVENTS;
        if full && !self.events.is_empty() {
            return false;
        }
        for body in news {
            let operation = match &body {
                Body::Message(message) => message.id.clone(),
                _ => Bytes::new(),
            };
            let event = wire::Event { seq: self.cursor, operation, body: Some(body) };
            self.size += event.encoded_len();
            self.events.push(event);
        }
        true
    }
}

/// Messages of a conversation by position: of what is asked for the last ones, as many as a frame takes. There are
/// none for a device that is not compensated.
///
/// # Errors
/// When the storage refused.
pub async fn history(
    storage: &dyn Storage,
    account: &str,
    reader: Reader,
    pull: wire::PullHistory,
) -> Result<wire::History> {
    let wire::PullHistory { conversation, from, to } = pull;
    let mut history = wire::History { conversation, from, to, messages: Vec::new() };
    if !reader.compensated {
        return Ok(history);
    }
    let (mut end, mut size) = (to, 0);
    'chunks: while end >= from {
        let positions = (Position(from), Position(end));
        let messages = storage.stretch(account, reader, &history.conversation, positions, CHUNK).await?;
        let ended = messages.len() < CHUNK;
        for message in messages {
            if size >= limits::PAGE_BYTES {
                // What lies before is asked for again.
                history.from = end + 1;
                break 'chunks;
            }
            size += message.encoded_len();
            end = message.position - 1;
            history.messages.push(message);
        }
        if ended {
            break;
        }
    }
    history.messages.reverse();
    Ok(history)
}

/// What was sent before a time is no longer kept, in the logs of some accounts after this one.
#[derive(Clone, Copy, Debug)]
pub struct Trim {
    /// The account before, or the one that was not done with.
    pub after: AccountKey,
    /// Since when all is kept.
    pub before: Millis,
}

#[async_trait]
impl Work for Trim {
    type Answer = Trimmed;

    async fn run(&self, tx: &mut dyn Transaction, growth: &mut Growth) -> Result<Trimmed> {
        let mut next = self.after;
        for _ in 0..ACCOUNTS {
            let trimmed = tx.trim(next, self.before).await?;
            let Some(after) = trimmed.next else {
                return Ok(trimmed);
            };
            if trimmed.erased {
                growth.note_erased();
                return Ok(trimmed);
            }
            next = after;
        }
        Ok(Trimmed { next: Some(next), erased: false })
    }
}
