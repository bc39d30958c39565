//! The leader's link to the server: connect, say hello, pull, submit, stay alive, come back.
//!
//! The link decides what goes over the wire and when. What arrives for the store it hands to the
//! engine as [`Arrived`].
//!
//! When the account has no place left for a connection, the link polls: the same frames go by post, in
//! short sessions that end when both sides have nothing more to say. One is held each time that a place
//! was asked for in vain, and whenever there is something to send.

use bytes::Bytes;
use tutti_protocol::{
    Code, DeviceId, Epoch, LogId, Millis, OperationId, Seq, Timestamp, codec, limits,
    wire::{self, ClientFrame, Hello, SnapshotPlace, client_frame, outcome, server_frame, status},
};

use crate::{
    Config, Identity, Now,
    backoff::Backoff,
    entropy::Entropy,
    identity::Alias,
    message::Failure,
    outbox::Outbox,
    sorted::{SortedMap, SortedSet},
    status::OwnPresence,
};

/// How long a connection may take from its beginning to the server's welcome, in milliseconds.
const CONNECT_DEADLINE: u64 = 15_000;
/// How long the server may take to answer a pull or a submit on a connection that is alive otherwise, in
/// milliseconds: a page of 256 KiB needs as much over the slowest networks.
const ANSWER_DEADLINE: u64 = 60_000;
/// Received but not yet stored events at which no further page is asked for: one page is on its way
/// while another is written, and no commit grows so large that it holds up the page.
const BACKLOG: usize = limits::PAGE_EVENTS;

/// A submit each so many milliseconds, in the long run …
const SUBMIT_PACE: u64 = 150;
/// … and so many at once before that: together well below the frames that a connection may send in a
/// minute. What is done meanwhile goes into the next submit.
const SUBMIT_BURST: u64 = 300;

/// A status each so many milliseconds, in the long run, and so many at once before that: with submits and pulls
/// still below what a connection may send.
const STATUS_PACE: u64 = 1_000;
const STATUS_BURST: u64 = 100;

/// Marks pings that fence a pull.
const FENCE: u64 = 1 << 63;

/// The step of a snapshot that tells of notifications.
const NOTIFICATIONS: u32 = 3;

/// How long sessions by post lie apart at least, in milliseconds.
const POST_PACE: u64 = 1_000;

/// A token is not replaced earlier than this, in milliseconds, and not later than when a quarter of its time is left.
const REFRESH_SOONEST: u64 = 500;
/// How long after a token could not be fetched it is tried again, in milliseconds.
const REFRESH_AGAIN: u64 = 5_000;

/// How frames travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// Over a WebSocket, which takes one of the account's places.
    Socket,
    /// By `POST`, one exchange a frame, without a place. Ends when the engine disconnects.
    Post,
}

/// Which connection something concerns. Late news of an older one is told by it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct ConnectionId(pub u64);

/// What the link wants done.
#[derive(Debug)]
pub(crate) enum Order {
    Connect(ConnectionId, Transport),
    Disconnect(ConnectionId),
    Send(ConnectionId, Bytes),
    FetchToken(ConnectionId),
}

/// What came over the link for the engine to act on.
#[derive(Debug)]
pub(crate) enum Arrived {
    /// How all is now: a page of it.
    Snapshot(SnapshotPage),
    /// Messages that were asked for.
    History(wire::History),
    /// The next events of the log, and its new cursor.
    Events(Vec<wire::Event>, Seq),
    /// Operations that the server has refused for good.
    Refused(Vec<(OperationId, wire::Refused)>),
    /// The server's wall clock.
    Time(Millis),
    /// A newer leader of this device has a connection.
    Replaced,
    /// There is no place for a connection: these hold them all.
    Limited(wire::Limit),
    /// Something that is worth it only now.
    Status(wire::Status),
    /// What was to be done about the account's devices is done, or not.
    Managed(wire::Managed),
    /// This device was removed.
    Revoked(wire::Revoked),
    /// Whether the account's devices are kept in step.
    Service { disabled: bool },
}

/// A page of how all is now.
#[derive(Debug)]
pub(crate) struct SnapshotPage {
    /// The copy so far comes from another log than this one, or from a part of it that is no longer kept: it goes.
    pub(crate) log: Option<LogId>,
    /// When the last operation was accepted that is in both logs, if the server was restored from a backup.
    pub(crate) common: Option<Millis>,
    pub(crate) events: Vec<wire::Event>,
    /// From where on the log tells what comes after.
    pub(crate) cursor: Seq,
    /// Where the next page begins; none: this was the last.
    pub(crate) next: Option<SnapshotPlace>,
    /// Since when all messages are in it.
    pub(crate) from: Millis,
}

