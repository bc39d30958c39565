//! Profiles with tabs, a server and the network between them, in virtual time.
//!
//! Everything that is on its way lies in a lane: what one source sends to one tab stays in order, and
//! which lane moves next is chance, from a seed.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;
use rand_chacha::{
    ChaCha8Rng,
    rand_core::{RngCore, SeedableRng},
};
use tutti_engine::{
    Connection, ConnectionId, Effect, Engine, Event, Extent, Failure, Identity, Input, LoadId, Located,
    LockId, Message, MessageEvent, Now, Page, Replica, Reply, RequestId, Setup, State, Status, Transport,
    batch::{Batch, Claim, Key, StoreError, Table},
    decode_block, decode_locators, identity_batch,
};
use tutti_protocol::{
    Code, DeviceId, Epoch, Millis, OperationId, Position, TabId, local,
    wire::{self, Platform},
};

use super::{server::Server, store::Store};

const RESIDENT: [Table; 4] = [Table::Meta, Table::Journal, Table::Heads, Table::Outbox];
const START: u64 = 1_750_000_000_000;
/// How often clients compare all with the server, in milliseconds.
pub const SYNC_INTERVAL: u64 = 15 * 60_000;

/// A tab: its profile, and its number in the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct At(pub usize, pub u64);

pub struct World {
    pub now: u64,
    /// What wall clocks show, less `now`.
    pub wall: u64,
    pub server: Server,
    pub profiles: Vec<Profile>,
    /// Of a hundred frames between tabs, so many are lost.
    pub channel_loss: u32,
    /// Frames between tabs overtake each other, and one in four comes twice.
    pub channel_disorder: bool,
    /// Whether browsers have locks.
    pub locks: bool,
    /// Whether somebody looks at the tabs.
    pub visible: bool,
    /// Whether the server can be reached.
    pub reachable: bool,
    /// Connections open, but nothing that is sent arrives.
    pub swallows: bool,
    /// What was read in the store is not told until [`World::tell_loaded`].
    pub reads_slowly: bool,
    loaded: Vec<(At, Input)>,
    pub chance: ChaCha8Rng,
    /// What was sent, as the senders were told that it is safe.
    pub confirmed: Vec<Bytes>,
    lanes: BTreeMap<(At, Source), VecDeque<Task>>,
    last: u64,
    effects: u64,
    /// Which profile dies when, by the number of effects.
    kill_after: Option<(usize, u64)>,
}

pub struct Profile {
    pub account: String,
    pub store: Store,
    pub tabs: BTreeMap<u64, Tab>,
    /// Who holds the lock, and who waits for it.
    lock: Option<(u64, LockId)>,
    queue: VecDeque<(u64, LockId)>,
    /// Who has led when: the epoch of each leadership that was claimed, and the tab.
    pub leaderships: BTreeMap<Epoch, u64>,
}

pub struct Tab {
    pub engine: Engine,
    pub replies: BTreeMap<RequestId, Result<Reply, Failure>>,
    pub told: Vec<MessageEvent>,
    pub caught_up: Vec<u64>,
    pub failures: Vec<Failure>,
    pub statuses: Vec<Status>,
    /// Connections that were asked for, and when.
    pub attempts: Vec<u64>,
    /// Times that it was woken because a deadline had come.
    pub ticks: u64,
    pub limits: Vec<wire::Limit>,
    /// It lives, but does nothing: what comes waits.
    pub frozen: bool,
    /// Since it was suspended it hears nothing from other tabs.
    pub suspended: bool,
    /// Its client has ended itself.
    pub ended: bool,
    /// Which database it knows.
    generation: u64,
    socket: Option<(ConnectionId, u64)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Source {
    Store(u64),
    Tab(u64),
    Server,
    Lock,
}

enum Task {
    Input(Input),
    Commit(tutti_engine::BatchId, Batch),
    Load(LoadId, Extent),
    Claim(LockId, Epoch),
    Renew,
    Connect(ConnectionId, Transport),
    ToServer(u64, Bytes),
}

impl World {
    pub fn new(seed: u64) -> Self {
        Self {
            now: 1_000,
            wall: START,
            server: Server::new(),
            profiles: Vec::new(),
            channel_loss: 0,
            channel_disorder: false,
            locks: true,
            visible: true,
            reachable: true,
            swallows: false,
            reads_slowly: false,
            loaded: Vec::new(),
            chance: ChaCha8Rng::seed_from_u64(seed),
            confirmed: Vec::new(),
            lanes: BTreeMap::new(),
            last: 0,
            effects: 0,
            kill_after: None,
        }
    }

