//! The engine: one tab's part in its profile, as a follower or as the leader.

mod advance;
mod calls;
mod erasing;
mod history;
mod identity;
mod network;
mod questions;
mod salvaging;
mod status;
mod storage;
mod tabs;
mod trace;

use std::collections::VecDeque;

pub use self::trace::{InOutbox, Inspection};
use self::{history::Fetch, questions::Asks};
use crate::{
    BatchId, Block, CatchingUp, Change, Config, Connection, ConnectionId, Effect, Event, Extent, Failure,
    Identity, Input, LoadId, MessageEvent, Now, Origin, Replica, Reply, RequestId, Setup, State, Status,
    backoff::Backoff,
    batch::Batch,
    entropy::Entropy,
    fold::Outdated,
    leadership::Leadership,
    link::Link,
    replica::{Applied, SessionChange},
    salvage::Salvage,
    sorted::{SortedMap, SortedSet},
    status::{OwnPresence, OwnTyping, Typists},
};
use tutti_protocol::{
    Code, DeviceId, HybridClock, LogId, Millis, OperationId, Seq, TabId, codec, limits,
    local::{self, ChangeSet, ChannelFrame, Queued, channel_frame},
    wire::{self, event, operation},
};

/// How long nothing happens before the journal is folded for that, in milliseconds.
const IDLE: u64 = 5_000;
/// How often a follower says again what the leader has not claimed, in milliseconds.
const ANNOUNCE: u64 = 1_000;
/// How long a follower may count other pending operations than the leader, in milliseconds.
const DIFFERENCE: u64 = 3_000;
/// How long a tab may take to say that it is still there, in milliseconds.
const ROLL_CALL: u64 = 2_000;

/// Whether the user works offline by choice. Tabs hear of it in any order, and some while they stand still:
/// the greater one holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Offline {
    /// How often that has changed.
    change: u64,
    offline: bool,
}

/// What the application has set. Tabs hear of it in any order: the greater one holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Configured {
    /// How often that has changed.
    change: u64,
    config: Config,
}

