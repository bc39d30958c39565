//! A server that does what docs/protocol.md says, for many accounts and without a disk.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use prost::Message as _;
use tutti_protocol::{
    Code, Conversation, LogId, Millis, OperationId, codec, limits,
    wire::{self, client_frame, event, operation, outcome, server_frame},
};

/// Which connection, from the server's side.
pub type Wire = u64;

/// Content that the server refuses for good.
pub const REFUSED: &[u8] = b"\"refuse me\"";

#[derive(Debug)]
pub struct Server {
    pub log: LogId,
    pub accounts: BTreeMap<String, Account>,
    pub groups: BTreeMap<String, BTreeSet<String>>,
    pub page: usize,
    /// Operations that are taken before the next [`Server::refill`]; without a number all are.
    pub budget: Option<usize>,
    /// Events that pages have carried.
    pub pulled: u64,
    /// Submits that have come in, by their number of operations.
    pub submits: Vec<usize>,
    /// Connections that an account may have.
    pub places: usize,
    sessions: BTreeMap<Wire, Session>,
    /// What comes over these comes by post.
    posts: BTreeSet<Wire>,
    /// Closed: what is still on its way from there goes nowhere.
    gone: BTreeSet<Wire>,
    /// What is to be sent; none ends the connection.
    pub out: Vec<(Wire, Option<Bytes>)>,
}

#[derive(Clone, Debug, Default)]
pub struct Account {
    pub log: Vec<wire::Event>,
    operations: BTreeMap<OperationId, (operation::Body, u64)>,
    pub views: BTreeMap<String, View>,
}

/// One account's view of a conversation.
#[derive(Clone, Debug, Default)]
pub struct View {
    pub messages: Vec<wire::Message>,
    pub read: u64,
    pub members: Vec<String>,
}

impl View {
    pub fn inbound(&self, position: u64) -> u64 {
        position.checked_sub(1).map_or(0, |index| self.messages[index as usize].inbound)
    }
}

#[derive(Debug)]
struct Session {
    account: String,
    device: Bytes,
    epoch: u64,
    /// It comes by post, and takes no place.
    post: bool,
    /// Sent so far, once it is live.
    live: Option<u64>,
}

impl Server {
    pub fn new() -> Self {
        Self {
            log: LogId::from([1; 16]),
            accounts: BTreeMap::new(),
            groups: BTreeMap::new(),
            page: limits::PAGE_EVENTS,
            budget: None,
            pulled: 0,
            submits: Vec::new(),
            places: limits::CONNECTIONS,
            sessions: BTreeMap::new(),
            posts: BTreeSet::new(),
            gone: BTreeSet::new(),
            out: Vec::new(),
        }
    }

    /// Makes a group, or changes who is in it.
    pub fn set_group(&mut self, id: &str, members: &[&str]) {
        let members: BTreeSet<String> = members.iter().map(|name| (*name).to_owned()).collect();
        self.groups.insert(id.to_owned(), members.clone());
        let conversation = format!("group:{id}");
        let names: Vec<String> = members.iter().cloned().collect();
        for member in &members {
            let account = self.accounts.entry(member.clone()).or_default();
            account.views.entry(conversation.clone()).or_default().members.clone_from(&names);
            let members = wire::Members { conversation: conversation.clone(), members: names.clone() };
            account.append(Bytes::new(), event::Body::Members(members));
        }
        self.push();
    }