/// How far a copy has come.
#[derive(Clone, Debug)]
pub(crate) struct Mark {
    pub(crate) log: Option<LogId>,
    pub(crate) cursor: Seq,
    /// Where the snapshot goes on that it begins with; none: it is complete.
    pub(crate) snapshot: Option<SnapshotPlace>,
    /// Since when all messages are in it.
    pub(crate) complete_from: Millis,
    /// Whether all is in it that was told of notifications.
    pub(crate) notified: bool,
}

/// The link.
#[derive(Debug)]
pub(crate) struct Link {
    connection: ConnectionId,
    state: State,
    backoff: Backoff,
    /// Why there is no connection.
    reason: Option<Failure>,
    /// No connection is wanted: the user works offline, or the browser has no network.
    held: bool,
    /// How the present connection, or the next one, travels.
    transport: Transport,
    /// Whether all places were taken when one was asked for last.
    limited: bool,
    /// It was told since it had a place last that there is none for it: it takes one that is free, and replaces
    /// nobody. Else two phones would replace each other for ever.
    yields: bool,
    /// When the next session by post may begin, and when a place is asked for again.
    post_at: Millis,
    place_at: Millis,
    config: Config,
    /// As whom it said hello last.
    said: Option<Alias>,
    /// Whose connection gives way if there is no other place.
    take_over: Option<DeviceId>,
    /// What the user wants others to see.
    presence: OwnPresence,
    pub(crate) orders: Vec<Order>,
}

#[derive(Debug)]
enum State {
    /// Until then; without a moment, until something changes.
    Waiting(Option<Millis>),
    Connecting(Millis),
    Greeting(Millis),
    Up(Box<Session>),
}

#[derive(Debug)]
struct Session {
    /// The copy is of no use for this log, until the first page of a snapshot is here.
    other: Option<LogId>,
    /// When the last operation was accepted that is in the copy and in this log, if the server was restored.
    common: Option<Millis>,
    /// Where the next page of a snapshot begins, which comes before all that the log tells.
    snapshot: Option<SnapshotPlace>,
    /// Messages that were asked for, and have not come.
    fetching: Option<wire::PullHistory>,
    received: Seq,
    head: Seq,
    pulling: bool,
    /// By post: a page was wanted after the one was asked for that is on its way.
    again: bool,
    /// A ping that was sent after a pull. The server answers in order, whatever it pushes in between.
    fence: Option<u64>,
    fences: u64,
    /// The last page did not reach the server's head. It may have been an answer that others overtook,
    /// but the server pushes only after one that reaches it.
    short: bool,
    /// The one submit that may be under way, so that the order of operations is the server's too.
    submitted: SortedSet<OperationId>,
    /// Confirmed, and where in the log it will come back.
    accepted: SortedMap<OperationId, Seq>,
    /// Refused for good, which the store does not know yet.
    refused: SortedSet<OperationId>,
    /// Nothing is submitted before then.
    hold: Option<Millis>,
    /// When the submits so far would have ended, had each taken its pace (the generic cell rate
    /// algorithm, ITU-T I.371).
    paced: Millis,
    /// Whether the server tells of notifications.
    notified: bool,
    /// Whether the server takes status.
    takes_status: bool,
    /// Whether the server takes what is to be done about devices, and tokens after the first.
    takes_manage: bool,
    /// When to fetch another token; none: one is being fetched or checked, or this one lasts.
    refresh_at: Option<Millis>,
    /// As `paced`, of what was said of status.
    said: Millis,
    /// What the server was told that the user wants others to see.
    presence: OwnPresence,
    ping_interval: u64,
    heard: Millis,
    pinged: Option<Millis>,
    /// Since when a page is awaited, messages that were asked for, or what became of a submit.
    awaits_page: Option<Millis>,
    awaits_history: Option<Millis>,
    awaits_outcome: Option<Millis>,
}

/// What the status line says of the link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connection {
    /// Welcomed by the server.
    Online,
    /// On the way.
    Connecting,
    /// None, since all places are taken; what there is to say goes by post.
    Polling,
    /// None, and the next attempt waits.
    Offline,
    /// The client is closed.
    Closed,
}

impl Link {
    /// `yields`: this profile had to give way to another device.
    pub(crate) fn new(first: ConnectionId, held: bool, yields: bool, config: Config) -> Self {
        Self {
            connection: first,
            state: State::Waiting(None),
            backoff: Backoff::default(),
            reason: held.then(offline),
            held,
            transport: Transport::Socket,
            limited: false,
            yields,
            post_at: Millis(0),
            place_at: Millis(0),
            config,
            said: None,
            take_over: None,
            presence: OwnPresence::default(),
            orders: Vec::new(),
        }
    }

