//! What every tab holds of the account in memory: conversation heads, the messages that are not
//! folded yet, where the folded ones lie, and the outbox.
//!
//! A replica changes only by [`Replica::apply`], with what a commit changed. The leader applies its
//! own commits once they are durable, the followers apply the same ones as they hear of them.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use tutti_protocol::{
    Conversation as ConversationId, DeviceId, LogId, Millis, OperationId, Position, Revision, Seq, Timestamp,
    codec,
    local::{self, ChangeSet, Folded, LocatorSpan, Piece, Queued},
    outline::Bounded,
    wire::{self, event},
};

use crate::{
    batch::{Batch, Durability, Key, Snapshot, StoreError, Table, Write},
    message::{Conversation, Message, Page},
    outbox::{Outbox, conversation},
};

/// This device's copy of the account.
#[derive(Debug)]
pub struct Replica {
    account: String,
    device: DeviceId,
    pub(crate) revision: Revision,
    pub(crate) log: Option<LogId>,
    pub(crate) cursor: Seq,
    pub(crate) heads: BTreeMap<String, Head>,
    /// Conversation ids by local number; number 1 comes first.
    numbers: Vec<String>,
    pub(crate) spans: Vec<LocatorSpan>,
    /// Number of the next journal record.
    pub(crate) next_journal: u64,
    /// Where the messages are that no locator covers yet.
    pub(crate) fresh: BTreeMap<OperationId, (u32, Position)>,
    pub(crate) outbox: Outbox,
    /// Operations in the store's outbox that have taken effect all the same.
    pub(crate) over: Vec<OperationId>,
}

/// A conversation.
#[derive(Debug, Default)]
pub(crate) struct Head {
    pub(crate) number: u32,
    pub(crate) members: Vec<String>,
    pub(crate) last: Option<wire::Message>,
    pub(crate) read_position: Position,
    pub(crate) read_inbound: u64,
    pub(crate) pieces: Vec<Piece>,
    /// Messages that are not folded yet.
    pub(crate) recent: BTreeMap<Position, wire::Message>,
}

/// What a change set did to a replica.
#[derive(Debug, Default)]
pub(crate) struct Applied {
    pub(crate) messages: Vec<Change>,
    pub(crate) conversations: BTreeSet<String>,
}

/// A message that is new or looks different now.
#[derive(Debug)]
pub(crate) struct Change {
    pub(crate) message: Message,
    /// It was on display before, as one in the outbox.
    pub(crate) known: bool,
}

/// What stands last in a conversation.
#[derive(Clone, Copy)]
enum Latest<'a> {
    Queued(&'a Queued),
    Sequenced(&'a wire::Message),
}

impl Latest<'_> {
    fn time(self) -> Millis {
        Millis(match self {
            Self::Queued(queued) => queued.queued_at,
            Self::Sequenced(message) => message.sent_at,
        })
    }
}

/// Where a message is.
#[derive(Debug)]
pub enum Located {
    /// Here.
    Found(Message),
    /// Perhaps in one of these locator records; see [`Replica::position_in`].
    Stored(Vec<u64>),
    /// Nowhere on this device.
    Unknown,
}