    /// A message through no device of the harness.
    pub fn post(&mut self, sender: &str, conversation: &str, id: OperationId, content: &str, now: Millis) {
        let content = Bytes::copy_from_slice(content.as_bytes());
        let send = wire::Send { conversation: conversation.to_owned(), r#type: "text".into(), content };
        let operation =
            wire::Operation { id: id.to_bytes(), clock: 0, body: Some(operation::Body::Send(send)) };
        let outcome = self.accept(sender, &Bytes::new(), operation, now);
        assert!(matches!(outcome, outcome::Result::Accepted(_)), "{outcome:?}");
        self.push();
    }

    /// What comes over this wire comes by post.
    pub fn posting(&mut self, wire: Wire) {
        self.posts.insert(wire);
    }

    pub fn refill(&mut self, budget: Option<usize>) {
        self.budget = budget;
    }

    pub fn sessions_of(&self, device: &[u8]) -> usize {
        self.sessions.values().filter(|session| !session.post && session.device[..] == *device).count()
    }

    pub fn closed(&mut self, wire: Wire) {
        self.sessions.remove(&wire);
        self.gone.insert(wire);
    }

    /// Forgets its connections without a word.
    pub fn fall_silent(&mut self) {
        self.sessions.clear();
    }

    pub fn bye(&mut self, wait: u32) {
        for wire in std::mem::take(&mut self.sessions).into_keys() {
            self.end(wire, server_frame::Frame::Bye(wire::Bye { wait }));
        }
    }

    /// What another server would be: set up anew, knowing nobody's past.
    pub fn forget_all(&mut self, log: LogId) {
        self.bye(100);
        self.log = log;
        self.accounts.clear();
        let groups = std::mem::take(&mut self.groups);
        for (id, members) in groups {
            self.set_group(&id, &members.iter().map(String::as_str).collect::<Vec<_>>());
        }
    }

    pub fn received(&mut self, wire: Wire, bytes: Bytes, now: Millis) {
        if self.gone.contains(&wire) {
            return;
        }
        let frame = codec::decode_client(bytes).expect("the engine sends what the codec takes").frame;
        match (frame, self.sessions.get_mut(&wire)) {
            (Some(client_frame::Frame::Hello(hello)), None) => self.hello(wire, hello, now),
            (Some(client_frame::Frame::Pull(pull)), Some(_)) => self.pull(wire, pull.after),
            (Some(client_frame::Frame::Submit(submit)), Some(_)) => self.submit(wire, submit, now),
            (Some(client_frame::Frame::Ping(ping)), Some(_)) => {
                self.send(wire, server_frame::Frame::Pong(wire::Pong { nonce: ping.nonce }));
            }
            // Late frames of a connection that was ended.
            _ => {}
        }
    }

    fn hello(&mut self, wire: Wire, hello: wire::Hello, now: Millis) {
        if hello.token != format!("token of {}", hello.account) {
            return self.refuse(wire, Code::Auth, 0);
        }
        let post = self.posts.contains(&wire);
        let standing = |session: &&Session| !post && !session.post && session.account == hello.account;
        let others = self.sessions.values().filter(standing).filter(|session| session.device != hello.device);
        let limit = wire::Limit {
            limit: self.places as u32,
            connections: others
                .map(|session| wire::Connection { device: session.device.clone(), ..Default::default() })
                .collect(),
        };
        if limit.connections.len() >= self.places {
            let robbed = self
                .sessions
                .iter()
                .find(|(_, session)| standing(session) && session.device == hello.take_over);
            let Some(robbed) = robbed.map(|(wire, _)| *wire) else {
                return self.end(wire, server_frame::Frame::Limit(limit));
            };
            self.sessions.remove(&robbed);
            self.end(robbed, server_frame::Frame::Limit(limit));
        }
        let older: Vec<Wire> = self
            .sessions
            .iter()
            .filter(|(_, session)| standing(session) && session.device == hello.device)
            .map(|(wire, _)| *wire)
            .collect();
        if older.iter().any(|wire| self.sessions[wire].epoch > hello.epoch) {
            return self.refuse(wire, Code::Conflict, 0);
        }
        for wire in older {
            self.sessions.remove(&wire);
            self.end(wire, server_frame::Frame::Bye(wire::Bye { wait: 1_000 }));
        }
        let account = self.accounts.entry(hello.account.clone()).or_default();
        let head = account.log.len() as u64;
        let (account, device, epoch) = (hello.account, hello.device, hello.epoch);
        self.sessions.insert(wire, Session { account, device, epoch, post, live: None });
        let welcome =
            wire::Welcome { log: self.log.to_bytes(), head, server_time: now.0, ping_interval: 25_000 };
        self.send(wire, server_frame::Frame::Welcome(welcome));
    }

    fn pull(&mut self, wire: Wire, after: u64) {
        let session = &self.sessions[&wire];
        let log = &self.accounts[&session.account].log;
        let head = log.len() as u64;
        if after > head {
            return self.refuse(wire, Code::Protocol, 0);
        }
        let events = page(log, after, self.page);
        let next = after + events.len() as u64;
        self.pulled += events.len() as u64;
        if let Some(session) = self.sessions.get_mut(&wire) {
            session.live = (next == head && !session.post).then_some(next);
        }
        self.send(wire, server_frame::Frame::Delta(wire::Delta { after, events, next, head }));
    }

    fn submit(&mut self, wire: Wire, submit: wire::Submit, now: Millis) {
        let (account, device) = (self.sessions[&wire].account.clone(), self.sessions[&wire].device.clone());
        self.submits.push(submit.operations.len());
        let outcomes = submit
            .operations
            .into_iter()
            .map(|operation| {
                let id = operation.id.clone();
                let result = if self.budget == Some(0) {
                    refused(Code::RateLimited, 1_000)
                } else {
                    self.budget = self.budget.map(|budget| budget - 1);
                    self.accept(&account, &device, operation, now)
                };
                wire::Outcome { id, result: Some(result) }
            })
            .collect();
        self.send(wire, server_frame::Frame::Submitted(wire::Submitted { outcomes }));
        self.push();
    }

    fn accept(
        &mut self,
        sender: &str,
        device: &Bytes,
        operation: wire::Operation,
        now: Millis,
    ) -> outcome::Result {
        let id = OperationId::try_from(&operation.id).unwrap();
        let account = self.accounts.entry(sender.to_owned()).or_default();
        let body = operation.body.unwrap();
        if let Some((known, seq)) = account.operations.get(&id) {
            return if *known == body { accepted(*seq) } else { refused(Code::Conflict, 0) };
        }
        let seq = match &body {
            operation::Body::Send(send) if send.content == REFUSED => return refused(Code::Invalid, 0),
            operation::Body::Send(send) => match self.deliver(sender, device, id, send, now) {
                Some(seq) => seq,
                None => return refused(Code::NotFound, 0),
            },
            operation::Body::MarkRead(mark) => {
                let Some(view) = account.views.get_mut(&mark.conversation) else {
                    return refused(Code::NotFound, 0);
                };
                let position = mark.position.min(view.messages.len() as u64);
                if position <= view.read {
                    0
                } else {
                    view.read = position;
                    let inbound = view.inbound(position);
                    let conversation = mark.conversation.clone();
                    let read = wire::Read { conversation, position, inbound };
                    account.append(operation.id, event::Body::Read(read))
                }
            }
        };
        self.accounts.get_mut(sender).unwrap().operations.insert(id, (body, seq));
        accepted(seq)
    }

    /// Writes a message into every member's log. Gives its place in the sender's.
    fn deliver(
        &mut self,
        sender: &str,
        device: &Bytes,
        id: OperationId,
        send: &wire::Send,
        now: Millis,
    ) -> Option<u64> {
        let views: BTreeMap<String, String> = match Conversation::parse(&send.conversation).unwrap() {
            Conversation::Direct(other) => BTreeMap::from([
                (other.to_owned(), format!("direct:{sender}")),
                (sender.to_owned(), send.conversation.clone()),
            ]),
            Conversation::Group(group) => {
                let members = self.groups.get(group).filter(|members| members.contains(sender))?;
                members.iter().map(|member| (member.clone(), send.conversation.clone())).collect()
            }
        };
        let mut seq = None;
        for (member, conversation) in views {
            let account = self.accounts.entry(member.clone()).or_default();
            let view = account.views.entry(conversation.clone()).or_default();
            let before = view.messages.last().map_or(0, |last| last.inbound);
            let message = wire::Message {
                id: id.to_bytes(),
                conversation,
                sender: sender.to_owned(),
                device: device.clone(),
                r#type: send.r#type.clone(),
                content: send.content.clone(),
                position: view.messages.len() as u64 + 1,
                inbound: before + u64::from(member != sender),
                sent_at: now.0,
            };
            view.messages.push(message.clone());
            let place = account.append(id.to_bytes(), event::Body::Message(message));
            if member == sender {
                seq = Some(place);
            }
        }
        seq
    }

    /// Tells every live connection what is new.
    fn push(&mut self) {
        let mut frames = Vec::new();
        for (wire, session) in &mut self.sessions {
            let log = &self.accounts[&session.account].log;
            let head = log.len() as u64;
            while let Some(after) = session.live.filter(|sent| *sent < head) {
                let events = page(log, after, self.page);
                let next = after + events.len() as u64;
                frames.push((*wire, wire::Delta { after, events, next, head }));
                session.live = Some(next);
            }
        }
        for (wire, delta) in frames {
            self.send(wire, server_frame::Frame::Delta(delta));
        }
    }

    fn refuse(&mut self, wire: Wire, code: Code, retry_after: u32) {
        self.sessions.remove(&wire);
        let error = wire::Error { code: code.as_str().into(), message: "no".into(), retry_after };
        self.end(wire, server_frame::Frame::Error(error));
    }

    fn end(&mut self, wire: Wire, frame: server_frame::Frame) {
        self.send(wire, frame);
        self.gone.insert(wire);
        self.out.push((wire, None));
    }

    fn send(&mut self, wire: Wire, frame: server_frame::Frame) {
        let frame = codec::encode(&wire::ServerFrame { frame: Some(frame) });
        self.out.push((wire, Some(frame)));
    }
}

impl Account {
    /// As a backup of some time ago has it: without the last messages.
    pub fn forget_last(&mut self, messages: usize) {
        self.log.truncate(self.log.len() - messages);
        for view in self.views.values_mut() {
            view.messages.truncate(view.messages.len() - messages);
        }
    }

    fn append(&mut self, operation: Bytes, body: event::Body) -> u64 {
        let seq = self.log.len() as u64 + 1;
        self.log.push(wire::Event { seq, operation, body: Some(body) });
        seq
    }
}

/// What follows, up to so many events, closed once it is 256 KiB.
fn page(log: &[wire::Event], after: u64, events: usize) -> Vec<wire::Event> {
    let mut size = 0;
    let fits = |event: &&wire::Event| {
        let open = size < limits::PAGE_BYTES;
        size += event.encoded_len();
        open
    };
    log[after as usize..].iter().take(events).take_while(fits).cloned().collect()
}

fn accepted(seq: u64) -> outcome::Result {
    outcome::Result::Accepted(wire::Accepted { seq })
}

fn refused(code: Code, retry_after: u32) -> outcome::Result {
    outcome::Result::Refused(wire::Refused { code: code.as_str().into(), message: "no".into(), retry_after })
}
