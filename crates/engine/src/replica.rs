//! What every tab holds of the account in memory: conversation heads, the messages that are not
//! folded yet, where the folded ones lie, and the outbox.
//!
//! A replica changes only by [`Replica::apply`], with what a commit changed. The leader applies its
//! own commits once they are durable, the followers apply the same ones as they hear of them.

use std::{borrow::Cow, cmp::Reverse, collections::BinaryHeap};

use bytes::Bytes;
use tutti_protocol::{
    Code, Conversation as ConversationId, DeviceId, LogId, Millis, OperationId, Position, Revision, Seq,
    StoreId, Target, Timestamp, codec,
    conversation::is_name,
    local::{self, ChangeSet, Folded, LocatorSpan, Piece, Queued},
    outline::Bounded,
    target,
    wire::{self, event, operation::Body},
};

use crate::{
    batch::{Key, Snapshot, StoreError, Table},
    block::Block,
    fold::put_piece,
    identity::{identity, named},
    link::Mark,
    message::{Conversation, Failure, Hole, Message, Missing, Page, Session, State},
    notifications::Notifications,
    outbox::{NOTIFICATIONS, Outbox, is_conversation, is_session, subject},
    search::Rewrites,
    sorted::{SortedMap, SortedSet},
    tails::Tails,
};

/// This device's copy of the account.
#[derive(Debug)]
pub struct Replica {
    account: String,
    store: StoreId,
    /// None: the store names none.
    device: Option<DeviceId>,
    pub(crate) revision: Revision,
    pub(crate) log: Option<LogId>,
    pub(crate) cursor: Seq,
    /// Where the snapshot goes on that this copy begins with; none: it is complete.
    pub(crate) snapshot: Option<wire::SnapshotPlace>,
    /// Since when all messages are here, once the snapshot is complete; 0: not known.
    pub(crate) complete_from: Millis,
    pub(crate) heads: SortedMap<String, Head>,
    /// Conversation ids by local number; number 1 comes first.
    numbers: Vec<String>,
    pub(crate) spans: Vec<LocatorSpan>,
    /// Number of the next journal record.
    pub(crate) next_journal: u64,
    /// Where the messages are that came or changed since the last fold.
    pub(crate) fresh: SortedMap<OperationId, (u32, Position)>,
    pub(crate) outbox: Outbox,
    /// Operations in the store's outbox that have taken effect all the same.
    pub(crate) over: Vec<OperationId>,
    /// What is set of each session, by target.
    pub(crate) sessions: SortedMap<String, wire::Fields>,
    pub(crate) notifications: Notifications,
    /// The store holds content that was recalled: it is to be folded now.
    pub(crate) purge: bool,
    pub(crate) rewrites: Rewrites,
    tails: Tails,
}

/// A conversation.
#[derive(Debug, Default)]
pub(crate) struct Head {
    pub(crate) number: u32,
    pub(crate) members: Vec<String>,
    pub(crate) last: Option<wire::Message>,
    pub(crate) read_position: Position,
    pub(crate) read_inbound: u64,
    pub(crate) settings: SortedMap<String, Bytes>,
    /// When one of them was last set, by the server's clock.
    pub(crate) settings_at: Millis,
    pub(crate) read_by: SortedMap<String, Position>,
    pub(crate) pieces: Vec<Piece>,
    /// Messages that are not folded yet, or have changed since.
    pub(crate) recent: SortedMap<Position, wire::Message>,
}

/// What a change set did to a replica.
#[derive(Debug, Default)]
pub(crate) struct Applied {
    pub(crate) messages: Vec<Change>,
    /// Others may look different, too, or be gone.
    pub(crate) unsaid: bool,
    pub(crate) conversations: SortedSet<String>,
    pub(crate) sessions: SortedMap<String, SessionChange>,
    /// How notifications looked, if any may look different now.
    pub(crate) notifications: Option<Vec<wire::Notification>>,
    /// Operations that have come to nothing, and that no message shows as failed.
    pub(crate) failures: Vec<(OperationId, Failure)>,
}

/// A message that is new, looks different now or is gone.
#[derive(Debug)]
pub(crate) struct Change {
    pub(crate) message: Message,
    /// It was on display before.
    pub(crate) known: bool,
    /// The user gave it up.
    pub(crate) gone: bool,
    /// It is in this profile's outbox, or was until now.
    pub(crate) here: bool,
}