impl Replica {
    /// Reads a replica from the records of every table but blocks and locators.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] when a record is not what this code writes.
    pub fn load(account: &str, snapshot: &Snapshot) -> Result<Self, StoreError> {
        let mut replica = Self {
            account: account.to_owned(),
            device: identity(snapshot)?.ok_or_else(|| damaged("identity"))?,
            revision: snapshot.revision,
            log: None,
            cursor: Seq(0),
            heads: BTreeMap::new(),
            numbers: Vec::new(),
            spans: Vec::new(),
            next_journal: 0,
            fresh: BTreeMap::new(),
            outbox: Outbox::default(),
            over: Vec::new(),
        };
        // Heads first: the journal goes on where they end.
        for (_, record) in of(snapshot, Table::Heads) {
            replica.load_heads(decode(record)?)?;
        }
        // Numbers are handed out without gaps, each to one conversation.
        replica.numbers = vec![String::new(); replica.heads.len()];
        for (id, head) in &replica.heads {
            match replica.numbers.get_mut((head.number as usize).wrapping_sub(1)) {
                Some(free) if free.is_empty() => free.clone_from(id),
                _ => return Err(damaged("heads")),
            }
        }
        for (number, record) in of(snapshot, Table::Journal) {
            let journal: local::Journal = decode(record)?;
            journal.events.iter().try_for_each(codec::check_event).map_err(|_| damaged("journal"))?;
            let mut applied = Applied::default();
            for event in journal.events {
                replica.apply_event(event, &mut applied);
            }
            match number {
                Key::Number(number) if number < MAX => {
                    replica.next_journal = replica.next_journal.max(number + 1);
                }
                _ => return Err(damaged("journal")),
            }
        }
        for (_, record) in of(snapshot, Table::Outbox) {
            let queued: Queued = decode(record)?;
            let operation = queued.operation.as_ref().ok_or_else(|| damaged("outbox"))?;
            codec::check_operation(operation).map_err(|_| damaged("outbox"))?;
            match OperationId::try_from(&operation.id) {
                // Written once more after it had come back.
                Ok(id) if replica.fresh.contains_key(&id) => replica.over.push(id),
                _ => drop(replica.outbox.insert(queued)),
            }
        }
        if let Some((_, record)) = of(snapshot, Table::Meta).find(|(key, _)| *key == META) {
            let meta: local::Meta = decode(record)?;
            replica.log = LogId::try_from(&meta.log).ok();
            replica.cursor = Seq(meta.cursor);
        }
        Ok(replica)
    }

    /// The account.
    #[must_use]
    pub fn account(&self) -> &str {
        &self.account
    }

    /// The device.
    #[must_use]
    pub fn device(&self) -> DeviceId {
        self.device
    }

    /// What is on its way to the server.
    #[must_use]
    pub fn outbox(&self) -> &Outbox {
        &self.outbox
    }

    /// One conversation; also one that holds nothing yet but messages on their way.
    #[must_use]
    pub fn conversation(&self, id: &str) -> Option<Conversation> {
        let head = self.heads.get(id);
        let latest = self.latest(id);
        if head.is_none() && latest.is_none() {
            return None;
        }
        let last = latest.and_then(|latest| match latest {
            Latest::Queued(queued) => Message::queued(queued, &self.account, self.device),
            Latest::Sequenced(message) => Message::sequenced(message),
        });
        let (read_position, read_inbound) = self.read_state(id);
        let inbound = head.and_then(|head| head.last.as_ref()).map_or(0, |last| last.inbound);
        Some(Conversation {
            id: id.to_owned(),
            members: head.map_or_else(|| self.presumed_members(id), |head| head.members.clone()),
            last_activity: last.as_ref().map_or(Millis(0), |last| last.sent_at),
            last,
            unread: inbound.saturating_sub(read_inbound),
            read_position,
        })
    }