    pub fn profile(&mut self, account: &str) -> usize {
        let store = Store::default();
        self.profiles.push(Profile {
            account: account.to_owned(),
            store,
            tabs: BTreeMap::new(),
            lock: None,
            queue: VecDeque::new(),
            leaderships: BTreeMap::new(),
        });
        self.profiles.len() - 1
    }

    /// Opens a tab, as the driver does.
    pub fn open(&mut self, profile: usize) -> At {
        let (device, tab) =
            (DeviceId::mint(self.clock(), self.random()), TabId::mint(self.clock(), self.random()));
        let seed = self.random();
        let number = self.next();
        let place = &mut self.profiles[profile];
        // Opening is retried by the application; here storage does not fail for it.
        let failing = place.store.fail.take();
        place.store.commit(identity_batch(device)).expect("the identity");
        let snapshot = place.store.load(&RESIDENT).expect("the store");
        let replica = Replica::load(&place.account, &snapshot).expect("a replica");
        place.store.fail = failing;
        let identity = Identity {
            account: place.account.clone(),
            device: replica.device(),
            device_name: "test".into(),
            platform: Platform::Web,
            tab,
        };
        let setup = Setup {
            identity,
            seed,
            epoch: snapshot.epoch,
            network: true,
            visible: self.visible,
            sync_interval: SYNC_INTERVAL,
        };
        let engine = Engine::new(setup, replica, Now { monotonic: Millis(self.now), wall: self.clock() });
        let place = &mut self.profiles[profile];
        let tab = Tab {
            engine,
            replies: BTreeMap::new(),
            told: Vec::new(),
            caught_up: Vec::new(),
            failures: Vec::new(),
            statuses: Vec::new(),
            attempts: Vec::new(),
            ticks: 0,
            limits: Vec::new(),
            frozen: false,
            suspended: false,
            ended: false,
            generation: place.store.generation,
            socket: None,
        };
        place.tabs.insert(number, tab);
        let at = At(profile, number);
        self.input(at, Input::NetworkChanged(true));
        at
    }

    pub fn tab(&self, at: At) -> &Tab {
        &self.profiles[at.0].tabs[&at.1]
    }

    pub fn alive(&self) -> Vec<At> {
        let tabs = |(profile, place): (usize, &Profile)| {
            place.tabs.keys().map(move |tab| At(profile, *tab)).collect::<Vec<_>>()
        };
        self.profiles.iter().enumerate().flat_map(tabs).collect()
    }

    /// The tab is gone without a word.
    pub fn crash(&mut self, at: At) {
        let Some(tab) = self.profiles[at.0].tabs.remove(&at.1) else { return };
        if let Some((_, wire)) = tab.socket {
            self.server.closed(wire);
        }
        self.lanes.retain(|(to, _), _| *to != at);
        self.release(at.0, |(tab, _)| tab == at.1);
    }

    /// The tab says goodbye first, as it does when it is closed.
    pub fn close(&mut self, at: At) {
        self.input(at, Input::Close);
        self.crash(at);
    }

    /// Kills a profile after so many more effects of anyone.
    pub fn kill_after(&mut self, profile: usize, effects: u64) {
        self.kill_after = Some((profile, self.effects + effects));
    }

