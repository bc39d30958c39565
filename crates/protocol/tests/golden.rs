//! The wire format, frozen: every frame, operation, event and record with the bytes that it has
//! been and will be. Peers of other versions, and stores written by them, rely on these bytes. A
//! test here that fails wants the schema changed back, not its bytes.

use std::{collections::BTreeSet, fmt::Debug};

use bytes::Bytes;
use prost::Message as _;
use tutti_protocol::{
    codec::{self, DecodeError},
    local::{
        self, Announce, Answer, Block, ChangeSet, ChannelFrame, Claim, Erased, FetchHistory, Folded, Head,
        HeadPage, Identity, Journal, LeaderStatus, Leave, LocatorSpan, Locators, Meta, Offline, Piece,
        Presence, Question, Queued, SetPresence, SyncDone, SyncRequest, Withdraw, channel_frame,
    },
    record::Record,
    wire::{
        Accepted, AccountPresence, Ask, Availability, Bye, ClientFrame, Connection, Custom, Delta, Device,
        Devices, Edit, Error, Event, Field, Fields, Hello, History, Limit, ListDevices, Manage, Managed,
        MarkNotification, MarkRead, Members, Message, Notification, NotificationState, Operation, Outcome,
        Ping, Platform, Pong, Privacy, Pull, PullHistory, PullSnapshot, Read, ReadBy, Recall, Refresh,
        Refreshed, Refused, RemoveDevice, RenameDevice, Revoked, Send, ServerFrame, Set, SetPush, Snapshot,
        SnapshotPlace, Status, Submit, Submitted, Typing, Welcome, client_frame, event, manage, operation,
        outcome, server_frame, status,
    },
};

/// What is said, and its bytes in hex: one group a field, white space for the reader alone.
struct Golden<M> {
    name: &'static str,
    value: M,
    hex: &'static str,
}

fn golden<M>(name: &'static str, value: M, hex: &'static str) -> Golden<M> {
    Golden { name, value, hex }
}

/// 16 bytes that count up from `first`.
fn id(first: u8) -> Bytes {
    (first..first + 16).collect()
}

fn bytes_of(hex: &str) -> Bytes {
    let digits: Vec<char> = hex.split_whitespace().flat_map(str::chars).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(&pair.iter().collect::<String>(), 16).unwrap()).collect()
}