    pub(crate) fn connection(&self) -> Connection {
        match self.state {
            _ if self.limited => Connection::Polling,
            // Nothing was tried yet.
            State::Waiting(_) if self.reason.is_none() => Connection::Connecting,
            State::Up(_) => Connection::Online,
            State::Connecting(_) | State::Greeting(_) => Connection::Connecting,
            State::Waiting(_) => Connection::Offline,
        }
    }

    pub(crate) fn reason(&self) -> Option<&Failure> {
        self.reason.as_ref().filter(|_| self.limited || !self.is_up())
    }

    /// Whether the server listens, by whatever way.
    pub(crate) fn is_up(&self) -> bool {
        matches!(self.state, State::Up(_))
    }

    pub(crate) fn id(&self) -> ConnectionId {
        self.connection
    }

    /// Everything that the server has was received, and nothing is asked for.
    pub(crate) fn is_caught_up(&self) -> bool {
        let caught_up =
            |session: &Session| !session.pulling && session.fence.is_none() && !session.is_behind();
        matches!(&self.state, State::Up(session) if caught_up(session))
    }

    /// The server was restored, and how it is now has not come.
    pub(crate) fn is_before_another(&self) -> bool {
        matches!(&self.state, State::Up(session) if session.other.is_some() && session.common.is_some())
    }

    /// The last event that the server has, unless a snapshot comes first, of which only the server knows how long it is.
    pub(crate) fn head(&self) -> Option<Seq> {
        match &self.state {
            State::Up(session) if session.snapshot.is_none() => Some(session.head),
            _ => None,
        }
    }

    /// Confirmed operations in the outbox whose events lie at or before the cursor.
    pub(crate) fn settled(&mut self, cursor: Seq, outbox: &Outbox) -> Vec<OperationId> {
        let State::Up(session) = &mut self.state else {
            return Vec::new();
        };
        if session.other.is_some() || session.snapshot.is_some() {
            // The cursor is of another log than what was confirmed, or ahead of what has come.
            return Vec::new();
        }
        session.accepted.retain(|id, _| outbox.get(*id).is_some());
        session.accepted.iter().filter(|(_, seq)| **seq <= cursor).map(|(id, _)| *id).collect()
    }

    /// The store knows what became of an operation.
    pub(crate) fn forget(&mut self, id: OperationId) {
        if let State::Up(session) = &mut self.state {
            session.accepted.remove(&id);
            session.refused.remove(&id);
        }
    }

    /// Whether an operation has been sent, and what becomes of it is not in the store yet.
    pub(crate) fn is_sending(&self, id: OperationId) -> bool {
        let State::Up(session) = &self.state else {
            return false;
        };
        session.submitted.contains(&id) || session.accepted.contains_key(&id)
    }

    /// Sends an operation no more until it is forgotten.
    pub(crate) fn withhold(&mut self, id: OperationId) {
        if let State::Up(session) = &mut self.state {
            session.refused.insert(id);
        }
    }

    /// When to [`Link::tick`]. `stored`: nothing is being written.
    pub(crate) fn deadline(&self, stored: bool) -> Option<Millis> {
        match &self.state {
            State::Waiting(until) => until.filter(|_| stored && !self.held),
            State::Connecting(until) | State::Greeting(until) => Some(*until),
            State::Up(session) if self.transport == Transport::Post => {
                Some(session.heard.plus(CONNECT_DEADLINE).min(session.hold.unwrap_or(Millis(u64::MAX))))
            }
            State::Up(session) => {
                let quiet = match session.pinged {
                    Some(at) => at.plus(limits::PONG_DEADLINE),
                    None => session.heard.plus(session.ping_interval),
                };
                let answer = session.awaits().map(|since| since.plus(ANSWER_DEADLINE));
                [Some(quiet), session.hold, answer, session.refresh_at].into_iter().flatten().min()
            }
        }
    }

    /// Whether a connection is wanted at all.
    pub(crate) fn hold(&mut self, held: bool) {
        if self.held == held {
            return;
        }
        self.held = held;
        if held {
            self.limited = false;
            self.transport = Transport::Socket;
            self.close(None, offline());
        } else {
            self.connect_now_if_waiting();
        }
    }

    /// The application has set this.
    pub(crate) fn configure(&mut self, config: Config) {
        let before = std::mem::replace(&mut self.config, config);
        if before.notifications != config.notifications {
            // Only a hello says what is wanted.
            match self.state {
                State::Waiting(_) => self.hurry(),
                _ => self.close(Some(Millis(0)), Failure::new(Code::Offline, "connecting anew")),
            }
        }
        // Each post says it in its hello.
        if before.hide != config.hide && self.is_up() && self.transport == Transport::Socket {
            self.send(client_frame::Frame::Privacy(config.hide.into()));
        }
    }