    /// Whether [`World::kill_after`] has come true. It will not any more.
    pub fn was_killed(&mut self) -> bool {
        self.kill_after.take().is_none()
    }

    pub fn kill(&mut self, profile: usize) {
        for tab in self.profiles[profile].tabs.keys().copied().collect::<Vec<_>>() {
            self.crash(At(profile, tab));
        }
    }

    /// Gives the lock to a tab that waits for it, whoever holds it; the old holder hears of it in its
    /// own time.
    pub fn steal(&mut self, at: At) {
        let mut queue = self.profiles[at.0].queue.iter();
        if let Some((_, id)) = queue.find(|(tab, _)| *tab == at.1).copied() {
            self.steal_lock(at, id);
        }
    }

    fn steal_lock(&mut self, at: At, id: LockId) {
        let place = &mut self.profiles[at.0];
        place.queue.retain(|waiting| *waiting != (at.1, id));
        let robbed = place.lock.replace((at.1, id));
        self.push(at, Source::Lock, Task::Input(Input::LockGranted(id)));
        if let Some((tab, id)) = robbed {
            self.push(At(at.0, tab), Source::Lock, Task::Input(Input::LockLost(id)));
        }
    }

    /// The tab does nothing any more, and keeps its lock and its connection.
    pub fn freeze(&mut self, at: At) {
        self.profiles[at.0].tabs.get_mut(&at.1).expect("alive").frozen = true;
    }

    pub fn thaw(&mut self, at: At) {
        self.profiles[at.0].tabs.get_mut(&at.1).expect("alive").frozen = false;
    }

    /// The page goes into the browser's cache, as the driver does it: the channel closes.
    pub fn suspend(&mut self, at: At) {
        self.input(at, Input::Suspended);
        self.lanes.retain(|(to, source), _| *to != at || !matches!(source, Source::Tab(_)));
        if let Some(tab) = self.profiles[at.0].tabs.get_mut(&at.1) {
            tab.suspended = true;
        }
    }

    pub fn resume(&mut self, at: At) {
        if let Some(tab) = self.profiles[at.0].tabs.get_mut(&at.1) {
            tab.suspended = false;
        }
        self.input(at, Input::Resumed);
    }

    /// Every connection breaks.
    pub fn cut(&mut self) {
        for at in self.alive() {
            let tab = self.profiles[at.0].tabs.get_mut(&at.1).expect("alive");
            if let Some((id, wire)) = tab.socket.take() {
                self.server.closed(wire);
                self.lanes.remove(&(at, Source::Server));
                self.push(at, Source::Server, Task::Input(Input::Disconnected(id, lost())));
            }
        }
    }

    pub fn send(&mut self, at: At, conversation: &str, text: &str) -> RequestId {
        self.send_with(at, conversation, text, None)
    }

    pub fn send_with(
        &mut self,
        at: At,
        conversation: &str,
        text: &str,
        id: Option<OperationId>,
    ) -> RequestId {
        let request = RequestId(self.next());
        let (conversation, content) = (conversation.to_owned(), Bytes::from(format!("\"{text}\"")));
        self.input(at, Input::Send { request, conversation, kind: "text".into(), content, id });
        request
    }

    pub fn mark_read(&mut self, at: At, conversation: &str, position: Option<u64>) {
        let request = RequestId(self.next());
        let (conversation, position) = (conversation.to_owned(), position.map(Position));
        self.input(at, Input::MarkRead { request, conversation, position });
    }

    pub fn sync_now(&mut self, at: At) -> RequestId {
        let request = RequestId(self.next());
        self.input(at, Input::SyncNow(request));
        request
    }

    /// The browser forgets what the profile has stored, and tells its tabs that the database is gone.
    pub fn erase(&mut self, profile: usize) {
        self.profiles[profile].store.erase();
        self.profiles[profile].leaderships.clear();
        for at in self.alive().into_iter().filter(|at| at.0 == profile) {
            self.input(at, Input::StoreLost);
        }
    }

