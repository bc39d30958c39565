//! The engine: one tab's part in its profile, as a follower or as the leader.

use std::collections::{BTreeSet, VecDeque};

use bytes::Bytes;
use prost::Message as _;
use rand_chacha::{
    ChaCha8Rng,
    rand_core::{RngCore as _, SeedableRng as _},
};
use tutti_protocol::{
    Code, Conversation as ConversationId, Epoch, HybridClock, LogId, Millis, OperationId, Position, Revision,
    Seq, TabId, codec, content, conversation, limits,
    local::{self, ChangeSet, ChannelFrame, Queued, channel_frame},
    wire::{self, operation},
};

use crate::{
    BatchId, Connection, ConnectionId, Effect, Event, Extent, Failure, Identity, Input, LoadId, MessageEvent,
    Now, Origin, Replica, Reply, RequestId, Status,
    backoff::Backoff,
    batch::{Batch, Durability, Key, Snapshot, StoreError, Table, Write},
    fold::{self, Fold},
    link::{Arrived, Link, Order},
    message::Message,
    replica::{Applied, META},
};

/// Messages in the journal at which it is folded.
const FOLD_MESSAGES: usize = 8_000;
/// Messages, or journal records, at which it is folded when nothing else happens.
const FOLD_IDLE: (usize, u64) = (2_000, 256);
/// How long nothing happens before the journal is folded for that, in milliseconds.
const IDLE: u64 = 5_000;
/// How often a follower says again what the leader has not claimed, in milliseconds.
const ANNOUNCE: u64 = 1_000;
/// How long another tab's leader may take to answer a request, in milliseconds.
const REQUEST_DEADLINE: u64 = 30_000;
/// How often all is compared with the server though nothing seems missing, in milliseconds.
const RECONCILE: u64 = 15 * 60_000;

/// One tab's sync state machine.
#[derive(Debug)]
pub struct Engine {
    identity: Identity,
    replica: Replica,
    role: Role,
    epoch: Epoch,
    clock: HybridClock,
    /// The server's wall clock less ours.
    clock_offset: i64,
    entropy: ChaCha8Rng,
    /// The other tabs of this profile.
    tabs: BTreeSet<TabId>,
    offline: bool,
    network: bool,
    closed: bool,
    /// Local operations on their way to the disk, and those that wait for the disk.
    writing: Option<(BatchId, Vec<Enqueued>)>,
    waiting: Vec<Enqueued>,
    /// Operations that this tab began.
    own: BTreeSet<OperationId>,
    reload: Option<Reload>,
    syncs: Vec<Sync>,
    /// Storage that fails is left alone for a while, longer each time.
    storage: Backoff,
    /// What was last complained of, so that each trouble is told once.
    complained: Option<Code>,
    last_batch: BatchId,
    last_load: LoadId,
    last_connection: ConnectionId,
    last_status: Option<Status>,
    effects: VecDeque<Effect>,
    events: VecDeque<Event>,
}

#[derive(Debug)]
enum Role {
    Follower(Follower),
    Leader(Box<Leader>),
}

#[derive(Debug, Default)]
struct Follower {
    /// What the leader last said of itself.
    leader: local::LeaderStatus,
    /// Own operations that no leader has claimed yet.
    unclaimed: BTreeSet<OperationId>,
    announce_at: Option<Millis>,
    /// Events since the catch-up began.
    caught: u64,
}

#[derive(Debug)]
struct Leader {
    /// False until the store was read after the lock was granted.
    ready: bool,
    /// The outbox is being read: to become ready, if the copy is up to date otherwise, or to be sure.
    loading: Option<LoadId>,
    /// When to read the outbox to be sure.
    look_at: Option<Millis>,
    link: Link,
    gathered: Gathered,
    committing: Option<(BatchId, ChangeSet)>,
    /// The storage has failed, and is left alone until then.
    rest_until: Option<Millis>,
    /// Since the server's welcome, while what happened before it is on its way.
    catching_up: Option<u64>,
    /// When it will have been idle for long enough to do what can wait.
    idle_at: Option<Millis>,
    reconcile_at: Millis,
}

/// What the next commit will hold.
#[derive(Debug, Default)]
struct Gathered {
    /// The server's log is this other one; the events are its first.
    log: Option<LogId>,
    events: Vec<wire::Event>,
    cursor: Option<Seq>,
    refused: Vec<Queued>,
}

#[derive(Debug)]
struct Enqueued {
    request: RequestId,
    queued: Queued,
}

/// The store is being read again. What happens meanwhile is done to the new copy too.
#[derive(Debug)]
struct Reload {
    id: LoadId,
    /// The reading has failed; when to try again.
    again_at: Option<Millis>,
    change_sets: Vec<ChangeSet>,
    queued: Vec<Queued>,
}

/// A wish that all be in step.
#[derive(Debug)]
struct Sync {
    who: Who,
    until: Millis,
    /// When a follower asks (again). None once the leader is done and this copy follows.
    ask_at: Option<Millis>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    Local(RequestId),
    Tab(TabId, u64),
}

impl Engine {
    /// An engine on a copy just read from the store, as a follower. `seed` is entropy that no other
    /// tab has.
    #[must_use]
    pub fn new(identity: Identity, replica: Replica, seed: [u8; 32], network: bool) -> Self {
        let mut engine = Self {
            identity,
            replica,
            role: Role::Follower(Follower::default()),
            epoch: Epoch(0),
            clock: HybridClock::default(),
            clock_offset: 0,
            entropy: ChaCha8Rng::from_seed(seed),
            tabs: BTreeSet::new(),
            offline: false,
            network,
            closed: false,
            writing: None,
            waiting: Vec::new(),
            own: BTreeSet::new(),
            reload: None,
            syncs: Vec::new(),
            storage: Backoff::default(),
            complained: None,
            last_batch: BatchId(0),
            last_load: LoadId(0),
            last_connection: ConnectionId(0),
            last_status: None,
            effects: VecDeque::new(),
            events: VecDeque::new(),
        };
        engine.broadcast(channel_frame::Frame::Presence(local::Presence { asks: true }));
        engine
    }