    /// As whom this device says hello. A connection on which it was another one is begun anew.
    pub(crate) fn go_by(&mut self, alias: Alias) {
        let another = self.said.is_some_and(|said| said != alias);
        if another && matches!(self.state, State::Greeting(_) | State::Up(_)) {
            let reason = self.reason.take();
            self.close(Some(Millis(0)), offline());
            (self.transport, self.reason) = (Transport::Socket, reason);
        }
    }

    /// Whose connection gives way, if one must, so that this one stands.
    pub(crate) fn set_take_over(&mut self, device: Option<DeviceId>) {
        if self.take_over == device {
            return;
        }
        self.take_over = device;
        if device.is_none() {
            return;
        }
        if self.limited && !matches!(self.state, State::Waiting(_)) {
            self.close(Some(Millis(0)), limit_reached());
        }
        self.connect_now_if_waiting();
    }

    /// Whether what comes over this connection tells of notifications.
    pub(crate) fn is_notified(&self) -> bool {
        matches!(&self.state, State::Up(session) if session.notified)
    }

    /// Whether status can be said.
    pub(crate) fn takes_status(&self) -> bool {
        matches!(&self.state, State::Up(session) if session.takes_status)
    }

    /// Whether something can be done about the account's devices.
    pub(crate) fn takes_manage(&self) -> bool {
        matches!(&self.state, State::Up(session) if session.takes_manage)
    }

    /// Another token is at hand, or there is none for now.
    pub(crate) fn refresh(&mut self, token: Result<String, Failure>, now: Now) {
        let State::Up(session) = &mut self.state else {
            return;
        };
        match token {
            Ok(token) => self.send(client_frame::Frame::Refresh(wire::Refresh { token })),
            Err(_) => session.refresh_at = Some(now.monotonic.plus(REFRESH_AGAIN)),
        }
    }

    /// When something can be said of status; none: not on this connection.
    pub(crate) fn say_at(&self) -> Option<Millis> {
        match &self.state {
            State::Up(session) if session.takes_status => Some(session.say_at()),
            _ => None,
        }
    }

    /// Says something of status, and whether it could: there may be no connection, or too much was said
    /// already.
    pub(crate) fn say(&mut self, frame: client_frame::Frame, now: Now) -> bool {
        let State::Up(session) = &mut self.state else {
            return false;
        };
        if !session.takes_status || now.monotonic < session.say_at() {
            return false;
        }
        session.said = session.said.max(now.monotonic).plus(STATUS_PACE);
        self.send(frame);
        true
    }

    /// What the user wants others to see: is said as soon as it can, and first on each connection.
    pub(crate) fn set_presence(&mut self, presence: OwnPresence) {
        self.presence = presence;
    }

    /// Whether what the user wants others to see is to be said.
    pub(crate) fn owes_presence(&self) -> bool {
        matches!(&self.state, State::Up(session) if session.presence != self.presence)
    }

    pub(crate) fn say_presence(&mut self, now: Now) {
        if self.owes_presence()
            && let Some(availability) = self.presence.availability()
        {
            let availability = availability.into();
            let presence = wire::AccountPresence { availability, ..wire::AccountPresence::default() };
            let status = wire::Status { status: Some(status::Status::Presence(presence)) };
            let said = self.say(client_frame::Frame::Status(status), now);
            if let (true, State::Up(session)) = (said, &mut self.state) {
                session.presence = self.presence;
            }
        }
    }

    /// Makes an attempt now, if none is under way.
    pub(crate) fn connect_now_if_waiting(&mut self) {
        self.backoff.reset();
        if let State::Waiting(until) = &mut self.state {
            self.transport = Transport::Socket;
            *until = Some(Millis(0));
        }
    }

    /// Asks the server for what is new, to be sure.
    pub(crate) fn reconcile(&mut self) {
        if let State::Up(session) = &mut self.state
            && !session.pulling
        {
            session.pulling = true;
            let frame = match &session.snapshot {
                None => client_frame::Frame::Pull(wire::Pull { after: session.received.0 }),
                Some(place) => client_frame::Frame::PullSnapshot(wire::PullSnapshot {
                    days: self.config.days(),
                    place: (*place != SnapshotPlace::default()).then(|| place.clone()),
                }),
            };
            self.send(frame);
        }
    }

    /// Asks the server for what is new as of now: what is on its way may be older.
    pub(crate) fn reconcile_anew(&mut self) {
        let State::Up(session) = &mut self.state else {
            return;
        };
        if session.snapshot.is_some() {
            // What comes after it is as of later.
            return self.reconcile();
        }
        if self.transport == Transport::Post {
            session.again = session.pulling;
            return self.reconcile();
        }
        session.pulling = true;
        session.fences += 1;
        let (after, nonce) = (session.received.0, FENCE | session.fences);
        session.fence = Some(nonce);
        self.send(client_frame::Frame::Pull(wire::Pull { after }));
        self.send(client_frame::Frame::Ping(wire::Ping { nonce }));
    }

