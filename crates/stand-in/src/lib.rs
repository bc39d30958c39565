//! A server in memory: the real one's acceptance over its storage in memory, and connections as docs/protocol.md has them.
//! Nothing in it waits, reads a clock or rolls dice.
//!
//! ```text
//! server.opened(wire, post)            a client connects
//! server.received(wire, frame, now)    it has sent this
//! server.said()                        what goes to whom; no frame: that connection has ended
//! ```
//! The simulator plays its histories against it, and holds the real server to saying the same, frame by frame.

pub mod decided;
mod devices;

use std::{
    collections::{BTreeMap, BTreeSet},
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use async_trait::async_trait;
use bytes::Bytes;
use tutti_acceptance::{
    accept::{Refusal, Submission, Verdict, decide},
    groups::PutGroup,
    history::{Trim, history, snapshot},
    notifications::{Notify, withhold},
    platform::Platform,
    reach::{Claim, Online, Reach},
    source::Source,
    status::{Presence, audience},
    storage::{AccountKey, Addressee, MemoryStorage, Page, Reader, Storage as _},
    work::{Work, perform},
};
use tutti_protocol::{
    Code, DeviceId, LogId, Millis, OperationId, Position, Seq, codec, limits,
    wire::{
        self, Availability, SnapshotPlace, client_frame, event, operation, server_frame,
        status::Status as Kind,
    },
};

pub use self::devices::{timeless, token, token_of};
use crate::decided::Decided;

/// How long a day lasts, in milliseconds.
const DAY: u64 = 24 * 60 * 60 * 1_000;

/// Which connection, from the server's side.
pub type Wire = u64;

/// What the server says on a connection; none is its end.
pub type Said = (Wire, Option<Bytes>);

/// A server, and who is connected to it.
#[derive(Debug)]
pub struct Server {
    /// What it keeps.
    pub storage: MemoryStorage,
    /// Operations that are taken before the next [`Server::refill`]; without a number all are.
    pub budget: Option<usize>,
    /// Events that pages have carried.
    pub pulled: u64,
    /// Submits that have come in, by their number of operations.
    pub submits: Vec<usize>,
    /// Connections from the web that an account may have; of any other platform it may have one.
    pub places: usize,
    /// Whether it does not keep an account's devices in step.
    sync_disabled: bool,
    /// Whether it ever did not.
    pub was_split: bool,
    /// Messages, and whether devices were kept in step when they came.
    for_one: BTreeMap<Bytes, bool>,
    /// Days of messages that a new device may get by itself.
    pub compensation_days: u32,
    /// How long a day lasts, in milliseconds.
    pub day: u64,
    /// What it says is or was lost or doubled on the way, so that clients may misunderstand it.
    pub in_disorder: bool,
    /// Accounts with something new in their logs, of which nobody was told.
    grown: BTreeSet<String>,
    sessions: BTreeMap<Wire, Session>,
    /// Connections that are open, and whether what comes over them comes by post.
    open: BTreeMap<Wire, bool>,
    /// Closed: what is still on its way from there goes nowhere.
    gone: BTreeSet<Wire>,
    out: Vec<Said>,
    /// What users have set others to see, until their last connection ends.
    availabilities: BTreeMap<String, Availability>,
    /// What accounts and others were told last of their presence.
    presences: BTreeMap<String, (wire::AccountPresence, wire::AccountPresence)>,
    /// Contents of statuses that went to those who were there.
    pub forwarded: Vec<Bytes>,
    /// Ids that devices without a lasting one have said.
    pub passing: BTreeSet<DeviceId>,
    /// Who had a connection when lists of devices were told last.
    there: BTreeSet<(String, DeviceId)>,
    /// Accounts of whose devices something looks different since.
    relisted: BTreeSet<String>,
    /// Devices that were removed, and by whom, and that may still be connected.
    removed: Vec<(String, String, Option<String>)>,
    /// Tokens that it has turned away, since a device that was removed had come with them.
    pub barred: BTreeSet<String>,
    /// Tokens that have taken the place of another.
    pub refreshed: u64,
    /// What must hold of all that it was asked for; none once it has gone back to a backup.
    pub decided: Option<Decided>,
    mirror: Option<Box<dyn Mirror>>,
}

/// Another server to which the same happens. It is to say the same.
pub trait Mirror: std::fmt::Debug {
    /// A connection begins, or something that comes by post.
    fn opened(&mut self, wire: Wire, post: bool);
    /// A client has sent a frame.
    fn received(&mut self, wire: Wire, frame: &Bytes);
    /// A client has closed its connection, or it broke.
    fn closed(&mut self, wire: Wire);
    /// The back end of the application makes a group or changes it.
    fn set_group(&mut self, id: &str, members: &[&str]);
    /// The back end of the application lets an account send a message.
    fn post(&mut self, sender: &str, conversation: &str, id: OperationId, content: &str);
    /// The back end of the application notifies accounts.
    fn notify(&mut self, accounts: &BTreeSet<String>, notification: &wire::Notification);
    /// An operator changes the number of connections that an account may have.
    fn set_places(&mut self, places: usize);
    /// The process dies, and another takes its place.
    fn restart(&mut self);
    /// What it has said, which is to be this. It goes to the clients.
    fn said(&mut self, expected: Vec<Said>) -> Vec<Said>;
}

/// One account's view of a conversation.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct View {
    /// All messages, from position 1 on.
    pub messages: Vec<wire::Message>,
    /// The position up to which it was read.
    pub read: u64,
    /// Who is in the group.
    pub members: Vec<String>,
    /// What is set of it.
    pub settings: Fields,
    /// How far others have read.
    pub read_by: BTreeMap<String, Position>,
}