    pub fn take_over(&mut self, at: At, device: DeviceId) -> RequestId {
        let request = RequestId(self.next());
        self.input(at, Input::TakeOver(request, device));
        request
    }

    pub fn input(&mut self, at: At, input: Input) {
        let now = Now { monotonic: Millis(self.now), wall: self.clock() };
        let Some(tab) = self.profiles[at.0].tabs.get_mut(&at.1) else { return };
        tab.ticks += u64::from(matches!(input, Input::Tick));
        tab.engine.handle(input, now);
        while let Some(event) = tab.engine.poll_event() {
            match event {
                Event::Messages(messages) => tab.told.extend(messages),
                Event::CaughtUp { events } => tab.caught_up.push(events),
                Event::Failed(failure) => tab.failures.push(failure),
                Event::Status(status) => tab.statuses.push(status),
                Event::Limited(limit) => tab.limits.push(limit),
                Event::Conversations(_) => {}
            }
        }
        let effects: Vec<Effect> = std::iter::from_fn(|| tab.engine.poll_effect()).collect();
        for effect in effects {
            self.carry_out(at, effect);
            self.effects += 1;
            if let Some((profile, _)) = self.kill_after.take_if(|(_, after)| *after == self.effects) {
                self.kill(profile);
            }
        }
    }

    /// Lets one thing that is on its way arrive, or else time pass. False when nothing is to happen
    /// before `until`.
    pub fn step(&mut self, until: u64) -> bool {
        let frozen: BTreeSet<At> = self.alive().into_iter().filter(|at| self.tab(*at).frozen).collect();
        let moving = |(at, source): &(At, Source)| {
            // What a frozen tab has sent goes its way.
            !frozen.contains(at) || *source == Source::Store(0)
        };
        let lanes: Vec<(At, Source)> = self.lanes.keys().copied().filter(moving).collect();
        if lanes.is_empty() {
            let deadlines = self
                .alive()
                .into_iter()
                .filter(|at| !frozen.contains(at))
                .filter_map(|at| self.tab(at).engine.deadline().map(|deadline| (deadline.0, at)));
            return match deadlines.min_by_key(|(deadline, _)| *deadline) {
                Some((deadline, at)) if deadline <= until => {
                    self.now = self.now.max(deadline);
                    self.input(at, Input::Tick);
                    let next = self.profiles[at.0].tabs.get(&at.1).and_then(|tab| tab.engine.deadline());
                    assert!(next.is_none_or(|next| next.0 > self.now), "{at:?} ticks without end");
                    true
                }
                _ => {
                    self.now = self.now.max(until);
                    false
                }
            };
        }
        let (at, source) = lanes[self.chance.next_u32() as usize % lanes.len()];
        let lane = self.lanes.get_mut(&(at, source)).expect("a lane");
        let task = lane.pop_front().expect("no lane is empty");
        if lane.is_empty() {
            self.lanes.remove(&(at, source));
        }
        self.run(at, source, task);
        true
    }

    /// Lets so many milliseconds pass, with all that happens in them.
    pub fn pass(&mut self, millis: u64) {
        let until = self.now + millis;
        while self.step(until) {}
    }

    /// Everyone can reach everyone: after a while all is equal, and nothing is stuck.
    pub fn settle(&mut self) {
        self.reachable = true;
        self.channel_loss = 0;
        self.channel_disorder = false;
        self.pass(300_000);
        self.check();
    }

    pub fn page(&mut self, at: At, conversation: &str) -> Page {
        let (place, tab) = (&mut self.profiles[at.0], at.1);
        let replica = place.tabs[&tab].engine.replica();
        let blocks = replica.page_blocks(conversation, None, 100_000).into_iter().map(|number| {
            let record = place.store.records[&(Table::Blocks, Key::Number(number))].clone();
            (number, decode_block(record).expect("a block"))
        });
        let blocks: BTreeMap<u64, local::Block> = blocks.collect();
        replica.page(conversation, None, 100_000, &blocks)
    }