    /// Asks for the next page if there is one and the store keeps up.
    pub(crate) fn pull(&mut self, backlog: usize) {
        if let State::Up(session) = &self.state
            && session.is_behind()
            && backlog < BACKLOG
        {
            self.reconcile();
        }
    }

    /// Asks for messages by their positions, one stretch after the other. `wanted`: whether any are.
    pub(crate) fn fetch(&mut self, wanted: Option<wire::PullHistory>) {
        let session = match &mut self.state {
            State::Up(session) => session,
            State::Waiting(_) if wanted.is_some() => return self.hurry(),
            _ => return,
        };
        if let (Some(wanted), None, None) = (wanted, &session.fetching, &session.snapshot) {
            session.fetching = Some(wanted.clone());
            self.send(client_frame::Frame::PullHistory(wanted));
        }
    }

    /// What there is to say need not wait for a place.
    fn hurry(&mut self) {
        if let State::Waiting(until) = &mut self.state
            && self.limited
        {
            self.transport = Transport::Post;
            *until = Some(until.map_or(self.post_at, |until| until.min(self.post_at)));
        }
    }

    /// Sends what the outbox holds, one submit at a time.
    /// `corrected`: the server's time. No operation claims to be later, whatever the clock here said when it was
    /// done.
    pub(crate) fn submit(&mut self, outbox: &Outbox, corrected: Millis, now: Now) {
        let session = match &mut self.state {
            State::Up(session) => session,
            State::Waiting(_) if outbox.pending().next().is_some() => return self.hurry(),
            _ => return,
        };
        if !session.submitted.is_empty() || session.hold.is_some_and(|hold| now.monotonic < hold) {
            return;
        }
        let paced = session.paced.max(now.monotonic).plus(SUBMIT_PACE);
        let due = Millis(paced.0.saturating_sub(SUBMIT_BURST * SUBMIT_PACE));
        session.hold = (due > now.monotonic).then_some(due);
        if session.hold.is_some() {
            return;
        }
        let mut submit = wire::Submit::default();
        let mut size = 0;
        let answered = |id: &OperationId| session.accepted.contains_key(id) || session.refused.contains(id);
        for (id, operation) in outbox.pending().filter(|(id, _)| !answered(id)) {
            size += codec::encoded_len(operation) + 8;
            let full =
                submit.operations.len() == limits::SUBMIT_OPERATIONS || size > limits::CLIENT_FRAME - 64;
            if full && !submit.operations.is_empty() {
                break;
            }
            session.submitted.insert(id);
            let clock = operation.clock.min(Timestamp::at(corrected).0);
            submit.operations.push(wire::Operation { clock, ..operation.clone() });
        }
        if !submit.operations.is_empty() {
            session.paced = paced;
            self.send(client_frame::Frame::Submit(submit));
        }
    }

    /// Ends a session by post in which both sides have said everything. `stored`: and written it down, and
    /// nobody wants anything more.
    pub(crate) fn finish(&mut self, outbox: &Outbox, stored: bool, now: Now) {
        let State::Up(session) = &self.state else {
            return;
        };
        let said = session.submitted.is_empty() && outbox.pending().next().is_none();
        if self.transport == Transport::Post && stored && said && self.is_caught_up() {
            self.backoff.reset();
            self.close(Some(self.place_at), limit_reached());
            self.transport = Transport::Socket;
            self.post_at = now.monotonic.plus(POST_PACE);
        }
    }

    /// Time has passed. `stored`: nothing is being written. While something is, no connection begins,
    /// since the cursor that it says hello with would be out of date already.
    pub(crate) fn tick(&mut self, now: Now, stored: bool, entropy: &mut Entropy) {
        match &mut self.state {
            State::Waiting(Some(until)) if stored && !self.held && *until <= now.monotonic => {
                self.connection = ConnectionId(self.connection.0 + 1);
                self.state = State::Connecting(now.monotonic.plus(CONNECT_DEADLINE));
                self.orders.push(Order::Connect(self.connection, self.transport));
            }
            State::Connecting(until) | State::Greeting(until) if *until <= now.monotonic => {
                self.fail(
                    Failure::new(Code::Timeout, "the server did not answer in time"),
                    None,
                    now,
                    entropy,
                );
            }
            State::Up(session) => {
                session.note_awaited(now);
                if session.refresh_at.take_if(|at| *at <= now.monotonic).is_some() {
                    self.orders.push(Order::FetchToken(self.connection));
                }
                let unanswered = session.awaits().is_some_and(|at| at.plus(ANSWER_DEADLINE) <= now.monotonic);
                let post = self.transport == Transport::Post;
                let silent = match session.pinged {
                    Some(at) => at.plus(limits::PONG_DEADLINE) <= now.monotonic,
                    // A post is answered, or it is lost.
                    None => post && session.heard.plus(CONNECT_DEADLINE) <= now.monotonic,
                };
                if silent || unanswered {
                    self.fail(Failure::new(Code::Timeout, "the server fell silent"), None, now, entropy);
                } else if !post
                    && session.pinged.is_none()
                    && session.heard.plus(session.ping_interval) <= now.monotonic
                {
                    session.pinged = Some(now.monotonic);
                    self.send(client_frame::Frame::Ping(wire::Ping { nonce: now.monotonic.0 }));
                }
            }
            _ => {}
        }
    }

