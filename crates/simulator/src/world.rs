//! Profiles with tabs, a server and the network between them, in virtual time.
//!
//! Everything that is on its way lies in a lane: what one source sends to one tab stays in order, and
//! which lane moves next is chance, from a seed. Time passes when nothing can move.

mod anonymity;
mod devices;
pub mod shown;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;
use memchr::memmem;
use prost::Message as _;
use rand_chacha::{
    ChaCha8Rng,
    rand_core::{RngCore as _, SeedableRng as _},
};
use tutti_acceptance::storage::MemoryStorage;
use tutti_engine::{
    Block, Change, Config, Connection, ConnectionId, Effect, Engine, Event, Extent, Failure, Hole, Identity,
    Input, LoadId, Located, LockId, Message, MessageEvent, Now, Page, Replica, Reply, RequestId, Setup,
    SortedMap, State, Status, Transport,
    batch::{Batch, Claim, Key, StoreError, Table, Write},
    decode_locators, identity_batch,
};
use tutti_protocol::{
    Code, DeviceId, Epoch, LogId, Millis, OperationId, Position, StoreId, TabId, codec, limits, local,
    wire::{self, Platform, operation, server_frame, status},
};

use self::shown::Shown;
use crate::{
    model::Model,
    server::{Server, View},
    store::Store,
};

/// What a tab reads when it opens.
pub const RESIDENT: [Table; 4] = [Table::Meta, Table::Journal, Table::Heads, Table::Outbox];
const START: u64 = 1_750_000_000_000;
/// What all devices call themselves.
pub const DEVICE_NAME: &str = "test";
/// How often clients compare all with the server, in milliseconds.
pub const SYNC_INTERVAL: u64 = 15 * 60_000;

/// A tab: its profile, and its number in the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct At(pub usize, pub u64);

/// All of it.
#[derive(Debug)]
pub struct World {
    /// Milliseconds that have passed.
    pub now: u64,
    /// What wall clocks show, less `now`.
    pub wall: u64,
    /// The one server.
    pub server: Server,
    /// Browser profiles, each of one account.
    pub profiles: Vec<Profile>,
    /// How the ways between them are.
    pub weather: Weather,
    /// Whether browsers have locks.
    pub locks: bool,
    /// Whether somebody looks at the tabs that open.
    pub visible: bool,
    /// Whether the server can be reached.
    pub reachable: bool,
    /// Connections open, but nothing that is sent arrives.
    pub swallows: bool,
    /// For how long the tokens are good that are signed from now on, in milliseconds; none: for ever.
    pub tokens_last: Option<u64>,
    /// What was read in the store is not told until [`World::tell_loaded`].
    pub reads_slowly: bool,
    loaded: Vec<(At, Input)>,
    /// The dice.
    pub chance: ChaCha8Rng,
    /// What must have come of it in the end.
    pub model: Model,
    /// What the server's operator has put aside.
    pub backup: Option<MemoryStorage>,
    /// What all this comes from.
    pub seed: u64,
    /// Profiles in which a tab may have missed what another said, or that it is gone.
    unheard: BTreeSet<usize>,
    /// Profiles in which something was lost between tabs that live and are awake.
    deafened: BTreeSet<usize>,
    lanes: BTreeMap<(At, Source), VecDeque<(u64, Task)>>,
    last: u64,
    effects: u64,
    /// Which profile dies when, by the number of effects.
    kill_after: Option<(usize, u64)>,
    /// Ids under which an application has sent more than once.
    reused: BTreeSet<OperationId>,
    /// How long tabs have waited after attempts to connect that failed.
    waits: Vec<u64>,
    /// How long the frames were that went between tabs and the server.
    pub frames: Vec<usize>,
    /// Which of them is cut, and after how many bytes.
    cut_frame: Option<(usize, usize)>,
}

/// How the ways are between tabs, and between tabs and the server.
#[derive(Clone, Copy, Debug, Default)]
pub struct Weather {
    /// Of a hundred frames between tabs, so many are lost.
    pub channel_loss: u32,
    /// Frames between tabs overtake each other, and one in four comes twice.
    pub channel_disorder: bool,
    /// Of a hundred frames from the server, so many are lost though the connection stands; as many come
    /// twice, and as many overtake the one before.
    pub server_disorder: u32,
    /// Longest time that a frame between a tab and the server takes, in milliseconds.
    pub latency: u64,
    /// Longest time that the store takes, in milliseconds.
    pub store_latency: u64,
}

/// A browser profile.
#[derive(Debug)]
pub struct Profile {
    /// Whose it is.
    pub account: String,
    /// What it says that it is.
    pub platform: Platform,
    /// Its database.
    pub store: Store,
    /// Its tabs.
    pub tabs: BTreeMap<u64, Tab>,
    /// What its wall clock shows beside the others', in milliseconds.
    pub skew: i64,
    /// Days of messages that it wants when it is new.
    pub days: u32,
    /// Whether the application opens its tabs without a lasting id.
    pub anonymous: bool,
    /// Its device has not always gone by the same id.
    had_other_ids: bool,
    /// Tokens that it is given next, and that have expired already.
    pub expired_tokens: u32,
    /// How often it is given none next.
    pub missing_tokens: u32,
    /// How often its user has signed in again.
    sign_ins: u64,
    /// Who holds the lock, and who waits for it.
    lock: Option<(u64, LockId)>,
    queue: VecDeque<(u64, LockId)>,
    /// Who has led when: the epoch of each leadership that was claimed, and the tab.
    pub leaderships: BTreeMap<Epoch, u64>,
}

/// A tab of a profile, and what it told its user.
#[derive(Debug)]
pub struct Tab {
    /// What it runs.
    pub engine: Engine,
    /// Calls that the application has made.
    pub calls: BTreeSet<RequestId>,
    /// Calls that were answered.
    pub replies: BTreeMap<RequestId, Result<Reply, Failure>>,
    /// Messages that are new or different.
    pub told: Vec<MessageEvent>,
    /// How often it was told that any message may look different.
    pub unsaid: u32,
    /// How many of those messages it had been told of when it was told that last; its user has read them again.
    read_again: usize,
    /// Messages that were there when it opened.
    pub known: BTreeSet<OperationId>,
    /// Messages that it has shown as sent.
    sent: BTreeSet<OperationId>,
    /// Ends of catch-ups.
    pub caught_up: Vec<u64>,
    /// Failures that no call waited for.
    pub failures: Vec<Failure>,
    /// Each status.
    pub statuses: Vec<Status>,
    /// Connections that were asked for, and when.
    pub attempts: Vec<u64>,
    /// The attempt that failed last, and when the tab heard of that.
    failed: Option<(ConnectionId, Option<u64>)>,
    /// Times that it was woken because a deadline had come.
    pub ticks: u64,
    /// Refusals of a place for a connection.
    pub limits: Vec<wire::Limit>,
    /// Conversations, sessions and notifications.
    pub shown: Shown,
    /// Others who type, as it shows them: in a conversation, an account.
    pub typists: BTreeSet<(String, String)>,
    /// When it was told last that they do.
    typed: BTreeMap<(String, String), u64>,
    /// Contents of custom statuses.
    pub custom: Vec<Bytes>,
    /// Presences, as it was told last.
    pub presences: BTreeMap<String, wire::AccountPresence>,
    /// The account's devices, as it was told last.
    pub devices: Option<wire::Devices>,
    /// Who removed its device.
    pub removed: Option<Option<String>>,
    /// How many statuses had gone to those who were there before this profile was.
    missed: usize,
    /// It lives, but does nothing: what comes waits.
    pub frozen: bool,
    /// Since it was suspended it hears nothing from other tabs.
    pub suspended: bool,
    /// Its client has ended itself.
    pub ended: bool,
    /// Which database it knows.
    generation: u64,
    socket: Option<Socket>,
}