    pub fn locate(&self, at: At, id: OperationId) -> Option<(String, Position)> {
        let replica = self.tab(at).engine.replica();
        match replica.locate(id) {
            Located::Found(Message { conversation, position, .. }) => Some((conversation, position?)),
            Located::Unknown => None,
            Located::Stored(records) => records.into_iter().find_map(|number| {
                let record =
                    self.profiles[at.0].store.records[&(Table::Locators, Key::Number(number))].clone();
                let locators = decode_locators(record).expect("locators");
                let (conversation, position) = replica.position_in(&locators, id)?;
                Some((conversation.to_owned(), position))
            }),
        }
    }

    /// All tabs hold what the server holds, outboxes are empty, and nobody was told twice.
    pub fn check(&mut self) {
        for at in self.alive() {
            let account = self.server.accounts.get(&self.profiles[at.0].account).cloned().unwrap_or_default();
            let tab = self.tab(at);
            let status = tab.engine.status();
            assert_eq!(status.connection, Connection::Online, "{at:?}: {status:?}");
            assert_eq!(status.pending, 0, "{at:?} has something left");
            assert!(!status.catching_up);
            let added: Vec<_> =
                tab.told.iter().filter(|event| event.added).map(|event| event.message.id).collect();
            assert_eq!(added.iter().collect::<BTreeSet<_>>().len(), added.len(), "{at:?} was told twice");
            for (conversation, view) in &account.views {
                let page = self.page(at, conversation);
                assert_eq!(page.holes, []);
                let sent = page.messages.iter().filter(|message| message.state == State::Sent);
                let here: Vec<_> = sent.map(|message| (message.position, message.content.clone())).collect();
                let there = view.messages.iter().map(|it| (Some(Position(it.position)), it.content.clone()));
                let stored = self.profiles[at.0].store.revision;
                let replica = self.tab(at).engine.replica();
                assert_eq!(
                    here,
                    there.collect::<Vec<_>>(),
                    "{at:?} in {conversation}: {status:?} store {stored:?} {replica:?}"
                );
                let Some(head) = self.tab(at).engine.replica().conversation(conversation) else { continue };
                let inbound = view.messages.last().map_or(0, |last| last.inbound);
                assert_eq!(head.read_position, Position(view.read), "{at:?} in {conversation}");
                assert_eq!(head.unread, inbound - view.inbound(view.read), "{at:?} in {conversation}");
            }
        }
        for place in self.profiles.iter().filter(|place| !place.tabs.is_empty()) {
            let leaders = place.tabs.values().filter(|tab| tab.engine.status().leader).count();
            assert_eq!(leaders, 1, "one leads in a profile");
            for ((table, key), record) in &place.store.records {
                assert!(record.len() < 60 * 1024, "{table:?} {key:?} holds {} bytes", record.len());
            }
        }
    }