    /// The conversations, latest activity first.
    #[must_use]
    pub fn conversations(&self, limit: usize) -> Vec<Conversation> {
        let mut activity: Vec<(Millis, &str)> =
            self.conversation_ids().map(|id| (self.last_activity(id), id)).collect();
        activity.sort_unstable_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(b.1)));
        activity.truncate(limit);
        activity.into_iter().filter_map(|(_, id)| self.conversation(id)).collect()
    }

    /// The ids of all conversations, those that hold only messages on their way included.
    pub(crate) fn conversation_ids(&self) -> impl Iterator<Item = &str> {
        let starting = self.outbox.conversations().filter(|id| !self.heads.contains_key(*id));
        self.heads.keys().map(String::as_str).chain(starting)
    }

    /// The last position of a conversation; 0 while it has none.
    #[must_use]
    pub fn last_position(&self, conversation: &str) -> Position {
        Position(
            self.heads.get(conversation).and_then(|head| head.last.as_ref()).map_or(0, |last| last.position),
        )
    }

    /// Which blocks [`Replica::page`] needs for the same question.
    #[must_use]
    pub fn page_blocks(&self, conversation: &str, before: Option<Position>, limit: usize) -> Vec<u64> {
        let Some(head) = self.heads.get(conversation) else {
            return Vec::new();
        };
        let (first, end) = self.page_range(conversation, before, limit);
        let wanted = head.pieces.iter().filter(|piece| piece.first < end.0 && end_of(piece) > first.0);
        let mut blocks: Vec<u64> = wanted.map(|piece| piece.block).collect();
        blocks.dedup();
        blocks
    }

    /// Up to `limit` sequenced messages before a position; without one the newest, and on top of them
    /// all that are on their way. `blocks` holds what [`Replica::page_blocks`] named.
    #[must_use]
    pub fn page(
        &self,
        conversation: &str,
        before: Option<Position>,
        limit: usize,
        blocks: &BTreeMap<u64, local::Block>,
    ) -> Page {
        let (first, end) = self.page_range(conversation, before, limit);
        let mut page = Page { has_more: first > Position(1), ..Page::default() };
        for position in (first.0..end.0).map(Position) {
            match self.stored(conversation, position, blocks).and_then(Message::sequenced) {
                Some(message) => page.messages.push(message),
                None => match page.holes.last_mut() {
                    Some((_, to)) if to.next() == position => *to = position,
                    _ => page.holes.push((position, position)),
                },
            }
        }
        if before.is_none() {
            let queued = self.outbox.sends(conversation);
            page.messages
                .extend(queued.filter_map(|queued| Message::queued(queued, &self.account, self.device)));
        }
        page
    }

    /// Where a message is.
    #[must_use]
    pub fn locate(&self, id: OperationId) -> Located {
        if let Some(message) =
            self.outbox.get(id).and_then(|queued| Message::queued(queued, &self.account, self.device))
        {
            return Located::Found(message);
        }
        if let Some((number, position)) = self.fresh.get(&id) {
            let message = self.head(*number).and_then(|head| head.recent.get(position));
            return message.and_then(Message::sequenced).map_or(Located::Unknown, Located::Found);
        }
        let covers =
            |span: &&LocatorSpan| span.first[..] <= id.as_bytes()[..] && id.as_bytes()[..] <= span.last[..];
        let records: Vec<u64> = self.spans.iter().filter(covers).map(|span| span.number).collect();
        if records.is_empty() { Located::Unknown } else { Located::Stored(records) }
    }

    /// Where a message stands according to a locator record.
    #[must_use]
    pub fn position_in(&self, locators: &local::Locators, id: OperationId) -> Option<(&str, Position)> {
        let (ids, _) = locators.ids.as_chunks::<16>();
        let index = ids.binary_search(id.as_bytes()).ok()?;
        let number = *locators.conversations.get(index)?;
        let conversation = self.numbers.get((number as usize).checked_sub(1)?)?;
        Some((conversation, Position(*locators.positions.get(index)?)))
    }

    /// Does to this copy what a commit did to the store.
    pub(crate) fn apply(&mut self, change_set: ChangeSet) -> Applied {
        let mut applied = Applied::default();
        if change_set.reset {
            self.heads.clear();
            self.numbers.clear();
            self.spans.clear();
            self.fresh.clear();
            self.outbox.forget_settled();
        }
        for event in change_set.events {
            self.apply_event(event, &mut applied);
        }
        for id in change_set.settled.iter().filter_map(|id| OperationId::try_from(id).ok()) {
            self.settle(id, &mut applied);
        }
        for queued in change_set.refused {
            self.apply_refused(queued, &mut applied);
        }
        if let Some(folded) = change_set.folded {
            self.apply_folded(folded);
        }
        self.log = LogId::try_from(&change_set.log).ok().or(self.log);
        self.cursor = Seq(change_set.cursor);
        self.next_journal = change_set.next_journal;
        self.revision = Revision(change_set.revision);
        applied
    }

    /// Takes a durable operation into the outbox. None when it is known, or over already.
    pub(crate) fn enqueue(&mut self, queued: Queued) -> Option<Applied> {
        let operation = queued.operation.as_ref()?;
        let id = OperationId::try_from(&operation.id).ok()?;
        if self.fresh.contains_key(&id) {
            return None;
        }
        let conversation = conversation(operation)?.to_owned();
        let message = Message::queued(&queued, &self.account, self.device);
        let known = self.outbox.has_seen(id);
        self.outbox.insert(queued).then(|| Applied {
            messages: message.map(|message| Change { message, known }).into_iter().collect(),
            conversations: BTreeSet::from([conversation]),
        })
    }

    /// Whether an operation is known to have taken effect.
    pub(crate) fn is_over(&self, id: OperationId) -> bool {
        self.outbox.is_settled(id) || self.fresh.contains_key(&id)
    }

    /// The newest reading of the hybrid clock that this copy has seen of itself.
    pub(crate) fn newest_clock(&self) -> Option<Timestamp> {
        self.outbox.newest_clock()
    }

    /// Takes in a page. A head too large for one record comes as several, of one number.
    fn load_heads(&mut self, page: local::HeadPage) -> Result<(), StoreError> {
        for part in page.heads {
            ConversationId::parse(&part.conversation).map_err(|_| damaged("heads"))?;
            if let Some(last) = &part.last {
                codec::check_message(last).map_err(|_| damaged("heads"))?;
            }
            let head = self.heads.entry(part.conversation).or_default();
            if part.number == 0 || ![0, part.number].contains(&head.number) {
                return Err(damaged("heads"));
            }
            head.number = part.number;
            head.members.extend(part.members);
            head.last = part.last.or(head.last.take());
            head.read_position = head.read_position.max(Position(part.read_position));
            head.read_inbound = head.read_inbound.max(part.read_inbound);
            head.pieces.extend(part.pieces);
            if !head.pieces.iter().all(is_piece) || !head.pieces.is_sorted_by(|a, b| end_of(a) <= b.first) {
                return Err(damaged("heads"));
            }
        }
        if !page.locators.iter().all(is_span) {
            return Err(damaged("heads"));
        }
        self.spans.extend(page.locators);
        Ok(())
    }

    fn apply_event(&mut self, event: wire::Event, applied: &mut Applied) {
        let operation = OperationId::try_from(&event.operation).ok();
        let others = matches!(&event.body, Some(event::Body::Message(message))
            if message.device[..] != self.device.as_bytes()[..]);
        match event.body {
            Some(event::Body::Message(message)) => self.apply_message(message, applied),
            Some(event::Body::Read(read)) => {
                let head = self.head_mut(&read.conversation);
                head.read_position = head.read_position.max(Position(read.position));
                head.read_inbound = head.read_inbound.max(read.inbound);
                applied.conversations.insert(read.conversation);
            }
            Some(event::Body::Members(members)) => {
                self.head_mut(&members.conversation).members = members.members;
                applied.conversations.insert(members.conversation);
            }
            None => {}
        }
        // What other devices have sent was never in this one's outbox: there is nothing to remember.
        if let Some(id) = operation.filter(|id| !others || self.outbox.get(*id).is_some()) {
            self.settle(id, applied);
        }
    }

    fn apply_message(&mut self, message: wire::Message, applied: &mut Applied) {
        let (Some(view), Ok(id)) = (Message::sequenced(&message), OperationId::try_from(&message.id)) else {
            return;
        };
        let known = self.outbox.get(id).is_some();
        let position = Position(message.position);
        let head = self.head_mut(&message.conversation);
        if head.last.as_ref().is_none_or(|last| last.position < message.position) {
            head.last = Some(message.clone());
        }
        let number = head.number;
        applied.conversations.insert(message.conversation.clone());
        head.recent.insert(position, message);
        self.fresh.insert(id, (number, position));
        applied.messages.push(Change { message: view, known });
    }

    pub(crate) fn settle(&mut self, id: OperationId, applied: &mut Applied) {
        let Some(queued) = self.outbox.settle(id) else {
            return;
        };
        applied.conversations.extend(queued.operation.as_ref().and_then(conversation).map(str::to_owned));
    }

    fn apply_refused(&mut self, queued: Queued, applied: &mut Applied) {
        let (Some(operation), Some(refused)) = (&queued.operation, &queued.refused) else {
            return;
        };
        let Ok(id) = OperationId::try_from(&operation.id) else {
            return;
        };
        let known = self.outbox.refuse(id, refused.clone());
        if !known {
            self.outbox.insert(queued.clone());
        }
        if let Some(message) = Message::queued(&queued, &self.account, self.device) {
            applied.conversations.insert(message.conversation.clone());
            applied.messages.push(Change { message, known });
        }
    }

    fn apply_folded(&mut self, folded: Folded) {
        for piece in folded.pieces {
            let Some(id) = self.numbers.get((piece.conversation as usize).wrapping_sub(1)) else {
                continue;
            };
            let Some(head) = self.heads.get_mut(id) else {
                continue;
            };
            head.pieces.push(Piece { conversation: 0, ..piece });
        }
        self.spans.extend(folded.locators);
        // Commits are applied one by one, so all that is recent here went into the fold.
        for head in self.heads.values_mut() {
            head.recent.clear();
            if let Some(last) = &mut head.last {
                detach(last);
            }
        }
        self.fresh.clear();
    }

    fn head(&self, number: u32) -> Option<&Head> {
        self.heads.get(self.numbers.get((number as usize).checked_sub(1)?)?)
    }

    fn head_mut(&mut self, id: &str) -> &mut Head {
        if !self.heads.contains_key(id) {
            self.numbers.push(id.to_owned());
            let number = u32::try_from(self.numbers.len()).unwrap_or(u32::MAX);
            let head = Head { number, members: self.presumed_members(id), ..Head::default() };
            self.heads.insert(id.to_owned(), head);
        }
        self.heads.get_mut(id).expect("was there or has just been put there")
    }

    /// Who is in a conversation before the server has said so.
    fn presumed_members(&self, id: &str) -> Vec<String> {
        match ConversationId::parse(id) {
            Ok(ConversationId::Direct(other)) if other != self.account => {
                vec![self.account.clone(), other.to_owned()]
            }
            _ => vec![self.account.clone()],
        }
    }

    fn last_activity(&self, id: &str) -> Millis {
        self.latest(id).map_or(Millis(0), Latest::time)
    }

    /// What stands last in a conversation: what is on its way, else the later of what was sequenced and
    /// what was refused.
    fn latest(&self, id: &str) -> Option<Latest<'_>> {
        let mut sends = self.outbox.sends(id).rev();
        let refused = self.outbox.sends(id).next_back().map(Latest::Queued);
        let sequenced = self.heads.get(id).and_then(|head| head.last.as_ref()).map(Latest::Sequenced);
        let pending = sends.find(|queued| queued.refused.is_none()).map(Latest::Queued);
        pending.or_else(|| refused.into_iter().chain(sequenced).max_by_key(|latest| latest.time()))
    }

    /// Read position and count, with what the outbox will make of them.
    fn read_state(&self, id: &str) -> (Position, u64) {
        let Some(head) = self.heads.get(id) else {
            return (Position(0), 0);
        };
        let position = self.outbox.marked(id).unwrap_or_default().min(self.last_position(id));
        if position <= head.read_position {
            return (head.read_position, head.read_inbound);
        }
        let message = head.last.as_ref().filter(|last| Position(last.position) == position);
        // A folded message says its count only once the server has confirmed the mark.
        let inbound = message
            .or_else(|| head.recent.get(&position))
            .map_or(head.read_inbound, |message| message.inbound);
        (position, inbound)
    }

    /// First position of a page and the one after its last.
    fn page_range(&self, conversation: &str, before: Option<Position>, limit: usize) -> (Position, Position) {
        let after_last = self.last_position(conversation).next();
        let end = before.map_or(after_last, |before| before.min(after_last)).max(Position(1));
        (Position(end.0.saturating_sub(limit as u64).max(1)), end)
    }

    fn stored<'a>(
        &'a self,
        conversation: &str,
        position: Position,
        blocks: &'a BTreeMap<u64, local::Block>,
    ) -> Option<&'a wire::Message> {
        let head = self.heads.get(conversation)?;
        if let Some(message) = head.recent.get(&position) {
            return Some(message);
        }
        // By first position, so the piece is the last one that starts at or before it.
        let piece = &head.pieces[..head.pieces.partition_point(|piece| piece.first <= position.0)].last()?;
        let within = u32::try_from(position.0.checked_sub(piece.first)?).ok()?;
        if within >= piece.count {
            return None;
        }
        let index = piece.offset.checked_add(within)?;
        let message = blocks.get(&piece.block)?.messages.get(index as usize)?;
        (message.conversation == conversation && message.position == position.0).then_some(message)
    }
}