    /// The socket is open and a token at hand.
    pub(crate) fn opened(
        &mut self,
        token: String,
        identity: &Identity,
        alias: Alias,
        epoch: Epoch,
        mark: &Mark,
    ) {
        let State::Connecting(until) = self.state else {
            return;
        };
        self.state = State::Greeting(until);
        // Whoever was another one before takes its own place.
        let before = self.said.replace(alias).map(|said| said.device).filter(|it| *it != alias.device);
        let take_over = self.take_over.or(before).filter(|_| self.transport == Transport::Socket);
        self.send(client_frame::Frame::Hello(Hello {
            token,
            account: identity.account.clone(),
            device: alias.device.to_bytes(),
            device_name: identity.device_name.clone(),
            platform: identity.platform.into(),
            epoch: epoch.0,
            log: mark.log.map(LogId::to_bytes).unwrap_or_default(),
            cursor: mark.cursor.0,
            take_over: take_over.map(DeviceId::to_bytes).unwrap_or_default(),
            privacy: Some(self.config.hide.into()),
            status: true,
            notifications: self.config.notifications,
            yields: self.yields,
            passing: alias.passing,
            devices: true,
        }));
    }

    /// The socket is closed, or could not be opened.
    pub(crate) fn closed(&mut self, failure: Failure, now: Now, entropy: &mut Entropy) {
        if !matches!(self.state, State::Waiting(_)) {
            self.fail(failure, None, now, entropy);
        }
    }

    /// Ends the connection for good reason of ours, and comes back after a wait.
    pub(crate) fn fail(&mut self, failure: Failure, wait: Option<u64>, now: Now, entropy: &mut Entropy) {
        let wait = wait.unwrap_or_else(|| self.backoff.next(entropy));
        // There may be places when the server is back.
        self.limited = false;
        self.transport = Transport::Socket;
        self.close(Some(now.monotonic.plus(wait)), failure);
    }