impl Applied {
    /// Takes in what was done after this.
    pub(crate) fn absorb(&mut self, later: Self) {
        self.messages.extend(later.messages);
        self.unsaid |= later.unsaid;
        self.conversations.extend(later.conversations);
        for (target, change) in later.sessions {
            let by = change.by;
            self.sessions.get_or_insert_with(target, || change).by = by;
        }
        self.notifications = self.notifications.take().or(later.notifications);
        self.failures.extend(later.failures);
    }
}

impl Change {
    pub(crate) fn to(message: Message, known: bool) -> Self {
        let here = matches!(message.state, State::Pending | State::Failed(_));
        Self { message, known, gone: false, here }
    }
}

/// A session that may look different now.
#[derive(Debug)]
pub(crate) struct SessionChange {
    /// How it looked.
    pub(crate) before: Session,
    /// By which operation, and whether that is this profile's.
    pub(crate) by: (Option<OperationId>, bool),
}

impl Head {
    /// Whether a message is here.
    pub(crate) fn holds(&self, position: Position) -> bool {
        self.recent.contains_key(&position) || self.piece(position).is_some()
    }

    /// What is set of it.
    pub(crate) fn settings(&self) -> Vec<wire::Field> {
        let setting =
            |(name, value): (&String, &Bytes)| wire::Field { name: name.clone(), value: value.clone() };
        self.settings.iter().map(setting).collect()
    }