/// A connection, from the tab's side.
#[derive(Clone, Copy, Debug)]
struct Socket {
    id: ConnectionId,
    wire: u64,
    /// Nothing that the tab sends arrives.
    mute: bool,
    /// Nothing arrives at the tab.
    deaf: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Source {
    Store(u64),
    Tab(u64),
    Server,
    /// To the server.
    Up,
    Lock,
}

#[derive(Debug)]
enum Task {
    Input(Input),
    /// What is asked of the store is meant for the one that the tab knew then.
    Commit(u64, tutti_engine::BatchId, Batch),
    Load(u64, LoadId, Extent),
    Claim(u64, LockId, Epoch),
    Renew,
    Erase,
    Connect(ConnectionId, Transport),
    ToServer(u64, Bytes),
}

impl Tab {
    /// None of these is on its way again that was shown as sent, unless that is excused.
    fn note_shown(&mut self, messages: &[MessageEvent], excused: impl Fn(OperationId) -> bool) {
        for MessageEvent { message, .. } in messages {
            if message.state == State::Sent {
                self.sent.insert(message.id);
            } else if message.state != State::Recalled && self.sent.contains(&message.id) {
                assert!(
                    excused(message.id),
                    "a tab has shown as sent what is {:?}: {:?}",
                    message.state,
                    message.id
                );
            }
        }
    }
}

impl World {
    /// Nobody but a server.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            now: 1_000,
            wall: START,
            server: Server::default(),
            profiles: Vec::new(),
            weather: Weather::default(),
            locks: true,
            visible: true,
            reachable: true,
            swallows: false,
            tokens_last: None,
            reads_slowly: false,
            loaded: Vec::new(),
            chance: ChaCha8Rng::seed_from_u64(seed),
            model: Model::default(),
            backup: None,
            seed,
            unheard: BTreeSet::new(),
            deafened: BTreeSet::new(),
            lanes: BTreeMap::new(),
            last: 0,
            effects: 0,
            kill_after: None,
            reused: BTreeSet::new(),
            waits: Vec::new(),
            frames: Vec::new(),
            cut_frame: None,
        }
    }

    /// One more profile.
    pub fn profile(&mut self, account: &str) -> usize {
        let store = Store::default();
        self.profiles.push(Profile {
            account: account.to_owned(),
            store,
            tabs: BTreeMap::new(),
            skew: 0,
            platform: Platform::Web,
            days: 1,
            anonymous: false,
            had_other_ids: false,
            expired_tokens: 0,
            missing_tokens: 0,
            sign_ins: 0,
            lock: None,
            queue: VecDeque::new(),
            leaderships: BTreeMap::new(),
        });
        self.profiles.len() - 1
    }

    /// Opens a tab, as the driver does.
    pub fn open(&mut self, profile: usize) -> At {
        let clock = self.clock_of(profile);
        let (entropy, tab) = (self.random(), TabId::mint(clock, self.random()));
        let seed = self.random();
        let number = self.next();
        let place = &mut self.profiles[profile];
        // Opening is retried by the application; here storage does not fail for it.
        let failing = place.store.fail.take();
        place.store.commit(registration(clock, entropy, place.anonymous)).expect("the identity");
        let snapshot = place.store.load(&RESIDENT).expect("the store");
        let replica = Replica::load(&place.account, &snapshot).expect("a replica");
        place.store.fail = failing;
        let identity = Identity {
            account: place.account.clone(),
            device_name: DEVICE_NAME.into(),
            platform: place.platform,
            tab,
        };
        let setup = Setup {
            identity,
            seed,
            epoch: snapshot.epoch,
            network: true,
            visible: self.visible,
            config: Config {
                sync_interval: SYNC_INTERVAL,
                compensation_days: place.days,
                anonymous: place.anonymous,
                ..Config::default()
            },
        };
        let engine = Engine::new(setup, replica, Now { monotonic: Millis(self.now), wall: clock });
        let place = &mut self.profiles[profile];
        let tab = Tab {
            engine,
            calls: BTreeSet::new(),
            replies: BTreeMap::new(),
            told: Vec::new(),
            unsaid: 0,
            read_again: 0,
            known: BTreeSet::new(),
            sent: BTreeSet::new(),
            caught_up: Vec::new(),
            failures: Vec::new(),
            statuses: Vec::new(),
            attempts: Vec::new(),
            failed: None,
            ticks: 0,
            limits: Vec::new(),
            shown: Shown::default(),
            typists: BTreeSet::new(),
            typed: BTreeMap::new(),
            custom: Vec::new(),
            presences: BTreeMap::new(),
            devices: None,
            removed: None,
            missed: 0,
            frozen: false,
            suspended: false,
            ended: false,
            generation: place.store.generation,
            socket: None,
        };
        place.tabs.insert(number, tab);
        let at = At(profile, number);
        // Whoever leads from now on knows what lies there.
        if place.tabs.len() == 1 {
            place.tabs.get_mut(&number).expect("alive").missed = self.server.forwarded.len();
            let pending = place.tabs[&number].engine.replica().outbox().iter();
            let pending = pending.filter(|(_, queued)| queued.refused.is_none());
            self.model.opened(at, pending.filter_map(|(_, queued)| content(queued)));
        }
        let known = self.messages(at).into_iter().map(|message| message.id).collect();
        self.tab_mut(at).known = known;
        let tab = self.tab_mut(at);
        tab.shown = Shown::all(tab.engine.replica());
        self.input(at, Input::NetworkChanged(true));
        at
    }

    /// A tab that is alive.
    #[must_use]
    pub fn tab(&self, at: At) -> &Tab {
        &self.profiles[at.0].tabs[&at.1]
    }

    fn tab_mut(&mut self, at: At) -> &mut Tab {
        self.profiles[at.0].tabs.get_mut(&at.1).expect("alive")
    }

    /// All tabs.
    #[must_use]
    pub fn alive(&self) -> Vec<At> {
        (0..self.profiles.len()).flat_map(|profile| self.tabs_of(profile)).collect()
    }

    /// All tabs of a profile.
    fn tabs_of(&self, profile: usize) -> impl Iterator<Item = At> {
        self.profiles[profile].tabs.keys().map(move |tab| At(profile, *tab))
    }

    /// Tabs that do something, and hear the others.
    #[must_use]
    pub fn awake(&self) -> Vec<At> {
        let awake = |at: &At| {
            let tab = self.tab(*at);
            !tab.frozen && !tab.suspended && !tab.ended
        };
        self.alive().into_iter().filter(awake).collect()
    }

    /// The tab is gone without a word.
    pub fn crash(&mut self, at: At) {
        self.unheard.insert(at.0);
        self.remove(at);
    }

    fn remove(&mut self, at: At) {
        self.model.gone(at);
        let Some(tab) = self.profiles[at.0].tabs.remove(&at.1) else { return };
        if let Some(socket) = tab.socket {
            self.server.closed(socket.wire);
        }
        self.lanes.retain(|(to, _), _| *to != at);
        self.release(at.0, |(tab, _)| tab == at.1);
    }

    /// The tab says goodbye first, as it does when it is closed.
    pub fn close(&mut self, at: At) {
        self.input(at, Input::Close);
        self.remove(at);
    }

    /// Kills a profile after so many more effects of anyone.
    pub fn kill_after(&mut self, profile: usize, effects: u64) {
        self.kill_after = Some((profile, self.effects + effects));
    }

    /// Whether [`World::kill_after`] has come true. It will not any more.
    pub fn was_killed(&mut self) -> bool {
        self.kill_after.take().is_none()
    }

    /// The browser is killed.
    pub fn kill(&mut self, profile: usize) {
        for at in self.tabs_of(profile).collect::<Vec<_>>() {
            self.crash(at);
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
        self.unheard.insert(at.0);
        self.tab_mut(at).frozen = true;
    }

    /// The tab goes on.
    pub fn thaw(&mut self, at: At) {
        self.tab_mut(at).frozen = false;
    }

    /// The page goes into the browser's cache, as the driver does it: the channel closes.
    pub fn suspend(&mut self, at: At) {
        self.unheard.insert(at.0);
        self.input(at, Input::Suspended);
        self.lanes.retain(|(to, source), _| *to != at || !matches!(source, Source::Tab(_)));
        if let Some(tab) = self.profiles[at.0].tabs.get_mut(&at.1) {
            tab.suspended = true;
        }
    }

    /// The page is back from the browser's cache.
    pub fn resume(&mut self, at: At) {
        if let Some(tab) = self.profiles[at.0].tabs.get_mut(&at.1) {
            tab.suspended = false;
        }
        self.input(at, Input::Resumed);
    }

    /// Every connection breaks.
    pub fn cut(&mut self) {
        for at in self.alive() {
            self.cut_one(at);
        }
    }

    /// A tab's connection breaks.
    pub fn cut_one(&mut self, at: At) {
        if let Some(socket) = self.tab_mut(at).socket.take() {
            self.server.closed(socket.wire);
            self.lanes.remove(&(at, Source::Server));
            self.push(at, Source::Server, Task::Input(Input::Disconnected(socket.id, lost())));
        }
    }

    /// Of the frame with this number, of all between tabs and the server, only so many bytes arrive, and its
    /// connection breaks.
    pub fn cut_frame(&mut self, number: usize, bytes: usize) {
        self.cut_frame = Some((number, bytes));
    }

    /// Counts a frame. Gives what arrives of it if it is the one that is cut.
    fn cut_off(&mut self, frame: &Bytes) -> Option<Bytes> {
        let number = self.frames.len();
        self.frames.push(frame.len());
        let (_, bytes) = self.cut_frame.take_if(|(cut, _)| *cut == number)?;
        Some(frame.slice(..bytes.min(frame.len())))
    }

    /// A tab's connection stands, but from now on nothing arrives in one direction or both. Says whether
    /// it has one.
    pub fn half_open(&mut self, at: At, mute: bool, deaf: bool) -> bool {
        let Some(socket) = &mut self.tab_mut(at).socket else { return false };
        socket.mute |= mute;
        socket.deaf |= deaf;
        true
    }

    /// The weather is fine, and what was held up arrives.
    pub fn clear_up(&mut self) {
        self.weather = Weather::default();
        let now = self.now;
        self.lanes.values_mut().flatten().for_each(|(due, _)| *due = now.min(*due));
    }

    /// The user of a tab sends a text.
    pub fn send(&mut self, at: At, conversation: &str, text: &str) -> RequestId {
        self.send_with(at, conversation, text, None)
    }

    /// The user of a tab sends a text under an id of the application's.
    pub fn send_with(
        &mut self,
        at: At,
        conversation: &str,
        text: &str,
        id: Option<OperationId>,
    ) -> RequestId {
        let request = self.request();
        let (conversation, content) = (conversation.to_owned(), Bytes::from(format!("\"{text}\"")));
        self.model.asked(Some(at.0), &self.profiles[at.0].account, &conversation, &content);
        match id {
            Some(id) => drop(self.reused.insert(id)),
            None => self.model.in_order(at, &conversation, &content),
        }
        self.input(at, Input::Send { request, conversation, kind: "text".into(), content, id });
        request
    }

    /// Some of the newest messages of a conversation, as a tab shows them to its user.
    pub fn newest(&mut self, at: At, conversation: &str) -> Vec<Message> {
        self.look(at, conversation, 20).messages
    }

    /// The user of a tab gives a message other content.
    pub fn edit(&mut self, at: At, message: Message, text: &str) -> Bytes {
        let (request, content) = (self.request(), Bytes::from(format!("\"{text}\"")));
        self.model.edits(at, request, message.id, &message.content, &content);
        self.input(at, Input::Edit { request, message, content: content.clone() });
        content
    }

    /// The user of a tab takes a message back.
    pub fn recall(&mut self, at: At, message: Message) {
        let request = self.request();
        self.model.recalls(request, message.id, &message.content);
        self.input(at, Input::Recall { request, message });
    }

    /// The user of a tab sets a field, or removes it.
    pub fn set(&mut self, at: At, target: &str, name: &str, value: Bytes) {
        let request = self.request();
        self.model.sets(at, request, &self.profiles[at.0].account, target, name, &value);
        let fields = vec![wire::Field { name: name.to_owned(), value }];
        let set = wire::Set { target: target.to_owned(), fields };
        self.input(at, Input::Set { request, set });
    }

    /// The user of a tab gives up a message that is on its way or was refused, or tries it again.
    pub fn withdraw(&mut self, at: At, message: &Message, retry: bool) {
        let request = self.request();
        if !retry {
            self.model.gives_up(request, message.id, &message.content);
            self.profiles[at.0].store.given_up.insert(message.id);
        }
        self.input(at, Input::Withdraw { request, id: message.id, retry });
    }

    /// The user of a tab looks at the newest messages of a conversation, so many of them, and what is missing among
    /// them is fetched.
    pub fn fetch(&mut self, at: At, conversation: &str, limit: usize) -> Option<RequestId> {
        let holes = self.look(at, conversation, limit.min(limits::HISTORY as usize)).holes;
        let (from, to) = (holes.first()?.from, holes.last()?.to);
        let (request, conversation) = (self.request(), conversation.to_owned());
        self.input(at, Input::Fetch { request, conversation, from, to });
        Some(request)
    }

    /// The server keeps no more what was sent before a time.
    pub fn trim(&mut self, before: Millis) -> bool {
        let trims = self.server.trim(before);
        self.model.trimmed();
        trims
    }

    /// The user of a tab types somewhere, or does not any more.
    pub fn set_typing(&mut self, at: At, conversation: &str, typing: bool) {
        self.input(at, Input::SetTyping { conversation: conversation.to_owned(), typing });
    }

    /// The application says something to those who are there.
    pub fn say(&mut self, at: At, conversation: &str) -> Bytes {
        let content = Bytes::from(format!("\"{EPHEMERAL} {}\"", self.next()));
        let (conversation, kind) = (conversation.to_owned(), "wave".to_owned());
        self.input(at, Input::SendStatus { conversation, kind, content: content.clone() });
        content
    }

    /// The application wants to know whether somebody is there.
    pub fn ask(&mut self, at: At, account: &str) -> RequestId {
        let request = self.request();
        self.input(at, Input::AskPresence { request, account: account.to_owned() });
        request
    }

    /// Whether an application has sent under this id more than once.
    #[must_use]
    pub fn is_reused(&self, id: OperationId) -> bool {
        self.reused.contains(&id)
    }

    /// The user of a tab has read a conversation.
    pub fn mark_read(&mut self, at: At, conversation: &str, position: Option<u64>) {
        let request = self.request();
        let last = self.tab(at).engine.replica().last_position(conversation);
        let read = position.map_or(last.0, |position| position.min(last.0));
        self.model.marked(request, &self.profiles[at.0].account, conversation, read);
        let (conversation, position) = (conversation.to_owned(), position.map(Position));
        self.input(at, Input::MarkRead { request, conversation, position });
    }

    /// The back end of the application lets an account send a text.
    pub fn post(&mut self, sender: &str, conversation: &str, id: OperationId, text: &str) {
        let content = format!("\"{text}\"");
        self.model.asked(None, sender, conversation, &Bytes::copy_from_slice(content.as_bytes()));
        let now = self.clock();
        self.server.post(sender, conversation, id, &content, now);
        self.deliver();
    }

    /// The back end of the application lets an account send so many texts.
    pub fn post_many(&mut self, sender: &str, conversation: &str, count: usize) {
        let mut messages = Vec::with_capacity(count);
        for _ in 0..count {
            let content = format!("\"{}\"", self.text());
            self.model.asked(None, sender, conversation, &Bytes::copy_from_slice(content.as_bytes()));
            let id = OperationId::mint(self.clock(), self.random());
            messages.push((conversation.to_owned(), id, content));
        }
        let now = self.clock();
        self.server.post_all(sender, &messages, now);
        self.deliver();
    }

    /// Somebody asks the server for something, past every client, in the name of an account.
    pub fn meddle(&mut self, account: &str, body: operation::Body) {
        let (id, now) = (OperationId::mint(self.clock(), self.random()), self.clock());
        self.server.meddle(account, id, body, now);
        self.deliver();
    }

    /// The back end of the application notifies accounts of something, perhaps of a message, so many times.
    pub fn notify(
        &mut self,
        accounts: &BTreeSet<String>,
        message: Option<OperationId>,
        times: usize,
    ) -> String {
        // None is the beginning of another: they are looked for where they may not be.
        let title = format!("notice {}.", self.next());
        let notification = wire::Notification {
            id: OperationId::mint(self.clock(), self.random()).to_bytes(),
            title: title.clone(),
            body: "body".to_owned(),
            data: Bytes::from_static(b"{\"open\":1}"),
            message: message.map(OperationId::to_bytes).unwrap_or_default(),
            ..wire::Notification::default()
        };
        for _ in 0..times {
            let now = self.clock();
            if self.server.notify(accounts, notification.clone(), now) {
                self.model.notices.notified(accounts, &notification);
            }
            self.deliver();
        }
        title
    }

    /// The user of a tab marks a notification.
    pub fn mark_notification(&mut self, at: At, id: OperationId, state: wire::NotificationState) {
        let request = self.request();
        self.model.notices.marks(request, &self.profiles[at.0].account, id, state);
        self.input(at, Input::MarkNotification { request, id, state });
    }

    /// The back end of the application makes a group, or changes who is in it.
    pub fn set_group(&mut self, id: &str, members: &[&str]) {
        if self.server.set_group(id, members) {
            self.model.grouped(id, members);
        }
        self.deliver();
    }

    /// The server goes back to a backup, under the name of another log.
    pub fn restore(&mut self, backup: &MemoryStorage, log: LogId) {
        self.model.restoring(&self.server);
        self.server.restore(backup, log);
    }

    /// The application wants to be in step.
    pub fn sync_now(&mut self, at: At) -> RequestId {
        let request = self.request();
        self.model.syncs(at, request, self.server.views(&self.profiles[at.0].account));
        self.input(at, Input::SyncNow(request));
        request
    }

    /// The browser forgets what the profile has stored, and tells its tabs that the database is gone.
    pub fn erase(&mut self, profile: usize) {
        let mut held: BTreeMap<Bytes, BTreeSet<At>> = BTreeMap::new();
        for at in self.tabs_of(profile) {
            let outbox = self.tab(at).engine.replica().outbox();
            let pending = outbox.iter().filter(|(_, queued)| queued.refused.is_none());
            for content in pending.filter_map(|(_, queued)| content(queued)) {
                held.entry(content.clone()).or_default().insert(at);
            }
        }
        self.model.erased(profile, held, &self.server);
        self.profiles[profile].store.erase();
        self.profiles[profile].leaderships.clear();
        for at in self.tabs_of(profile).collect::<Vec<_>>() {
            self.input(at, Input::StoreLost);
        }
    }

    /// The user wants this profile to be connected in the place of that device.
    pub fn take_over(&mut self, at: At, device: DeviceId) -> RequestId {
        let request = self.request();
        self.input(at, Input::TakeOver(request, device));
        request
    }

    /// Something happens to a tab, and it does what it does about it.
    pub fn input(&mut self, at: At, input: Input) {
        let now = Now { monotonic: Millis(self.now), wall: self.clock_of(at.0) };
        let Some(tab) = self.profiles[at.0].tabs.get_mut(&at.1) else { return };
        tab.ticks += u64::from(matches!(input, Input::Tick));
        match &input {
            Input::Send { request, .. }
            | Input::MarkRead { request, .. }
            | Input::Edit { request, .. }
            | Input::Recall { request, .. }
            | Input::Set { request, .. }
            | Input::MarkNotification { request, .. }
            | Input::Fetch { request, .. }
            | Input::AskPresence { request, .. }
            | Input::Manage { request, .. }
            | Input::Erase { request, .. }
            | Input::Withdraw { request, .. } => drop(tab.calls.insert(*request)),
            Input::SyncNow(request) | Input::TakeOver(request, _) => drop(tab.calls.insert(*request)),
            _ => {}
        }
        let (woken, closes) = (matches!(input, Input::Tick), matches!(input, Input::Close));
        if let Input::Disconnected(id, _) = &input
            && let Some((_, heard)) = tab.failed.as_mut().filter(|(failed, _)| failed == id)
        {
            *heard = Some(self.now);
        }
        if let Some((who, true)) = typing_in(&input) {
            tab.typed.insert(who, self.now);
        }
        tab.engine.handle(input, now);
        while let Some(event) = tab.engine.poll_event() {
            match event {
                Event::Messages(messages) if messages.is_empty() => {
                    tab.unsaid += 1;
                    tab.read_again = tab.told.len();
                }
                Event::Messages(messages) => {
                    let again = self.model.tells_again();
                    // Old news of a message that is folded may come late, and is told from new by nobody.
                    let late = |id| self.unheard.contains(&at.0) && self.model.is_changed(id);
                    tab.note_shown(&messages, |id| again || self.reused.contains(&id) || late(id));
                    tab.told.extend(messages);
                }
                Event::CaughtUp { events, .. } => tab.caught_up.push(events),
                Event::Failed(failure) => tab.failures.push(failure),
                Event::Status(status) => tab.statuses.push(status),
                Event::Limited(limit) => tab.limits.push(limit),
                Event::Typing { conversation, account, typing } => {
                    let who = (conversation, account);
                    let news = if typing { tab.typists.insert(who) } else { tab.typists.remove(&who) };
                    assert!(news, "{at:?} was told of typing what it knew");
                }
                Event::Devices(devices) => tab.devices = Some(devices),
                Event::Removed { by } => tab.removed = Some(by),
                Event::Presence(presence) => drop(tab.presences.insert(presence.account.clone(), presence)),
                Event::CustomStatus(custom) => {
                    let forwarded = self.server.forwarded.iter().position(|it| *it == custom.content);
                    let came = forwarded.expect("it was said");
                    assert!(came >= tab.missed, "{at:?} was told of a status that it has missed: {custom:?}");
                    tab.custom.push(custom.content);
                }
                Event::Notifications(notifications) => {
                    let wanted = tab.engine.config().notifications;
                    assert!(wanted || notifications.is_empty(), "{at:?} was told of {notifications:?}");
                    tab.shown.tell_notifications(tab.engine.replica(), notifications);
                }
                Event::Conversations(ids) => tab.shown.tell_conversations(tab.engine.replica(), ids),
                Event::Sessions(told) => {
                    tab.shown.tell_sessions(told.into_iter().map(|(session, _)| session))
                }
            }
        }
        let over = closes || tab.engine.status().connection == Connection::Closed;
        for who in tab.typists.iter().filter(|_| !over) {
            let late = self.now - tab.typed.get(who).copied().unwrap_or_default();
            assert!(late < limits::TYPING_EXPIRES, "{at:?} shows that {who:?} types, {late} ms later");
        }
        let effects: Vec<Effect> = std::iter::from_fn(|| tab.engine.poll_effect()).collect();
        if effects.iter().any(|effect| matches!(effect, Effect::Connect(..))) {
            // Not if something gave it hope before the time was over.
            let heard = tab.failed.take().and_then(|(_, heard)| heard).filter(|_| woken);
            self.waits.extend(heard.map(|heard| self.now - heard));
        }
        for effect in effects {
            if !self.profiles[at.0].tabs.contains_key(&at.1) {
                break;
            }
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
        let mut ready = Vec::new();
        let mut next = None;
        for ((at, source), lane) in &self.lanes {
            // What a frozen tab has sent goes its way.
            if *source != Source::Up && self.profiles[at.0].tabs.get(&at.1).is_some_and(|tab| tab.frozen) {
                continue;
            }
            match lane.front() {
                Some((due, _)) if *due <= self.now => ready.push((*at, *source)),
                Some((due, _)) => next = Some(next.map_or(*due, |next: u64| next.min(*due))),
                None => {}
            }
        }
        if ready.is_empty() {
            return self.let_time_pass(next, until);
        }
        let (at, source) = ready[self.chance.next_u32() as usize % ready.len()];
        let lane = self.lanes.get_mut(&(at, source)).expect("a lane");
        let (_, task) = lane.pop_front().expect("no lane is empty");
        if lane.is_empty() {
            self.lanes.remove(&(at, source));
        }
        self.run(at, source, task);
        true
    }

    /// Nothing can move: time passes until something can, or until a deadline of a tab.
    fn let_time_pass(&mut self, next: Option<u64>, until: u64) -> bool {
        let mut first: Option<(u64, At)> = None;
        for (profile, place) in self.profiles.iter().enumerate() {
            for (number, tab) in place.tabs.iter().filter(|(_, tab)| !tab.frozen) {
                if let Some(deadline) = tab.engine.deadline()
                    && first.is_none_or(|(at, _)| deadline.0 < at)
                {
                    first = Some((deadline.0, At(profile, *number)));
                }
            }
        }
        match (first, next) {
            (Some((deadline, at)), _) if deadline <= until && next.is_none_or(|next| deadline <= next) => {
                self.now = self.now.max(deadline);
                self.input(at, Input::Tick);
                let next = self.profiles[at.0].tabs.get(&at.1).and_then(|tab| tab.engine.deadline());
                assert!(next.is_none_or(|next| next.0 > self.now), "{at:?} ticks without end");
                true
            }
            (_, Some(next)) if next <= until => {
                self.now = self.now.max(next);
                true
            }
            _ => {
                self.now = self.now.max(until);
                false
            }
        }
    }

    /// Lets so many milliseconds pass, with all that happens in them.
    pub fn pass(&mut self, millis: u64) {
        let until = self.now + millis;
        while self.step(until) {}
    }

    /// Everyone can reach everyone: after a while all is equal, and nothing is stuck.
    pub fn settle(&mut self) {
        self.reachable = true;
        self.weather = Weather::default();
        self.pass(300_000);
        self.check();
    }

    /// A conversation as a tab shows it.
    #[must_use]
    pub fn page(&self, at: At, conversation: &str) -> Page {
        self.page_of(at, conversation, 100_000)
    }

    /// The same, as its user looks at it: what was looked at stays at hand.
    fn look(&mut self, at: At, conversation: &str, limit: usize) -> Page {
        let blocks = self.page_blocks(at, conversation, limit);
        let tab = self.profiles[at.0].tabs.get_mut(&at.1).expect("a tab");
        tab.engine.keep_tail(conversation, limit, &blocks);
        tab.engine.replica().page(conversation, None, limit, &blocks)
    }

    fn page_of(&self, at: At, conversation: &str, limit: usize) -> Page {
        let blocks = self.page_blocks(at, conversation, limit);
        self.tab(at).engine.replica().page(conversation, None, limit, &blocks)
    }

    fn page_blocks(&self, at: At, conversation: &str, limit: usize) -> SortedMap<u64, Block> {
        let (place, tab) = (&self.profiles[at.0], at.1);
        let replica = place.tabs[&tab].engine.replica();
        let blocks = replica.page_blocks(conversation, None, limit).into_iter().filter_map(|number| {
            // A tab that does not know yet of a fold looks for a block that is no more.
            let record = place.store.records.get(&(Table::Blocks, Key::Number(number)))?.clone();
            Some((number, Block::read(&record).expect("a block")))
        });
        blocks.collect()
    }

    /// All messages that a tab shows.
    #[must_use]
    pub fn messages(&self, at: At) -> Vec<Message> {
        let conversations = self.tab(at).engine.replica().conversations(usize::MAX).into_iter();
        conversations.flat_map(|conversation| self.page(at, &conversation.id).messages).collect()
    }

    /// Where a tab finds a message.
    #[must_use]
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

    /// Of the tabs that are awake, one leads in each profile, and they agree whether they work offline.
    pub fn check_awake(&self) {
        for profile in 0..self.profiles.len() {
            let awake = self.awake().into_iter().filter(|at| at.0 == profile);
            let statuses: Vec<Status> = awake.map(|at| self.tab(at).engine.status()).collect();
            if statuses.is_empty() {
                // Its device was removed.
                continue;
            }
            let leaders = statuses.iter().filter(|status| status.leader).count();
            assert_eq!(leaders, 1, "stuck: one of those who are awake leads in profile {profile}");
            let agree = |pair: &[Status]| pair[0].working_offline == pair[1].working_offline;
            assert!(
                statuses.windows(2).all(agree),
                "divergent: profile {profile} works offline, and does not"
            );
        }
    }

    /// What lies in outboxes to be sent, and somebody who is awake should know it, where the leader is
    /// online.
    #[must_use]
    pub fn unsent(&self) -> BTreeSet<(usize, Key)> {
        let mut unsent = BTreeSet::new();
        let awake = self.awake();
        for (profile, place) in self.profiles.iter().enumerate() {
            let status = |at: &At| self.tab(*at).engine.status();
            let here = || awake.iter().filter(|at| at.0 == profile);
            if !here().map(status).any(|it| it.leader && it.connection == Connection::Online) {
                continue;
            }
            let mut said: BTreeSet<&Bytes> = BTreeSet::new();
            said.extend(self.model.promises().filter(|(at, _)| here().any(|it| it == at)).map(|(_, it)| it));
            for (key, record) in place.store.table(Table::Outbox) {
                let queued = local::Queued::decode(record.clone()).expect("an operation");
                let Some(wire::Operation { id, body: Some(operation::Body::Send(send)), .. }) =
                    queued.operation
                else {
                    continue;
                };
                let known = said.contains(&send.content) || !self.unheard.contains(&profile);
                // Written once more after it was sent, it may lie there until somebody looks.
                let arrived = || {
                    let views = self.server.views(&place.account).into_values();
                    views.flat_map(|view| view.messages).any(|message| message.id == id)
                };
                // Of what was given up a tab that stands still may bring back what the browser has erased.
                let given_up = OperationId::try_from(&id).is_ok_and(|id| place.store.given_up.contains(&id));
                if queued.refused.is_none() && !queued.discarded && known && !given_up && !arrived() {
                    unsent.insert((profile, key));
                }
            }
        }
        unsent
    }

    /// All tabs hold what the server holds, outboxes are empty, and nobody was told twice.
    pub fn check(&mut self) {
        let accounts: BTreeSet<&String> = self.profiles.iter().map(|place| &place.account).collect();
        let views: BTreeMap<String, _> =
            accounts.into_iter().map(|account| (account.clone(), self.server.views(account))).collect();
        for at in self.alive() {
            self.check_tab(at, &views[&self.profiles[at.0].account]);
        }
        // Or all come back at once when a server does.
        let different: BTreeSet<_> = self.waits.iter().collect();
        let spread = self.waits.len() < 30 || 2 * different.len() > self.waits.len();
        assert!(spread, "in step with each other: attempts to connect come after {different:?} ms");
        let recalled = self.model.recalled(&self.server);
        for (number, place) in self.profiles.iter().enumerate().filter(|(_, place)| !place.tabs.is_empty()) {
            let renamed = self.is_renamed(number);
            let leaders = place.tabs.values().filter(|tab| tab.engine.status().leader).count();
            assert_eq!(leaders, 1, "one leads in a profile");
            let configs: BTreeSet<_> = place.tabs.values().map(|tab| tab.engine.config()).collect();
            assert_eq!(configs.len(), 1, "divergent: tabs of a profile are set otherwise");
            for (key, record) in place.store.table(Table::Outbox) {
                let queued = local::Queued::decode(record.clone()).expect("an operation");
                let kept = queued.refused.is_some() || queued.discarded;
                assert!(kept, "stuck: {key:?} is still in an outbox");
            }
            for ((table, key), record) in &place.store.records {
                assert!(record.len() <= 60 * 1024, "{table:?} {key:?} holds {} bytes", record.len());
                // Who goes by another id now does not hear of what came for the one before alone.
                let kept = |content: &&Bytes| !renamed && memmem::find(record, content).is_some();
                let kept = recalled.iter().find(kept);
                assert_eq!(kept, None, "kept, though it was recalled");
                assert!(!is_ephemeral(record), "a status lies in {table:?} {key:?}");
            }
        }
        self.server.check_reach();
        self.check_anonymity();
        for account in self.server.storage.accounts() {
            let nobody_there = self.profiles.iter().all(|place| place.account != account);
            assert!(
                nobody_there || !self.server.has_unclaimed(&account),
                "stuck: something waits for a device"
            );
            for event in self.server.storage.log(&account) {
                assert!(!is_ephemeral(&event.encode_to_vec()), "a status is in {account}'s log");
            }
        }
    }

    /// What is said now to those who are there reaches all other profiles.
    pub fn check_status(&mut self, at: At, conversation: &str, within: u64) {
        let content = self.say(at, conversation);
        self.pass(within);
        for to in self.alive().into_iter().filter(|to| to.0 != at.0) {
            assert!(self.tab(to).custom.contains(&content), "{to:?} was not told of a status");
        }
    }

    /// The last message of a conversation says this, in all tabs.
    pub fn check_last(&self, conversation: &str, content: &[u8]) {
        for at in self.alive() {
            let last = self.page_of(at, conversation, 20).messages.pop();
            let said = last.as_ref().is_some_and(|last| last.content == content);
            assert!(said, "stuck: {at:?} has not heard of an edit in {conversation}");
        }
    }

    /// All tabs have heard of the last message of a conversation that all are in.
    pub fn check_arrived(&self, conversation: &str) {
        for (profile, place) in self.profiles.iter().enumerate() {
            let there = self.server.views(&place.account)[conversation].messages.len() as u64;
            for at in self.tabs_of(profile) {
                let here = self.tab(at).engine.replica().last_position(conversation).0;
                assert_eq!(here, there, "stuck: {at:?} has not heard of the last message in {conversation}");
            }
        }
    }

    fn check_tab(&self, at: At, views: &BTreeMap<String, View>) {
        let (tab, place) = (self.tab(at), &self.profiles[at.0]);
        let status = tab.engine.status();
        assert_eq!(status.connection, Connection::Online, "stuck: {at:?} is not connected: {status:?}");
        assert_eq!(status.pending, 0, "stuck: {at:?} has something left");
        assert!(status.catching_up.is_none(), "stuck: {at:?} catches up");
        assert!(!tab.engine.is_sync_disabled(), "stuck: {at:?} has not heard that devices are kept in step");
        let complete_from = tab.engine.replica().complete_from();
        let complete_from = complete_from.unwrap_or_else(|| panic!("stuck: {at:?} has not got all"));
        assert_eq!(tab.typists, BTreeSet::new(), "stuck: {at:?} shows that somebody types");
        let unanswered = tab.calls.iter().find(|call| !tab.replies.contains_key(call));
        assert_eq!(unanswered, None, "stuck: {at:?} was not answered");
        // What was given up may have been sent before, and comes back.
        let added = tab.told.iter().filter(|event| event.change == Change::Added);
        let added = added.map(|event| event.message.id).filter(|id| !place.store.given_up.contains(id));
        let added: Vec<_> = added.collect();
        let told: BTreeSet<_> = tab.told.iter().map(|event| event.message.id).collect();
        let twice = added.len() != added.iter().collect::<BTreeSet<_>>().len();
        assert!(!twice || self.model.tells_again(), "{at:?} was told of a message twice");
        for conversation in tab.engine.replica().conversations(usize::MAX) {
            // What was refused is shown only where it was sent.
            let failed = |message: &Message| matches!(message.state, State::Failed(_));
            let known = views.contains_key(&conversation.id)
                || self.page(at, &conversation.id).messages.iter().all(failed);
            assert!(known, "divergent: {at:?} shows {}", conversation.id);
        }
        let sessions = tab.engine.replica().sessions("").into_iter();
        let sessions: BTreeMap<String, BTreeMap<_, _>> =
            sessions.map(|session| (session.key, session.fields.into_iter().collect())).collect();
        let there = self.server.sessions(&self.profiles[at.0].account);
        assert_eq!(sessions, there, "divergent: {at:?} has other sessions");
        let notifications = tab.engine.replica().notifications(true, usize::MAX);
        let newest_first = notifications.is_sorted_by(|a, b| (a.created_at, &a.id) > (b.created_at, &b.id));
        assert!(newest_first, "out of order: {at:?} has {notifications:?}");
        // Another server has a clock of its own.
        let timeless =
            |it: &wire::Notification| (it.id.clone(), wire::Notification { created_at: 0, ..it.clone() });
        let here: BTreeMap<_, _> = notifications.iter().map(timeless).collect();
        let there = self.server.notifications(&self.profiles[at.0].account);
        let there: BTreeMap<_, _> = there.iter().map(timeless).collect();
        assert_eq!(here, there, "divergent: {at:?} has other notifications");
        tab.shown.check(tab.engine.replica());
        for (conversation, view) in views {
            let page = self.page(at, conversation);
            let withheld = self.withheld(at, conversation);
            // Of what follows on the last one that it knows it has heard nothing.
            let last = tab.engine.replica().last_position(conversation).0;
            let kept = self.server.storage.kept(&place.account, conversation);
            let unheard = |it: &wire::Message| {
                let old = it.sent_at < complete_from.0 || !kept.contains(&it.position);
                it.position > last && self.server.was_split && (old || withheld.contains(&it.position))
            };
            self.check_holes(at, conversation, view, &page.holes);
            self.check_places(at, &page);
            let sent = page.messages.iter();
            let sent = sent.filter(|message| matches!(message.state, State::Sent | State::Recalled));
            // What came for one device alone, a device that has gone by several ids may have or not, and hears of it no
            // more.
            let doubtful = self.is_renamed(at.0);
            let doubtful = |position: u64| doubtful && withheld.contains(&position);
            let sent = sent.filter(|message| !message.position.is_some_and(|position| doubtful(position.0)));
            let recalled = |message: &Message| message.state == State::Recalled;
            // What has become of a message that is no longer kept, no device learns that was away.
            let compared = |position: u64| !self.model.has_trimmed() || kept.contains(&position);
            let here: Vec<_> = sent
                .map(|message| {
                    let position = message.position.unwrap_or_default().0;
                    let content = compared(position).then_some((&message.content, recalled(message)));
                    (position, message.id.to_bytes(), content)
                })
                .collect();
            let hidden = |position: u64| {
                let hides = |hole: &Hole| (hole.from.0..=hole.to.0).contains(&position);
                page.holes.iter().any(hides)
            };
            let is_there = |it: &&wire::Message| {
                !hidden(it.position) && !withheld.contains(&it.position) && !unheard(it)
            };
            let messages = view.messages.iter().filter(is_there);
            let there: Vec<_> = messages
                .map(|message| {
                    let content = compared(message.position).then_some((&message.content, message.recalled));
                    (message.position, message.id.clone(), content)
                })
                .collect();
            assert_eq!(here, there, "divergent: {at:?} in {conversation}: {status:?}");
            // What was for another id alone, who goes by this one has looked back for.
            let by_itself = |message: &&Message| message.sent_at >= complete_from && !self.is_renamed(at.0);
            let told_of = page.messages.iter().filter(|_| !self.model.tells_again());
            for message in told_of.filter(by_itself) {
                let knew = told.contains(&message.id) || tab.known.contains(&message.id) || tab.unsaid > 0;
                assert!(knew, "{at:?} was not told of {message:?}");
                let since = &tab.told[tab.read_again..];
                let last = since.iter().rev().find(|event| event.message.id == message.id);
                let shown = last.is_none_or(|last| last.message.content == message.content);
                assert!(shown, "{at:?} was told last of {last:?}, not of {message:?}");
            }
            let Some(head) = tab.engine.replica().conversation(conversation) else { continue };
            let heard = view.messages.iter().rfind(|it| !unheard(it));
            let inbound = heard.map_or(0, |last| last.inbound);
            let there = (Position(view.read), inbound.saturating_sub(view.inbound(view.read)));
            assert_eq!(
                (head.read_position, head.unread),
                there,
                "divergent: {at:?} has read otherwise in {conversation}"
            );
            let read_by: BTreeMap<_, _> = head.read_by.into_iter().collect();
            assert_eq!(read_by, view.read_by, "divergent: {at:?} on who has read in {conversation}");
            let set = |name: &str| view.settings.get(name).is_some_and(|value| value[..] == b"true"[..]);
            let there = (view.settings.get("draft").cloned(), set("muted"), set("pinned"));
            assert_eq!((head.draft, head.muted, head.pinned), there, "divergent: {at:?} in {conversation}");
            if conversation.starts_with("group:") {
                let members: BTreeSet<_> = head.members.iter().collect();
                assert_eq!(members, view.members.iter().collect(), "divergent: {at:?} in {conversation}");
            }
        }
    }

    /// Where messages stand that are not for the device of a tab; if it has gone by several ids, all that were for one
    /// device alone.
    fn withheld(&self, at: At, conversation: &str) -> BTreeSet<u64> {
        if !self.server.was_split {
            return BTreeSet::new();
        }
        let nobody = DeviceId::from([0xff; 16]);
        let device = if self.is_renamed(at.0) { nobody } else { self.addressee(at) };
        self.server.storage.withheld(&self.profiles[at.0].account, conversation, device)
    }

    /// What is missing was sent before the device got all by itself, is not kept, or is another device's; and the
    /// last message is not missing.
    fn check_holes(&self, at: At, conversation: &str, view: &View, holes: &[Hole]) {
        if holes.is_empty() {
            return;
        }
        let complete_from = self.tab(at).engine.replica().complete_from().unwrap_or_default();
        let mut kept = self.server.storage.kept(&self.profiles[at.0].account, conversation);
        let withheld = self.withheld(at, conversation);
        kept.retain(|position| !withheld.contains(position));
        for hole in holes {
            let missing = &view.messages[hole.from.0 as usize - 1..hole.to.0 as usize];
            let old = |it: &wire::Message| it.sent_at < complete_from.0 || !kept.contains(&it.position);
            // Nor does who goes by another id now get what was for the one before alone.
            let all_old = self.is_renamed(at.0) || missing.iter().all(old);
            let listed = hole.to.0 < view.messages.len() as u64;
            assert!(all_old && listed, "lost: {at:?} lacks {hole:?}, and has all since {complete_from:?}");
        }
    }

    /// A message that leaves the outbox is in the copy, unless it was sent before all that a new copy holds, or is no
    /// longer kept.
    fn check_gone(&mut self, profile: usize) {
        let place = &mut self.profiles[profile];
        let gone = std::mem::take(&mut place.store.gone);
        if gone.is_empty() {
            return;
        }
        let meta = place.store.records.get(&(Table::Meta, Key::Number(0))).cloned().unwrap_or_default();
        let meta: local::Meta = codec::decode_local(meta).expect("a record");
        let views = self.server.views(&self.profiles[profile].account).into_values();
        let messages: Vec<wire::Message> = views.flat_map(|view| view.messages).collect();
        for id in gone {
            let sent = messages.iter().find(|message| message.id[..] == id.as_bytes()[..]);
            let account = &self.profiles[profile].account;
            // Or it is the device's that has sent the same.
            let kept = |it: &wire::Message| {
                let storage = &self.server.storage;
                storage.kept(account, &it.conversation).contains(&it.position) && !self.server.was_split
            };
            let old = |it: &wire::Message| it.sent_at < meta.complete_from || !kept(it);
            // Nor does a server know it any more that has gone back to a backup.
            let old = meta.snapshot.is_none() && sent.map_or(self.server.decided.is_none(), old);
            assert!(old, "lost for a moment: {id:?} has left the outbox and is not in the copy");
        }
    }

    /// Who looks at a whole conversation sees all of it that the server keeps. Answers whether anything was missing.
    pub fn check_history(&mut self) -> bool {
        let mut asked = Vec::new();
        for at in self.alive() {
            let conversations = self.tab(at).engine.replica().conversations(usize::MAX).into_iter();
            for id in conversations.map(|conversation| conversation.id).collect::<Vec<_>>() {
                asked.extend(self.fetch(at, &id, usize::MAX).map(|request| (at, id, request)));
            }
        }
        if asked.is_empty() {
            return false;
        }
        self.pass(1_000);
        for (at, conversation, request) in asked {
            let reply = self.tab(at).replies.get(&request);
            let Some(Ok(Reply::Fetched(expired))) = reply else {
                panic!("stuck: {at:?} asked for what is missing in {conversation}, and was told {reply:?}")
            };
            let mut kept = self.server.storage.kept(&self.profiles[at.0].account, &conversation);
            let withheld = self.withheld(at, &conversation);
            kept.retain(|position| !withheld.contains(position));
            let newest = self.page_of(at, &conversation, limits::HISTORY as usize);
            for hole in newest.holes {
                let known = kept.range(hole.from.0..=hole.to.0).next().is_none() && hole.to <= *expired;
                assert!(known, "lost: {at:?} has {hole:?} in {conversation}, of which is kept {kept:?}");
            }
        }
        true
    }

    /// Messages are found by their ids, too, and none is shown as refused that should have arrived.
    fn check_places(&self, at: At, page: &Page) {
        // Not every one of many, since each takes a look into a record.
        for message in page.messages.iter().step_by(1 + page.messages.len() / 50) {
            if message.state == State::Sent {
                let place = message.position.map(|position| (message.conversation.clone(), position));
                assert_eq!(
                    self.locate(at, message.id),
                    place,
                    "divergent: {at:?} finds {message:?} elsewhere"
                );
            }
        }
        let refused = page.messages.iter().filter(|message| matches!(message.state, State::Failed(_)));
        for message in refused {
            assert!(!self.model.is_allowed(&message.content), "lost: {at:?} shows as refused {message:?}");
        }
    }

    fn run(&mut self, at: At, source: Source, task: Task) {
        match task {
            Task::Input(input) => self.input(at, input),
            Task::Commit(meant, id, batch) => {
                let queued = batch.writes.iter().filter_map(|write| match write {
                    Write::Insert(Table::Outbox, _, record) => local::Queued::decode(record.clone()).ok(),
                    _ => None,
                });
                let said: Vec<Bytes> = queued.filter_map(|queued| content(&queued).cloned()).collect();
                let result = self.is_known(at, meant).and_then(|()| {
                    let place = &mut self.profiles[at.0];
                    let leads = |fence| place.leaderships.get(fence).is_none_or(|leader| *leader == at.1);
                    assert!(batch.fence.iter().all(leads), "{at:?} writes as another leader");
                    place.store.commit(batch)
                });
                self.check_gone(at.0);
                if result != Err(StoreError::Erased) {
                    said.iter().for_each(|content| self.model.rewritten(at, content, result.is_ok()));
                }
                let answer = match result {
                    Ok(()) => Input::Persisted(id),
                    Err(error) => Input::PersistFailed(id, error),
                };
                self.push(at, source, Task::Input(answer));
            }
            Task::Load(meant, id, extent) => {
                let result = self.is_known(at, meant).and_then(|()| {
                    let store = &mut self.profiles[at.0].store;
                    match extent {
                        Extent::Everything => store.load(&RESIDENT),
                        Extent::Outbox => store.load(&[Table::Outbox]),
                        Extent::Blocks(numbers) => store.blocks(&numbers),
                    }
                });
                let input = Input::Loaded(id, result);
                if self.reads_slowly {
                    self.loaded.push((at, input));
                } else {
                    self.push(at, source, Task::Input(input));
                }
            }
            Task::Claim(meant, id, from) => {
                let result =
                    self.is_known(at, meant).and_then(|()| self.profiles[at.0].store.raise_epoch(from));
                if let Ok(Claim::Won(_)) = result {
                    let known = self.profiles[at.0].leaderships.insert(from.next(), at.1);
                    assert_eq!(known, None, "two leaders of one epoch");
                }
                self.push(at, source, Task::Input(Input::Claimed(id, result)));
            }
            Task::Renew => {
                let generation = self.profiles[at.0].store.generation;
                self.tab_mut(at).generation = generation;
                let (clock, entropy) = (self.clock_of(at.0), self.random());
                let result = self.is_known(at, generation).and_then(|()| {
                    let anonymous = self.tab(at).engine.config().anonymous;
                    let store = &mut self.profiles[at.0].store;
                    store.commit(registration(clock, entropy, anonymous))?;
                    store.load(&RESIDENT)
                });
                self.push(at, source, Task::Input(Input::Renewed(result)));
            }
            Task::Erase => {
                let result = self.delete_store(at);
                self.push(at, source, Task::Input(Input::Erased(result)));
            }
            Task::Connect(id, transport) if self.reachable => match self.token_for(at) {
                Ok(token) => {
                    let wire = self.next();
                    self.server.opened(wire, transport == Transport::Post);
                    if let Some(tab) = self.profiles[at.0].tabs.get_mut(&at.1) {
                        tab.socket = Some(Socket { id, wire, mute: false, deaf: false });
                    }
                    self.push(at, Source::Server, Task::Input(Input::Connected(id, token)));
                }
                Err(failure) => self.push(at, Source::Server, Task::Input(Input::Disconnected(id, failure))),
            },
            Task::Connect(id, _) => {
                if let Some(tab) = self.profiles[at.0].tabs.get_mut(&at.1) {
                    tab.failed = Some((id, None));
                }
                self.push(at, Source::Server, Task::Input(Input::Disconnected(id, lost())))
            }
            Task::ToServer(..) if self.swallows => {}
            Task::ToServer(wire, bytes) => {
                let now = self.clock();
                match self.cut_off(&bytes) {
                    None => self.server.received(wire, bytes, now),
                    Some(part) => {
                        // Of a part that is no frame the server learns nothing.
                        if codec::decode_client(part.clone()).is_ok() {
                            self.server.received(wire, part, now);
                        }
                        self.cut_one(at);
                    }
                }
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
        self.server.expire(self.clock());
        for (wire, bytes) in self.server.said() {
            for at in self.alive() {
                let Some(socket) = self.tab(at).socket.filter(|socket| socket.wire == wire) else { continue };
                match bytes.clone() {
                    _ if socket.deaf => {}
                    Some(bytes) => self.deliver_frame(at, socket.id, &bytes),
                    None => {
                        self.tab_mut(at).socket = None;
                        let input = Input::Disconnected(socket.id, lost());
                        self.push(at, Source::Server, Task::Input(input));
                    }
                }
            }
        }
    }

    fn deliver_frame(&mut self, at: At, id: ConnectionId, bytes: &Bytes) {
        if let Some(part) = self.cut_off(bytes) {
            self.push(at, Source::Server, Task::Input(Input::FrameReceived(id, part)));
            self.push(at, Source::Server, Task::Input(Input::Disconnected(id, lost())));
            let socket = self.tab_mut(at).socket.take();
            return socket.into_iter().for_each(|socket| self.server.closed(socket.wire));
        }
        let disorder = self.weather.server_disorder;
        self.server.in_disorder |= disorder > 0;
        let dice = self.chance.next_u32() % 100;
        let (lost, twice, overtakes) =
            (dice < disorder, dice < 2 * disorder, (2 * disorder..3 * disorder).contains(&dice));
        let times = if lost { 0 } else { 1 + u32::from(twice) };
        for _ in 0..times {
            self.push(at, Source::Server, Task::Input(Input::FrameReceived(id, bytes.clone())));
        }
        if overtakes {
            let lane = self.lanes.entry((at, Source::Server)).or_default();
            if let [.., (_, before), (_, last)] = lane.make_contiguous() {
                std::mem::swap(before, last);
            }
        }
    }

    fn carry_out(&mut self, at: At, effect: Effect) {
        self.check_ended(at, &effect);
        match effect {
            Effect::Persist(id, batch) => {
                // Each on its own: commits that overlap have no order.
                let source = Source::Store(self.next());
                self.push(at, source, Task::Commit(self.tab(at).generation, id, batch));
            }
            Effect::Load(id, extent) => {
                let source = Source::Store(self.next());
                self.push(at, source, Task::Load(self.tab(at).generation, id, extent));
            }
            Effect::Connect(id, transport) => {
                if let Some(tab) = self.profiles[at.0].tabs.get_mut(&at.1) {
                    tab.attempts.push(self.now);
                }
                self.push(at, Source::Server, Task::Connect(id, transport));
            }
            Effect::Disconnect(id) => {
                let Some(tab) = self.profiles[at.0].tabs.get_mut(&at.1) else { return };
                if let Some(socket) = tab.socket.take_if(|socket| socket.id == id) {
                    self.server.closed(socket.wire);
                    self.lanes.remove(&(at, Source::Server));
                }
            }
            Effect::Send(id, bytes) => {
                let Some(tab) = self.profiles[at.0].tabs.get(&at.1) else { return };
                if let Some(socket) = tab.socket.filter(|socket| socket.id == id && !socket.mute) {
                    self.push(at, Source::Up, Task::ToServer(socket.wire, bytes));
                }
            }
            Effect::Broadcast(bytes) => {
                if self.profiles[at.0].tabs.get(&at.1).is_some_and(|tab| tab.suspended) {
                    return;
                }
                let hears = |to: &At| *to != at && !self.tab(*to).suspended;
                let others: Vec<At> = self.tabs_of(at.0).filter(hears).collect();
                for to in others {
                    if self.chance.next_u32() % 100 < self.weather.channel_loss {
                        self.unheard.insert(at.0);
                        self.deafened.insert(at.0);
                        continue;
                    }
                    if self.weather.channel_disorder {
                        self.unheard.insert(at.0);
                    }
                    let twice = self.weather.channel_disorder && self.chance.next_u32().is_multiple_of(4);
                    for _ in 0..=u32::from(twice) {
                        // A lane for each frame has no order.
                        let lane = if self.weather.channel_disorder { self.next() } else { at.1 };
                        self.push(to, Source::Tab(lane), Task::Input(Input::ChannelFrame(bytes.clone())));
                    }
                }
            }
            Effect::Resolve(id, result) => {
                match &result {
                    Ok(Reply::Message(message)) => {
                        let content = self.model.first(message.id, &message.content);
                        self.model.confirmed(at, &content);
                    }
                    Ok(Reply::Done) => {
                        if let Some(message) = self.model.done(id) {
                            self.note_given_up(at, message);
                        }
                        let account = &self.profiles[at.0].account;
                        // A page that was said twice may be taken for the one that was asked for.
                        let tab = self.profiles[at.0].tabs.get(&at.1).filter(|_| !self.server.in_disorder);
                        if let Some(tab) = tab {
                            let replica = tab.engine.replica();
                            // What the leader says last of its copy may have been lost.
                            let told = tab.engine.status().leader || !self.unheard.contains(&at.0);
                            // Nor are all messages this device's where devices are not kept in step.
                            let told = told && !self.server.was_split;
                            self.model.synced(id, told.then_some(replica), || self.server.views(account));
                        }
                    }
                    Ok(Reply::Presence(_) | Reply::Fetched(_) | Reply::Devices(_)) | Err(_) => {}
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
                self.push(at, source, Task::Claim(self.tab(at).generation, id, from));
            }
            Effect::Renew => {
                let source = Source::Store(self.next());
                self.push(at, source, Task::Renew);
            }
            Effect::Erase => {
                let source = Source::Store(self.next());
                self.push(at, source, Task::Erase);
            }
            Effect::FetchToken(id) => {
                let token = self.token_for(at);
                self.push(at, Source::Server, Task::Input(Input::TokenFetched(id, token)));
            }
            Effect::Close => {
                self.release(at.0, |(tab, _)| tab == at.1);
                // With what it had in memory alone.
                self.model.gone(at);
                if let Some(tab) = self.profiles[at.0].tabs.get_mut(&at.1) {
                    tab.ended = true;
                }
            }
        }
    }

    /// A message was given up. If it has not arrived, it never will, unless a tab that led before has sent it
    /// or will, and knows nothing of the one that leads now, or a refusal that came twice was taken for the
    /// answer to the attempt that followed.
    fn note_given_up(&mut self, at: At, message: OperationId) {
        let place = &self.profiles[at.0];
        let leaders = place.tabs.values().filter(|tab| tab.engine.status().leader).count();
        let views = self.server.views(&place.account).into_values();
        let mut sent = views.flat_map(|view| view.messages).map(|message| message.id);
        if leaders == 1 && !self.server.in_disorder && !sent.any(|id| id == message.to_bytes()) {
            self.model.stopped(message);
        }
    }

    /// Whether the store is the one that the tab knows, and that something was meant for.
    fn is_known(&self, at: At, meant: u64) -> Result<(), StoreError> {
        let place = &self.profiles[at.0];
        match place.tabs.get(&at.1) {
            Some(tab) if tab.generation != place.store.generation || tab.generation != meant => {
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
        if !self.profiles[at.0].tabs.contains_key(&at.1) {
            return;
        }
        let longest = match source {
            Source::Server | Source::Up => self.weather.latency,
            Source::Store(_) => self.weather.store_latency,
            Source::Tab(_) | Source::Lock => 0,
        };
        // Mostly short, now and then long.
        let within = if self.chance.next_u32().is_multiple_of(8) { longest } else { longest / 16 };
        let due = self.now + if within == 0 { 0 } else { u64::from(self.chance.next_u32()) % within };
        let lane = self.lanes.entry((at, source)).or_default();
        let due = lane.back().map_or(due, |(before, _)| due.max(*before));
        lane.push_back((due, task));
    }

    /// What wall clocks show that are right.
    #[must_use]
    pub fn clock(&self) -> Millis {
        Millis(self.wall + self.now)
    }

    /// What the wall clock of a profile shows.
    #[must_use]
    pub fn clock_of(&self, profile: usize) -> Millis {
        Millis(self.clock().0.saturating_add_signed(self.profiles[profile].skew))
    }

    /// A text that nobody has sent yet.
    pub fn text(&mut self) -> String {
        format!("text {}", self.next())
    }

    /// The number of a call.
    pub fn request(&mut self) -> RequestId {
        RequestId(self.next())
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

/// Names a new store, and makes it a device's if that is to have a lasting id.
fn registration(clock: Millis, entropy: [u8; 10], anonymous: bool) -> Batch {
    let store = StoreId::mint(clock, entropy.map(|byte| !byte));
    identity_batch(store, (!anonymous).then(|| DeviceId::mint(clock, entropy)))
}

/// What a message on its way says.
fn content(queued: &local::Queued) -> Option<&Bytes> {
    match queued.operation.as_ref()?.body.as_ref()? {
        operation::Body::Send(send) => Some(&send.content),
        _ => None,
    }
}

/// What every custom status says, and nothing else.
const EPHEMERAL: &str = "ephemeral";

fn is_ephemeral(bytes: &[u8]) -> bool {
    memmem::find(bytes, EPHEMERAL.as_bytes()).is_some()
}

/// Who types, or does not any more, as a frame says it.
fn typing_in(input: &Input) -> Option<((String, String), bool)> {
    // Few frames are that, so their beginnings are looked at first: the key of the status, which on the channel
    // comes after 16 bytes that say whose it is.
    let status = match input {
        Input::FrameReceived(_, bytes) if bytes.first() == Some(&0x42) => {
            wire::ServerFrame::decode(bytes.clone()).ok()?.frame.and_then(|frame| match frame {
                server_frame::Frame::Status(status) => Some(status),
                _ => None,
            })?
        }
        Input::ChannelFrame(bytes) if bytes.get(18..20) == Some(&[0x92, 0x01]) => {
            local::ChannelFrame::decode(bytes.clone()).ok()?.frame.and_then(|frame| match frame {
                local::channel_frame::Frame::Told(status) => Some(status),
                _ => None,
            })?
        }
        _ => return None,
    };
    match status.status? {
        status::Status::Typing(typing) => Some(((typing.conversation, typing.account), typing.typing)),
        _ => None,
    }
}

fn lost() -> Failure {
    Failure::new(Code::Offline, "the server cannot be reached")
}

/// Every kind of failure that storage knows and that may pass.
#[must_use]
pub fn store_errors() -> [StoreError; 3] {
    [StoreError::Quota, StoreError::Damaged("x".into()), StoreError::Failed("x".into())]
}