    /// A frame came in.
    pub(crate) fn frame(
        &mut self,
        bytes: Bytes,
        mark: Mark,
        now: Now,
        entropy: &mut Entropy,
    ) -> Vec<Arrived> {
        if matches!(self.state, State::Waiting(_)) {
            // Of a connection that was given up already.
            return Vec::new();
        }
        let frame = match codec::decode_server(bytes) {
            Ok(frame) => frame.frame,
            Err(error) => {
                self.fail(Failure::new(Code::Protocol, error.to_string()), None, now, entropy);
                return Vec::new();
            }
        };
        if let State::Up(session) = &mut self.state {
            session.heard = now.monotonic;
            session.pinged = None;
        }
        match (frame, &mut self.state) {
            (Some(server_frame::Frame::Welcome(welcome)), State::Greeting(_)) => {
                self.welcomed(&welcome, mark, now)
            }
            (Some(server_frame::Frame::Snapshot(snapshot)), State::Up(session)) => {
                let arrived = session.take_snapshot(snapshot);
                if session.snapshot.is_none() && !arrived.is_empty() {
                    // That was all. The log goes on from there, and only a pull makes the server push.
                    self.reconcile();
                }
                arrived
            }
            (Some(server_frame::Frame::History(history)), State::Up(session)) => {
                let asked = |pull: &mut wire::PullHistory| {
                    (&pull.conversation, pull.to) == (&history.conversation, history.to)
                };
                let fetched = session.fetching.take_if(asked);
                session.awaits_history.take_if(|_| fetched.is_some());
                fetched.into_iter().map(|_| Arrived::History(history.clone())).collect()
            }
            (Some(server_frame::Frame::Delta(delta)), State::Up(session)) => {
                let service = Arrived::Service { disabled: delta.sync_disabled };
                let mut arrived = session.take(delta);
                let again = std::mem::take(&mut session.again);
                if !session.is_behind() {
                    // Only now: a server whose first page ends every connection is waited for longer
                    // each time.
                    self.backoff.reset();
                } else if arrived.is_empty() {
                    // A gap: what came cannot be used before what is missing.
                    self.reconcile();
                }
                if again {
                    self.reconcile();
                }
                arrived.push(service);
                arrived
            }
            (Some(server_frame::Frame::Submitted(submitted)), State::Up(session)) => {
                let arrived = session.submitted_answered(submitted, now);
                if self.transport == Transport::Post {
                    // Nobody pushes what has come of it.
                    session.head =
                        session.accepted.values().copied().max().unwrap_or_default().max(session.head);
                }
                arrived
            }
            (Some(server_frame::Frame::Status(status)), State::Up(_)) => vec![Arrived::Status(status)],
            (Some(server_frame::Frame::Managed(managed)), State::Up(_)) => vec![Arrived::Managed(managed)],
            (Some(server_frame::Frame::Refreshed(refreshed)), State::Up(session)) => {
                session.refresh_at = refresh_at(refreshed.token_ttl, now);
                Vec::new()
            }
            (Some(server_frame::Frame::Revoked(revoked)), _) => {
                self.close(None, Failure::new(Code::Revoked, "this device was removed"));
                vec![Arrived::Revoked(revoked)]
            }
            (Some(server_frame::Frame::Error(error)), _) => {
                let wait = (error.retry_after > 0).then_some(u64::from(error.retry_after));
                let failure = Failure::new(Code::parse(&error.code), error.message);
                let replaced = failure.code == Code::Conflict;
                self.fail(failure, wait, now, entropy);
                if replaced { vec![Arrived::Replaced] } else { Vec::new() }
            }
            (Some(server_frame::Frame::Limit(limit)), _) if self.transport == Transport::Socket => {
                self.close(Some(Millis(0)), limit_reached());
                self.limited = true;
                self.yields = true;
                self.place_at = now.monotonic.plus(self.config.sync_interval);
                self.transport = Transport::Post;
                vec![Arrived::Limited(limit)]
            }
            (Some(server_frame::Frame::Bye(bye)), _) => {
                let failure = Failure::new(Code::Offline, "the server closed the connection");
                self.fail(failure, (bye.wait > 0).then_some(u64::from(bye.wait)), now, entropy);
                Vec::new()
            }
            (Some(server_frame::Frame::Pong(pong)), State::Up(session)) => {
                session.fence.take_if(|nonce| *nonce == pong.nonce);
                Vec::new()
            }
            _ => {
                let failure = Failure::new(Code::Protocol, "the server sent a frame out of turn");
                self.fail(failure, None, now, entropy);
                Vec::new()
            }
        }
    }

    fn welcomed(&mut self, welcome: &wire::Welcome, mark: Mark, now: Now) -> Vec<Arrived> {
        let Ok(log) = LogId::try_from(&welcome.log) else {
            return Vec::new();
        };
        if self.transport == Transport::Socket {
            self.limited = false;
            self.yields = false;
            self.reason = None;
        }
        let head = Seq(welcome.head);
        // A server restored from a backup, or set up anew: what this copy counts is not what it counts. Or it does
        // not keep what comes after this copy any more.
        let other = mark.log != Some(log) || head < mark.cursor || mark.cursor < Seq(welcome.tail);
        let notified = self.config.notifications && welcome.notifications;
        let missed =
            || SnapshotPlace { step: NOTIFICATIONS, from: mark.complete_from.0, ..SnapshotPlace::default() };
        let rest = mark.snapshot.or_else(|| (notified && !mark.notified).then(missed));
        self.state = State::Up(Box::new(Session {
            other: other.then_some(log),
            common: Some(Millis(welcome.common)).filter(|common| common.0 > 0 && mark.log != Some(log)),
            snapshot: if other { Some(SnapshotPlace::default()) } else { rest },
            fetching: None,
            received: if other { Seq(0) } else { mark.cursor },
            head,
            pulling: false,
            again: false,
            fence: None,
            fences: 0,
            short: false,
            submitted: SortedSet::new(),
            accepted: SortedMap::new(),
            refused: SortedSet::new(),
            hold: None,
            paced: now.monotonic,
            notified,
            takes_status: welcome.status && self.transport == Transport::Socket,
            takes_manage: welcome.devices && self.transport == Transport::Socket,
            refresh_at: refresh_at(welcome.token_ttl, now)
                .filter(|_| welcome.devices && self.transport == Transport::Socket),
            said: now.monotonic,
            presence: OwnPresence::default(),
            ping_interval: u64::from(welcome.ping_interval).clamp(1_000, 10 * 60_000),
            heard: now.monotonic,
            pinged: None,
            awaits_page: None,
            awaits_history: None,
            awaits_outcome: None,
        }));
        // First, since whoever is invisible is seen from the first pull on.
        self.say_presence(now);
        // Even with nothing new, since only a pull that reaches the head makes the server push.
        self.reconcile();
        vec![Arrived::Time(Millis(welcome.server_time))]
    }