/// One tab's sync state machine.
#[derive(Debug)]
pub struct Engine {
    identity: Identity,
    replica: Replica,
    leadership: Leadership,
    role: Role,
    clock: HybridClock,
    /// What the server's clock said, and when, on the monotonic one: the wall clock here may jump.
    server_time: Option<(Millis, Millis)>,
    entropy: Entropy,
    /// The other tabs of this profile.
    tabs: SortedSet<TabId>,
    roll_call: Option<RollCall>,
    offline: Offline,
    network: bool,
    suspended: bool,
    /// It was suspended, heard nothing meanwhile, and has not read the store since.
    resumed: bool,
    /// Another tab deletes the store, or has done so.
    deleted: bool,
    /// Why this client is at its end.
    closed: Option<Code>,
    renewal: Option<Renewal>,
    config: Configured,
    /// The id by which the server knows this device while it has no lasting one. It is written nowhere.
    passing: Option<DeviceId>,
    /// What was last told of the account's connections, while there is no place for one here.
    limit: Option<wire::Limit>,
    /// Whether the server keeps the account's devices in step, as it said last.
    sync_disabled: bool,
    /// Local operations on their way to the disk, and those that wait for the disk.
    writing: Option<(BatchId, Vec<Enqueued>)>,
    waiting: Vec<Enqueued>,
    /// Operations that this tab began.
    own: SortedSet<OperationId>,
    reload: Option<Reload>,
    syncs: Vec<Sync>,
    withdrawals: Vec<Withdrawal>,
    fetches: Vec<Fetch>,
    /// Conversations in which the user of this tab types.
    typing_here: SortedSet<String>,
    /// Others who type.
    typists: Typists,
    presence: OwnPresence,
    questions: Vec<questions::Question>,
    last_question: u64,
    /// Calls that wait until nothing is left of the store, and why it is being erased.
    erasers: Vec<RequestId>,
    erasing: Option<erasing::Reason>,
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

/// At each change of leader it is seen who is still there: a tab that crashed has said no goodbye.
#[derive(Debug)]
struct RollCall {
    until: Millis,
    /// Those who have not been heard since.
    missing: SortedSet<TabId>,
}

#[derive(Debug)]
enum Role {
    Follower(Box<Follower>),
    Leader(Box<Leader>),
}

#[derive(Debug, Default)]
struct Follower {
    /// What the leader last said of itself, and which tab it is.
    leader: local::LeaderStatus,
    leader_tab: Option<TabId>,
    /// Own operations that no leader has claimed yet, and others that it seems not to know of.
    unclaimed: SortedSet<OperationId>,
    announce_at: Option<Millis>,
    /// Events since the catch-up began.
    caught: u64,
    /// Since when it counts other pending operations than the leader.
    differs: Option<Millis>,
}

#[derive(Debug)]
struct Leader {
    /// False until the store was read after the lock was granted.
    ready: bool,
    /// A socket that was open before that, and the token for it.
    opened: Option<(ConnectionId, String)>,
    /// The outbox is being read: to become ready, if the copy is up to date otherwise, or to be sure.
    loading: Option<LoadId>,
    /// When to read the outbox to be sure.
    look_at: Option<Millis>,
    /// Blocks are being read, or were, to put messages into them that have changed, or for what is to be sent again.
    outdated: Reading,
    /// What the server lacks since it was restored: it is being looked for, or is stored with the next commit.
    salvage: Option<Box<Salvage>>,
    again: Vec<Queued>,
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
    /// Where the user types, in whichever tab.
    typing: OwnTyping,
}

/// What the next commit will hold.
#[derive(Debug, Default)]
struct Gathered {
    /// The server's log is this other one; the events are its first.
    log: Option<LogId>,
    /// Up to then it has what the one before had, if the server was restored.
    common: Option<Millis>,
    events: Vec<wire::Event>,
    cursor: Option<Seq>,
    /// How far a snapshot has come with the events, and since when all messages are in it.
    snapshot: Option<(Option<wire::SnapshotPlace>, Millis)>,
    /// Whether with the events all is here that was told of notifications; none: as before.
    notified: Option<bool>,
    /// Operations that the server refused for good, or that the user tries again.
    refused: Vec<Queued>,
    /// Operations that the user gives up.
    discarded: SortedSet<OperationId>,
    /// Operations that are known to have taken effect, and were written to the outbox once more.
    over: Vec<OperationId>,
}

impl Gathered {
    /// What was received goes: it will be received again, also what was asked for. What the user wants stays.
    fn forget(&mut self, fetches: &mut [Fetch]) {
        let Self { over, discarded, mut refused, .. } = std::mem::take(self);
        refused.retain(|queued| queued.refused.is_none());
        *self = Self { over, discarded, refused, ..Self::default() };
        fetches.iter_mut().for_each(Fetch::put_anew);
    }