fn hex_of(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn holds<M>(golden: &[Golden<M>], decode: impl Fn(Bytes) -> Result<M, DecodeError>)
where
    M: Record + prost::Message + Default + PartialEq + Debug,
{
    for Golden { name, value, hex } in golden {
        let bytes = bytes_of(hex);
        assert_eq!(hex_of(&codec::encode(value)), hex_of(&bytes), "{name} encodes");
        assert_eq!(hex_of(&value.encode_to_vec()), hex_of(&bytes), "prost encodes {name}");
        assert_eq!(M::decode(bytes.clone()).as_ref(), Ok(value), "prost decodes {name}");
        assert_eq!(decode(bytes).as_ref(), Ok(value), "{name} decodes");
    }
}

fn holds_as_record<M>(golden: &[Golden<M>])
where
    M: Record + prost::Message + Default + PartialEq + Debug,
{
    holds(golden, |bytes| codec::decode(&bytes));
}

// ---- what is said ----

fn client(frame: client_frame::Frame) -> ClientFrame {
    ClientFrame { frame: Some(frame) }
}

fn server(frame: server_frame::Frame) -> ServerFrame {
    ServerFrame { frame: Some(frame) }
}

fn channel(frame: channel_frame::Frame) -> ChannelFrame {
    ChannelFrame { tab: id(0x70), store: id(0x60), frame: Some(frame), needs: 0 }
}

fn hello() -> Hello {
    Hello {
        token: "t.o.k".into(),
        account: "alice".into(),
        device: id(0x10),
        device_name: "Desk".into(),
        platform: Platform::Web.into(),
        epoch: 3,
        log: id(0x20),
        cursor: 300,
        take_over: Bytes::new(),
        privacy: None,
        status: false,
        notifications: false,
        yields: false,
        passing: false,
        devices: false,
    }
}

fn privacy() -> Privacy {
    Privacy { hide_typing: true, hide_presence: true, hide_reads: true }
}

fn typing(conversation: &str, account: &str) -> Status {
    let typing = Typing { conversation: conversation.into(), account: account.into(), typing: true };
    Status { status: Some(status::Status::Typing(typing)) }
}

fn presence() -> AccountPresence {
    AccountPresence {
        account: "bob".into(),
        availability: Availability::Away.into(),
        last_seen: 1_700_000_000_000,
        platforms: vec![Platform::Web.into(), Platform::Mobile.into()],
    }
}

fn availability(availability: Availability) -> Status {
    let presence = AccountPresence { availability: availability.into(), ..AccountPresence::default() };
    Status { status: Some(status::Status::Presence(presence)) }
}

fn custom(account: &str) -> Status {
    Status {
        status: Some(status::Status::Custom(Custom {
            conversation: "group:team".into(),
            account: account.into(),
            r#type: "wave".into(),
            content: Bytes::from_static(b"{\"x\":1}"),
        })),
    }
}

/// One that has connected, and one that was registered through the HTTP API.
fn devices() -> Devices {
    let registered_at = 1_700_000_000_000;
    let desk = Device {
        id: "01234567-89ab-7cde-8f01-23456789abcd".into(),
        name: "Desk".into(),
        platform: Platform::Web.into(),
        registered_at,
        last_seen: 1_700_000_001_000,
        online: true,
        push: true,
    };
    Devices { devices: vec![desk, Device { id: "kiosk".into(), registered_at, ..Device::default() }] }
}

fn manage(number: u64, what: manage::What) -> Manage {
    Manage { number, what: Some(what) }
}

fn rename() -> Manage {
    manage(7, manage::What::Rename(RenameDevice { device: "kiosk".into(), name: "Counter".into() }))
}

fn push() -> SetPush {
    SetPush {
        endpoint: "https://push.example/1".into(),
        p256dh: std::iter::once(4).chain(0x80..0xc0).collect(),
        auth: id(0x20),
    }
}

fn limit() -> Limit {
    Limit {
        limit: 10,
        connections: vec![Connection {
            device: id(0x10),
            name: "Desk".into(),
            platform: Platform::Web.into(),
            since: 1_700_000_000_000,
        }],
    }
}

fn send() -> Operation {
    Operation {
        id: id(0x30),
        clock: 1_700_000_000_000 << 16 | 5,
        body: Some(operation::Body::Send(Send {
            conversation: "direct:bob".into(),
            r#type: "text".into(),
            content: r#"{"text":"hi"}"#.into(),
        })),
    }
}

fn mark_read() -> Operation {
    Operation {
        id: id(0x40),
        clock: 1,
        body: Some(operation::Body::MarkRead(MarkRead { conversation: "group:team".into(), position: 129 })),
    }
}

fn edit() -> Operation {
    let content = r#"{"text":"ho"}"#.into();
    Operation {
        id: id(0x41),
        clock: 2,
        body: Some(operation::Body::Edit(Edit { message: id(0x30), content })),
    }
}

fn recall() -> Operation {
    Operation { id: id(0x42), clock: 3, body: Some(operation::Body::Recall(Recall { message: id(0x30) })) }
}

fn field(name: &str, value: &'static str) -> Field {
    Field { name: name.into(), value: value.into() }
}

/// Sets a draft, and no longer mutes.
fn set() -> Operation {
    let fields = vec![field("draft", "\"hm\""), field("muted", "")];
    Operation {
        id: id(0x43),
        clock: 4,
        body: Some(operation::Body::Set(Set { target: "direct:bob".into(), fields })),
    }
}

fn set_session() -> Operation {
    let fields = vec![field("on", "[1]")];
    Operation {
        id: id(0x44),
        clock: 5,
        body: Some(operation::Body::Set(Set { target: "session:call".into(), fields })),
    }
}

fn mark_notification() -> Operation {
    let mark = MarkNotification { notification: id(0x90), state: NotificationState::Read.into() };
    Operation { id: id(0x45), clock: 6, body: Some(operation::Body::MarkNotification(mark)) }
}

fn notification() -> Notification {
    Notification {
        id: id(0x90),
        title: "Moved".into(),
        body: "To seven".into(),
        data: "[7]".into(),
        conversation: "direct:bob".into(),
        message: id(0x30),
        created_at: 1_700_000_000_000,
        state: NotificationState::Read.into(),
    }
}

/// One whose words are gone.
fn erased() -> Notification {
    Notification {
        id: id(0x90),
        created_at: 1_700_000_000_000,
        state: NotificationState::Dismissed.into(),
        ..Notification::default()
    }
}

fn notification_event() -> Event {
    Event { seq: 309, operation: id(0x45), body: Some(event::Body::Notification(notification())) }
}

fn erased_event() -> Event {
    Event { seq: 310, operation: Bytes::new(), body: Some(event::Body::Notification(erased())) }
}

fn past_event() -> Event {
    Event { seq: 301, operation: id(0x30), body: Some(event::Body::Past(message())) }
}

fn place() -> SnapshotPlace {
    SnapshotPlace { from: 1_700_000_000_000, step: 2, name: "direct:bob".into(), before: 7 }
}

fn message() -> Message {
    Message {
        id: id(0x30),
        conversation: "direct:bob".into(),
        sender: "alice".into(),
        device: id(0x10),
        r#type: "text".into(),
        content: r#"{"text":"hi"}"#.into(),
        position: 7,
        inbound: 4,
        sent_at: 1_700_000_000_000,
        edited_at: 0,
        recalled: false,
    }
}

fn edited() -> Message {
    Message { content: r#"{"text":"ho"}"#.into(), edited_at: 1_700_000_001_000, ..message() }
}

fn recalled() -> Message {
    Message { content: Bytes::new(), recalled: true, ..edited() }
}

fn message_event() -> Event {
    Event { seq: 301, operation: id(0x30), body: Some(event::Body::Message(message())) }
}

fn read_event() -> Event {
    Event {
        seq: 302,
        operation: id(0x40),
        body: Some(event::Body::Read(Read {
            conversation: "group:team".into(),
            position: 129,
            inbound: 100,
        })),
    }
}

fn members_event() -> Event {
    Event {
        seq: 303,
        operation: Bytes::new(),
        body: Some(event::Body::Members(Members {
            conversation: "group:team".into(),
            members: vec!["alice".into(), "bob".into()],
        })),
    }
}

fn changed_event() -> Event {
    Event { seq: 304, operation: id(0x41), body: Some(event::Body::Changed(edited())) }
}

fn recalled_event() -> Event {
    Event { seq: 305, operation: id(0x42), body: Some(event::Body::Changed(recalled())) }
}

fn fields_event() -> Event {
    Event {
        seq: 306,
        operation: id(0x43),
        body: Some(event::Body::Fields(Fields {
            target: "direct:bob".into(),
            fields: vec![field("draft", "\"hm\""), field("pinned", "true")],
            updated_at: 1_700_000_000_000,
            device: id(0x10),
        })),
    }
}

fn no_fields_event() -> Event {
    Event {
        seq: 307,
        operation: id(0x44),
        body: Some(event::Body::Fields(Fields {
            target: "session:call".into(),
            fields: vec![],
            updated_at: 1_700_000_000_000,
            device: Bytes::new(),
        })),
    }
}

fn read_by() -> ReadBy {
    ReadBy { conversation: "direct:bob".into(), account: "bob".into(), position: 7 }
}

fn read_by_event() -> Event {
    Event { seq: 308, operation: Bytes::new(), body: Some(event::Body::ReadBy(read_by())) }
}

fn refused() -> Refused {
    Refused { code: "rate-limited".into(), message: "slow down".into(), retry_after: 1_500 }
}

fn queued() -> Queued {
    Queued {
        operation: Some(mark_read()),
        queued_at: 1_700_000_000_000,
        refused: Some(Refused { code: "forbidden".into(), message: "no member".into(), retry_after: 0 }),
        message: None,
        discarded: false,
        again: false,
    }
}

fn queued_edit() -> Queued {
    Queued {
        operation: Some(edit()),
        queued_at: 1_700_000_000_000,
        refused: None,
        message: Some(message()),
        discarded: false,
        again: false,
    }
}

fn piece() -> Piece {
    Piece { conversation: 2, first: 1, count: 128, block: 9, offset: 64 }
}

fn span() -> LocatorSpan {
    LocatorSpan { number: 4, first: id(0x10), last: id(0x50) }
}

// ---- and its bytes ----

fn client_frames() -> Vec<Golden<ClientFrame>> {
    use client_frame::Frame;
    vec![
        golden(
            "hello",
            client(Frame::Hello(hello())),
            "\
             0a3f 0a05742e6f2e6b 1205616c696365 1a10101112131415161718191a1b1c1d1e1f 22044465736b
             2802 3003 3a10202122232425262728292a2b2c2d2e2f 40ac02",
        ),
        golden(
            "hello of a new device",
            client(Frame::Hello(Hello { device: id(0x10), account: "alice".into(), ..Hello::default() })),
            "0a19 1205616c696365 1a10101112131415161718191a1b1c1d1e1f",
        ),
        golden(
            "hello of one that wants notifications",
            client(Frame::Hello(Hello {
                device: id(0x10),
                account: "alice".into(),
                notifications: true,
                ..Hello::default()
            })),
            "0a1b 1205616c696365 1a10101112131415161718191a1b1c1d1e1f 6801",
        ),
        golden(
            "hello that takes over",
            client(Frame::Hello(Hello { take_over: id(0x60), ..hello() })),
            "\
             0a51 0a05742e6f2e6b 1205616c696365 1a10101112131415161718191a1b1c1d1e1f 22044465736b
             2802 3003 3a10202122232425262728292a2b2c2d2e2f 40ac02
             4a10606162636465666768696a6b6c6d6e6f",
        ),
        golden(
            "submit",
            client(Frame::Submit(Submit { operations: vec![send(), mark_read()] })),
            "\
             1268 0a3f 0a10303132333435363738393a3b3c3d3e3f 10858080c0d6fcf3c501 1a21
             0a0a6469726563743a626f62 120474657874 1a0d7b2274657874223a226869227d 0a25
             0a10404142434445464748494a4b4c4d4e4f 1001 220f 0a0a67726f75703a7465616d 108101",
        ),
        golden(
            "hello that hides",
            client(Frame::Hello(Hello { privacy: Some(privacy()), ..hello() })),
            "\
             0a47 0a05742e6f2e6b 1205616c696365 1a10101112131415161718191a1b1c1d1e1f 22044465736b
             2802 3003 3a10202122232425262728292a2b2c2d2e2f 40ac02 5206 0801 1001 1801",
        ),
        golden(
            "submit of changes",
            client(Frame::Submit(Submit { operations: vec![edit(), recall(), set()] })),
            "\
             129f01 0a37 0a104142434445464748494a4b4c4d4e4f50 1002 2a21
             0a10303132333435363738393a3b3c3d3e3f 120d7b2274657874223a22686f227d 0a28
             0a1042434445464748494a4b4c4d4e4f5051 1003 3212 0a10303132333435363738393a3b3c3d3e3f
             0a3a 0a10434445464748494a4b4c4d4e4f505152 1004 3a24 0a0a6469726563743a626f62 120d
             0a056472616674 120422686d22 1207 0a056d75746564",
        ),
        golden("pull", client(Frame::Pull(Pull { after: 300 })), "1a03 08ac02"),
        golden("pull from the start", client(Frame::Pull(Pull { after: 0 })), "1a00"),
        golden("ping", client(Frame::Ping(Ping { nonce: u64::MAX })), "220b 08ffffffffffffffffff01"),
        golden("privacy", client(Frame::Privacy(privacy())), "2a06 0801 1001 1801"),
        golden("nothing hidden", client(Frame::Privacy(Privacy::default())), "2a00"),
        golden(
            "hello of one that understands status",
            client(Frame::Hello(Hello {
                status: true,
                device: id(0x10),
                account: "alice".into(),
                ..Hello::default()
            })),
            "0a1b1205616c6963651a10101112131415161718191a1b1c1d1e1f5801",
        ),
        golden(
            "hello of one that yields",
            client(Frame::Hello(Hello {
                yields: true,
                device: id(0x10),
                account: "alice".into(),
                ..Hello::default()
            })),
            "0a1b 1205616c696365 1a10101112131415161718191a1b1c1d1e1f 7801",
        ),
        golden(
            "hello of one without a lasting id",
            client(Frame::Hello(Hello {
                passing: true,
                device: id(0x10),
                account: "alice".into(),
                ..Hello::default()
            })),
            "0a1c 1205616c696365 1a10101112131415161718191a1b1c1d1e1f a00101",
        ),
        golden(
            "typing",
            client(Frame::Status(typing("direct:bob", ""))),
            "32100a0e0a0a6469726563743a626f621801",
        ),
        golden("presence", client(Frame::Status(availability(Availability::Invisible))), "320412021004"),
        golden(
            "custom status",
            client(Frame::Status(custom(""))),
            "321d1a1b0a0a67726f75703a7465616d1a047761766522077b2278223a317d",
        ),
        golden("ask", client(Frame::Ask(Ask { account: "bob".into() })), "3a050a03626f62"),
        golden(
            "hello of one that understands devices",
            client(Frame::Hello(Hello {
                devices: true,
                device: id(0x10),
                account: "alice".into(),
                ..Hello::default()
            })),
            "0a1c1205616c6963651a10101112131415161718191a1b1c1d1e1fa80101",
        ),
        golden(
            "list of devices",
            client(Frame::Manage(manage(7, manage::What::List(ListDevices {})))),
            "520408071200",
        ),
        golden(
            "rename of a device",
            client(Frame::Manage(rename())),
            "521408071a100a056b696f736b1207436f756e746572",
        ),
        golden(
            "removal of a device",
            client(Frame::Manage(manage(300, manage::What::Remove(RemoveDevice { device: "kiosk".into() })))),
            "520c08ac0222070a056b696f736b",
        ),
        golden(
            "push to this device",
            client(Frame::Manage(manage(7, manage::What::SetPush(push())))),
            "\
             527108072a6d0a1668747470733a2f2f707573682e6578616d706c652f31124104808182838485868788898a8b
             8c8d8e8f909192939495969798999a9b9c9d9e9fa0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3b4b5b6b7b8
             b9babbbcbdbebf1a10202122232425262728292a2b2c2d2e2f",
        ),
        golden(
            "no push any more",
            client(Frame::Manage(manage(7, manage::What::SetPush(SetPush::default())))),
            "520408072a00",
        ),
        golden("refresh", client(Frame::Refresh(Refresh { token: "t.o.k".into() })), "5a070a05742e6f2e6b"),
        golden(
            "pull of a snapshot",
            client(Frame::PullSnapshot(PullSnapshot { days: 3, place: None })),
            "42020803",
        ),
        golden(
            "pull of a snapshot from a place on",
            client(Frame::PullSnapshot(PullSnapshot { days: 3, place: Some(place()) })),
            "421b080312170880d095ffbc3110021a0a6469726563743a626f622007",
        ),
        golden(
            "pull of history",
            client(Frame::PullHistory(PullHistory { conversation: "direct:bob".into(), from: 1, to: 50 })),
            "4a100a0a6469726563743a626f6210011832",
        ),
    ]
}

fn server_frames() -> Vec<Golden<ServerFrame>> {
    use server_frame::Frame;
    vec![
        golden(
            "welcome",
            server(Frame::Welcome(Welcome {
                log: id(0x20),
                head: 303,
                server_time: 1_700_000_000_000,
                ping_interval: 25_000,
                status: false,
                tail: 0,
                notifications: false,
                devices: false,
                token_ttl: 0,
                common: 0,
            })),
            "0a20 0a10202122232425262728292a2b2c2d2e2f 10af02 1880d095ffbc31 20a8c301",
        ),
        golden(
            "welcome of one that was restored",
            server(Frame::Welcome(Welcome {
                log: id(0x20),
                common: 1_700_000_000_000,
                ..Welcome::default()
            })),
            "0a19 0a10202122232425262728292a2b2c2d2e2f 5080d095ffbc31",
        ),
        golden(
            "welcome of one that notifies",
            server(Frame::Welcome(Welcome { log: id(0x20), notifications: true, ..Welcome::default() })),
            "0a14 0a10202122232425262728292a2b2c2d2e2f 3801",
        ),
        golden(
            "delta",
            server(Frame::Delta(Delta {
                after: 300,
                events: vec![message_event(), read_event(), members_event()],
                next: 303,
                head: 310,
                sync_disabled: false,
            })),
            "\
             12c201 08ac02 126e 08ad02 1210303132333435363738393a3b3c3d3e3f 1a57
             0a10303132333435363738393a3b3c3d3e3f 120a6469726563743a626f62 1a05616c696365
             2210101112131415161718191a1b1c1d1e1f 2a0474657874 320d7b2274657874223a226869227d
             3807 4004 4880d095ffbc31 1228 08ae02 1210404142434445464748494a4b4c4d4e4f 2211
             0a0a67726f75703a7465616d 108101 1864 121d 08af02 2a18 0a0a67726f75703a7465616d
             1205616c696365 1203626f62 18af02 20b602",
        ),
        golden(
            "delta without events",
            server(Frame::Delta(Delta { after: 303, next: 303, head: 303, ..Delta::default() })),
            "1209 08af02 18af02 20af02",
        ),
        golden(
            "delta where devices are not kept in step",
            server(Frame::Delta(Delta {
                after: 1,
                next: 1,
                head: 1,
                sync_disabled: true,
                ..Delta::default()
            })),
            "1208 0801 1801 2001 7801",
        ),
        golden(
            "delta of changes",
            server(Frame::Delta(Delta {
                after: 303,
                events: vec![
                    changed_event(),
                    recalled_event(),
                    fields_event(),
                    no_fields_event(),
                    read_by_event(),
                ],
                next: 308,
                head: 308,
                sync_disabled: false,
            })),
            "\
             128f03 08af02 1275 08b002 12104142434445464748494a4b4c4d4e4f50 325e
             0a10303132333435363738393a3b3c3d3e3f 120a6469726563743a626f62 1a05616c696365
             2210101112131415161718191a1b1c1d1e1f 2a0474657874 320d7b2274657874223a22686f227d
             3807 4004 4880d095ffbc31 50e8d795ffbc31 1268 08b102
             121042434445464748494a4b4c4d4e4f5051 3251 0a10303132333435363738393a3b3c3d3e3f
             120a6469726563743a626f62 1a05616c696365 2210101112131415161718191a1b1c1d1e1f
             2a0474657874 3807 4004 4880d095ffbc31 50e8d795ffbc31 5801 125b 08b202
             1210434445464748494a4b4c4d4e4f505152 3a44 0a0a6469726563743a626f62 120d
             0a056472616674 120422686d22 120e 0a0670696e6e6564 120474727565 1880d095ffbc31
             2210101112131415161718191a1b1c1d1e1f 122c 08b302
             12104445464748494a4b4c4d4e4f50515253 3a15 0a0c73657373696f6e3a63616c6c
             1880d095ffbc31 1218 08b402 4213 0a0a6469726563743a626f62 1203626f62 1807 18b402
             20b402",
        ),
        golden(
            "submitted",
            server(Frame::Submitted(Submitted {
                outcomes: vec![
                    Outcome { id: id(0x30), result: Some(outcome::Result::Accepted(Accepted { seq: 301 })) },
                    Outcome { id: id(0x40), result: Some(outcome::Result::Accepted(Accepted { seq: 0 })) },
                    Outcome { id: id(0x50), result: Some(outcome::Result::Refused(refused())) },
                ],
            })),
            "\
             1a61 0a17 0a10303132333435363738393a3b3c3d3e3f 1203 08ad02 0a14
             0a10404142434445464748494a4b4c4d4e4f 1200 0a30 0a10505152535455565758595a5b5c5d5e5f
             1a1c 0a0c726174652d6c696d69746564 1209736c6f7720646f776e 18dc0b",
        ),
        golden(
            "error",
            server(Frame::Error(Error {
                code: "auth".into(),
                message: "token expired".into(),
                retry_after: 500,
            })),
            "2218 0a0461757468 120d746f6b656e2065787069726564 18f403",
        ),
        golden(
            "welcome to one that understands status",
            server(Frame::Welcome(Welcome { log: id(0x20), status: true, ..Welcome::default() })),
            "0a140a10202122232425262728292a2b2c2d2e2f2801",
        ),
        golden(
            "typing told",
            server(Frame::Status(typing("direct:alice", "alice"))),
            "42190a170a0c6469726563743a616c6963651205616c6963651801",
        ),
        golden(
            "presence told",
            server(Frame::Status(Status { status: Some(status::Status::Presence(presence())) })),
            "421412120a03626f6210021880d095ffbc3122020201",
        ),
        golden(
            "custom status told",
            server(Frame::Status(custom("bob"))),
            "42221a200a0a67726f75703a7465616d1203626f621a047761766522077b2278223a317d",
        ),
        golden(
            "welcome with devices",
            server(Frame::Welcome(Welcome {
                log: id(0x20),
                devices: true,
                token_ttl: 900_000,
                ..Welcome::default()
            })),
            "0a180a10202122232425262728292a2b2c2d2e2f400148a0f736",
        ),
        golden(
            "devices told",
            server(Frame::Status(Status { status: Some(status::Status::Devices(devices())) })),
            "\
             425422520a400a2430313233343536372d383961622d376364652d386630312d32333435363738396162636412
             044465736b18022080d095ffbc3128e8d795ffbc31300138010a0e0a056b696f736b2080d095ffbc31",
        ),
        golden(
            "no devices told",
            server(Frame::Status(Status { status: Some(status::Status::Devices(Devices::default())) })),
            "42022200",
        ),
        golden("managed", server(Frame::Managed(Managed { number: 7, ..Managed::default() })), "5a020807"),
        golden(
            "managed with devices",
            server(Frame::Managed(Managed { number: 300, devices: Some(devices()), ..Managed::default() })),
            "\
             5a5708ac0222520a400a2430313233343536372d383961622d376364652d386630312d32333435363738396162
             636412044465736b18022080d095ffbc3128e8d795ffbc31300138010a0e0a056b696f736b2080d095ffbc31",
        ),
        golden(
            "not managed",
            server(Frame::Managed(Managed {
                number: 7,
                code: "not-found".into(),
                message: "no such device".into(),
                devices: None,
            })),
            "5a1d080712096e6f742d666f756e641a0e6e6f207375636820646576696365",
        ),
        golden("refreshed", server(Frame::Refreshed(Refreshed { token_ttl: 900_000 })), "620408a0f736"),
        golden("revoked", server(Frame::Revoked(Revoked { by: "kiosk".into() })), "6a070a056b696f736b"),
        golden("revoked by nobody", server(Frame::Revoked(Revoked::default())), "6a00"),
        golden("status of a later version", server(Frame::Status(Status::default())), "4200"),
        golden(
            "welcome to a log that begins late",
            server(Frame::Welcome(Welcome { log: id(0x20), head: 302, tail: 7, ..Welcome::default() })),
            "0a170a10202122232425262728292a2b2c2d2e2f10ae023007",
        ),
        golden(
            "snapshot",
            server(Frame::Snapshot(Snapshot {
                place: Some(place()),
                events: vec![read_event()],
                next: Some(place()),
                cursor: 302,
                from: 1_700_000_000_000,
            })),
            "4a660a170880d095ffbc3110021a0a6469726563743a626f622007122808ae021210404142434445464748494a4b4c4d4e4f22110a0a67726f75703a7465616d10810118641a170880d095ffbc3110021a0a6469726563743a626f62200720ae022880d095ffbc31",
        ),
        golden(
            "history",
            server(Frame::History(History {
                conversation: "direct:bob".into(),
                from: 5,
                to: 9,
                messages: vec![message()],
            })),
            "52690a0a6469726563743a626f621005180922570a10303132333435363738393a3b3c3d3e3f120a6469726563743a626f621a05616c6963652210101112131415161718191a1b1c1d1e1f2a0474657874320d7b2274657874223a226869227d380740044880d095ffbc31",
        ),
        golden("bye", server(Frame::Bye(Bye { wait: 2_000 })), "2a03 08d00f"),
        golden("pong", server(Frame::Pong(Pong { nonce: u64::MAX })), "320b 08ffffffffffffffffff01"),
        golden(
            "limit",
            server(Frame::Limit(limit())),
            "3a25 080a 1221 0a10101112131415161718191a1b1c1d1e1f 12044465736b 1802 2080d095ffbc31",
        ),
    ]
}

fn operations() -> Vec<Golden<Operation>> {
    vec![
        golden(
            "send",
            send(),
            "\
             0a10303132333435363738393a3b3c3d3e3f 10858080c0d6fcf3c501 1a21
             0a0a6469726563743a626f62 120474657874 1a0d7b2274657874223a226869227d",
        ),
        golden(
            "mark read",
            mark_read(),
            "0a10404142434445464748494a4b4c4d4e4f 1001 220f 0a0a67726f75703a7465616d 108101",
        ),
        golden(
            "edit",
            edit(),
            "\
             0a104142434445464748494a4b4c4d4e4f50 1002 2a21 0a10303132333435363738393a3b3c3d3e3f
             120d7b2274657874223a22686f227d",
        ),
        golden(
            "recall",
            recall(),
            "0a1042434445464748494a4b4c4d4e4f5051 1003 3212 0a10303132333435363738393a3b3c3d3e3f",
        ),
        golden(
            "set",
            set(),
            "\
             0a10434445464748494a4b4c4d4e4f505152 1004 3a24 0a0a6469726563743a626f62 120d
             0a056472616674 120422686d22 1207 0a056d75746564",
        ),
        golden(
            "set of a session",
            set_session(),
            "\
             0a104445464748494a4b4c4d4e4f50515253 1005 3a19 0a0c73657373696f6e3a63616c6c 1209
             0a026f6e 12035b315d",
        ),
        golden(
            "mark notification",
            mark_notification(),
            "0a1045464748494a4b4c4d4e4f5051525354 1006 4214 0a10909192939495969798999a9b9c9d9e9f 1001",
        ),
    ]
}

fn events() -> Vec<Golden<Event>> {
    vec![
        golden(
            "message",
            message_event(),
            "\
             08ad02 1210303132333435363738393a3b3c3d3e3f 1a57
             0a10303132333435363738393a3b3c3d3e3f 120a6469726563743a626f62 1a05616c696365
             2210101112131415161718191a1b1c1d1e1f 2a0474657874 320d7b2274657874223a226869227d
             3807 4004 4880d095ffbc31",
        ),
        golden(
            "read",
            read_event(),
            "\
             08ae02 1210404142434445464748494a4b4c4d4e4f 2211 0a0a67726f75703a7465616d 108101
             1864",
        ),
        golden("members", members_event(), "08af02 2a18 0a0a67726f75703a7465616d 1205616c696365 1203626f62"),
        golden(
            "changed",
            changed_event(),
            "\
             08b002 12104142434445464748494a4b4c4d4e4f50 325e
             0a10303132333435363738393a3b3c3d3e3f 120a6469726563743a626f62 1a05616c696365
             2210101112131415161718191a1b1c1d1e1f 2a0474657874 320d7b2274657874223a22686f227d
             3807 4004 4880d095ffbc31 50e8d795ffbc31",
        ),
        golden(
            "recalled",
            recalled_event(),
            "\
             08b102 121042434445464748494a4b4c4d4e4f5051 3251
             0a10303132333435363738393a3b3c3d3e3f 120a6469726563743a626f62 1a05616c696365
             2210101112131415161718191a1b1c1d1e1f 2a0474657874 3807 4004 4880d095ffbc31
             50e8d795ffbc31 5801",
        ),
        golden(
            "message that was recalled since",
            Event { seq: 301, operation: id(0x30), body: Some(event::Body::Message(recalled())) },
            "\
             08ad02 1210303132333435363738393a3b3c3d3e3f 1a51
             0a10303132333435363738393a3b3c3d3e3f 120a6469726563743a626f62 1a05616c696365
             2210101112131415161718191a1b1c1d1e1f 2a0474657874 3807 4004 4880d095ffbc31
             50e8d795ffbc31 5801",
        ),
        golden(
            "fields",
            fields_event(),
            "\
             08b202 1210434445464748494a4b4c4d4e4f505152 3a44 0a0a6469726563743a626f62 120d
             0a056472616674 120422686d22 120e 0a0670696e6e6564 120474727565 1880d095ffbc31
             2210101112131415161718191a1b1c1d1e1f",
        ),
        golden(
            "no fields left",
            no_fields_event(),
            "\
             08b302 12104445464748494a4b4c4d4e4f50515253 3a15 0a0c73657373696f6e3a63616c6c
             1880d095ffbc31",
        ),
        golden("read by", read_by_event(), "08b402 4213 0a0a6469726563743a626f62 1203626f62 1807"),
        golden(
            "notification",
            notification_event(),
            "\
             08b502 121045464748494a4b4c4d4e4f5051525354 524f 0a10909192939495969798999a9b9c9d9e9f
             12054d6f766564 1a08546f20736576656e 22035b375d 2a0a6469726563743a626f62
             3210303132333435363738393a3b3c3d3e3f 3880d095ffbc31 4001",
        ),
        golden(
            "notification without words",
            erased_event(),
            "08b602 521b 0a10909192939495969798999a9b9c9d9e9f 3880d095ffbc31 4002",
        ),
        golden(
            "past",
            past_event(),
            "08ad021210303132333435363738393a3b3c3d3e3f4a570a10303132333435363738393a3b3c3d3e3f120a6469726563743a626f621a05616c6963652210101112131415161718191a1b1c1d1e1f2a0474657874320d7b2274657874223a226869227d380740044880d095ffbc31",
        ),
        golden(
            "superseded",
            Event { seq: 300, operation: id(0x43), body: None },
            "08ac02 1210434445464748494a4b4c4d4e4f505152",
        ),
    ]
}

fn channel_frames() -> Vec<Golden<ChannelFrame>> {
    use channel_frame::Frame;
    vec![
        golden(
            "change set",
            channel(Frame::ChangeSet(ChangeSet {
                epoch: 3,
                revision: 40,
                cursor: 302,
                events: vec![read_event()],
                settled: vec![id(0x30), id(0x40)],
                refused: vec![queued()],
                folded: Some(Folded { pieces: vec![piece()], locators: vec![span()], dropped: vec![] }),
                reset: true,
                log: id(0x20),
                next_journal: 11,
                ..ChangeSet::default()
            })),
            "\
             0a10707172737475767778797a7b7c7d7e7f 12ea01 0803 1028 18ae02 2228 08ae02
             1210404142434445464748494a4b4c4d4e4f 2211 0a0a67726f75703a7465616d 108101 1864
             2a10303132333435363738393a3b3c3d3e3f 2a10404142434445464748494a4b4c4d4e4f 3246 0a25
             0a10404142434445464748494a4b4c4d4e4f 1001 220f 0a0a67726f75703a7465616d 108101
             1080d095ffbc31 1a16 0a09666f7262696464656e 12096e6f206d656d626572 3a35 0a0b 0802
             1001 188001 2009 2840 1226 0804 1210101112131415161718191a1b1c1d1e1f
             1a10505152535455565758595a5b5c5d5e5f 4001 4a10202122232425262728292a2b2c2d2e2f
             500b 7a10606162636465666768696a6b6c6d6e6f",
        ),
        golden(
            "change set of a snapshot and of history",
            channel(Frame::ChangeSet(ChangeSet {
                epoch: 3,
                revision: 42,
                cursor: 302,
                events: vec![past_event()],
                snapshot: Some(place()),
                complete_from: 1_700_000_000_000,
                ..ChangeSet::default()
            })),
            "0a10707172737475767778797a7b7c7d7e7f1297010803102a18ae02226e08ad021210303132333435363738393a3b3c3d3e3f4a570a10303132333435363738393a3b3c3d3e3f120a6469726563743a626f621a05616c6963652210101112131415161718191a1b1c1d1e1f2a0474657874320d7b2274657874223a226869227d380740044880d095ffbc3162170880d095ffbc3110021a0a6469726563743a626f6220076880d095ffbc317a10606162636465666768696a6b6c6d6e6f",
        ),
        golden(
            "change set of notifications",
            channel(Frame::ChangeSet(ChangeSet {
                epoch: 3,
                revision: 43,
                events: vec![erased_event()],
                notifications: true,
                ..ChangeSet::default()
            })),
            "\
             0a10707172737475767778797a7b7c7d7e7f 1228 0803 102b 2220 08b602 521b
             0a10909192939495969798999a9b9c9d9e9f 3880d095ffbc31 4002 7001
             7a10606162636465666768696a6b6c6d6e6f",
        ),
        golden(
            "change set of a device that goes without a lasting id",
            channel(Frame::ChangeSet(ChangeSet {
                epoch: 3,
                device: Some(Bytes::new()),
                ..ChangeSet::default()
            })),
            "0a10707172737475767778797a7b7c7d7e7f 1205 0803 a20100 7a10606162636465666768696a6b6c6d6e6f",
        ),
        golden(
            "change set of a recall",
            channel(Frame::ChangeSet(ChangeSet {
                epoch: 3,
                revision: 41,
                cursor: 305,
                events: vec![recalled_event()],
                folded: Some(Folded { dropped: vec![9, 300], ..Folded::default() }),
                discarded: vec![id(0x41)],
                ..ChangeSet::default()
            })),
            "\
             0a10707172737475767778797a7b7c7d7e7f 128a01 0803 1029 18b102 2268 08b102
             121042434445464748494a4b4c4d4e4f5051 3251 0a10303132333435363738393a3b3c3d3e3f
             120a6469726563743a626f62 1a05616c696365 2210101112131415161718191a1b1c1d1e1f
             2a0474657874 3807 4004 4880d095ffbc31 50e8d795ffbc31 5801 3a05 1a0309ac02
             5a104142434445464748494a4b4c4d4e4f50 7a10606162636465666768696a6b6c6d6e6f",
        ),
        golden(
            "announce",
            channel(Frame::Announce(Announce {
                queued: vec![Queued {
                    operation: Some(mark_read()),
                    queued_at: 1_700_000_000_000,
                    refused: None,
                    message: None,
                    discarded: false,
                    again: true,
                }],
                epoch: 0,
            })),
            "\
             0a10707172737475767778797a7b7c7d7e7f 1a32 0a30 0a25
             0a10404142434445464748494a4b4c4d4e4f 1001 220f 0a0a67726f75703a7465616d 108101
             1080d095ffbc31 3001 7a10606162636465666768696a6b6c6d6e6f",
        ),
        golden(
            "announce of a leader",
            channel(Frame::Announce(Announce { queued: vec![], epoch: 41 })),
            "0a10707172737475767778797a7b7c7d7e7f 1a02 1029 7a10606162636465666768696a6b6c6d6e6f",
        ),
        golden(
            "announce of an edit",
            channel(Frame::Announce(Announce { queued: vec![queued_edit()], epoch: 0 })),
            "\
             0a10707172737475767778797a7b7c7d7e7f 1a9c01 0a9901 0a37
             0a104142434445464748494a4b4c4d4e4f50 1002 2a21 0a10303132333435363738393a3b3c3d3e3f
             120d7b2274657874223a22686f227d 1080d095ffbc31 2257
             0a10303132333435363738393a3b3c3d3e3f 120a6469726563743a626f62 1a05616c696365
             2210101112131415161718191a1b1c1d1e1f 2a0474657874 320d7b2274657874223a226869227d
             3807 4004 4880d095ffbc31 7a10606162636465666768696a6b6c6d6e6f",
        ),
        golden(
            "claim",
            channel(Frame::Claim(Claim { ids: vec![id(0x30), id(0x40)], epoch: 0 })),
            "\
             0a10707172737475767778797a7b7c7d7e7f 2224 0a10303132333435363738393a3b3c3d3e3f
             0a10404142434445464748494a4b4c4d4e4f 7a10606162636465666768696a6b6c6d6e6f",
        ),
        golden(
            "claim of a leader",
            channel(Frame::Claim(Claim { ids: vec![id(0x30)], epoch: 3 })),
            "\
             0a10707172737475767778797a7b7c7d7e7f 2214 0a10303132333435363738393a3b3c3d3e3f 1003
             7a10606162636465666768696a6b6c6d6e6f",
        ),
        golden(
            "presence",
            channel(Frame::Presence(Presence { asks: true })),
            "0a10707172737475767778797a7b7c7d7e7f 2a02 0801 7a10606162636465666768696a6b6c6d6e6f",
        ),
        golden(
            "leave",
            channel(Frame::Leave(Leave {})),
            "0a10707172737475767778797a7b7c7d7e7f 3200 7a10606162636465666768696a6b6c6d6e6f",
        ),
        golden(
            "offline",
            channel(Frame::Offline(Offline { change: 1, offline: true })),
            "0a10707172737475767778797a7b7c7d7e7f 3a04 0801 1001 7a10606162636465666768696a6b6c6d6e6f",
        ),
        golden(
            "sync request",
            channel(Frame::SyncRequest(SyncRequest { id: 12, take_over: Bytes::new() })),
            "0a10707172737475767778797a7b7c7d7e7f 4202 080c 7a10606162636465666768696a6b6c6d6e6f",
        ),
        golden(
            "sync request that takes over",
            channel(Frame::SyncRequest(SyncRequest { id: 12, take_over: id(0x60) })),
            "0a10707172737475767778797a7b7c7d7e7f 4214 080c 1210606162636465666768696a6b6c6d6e6f 7a10606162636465666768696a6b6c6d6e6f",
        ),
        golden(
            "ping",
            channel(Frame::Ping(local::Ping { number: 5 })),
            "0a10707172737475767778797a7b7c7d7e7f 5a02 0805 7a10606162636465666768696a6b6c6d6e6f",
        ),
        golden(
            "pong",
            channel(Frame::Pong(local::Pong { epoch: 3, tab: id(0x60), number: 5 })),
            "0a10707172737475767778797a7b7c7d7e7f 6216 0803 1210606162636465666768696a6b6c6d6e6f 1805 7a10606162636465666768696a6b6c6d6e6f",
        ),
        golden(
            "withdraw",
            channel(Frame::Withdraw(Withdraw { id: 12, operation: id(0x41), retry: true })),
            "\
             0a10707172737475767778797a7b7c7d7e7f 820116 080c 12104142434445464748494a4b4c4d4e4f50 1801
             7a10606162636465666768696a6b6c6d6e6f",
        ),
        golden(
            "fetch history",
            channel(Frame::FetchHistory(FetchHistory {
                id: 12,
                conversation: "direct:bob".into(),
                from: 1,
                to: 50,
            })),
            "0a10707172737475767778797a7b7c7d7e7fb20112080c120a6469726563743a626f62180120327a10606162636465666768696a6b6c6d6e6f",
        ),
        golden(
            "config of one that wants no history",
            channel(Frame::Config(local::Config {
                change: 3,
                sync_interval: 900_000,
                pause_messages: true,
                privacy: Some(Privacy { hide_reads: true, ..Privacy::default() }),
                log_level: 2,
                no_history: true,
                compensation_days: 3,
                ..local::Config::default()
            })),
            "0a10707172737475767778797a7b7c7d7e7ff20112080310a0f7361801220218012802300138037a10606162636465666768696a6b6c6d6e6f",
        ),
        golden(
            "config of one that wants no notifications",
            channel(Frame::Config(local::Config {
                change: 3,
                no_notifications: true,
                ..local::Config::default()
            })),
            "0a10707172737475767778797a7b7c7d7e7f f20104 0803 4001 7a10606162636465666768696a6b6c6d6e6f",
        ),
        golden(
            "config",
            channel(Frame::Config(local::Config {
                change: 3,
                sync_interval: 900_000,
                pause_messages: true,
                privacy: Some(Privacy { hide_reads: true, ..Privacy::default() }),
                log_level: 2,
                ..local::Config::default()
            })),
            "\
             0a10707172737475767778797a7b7c7d7e7f f2010e 0803 10a0f736 1801 22021801 2802
             7a10606162636465666768696a6b6c6d6e6f",
        ),
        golden(
            "config with an application server's key",
            channel(Frame::Config(local::Config {
                change: 3,
                push_key: "BAAAA".to_owned(),
                ..local::Config::default()
            })),
            "0a10707172737475767778797a7b7c7d7e7f f20109 0803 4a054241414141 7a10606162636465666768696a6b6c6d6e6f",
        ),
        golden(
            "config of one that wants no lasting id",
            channel(Frame::Config(local::Config {
                change: 3,
                no_device_id: true,
                ..local::Config::default()
            })),
            "0a10707172737475767778797a7b7c7d7e7f f20105 0803 a00101 7a10606162636465666768696a6b6c6d6e6f",
        ),
        golden(
            "say",
            channel(Frame::Say(local::Say { status: Some(typing("direct:bob", "")), epoch: 3 })),
            "0a10707172737475767778797a7b7c7d7e7f8a01140a100a0e0a0a6469726563743a626f62180110037a10606162636465666768696a6b6c6d6e6f",
        ),
        golden(
            "told",
            channel(Frame::Told(custom("bob"))),
            "0a10707172737475767778797a7b7c7d7e7f9201221a200a0a67726f75703a7465616d1203626f621a047761766522077b2278223a317d7a10606162636465666768696a6b6c6d6e6f",
        ),
        golden(
            "set presence",
            channel(Frame::SetPresence(SetPresence { availability: Availability::Busy.into(), change: 3 })),
            "0a10707172737475767778797a7b7c7d7e7f9a0104080310037a10606162636465666768696a6b6c6d6e6f",
        ),
        golden(
            "question about presence",
            channel(Frame::Question(Question { id: 12, account: "bob".into(), manage: None })),
            "0a10707172737475767778797a7b7c7d7e7fa20107080c1203626f627a10606162636465666768696a6b6c6d6e6f",
        ),
        golden(
            "question about devices",
            channel(Frame::Question(Question { id: 12, account: String::new(), manage: Some(rename()) })),
            "\
             0a10707172737475767778797a7b7c7d7e7fa20118080c1a1408071a100a056b696f736b1207436f756e746572
             7a10606162636465666768696a6b6c6d6e6f",
        ),
        golden(
            "answer about presence",
            channel(Frame::Answer(Answer {
                tab: id(0x60),
                id: 12,
                presence: Some(presence()),
                ..Answer::default()
            })),
            "0a10707172737475767778797a7b7c7d7e7faa01280a10606162636465666768696a6b6c6d6e6f100c2a120a03626f6210021880d095ffbc31220202017a10606162636465666768696a6b6c6d6e6f",
        ),
        golden(
            "answer about devices",
            channel(Frame::Answer(Answer {
                tab: id(0x60),
                id: 12,
                devices: Some(devices()),
                ..Answer::default()
            })),
            "\
             0a10707172737475767778797a7b7c7d7e7faa01680a10606162636465666768696a6b6c6d6e6f100c32520a40
             0a2430313233343536372d383961622d376364652d386630312d32333435363738396162636412044465736b18
             022080d095ffbc3128e8d795ffbc31300138010a0e0a056b696f736b2080d095ffbc317a106061626364656667
             68696a6b6c6d6e6f",
        ),
        golden(
            "answer that there is none",
            channel(Frame::Answer(Answer {
                tab: id(0x60),
                id: 12,
                code: "offline".into(),
                message: "no network".into(),
                ..Answer::default()
            })),
            "\
             0a10707172737475767778797a7b7c7d7e7faa01290a10606162636465666768696a6b6c6d6e6f100c1a076f66
             666c696e65220a6e6f206e6574776f726b7a10606162636465666768696a6b6c6d6e6f",
        ),
        golden(
            "devices told on the channel",
            channel(Frame::Told(Status { status: Some(status::Status::Devices(devices())) })),
            "\
             0a10707172737475767778797a7b7c7d7e7f92015422520a400a2430313233343536372d383961622d37636465
             2d386630312d32333435363738396162636412044465736b18022080d095ffbc3128e8d795ffbc31300138010a
             0e0a056b696f736b2080d095ffbc317a10606162636465666768696a6b6c6d6e6f",
        ),
        golden(
            "erased",
            channel(Frame::Erased(Erased::default())),
            "\
             0a10707172737475767778797a7b7c7d7e7fba01007a10606162636465666768696a6b6c6d6e6f",
        ),
        golden(
            "erased since it was removed",
            channel(Frame::Erased(Erased { revoked: true, by: "kiosk".into() })),
            "\
             0a10707172737475767778797a7b7c7d7e7fba0109080112056b696f736b7a10606162636465666768696a6b6c
             6d6e6f",
        ),
        golden(
            "limit on the channel",
            channel(Frame::Limit(limit())),
            "\
             0a10707172737475767778797a7b7c7d7e7f 6a25 080a 1221 0a10101112131415161718191a1b1c1d1e1f
             12044465736b 1802 2080d095ffbc31 7a10606162636465666768696a6b6c6d6e6f",
        ),
        golden(
            "a frame of a later version",
            ChannelFrame { needs: 2, ..channel(Frame::Leave(Leave {})) },
            "0a10707172737475767778797a7b7c7d7e7f 3200 7002 7a10606162636465666768696a6b6c6d6e6f",
        ),
        golden(
            "leader status",
            channel(Frame::LeaderStatus(LeaderStatus {
                epoch: 3,
                connection: "offline".into(),
                reason: "auth".into(),
                catching_up: true,
                pending: 7,
                server_time: 8,
                ..LeaderStatus::default()
            })),
            "0a10707172737475767778797a7b7c7d7e7f 4a17 0803 12076f66666c696e65 1a0461757468 2001 2807 3008 7a10606162636465666768696a6b6c6d6e6f",
        ),
        golden(
            "leader status where devices are not kept in step",
            channel(Frame::LeaderStatus(LeaderStatus { sync_disabled: true, ..LeaderStatus::default() })),
            "0a10707172737475767778797a7b7c7d7e7f 4a02 7801 7a10606162636465666768696a6b6c6d6e6f",
        ),
        golden(
            "leader status of a device without a lasting id",
            channel(Frame::LeaderStatus(LeaderStatus { passing: id(0x10), ..LeaderStatus::default() })),
            "\
             0a10707172737475767778797a7b7c7d7e7f 4a13 a20110101112131415161718191a1b1c1d1e1f
             7a10606162636465666768696a6b6c6d6e6f",
        ),
        golden(
            "sync done",
            channel(Frame::SyncDone(SyncDone {
                tab: id(0x60),
                id: 12,
                code: "offline".into(),
                message: "no network".into(),
                expired: 0,
            })),
            "\
             0a10707172737475767778797a7b7c7d7e7f 5229 0a10606162636465666768696a6b6c6d6e6f 100c
             1a076f66666c696e65 220a6e6f206e6574776f726b 7a10606162636465666768696a6b6c6d6e6f",
        ),
        golden(
            "sync done of a fetch",
            channel(Frame::SyncDone(SyncDone { tab: id(0x60), id: 12, expired: 7, ..SyncDone::default() })),
            "0a10707172737475767778797a7b7c7d7e7f52160a10606162636465666768696a6b6c6d6e6f100c28077a10606162636465666768696a6b6c6d6e6f",
        ),
    ]
}

#[test]
fn client_frames_keep_their_bytes() {
    holds(&client_frames(), codec::decode_client);
}

#[test]
fn server_frames_keep_their_bytes() {
    holds(&server_frames(), codec::decode_server);
}

#[test]
fn operations_keep_their_bytes() {
    holds_as_record(&operations());
}

#[test]
fn events_keep_their_bytes() {
    holds_as_record(&events());
}

#[test]
fn channel_frames_keep_their_bytes() {
    holds_as_record(&channel_frames());
}

#[test]
fn records_keep_their_bytes() {
    holds_as_record(&[golden(
        "meta",
        Meta { log: id(0x20), cursor: 302, ..Meta::default() },
        "0a10202122232425262728292a2b2c2d2e2f 10ae02",
    )]);
    holds_as_record(&[golden(
        "meta amid a snapshot",
        Meta {
            log: id(0x20),
            cursor: 302,
            snapshot: Some(place()),
            complete_from: 1_700_000_000_000,
            notifications: false,
        },
        "0a10202122232425262728292a2b2c2d2e2f10ae021a170880d095ffbc3110021a0a6469726563743a626f6220072080d095ffbc31",
    )]);
    holds_as_record(&[golden(
        "meta with notifications",
        Meta { log: id(0x20), cursor: 302, notifications: true, ..Meta::default() },
        "0a10202122232425262728292a2b2c2d2e2f 10ae02 2801",
    )]);
    holds_as_record(&[golden(
        "identity",
        Identity { device: id(0x10), store: id(0x60) },
        "0a10101112131415161718191a1b1c1d1e1f 1210606162636465666768696a6b6c6d6e6f",
    )]);
    holds_as_record(&[golden(
        "identity without a lasting id",
        Identity { device: Bytes::new(), store: id(0x60) },
        "1210606162636465666768696a6b6c6d6e6f",
    )]);
    holds_as_record(&[golden(
        "queued",
        queued(),
        "\
             0a25 0a10404142434445464748494a4b4c4d4e4f 1001 220f 0a0a67726f75703a7465616d 108101
             1080d095ffbc31 1a16 0a09666f7262696464656e 12096e6f206d656d626572",
    )]);
    holds_as_record(&[golden(
        "queued edit",
        queued_edit(),
        "\
             0a37 0a104142434445464748494a4b4c4d4e4f50 1002 2a21
             0a10303132333435363738393a3b3c3d3e3f 120d7b2274657874223a22686f227d 1080d095ffbc31
             2257 0a10303132333435363738393a3b3c3d3e3f 120a6469726563743a626f62 1a05616c696365
             2210101112131415161718191a1b1c1d1e1f 2a0474657874 320d7b2274657874223a226869227d
             3807 4004 4880d095ffbc31",
    )]);
    holds_as_record(&[golden(
        "queued, given up",
        Queued { discarded: true, queued_at: 5, ..Queued::default() },
        "1005 2801",
    )]);
    holds_as_record(&[golden(
        "journal",
        Journal { events: vec![read_event(), members_event()] },
        "\
             0a28 08ae02 1210404142434445464748494a4b4c4d4e4f 2211 0a0a67726f75703a7465616d
             108101 1864 0a1d 08af02 2a18 0a0a67726f75703a7465616d 1205616c696365 1203626f62",
    )]);
    holds_as_record(&[golden(
        "head page",
        HeadPage {
            heads: vec![Head {
                number: 2,
                conversation: "group:team".into(),
                members: vec!["alice".into(), "bob".into()],
                last: Some(message()),
                read_position: 6,
                read_inbound: 3,
                pieces: vec![Piece { conversation: 0, ..piece() }],
                settings: vec![],
                read_by: vec![],
                settings_at: 0,
            }],
            locators: vec![span()],
            sessions: vec![],
            notifications: vec![],
        },
        "\
             0a8201 0802 120a67726f75703a7465616d 1a05616c696365 1a03626f62 2257
             0a10303132333435363738393a3b3c3d3e3f 120a6469726563743a626f62 1a05616c696365
             2210101112131415161718191a1b1c1d1e1f 2a0474657874 320d7b2274657874223a226869227d
             3807 4004 4880d095ffbc31 2806 3003 3a09 1001 188001 2009 2840 1226 0804
             1210101112131415161718191a1b1c1d1e1f 1a10505152535455565758595a5b5c5d5e5f",
    )]);
    holds_as_record(&[golden(
        "head page with fields",
        HeadPage {
            heads: vec![Head {
                number: 2,
                conversation: "direct:bob".into(),
                last: Some(recalled()),
                settings: vec![field("muted", "true")],
                read_by: vec![ReadBy { conversation: String::new(), ..read_by() }],
                settings_at: 50,
                ..Head::default()
            }],
            locators: vec![],
            sessions: vec![Fields {
                target: "session:call".into(),
                fields: vec![field("on", "[1]")],
                updated_at: 1_700_000_000_000,
                device: id(0x10),
            }],
            notifications: vec![],
        },
        "\
             0a7b 0802 120a6469726563743a626f62 2251 0a10303132333435363738393a3b3c3d3e3f
             120a6469726563743a626f62 1a05616c696365 2210101112131415161718191a1b1c1d1e1f
             2a0474657874 3807 4004 4880d095ffbc31 50e8d795ffbc31 5801 420d 0a056d75746564
             120474727565 4a07 1203626f62 1807 5032 1a32
             0a0c73657373696f6e3a63616c6c 1209 0a026f6e 12035b315d 1880d095ffbc31
             2210101112131415161718191a1b1c1d1e1f",
    )]);
    holds_as_record(&[golden(
        "head page with notifications",
        HeadPage { notifications: vec![notification(), erased()], ..HeadPage::default() },
        "\
             224f 0a10909192939495969798999a9b9c9d9e9f 12054d6f766564 1a08546f20736576656e
             22035b375d 2a0a6469726563743a626f62 3210303132333435363738393a3b3c3d3e3f
             3880d095ffbc31 4001 221b 0a10909192939495969798999a9b9c9d9e9f 3880d095ffbc31 4002",
    )]);
    holds_as_record(&[golden(
        "block",
        Block { messages: vec![message()] },
        "\
             0a57 0a10303132333435363738393a3b3c3d3e3f 120a6469726563743a626f62 1a05616c696365
             2210101112131415161718191a1b1c1d1e1f 2a0474657874 320d7b2274657874223a226869227d
             3807 4004 4880d095ffbc31",
    )]);
    holds_as_record(&[golden(
        "locators",
        Locators {
            ids: [id(0x10), id(0x30)].concat().into(),
            conversations: vec![2, 300],
            positions: vec![1, 7],
        },
        "\
             0a20101112131415161718191a1b1c1d1e1f303132333435363738393a3b3c3d3e3f 120302ac02
             1a020107",
    )]);
}

/// The matches have no wildcard, so a kind that is added does not compile until it is named here,
/// and does not pass until its bytes stand above.
#[test]
fn no_kind_is_left_out() {
    fn named<M>(golden: Vec<Golden<M>>, kind: impl Fn(M) -> &'static str) -> BTreeSet<&'static str> {
        golden.into_iter().map(|golden| kind(golden.value)).collect()
    }

    let kinds = named(client_frames(), |frame| match frame.frame.unwrap() {
        client_frame::Frame::Hello(_) => "hello",
        client_frame::Frame::Submit(_) => "submit",
        client_frame::Frame::Pull(_) => "pull",
        client_frame::Frame::Ping(_) => "ping",
        client_frame::Frame::Privacy(_) => "privacy",
        client_frame::Frame::Status(_) => "status",
        client_frame::Frame::Ask(_) => "ask",
        client_frame::Frame::PullSnapshot(_) => "pull snapshot",
        client_frame::Frame::PullHistory(_) => "pull history",
        client_frame::Frame::Manage(_) => "manage",
        client_frame::Frame::Refresh(_) => "refresh",
    });
    assert_eq!(kinds.len(), 11);

    let kinds = named(client_frames(), |frame| match frame.frame.unwrap() {
        client_frame::Frame::Manage(manage) => match manage.what.unwrap() {
            manage::What::List(_) => "list",
            manage::What::Rename(_) => "rename",
            manage::What::Remove(_) => "remove",
            manage::What::SetPush(_) => "set push",
        },
        _ => "another",
    });
    assert_eq!(kinds.len(), 5);

    let kinds = named(server_frames(), |frame| match frame.frame.unwrap() {
        server_frame::Frame::Welcome(_) => "welcome",
        server_frame::Frame::Delta(_) => "delta",
        server_frame::Frame::Submitted(_) => "submitted",
        server_frame::Frame::Error(_) => "error",
        server_frame::Frame::Bye(_) => "bye",
        server_frame::Frame::Pong(_) => "pong",
        server_frame::Frame::Limit(_) => "limit",
        server_frame::Frame::Status(_) => "status",
        server_frame::Frame::Snapshot(_) => "snapshot",
        server_frame::Frame::History(_) => "history",
        server_frame::Frame::Managed(_) => "managed",
        server_frame::Frame::Refreshed(_) => "refreshed",
        server_frame::Frame::Revoked(_) => "revoked",
    });
    assert_eq!(kinds.len(), 13);

    let kinds = named(server_frames(), |frame| match frame.frame.unwrap() {
        server_frame::Frame::Status(status) => match status.status {
            Some(status::Status::Typing(_)) => "typing",
            Some(status::Status::Presence(_)) => "presence",
            Some(status::Status::Custom(_)) => "custom",
            Some(status::Status::Devices(_)) => "devices",
            None => "of a later version",
        },
        _ => "another",
    });
    assert_eq!(kinds.len(), 6);

    let kinds = named(operations(), |operation| match operation.body.unwrap() {
        operation::Body::Send(_) => "send",
        operation::Body::MarkRead(_) => "mark read",
        operation::Body::Edit(_) => "edit",
        operation::Body::Recall(_) => "recall",
        operation::Body::Set(_) => "set",
        operation::Body::MarkNotification(_) => "mark notification",
    });
    assert_eq!(kinds.len(), 6);

    let kinds = named(events(), |event| match event.body {
        Some(event::Body::Message(_)) => "message",
        Some(event::Body::Read(_)) => "read",
        Some(event::Body::Members(_)) => "members",
        Some(event::Body::Changed(_)) => "changed",
        Some(event::Body::Fields(_)) => "fields",
        Some(event::Body::ReadBy(_)) => "read by",
        Some(event::Body::Past(_)) => "past",
        Some(event::Body::Notification(_)) => "notification",
        None => "superseded",
    });
    assert_eq!(kinds.len(), 9);

    let kinds = named(channel_frames(), |frame| match frame.frame.unwrap() {
        channel_frame::Frame::ChangeSet(_) => "change set",
        channel_frame::Frame::Announce(_) => "announce",
        channel_frame::Frame::Claim(_) => "claim",
        channel_frame::Frame::Presence(_) => "presence",
        channel_frame::Frame::Leave(_) => "leave",
        channel_frame::Frame::Offline(_) => "offline",
        channel_frame::Frame::SyncRequest(_) => "sync request",
        channel_frame::Frame::LeaderStatus(_) => "leader status",
        channel_frame::Frame::SyncDone(_) => "sync done",
        channel_frame::Frame::Ping(_) => "ping",
        channel_frame::Frame::Pong(_) => "pong",
        channel_frame::Frame::Limit(_) => "limit",
        channel_frame::Frame::Withdraw(_) => "withdraw",
        channel_frame::Frame::Config(_) => "config",
        channel_frame::Frame::Say(_) => "say",
        channel_frame::Frame::Told(_) => "told",
        channel_frame::Frame::SetPresence(_) => "set presence",
        channel_frame::Frame::Question(_) => "question",
        channel_frame::Frame::Answer(_) => "answer",
        channel_frame::Frame::FetchHistory(_) => "fetch history",
        channel_frame::Frame::Erased(_) => "erased",
    });
    assert_eq!(kinds.len(), 21);
}

// ---- what a later version may say ----

#[test]
fn an_unknown_field_is_ignored() {
    // Pull { after: 300 } with a field 15 of each wire type, inside and outside.
    let bytes = bytes_of("1a0c 08ac02 7801 7a026869 f85501 7d00000000 790000000000000000");
    assert_eq!(codec::decode_client(bytes), Ok(client(client_frame::Frame::Pull(Pull { after: 300 }))));
}

#[test]
fn an_unknown_event_keeps_its_place_in_the_log() {
    // Event { seq: 301 } with a body 15 that this version does not know.
    let bytes = bytes_of("1211 08ac02 1206 08ad02 7a0101 18ad02 20ad02");
    let event = Event { seq: 301, ..Event::default() };
    assert_eq!(
        codec::decode_server(bytes),
        Ok(server(server_frame::Frame::Delta(Delta {
            after: 300,
            events: vec![event],
            next: 301,
            head: 301,
            sync_disabled: false,
        })))
    );
}

/// The same for a field of a conversation that a later version knows. A Set of one is refused: the client
/// is to know what it sets.
#[test]
fn an_unknown_field_of_a_conversation_is_let_through() {
    let later = field("colour", "{\"hue\":7}");
    let fields = Fields { target: "direct:bob".into(), fields: vec![later.clone()], ..Fields::default() };
    let event = Event { seq: 1, operation: Bytes::new(), body: Some(event::Body::Fields(fields)) };
    assert_eq!(codec::check_event(&event), Ok(()));
    let set = Set { target: "direct:bob".into(), fields: vec![later] };
    let operation = Operation { body: Some(operation::Body::Set(set)), ..set_session() };
    assert_eq!(codec::check_operation(&operation), Err(DecodeError::Field("field.name")));
}

#[test]
fn an_unknown_platform_is_let_through() {
    let frame = client(client_frame::Frame::Hello(Hello { platform: 99, ..hello() }));
    assert_eq!(codec::decode_client(codec::encode(&frame)), Ok(frame));
}

#[test]
fn an_unknown_frame_is_refused() {
    for hex in ["", "7a00", "a20600"] {
        assert_eq!(codec::decode_client(bytes_of(hex)), Err(DecodeError::Unknown));
        assert_eq!(codec::decode_server(bytes_of(hex)), Err(DecodeError::Unknown));
    }
}

#[test]
fn an_unknown_channel_frame_says_who_but_not_what() {
    let bytes = bytes_of("0a10 707172737475767778797a7b7c7d7e7f fa0100");
    assert_eq!(
        ChannelFrame::decode(bytes).unwrap(),
        ChannelFrame { tab: id(0x70), frame: None, ..Default::default() }
    );
}