/// The record that holds the cursor.
pub(crate) const META: Key = Key::Number(0);
/// The record that holds the device's identity.
pub(crate) const IDENTITY: Key = Key::Number(1);

/// The device that a store belongs to; none in a new one.
///
/// # Errors
/// [`StoreError::Damaged`] when the record is not what this code writes.
pub fn identity(snapshot: &Snapshot) -> Result<Option<DeviceId>, StoreError> {
    let Some((_, record)) = of(snapshot, Table::Meta).find(|(key, _)| *key == IDENTITY) else {
        return Ok(None);
    };
    let identity: local::Identity = decode(record)?;
    DeviceId::try_from(&identity.device).map(Some).map_err(|_| damaged("identity"))
}

/// Reads a block as [`Replica::page`] wants it.
///
/// # Errors
/// [`StoreError::Damaged`] when the record is not what this code writes.
pub fn decode_block(record: Bytes) -> Result<local::Block, StoreError> {
    let block: local::Block = decode(&record)?;
    block.messages.iter().try_for_each(codec::check_message).map_err(|_| damaged("blocks"))?;
    Ok(block)
}

/// Reads a locator record as [`Replica::position_in`] wants it.
///
/// # Errors
/// [`StoreError::Damaged`] when the record is not what this code writes.
pub fn decode_locators(record: Bytes) -> Result<local::Locators, StoreError> {
    decode(&record)
}