    fn is_empty(&self) -> bool {
        self.cursor.is_none()
            && self.events.is_empty()
            && self.refused.is_empty()
            && self.over.is_empty()
            && self.discarded.is_empty()
    }
}

/// Blocks that are read for a fold, or before they go.
#[derive(Debug, Default)]
enum Reading {
    #[default]
    Idle,
    /// They are being read.
    Of(LoadId),
    /// They were.
    Read(Outdated),
}

#[derive(Debug)]
struct Enqueued {
    /// The call that waits for it. None for what was saved out of a store that was erased.
    request: Option<RequestId>,
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
    /// What was read was older than what this tab knows.
    stale: bool,
}

impl Reload {
    fn of(id: LoadId) -> Self {
        Self { id, again_at: None, change_sets: Vec::new(), queued: Vec::new(), stale: false }
    }
}

/// The store was erased, and this device is being registered anew.
#[derive(Debug, Default)]
struct Renewal {
    /// When to try (again).
    again_at: Option<Millis>,
    /// Until then it listens for another tab that says to have erased the store.
    listens: bool,
}

/// A wish that all be in step.
#[derive(Debug)]
struct Sync {
    who: Who,
    until: Millis,
    /// When a follower asks (again). None once the leader is done and this copy follows.
    ask_at: Option<Millis>,
    /// In the place of this device's connection.
    take_over: Option<DeviceId>,
}

/// The user's wish to give up an operation, or to try it again.
#[derive(Debug)]
struct Withdrawal {
    who: Who,
    until: Millis,
    /// When a follower asks (again).
    ask_at: Millis,
    id: OperationId,
    retry: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    Local(RequestId),
    Tab(TabId, u64),
}

impl Engine {
    /// An engine on a copy just read from the store. It follows, and queues for the lock.
    #[must_use]
    pub fn new(setup: Setup, replica: Replica, now: Now) -> Self {
        let mut entropy = Entropy::from_seed(setup.seed);
        let mut engine = Self {
            identity: setup.identity,
            replica,
            leadership: Leadership::new(setup.epoch, &mut entropy),
            role: Role::Follower(Box::default()),
            clock: HybridClock::default(),
            server_time: None,
            entropy,
            tabs: SortedSet::new(),
            roll_call: None,
            offline: Offline::default(),
            network: setup.network,
            suspended: false,
            resumed: false,
            closed: None,
            renewal: None,
            deleted: false,
            config: Configured { change: 0, config: setup.config },
            passing: None,
            limit: None,
            sync_disabled: false,
            writing: None,
            waiting: Vec::new(),
            own: SortedSet::new(),
            reload: None,
            syncs: Vec::new(),
            withdrawals: Vec::new(),
            fetches: Vec::new(),
            typing_here: SortedSet::new(),
            typists: Typists::default(),
            presence: OwnPresence::default(),
            questions: Vec::new(),
            last_question: 0,
            erasers: Vec::new(),
            erasing: None,
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
        engine.leadership.set_visible(setup.visible, now, &mut engine.entropy);
        engine.leadership.join(now, &mut engine.entropy);
        engine.carry_leadership();
        engine
    }

    /// This tab's copy of the account.
    #[must_use]
    pub fn replica(&self) -> &Replica {
        &self.replica
    }

    /// Keeps the newest messages of a conversation at hand, which are in these blocks, those that
    /// [`Replica::page_blocks`] named: who looks again needs none.
    pub fn keep_tail(&mut self, conversation: &str, limit: usize, blocks: &SortedMap<u64, Block>) {
        self.replica.keep_tail(conversation, limit, blocks);
    }

    /// Whether the server does not keep the account's devices in step, as far as is known: what is missing here
    /// may be on another one.
    #[must_use]
    pub fn is_sync_disabled(&self) -> bool {
        self.sync_disabled
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
                leader.catching_up.map(|done| {
                    let ahead = leader.link.head().map(|head| head.0.saturating_sub(self.replica.cursor.0));
                    CatchingUp { done, total: ahead.map(|ahead| done.saturating_add(ahead)) }
                }),
            ),
            Role::Follower(follower) => {
                let said = &follower.leader;
                let reason = (!said.reason.is_empty()).then(|| Code::parse(&said.reason));
                let catching_up =
                    said.catching_up.then_some(CatchingUp { done: said.done, total: said.total });
                (false, connection_named(&said.connection), reason, catching_up)
            }
        };
        Status {
            leader,
            connection: if self.closed.is_some() { Connection::Closed } else { connection },
            reason: self.closed.or(reason),
            pending: self.replica.outbox.pending_count()
                + self.waiting.len()
                + self.writing.as_ref().map_or(0, |(_, queued)| queued.len()),
            catching_up,
            tabs: self.tabs.len() + 1,
            epoch: self.leadership.epoch(),
            working_offline: self.offline.offline,
        }
    }

    /// What the application has set, in this tab or another.
    #[must_use]
    pub fn config(&self) -> Config {
        self.config.config
    }

