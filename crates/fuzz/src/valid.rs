//! Valid frames, records and texts of every kind.

use bytes::Bytes;
use tutti_protocol::{
    limits,
    local::{
        self, Announce, Answer, Block, ChangeSet, ChannelFrame, Claim, Erased, FetchHistory, Folded, Head,
        HeadPage, Identity, Journal, LeaderStatus, Leave, LocatorSpan, Locators, Meta, Offline, Piece,
        Presence, Question, Queued, SetPresence, SyncDone, SyncRequest, Withdraw, channel_frame,
    },
    wire::{
        Accepted, AccountPresence, Ask, Bye, ClientFrame, Connection, Custom, Delta, Device, Devices, Edit,
        Error, Event, Field, Fields, Hello, History, Limit, ListDevices, Manage, Managed, MarkNotification,
        MarkRead, Members, Message, Notification, Operation, Outcome, Ping, Pong, Privacy, Pull, PullHistory,
        PullSnapshot, Read, ReadBy, Recall, Refresh, Refreshed, Refused, RemoveDevice, RenameDevice, Revoked,
        Send, ServerFrame, Set, SetPush, Snapshot, SnapshotPlace, Status, Submit, Submitted, Typing, Welcome,
        client_frame, event, manage, operation, outcome, server_frame, status::Status as Kind,
    },
};

use crate::{Rng, tab::STORE};

/// The tab that reads the channel.
pub const TAB: Bytes = Bytes::from_static(&[9; 16]);

/// A frame that a client may send.
pub fn client(rng: &mut Rng) -> ClientFrame {
    use client_frame::Frame;
    let frame = match rng.below(16) {
        0 | 1 => Frame::Hello(Hello {
            token: name(rng),
            account: name(rng),
            device: id(rng),
            device_name: rng.pick(&["", "Desk", "☎"]).to_string(),
            platform: rng.below(6) as i32,
            epoch: rng.number(),
            log: id_or_none(rng),
            cursor: rng.number(),
            take_over: id_or_none(rng),
            privacy: (rng.below(2) == 0).then(|| privacy(rng)),
            status: rng.below(2) == 0,
            yields: rng.below(2) == 0,
            notifications: rng.below(2) == 0,
            passing: rng.below(2) == 0,
            devices: rng.below(2) == 0,
        }),
        2..=4 => Frame::Submit(Submit { operations: (0..rng.below(4)).map(|_| operation(rng)).collect() }),
        5 => Frame::Pull(Pull { after: rng.number() }),
        6 => Frame::Privacy(privacy(rng)),
        7 | 8 => Frame::Status(said(rng)),
        9 => Frame::Ask(Ask { account: name(rng) }),
        10 => Frame::PullSnapshot(PullSnapshot {
            days: rng.number() as u32,
            place: (rng.below(2) == 0).then(|| place(rng)),
        }),
        11 => {
            let (from, to) = positions(rng);
            Frame::PullHistory(PullHistory { conversation: conversation(rng), from, to })
        }
        12 | 13 => Frame::Manage(manage(rng)),
        14 => Frame::Refresh(Refresh { token: name(rng) }),
        _ => Frame::Ping(Ping { nonce: rng.number() }),
    };
    ClientFrame { frame: Some(frame) }
}

/// What is to be done about devices.
fn manage(rng: &mut Rng) -> Manage {
    let what = match rng.below(5) {
        0 => manage::What::List(ListDevices {}),
        1 => manage::What::Rename(RenameDevice { device: name(rng), name: name(rng) }),
        2 => manage::What::Remove(RemoveDevice { device: name(rng) }),
        3 => manage::What::SetPush(SetPush::default()),
        _ => {
            let mut point = rng.bytes::<65>();
            point[0] = 4;
            manage::What::SetPush(SetPush {
                endpoint: rng.pick(&["https://push.example/a?b=1", "x"]).to_string(),
                p256dh: Bytes::copy_from_slice(&point),
                auth: id(rng),
            })
        }
    };
    Manage { number: rng.number(), what: Some(what) }
}

/// How far a snapshot has come.
fn place(rng: &mut Rng) -> SnapshotPlace {
    let step = rng.below(4) as u32;
    let name = match (rng.below(2), step) {
        (0, _) => String::new(),
        (_, 3) => rng
            .pick(&["018bcfe5-6801-7000-8000-000000000000", "00000000-0000-0000-0000-000000000000"])
            .to_owned(),
        _ => target(rng),
    };
    SnapshotPlace { from: rng.number(), step, name, before: rng.number() }
}