    /// The piece that covers a position.
    pub(crate) fn piece(&self, position: Position) -> Option<&Piece> {
        // By first position, so it is the last one that starts at or before it.
        let piece = self.pieces[..self.pieces.partition_point(|piece| piece.first <= position.0)].last()?;
        (position.0 < end_of(piece)).then_some(piece)
    }
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
        let (store, device) = identity(snapshot)?.ok_or_else(|| damaged("identity"))?;
        let mut replica = Self {
            account: account.to_owned(),
            store,
            device,
            revision: snapshot.revision,
            log: None,
            cursor: Seq(0),
            snapshot: None,
            complete_from: Millis(0),
            heads: SortedMap::new(),
            numbers: Vec::new(),
            spans: Vec::new(),
            next_journal: 0,
            fresh: SortedMap::new(),
            outbox: Outbox::default(),
            over: Vec::new(),
            sessions: SortedMap::new(),
            notifications: Notifications::default(),
            purge: false,
            rewrites: Rewrites::default(),
            tails: Tails::default(),
        };
        // Heads first: the journal goes on where they end.
        for (_, record) in of(snapshot, Table::Heads) {
            replica.load_heads(decode(record)?)?;
        }
        // Numbers are handed out without gaps, each to one conversation.
        replica.numbers = vec![String::new(); replica.heads.len()];
        for (id, head) in replica.heads.iter() {
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
            codec::check_queued(&queued).map_err(|_| damaged("outbox"))?;
            match queued.operation.as_ref().and_then(|operation| OperationId::try_from(&operation.id).ok()) {
                // Written once more after it had come back.
                Some(id) if replica.fresh.contains_key(&id) => replica.over.push(id),
                Some(id) if queued.discarded => drop(replica.outbox.discard(id)),
                _ => drop(replica.outbox.insert(queued)),
            }
        }
        if let Some((_, record)) = of(snapshot, Table::Meta).find(|(key, _)| *key == META) {
            let meta: local::Meta = decode(record)?;
            replica.log = LogId::try_from(&meta.log).ok();
            replica.cursor = Seq(meta.cursor);
            meta.snapshot.iter().try_for_each(codec::check_place).map_err(|_| damaged("meta"))?;
            (replica.snapshot, replica.complete_from) = (meta.snapshot, Millis(meta.complete_from));
            replica.notifications.complete = meta.notifications;
        }
        Ok(replica)
    }

    /// The account.
    #[must_use]
    pub fn account(&self) -> &str {
        &self.account
    }

    /// What the store is called among its tabs.
    #[must_use]
    pub fn store(&self) -> StoreId {
        self.store
    }

    /// The device that the store belongs to, if it names one.
    pub(crate) fn device(&self) -> Option<DeviceId> {
        self.device
    }

    /// Since when all messages are on this device; none while that is not known.
    #[must_use]
    pub fn complete_from(&self) -> Option<Millis> {
        Some(self.complete_from).filter(|from| from.0 > 0 && self.snapshot.is_none())
    }

    /// How far this copy has come.
    pub(crate) fn mark(&self) -> Mark {
        let notified = self.notifications.complete;
        let (snapshot, complete_from) = (self.snapshot.clone(), self.complete_from);
        Mark { log: self.log, cursor: self.cursor, snapshot, complete_from, notified }
    }

    /// The last of these positions, both ends included, whose message is not here though there is one.
    pub(crate) fn missing(&self, conversation: &str, from: Position, to: Position) -> Option<Position> {
        let head = self.heads.get(conversation)?;
        let to = to.min(self.last_position(conversation));
        (from.0..=to.0).rev().map(Position).find(|position| !head.holds(*position))
    }

    /// What is on its way to the server.
    #[must_use]
    pub fn outbox(&self) -> &Outbox {
        &self.outbox
    }

    /// One conversation; also one that holds nothing yet but what is on its way.
    #[must_use]
    pub fn conversation(&self, id: &str) -> Option<Conversation> {
        let head = self.heads.get(id);
        let latest = self.latest(id);
        if head.is_none() && latest.is_none() && self.outbox.changes(id).next().is_none() {
            return None;
        }
        let last = latest.and_then(|latest| match latest {
            Latest::Queued(queued) => self.shown_queued(queued),
            Latest::Sequenced(message) => self.shown(message),
        });
        let (read_position, read_inbound) = self.read_state(id);
        let inbound = head.and_then(|head| head.last.as_ref()).map_or(0, |last| last.inbound);
        let mut settings = head.map(|head| head.settings.clone()).unwrap_or_default();
        self.foresee_fields(id, &mut settings);
        Some(Conversation {
            id: id.to_owned(),
            members: head.map_or_else(|| self.presumed_members(id), |head| head.members.clone()),
            last_activity: last.as_ref().map_or(Millis(0), |last| last.sent_at),
            last,
            unread: inbound.saturating_sub(read_inbound),
            read_position,
            read_by: head.map(|head| head.read_by.clone()).unwrap_or_default(),
            muted: is_true(&settings, target::MUTED),
            pinned: is_true(&settings, target::PINNED),
            draft: settings.remove(target::DRAFT),
        })
    }

    /// The conversations, pinned ones first, then by latest activity.
    #[must_use]
    pub fn conversations(&self, limit: usize) -> Vec<Conversation> {
        let order = |id| (Reverse((self.is_pinned(id), self.last_activity(id))), id);
        let ordered: BinaryHeap<_> = self.conversation_ids().map(order).collect();
        ordered
            .into_sorted_vec()
            .into_iter()
            .take(limit)
            .filter_map(|(_, id)| self.conversation(id))
            .collect()
    }

    /// What the user was doing under a key, if there is anything.
    #[must_use]
    pub fn session(&self, key: &str) -> Option<Session> {
        let session = self.session_of(&Target::Session(key).to_string());
        (!session.fields.is_empty()).then_some(session)
    }

    /// All that the user was doing under keys that begin like this, by key.
    #[must_use]
    pub fn sessions(&self, prefix: &str) -> Vec<Session> {
        let sessions = self.session_targets().map(|target| self.session_of(target));
        let wanted = sessions.filter(|it| !it.fields.is_empty() && it.key.starts_with(prefix));
        let by_key: SortedMap<_, _> = wanted.map(|session| (session.key.clone(), session)).collect();
        by_key.into_values().collect()
    }

    /// All sessions, by target.
    pub(crate) fn session_targets(&self) -> impl Iterator<Item = &str> {
        let starting = self.outbox.sessions().filter(|target| !self.sessions.contains_key(*target));
        self.sessions.keys().map(String::as_str).chain(starting)
    }

    /// A session as it is shown; without fields if there is nothing of it.
    pub(crate) fn session_of(&self, target: &str) -> Session {
        let known = self.sessions.get(target);
        let mut session = Session {
            key: target.strip_prefix("session:").unwrap_or(target).to_owned(),
            fields: known.map(|known| fields(&known.fields)).unwrap_or_default(),
            updated_at: Millis(known.map_or(0, |known| known.updated_at)),
            device: known.and_then(|known| DeviceId::try_from(&known.device).ok()),
        };
        if let Some(queued_at) = self.foresee_fields(target, &mut session.fields) {
            (session.updated_at, session.device) = (queued_at, self.device);
        }
        session
    }

    /// What is on its way will make these of a target's fields. Says when the last of it was set.
    fn foresee_fields(&self, target: &str, fields: &mut SortedMap<String, Bytes>) -> Option<Millis> {
        let mut last = None;
        for (queued, body) in self.outbox.changes(target) {
            let Body::Set(set) = body else { continue };
            last = Some(Millis(queued.queued_at));
            for field in &set.fields {
                if field.value.is_empty() {
                    fields.remove(&field.name);
                } else {
                    fields.insert(field.name.clone(), field.value.clone());
                }
            }
        }
        last
    }

    fn is_pinned(&self, id: &str) -> bool {
        let mut settings = SortedMap::new();
        if let Some(value) = self.heads.get(id).and_then(|head| head.settings.get(target::PINNED)) {
            settings.insert(target::PINNED.to_owned(), value.clone());
        }
        self.foresee_fields(id, &mut settings);
        is_true(&settings, target::PINNED)
    }

    /// A sequenced message as it is shown: as what is on its way will make it.
    pub(crate) fn shown(&self, message: &wire::Message) -> Option<Message> {
        Message::sequenced(message).map(|message| self.foreseen(message))
    }

    /// A message in the outbox as it is shown.
    pub(crate) fn shown_queued(&self, queued: &Queued) -> Option<Message> {
        Message::queued(queued, &self.account, self.device).map(|message| self.foreseen(message))
    }

    fn foreseen(&self, mut message: Message) -> Message {
        let changes = self.outbox.changes(&message.conversation);
        changes.for_each(|(queued, body)| message.foresee(queued, body));
        message
    }

    /// The message that an edit or a recall is about, as it is shown, if that is at hand.
    pub(crate) fn shown_subject(&self, queued: &Queued) -> Option<Message> {
        let id = OperationId::try_from(&queued.message.as_ref()?.id).ok()?;
        match self.locate(id) {
            Located::Found(message) => Some(message),
            Located::Stored(_) | Located::Unknown => None,
        }
    }

    /// The same, or else as it was when the user changed it, unless this copy has yet to hear of it.
    pub(crate) fn presumed_subject(&self, queued: &Queued) -> Option<Message> {
        let here = |message: &&wire::Message| {
            (1..=self.last_position(&message.conversation).0).contains(&message.position)
        };
        self.shown_subject(queued).or_else(|| self.shown(queued.message.as_ref().filter(here)?))
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
        let here =
            |position| head.recent.contains_key(&position) || self.tails.get(head.number, position).is_some();
        let wanted = head.pieces.iter().filter(|piece| {
            let mut asked = piece.first.max(first.0)..end_of(piece).min(end.0);
            asked.any(|position| !here(Position(position)))
        });
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
        blocks: &SortedMap<u64, Block>,
    ) -> Page {
        let (first, end) = self.page_range(conversation, before, limit);
        let mut page = Page { has_more: first > Position(1), ..Page::default() };
        for position in (first.0..end.0).map(Position) {
            let message = self.stored(conversation, position, blocks);
            match message.and_then(|message| self.shown(&message)) {
                Some(message) => page.messages.push(message),
                None => match page.holes.last_mut() {
                    Some(hole) if hole.to.next() == position => hole.to = position,
                    _ => page.holes.push(Hole { from: position, to: position, reason: Missing::Offline }),
                },
            }
        }
        if before.is_none() {
            let queued = self.outbox.sends(conversation);
            page.messages.extend(queued.filter_map(|queued| self.shown_queued(queued)));
        }
        page
    }

    /// Keeps the newest messages of a conversation at hand, which are in these blocks.
    pub(crate) fn keep_tail(&mut self, conversation: &str, limit: usize, blocks: &SortedMap<u64, Block>) {
        let (first, end) = self.page_range(conversation, None, limit.min(Tails::MESSAGES));
        let mut messages = Vec::new();
        for position in (first.0..end.0).map(Position) {
            // With a hole in it, it is no tail.
            let Some(message) = self.stored(conversation, position, blocks) else {
                return;
            };
            messages.push(message.into_owned());
        }
        if let Some(head) = self.heads.get(conversation) {
            self.tails.keep(head.number, messages);
        }
    }

    /// Where a message is.
    #[must_use]
    pub fn locate(&self, id: OperationId) -> Located {
        if let Some(message) = self.outbox.get(id).and_then(|queued| self.shown_queued(queued)) {
            return Located::Found(message);
        }
        if let Some((number, position)) = self.fresh.get(&id) {
            let message = self.head(*number).and_then(|head| head.recent.get(position));
            return message.and_then(|it| self.shown(it)).map_or(Located::Unknown, Located::Found);
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
            applied.unsaid = true;
            self.note_all(&mut applied);
            self.heads.clear();
            self.numbers.clear();
            self.spans.clear();
            self.fresh.clear();
            self.sessions.clear();
            self.notifications.held.clear();
            self.purge = false;
            self.tails = Tails::default();
            self.outbox.forget_settled();
        }
        for event in change_set.events {
            self.apply_event(event, &mut applied);
        }
        for id in change_set.settled.iter().filter_map(|id| OperationId::try_from(id).ok()) {
            self.settle(id, &mut applied);
        }
        for id in change_set.discarded.iter().filter_map(|id| OperationId::try_from(id).ok()) {
            self.discard(id, &mut applied);
        }
        for queued in change_set.refused {
            self.apply_refused(queued, &mut applied);
        }
        if let Some(folded) = change_set.folded {
            self.apply_folded(folded);
        }
        self.log = LogId::try_from(&change_set.log).ok().or(self.log);
        self.cursor = Seq(change_set.cursor);
        (self.snapshot, self.complete_from) = (change_set.snapshot, Millis(change_set.complete_from));
        self.notifications.complete = change_set.notifications;
        self.next_journal = change_set.next_journal;
        if let Some(Ok(device)) = change_set.device.as_ref().map(named) {
            self.device = device;
        }
        self.revision = Revision(change_set.revision);
        applied
    }

    /// Takes a durable operation into the outbox. None when it is known, or over already.
    pub(crate) fn enqueue(&mut self, queued: Queued) -> Option<Applied> {
        let id = OperationId::try_from(&queued.operation.as_ref()?.id).ok()?;
        if self.fresh.contains_key(&id) {
            return None;
        }
        let known = self.outbox.has_seen(id);
        let mut applied = Applied::default();
        self.note_subject(&queued, id, &mut applied);
        if !self.outbox.insert(queued.clone()) {
            return None;
        }
        self.note(&queued, known, &mut applied);
        Some(applied)
    }

    /// Notes what looks different because an operation came, or went.
    pub(crate) fn note(&self, queued: &Queued, known: bool, applied: &mut Applied) {
        let subject = subject(queued);
        if is_conversation(subject) {
            applied.conversations.insert(subject.to_owned());
        }
        applied.messages.extend(self.shown_queued(queued).map(|message| Change::to(message, known)));
        applied.messages.extend(self.presumed_subject(queued).map(|message| Change::to(message, true)));
    }

    /// Notes how that looks what an own operation concerns, if it is no message, before the operation comes or goes.
    fn note_subject(&self, queued: &Queued, id: OperationId, applied: &mut Applied) {
        self.note_session(subject(queued), (Some(id), true), applied);
        if subject(queued) == NOTIFICATIONS {
            self.note_notifications(applied);
        }
    }

    /// Notes how all looks but the messages, before another copy takes its place.
    fn note_all(&self, applied: &mut Applied) {
        self.note_what_there_is(self, None, applied);
        self.note_notifications(applied);
    }

    /// Notes what may look different in this copy, which has taken the place of that one, but for messages.
    pub(crate) fn note_replaced(&self, old: &Self, applied: &mut Applied) {
        // Of what was folded in a commit that this tab has not heard of nothing else tells, nor of an operation that was
        // announced to it though it was over.
        let missed = (self.store(), self.log, self.revision) != (old.store(), old.log, old.revision);
        applied.unsaid |= missed || old.outbox.iter().any(|(id, _)| self.outbox.get(id).is_none());
        old.note_all(applied);
        old.note_what_there_is(self, self.device(), applied);
    }

    /// Notes conversations and sessions of a copy, as they look in this one. `device`: whose doing is not remote.
    fn note_what_there_is(&self, of: &Self, device: Option<DeviceId>, applied: &mut Applied) {
        applied.conversations.extend(of.conversation_ids().map(str::to_owned));
        for target in of.session_targets() {
            let here = device.is_some() && of.session_of(target).device == device;
            self.note_session(target, (None, here), applied);
        }
    }

    /// Notes how a session looks, if it is one, before something changes it.
    fn note_session(&self, target: &str, by: (Option<OperationId>, bool), applied: &mut Applied) {
        if is_session(target) {
            let before = || SessionChange { before: self.session_of(target), by };
            applied.sessions.get_or_insert_with(target.to_owned(), before).by = by;
        }
    }

    /// Whether an operation is known to have taken effect.
    pub(crate) fn is_over(&self, id: OperationId) -> bool {
        self.outbox.is_settled(id) || self.fresh.contains_key(&id)
    }

    /// What became of an operation that is not in the outbox, for whoever wanted to give it up, or to try again.
    pub(crate) fn left(&self, id: OperationId, retry: bool) -> Result<(), Failure> {
        if self.is_over(id) && !retry {
            return Err(Failure::new(Code::Conflict, "the message was sent: recall it instead"));
        }
        let known = self.is_over(id) || self.outbox.has_seen(id) || self.outbox.is_discarded(id);
        known.then_some(()).ok_or_else(|| Failure::new(Code::NotFound, "no such message is on its way here"))
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
            let settings = wire::Fields {
                target: part.conversation.clone(),
                fields: part.settings.clone(),
                ..wire::Fields::default()
            };
            codec::check_shared(&settings).map_err(|_| damaged("heads"))?;
            if !part.read_by.iter().all(|read_by| is_name(&read_by.account)) {
                return Err(damaged("heads"));
            }
            let head = self.heads.get_or_insert_with(part.conversation, Head::default);
            if part.number == 0 || ![0, part.number].contains(&head.number) {
                return Err(damaged("heads"));
            }
            head.number = part.number;
            head.members.extend(part.members);
            head.last = part.last.or(head.last.take());
            head.read_position = head.read_position.max(Position(part.read_position));
            head.read_inbound = head.read_inbound.max(part.read_inbound);
            head.settings.extend(fields(&part.settings));
            head.settings_at = head.settings_at.max(Millis(part.settings_at));
            head.pieces.extend(part.pieces);
            for read_by in part.read_by {
                head.read_by.insert(read_by.account, Position(read_by.position));
            }
            if !head.pieces.iter().all(is_piece) || !head.pieces.is_sorted_by(|a, b| end_of(a) <= b.first) {
                return Err(damaged("heads"));
            }
        }
        let sound =
            |session: &wire::Fields| is_session(&session.target) && codec::check_shared(session).is_ok();
        if !page.locators.iter().all(is_span) || !page.sessions.iter().all(sound) {
            return Err(damaged("heads"));
        }
        self.spans.extend(page.locators);
        self.sessions.extend(page.sessions.into_iter().map(|session| (session.target.clone(), session)));
        self.load_notifications(page.notifications)
    }

    fn apply_event(&mut self, event: wire::Event, applied: &mut Applied) {
        let operation = OperationId::try_from(&event.operation).ok();
        // What others have sent was never in an outbox of the account: there is nothing to remember. What its
        // other devices have sent may lie in this one's, too: an application may send under one id on two.
        let others = matches!(&event.body, Some(event::Body::Message(message) | event::Body::Past(message))
            if message.sender != self.account);
        let own = operation.filter(|id| !others || self.outbox.get(*id).is_some());
        match event.body {
            Some(event::Body::Message(message)) => self.apply_message(message, applied),
            Some(event::Body::Changed(message)) => self.apply_changed(message, own, applied),
            Some(event::Body::Past(message)) => self.apply_past(message),
            Some(event::Body::Fields(fields)) => self.apply_fields(fields, operation, applied),
            Some(event::Body::Read(read)) => {
                let head = self.head_mut(&read.conversation);
                head.read_position = head.read_position.max(Position(read.position));
                head.read_inbound = head.read_inbound.max(read.inbound);
                applied.conversations.insert(read.conversation);
            }
            Some(event::Body::ReadBy(read_by)) => {
                let all = &mut self.head_mut(&read_by.conversation).read_by;
                let read = all.get_or_insert_with(read_by.account, Position::default);
                *read = Position(read_by.position).max(*read);
                applied.conversations.insert(read_by.conversation);
            }
            Some(event::Body::Notification(notification)) => {
                self.note_notifications(applied);
                self.put_notification(notification);
            }
            Some(event::Body::Members(members)) => {
                self.head_mut(&members.conversation).members = members.members;
                applied.conversations.insert(members.conversation);
            }
            None => {}
        }
        if let Some(id) = own {
            self.settle(id, applied);
        }
    }

    fn apply_message(&mut self, message: wire::Message, applied: &mut Applied) {
        let (Some(view), Ok(id)) = (Message::sequenced(&message), OperationId::try_from(&message.id)) else {
            return;
        };
        if self.heads.get(&message.conversation).is_some_and(|head| head.holds(Position(message.position))) {
            // It came with a snapshot, and was in the log after where that began.
            return self.apply_changed(message, None, applied);
        }
        let known = self.outbox.get(id).is_some();
        self.outbox.rebase(&message);
        let here = known && message.device.is_empty();
        applied.messages.push(Change { here, ..Change::to(self.foreseen(view), known) });
        if !applied.conversations.contains(&message.conversation) {
            applied.conversations.insert(message.conversation.clone());
        }
        let position = Position(message.position);
        let head = self.head_mut(&message.conversation);
        if head.last.as_ref().is_none_or(|last| last.position < message.position) {
            head.last = Some(message.clone());
        }
        let number = head.number;
        head.recent.insert(position, message);
        self.fresh.insert(id, (number, position));
    }

    /// Puts a message in the place of what is known of it. By which of the own operations, if it was one.
    fn apply_changed(&mut self, message: wire::Message, own: Option<OperationId>, applied: &mut Applied) {
        let Ok(id) = OperationId::try_from(&message.id) else {
            return;
        };
        if let Some(own) = own {
            // What it foretold is here.
            drop(self.outbox.settle(own));
        }
        if message.sender == self.account {
            // What has changed was sent, though the record that said so may have been folded before.
            drop(self.outbox.settle(id));
        }
        self.outbox.rebase(&message);
        let position = Position(message.position);
        let head = self.head_mut(&message.conversation);
        if head.last.as_ref().is_none_or(|last| last.position <= message.position) {
            head.last = Some(message.clone());
        }
        let (number, folded) = (head.number, head.piece(position).is_some());
        let had = head.recent.insert(position, message.clone());
        self.fresh.insert(id, (number, position));
        self.tails.forget(number);
        if had.as_ref() == Some(&message) && own.is_none() {
            return;
        }
        // One that was never here is no news. It is kept so that nothing fetched stands in its place that is older.
        if had.is_some() || folded {
            applied.messages.extend(self.shown(&message).map(|message| Change::to(message, true)));
        }
        self.purge |= message.recalled && had.map_or(folded, |had| !had.recalled);
        applied.conversations.insert(message.conversation);
    }

    /// Takes in a message that was fetched, unless one is there: that is as new, or newer. It is no news.
    fn apply_past(&mut self, message: wire::Message) {
        let position = Position(message.position);
        let Ok(id) = OperationId::try_from(&message.id) else {
            return;
        };
        if self.missing(&message.conversation, position, position).is_none() {
            return;
        }
        let head = self.head_mut(&message.conversation);
        let number = head.number;
        head.recent.insert(position, message);
        self.fresh.insert(id, (number, position));
    }

    fn apply_fields(&mut self, shared: wire::Fields, operation: Option<OperationId>, applied: &mut Applied) {
        let here = match DeviceId::try_from(&shared.device) {
            Ok(device) => self.device == Some(device),
            // One without a lasting id, unless it is the back end: the outbox tells whether it is this one.
            Err(_) => operation.is_some_and(|id| self.outbox.get(id).is_some()),
        };
        self.note_session(&shared.target, (operation, here), applied);
        if is_session(&shared.target) {
            self.sessions.insert(shared.target.clone(), shared);
        } else {
            let head = self.head_mut(&shared.target);
            (head.settings, head.settings_at) = (fields(&shared.fields), Millis(shared.updated_at));
            applied.conversations.insert(shared.target);
        }
    }

    pub(crate) fn settle(&mut self, id: OperationId, applied: &mut Applied) {
        if let Some(queued) = self.outbox.get(id).cloned() {
            self.note_subject(&queued, id, applied);
            drop(self.outbox.settle(id));
            let subject = subject(&queued);
            if is_conversation(subject) {
                applied.conversations.insert(subject.to_owned());
            }
            let changed = self.shown_subject(&queued);
            // It was folded by the time that this copy heard of the operation, or has come to nothing.
            let unseen = queued.message.is_some() && changed.is_none();
            applied.unsaid |= unseen || is_send(&queued) && !self.fresh.contains_key(&id);
            applied.messages.extend(changed.map(|message| Change::to(message, true)));
        } else {
            drop(self.outbox.settle(id));
        }
    }

    /// Takes out what the user has given up.
    pub(crate) fn discard(&mut self, id: OperationId, applied: &mut Applied) {
        let message = self.outbox.get(id).and_then(|queued| self.shown_queued(queued));
        if let (Some(_), Some(message)) = (self.outbox.discard(id), message) {
            applied.conversations.insert(message.conversation.clone());
            applied.messages.push(Change { gone: true, ..Change::to(message, true) });
        }
    }

    /// An operation was refused for good, or is to be tried again. A message shows it; for the rest there is
    /// nothing left to show.
    fn apply_refused(&mut self, queued: Queued, applied: &mut Applied) {
        let Some(id) = queued.operation.as_ref().and_then(|it| OperationId::try_from(&it.id).ok()) else {
            return;
        };
        if !is_send(&queued) {
            let message = self.presumed_subject(&queued);
            applied.messages.extend(message.map(|message| Change::to(message, true)));
            let failure = queued.refused.as_ref().map(|refused| (id, refused.into()));
            return applied.failures.extend(failure);
        }
        let known = self.outbox.set_refused(id, queued.refused.clone());
        if !known {
            self.outbox.insert(queued.clone());
        }
        self.note(&queued, known, applied);
    }

    fn apply_folded(&mut self, folded: Folded) {
        let written = self.outdated_blocks().into_iter().chain(folded.pieces.iter().map(|piece| piece.block));
        self.rewrites.note(written);
        if !folded.dropped.is_empty() {
            let dropped: SortedSet<u64> = folded.dropped.into_iter().collect();
            for head in self.heads.values_mut() {
                head.pieces.retain(|piece| !dropped.contains(&piece.block));
            }
        }
        for piece in folded.pieces {
            let Some(id) = self.numbers.get((piece.conversation as usize).wrapping_sub(1)) else {
                continue;
            };
            let Some(head) = self.heads.get_mut(id) else {
                continue;
            };
            put_piece(&mut head.pieces, Piece { conversation: 0, ..piece });
        }
        self.spans.extend(folded.locators);
        // Commits are applied one by one, so all that is recent here went into the fold.
        for head in self.heads.values_mut() {
            self.tails.go_on(head.number, head.recent.values());
            head.recent.clear();
            if let Some(last) = &mut head.last {
                detach(last);
            }
        }
        self.fresh.clear();
        self.purge = false;
    }

    /// The blocks that hold messages which have changed since.
    pub(crate) fn outdated_blocks(&self) -> SortedSet<u64> {
        let of = |head: &Head| -> Vec<u64> {
            head.recent.keys().filter_map(|position| Some(head.piece(*position)?.block)).collect()
        };
        self.heads.values().flat_map(of).collect()
    }

    pub(crate) fn head(&self, number: u32) -> Option<&Head> {
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
        blocks: &'a SortedMap<u64, Block>,
    ) -> Option<Cow<'a, wire::Message>> {
        let head = self.heads.get(conversation)?;
        let here = head.recent.get(&position).or_else(|| self.tails.get(head.number, position));
        if let Some(message) = here {
            return Some(Cow::Borrowed(message));
        }
        let piece = head.piece(position)?;
        let within = u32::try_from(position.0.checked_sub(piece.first)?).ok()?;
        let index = piece.offset.checked_add(within)?;
        let message = blocks.get(&piece.block)?.message(index)?;
        let asked_for = message.conversation == conversation && message.position == position.0;
        asked_for.then_some(Cow::Owned(message))
    }
}