/// What is set of something, by name.
pub type Fields = BTreeMap<String, Bytes>;

impl View {
    /// How many messages up to a position came from others.
    #[must_use]
    pub fn inbound(&self, position: u64) -> u64 {
        position.checked_sub(1).map_or(0, |index| self.messages[index as usize].inbound)
    }
}

/// The device of each account that was connected last.
#[derive(Debug)]
struct There(BTreeMap<String, DeviceId>);

#[async_trait]
impl Online for There {
    async fn device(&self, account: &str) -> Option<DeviceId> {
        self.0.get(account).copied()
    }
}

fn by_name(fields: &[wire::Field]) -> Fields {
    fields.iter().map(|field| (field.name.clone(), field.value.clone())).collect()
}

fn view_of<'a>(views: &'a mut BTreeMap<String, View>, conversation: &str) -> &'a mut View {
    if !views.contains_key(conversation) {
        views.insert(conversation.to_owned(), View::default());
    }
    views.get_mut(conversation).expect("a view")
}

#[derive(Debug)]
struct Session {
    account: String,
    device: Bytes,
    source: Source,
    platform: Platform,
    epoch: u64,
    /// It comes by post, and takes no place.
    post: bool,
    /// How far it reads is not told to others.
    hide_reads: bool,
    /// It wants what the account is notified of.
    notified: bool,
    /// Sent so far, once it is live.
    live: Option<u64>,
    /// It was told to submit nothing before then.
    hold: Millis,
    /// It has pulled: from then on its account is there.
    present: bool,
    /// When its token expires.
    expires_at: Millis,
    /// What its device calls itself.
    name: String,
    /// It wants to be told of the account's devices.
    listens: bool,
    /// How those looked when it came, or was told last.
    list: Option<wire::Devices>,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            storage: MemoryStorage::new(LogId::from([1; 16])),
            budget: None,
            pulled: 0,
            submits: Vec::new(),
            places: limits::CONNECTIONS,
            sync_disabled: false,
            was_split: false,
            for_one: BTreeMap::new(),
            compensation_days: 1,
            day: DAY,
            in_disorder: false,
            grown: BTreeSet::new(),
            sessions: BTreeMap::new(),
            open: BTreeMap::new(),
            gone: BTreeSet::new(),
            out: Vec::new(),
            availabilities: BTreeMap::new(),
            presences: BTreeMap::new(),
            forwarded: Vec::new(),
            passing: BTreeSet::new(),
            there: BTreeSet::new(),
            relisted: BTreeSet::new(),
            removed: Vec::new(),
            barred: BTreeSet::new(),
            refreshed: 0,
            decided: Some(Decided::default()),
            mirror: None,
        }
    }
}

impl Server {
    /// Lets the same happen to another server.
    pub fn mirror(&mut self, mirror: Box<dyn Mirror>) {
        self.mirror = Some(mirror);
        self.day = DAY;
    }

    /// Whether the same happens to another server.
    #[must_use]
    pub fn is_mirrored(&self) -> bool {
        self.mirror.is_some()
    }

    /// An account's conversations, as its log tells them.
    #[must_use]
    pub fn views(&self, account: &str) -> BTreeMap<String, View> {
        let mut views: BTreeMap<String, View> = BTreeMap::new();
        for event in self.storage.log(account) {
            match &event.body {
                Some(event::Body::Message(message)) => {
                    view_of(&mut views, &message.conversation).messages.push(message.clone());
                }
                Some(event::Body::Members(members)) => {
                    view_of(&mut views, &members.conversation).members.clone_from(&members.members);
                }
                Some(event::Body::Read(read)) => {
                    view_of(&mut views, &read.conversation).read = read.position;
                }
                Some(event::Body::Changed(message)) => {
                    let view = view_of(&mut views, &message.conversation);
                    let place = view.messages.get_mut(message.position as usize - 1);
                    place.expect("what changes was there").clone_from(message);
                }
                Some(event::Body::ReadBy(read_by)) => {
                    let view = view_of(&mut views, &read_by.conversation);
                    view.read_by.insert(read_by.account.clone(), Position(read_by.position));
                }
                Some(event::Body::Fields(shared)) if !shared.target.starts_with("session:") => {
                    view_of(&mut views, &shared.target).settings = by_name(&shared.fields);
                }
                Some(event::Body::Fields(_) | event::Body::Past(_) | event::Body::Notification(_)) | None => {
                }
            }
        }
        views
    }