    fn run(&mut self, at: At, source: Source, task: Task) {
        match task {
            Task::Input(input) => self.input(at, input),
            Task::Commit(id, batch) => {
                let result = self.known(at).and_then(|()| self.profiles[at.0].store.commit(batch));
                let answer = match result {
                    Ok(()) => Input::Persisted(id),
                    Err(error) => Input::PersistFailed(id, error),
                };
                self.push(at, source, Task::Input(answer));
            }
            Task::Load(id, extent) => {
                let tables: &[Table] = match extent {
                    Extent::Everything => &RESIDENT,
                    Extent::Outbox => &[Table::Outbox],
                };
                let result = self.known(at).and_then(|()| self.profiles[at.0].store.load(tables));
                let input = Input::Loaded(id, result);
                if self.reads_slowly {
                    self.loaded.push((at, input));
                } else {
                    self.push(at, source, Task::Input(input));
                }
            }
            Task::Claim(id, from) => {
                let result = self.known(at).and_then(|()| self.profiles[at.0].store.raise_epoch(from));
                if let Ok(Claim::Won(_)) = result {
                    let known = self.profiles[at.0].leaderships.insert(from.next(), at.1);
                    assert_eq!(known, None, "two leaders of one epoch");
                }
                self.push(at, source, Task::Input(Input::Claimed(id, result)));
            }
            Task::Renew => {
                let (clock, entropy) = (self.clock(), self.random());
                let result = self.known(at).and_then(|()| {
                    let store = &mut self.profiles[at.0].store;
                    store.commit(identity_batch(DeviceId::mint(clock, entropy)))?;
                    store.load(&RESIDENT)
                });
                self.push(at, source, Task::Input(Input::Renewed(result)));
            }
            Task::Connect(id, transport) if self.reachable => {
                let wire = self.next();
                if transport == Transport::Post {
                    self.server.posting(wire);
                }
                let place = &mut self.profiles[at.0];
                let token = format!("token of {}", place.account);
                if let Some(tab) = place.tabs.get_mut(&at.1) {
                    tab.socket = Some((id, wire));
                }
                self.push(at, Source::Server, Task::Input(Input::Connected(id, token)));
            }
            Task::Connect(id, _) => {
                self.push(at, Source::Server, Task::Input(Input::Disconnected(id, lost())))
            }
            Task::ToServer(..) if self.swallows => {}
            Task::ToServer(wire, bytes) => {
                let now = self.clock();
                self.server.received(wire, bytes, now);
                self.deliver();
            }
        }
    }

    /// Ends [`World::reads_slowly`].
    pub fn tell_loaded(&mut self) {
        self.reads_slowly = false;
        for (at, input) in std::mem::take(&mut self.loaded) {
            self.input(at, input);
        }
    }

    /// Puts what the server has said on its way.
    pub fn deliver(&mut self) {
        for (wire, bytes) in std::mem::take(&mut self.server.out) {
            for at in self.alive() {
                let tab = self.profiles[at.0].tabs.get_mut(&at.1).expect("alive");
                let Some((id, _)) = tab.socket.filter(|(_, of)| *of == wire) else { continue };
                let input = match bytes.clone() {
                    Some(bytes) => Input::FrameReceived(id, bytes),
                    None => {
                        tab.socket = None;
                        Input::Disconnected(id, lost())
                    }
                };
                self.push(at, Source::Server, Task::Input(input));
            }
        }
    }

