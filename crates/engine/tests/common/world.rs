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
    Message, MessageEvent, Now, Page, Replica, Reply, RequestId, State, Status,
    batch::{Batch, Key, StoreError, Table},
    decode_block, decode_locators, identity_batch,
};
use tutti_protocol::{Code, DeviceId, Millis, OperationId, Position, TabId, local, wire::Platform};

use super::{server::Server, store::Store};

const RESIDENT: [Table; 4] = [Table::Meta, Table::Journal, Table::Heads, Table::Outbox];
const START: u64 = 1_750_000_000_000;

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
    lock: Option<u64>,
    queue: VecDeque<u64>,
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
    Connect(ConnectionId),
    ToServer(u64, Bytes),
    Grant,
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
        let engine = Engine::new(identity, replica, seed, true);
        let tab = Tab {
            engine,
            replies: BTreeMap::new(),
            told: Vec::new(),
            caught_up: Vec::new(),
            failures: Vec::new(),
            statuses: Vec::new(),
            attempts: Vec::new(),
            ticks: 0,
            socket: None,
        };
        place.tabs.insert(number, tab);
        place.queue.push_back(number);
        let at = At(profile, number);
        self.grant(profile);
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
        self.release(at);
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

    /// Gives the lock to a tab, whoever holds it; the old holder hears of it in its own time.
    pub fn steal(&mut self, at: At) {
        let place = &mut self.profiles[at.0];
        place.queue.retain(|tab| *tab != at.1);
        let robbed = place.lock.replace(at.1);
        self.push(at, Source::Lock, Task::Grant);
        if let Some(tab) = robbed.filter(|tab| *tab != at.1) {
            self.profiles[at.0].queue.push_back(tab);
            self.push(At(at.0, tab), Source::Lock, Task::Input(Input::LeadershipLost));
        }
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
        if self.lanes.is_empty() {
            let deadlines = self
                .alive()
                .into_iter()
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
        let pick = self.chance.next_u32() as usize % self.lanes.len();
        let (at, source) = *self.lanes.keys().nth(pick).expect("a lane");
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
                let result = self.profiles[at.0].store.commit(batch);
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
                let input = Input::Loaded(id, self.profiles[at.0].store.load(tables));
                if self.reads_slowly {
                    self.loaded.push((at, input));
                } else {
                    self.push(at, source, Task::Input(input));
                }
            }
            Task::Connect(id) if self.reachable => {
                let wire = self.next();
                let place = &mut self.profiles[at.0];
                let token = format!("token of {}", place.account);
                if let Some(tab) = place.tabs.get_mut(&at.1) {
                    tab.socket = Some((id, wire));
                }
                self.push(at, Source::Server, Task::Input(Input::Connected(id, token)));
            }
            Task::Connect(id) => self.push(at, Source::Server, Task::Input(Input::Disconnected(id, lost()))),
            Task::ToServer(..) if self.swallows => {}
            Task::ToServer(wire, bytes) => {
                let now = self.clock();
                self.server.received(wire, bytes, now);
                self.deliver();
            }
            Task::Grant => match self.profiles[at.0].store.raise_epoch() {
                Ok((epoch, revision)) => self.input(at, Input::LeadershipGained(epoch, revision)),
                Err(_) => self.resign(at),
            },
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
            Effect::Connect(id) => {
                if let Some(tab) = self.profiles[at.0].tabs.get_mut(&at.1) {
                    tab.attempts.push(self.now);
                }
                self.push(at, Source::Server, Task::Connect(id));
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
                let others: Vec<At> =
                    self.alive().into_iter().filter(|to| to.0 == at.0 && *to != at).collect();
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
            Effect::Resign => self.resign(at),
        }
    }

    fn resign(&mut self, at: At) {
        self.release(at);
        self.profiles[at.0].queue.push_back(at.1);
        self.grant(at.0);
    }

    fn release(&mut self, at: At) {
        let place = &mut self.profiles[at.0];
        place.queue.retain(|tab| *tab != at.1);
        if place.lock == Some(at.1) {
            place.lock = None;
        }
        self.grant(at.0);
    }

    fn grant(&mut self, profile: usize) {
        let place = &mut self.profiles[profile];
        if place.lock.is_none()
            && let Some(tab) = place.queue.pop_front()
        {
            place.lock = Some(tab);
            self.push(At(profile, tab), Source::Lock, Task::Grant);
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

/// Every kind of failure that storage knows.
pub fn store_errors() -> [StoreError; 4] {
    [StoreError::Quota, StoreError::Version, StoreError::Damaged("x".into()), StoreError::Failed("x".into())]
}