    /// Takes in what happened. Afterwards drain [`Engine::poll_effect`] and [`Engine::poll_event`],
    /// and come again at [`Engine::deadline`].
    pub fn handle(&mut self, input: Input, now: Now) {
        match input {
            Input::Persisted(id) => self.handle_persisted(id, now),
            Input::PersistFailed(id, error) => self.handle_persist_failed(id, error, now),
            Input::Loaded(id, result) => self.handle_loaded(id, result, now),
            Input::LockGranted(id) => self.leadership.granted(id),
            Input::LockLost(id) => {
                let change = self.leadership.lost(id, now);
                self.lead_or_follow(change, now);
            }
            Input::NoLocks => self.leadership.no_locks(now, &mut self.entropy),
            Input::Claimed(id, claim) => self.handle_claimed(id, claim, now),
            Input::VisibilityChanged(visible) => {
                self.leadership.set_visible(visible, now, &mut self.entropy);
            }
            Input::Leaving => self.leadership.step_aside(now),
            Input::Suspended => self.handle_suspended(),
            Input::Resumed => self.handle_resumed(now),
            Input::ChannelFrame(bytes) => self.handle_channel(&bytes, now),
            Input::Connected(id, token) => self.handle_connected(id, token, now),
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
            Input::Edit { request, message, content } => {
                let id = message.id.to_bytes();
                let edit = operation::Body::Edit(wire::Edit { message: id, content });
                self.handle_change(request, &message, edit, now);
            }
            Input::Recall { request, message } => {
                let recall = operation::Body::Recall(wire::Recall { message: message.id.to_bytes() });
                self.handle_change(request, &message, recall, now);
            }
            Input::Set { request, set } => self.handle_set(request, set, now),
            Input::MarkNotification { request, id, state } => {
                self.handle_mark_notification(request, id, state, now);
            }
            Input::Withdraw { request, id, retry } => {
                self.handle_withdraw(Who::Local(request), id, retry, now);
            }
            Input::Fetch { request, conversation, from, to } => {
                self.handle_fetch(Who::Local(request), conversation, (from, to), now);
            }
            Input::SetTyping { conversation, typing } => self.handle_set_typing(conversation, typing, now),
            Input::SetPresence(availability) => self.handle_set_presence(availability),
            Input::SendStatus { conversation, kind, content } => {
                let custom = wire::Custom { conversation, account: String::new(), r#type: kind, content };
                self.handle_send_status(custom, now);
            }
            Input::AskPresence { request, account } => {
                self.handle_ask(Who::Local(request), Asks::Presence(account), now);
            }
            Input::Manage { request, what } => {
                self.handle_ask(Who::Local(request), Asks::Manage(what), now);
            }
            Input::Erase { request, revoke } => self.handle_erase(request, revoke, now),
            Input::Erased(result) => self.handle_erased(result),
            Input::TokenFetched(id, token) => self.handle_token(id, token, now),
            Input::SyncNow(request) => self.handle_sync_now(Who::Local(request), None, now),
            Input::TakeOver(request, device) => {
                self.handle_sync_now(Who::Local(request), Some(device), now);
            }
            Input::SetOffline(offline) => {
                self.offline = Offline { change: self.offline.change.saturating_add(1), offline };
                self.tell_offline();
                self.hold_link();
            }
            Input::Configure(config) => {
                let change = self.config.change.saturating_add(1);
                self.configure(Configured { change, config }, now);
                self.tell_config();
            }
            Input::Renewed(result) => self.handle_renewed(result, now),
            Input::StoreLost => self.reload_later(now),
            Input::StoreDeleted => {
                self.deleted = true;
                self.reload_later(now);
            }
            Input::ReadFailed(error) => {
                // Whoever wanted to read is told anyway.
                let _ = self.handle_loss(&error, now);
            }
            Input::Close => self.handle_close(Code::Closed),
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
        if self.closed.is_some() {
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
            Role::Leader(leader) => leader.link.deadline(true),
            Role::Follower(follower) => follower.announce_at,
        };
        let asking = matches!(self.role, Role::Follower(_)) && self.writing.is_none();
        let syncs = self.syncs.iter().flat_map(|sync| [Some(sync.until), sync.ask_at.filter(|_| asking)]);
        let withdrawals = self.withdrawals.iter();
        let withdrawals = withdrawals.flat_map(|it| [Some(it.until), Some(it.ask_at).filter(|_| asking)]);
        let reload = self.reload.as_ref().and_then(|reload| reload.again_at);
        let renewal = self.renewal.as_ref().and_then(|renewal| renewal.again_at);
        let leadership = self.leadership.deadline();
        let roll_call = self.roll_call.as_ref().map(|call| call.until);
        role.into_iter()
            .chain(roll_call)
            .chain(syncs.flatten())
            .chain(withdrawals.flatten())
            .chain(reload)
            .chain(renewal)
            .chain(leadership)
            .chain(self.status_deadline())
            .chain(self.question_deadline())
            .chain(self.fetch_deadline())
            .min()
    }

    fn report(&mut self, applied: Applied) {
        let origin = |operation: Option<OperationId>, here: bool| match here {
            _ if operation.is_some_and(|id| self.own.contains(&id)) => Origin::Local,
            true => Origin::Tab,
            false => Origin::Remote,
        };
        let device = self.replica.device();
        let is_own = |of: Option<DeviceId>| of.is_some() && of == device;
        let messages: Vec<MessageEvent> = applied
            .messages
            .into_iter()
            .map(|it| MessageEvent {
                origin: origin(Some(it.message.id), it.here || is_own(it.message.device)),
                change: match it.message.state {
                    _ if it.gone => Change::Removed,
                    _ if !it.known => Change::Added,
                    State::Recalled => Change::Recalled,
                    _ => Change::Updated,
                },
                message: it.message,
            })
            .collect();
        if !messages.is_empty() {
            self.events.push_back(Event::Messages(messages));
        }
        if applied.unsaid {
            self.events.push_back(Event::Messages(Vec::new()));
        }
        let session = |(target, change): (String, SessionChange)| {
            let session = self.replica.session_of(&target);
            let (operation, here) = change.by;
            (session.fields != change.before.fields).then(|| (session, origin(operation, here)))
        };
        let sessions: Vec<_> = applied.sessions.into_iter().filter_map(session).collect();
        if !sessions.is_empty() {
            self.events.push_back(Event::Sessions(sessions));
        }
        if let Some(before) = applied.notifications.filter(|_| self.config.config.notifications) {
            let mut changed = self.replica.notifications(true, usize::MAX);
            let gone = before.iter().any(|known| changed.iter().all(|it| it.id != known.id));
            changed.retain(|notification| !before.contains(notification));
            if gone || !changed.is_empty() {
                self.events.push_back(Event::Notifications(changed));
            }
        }
        let failures = applied.failures.into_iter().filter(|(id, _)| self.own.contains(id));
        self.events.extend(failures.map(|(_, failure)| Event::Failed(failure)));
        if !applied.conversations.is_empty() {
            self.events.push_back(Event::Conversations(applied.conversations.into_iter().collect()));
        }
    }

    /// Tells of all notifications: they are others than before, or not wanted any more.
    fn tell_notifications(&mut self) {
        let shown = self.replica.notifications(true, usize::MAX);
        let wanted = self.config.config.notifications;
        self.events.push_back(Event::Notifications(if wanted { shown } else { Vec::new() }));
    }

    /// The leader says how it is, and how far the store, so that whoever missed something reads it.
    fn tell_state(&mut self, now: Now) {
        self.tell_presence();
        self.broadcast_leader_status(now);
        self.tell_revision();
        self.tell_offline();
        self.tell_config();
    }

    fn tell_revision(&mut self) {
        if matches!(&self.role, Role::Leader(leader) if leader.ready) {
            let (epoch, revision) = (self.leadership.epoch().0, self.replica.revision.0);
            let note = ChangeSet { epoch, revision, ..ChangeSet::default() };
            self.broadcast(channel_frame::Frame::ChangeSet(note));
        }
    }

    fn broadcast_leader_status(&mut self, now: Now) {
        if !matches!(self.role, Role::Leader(_)) {
            return;
        }
        let status = self.status();
        let passing = Some(self.alias(now)).filter(|alias| alias.passing);
        self.broadcast(channel_frame::Frame::LeaderStatus(local::LeaderStatus {
            epoch: status.epoch.0,
            connection: connection_name(status.connection).to_owned(),
            reason: status.reason.map_or_else(String::new, |code| code.as_str().to_owned()),
            catching_up: status.catching_up.is_some(),
            done: status.catching_up.map_or(0, |it| it.done),
            total: status.catching_up.and_then(|it| it.total),
            pending: status.pending as u64,
            server_time: self.server_time.map_or(0, |_| self.corrected(now).0),
            sync_disabled: self.sync_disabled,
            passing: passing.map(|alias| alias.device.to_bytes()).unwrap_or_default(),
        }));
    }

    fn broadcast(&mut self, frame: channel_frame::Frame) {
        let (tab, store) = (self.identity.tab.to_bytes(), self.replica.store().to_bytes());
        let frame = ChannelFrame { tab, store, frame: Some(frame), needs: 0 };
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

    fn answer(&mut self, request: Option<RequestId>, result: Result<Reply, Failure>) {
        if let Some(request) = request {
            self.resolve(request, result);
        }
    }

    fn resolve(&mut self, request: RequestId, result: Result<Reply, Failure>) {
        if self.note_removal(request, &result) {
            return;
        }
        self.effects.push_back(Effect::Resolve(request, result));
    }

    /// The server's time, as far as it is known.
    fn corrected(&self, now: Now) -> Millis {
        self.server_time
            .map_or(now.wall, |(server, then)| server.plus(now.monotonic.0.saturating_sub(then.0)))
    }

    /// News came from the server, whose clock said this by then. How long a welcome was on its way cannot be known, so
    /// the server's clock may be taken to be behind; but whoever has seen what another device did comes after that.
    fn learn_time(&mut self, newest: Millis, now: Now) {
        // Later than all of that millisecond. One too far ahead is from when the server's clock was wrong.
        let newest = newest.plus(1);
        let known = self.corrected(now);
        if self.server_time.is_some() && known < newest && newest <= known.plus(limits::CLOCK_AHEAD) {
            self.server_time = Some((newest, now.monotonic));
        }
    }

    fn mint(&mut self, now: Now) -> OperationId {
        OperationId::mint(now.wall, self.random())
    }

    /// What no other tab has.
    fn random(&mut self) -> [u8; 10] {
        let mut bytes = [0; 10];
        self.entropy.fill_bytes(&mut bytes);
        bytes
    }
}

fn queued_id(queued: &Queued) -> Option<OperationId> {
    OperationId::try_from(&queued.operation.as_ref()?.id).ok()
}

/// Which operations an event shows to have been accepted: that which it came from, and the sending of a message
/// that has changed since.
fn accepted_by(event: &wire::Event) -> impl Iterator<Item = OperationId> {
    let changed = match &event.body {
        Some(event::Body::Changed(message)) => Some(&message.id),
        _ => None,
    };
    [Some(&event.operation), changed].into_iter().flatten().filter_map(|id| OperationId::try_from(id).ok())
}

/// When the server accepted the last of what these tell of; 0 where they do not say.
fn newest(events: &[wire::Event]) -> Millis {
    let time = |event: &wire::Event| match &event.body {
        Some(event::Body::Message(message) | event::Body::Changed(message)) => {
            message.sent_at.max(message.edited_at)
        }
        Some(event::Body::Fields(fields)) => fields.updated_at,
        Some(event::Body::Notification(notification)) => notification.created_at,
        _ => 0,
    };
    Millis(events.iter().map(time).max().unwrap_or_default())
}

fn connection_name(connection: Connection) -> &'static str {
    match connection {
        Connection::Online => "online",
        Connection::Connecting => "connecting",
        Connection::Polling => "polling",
        Connection::Offline => "offline",
        Connection::Closed => "closed",
    }
}

fn connection_named(name: &str) -> Connection {
    match name {
        "online" => Connection::Online,
        "polling" => Connection::Polling,
        "offline" | "closed" => Connection::Offline,
        // Before the leader has said anything it is about to connect.
        _ => Connection::Connecting,
    }
}