    /// An account's sessions, by key, as its log tells them.
    #[must_use]
    pub fn sessions(&self, account: &str) -> BTreeMap<String, Fields> {
        let mut sessions = BTreeMap::new();
        for event in self.storage.log(account) {
            if let Some(event::Body::Fields(shared)) = &event.body
                && let Some(key) = shared.target.strip_prefix("session:")
            {
                sessions.insert(key.to_owned(), by_name(&shared.fields));
            }
        }
        sessions.retain(|_, fields| !fields.is_empty());
        sessions
    }

    /// Makes a group, or changes who is in it. Says whether that could be stored.
    pub fn set_group(&mut self, id: &str, members: &[&str]) -> bool {
        if let Some(mirror) = &mut self.mirror {
            mirror.set_group(id, members);
        }
        let members = members.iter().map(|name| (*name).to_owned()).collect();
        let stored = self.perform(&PutGroup { id: id.to_owned(), members }).is_ok_and(|put| put.is_ok());
        self.push();
        stored
    }

    /// What an account is notified of, as it is kept, the newest first.
    #[must_use]
    pub fn notifications(&self, account: &str) -> Vec<wire::Notification> {
        let kept = poll(self.storage.notifications(account, None, usize::MAX));
        let mut kept = kept.expect("memory holds");
        kept.sort_by(|a, b| (b.created_at, &b.id).cmp(&(a.created_at, &a.id)));
        kept
    }

    /// Notifies accounts. Says whether that could be stored.
    pub fn notify(
        &mut self,
        accounts: &BTreeSet<String>,
        notification: wire::Notification,
        now: Millis,
    ) -> bool {
        if let Some(mirror) = &mut self.mirror {
            mirror.notify(accounts, &notification);
        }
        let stored = self.perform(&Notify { accounts: accounts.clone(), notification, now });
        self.push();
        stored.is_ok_and(|notified| notified.is_ok())
    }

    /// A message through no device of the simulation.
    pub fn post(&mut self, sender: &str, conversation: &str, id: OperationId, content: &str, now: Millis) {
        if let Some(mirror) = &mut self.mirror {
            mirror.post(sender, conversation, id, content);
        }
        self.post_all(sender, &[(conversation.to_owned(), id, content.to_owned())], now);
    }