/// Copies what a message holds out of the frame it came in, which would stay in memory as long.
fn detach(message: &mut wire::Message) {
    for bytes in [&mut message.id, &mut message.device, &mut message.content] {
        *bytes = Bytes::copy_from_slice(bytes);
    }
}

/// Numbers of records stay below it, so that they are exact in JavaScript and there is always a next.
const MAX: u64 = 1 << 53;

/// Whether a change set from the channel is one that a leader may have made.
pub(crate) fn check_change_set(change_set: &ChangeSet) -> bool {
    let operations = || change_set.refused.iter().filter_map(|queued| queued.operation.as_ref());
    let folded = change_set.folded.as_ref();
    change_set.next_journal < MAX
        && change_set.events.iter().all(|event| codec::check_event(event).is_ok())
        && operations().all(|operation| codec::check_operation(operation).is_ok())
        && folded.is_none_or(|it| it.pieces.iter().all(is_piece) && it.locators.iter().all(is_span))
}

fn is_piece(piece: &Piece) -> bool {
    piece.first > 0 && piece.count > 0 && piece.block < MAX
}

fn is_span(span: &LocatorSpan) -> bool {
    span.number < MAX && span.first.len() == 16 && span.last.len() == 16
}

/// The position after a piece's last.
fn end_of(piece: &Piece) -> u64 {
    piece.first.saturating_add(u64::from(piece.count))
}

fn of(snapshot: &Snapshot, table: Table) -> impl Iterator<Item = (Key, &Bytes)> {
    snapshot.records.iter().filter(move |(of, _, _)| *of == table).map(|(_, key, record)| (*key, record))
}

fn decode<M: Bounded>(record: &Bytes) -> Result<M, StoreError> {
    codec::decode_local(record.clone()).map_err(|_| damaged("record"))
}

fn damaged(what: &str) -> StoreError {
    StoreError::Damaged(format!("{what} is not readable"))
}

/// Makes a device the store's, unless the store has one already.
#[must_use]
pub fn identity_batch(device: DeviceId) -> Batch {
    let identity = local::Identity { device: device.to_bytes() };
    Batch {
        fence: None,
        revision: None,
        writes: vec![Write::Insert(Table::Meta, IDENTITY, codec::encode(&identity))],
        durability: Durability::Strict,
    }
}