/// Positions that may be asked for, the first and the last.
fn positions(rng: &mut Rng) -> (u64, u64) {
    let from = rng.number().max(1);
    (from, from.saturating_add(rng.below(limits::HISTORY)))
}

fn privacy(rng: &mut Rng) -> Privacy {
    let mut hides = || rng.below(2) == 0;
    Privacy { hide_typing: hides(), hide_presence: hides(), hide_reads: hides() }
}

/// A status, as a client says it.
fn said(rng: &mut Rng) -> Status {
    let mut said = status(rng);
    match &mut said.status {
        Some(Kind::Typing(typing)) => typing.account.clear(),
        Some(Kind::Presence(presence)) => {
            let availability = 1 + rng.below(4) as i32;
            *presence = AccountPresence { availability, ..AccountPresence::default() };
        }
        Some(Kind::Custom(custom)) => custom.account.clear(),
        Some(Kind::Devices(_)) => return self::said(rng),
        None => {}
    }
    said
}

/// A status, as the server tells it.
fn status(rng: &mut Rng) -> Status {
    let status = match rng.below(4) {
        0 => Kind::Typing(Typing {
            conversation: conversation(rng),
            account: name(rng),
            typing: rng.below(2) == 0,
        }),
        1 => Kind::Presence(presence(rng)),
        2 => Kind::Devices(devices(rng)),
        _ => Kind::Custom(Custom {
            conversation: conversation(rng),
            account: name(rng),
            r#type: kind(rng),
            content: json(rng),
        }),
    };
    Status { status: Some(status) }
}

fn presence(rng: &mut Rng) -> AccountPresence {
    AccountPresence {
        account: name(rng),
        availability: rng.below(6) as i32,
        last_seen: rng.number(),
        platforms: (0..rng.below(4)).map(|_| rng.below(6) as i32).collect(),
    }
}

fn devices(rng: &mut Rng) -> Devices {
    let devices = (0..rng.below(4)).map(|_| Device {
        id: name(rng),
        name: rng.pick(&["", "Desk", "☎"]).to_string(),
        platform: rng.below(6) as i32,
        registered_at: rng.number(),
        last_seen: rng.number(),
        online: rng.below(2) == 0,
        push: rng.below(2) == 0,
    });
    Devices { devices: devices.collect() }
}

/// A device that did something, or nobody.
fn by(rng: &mut Rng) -> String {
    if rng.below(3) == 0 { String::new() } else { name(rng) }
}