    /// Messages through no device of the simulation: where, under which id, and what.
    pub fn post_all(&mut self, sender: &str, messages: &[(String, OperationId, String)], now: Millis) {
        let operation = |(conversation, id, content): &(String, OperationId, String)| {
            let (conversation, content) = (conversation.clone(), content.clone().into());
            let send = wire::Send { conversation, r#type: "text".into(), content };
            wire::Operation { id: id.to_bytes(), clock: 0, body: Some(operation::Body::Send(send)) }
        };
        let operations = messages.iter().map(operation).collect();
        let submission = self.submission(sender, Source::BackEnd, operations, now);
        // A back end would ask again where it was refused.
        self.decide(submission);
        self.push();
    }

    /// A client that is none of ours asks for this in the name of an account.
    pub fn meddle(&mut self, account: &str, id: OperationId, body: operation::Body, now: Millis) {
        let operation = wire::Operation { id: id.to_bytes(), clock: 0, body: Some(body) };
        self.act(account, operation, true, now);
    }

    /// The back end of the application does something in the name of an account.
    pub fn act(
        &mut self,
        account: &str,
        operation: wire::Operation,
        include_sender: bool,
        now: Millis,
    ) -> Verdict {
        let submission = self.submission(account, Source::BackEnd, vec![operation], now);
        let verdict = self.decide(Submission { include_sender, ..submission }).pop();
        self.push();
        verdict.expect("one for each operation")
    }

    /// Lets an account have so many connections from the web. Of more that stand, who came last go.
    pub fn set_places(&mut self, places: usize) {
        if let Some(mirror) = &mut self.mirror {
            mirror.set_places(places);
        }
        self.places = places;
        let accounts: BTreeSet<String> = self.sessions.values().map(|it| it.account.clone()).collect();
        for account in accounts {
            let standing = self.standing(&account, Platform::Web);
            let surplus = standing.get(places..).unwrap_or_default();
            let kept = &standing[..standing.len() - surplus.len()];
            let holders: Vec<Bytes> = kept.iter().map(|(_, device)| device.clone()).collect();
            for (wire, _) in surplus {
                self.sessions.remove(wire);
                let limit = self.limit(Platform::Web, holders.clone());
                self.end(*wire, limit);
            }
        }
    }

    /// Keeps the devices of accounts in step, or does not. Not if another server is to do the same, which finds
    /// who is there by a clock of its own.
    pub fn set_sync_disabled(&mut self, disabled: bool) -> bool {
        if self.mirror.is_some() {
            return false;
        }
        self.sync_disabled = disabled;
        self.was_split |= disabled;
        self.set_places(if disabled { 1 } else { limits::CONNECTIONS });
        let mut frames = Vec::new();
        for (wire, session) in &self.sessions {
            if let Some(live) = session.live {
                let head = poll(self.storage.head(&session.account)).expect("memory holds");
                let page = Page { next: Seq(live), head, ..Page::default() };
                frames.push((*wire, self.delta(live, page)));
            }
        }
        for (wire, delta) in frames {
            self.send(wire, server_frame::Frame::Delta(delta));
        }
        true
    }

    /// What came while devices were not kept in step is for one of an account's devices, and all else for all.
    pub fn check_reach(&self) {
        for (id, for_one) in self.for_one.iter().filter(|_| self.was_split) {
            let addressees = self.storage.addressees(id);
            let right = addressees.iter().all(|it| (*it != Addressee::All) == *for_one);
            assert!(right, "divergent: {id:?} is for {addressees:?}; for one alone: {for_one}");
        }
    }

    /// Whether anything in an account's log waits for the first device that comes.
    #[must_use]
    pub fn has_unclaimed(&self, account: &str) -> bool {
        poll(self.storage.waits(account, Seq(u64::MAX))).expect("memory holds")
    }

    /// Keeps nothing any more that was sent before a time, but the last message of each conversation. Not if another
    /// server is to do the same, which has a clock of its own.
    pub fn trim(&mut self, before: Millis) -> bool {
        let mut next = Some(AccountKey(-1)).filter(|_| self.mirror.is_none());
        let trims = next.is_some();
        while let Some(after) = next {
            // A full disk keeps all.
            next = self.perform(&Trim { after, before }).ok().and_then(|trimmed| trimmed.next);
        }
        trims
    }

    /// Takes so many more operations, or all.
    pub fn refill(&mut self, budget: Option<usize>) {
        self.budget = budget;
    }

    /// As whom a client has said hello, and whether that id lasts.
    #[must_use]
    pub fn source_of(&self, wire: Wire) -> Option<(bool, DeviceId)> {
        match self.sessions.get(&wire)?.source {
            Source::BackEnd => None,
            Source::Device(device) => Some((true, device)),
            Source::Passing(device) => Some((false, device)),
        }
    }

    /// Connections that a device has.
    #[must_use]
    pub fn sessions_of(&self, device: &[u8]) -> usize {
        self.sessions.values().filter(|session| !session.post && session.device[..] == *device).count()
    }

    /// A connection begins, or something that comes by post.
    pub fn opened(&mut self, wire: Wire, post: bool) {
        if let Some(mirror) = &mut self.mirror {
            mirror.opened(wire, post);
        }
        self.open.insert(wire, post);
    }

    /// A client has closed a connection, or it broke.
    pub fn closed(&mut self, wire: Wire) {
        if let Some(mirror) = &mut self.mirror {
            mirror.closed(wire);
        }
        self.sessions.remove(&wire);
        self.open.remove(&wire);
        self.gone.insert(wire);
    }

    /// Forgets its connections without a word.
    pub fn fall_silent(&mut self) {
        self.sessions.clear();
    }

    /// Says goodbye to everyone, to come back after so many milliseconds.
    pub fn bye(&mut self, wait: u32) {
        for wire in std::mem::take(&mut self.sessions).into_keys() {
            self.end(wire, server_frame::Frame::Bye(wire::Bye { wait }));
        }
    }

    /// Dies, and another process takes its place: connections end without a word.
    pub fn restart(&mut self) {
        if let Some(mirror) = &mut self.mirror {
            mirror.restart();
        }
        self.sessions.clear();
        self.availabilities.clear();
        self.presences.clear();
        for wire in std::mem::take(&mut self.open).into_keys() {
            self.gone.insert(wire);
            self.out.push((wire, None));
        }
    }

    /// Becomes what another server would be, set up anew, with these groups.
    pub fn forget_all(&mut self, log: LogId, groups: &[(&str, &[&str])]) {
        self.leave();
        self.storage.replace(&MemoryStorage::new(log));
        self.for_one.clear();
        for (id, members) in groups {
            self.set_group(id, members);
        }
    }

    /// Goes back to a backup, under the name of another log.
    pub fn restore(&mut self, backup: &MemoryStorage, log: LogId) {
        self.leave();
        self.storage.restore(backup, log);
        self.for_one.retain(|id, _| self.storage.is_stored(id));
    }

    /// Ends, to begin again with something else.
    fn leave(&mut self) {
        self.bye(100);
        self.decided = None;
    }

    /// What is to be sent, in order.
    pub fn said(&mut self) -> Vec<Said> {
        self.tell_presences();
        self.tell_lists();
        let said = std::mem::take(&mut self.out);
        match &mut self.mirror {
            Some(mirror) => mirror.said(said),
            None => said,
        }
    }

    /// A client has sent a frame.
    pub fn received(&mut self, wire: Wire, bytes: Bytes, now: Millis) {
        if self.gone.contains(&wire) {
            return;
        }
        if let Some(mirror) = &mut self.mirror {
            mirror.received(wire, &bytes);
        }
        if let Some(Session { account, device, epoch, post: true, .. }) = self.sessions.get(&wire)
            && self.is_superseded(account, device, *epoch)
        {
            // Each post says hello again.
            return self.refuse(wire, Code::Conflict, 0);
        }
        if let Some(Session { account, source, post: true, .. }) = self.sessions.get(&wire)
            && let Some(by) = source.lasting().and_then(|device| self.removal(account, device))
        {
            return self.revoke(wire, by);
        }
        let frame = codec::decode_client(bytes).expect("the engine sends what the codec takes").frame;
        match (frame, self.sessions.get_mut(&wire)) {
            (Some(client_frame::Frame::Hello(hello)), None) => self.hello(wire, hello, now),
            (Some(client_frame::Frame::Pull(pull)), Some(_)) => self.pull(wire, pull.after),
            (Some(client_frame::Frame::PullSnapshot(pull)), Some(session)) => {
                let (account, reader) = (session.account.clone(), self.reader(wire));
                let head = poll(self.storage.head(&account)).expect("memory holds");
                let waits = || poll(self.storage.waits(&account, head)).expect("memory holds");
                if pull.place.is_none() && waits() && !self.claim(&account, reader, Seq(0), head) {
                    return self.refuse_full(wire);
                }
                let days = u64::from(pull.days.min(self.compensation_days));
                let from = if self.sync_disabled { now.0 + 1 } else { now.0 - days * self.day };
                // Another server has a clock of its own.
                let mirrored = self.mirror.is_some();
                let place =
                    pull.place.map(|it| SnapshotPlace { from: if mirrored { 0 } else { it.from }, ..it });
                let page = poll(snapshot(&self.storage, &account, reader, head, (place, Millis(from))));
                let page = page.expect("memory holds");
                self.pulled += page.events.len() as u64;
                self.send(wire, server_frame::Frame::Snapshot(page));
            }
            (Some(client_frame::Frame::PullHistory(pull)), Some(session)) => {
                let (account, reader) = (session.account.clone(), self.reader(wire));
                let page = poll(history(&self.storage, &account, reader, pull)).expect("memory holds");
                self.send(wire, server_frame::Frame::History(page));
            }
            (Some(client_frame::Frame::Submit(submit)), Some(_)) => self.submit(wire, submit, now),
            (Some(client_frame::Frame::Privacy(privacy)), Some(session)) => {
                session.hide_reads = privacy.hide_reads;
            }
            (Some(client_frame::Frame::Ping(ping)), Some(_)) => {
                self.send(wire, server_frame::Frame::Pong(wire::Pong { nonce: ping.nonce }));
            }
            (Some(client_frame::Frame::Status(status)), Some(_)) => self.say(wire, status),
            (Some(client_frame::Frame::Ask(ask)), Some(_)) => self.ask(wire, &ask.account),
            (Some(client_frame::Frame::Manage(manage)), Some(_)) => self.manage(wire, manage, now),
            (Some(client_frame::Frame::Refresh(refresh)), Some(_)) => {
                self.refresh(wire, &refresh.token, now);
            }
            // Late frames of a connection that was ended.
            _ => {}
        }
    }

    fn hello(&mut self, wire: Wire, hello: wire::Hello, now: Millis) {
        let id = DeviceId::try_from(&hello.device).expect("the engine sends what the codec takes");
        let source = if hello.passing { Source::Passing(id) } else { Source::Device(id) };
        let expires_at = match self.admit(&hello.account, source, &hello.token, now) {
            Ok(expires_at) => expires_at,
            Err(why) => return self.turn_away(wire, why),
        };
        let post = self.open.get(&wire) == Some(&true);
        if self.is_superseded(&hello.account, &hello.device, hello.epoch) {
            return self.refuse(wire, Code::Conflict, 0);
        }
        if !post && !self.make_room(wire, &hello) {
            return;
        }
        let head = poll(self.storage.head(&hello.account)).expect("memory holds").0;
        let platform = Platform::from(hello.platform());
        let tail = poll(self.storage.tail(&hello.account)).expect("memory holds").0;
        self.passing.extend(hello.passing.then_some(id));
        let (account, device, epoch) = (hello.account, hello.device, hello.epoch);
        let hide_reads = hello.privacy.is_some_and(|privacy| privacy.hide_reads);
        let (notified, live, hold, present) = (hello.notifications, None, Millis(0), false);
        let session = Session {
            account,
            device,
            source,
            platform,
            epoch,
            post,
            hide_reads,
            notified,
            live,
            hold,
            present,
            expires_at,
            name: hello.device_name,
            listens: hello.devices && !post,
            list: None,
        };
        self.sessions.insert(wire, session);
        self.note_sighting(wire, &hello.token, now);
        let log = self.storage.log_id().to_bytes();
        let (server_time, ping_interval) = (now.0, 25_000);
        let welcome = wire::Welcome {
            log,
            head,
            server_time,
            ping_interval,
            status: true,
            tail,
            notifications: true,
            devices: true,
            token_ttl: devices::ttl(expires_at, now),
            common: LogId::try_from(&hello.log)
                .ok()
                .and_then(|log| self.storage.common(log))
                .unwrap_or_default()
                .0,
        };
        self.send(wire, server_frame::Frame::Welcome(welcome));
    }

    /// Whether a later leader of the device is connected.
    fn is_superseded(&self, account: &str, device: &Bytes, epoch: u64) -> bool {
        self.sessions.values().any(|session| {
            !session.post && session.account == account && session.device == *device && session.epoch > epoch
        })
    }

    /// Lets a connection take a place: one that is free, its device's own, or that of the device that it
    /// takes over; or, not from the web, that of who came first, unless it yields. Says whether it may.
    fn make_room(&mut self, wire: Wire, hello: &wire::Hello) -> bool {
        let platform = Platform::from(hello.platform());
        let standing = self.standing(&hello.account, platform);
        let (own, others): (Vec<_>, Vec<_>) =
            standing.into_iter().partition(|(_, device)| *device == hello.device);
        if others.len() >= self.places_of(platform) {
            let named = others.iter().find(|(_, device)| *device == hello.take_over);
            let replaced = others.first().filter(|_| platform != Platform::Web && !hello.yields);
            let robbed = named.or(replaced).cloned();
            let mut holders: Vec<Bytes> = others.into_iter().map(|(_, device)| device).collect();
            let Some((robbed, robbed_device)) = robbed else {
                let limit = self.limit(platform, holders);
                self.end(wire, limit);
                return false;
            };
            self.sessions.remove(&robbed);
            holders.retain(|device| *device != robbed_device);
            holders.push(hello.device.clone());
            let limit = self.limit(platform, holders);
            self.end(robbed, limit);
        }
        for (older, _) in own {
            self.sessions.remove(&older);
            self.end(older, server_frame::Frame::Bye(wire::Bye { wait: 1_000 }));
        }
        true
    }

    /// An account's connections from a platform, and whose they are. Who opened the first comes first.
    fn standing(&self, account: &str, platform: Platform) -> Vec<(Wire, Bytes)> {
        let standing = self.sessions.iter().filter(|(_, session)| {
            !session.post && session.account == account && session.platform == platform
        });
        standing.map(|(wire, session)| (*wire, session.device.clone())).collect()
    }

    fn places_of(&self, platform: Platform) -> usize {
        if platform == Platform::Web { self.places } else { 1 }
    }

    fn limit(&self, platform: Platform, devices: Vec<Bytes>) -> server_frame::Frame {
        let connection = |device| wire::Connection { device, ..wire::Connection::default() };
        let connections = devices.into_iter().map(connection).collect();
        server_frame::Frame::Limit(wire::Limit { limit: self.places_of(platform) as u32, connections })
    }

    fn pull(&mut self, wire: Wire, after: u64) {
        let Some(page) = self.page(wire, after) else {
            return self.refuse_full(wire);
        };
        if after > page.head.0 {
            return self.refuse(wire, Code::Protocol, 0);
        }
        if after < page.tail.0 {
            return self.refuse(wire, Code::NotFound, 0);
        }
        self.pulled += page.events.len() as u64;
        if let Some(session) = self.sessions.get_mut(&wire) {
            session.live = (page.next == page.head && !session.post).then_some(page.next.0);
            session.present = !session.post;
        }
        let delta = self.delta(after, page);
        self.send(wire, server_frame::Frame::Delta(delta));
    }

    fn delta(&self, after: u64, page: Page) -> wire::Delta {
        let Page { events, next, head, .. } = page;
        let sync_disabled = self.sync_disabled;
        wire::Delta { after, events, next: next.0, head: head.0, sync_disabled }
    }

    fn submit(&mut self, wire: Wire, submit: wire::Submit, now: Millis) {
        let session = &self.sessions[&wire];
        let early = session.hold.0.saturating_sub(now.0);
        assert!(early == 0 || self.in_disorder, "submitted again {early} ms too early");
        let (account, source) = (session.account.clone(), session.source);
        let hide_reads = session.hide_reads;
        let mut operations = submit.operations;
        self.submits.push(operations.len());
        let ids: Vec<Bytes> = operations.iter().map(|operation| operation.id.clone()).collect();
        let granted = self.budget.map_or(operations.len(), |budget| budget.min(operations.len()));
        self.budget = self.budget.map(|budget| budget - granted);
        operations.truncate(granted);
        let submission = Submission { hide_reads, ..self.submission(&account, source, operations, now) };
        let mut verdicts = self.decide(submission.clone());
        if let Some(decided) = &mut self.decided {
            for (operation, verdict) in submission.operations.iter().zip(&verdicts) {
                if matches!(verdict, Verdict::Accepted { .. }) {
                    decided.accept(&submission.account, source, hide_reads, operation);
                }
            }
        }
        let wait = std::time::Duration::from_secs(1);
        verdicts.resize(ids.len(), Verdict::Refused(Refusal::rate_limited(wait)));
        let waits = verdicts.iter().map(|verdict| match verdict {
            Verdict::Refused(refusal) => u64::from(refusal.retry_after),
            Verdict::Accepted { .. } => 0,
        });
        let hold = now.plus(waits.max().unwrap_or(0));
        self.sessions.entry(wire).and_modify(|session| session.hold = hold);
        let outcomes = verdicts.into_iter().zip(ids).map(|(verdict, id)| verdict.into_outcome(id)).collect();
        self.send(wire, server_frame::Frame::Submitted(wire::Submitted { outcomes }));
        self.push();
    }

    fn submission(
        &self,
        account: &str,
        source: Source,
        operations: Vec<wire::Operation>,
        now: Millis,
    ) -> Submission {
        let connected = self.sessions.values().filter(|session| !session.post);
        let there =
            connected.filter_map(|session| Some((session.account.clone(), session.source.addressee()?)));
        let reach =
            if self.sync_disabled { Reach::One(Arc::new(There(there.collect()))) } else { Reach::All };
        let (account, include_sender, hide_reads, recall_window) = (account.to_owned(), true, false, None);
        let notifies = false;
        Submission {
            account,
            source,
            operations,
            include_sender,
            notifies,
            hide_reads,
            recall_window,
            reach,
            now,
        }
    }

    fn decide(&mut self, submission: Submission) -> Vec<Verdict> {
        let ids: Vec<Bytes> = submission.operations.iter().map(|it| it.id.clone()).collect();
        let verdicts = poll(decide(&self.storage, submission, &mut self.grown));
        // What is sent once more stays where it is.
        for id in ids.into_iter().filter(|id| self.storage.is_stored(id)) {
            self.for_one.entry(id).or_insert(self.sync_disabled);
        }
        verdicts
    }

    fn perform<W: Work>(&mut self, work: &W) -> tutti_acceptance::storage::Result<W::Answer> {
        let (answer, growth) = poll(perform(&self.storage, work))?;
        self.grown.extend(growth.accounts().cloned());
        growth.devices().iter().cloned().for_each(|change| self.note_change(change));
        Ok(answer)
    }

    /// What comes after `after`, for the device of a connection; none while a full disk keeps it from claiming that.
    fn page(&self, wire: Wire, after: u64) -> Option<Page> {
        let (account, reader, after) = (&self.sessions[&wire].account, self.reader(wire), Seq(after));
        let mut page = poll(self.storage.page(account, after, reader.device)).expect("memory holds");
        if !page.unclaimed {
            if !reader.notified {
                withhold(&mut page.events);
            }
            return Some(page);
        }
        self.claim(account, reader, after, page.next).then(|| self.page(wire, after.0)).flatten()
    }

    fn reader(&self, wire: Wire) -> Reader {
        let session = &self.sessions[&wire];
        let device = session.source.addressee().expect("a device");
        Reader { device, compensated: !self.sync_disabled, notified: session.notified }
    }

    /// What waits in a stretch of an account's log for the first device that comes is this one's from now on.
    /// A full disk takes no claim.
    fn claim(&self, account: &str, reader: Reader, after: Seq, until: Seq) -> bool {
        let claim = Claim { account: account.to_owned(), device: reader.device, after, until };
        poll(perform(&self.storage, &claim)).is_ok()
    }

    /// Tells the live connections of those whose logs have grown what is new.
    fn push(&mut self) {
        let grown = std::mem::take(&mut self.grown);
        let (mut frames, mut refused) = (Vec::new(), Vec::new());
        for (wire, session) in self.sessions.iter().filter(|(_, session)| grown.contains(&session.account)) {
            let mut live = session.live;
            while let Some(after) = live {
                let Some(page) = self.page(*wire, after) else {
                    refused.push(*wire);
                    break;
                };
                live = (page.next.0 > after).then_some(page.next.0);
                if live.is_some() {
                    frames.push((*wire, self.delta(after, page)));
                }
            }
        }
        for (wire, delta) in frames {
            if let Some(session) = self.sessions.get_mut(&wire) {
                session.live = Some(delta.next);
            }
            self.send(wire, server_frame::Frame::Delta(delta));
        }
        for wire in refused {
            self.refuse_full(wire);
        }
    }

    /// Passes a status on to those who are there.
    fn say(&mut self, wire: Wire, status: wire::Status) {
        let account = self.sessions[&wire].account.clone();
        let told = |account: &str, conversation: &str| {
            let (account, conversation) = (account.to_owned(), conversation.to_owned());
            match status.status.clone()? {
                Kind::Typing(typing) => Some(Kind::Typing(wire::Typing { conversation, account, ..typing })),
                Kind::Custom(custom) => Some(Kind::Custom(wire::Custom { conversation, account, ..custom })),
                Kind::Presence(_) | Kind::Devices(_) => None,
            }
        };
        let conversation = match &status.status {
            Some(Kind::Typing(typing)) => &typing.conversation,
            Some(Kind::Custom(custom)) => &custom.conversation,
            Some(Kind::Presence(presence)) => {
                self.availabilities.insert(account, presence.availability());
                return;
            }
            Some(Kind::Devices(_)) | None => return,
        };
        let audience = poll(audience(&self.storage, &account, conversation)).expect("memory holds");
        let Some(audience) = audience else { return };
        if let Some(Kind::Custom(custom)) = &status.status {
            self.forwarded.push(custom.content.clone());
        }
        self.tell(&BTreeSet::from([account.clone()]), told(&account, conversation), Some(wire));
        self.tell(&audience.others, told(&account, &audience.conversation), None);
    }

    fn ask(&mut self, wire: Wire, account: &str) {
        let asking = &self.sessions[&wire].account;
        let presence = match account {
            own if own == asking => self.presence(account).own(account),
            _ if self.contacts(account).contains(asking) => self.presence(account).shown(account),
            _ => Presence::default().shown(account),
        };
        let status = wire::Status { status: Some(Kind::Presence(presence)) };
        self.send(wire, server_frame::Frame::Status(status));
    }

    /// Whether an account is there. Unlike the real server this one tells at once that somebody went, and
    /// does not remember when.
    fn presence(&self, account: &str) -> Presence {
        let mut presence = Presence::default();
        let sessions = self.sessions.iter().filter(|(_, session)| session.account == account);
        for (wire, _) in sessions.filter(|(_, session)| session.present) {
            presence.enter(*wire, Platform::Web, false);
            presence.appear(*wire);
        }
        let availability = self.availabilities.get(account).copied();
        presence.set(availability.unwrap_or(Availability::Online), Millis(0));
        presence
    }

    fn contacts(&self, account: &str) -> BTreeSet<String> {
        poll(self.storage.contacts(account)).expect("memory holds")
    }

    /// Tells whose presence has changed.
    fn tell_presences(&mut self) {
        let there: BTreeSet<&String> = self.sessions.values().map(|session| &session.account).collect();
        self.availabilities.retain(|account, _| there.contains(account));
        let accounts: BTreeSet<String> = there.into_iter().chain(self.presences.keys()).cloned().collect();
        for account in accounts {
            let nobody = || (Presence::default().own(&account), Presence::default().shown(&account));
            let presence = self.presence(&account);
            let (own, shown) = (presence.own(&account), presence.shown(&account));
            let before = self.presences.insert(account.clone(), (own.clone(), shown.clone()));
            let (own_before, shown_before) = before.unwrap_or_else(nobody);
            if own != own_before {
                self.tell(&BTreeSet::from([account.clone()]), Some(Kind::Presence(own)), None);
            }
            if shown != shown_before {
                let contacts = self.contacts(&account);
                self.tell(&contacts, Some(Kind::Presence(shown)), None);
            }
        }
    }

    /// Sends a status to all connections of these accounts, except one.
    fn tell(&mut self, accounts: &BTreeSet<String>, kind: Option<Kind>, except: Option<Wire>) {
        let hears = |(wire, session): &(&Wire, &Session)| {
            !session.post && accounts.contains(&session.account) && Some(**wire) != except
        };
        let wires: Vec<Wire> = self.sessions.iter().filter(hears).map(|(wire, _)| *wire).collect();
        for wire in wires {
            self.send(wire, server_frame::Frame::Status(wire::Status { status: kind.clone() }));
        }
    }

    fn refuse_full(&mut self, wire: Wire) {
        let Refusal { code, retry_after, .. } = Refusal::storage();
        self.refuse(wire, code, retry_after);
    }

    fn refuse(&mut self, wire: Wire, code: Code, retry_after: u32) {
        self.sessions.remove(&wire);
        let error = wire::Error { code: code.as_str().into(), message: "no".into(), retry_after };
        self.end(wire, server_frame::Frame::Error(error));
    }

    fn end(&mut self, wire: Wire, frame: server_frame::Frame) {
        self.send(wire, frame);
        self.open.remove(&wire);
        self.gone.insert(wire);
        self.out.push((wire, None));
    }

    fn send(&mut self, wire: Wire, frame: server_frame::Frame) {
        let frame = codec::encode(&wire::ServerFrame { frame: Some(frame) });
        self.out.push((wire, Some(frame)));
    }
}

/// What a future answers that never waits, as those of the storage in memory.
fn poll<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => answer,
        Poll::Pending => panic!("a storage in memory does not wait"),
    }
}