    fn carry_out(&mut self, at: At, effect: Effect) {
        match effect {
            Effect::Persist(id, batch) => {
                // Each on its own: commits that overlap have no order.
                let source = Source::Store(self.next());
                self.push(at, source, Task::Commit(id, batch));
            }
            Effect::Load(id, extent) => {
                let source = Source::Store(self.next());
                self.push(at, source, Task::Load(id, extent));
            }
            Effect::Connect(id, transport) => {
                if let Some(tab) = self.profiles[at.0].tabs.get_mut(&at.1) {
                    tab.attempts.push(self.now);
                }
                self.push(at, Source::Server, Task::Connect(id, transport));
            }
            Effect::Disconnect(id) => {
                let Some(tab) = self.profiles[at.0].tabs.get_mut(&at.1) else { return };
                if let Some((_, wire)) = tab.socket.take_if(|(of, _)| *of == id) {
                    self.server.closed(wire);
                    self.lanes.remove(&(at, Source::Server));
                }
            }
            Effect::Send(id, bytes) => {
                let Some(tab) = self.profiles[at.0].tabs.get(&at.1) else { return };
                if let Some((_, wire)) = tab.socket.filter(|(of, _)| *of == id) {
                    // The way there is a lane of its own.
                    self.push(at, Source::Store(0), Task::ToServer(wire, bytes));
                }
            }
            Effect::Broadcast(bytes) => {
                if self.profiles[at.0].tabs.get(&at.1).is_some_and(|tab| tab.suspended) {
                    return;
                }
                let hears = |to: &At| to.0 == at.0 && *to != at && !self.tab(*to).suspended;
                let others: Vec<At> = self.alive().into_iter().filter(hears).collect();
                for to in others {
                    if self.chance.next_u32() % 100 < self.channel_loss {
                        continue;
                    }
                    let twice = self.channel_disorder && self.chance.next_u32().is_multiple_of(4);
                    for _ in 0..=u32::from(twice) {
                        // A lane for each frame has no order.
                        let lane = if self.channel_disorder { self.next() } else { at.1 };
                        self.push(to, Source::Tab(lane), Task::Input(Input::ChannelFrame(bytes.clone())));
                    }
                }
            }
            Effect::Resolve(id, result) => {
                if let Ok(Reply::Message(message)) = &result {
                    self.confirmed.push(message.content.clone());
                }
                if let Some(tab) = self.profiles[at.0].tabs.get_mut(&at.1) {
                    assert!(tab.replies.insert(id, result).is_none(), "answered twice");
                }
            }
            Effect::Lock(_) if !self.locks => self.push(at, Source::Lock, Task::Input(Input::NoLocks)),
            Effect::Lock(id) => {
                self.profiles[at.0].queue.push_back((at.1, id));
                self.grant(at.0);
            }
            Effect::StealLock(id) => self.steal_lock(at, id),
            Effect::ReleaseLock(id) => self.release(at.0, |held| held == (at.1, id)),
            Effect::Claim(id, from) => {
                let source = Source::Store(self.next());
                self.push(at, source, Task::Claim(id, from));
            }
            Effect::Renew => {
                let source = Source::Store(self.next());
                self.push(at, source, Task::Renew);
            }
            Effect::Close => {
                self.release(at.0, |(tab, _)| tab == at.1);
                if let Some(tab) = self.profiles[at.0].tabs.get_mut(&at.1) {
                    tab.ended = true;
                }
            }
        }
    }

    /// Whether the store is the one that the tab knows. It is told once that it is not.
    fn known(&mut self, at: At) -> Result<(), StoreError> {
        let place = &mut self.profiles[at.0];
        let generation = place.store.generation;
        match place.tabs.get_mut(&at.1) {
            Some(tab) if tab.generation != generation => {
                tab.generation = generation;
                Err(StoreError::Erased)
            }
            _ => Ok(()),
        }
    }

    fn release(&mut self, profile: usize, which: impl Fn((u64, LockId)) -> bool) {
        let place = &mut self.profiles[profile];
        place.queue.retain(|waiting| !which(*waiting));
        place.lock.take_if(|held| which(*held));
        self.grant(profile);
    }

    fn grant(&mut self, profile: usize) {
        let place = &mut self.profiles[profile];
        if place.lock.is_none()
            && let Some((tab, id)) = place.queue.pop_front()
        {
            place.lock = Some((tab, id));
            self.push(At(profile, tab), Source::Lock, Task::Input(Input::LockGranted(id)));
        }
    }

    fn push(&mut self, at: At, source: Source, task: Task) {
        if self.profiles[at.0].tabs.contains_key(&at.1) {
            self.lanes.entry((at, source)).or_default().push_back(task);
        }
    }

    pub fn clock(&self) -> Millis {
        Millis(self.wall + self.now)
    }

    fn next(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    fn random<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.chance.fill_bytes(&mut bytes);
        bytes
    }
}

fn lost() -> Failure {
    Failure::new(Code::Offline, "the server cannot be reached")
}

/// Every kind of failure that storage knows and that may pass.
pub fn store_errors() -> [StoreError; 3] {
    [StoreError::Quota, StoreError::Damaged("x".into()), StoreError::Failed("x".into())]
}