/// An operation.
pub fn operation(rng: &mut Rng) -> Operation {
    use operation::Body;
    let body = match rng.below(7) {
        0 => Body::Send(Send { conversation: conversation(rng), r#type: kind(rng), content: json(rng) }),
        1 => Body::MarkRead(MarkRead { conversation: conversation(rng), position: rng.number() }),
        2 => Body::Edit(Edit { message: id(rng), content: json(rng) }),
        3 => Body::Recall(Recall { message: id(rng) }),
        4 => {
            Body::MarkNotification(MarkNotification { notification: id(rng), state: 1 + rng.below(2) as i32 })
        }
        _ => {
            let target = target(rng);
            let mut fields = fields(rng, &target);
            if fields.is_empty() || rng.below(4) == 0 {
                // Removes one.
                let name = fields.pop().map_or_else(|| "muted".to_owned(), |field| field.name);
                fields.push(Field { name, value: Bytes::new() });
            }
            Body::Set(Set { target, fields })
        }
    };
    Operation { id: id(rng), clock: rng.number(), body: Some(body) }
}

/// What has fields.
fn target(rng: &mut Rng) -> String {
    let longest = "x".repeat(limits::KEY);
    match rng.below(3) {
        0 => format!("session:{}", rng.pick(&["a", "direct:bob", "Ünïcode 7", longest.as_str()])),
        _ => conversation(rng),
    }
}

/// Fields that it may have, each once.
fn fields(rng: &mut Rng, target: &str) -> Vec<Field> {
    let session = target.starts_with("session:");
    let names =
        if session { ["on", "call", "Ünïcode 7", "draft"] } else { ["draft", "muted", "pinned", ""] };
    let mut fields = Vec::new();
    for name in names {
        if name.is_empty() || rng.below(2) == 0 {
            continue;
        }
        let value = match name {
            _ if session => json(rng),
            "draft" => {
                Bytes::from_static(rng.pick(&[b"\"\"".as_slice(), br#""see 0303""#, br#""\ud83c\udfbb""#]))
            }
            _ => Bytes::from_static(rng.pick(&[b"true".as_slice(), b"false"])),
        };
        fields.push(Field { name: name.to_owned(), value });
    }
    fields
}

/// What is set of something.
fn shared(rng: &mut Rng, target: String) -> Fields {
    Fields { fields: fields(rng, &target), target, updated_at: rng.number(), device: id_or_none(rng) }
}

/// How far somebody has read.
fn read_by(rng: &mut Rng, conversation: String) -> ReadBy {
    ReadBy { conversation, account: name(rng), position: rng.number() }
}

/// A frame that the server may send.
pub fn server(rng: &mut Rng) -> ServerFrame {
    use server_frame::Frame;
    let frame = match rng.below(22) {
        0 => Frame::Welcome(Welcome {
            log: id(rng),
            head: rng.number(),
            server_time: rng.number(),
            ping_interval: rng.number() as u32,
            status: rng.below(2) == 0,
            tail: rng.number(),
            notifications: rng.below(2) == 0,
            devices: rng.below(2) == 0,
            token_ttl: rng.number(),
            common: rng.number(),
        }),
        1..=5 => Frame::Delta(delta(rng)),
        6 => Frame::Submitted(Submitted { outcomes: (0..rng.below(4)).map(|_| outcome(rng)).collect() }),
        7 => Frame::Error(Error { code: name(rng), message: name(rng), retry_after: rng.number() as u32 }),
        8 => Frame::Bye(Bye { wait: rng.number() as u32 }),
        9 | 10 => Frame::Limit(limit(rng)),
        11 | 12 => Frame::Status(status(rng)),
        13 | 14 => Frame::Snapshot(Snapshot {
            place: (rng.below(2) == 0).then(|| place(rng)),
            events: (0..rng.below(4)).map(|_| event(rng, 7)).collect(),
            next: (rng.below(2) == 0).then(|| place(rng)),
            cursor: rng.number(),
            from: rng.number(),
        }),
        15 | 16 => Frame::History(history(rng)),
        17 | 18 => Frame::Managed(Managed {
            number: rng.number(),
            code: rng.pick(&["", "not-found"]).to_owned(),
            message: name(rng),
            devices: (rng.below(2) == 0).then(|| devices(rng)),
        }),
        19 => Frame::Refreshed(Refreshed { token_ttl: rng.number() }),
        20 => Frame::Revoked(Revoked { by: by(rng) }),
        _ => Frame::Pong(Pong { nonce: rng.number() }),
    };
    ServerFrame { frame: Some(frame) }
}

fn history(rng: &mut Rng) -> History {
    let ((from, to), conversation) = (positions(rng), conversation(rng));
    let messages = (from..=to).take(rng.below(4) as usize).map(|position| {
        let inbound = rng.number().min(position);
        Message { conversation: conversation.clone(), position, inbound, ..message(rng) }
    });
    let messages = messages.collect();
    History { conversation, from, to, messages }
}

fn limit(rng: &mut Rng) -> Limit {
    Limit { limit: rng.number() as u32, connections: (0..rng.below(4)).map(|_| connection(rng)).collect() }
}

fn connection(rng: &mut Rng) -> Connection {
    Connection {
        device: id(rng),
        name: rng.pick(&["", "Desk", "☎"]).to_string(),
        platform: rng.below(6) as i32,
        since: rng.number(),
    }
}

fn delta(rng: &mut Rng) -> Delta {
    let count = rng.below(4);
    let after = rng.number().min(u64::MAX - count);
    let next = after + count;
    Delta {
        after,
        events: (after..next).map(|before| event(rng, before + 1)).collect(),
        next,
        head: next.saturating_add(rng.number()),
        sync_disabled: rng.below(2) == 0,
    }
}

/// An event at this place in the log.
pub fn event(rng: &mut Rng, seq: u64) -> Event {
    let position = rng.number().max(1);
    let inbound = rng.number().min(position);
    let body = match rng.below(11) {
        0 | 1 => Some(event::Body::Message(message(rng))),
        2 => Some(event::Body::Read(Read { conversation: conversation(rng), position, inbound })),
        3 => Some(event::Body::Members(Members {
            conversation: conversation(rng),
            members: (0..rng.below(4)).map(|_| name(rng)).collect(),
        })),
        4 | 5 => Some(event::Body::Changed(message(rng))),
        6 => {
            let target = target(rng);
            Some(event::Body::Fields(shared(rng, target)))
        }
        7 => {
            let conversation = conversation(rng);
            Some(event::Body::ReadBy(read_by(rng, conversation)))
        }
        8 => Some(event::Body::Past(message(rng))),
        9 => Some(event::Body::Notification(notification(rng))),
        _ => None,
    };
    Event { seq, operation: id_or_none(rng), body }
}

/// What an account is notified of.
pub fn notification(rng: &mut Rng) -> Notification {
    let erased = rng.below(4) == 0;
    let mut text = |texts: &[&'static str]| if erased { String::new() } else { rng.pick(texts).to_string() };
    let (title, body) = (text(&["a", "Ünïcode 7"]), text(&["", "see 0303"]));
    Notification {
        id: id(rng),
        title,
        body,
        data: if erased || rng.below(2) == 0 { Bytes::new() } else { Bytes::from_static(b"{\"a\":[1]}") },
        conversation: if rng.below(2) == 0 { String::new() } else { conversation(rng) },
        message: id_or_none(rng),
        created_at: rng.number(),
        state: if erased { 2 } else { rng.below(3) as i32 },
    }
}

/// A message.
pub fn message(rng: &mut Rng) -> Message {
    let position = rng.number().max(1);
    let recalled = rng.below(4) == 0;
    Message {
        id: id(rng),
        conversation: conversation(rng),
        sender: name(rng),
        device: id_or_none(rng),
        r#type: kind(rng),
        content: if recalled { Bytes::new() } else { json(rng) },
        position,
        inbound: rng.number().min(position),
        sent_at: rng.number(),
        edited_at: if rng.below(2) == 0 { 0 } else { rng.number() },
        recalled,
    }
}

fn outcome(rng: &mut Rng) -> Outcome {
    let result = if rng.below(2) == 0 {
        outcome::Result::Accepted(Accepted { seq: rng.number() })
    } else {
        outcome::Result::Refused(refused(rng))
    };
    Outcome { id: id(rng), result: Some(result) }
}

/// A frame of the tab channel.
pub fn channel(rng: &mut Rng) -> ChannelFrame {
    use channel_frame::Frame;
    let few = rng.below(3);
    let frame = match rng.below(27) {
        0..=5 => Frame::ChangeSet(change_set(rng)),
        6 | 7 => {
            Frame::Announce(Announce { queued: (0..few).map(|_| queued(rng)).collect(), epoch: rng.below(3) })
        }
        8 => Frame::Claim(Claim { ids: (0..few).map(|_| id(rng)).collect(), epoch: rng.below(9) }),
        9 => Frame::Presence(Presence { asks: rng.below(2) == 0 }),
        10 => Frame::Leave(Leave {}),
        11 => Frame::Offline(Offline { offline: rng.below(2) == 0, change: rng.number() }),
        12 => Frame::SyncRequest(SyncRequest { id: rng.number(), take_over: id_or_none(rng) }),
        13 => Frame::LeaderStatus(LeaderStatus {
            epoch: rng.below(4),
            connection: rng.pick(&["online", "connecting", "polling", "offline", "closed"]).to_owned(),
            reason: rng.pick(&["", "offline", "connection-limit"]).to_owned(),
            catching_up: rng.below(2) == 0,
            done: rng.number(),
            total: (rng.below(2) == 0).then(|| rng.number()),
            pending: rng.number(),
            server_time: rng.number(),
            sync_disabled: rng.below(2) == 0,
            passing: id_or_none(rng),
        }),
        14 => Frame::SyncDone(SyncDone {
            tab: if rng.below(2) == 0 { TAB } else { id(rng) },
            id: rng.below(4),
            code: rng.pick(&["", "timeout"]).to_owned(),
            message: String::new(),
            expired: rng.number(),
        }),
        24 => {
            let (from, to) = if rng.below(4) == 0 { (rng.number(), rng.number()) } else { positions(rng) };
            Frame::FetchHistory(FetchHistory { id: rng.below(4), conversation: conversation(rng), from, to })
        }
        15 => Frame::Ping(local::Ping { number: rng.number() }),
        16 => {
            let tab = if rng.below(2) == 0 { TAB } else { id(rng) };
            Frame::Pong(local::Pong { epoch: rng.below(4), tab, number: rng.below(4) })
        }
        17 => {
            let operation = if rng.below(4) == 0 { Bytes::new() } else { id(rng) };
            Frame::Withdraw(Withdraw { id: rng.below(4), operation, retry: rng.below(2) == 0 })
        }
        23 => Frame::Config(local::Config {
            change: rng.below(4),
            sync_interval: rng.number(),
            pause_messages: rng.below(2) == 0,
            privacy: None,
            log_level: rng.below(6) as u32,
            no_history: rng.below(2) == 0,
            compensation_days: rng.number() as u32,
            no_notifications: rng.below(2) == 0,
            no_device_id: rng.below(2) == 0,
            push_key: "B".repeat(rng.below(90) as usize),
        }),
        18 => Frame::Say(local::Say { status: Some(said(rng)), epoch: rng.number() }),
        19 => Frame::Told(status(rng)),
        20 => Frame::SetPresence(SetPresence { availability: rng.below(6) as i32, change: rng.number() }),
        21 => {
            let manage = (rng.below(2) == 0).then(|| manage(rng));
            let account = if manage.is_some() { String::new() } else { name(rng) };
            Frame::Question(Question { id: rng.below(4), account, manage })
        }
        22 => Frame::Answer(Answer {
            tab: if rng.below(2) == 0 { TAB } else { id(rng) },
            id: rng.below(4),
            code: rng.pick(&["", "offline"]).to_owned(),
            message: String::new(),
            presence: (rng.below(2) == 0).then(|| presence(rng)),
            devices: (rng.below(2) == 0).then(|| devices(rng)),
        }),
        25 => Frame::Erased(Erased { revoked: rng.below(2) == 0, by: by(rng) }),
        _ => Frame::Limit(limit(rng)),
    };
    // Of the store that the tab knows, or it would pass over it.
    let store = if rng.below(16) == 0 { id(rng) } else { Bytes::from_static(&STORE) };
    ChannelFrame { tab: id(rng), store, needs: 0, frame: Some(frame) }
}

/// What follows a store at revision 1 and epoch 1 as often as not.
fn change_set(rng: &mut Rng) -> ChangeSet {
    let folded = (rng.below(3) == 0).then(|| Folded {
        pieces: (0..rng.below(3))
            .map(|_| Piece { conversation: rng.below(4) as u32, ..piece(rng) })
            .collect(),
        locators: (0..rng.below(2)).map(|_| span(rng)).collect(),
        dropped: (0..rng.below(3)).map(|_| rng.below(3)).collect(),
    });
    ChangeSet {
        epoch: 1 + rng.below(2),
        revision: rng.pick(&[1, 2, 2, 2, 3]),
        cursor: rng.number(),
        events: (1..=rng.below(4)).map(|seq| event(rng, seq)).collect(),
        settled: (0..rng.below(3)).map(|_| id(rng)).collect(),
        refused: (0..rng.below(2)).map(|_| queued(rng)).collect(),
        folded,
        reset: rng.below(8) == 0,
        log: if rng.below(8) == 0 { Bytes::new() } else { id(rng) },
        next_journal: rng.below(1 << 53),
        discarded: (0..rng.below(2)).map(|_| id(rng)).collect(),
        snapshot: (rng.below(2) == 0).then(|| place(rng)),
        complete_from: rng.number(),
        notifications: rng.below(2) == 0,
        device: (rng.below(4) == 0).then(|| id_or_none(rng)),
    }
}

/// A record of the outbox.
pub fn queued(rng: &mut Rng) -> Queued {
    let refused = (rng.below(4) == 0).then(|| refused(rng));
    let operation = operation(rng);
    let subject = match &operation.body {
        Some(operation::Body::Edit(edit)) => Some(edit.message.clone()),
        Some(operation::Body::Recall(recall)) => Some(recall.message.clone()),
        _ => None,
    };
    let message = subject.map(|id| match message(rng) {
        // On its way itself.
        message if rng.below(4) == 0 => Message { id, position: 0, inbound: 0, ..message },
        message => Message { id, ..message },
    });
    Queued {
        operation: Some(operation),
        queued_at: rng.number(),
        refused,
        message,
        discarded: rng.below(8) == 0,
        again: rng.below(8) == 0,
    }
}

/// The record of how far a copy has got.
pub fn meta(rng: &mut Rng) -> Meta {
    let snapshot = (rng.below(2) == 0).then(|| place(rng));
    let (log, cursor, complete_from) = (id_or_none(rng), rng.number(), rng.number());
    Meta { log, cursor, snapshot, complete_from, notifications: rng.below(2) == 0 }
}

/// The record of who a device is.
pub fn identity(rng: &mut Rng) -> Identity {
    Identity { device: id_or_none(rng), store: id(rng) }
}

/// A record of the journal.
pub fn journal(rng: &mut Rng) -> Journal {
    Journal { events: (1..=rng.below(6)).map(|seq| event(rng, seq)).collect() }
}

/// A page of heads.
pub fn head_page(rng: &mut Rng) -> HeadPage {
    let heads = (1..=rng.below(4) as u32).map(|number| head(rng, number)).collect();
    let sessions = (0..rng.below(3)).map(|number| shared(rng, format!("session:{number}"))).collect();
    let locators = (0..rng.below(3)).map(|_| span(rng)).collect();
    let notifications = (0..rng.below(3)).map(|_| notification(rng)).collect();
    HeadPage { heads, locators, sessions, notifications }
}

fn head(rng: &mut Rng, number: u32) -> Head {
    let mut first = 1;
    let pieces = (0..rng.below(3)).map(|_| {
        let piece = Piece { first, ..piece(rng) };
        first += u64::from(piece.count) + rng.below(2);
        piece
    });
    let pieces = pieces.collect();
    // One conversation has one number.
    let conversation = format!("group:{number}");
    Head {
        number,
        settings: fields(rng, &conversation),
        read_by: (0..rng.below(3)).map(|_| read_by(rng, String::new())).collect(),
        conversation,
        members: (0..rng.below(3)).map(|_| name(rng)).collect(),
        last: (rng.below(4) > 0).then(|| message(rng)),
        read_position: rng.number(),
        read_inbound: rng.number(),
        pieces,
        settings_at: rng.number(),
    }
}

fn piece(rng: &mut Rng) -> Piece {
    Piece {
        conversation: 0,
        first: rng.number().max(1),
        count: 1 + rng.below(100) as u32,
        block: rng.below(3),
        offset: rng.below(100) as u32,
    }
}

fn span(rng: &mut Rng) -> LocatorSpan {
    LocatorSpan { number: rng.below(1 << 53), first: Bytes::from_static(&[0; 16]), last: id(rng) }
}

/// A block of messages.
pub fn block(rng: &mut Rng) -> Block {
    Block { messages: (0..rng.below(6)).map(|_| message(rng)).collect() }
}

/// A record of locators.
pub fn locators(rng: &mut Rng) -> Locators {
    let mut ids: Vec<[u8; 16]> = (0..rng.below(6)).map(|_| rng.bytes()).collect();
    ids.sort_unstable();
    Locators {
        conversations: ids.iter().map(|_| rng.below(4) as u32).collect(),
        positions: ids.iter().map(|_| rng.number()).collect(),
        ids: ids.concat().into(),
    }
}

fn refused(rng: &mut Rng) -> Refused {
    Refused { code: name(rng), message: name(rng), retry_after: rng.number() as u32 }
}

/// Sixteen bytes.
pub fn id(rng: &mut Rng) -> Bytes {
    Bytes::copy_from_slice(&rng.bytes::<16>())
}

fn id_or_none(rng: &mut Rng) -> Bytes {
    match rng.below(3) {
        0 => Bytes::new(),
        _ => id(rng),
    }
}

fn name(rng: &mut Rng) -> String {
    let longest = "x".repeat(limits::NAME);
    rng.pick(&["a", "bob", "Ünïcode 7", "a:b", longest.as_str()]).to_string()
}

fn kind(rng: &mut Rng) -> String {
    rng.pick(&["text", "x", "image/png"]).to_string()
}

/// The id of a conversation.
pub fn conversation(rng: &mut Rng) -> String {
    format!("{}:{}", rng.pick(&["direct", "group"]), name(rng))
}

/// The content of a message.
pub fn json(rng: &mut Rng) -> Bytes {
    let values = ["null", "\"hi\"", r#"{"text":"\u00fc🎻"}"#, "[1,[2.5e3,{\"a\":[]}]]", " -0 "];
    let mut json = rng.pick(&values).to_owned();
    if rng.below(8) == 0 {
        // Up to the depth that is allowed: at most 4 levels are there already.
        for _ in 0..rng.pick(&[1, 2, 5, 124]) {
            json = if rng.below(2) == 0 { format!("[{json}]") } else { format!("{{\"a\":{json}}}") };
        }
    }
    json.into()
}