    /// This tab's copy of the account.
    #[must_use]
    pub fn replica(&self) -> &Replica {
        &self.replica
    }

    /// Who runs this engine.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The state of sync in one look.
    #[must_use]
    pub fn status(&self) -> Status {
        let (leader, connection, reason, catching_up) = match &self.role {
            Role::Leader(leader) => (
                true,
                leader.link.connection(),
                leader.link.reason().map(|failure| failure.code),
                leader.catching_up.is_some(),
            ),
            Role::Follower(follower) => {
                let said = &follower.leader;
                let reason = (!said.reason.is_empty()).then(|| Code::parse(&said.reason));
                (false, connection_named(&said.connection), reason, said.catching_up)
            }
        };
        Status {
            leader,
            connection: if self.closed { Connection::Closed } else { connection },
            reason: if self.closed { Some(Code::Closed) } else { reason },
            pending: self.replica.outbox.pending_count()
                + self.waiting.len()
                + self.writing.as_ref().map_or(0, |(_, queued)| queued.len()),
            catching_up,
            tabs: self.tabs.len() + 1,
            epoch: self.epoch,
            working_offline: self.offline,
        }
    }

    /// Takes in what happened. Afterwards drain [`Engine::poll_effect`] and [`Engine::poll_event`],
    /// and come again at [`Engine::deadline`].
    pub fn handle(&mut self, input: Input, now: Now) {
        match input {
            Input::Persisted(id) => self.handle_persisted(id, now),
            Input::PersistFailed(id, error) => self.handle_persist_failed(id, error, now),
            Input::Loaded(id, result) => self.handle_loaded(id, result, now),
            Input::LeadershipGained(epoch, revision) => self.handle_gained(epoch, revision, now),
            Input::LeadershipFailed(error) => {
                if !self.closed {
                    self.effects.push_back(Effect::Resign);
                    self.complain(Failure::from(&error));
                }
            }
            Input::LeadershipLost => self.step_down(),
            Input::ChannelFrame(bytes) => self.handle_channel(&bytes, now),
            Input::Connected(id, token) => self.handle_connected(id, token),
            Input::Disconnected(id, failure) => self.handle_disconnected(id, failure, now),
            Input::FrameReceived(id, bytes) => self.handle_frame(id, bytes, now),
            Input::NetworkChanged(network) => {
                self.network = network;
                self.hold_link();
            }
            Input::Send { request, conversation, kind, content, id } => {
                let send = wire::Send { conversation, r#type: kind, content };
                self.handle_send(request, send, id, now);
            }
            Input::MarkRead { request, conversation, position } => {
                self.handle_mark_read(request, conversation, position, now);
            }
            Input::SyncNow(request) => self.handle_sync_now(Who::Local(request), now),
            Input::SetOffline(offline) => {
                self.broadcast(channel_frame::Frame::Offline(local::Offline { offline }));
                self.offline = offline;
                self.hold_link();
            }
            Input::Close => self.handle_close(),
            Input::Tick => {}
        }
        self.advance(now);
    }

    /// The next thing to do.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// The next news.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// When to call [`Engine::handle`] with [`Input::Tick`], on the monotonic clock.
    #[must_use]
    pub fn deadline(&self) -> Option<Millis> {
        if self.closed {
            return None;
        }
        let role = match &self.role {
            Role::Leader(leader) if leader.ready => {
                let stored = leader.committing.is_none();
                let look_at = leader.look_at.filter(|_| leader.loading.is_none());
                let rest_until = leader.rest_until;
                let link = leader.link.deadline(stored);
                [link, leader.idle_at, look_at, rest_until, Some(leader.reconcile_at)]
                    .into_iter()
                    .flatten()
                    .min()
            }
            Role::Leader(_) => None,
            Role::Follower(follower) => follower.announce_at,
        };
        let asking = matches!(self.role, Role::Follower(_)) && self.writing.is_none();
        let syncs = self.syncs.iter().flat_map(|sync| [Some(sync.until), sync.ask_at.filter(|_| asking)]);
        let reload = self.reload.as_ref().and_then(|reload| reload.again_at);
        role.into_iter().chain(syncs.flatten()).chain(reload).min()
    }

    // ---- the application's calls ----

    fn handle_send(&mut self, request: RequestId, send: wire::Send, id: Option<OperationId>, now: Now) {
        if let Err(failure) = self.check_send(&send) {
            return self.resolve(request, Err(failure));
        }
        let id = id.unwrap_or_else(|| self.mint(now));
        // The same message again is no second message.
        if let crate::Located::Found(message) = self.replica.locate(id) {
            let same = message.conversation == send.conversation && message.content == send.content;
            let failure = || Failure::new(Code::Conflict, "another message has this id");
            return self.resolve(request, if same { Ok(Reply::Message(message)) } else { Err(failure()) });
        }
        self.enqueue(request, id, operation::Body::Send(send), now);
    }

    fn check_send(&self, send: &wire::Send) -> Result<(), Failure> {
        self.check_conversation(&send.conversation)?;
        if !conversation::is_name(&send.r#type) || send.r#type.len() > limits::TYPE {
            return Err(Failure::new(
                Code::Invalid,
                "type: expected 1 to 64 bytes without control characters",
            ));
        }
        content::check(&send.content).map_err(|error| {
            let code = match error {
                content::InvalidContent::TooLarge => Code::TooLarge,
                content::InvalidContent::NotJson => Code::Invalid,
            };
            Failure::new(code, error.to_string())
        })
    }

    fn check_conversation(&self, id: &str) -> Result<(), Failure> {
        if self.closed {
            return Err(Failure::new(Code::Closed, "this client is closed"));
        }
        ConversationId::parse(id).map(drop).map_err(|error| Failure::new(Code::Invalid, error.to_string()))
    }

    fn handle_mark_read(
        &mut self,
        request: RequestId,
        conversation: String,
        position: Option<Position>,
        now: Now,
    ) {
        if let Err(failure) = self.check_conversation(&conversation) {
            return self.resolve(request, Err(failure));
        }
        let Some(head) = self.replica.conversation(&conversation) else {
            let failure = Failure::new(Code::NotFound, "no such conversation on this device");
            return self.resolve(request, Err(failure));
        };
        let last = self.replica.last_position(&conversation);
        let position = position.unwrap_or(last).min(last);
        if position <= head.read_position {
            return self.resolve(request, Ok(Reply::Done));
        }
        let id = self.mint(now);
        let body = operation::Body::MarkRead(wire::MarkRead { conversation, position: position.0 });
        self.enqueue(request, id, body, now);
    }

    fn handle_sync_now(&mut self, who: Who, now: Now) {
        if self.closed {
            return self.answer_sync(who, Err(Failure::new(Code::Closed, "this client is closed")));
        }
        if self.offline {
            return self.answer_sync(who, Err(Failure::new(Code::Offline, "working offline by choice")));
        }
        let until = now.monotonic.plus(REQUEST_DEADLINE);
        self.syncs.push(Sync { who, until, ask_at: Some(now.monotonic) });
        if let Role::Leader(leader) = &mut self.role
            && leader.ready
        {
            leader.look_at = Some(now.monotonic);
            leader.link.connect_now_if_waiting();
            leader.link.reconcile();
        }
    }

    fn handle_close(&mut self) {
        if self.closed {
            return;
        }
        self.closed = true;
        self.step_down();
        self.broadcast(channel_frame::Frame::Leave(local::Leave {}));
        for sync in std::mem::take(&mut self.syncs) {
            self.answer_sync(sync.who, Err(Failure::new(Code::Closed, "this client was closed")));
        }
        // What is being written is answered when it is written; what waits will not be.
        for Enqueued { request, .. } in std::mem::take(&mut self.waiting) {
            self.resolve(request, Err(Failure::new(Code::Closed, "this client was closed")));
        }
    }

    fn enqueue(&mut self, request: RequestId, id: OperationId, body: operation::Body, now: Now) {
        // After all that this device did before, whatever its wall clock has done since.
        let corrected = Millis(now.wall.0.saturating_add_signed(self.clock_offset));
        if let Some(newest) = self.replica.newest_clock() {
            self.clock.observe(newest, newest.millis().max(corrected));
        }
        let operation =
            wire::Operation { id: id.to_bytes(), clock: self.clock.tick(corrected).0, body: Some(body) };
        self.own.insert(id);
        let queued = Queued { operation: Some(operation), queued_at: now.wall.0, refused: None };
        self.waiting.push(Enqueued { request, queued });
    }

    // ---- the store's answers ----

    fn handle_persisted(&mut self, id: BatchId, now: Now) {
        if self.writing.as_ref().is_some_and(|(batch, _)| *batch == id) {
            let (_, written) = self.writing.take().unwrap_or_default();
            return self.enqueued(written, now);
        }
        let Role::Leader(leader) = &mut self.role else {
            // Begun while this tab led. What it changed, the store tells.
            return self.start_reload();
        };
        let Some((_, change_set)) = leader.committing.take_if(|(batch, _)| *batch == id) else {
            return;
        };
        self.storage.reset();
        leader.idle_at = Some(now.monotonic.plus(IDLE));
        if let Some(events) = &mut leader.catching_up {
            *events += change_set.events.len() as u64;
        }
        let settled = change_set.settled.iter().filter_map(|id| OperationId::try_from(id).ok());
        for id in settled.chain(change_set.refused.iter().filter_map(queued_id)) {
            leader.link.forget(id);
        }
        self.broadcast(channel_frame::Frame::ChangeSet(change_set.clone()));
        let applied = self.replica.apply(change_set);
        self.report(applied);
    }

    fn handle_persist_failed(&mut self, id: BatchId, error: StoreError, now: Now) {
        if self.writing.as_ref().is_some_and(|(batch, _)| *batch == id) {
            let (_, written) = self.writing.take().unwrap_or_default();
            for Enqueued { request, .. } in written {
                self.resolve(request, Err(Failure::from(&error)));
            }
            return;
        }
        let Role::Leader(leader) = &mut self.role else {
            return;
        };
        let Some((_, change_set)) = leader.committing.take_if(|(batch, _)| *batch == id) else {
            return;
        };
        if error == StoreError::Fenced {
            self.effects.push_back(Effect::Resign);
            self.step_down();
            return self.start_reload();
        }
        let wait = self.storage.next(&mut self.entropy);
        leader.rest_until = Some(now.monotonic.plus(wait));
        leader.idle_at = Some(now.monotonic.plus(wait + IDLE));
        if change_set.folded.is_some() {
            return self.complain(Failure::from(&error));
        }
        // Memory is never ahead of the disk: what was received is received again.
        leader.gathered = Gathered::default();
        leader.link.fail(Failure::from(&error), Some(wait), now, &mut self.entropy);
    }

    fn handle_loaded(&mut self, id: LoadId, result: Result<Snapshot, StoreError>, now: Now) {
        if self.closed {
            return;
        }
        let looked = match &mut self.role {
            Role::Leader(leader) => leader.loading.take_if(|loading| *loading == id).is_some(),
            Role::Follower(_) => false,
        };
        if !looked && self.reload.as_ref().is_none_or(|reload| reload.id != id) {
            // An answer that nobody waits for any more.
            return;
        }
        let loaded = result.and_then(|snapshot| {
            if looked {
                self.load_outbox(&snapshot);
                return Ok(());
            }
            let replica = Replica::load(&self.identity.account, &snapshot)?;
            self.replace_replica(replica);
            Ok(())
        });
        match loaded {
            Ok(()) => self.storage.reset(),
            Err(error) => return self.handle_load_failed(looked, &error, now),
        }
        if let Role::Leader(leader) = &mut self.role
            && !leader.ready
        {
            leader.ready = true;
            leader.reconcile_at = now.monotonic.plus(RECONCILE);
            leader.idle_at = Some(now.monotonic.plus(IDLE));
            leader.link.connect_now_if_waiting();
            self.tell_state();
        }
    }

    fn handle_load_failed(&mut self, looked: bool, error: &StoreError, now: Now) {
        let again_at = now.monotonic.plus(self.storage.next(&mut self.entropy));
        match &mut self.role {
            Role::Leader(leader) if leader.ready => leader.look_at = Some(again_at),
            Role::Leader(_) => {
                self.effects.push_back(Effect::Resign);
                self.step_down();
            }
            Role::Follower(_) => {}
        }
        if let Some(reload) = self.reload.as_mut().filter(|_| !looked) {
            reload.again_at = Some(again_at);
        }
        self.complain(Failure::from(error));
    }

    /// Tells of trouble that no call waits for.
    fn complain(&mut self, failure: Failure) {
        if self.complained != Some(failure.code) {
            self.complained = Some(failure.code);
            self.events.push_back(Event::Failed(failure));
        }
    }

    fn load_outbox(&mut self, snapshot: &Snapshot) {
        for (_, _, record) in snapshot.records.iter().filter(|(table, _, _)| *table == Table::Outbox) {
            let queued = Queued::decode(record.clone()).ok();
            let valid = queued.filter(|queued| {
                queued.operation.as_ref().is_some_and(|operation| codec::check_operation(operation).is_ok())
            });
            if let Some(applied) = valid.and_then(|queued| self.replica.enqueue(queued)) {
                self.report(applied);
            }
        }
    }

    fn start_reload(&mut self) {
        if self.reload.is_none() {
            let id = self.load(Extent::Everything);
            self.reload = Some(Reload { id, again_at: None, change_sets: Vec::new(), queued: Vec::new() });
        }
    }

    /// Puts a copy just read in the place of one that missed something, and tells what that was.
    fn replace_replica(&mut self, replica: Replica) {
        let Some(reload) = self.reload.take() else {
            return;
        };
        let old = std::mem::replace(&mut self.replica, replica);
        self.replica.outbox.remember_settled(&old.outbox);
        let mut applied = Applied::default();
        for (id, head) in &self.replica.heads {
            let seen = old.last_position(id);
            let new = head.recent.range(seen.next()..).filter_map(|(_, message)| Message::sequenced(message));
            applied.messages.extend(new.map(|message| {
                let known = old.outbox.get(message.id).is_some();
                crate::replica::Change { message, known }
            }));
        }
        for (id, queued) in self.replica.outbox.iter() {
            let known = old.outbox.get(id);
            if known.is_none_or(|known| known.refused != queued.refused)
                && let Some(message) = Message::queued(queued, &self.identity.account, self.identity.device)
            {
                applied.messages.push(crate::replica::Change { message, known: known.is_some() });
            }
        }
        applied.conversations.extend(self.replica.conversation_ids().map(str::to_owned));
        self.report(applied);
        for change_set in reload.change_sets {
            self.follow(change_set);
        }
        // Whether what was queued meanwhile is over already, only the store can tell; or the server,
        // which a leader asks anyway.
        let again = !reload.queued.is_empty() && matches!(self.role, Role::Follower(_));
        for queued in reload.queued {
            // It was told of when it came.
            let _ = self.replica.enqueue(queued);
        }
        if again {
            self.start_reload();
        }
    }

    /// Own operations are durable: show them, answer, and send them on their way.
    fn enqueued(&mut self, written: Vec<Enqueued>, now: Now) {
        let mut all = Applied::default();
        let mut announce = local::Announce::default();
        for Enqueued { request, queued } in written {
            let same = |known: &Queued| {
                known.operation.as_ref().map(|it| &it.body) == queued.operation.as_ref().map(|it| &it.body)
            };
            if queued_id(&queued).and_then(|id| self.replica.outbox.get(id)).is_some_and(|it| !same(it)) {
                let failure = Failure::new(Code::Conflict, "another message has this id");
                self.resolve(request, Err(failure));
                continue;
            }
            let message = Message::queued(&queued, &self.identity.account, self.identity.device);
            self.resolve(request, Ok(message.map_or(Reply::Done, Reply::Message)));
            announce.queued.push(queued.clone());
            if let Some(reload) = &mut self.reload {
                reload.queued.push(queued.clone());
            }
            if let Some(applied) = self.replica.enqueue(queued) {
                all.messages.extend(applied.messages);
                all.conversations.extend(applied.conversations);
            }
        }
        if let Role::Follower(follower) = &mut self.role {
            let ids = announce.queued.iter().filter_map(queued_id);
            follower.unclaimed.extend(ids);
            follower.announce_at = Some(now.monotonic.plus(ANNOUNCE));
        }
        self.broadcast(channel_frame::Frame::Announce(announce));
        self.report(all);
    }

    // ---- tabs ----

    fn handle_gained(&mut self, epoch: Epoch, revision: Revision, now: Now) {
        if self.closed {
            return;
        }
        self.step_down();
        self.epoch = epoch;
        let current = revision == self.replica.revision && self.reload.is_none();
        let loading = if current {
            // Only news of an operation can have been missed.
            Some(self.load(Extent::Outbox))
        } else {
            // A reload under way may have been read before the last leader's last commit.
            self.reload = None;
            self.start_reload();
            None
        };
        self.role = Role::Leader(Box::new(Leader {
            ready: false,
            loading,
            look_at: None,
            link: Link::new(self.last_connection, self.offline || !self.network),
            gathered: Gathered::default(),
            committing: None,
            rest_until: None,
            catching_up: None,
            idle_at: None,
            reconcile_at: now.monotonic,
        }));
    }

    fn step_down(&mut self) {
        if let Role::Leader(leader) = &mut self.role {
            self.last_connection = leader.link.id();
            self.effects.push_back(Effect::Disconnect(self.last_connection));
            let unclaimed =
                self.replica.outbox.pending().map(|(id, _)| id).filter(|id| self.own.contains(id)).collect();
            self.role =
                Role::Follower(Follower { unclaimed, announce_at: Some(Millis(0)), ..Follower::default() });
            // Those who asked ask the next leader.
            self.syncs.retain(|sync| matches!(sync.who, Who::Local(_)));
            if !self.closed {
                // What the next leader has said already, it says again.
                self.broadcast(channel_frame::Frame::Presence(local::Presence { asks: true }));
            }
        }
    }

    fn handle_channel(&mut self, bytes: &Bytes, now: Now) {
        // Another version's frame may hold what this one does not know; then it is not for us.
        let Ok(ChannelFrame { tab, frame: Some(frame) }) = ChannelFrame::decode(bytes.clone()) else {
            return;
        };
        let Ok(tab) = TabId::try_from(&tab) else {
            return;
        };
        if tab == self.identity.tab || self.closed {
            return;
        }
        match frame {
            channel_frame::Frame::Presence(presence) => {
                self.tabs.insert(tab);
                if presence.asks {
                    self.broadcast(channel_frame::Frame::Presence(local::Presence { asks: false }));
                    if self.offline {
                        self.broadcast(channel_frame::Frame::Offline(local::Offline { offline: true }));
                    }
                    self.tell_state();
                }
            }
            channel_frame::Frame::Leave(_) => {
                self.tabs.remove(&tab);
                if let Role::Leader(leader) = &mut self.role {
                    // What it wrote last it could not announce any more.
                    leader.look_at = Some(now.monotonic.plus(ANNOUNCE));
                }
            }
            channel_frame::Frame::Offline(offline) => {
                self.offline = offline.offline;
                self.hold_link();
            }
            channel_frame::Frame::ChangeSet(change_set) => self.handle_change_set(change_set),
            channel_frame::Frame::Announce(announce) => self.handle_announce(announce),
            channel_frame::Frame::Claim(claim) => {
                if let Role::Follower(follower) = &mut self.role {
                    for id in claim.ids.iter().filter_map(|id| OperationId::try_from(id).ok()) {
                        if follower.unclaimed.remove(&id) {
                            follower.announce_at = Some(now.monotonic);
                        }
                    }
                }
            }
            channel_frame::Frame::LeaderStatus(status) => self.handle_leader_status(status, now),
            channel_frame::Frame::SyncRequest(request) => {
                let who = Who::Tab(tab, request.id);
                let known = self.syncs.iter().any(|sync| sync.who == who);
                if matches!(self.role, Role::Leader(_)) && !known {
                    self.handle_sync_now(who, now);
                }
            }
            channel_frame::Frame::SyncDone(done) => {
                if TabId::try_from(&done.tab) == Ok(self.identity.tab) {
                    self.handle_sync_done(done);
                }
            }
        }
    }

    fn handle_sync_done(&mut self, done: local::SyncDone) {
        let who = Who::Local(RequestId(done.id));
        if done.code.is_empty() {
            // The leader is done. It has said at which revision, so this tab reads if it must.
            self.syncs.iter_mut().filter(|sync| sync.who == who).for_each(|sync| sync.ask_at = None);
        } else {
            let failure = Failure::new(Code::parse(&done.code), done.message);
            self.end_syncs(|sync| sync.who == who, Err(failure));
        }
    }

    fn handle_change_set(&mut self, change_set: ChangeSet) {
        let operations = || change_set.refused.iter().filter_map(|queued| queued.operation.as_ref());
        let valid = change_set.events.iter().all(|event| codec::check_event(event).is_ok())
            && operations().all(|operation| codec::check_operation(operation).is_ok());
        if !valid || matches!(self.role, Role::Leader(_)) || Epoch(change_set.epoch) < self.epoch {
            return;
        }
        match &mut self.reload {
            Some(reload) => reload.change_sets.push(change_set),
            None => self.follow(change_set),
        }
    }

    /// Does as the leader did; a gap means that the store knows more.
    fn follow(&mut self, change_set: ChangeSet) {
        let revision = Revision(change_set.revision);
        if revision <= self.replica.revision {
            // What is over stays over, whenever one hears of it.
            let mut applied = Applied::default();
            for id in change_set.settled.iter().filter_map(|id| OperationId::try_from(id).ok()) {
                self.replica.settle(id, &mut applied);
            }
            return self.report(applied);
        }
        // Without a log it is no commit, only says how far the store is.
        if revision > self.replica.revision.next() || change_set.log.is_empty() {
            return self.start_reload();
        }
        if let Role::Follower(follower) = &mut self.role {
            follower.caught += change_set.events.len() as u64;
        }
        let applied = self.replica.apply(change_set);
        self.report(applied);
    }

    fn handle_announce(&mut self, announce: local::Announce) {
        let mut claim = local::Claim::default();
        let mut over = Vec::new();
        for queued in announce.queued {
            let Some(operation) = &queued.operation else {
                continue;
            };
            if codec::check_operation(operation).is_err() {
                continue;
            }
            claim.ids.push(operation.id.clone());
            if queued_id(&queued).is_some_and(|id| self.replica.outbox.is_settled(id)) {
                over.push(operation.id.clone());
            }
            if let Some(reload) = &mut self.reload {
                reload.queued.push(queued.clone());
            }
            if let Some(applied) = self.replica.enqueue(queued) {
                self.report(applied);
            }
        }
        if matches!(&self.role, Role::Leader(leader) if leader.ready) {
            self.broadcast(channel_frame::Frame::Claim(claim));
            if !over.is_empty() {
                // Others may take it for new, too.
                self.tell_settled(over);
            }
        }
    }

    fn handle_leader_status(&mut self, status: local::LeaderStatus, now: Now) {
        let Role::Follower(follower) = &mut self.role else {
            return;
        };
        if Epoch(status.epoch) < self.epoch {
            return;
        }
        if Epoch(status.epoch) > self.epoch {
            // What was claimed, a new leader has read in the store.
            self.epoch = Epoch(status.epoch);
            follower.announce_at = Some(now.monotonic);
        }
        let ended = follower.leader.catching_up && !status.catching_up && status.connection == "online";
        if !follower.leader.catching_up && status.catching_up {
            follower.caught = 0;
        }
        follower.leader = status;
        if ended {
            let events = follower.caught;
            self.events.push_back(Event::CaughtUp { events });
        }
    }

    fn hold_link(&mut self) {
        let held = self.offline || !self.network;
        if let Role::Leader(leader) = &mut self.role {
            leader.link.hold(held);
        }
    }

    // ---- the network ----

    fn handle_connected(&mut self, id: ConnectionId, token: String) {
        let Role::Leader(leader) = &mut self.role else {
            return;
        };
        if leader.link.id() == id {
            let copy = (self.replica.log, self.replica.cursor);
            leader.link.opened(token, &self.identity, self.epoch, copy);
        }
    }

    fn handle_disconnected(&mut self, id: ConnectionId, failure: Failure, now: Now) {
        let Role::Leader(leader) = &mut self.role else {
            return;
        };
        if leader.link.id() == id {
            leader.link.closed(failure, now, &mut self.entropy);
        }
    }

    fn handle_frame(&mut self, id: ConnectionId, bytes: Bytes, now: Now) {
        let Role::Leader(leader) = &mut self.role else {
            return;
        };
        if leader.link.id() != id {
            return;
        }
        let copy = (self.replica.log, self.replica.cursor);
        for arrived in leader.link.frame(bytes, copy, now, &mut self.entropy) {
            match arrived {
                Arrived::Time(server) => {
                    self.clock_offset =
                        i64::try_from(server.0).unwrap_or(0).saturating_sub_unsigned(now.wall.0);
                    leader.catching_up = Some(0);
                }
                Arrived::OtherLog(log) => {
                    leader.gathered =
                        Gathered { log: Some(log), cursor: Some(Seq(0)), ..Gathered::default() };
                }
                Arrived::Events(events, cursor) => {
                    leader.gathered.events.extend(events);
                    leader.gathered.cursor = Some(cursor);
                }
                Arrived::Refused(refused) => {
                    for (id, refused) in refused {
                        if let Some(queued) = self.replica.outbox.get(id) {
                            leader.gathered.refused.push(Queued { refused: Some(refused), ..queued.clone() });
                        }
                    }
                }
            }
        }
    }

    // ---- what follows from all that ----

    /// Does what can be done now. Called after every input.
    fn advance(&mut self, now: Now) {
        if !self.closed {
            self.read_again(now);
            self.write_outbox();
            self.lead(now);
            self.announce(now);
            self.advance_syncs(now);
        }
        let status = self.status();
        if self.last_status.as_ref() != Some(&status) {
            self.last_status = Some(status.clone());
            self.broadcast_leader_status();
            self.events.push_back(Event::Status(status));
        }
    }

    fn read_again(&mut self, now: Now) {
        let due = |at: &mut Millis| *at <= now.monotonic;
        if self.reload.as_mut().is_some_and(|reload| reload.again_at.take_if(due).is_some()) {
            let id = self.load(Extent::Everything);
            self.reload.iter_mut().for_each(|reload| reload.id = id);
        }
    }

    fn write_outbox(&mut self) {
        if self.writing.is_some() || self.waiting.is_empty() {
            return;
        }
        let waiting = std::mem::take(&mut self.waiting);
        let writes = waiting
            .iter()
            .filter_map(|it| Some((queued_id(&it.queued)?, &it.queued)))
            .map(|(id, queued)| Write::Insert(Table::Outbox, Key::Operation(id), codec::encode(queued)))
            .collect();
        let id = self.persist(Batch { fence: None, revision: None, writes, durability: Durability::Strict });
        self.writing = Some((id, waiting));
    }

    fn lead(&mut self, now: Now) {
        let Role::Leader(leader) = &mut self.role else {
            return;
        };
        if !leader.ready {
            return;
        }
        let due = |at: &mut Millis| *at <= now.monotonic;
        let reconcile = due(&mut leader.reconcile_at);
        if reconcile {
            leader.reconcile_at = now.monotonic.plus(RECONCILE);
            leader.look_at = Some(now.monotonic);
            leader.link.reconcile();
        }
        leader.rest_until.take_if(due);
        let idle = leader.idle_at.take_if(due).is_some();
        let look = leader.loading.is_none() && leader.look_at.take_if(due).is_some();
        leader.link.tick(now, leader.committing.is_none(), &mut self.entropy);
        leader.link.submit(&self.replica.outbox, now);
        leader.link.pull(leader.gathered.events.len());
        if leader.link.connection() != Connection::Online {
            leader.gathered = Gathered::default();
            leader.catching_up = None;
        }
        self.commit(idle);
        if idle || reconcile {
            self.tell_state();
        }
        let load = look.then(|| self.load(Extent::Outbox));
        let Role::Leader(leader) = &mut self.role else {
            return;
        };
        leader.loading = load.or(leader.loading);
        if leader.committing.is_none()
            && leader.link.is_caught_up()
            && let Some(events) = leader.catching_up.take()
        {
            self.complained = None;
            self.events.push_back(Event::CaughtUp { events });
        }
        let trouble = leader.link.reason().filter(|failure| failure.code != Code::Offline).cloned();
        for order in leader.link.orders.drain(..) {
            self.effects.push_back(match order {
                Order::Connect(id) => Effect::Connect(id),
                Order::Disconnect(id) => Effect::Disconnect(id),
                Order::Send(id, bytes) => Effect::Send(id, bytes),
            });
        }
        if let Some(failure) = trouble {
            self.complain(failure);
        }
    }

    /// Writes what has gathered, or folds the journal, if no other commit is under way. `idle`: there
    /// is time for what could wait.
    fn commit(&mut self, idle: bool) {
        let Role::Leader(leader) = &mut self.role else {
            return;
        };
        if leader.committing.is_some() || leader.rest_until.is_some() {
            return;
        }
        let cursor = leader.gathered.cursor.unwrap_or(self.replica.cursor);
        let settled = leader.link.settled(cursor, &self.replica.outbox);
        let news = leader.gathered.cursor.is_some() || !leader.gathered.refused.is_empty();
        let (change_set, writes) = if news || !settled.is_empty() {
            self.build_commit(cursor, &settled)
        } else if self.is_fold_due(idle) {
            self.build_fold()
        } else {
            return;
        };
        let batch = Batch {
            fence: Some(self.epoch),
            revision: Some(Revision(change_set.revision)),
            writes,
            durability: Durability::Relaxed,
        };
        let id = self.persist(batch);
        if let Role::Leader(leader) = &mut self.role {
            leader.committing = Some((id, change_set));
            leader.idle_at = None;
        }
    }

    fn build_commit(&mut self, cursor: Seq, accepted: &[OperationId]) -> (ChangeSet, Vec<Write>) {
        let Role::Leader(leader) = &mut self.role else {
            return Default::default();
        };
        let Gathered { log, events, refused, .. } = std::mem::take(&mut leader.gathered);
        let reset = log.is_some() && self.replica.log.is_some();
        let log = log.or(self.replica.log);
        let mut writes = Vec::new();
        if reset {
            let derived = [Table::Journal, Table::Blocks, Table::Heads, Table::Locators];
            writes.extend(derived.map(Write::Clear));
        }
        let first = if reset { 0 } else { self.replica.next_journal };
        let journal = fold::cut(events.iter().cloned(), |journal: &mut local::Journal, event| {
            journal.events.push(event)
        });
        let next_journal = first + journal.len() as u64;
        let numbered = (first..).zip(journal);
        writes
            .extend(numbered.map(|(number, record)| Write::Put(Table::Journal, Key::Number(number), record)));
        // An operation leaves the outbox in the commit that stores what became of it.
        let in_events = events.iter().filter_map(|event| OperationId::try_from(&event.operation).ok());
        let settled: BTreeSet<OperationId> = in_events
            .filter(|id| self.replica.outbox.get(*id).is_some())
            .chain(accepted.iter().copied())
            .collect();
        writes.extend(settled.iter().map(|id| Write::Delete(Table::Outbox, Key::Operation(*id))));
        writes.extend(refused.iter().filter_map(|queued| {
            Some(Write::Put(Table::Outbox, Key::Operation(queued_id(queued)?), codec::encode(queued)))
        }));
        let meta = local::Meta { log: log.map(LogId::to_bytes).unwrap_or_default(), cursor: cursor.0 };
        writes.push(Write::Put(Table::Meta, META, codec::encode(&meta)));
        let change_set = ChangeSet {
            epoch: self.epoch.0,
            revision: self.replica.revision.next().0,
            cursor: cursor.0,
            events,
            settled: settled.into_iter().map(OperationId::to_bytes).collect(),
            refused,
            folded: None,
            reset,
            log: meta.log,
            next_journal,
        };
        (change_set, writes)
    }

    fn is_fold_due(&self, idle: bool) -> bool {
        let messages = self.replica.fresh.len();
        messages >= FOLD_MESSAGES
            || idle && (messages >= FOLD_IDLE.0 || self.replica.next_journal >= FOLD_IDLE.1)
    }

    fn build_fold(&mut self) -> (ChangeSet, Vec<Write>) {
        let Fold { writes, folded } = fold::fold(&self.replica);
        let change_set = ChangeSet {
            epoch: self.epoch.0,
            revision: self.replica.revision.next().0,
            cursor: self.replica.cursor.0,
            log: self.replica.log.map(LogId::to_bytes).unwrap_or_default(),
            folded: Some(folded),
            ..ChangeSet::default()
        };
        (change_set, writes)
    }

    fn announce(&mut self, now: Now) {
        let Role::Follower(follower) = &mut self.role else {
            return;
        };
        if follower.announce_at.is_none_or(|at| now.monotonic < at) {
            return;
        }
        let outbox = &self.replica.outbox;
        follower.unclaimed.retain(|id| outbox.get(*id).is_some_and(|queued| queued.refused.is_none()));
        // The oldest first; when those are claimed, the next.
        let queued = follower.unclaimed.iter().filter_map(|id| outbox.get(*id).cloned());
        let queued: Vec<Queued> = queued.take(limits::SUBMIT_OPERATIONS).collect();
        follower.announce_at = (!queued.is_empty()).then(|| now.monotonic.plus(ANNOUNCE));
        if !queued.is_empty() {
            self.broadcast(channel_frame::Frame::Announce(local::Announce { queued }));
        }
    }

    fn advance_syncs(&mut self, now: Now) {
        if self.syncs.is_empty() {
            return;
        }
        let timeout = Failure::new(Code::Timeout, "sync did not finish in time; it goes on");
        self.end_syncs(|sync| sync.until <= now.monotonic, Err(timeout));
        match &self.role {
            Role::Leader(leader) if leader.ready => {
                let written = self.waiting.is_empty() && self.writing.is_none();
                let sent = self.replica.outbox.pending().next().is_none();
                let stored = leader.committing.is_none() && leader.gathered.cursor.is_none();
                let looked = leader.loading.is_none();
                if leader.link.is_caught_up() && written && sent && stored && looked {
                    self.tell_state();
                    self.end_syncs(|_| true, Ok(()));
                } else if leader.link.connection() == Connection::Offline && leader.committing.is_none() {
                    let failure = leader.link.reason().cloned();
                    let failure = failure
                        .unwrap_or_else(|| Failure::new(Code::Offline, "the server cannot be reached"));
                    self.end_syncs(|_| true, Err(failure));
                }
            }
            Role::Leader(_) => {}
            Role::Follower(_) => {
                if self.reload.is_none() {
                    self.end_syncs(|sync| sync.ask_at.is_none(), Ok(()));
                }
                let mut ask = Vec::new();
                for sync in &mut self.syncs {
                    if let Who::Local(request) = sync.who
                        && sync.ask_at.is_some_and(|at| at <= now.monotonic)
                        && self.writing.is_none()
                    {
                        sync.ask_at = Some(now.monotonic.plus(ANNOUNCE));
                        ask.push(request.0);
                    }
                }
                for id in ask {
                    self.broadcast(channel_frame::Frame::SyncRequest(local::SyncRequest { id }));
                }
            }
        }
    }

    fn end_syncs(&mut self, which: impl Fn(&Sync) -> bool, result: Result<(), Failure>) {
        for sync in self.syncs.extract_if(.., |sync| which(sync)).collect::<Vec<_>>() {
            self.answer_sync(sync.who, result.clone());
        }
    }

    fn answer_sync(&mut self, who: Who, result: Result<(), Failure>) {
        match who {
            Who::Local(request) => self.resolve(request, result.map(|()| Reply::Done)),
            Who::Tab(tab, id) => {
                let (code, message) = match result {
                    Ok(()) => Default::default(),
                    Err(failure) => (failure.code.as_str().to_owned(), failure.message),
                };
                let done = local::SyncDone { tab: tab.to_bytes(), id, code, message };
                self.broadcast(channel_frame::Frame::SyncDone(done));
            }
        }
    }

    // ---- out ----

    fn report(&mut self, applied: Applied) {
        let device = self.identity.device;
        let origin = |message: &Message| match message.device {
            _ if self.own.contains(&message.id) => Origin::Local,
            Some(of) if of == device => Origin::Tab,
            _ => Origin::Remote,
        };
        let messages: Vec<MessageEvent> = applied
            .messages
            .into_iter()
            .map(|change| MessageEvent {
                origin: origin(&change.message),
                message: change.message,
                added: !change.known,
            })
            .collect();
        if !messages.is_empty() {
            self.events.push_back(Event::Messages(messages));
        }
        if !applied.conversations.is_empty() {
            self.events.push_back(Event::Conversations(applied.conversations.into_iter().collect()));
        }
    }

    /// The leader says how it is, and how far the store, so that whoever missed something reads it.
    fn tell_state(&mut self) {
        self.broadcast_leader_status();
        self.tell_settled(Vec::new());
    }

    fn tell_settled(&mut self, settled: Vec<Bytes>) {
        if matches!(&self.role, Role::Leader(leader) if leader.ready) {
            let (epoch, revision) = (self.epoch.0, self.replica.revision.0);
            let note = ChangeSet { epoch, revision, settled, ..ChangeSet::default() };
            self.broadcast(channel_frame::Frame::ChangeSet(note));
        }
    }

    fn broadcast_leader_status(&mut self) {
        if !matches!(self.role, Role::Leader(_)) {
            return;
        }
        let status = self.status();
        self.broadcast(channel_frame::Frame::LeaderStatus(local::LeaderStatus {
            epoch: status.epoch.0,
            connection: connection_name(status.connection).to_owned(),
            reason: status.reason.map_or_else(String::new, |code| code.as_str().to_owned()),
            catching_up: status.catching_up,
        }));
    }

    fn broadcast(&mut self, frame: channel_frame::Frame) {
        let frame = ChannelFrame { tab: self.identity.tab.to_bytes(), frame: Some(frame) };
        self.effects.push_back(Effect::Broadcast(codec::encode(&frame)));
    }

    fn persist(&mut self, batch: Batch) -> BatchId {
        self.last_batch = BatchId(self.last_batch.0 + 1);
        self.effects.push_back(Effect::Persist(self.last_batch, batch));
        self.last_batch
    }

    fn load(&mut self, extent: Extent) -> LoadId {
        self.last_load = LoadId(self.last_load.0 + 1);
        self.effects.push_back(Effect::Load(self.last_load, extent));
        self.last_load
    }

    fn resolve(&mut self, request: RequestId, result: Result<Reply, Failure>) {
        self.effects.push_back(Effect::Resolve(request, result));
    }

    fn mint(&mut self, now: Now) -> OperationId {
        let mut entropy = [0; 10];
        self.entropy.fill_bytes(&mut entropy);
        OperationId::mint(now.wall, entropy)
    }
}

fn queued_id(queued: &Queued) -> Option<OperationId> {
    OperationId::try_from(&queued.operation.as_ref()?.id).ok()
}

fn connection_name(connection: Connection) -> &'static str {
    match connection {
        Connection::Online => "online",
        Connection::Connecting => "connecting",
        Connection::Offline => "offline",
        Connection::Closed => "closed",
    }
}

fn connection_named(name: &str) -> Connection {
    match name {
        "online" => Connection::Online,
        "offline" | "closed" => Connection::Offline,
        // Before the leader has said anything it is about to connect.
        _ => Connection::Connecting,
    }
}