/// The record that holds the cursor.
pub(crate) const META: Key = Key::Number(0);

/// Reads a locator record as [`Replica::position_in`] wants it.
///
/// # Errors
/// [`StoreError::Damaged`] when the record is not what this code writes.
pub fn decode_locators(record: Bytes) -> Result<local::Locators, StoreError> {
    decode(&record)
}

/// Copies what a message holds out of the frame it came in, which would stay in memory as long.
pub(crate) fn detach(message: &mut wire::Message) {
    for bytes in [&mut message.id, &mut message.device, &mut message.content] {
        *bytes = Bytes::copy_from_slice(bytes);
    }
}

/// Numbers of records stay below it, so that they are exact in JavaScript and there is always a next.
const MAX: u64 = 1 << 53;

/// Whether a change set from the channel is one that a leader may have made.
pub(crate) fn check_change_set(change_set: &ChangeSet) -> bool {
    let folded = change_set.folded.as_ref();
    change_set.next_journal < MAX
        && change_set.events.iter().all(|event| codec::check_event(event).is_ok())
        && change_set.snapshot.iter().all(|place| codec::check_place(place).is_ok())
        && change_set.refused.iter().all(|queued| codec::check_queued(queued).is_ok())
        && change_set.device.iter().all(|device| named(device).is_ok())
        && folded.is_none_or(|it| it.pieces.iter().all(is_piece) && it.locators.iter().all(is_span))
}

fn fields(fields: &[wire::Field]) -> SortedMap<String, Bytes> {
    // Copied out of the frame that they came in, which would stay in memory as long.
    fields.iter().map(|field| (field.name.clone(), Bytes::copy_from_slice(&field.value))).collect()
}

fn is_true(settings: &SortedMap<String, Bytes>, name: &str) -> bool {
    settings.get(name).is_some_and(|value| value[..] == b"true"[..])
}

/// Whether it is a message, which is shown.
pub(crate) fn is_send(queued: &Queued) -> bool {
    let body = queued.operation.as_ref().and_then(|operation| operation.body.as_ref());
    matches!(body, Some(Body::Send(_)))
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

pub(crate) fn of(snapshot: &Snapshot, table: Table) -> impl Iterator<Item = (Key, &Bytes)> {
    snapshot.records.iter().filter(move |(of, _, _)| *of == table).map(|(_, key, record)| (*key, record))
}

pub(crate) fn decode<M: Bounded>(record: &Bytes) -> Result<M, StoreError> {
    codec::decode_local(record.clone()).map_err(|_| damaged("record"))
}

pub(crate) fn damaged(what: &str) -> StoreError {
    StoreError::Damaged(format!("{what} is not readable"))
}