    fn close(&mut self, until: Option<Millis>, failure: Failure) {
        if !matches!(self.state, State::Waiting(_)) {
            self.orders.push(Order::Disconnect(self.connection));
        }
        self.state = State::Waiting(until);
        self.reason = Some(failure);
    }

    fn send(&mut self, frame: client_frame::Frame) {
        let bytes = codec::encode(&ClientFrame { frame: Some(frame) });
        self.orders.push(Order::Send(self.connection, bytes));
    }
}

/// When to fetch another token than one that is good for so long; 0: that is not known.
fn refresh_at(ttl: u64, now: Now) -> Option<Millis> {
    (ttl > 0).then(|| now.monotonic.plus((ttl / 4).saturating_mul(3).max(REFRESH_SOONEST)))
}

fn limit_reached() -> Failure {
    Failure::new(Code::ConnectionLimit, "the account has as many connections of this kind as it may")
}

fn offline() -> Failure {
    Failure::new(Code::Offline, "working offline")
}

impl Session {
    fn is_behind(&self) -> bool {
        self.snapshot.is_some() || self.short || self.received < self.head
    }

    /// Notes since when something was asked that is not answered, or confirmed that has not come.
    fn note_awaited(&mut self, now: Now) {
        let page =
            self.pulling || self.fence.is_some() || self.accepted.values().any(|seq| *seq > self.received);
        let since = |awaited: bool, since: Option<Millis>| awaited.then(|| since.unwrap_or(now.monotonic));
        self.awaits_page = since(page, self.awaits_page);
        self.awaits_history = since(self.fetching.is_some(), self.awaits_history);
        self.awaits_outcome = since(!self.submitted.is_empty(), self.awaits_outcome);
    }

    /// When there may be said more of status.
    fn say_at(&self) -> Millis {
        Millis(self.said.plus(STATUS_PACE).0.saturating_sub(STATUS_BURST * STATUS_PACE))
    }

    /// Since when the server owes an answer.
    fn awaits(&self) -> Option<Millis> {
        [self.awaits_page, self.awaits_history, self.awaits_outcome].into_iter().flatten().min()
    }

    /// A page of a snapshot, if it is the one that was asked for.
    fn take_snapshot(&mut self, page: wire::Snapshot) -> Vec<Arrived> {
        let begins = page.place.is_none();
        if self.snapshot.as_ref().is_none_or(|place| *place != page.place.unwrap_or_default()) {
            return Vec::new();
        }
        self.awaits_page = None;
        self.pulling = false;
        self.snapshot.clone_from(&page.next);
        self.head = self.head.max(Seq(page.cursor));
        if begins {
            self.received = Seq(page.cursor);
        }
        let (log, cursor, from) = (self.other.take(), self.received, Millis(page.from));
        let (common, events, next) = (self.common, page.events, page.next);
        vec![Arrived::Snapshot(SnapshotPage { log, common, events, cursor, next, from })]
    }

    /// The events of a delta that are new here.
    fn take(&mut self, delta: wire::Delta) -> Vec<Arrived> {
        self.awaits_page = None;
        self.head = self.head.max(Seq(delta.head));
        self.pulling = false;
        self.short = delta.next < delta.head;
        if Seq(delta.after) > self.received || Seq(delta.next) <= self.received {
            return Vec::new();
        }
        let received = self.received;
        let new = delta.events.into_iter().filter(|event| Seq(event.seq) > received).collect();
        self.received = Seq(delta.next);
        vec![Arrived::Events(new, self.received)]
    }

    fn submitted_answered(&mut self, submitted: wire::Submitted, now: Now) -> Vec<Arrived> {
        self.awaits_outcome = None;
        let mut refused = Vec::new();
        for outcome in submitted.outcomes {
            let Ok(id) = OperationId::try_from(&outcome.id) else {
                continue;
            };
            if !self.submitted.remove(&id) {
                continue;
            }
            match outcome.result {
                Some(outcome::Result::Accepted(accepted)) => {
                    self.accepted.insert(id, Seq(accepted.seq));
                }
                Some(outcome::Result::Refused(it)) if it.retry_after > 0 => {
                    let until = now.monotonic.plus(u64::from(it.retry_after));
                    self.hold = Some(self.hold.map_or(until, |hold| hold.max(until)));
                }
                Some(outcome::Result::Refused(it)) => {
                    self.refused.insert(id);
                    refused.push((id, it));
                }
                None => {}
            }
        }
        // What was not answered is tried again, like all that was not confirmed.
        self.submitted.clear();
        vec![Arrived::Refused(refused)]
    }
}
