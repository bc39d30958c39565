//! What a peer may not say, field by field. What the decoders make of any bytes at all, `crates/fuzz` tests.

use bytes::Bytes;
use tutti_protocol::{
    codec::{self, DecodeError},
    limits,
    local::Queued,
    wire::{
        Accepted, AccountPresence, Ask, ClientFrame, Connection, Custom, Delta, Device, Devices, Edit, Error,
        Event, Field, Fields, Hello, Limit, ListDevices, Manage, Managed, MarkRead, Members, Message,
        Operation, Outcome, Ping, Pong, Privacy, Read, ReadBy, Recall, Refresh, Refused, RemoveDevice,
        RenameDevice, Revoked, Send, ServerFrame, Set, SetPush, Status, Submit, Submitted, Typing, Welcome,
        client_frame, event, manage, operation, outcome, server_frame, status,
    },
};

// ---- what is too large ----

#[test]
fn an_oversized_frame_is_refused_before_it_is_decoded() {
    // Not protobuf at all, and refused for its size all the same.
    let garbage = Bytes::from(vec![0xff; limits::SERVER_FRAME + 1]);
    assert_eq!(
        codec::decode_client(garbage.slice(..=limits::CLIENT_FRAME)),
        Err(DecodeError::TooLarge(limits::CLIENT_FRAME + 1, limits::CLIENT_FRAME))
    );
    assert_eq!(
        codec::decode_server(garbage),
        Err(DecodeError::TooLarge(limits::SERVER_FRAME + 1, limits::SERVER_FRAME))
    );
}

#[test]
fn a_frame_of_the_very_limit_is_read() {
    // A frame, and a field 15 that nobody knows, its length in three bytes, for the rest.
    fn padded(frame: &[u8], size: usize) -> Bytes {
        let rest = size - frame.len() - 4;
        let length = [0x80 | rest as u8, 0x80 | (rest >> 7) as u8, (rest >> 14) as u8];
        [frame, &[0x7a], &length, &vec![0; rest]].concat().into()
    }

    let bytes = padded(&[0x22, 0], limits::CLIENT_FRAME);
    assert_eq!(bytes.len(), limits::CLIENT_FRAME);
    assert_eq!(
        codec::decode_client(bytes),
        Ok(ClientFrame { frame: Some(client_frame::Frame::Ping(Ping { nonce: 0 })) })
    );
    let bytes = padded(&[0x32, 0], limits::SERVER_FRAME);
    assert_eq!(bytes.len(), limits::SERVER_FRAME);
    assert_eq!(
        codec::decode_server(bytes),
        Ok(ServerFrame { frame: Some(server_frame::Frame::Pong(Pong { nonce: 0 })) })
    );
}

#[test]
fn the_end_of_all_seqs_is_no_overflow() {
    let last = Event { seq: u64::MAX, ..Event::default() };
    for (after, events) in [(u64::MAX, vec![]), (u64::MAX - 1, vec![last])] {
        let frame = delta(|delta| {
            *delta = Delta { after, events, next: u64::MAX, head: u64::MAX, ..Delta::default() }
        });
        assert_eq!(codec::decode_server(codec::encode(&frame)), Ok(frame));
    }
}

// ---- each check, by its field ----

#[test]
fn a_client_frame_is_refused_for_each_field() {
    let long_name = "x".repeat(limits::NAME + 1);
    let long_conversation = format!("direct:{long_name}");
    let long_type = "x".repeat(limits::TYPE + 1);
    let too_deep = "[".repeat(129) + &"]".repeat(129);
    let long_content = format!("\"{}\"", "x".repeat(limits::CONTENT - 1));

    let mut cases = vec![
        ("hello.token", hello(|hello| hello.token = "x".repeat(limits::TOKEN + 1))),
        ("submit.operations", submit(vec![send(|_| {}); limits::SUBMIT_OPERATIONS + 1])),
        ("operation.body", submit(vec![Operation { body: None, ..send(|_| {}) }])),
    ];
    for length in [1, 15, 17] {
        let bytes = Bytes::from(vec![7; length]);
        cases.push(("hello.log", hello(|hello| hello.log = bytes.clone())));
        cases.push(("hello.take_over", hello(|hello| hello.take_over = bytes.clone())));
        cases.push(("hello.device", hello(|hello| hello.device = bytes.clone())));
        cases.push(("edit.message", submit(vec![edit(|edit| edit.message = bytes.clone())])));
        cases.push(("recall.message", submit(vec![recall(bytes.clone())])));
        cases.push(("operation.id", submit(vec![Operation { id: bytes, ..send(|_| {}) }])));
    }
    cases.push(("edit.message", submit(vec![edit(|edit| edit.message.clear())])));
    cases.push(("recall.message", submit(vec![recall(Bytes::new())])));
    cases.push(("hello.device", hello(|hello| hello.device.clear())));
    for name in ["", "a\nb", "\0", "\u{7f}", "\u{85}", &long_name] {
        cases.push(("hello.account", hello(|hello| hello.account = name.into())));
        if !name.is_empty() {
            cases.push(("hello.device_name", hello(|hello| hello.device_name = name.into())));
        }
    }
    for id in ["", "bob", "direct:", "room:x", "group:\t", &long_conversation] {
        cases.push(("send.conversation", submit(vec![send(|send| send.conversation = id.into())])));
        cases.push(("mark_read.conversation", submit(vec![mark_read(|read| read.conversation = id.into())])));
    }
    for name in ["", "a\nb", &long_type] {
        cases.push(("send.type", submit(vec![send(|send| send.r#type = name.into())])));
    }
    for content in ["", "{", "1 2", "nul", &too_deep, &long_content] {
        let content = Bytes::copy_from_slice(content.as_bytes());
        cases.push(("edit.content", submit(vec![edit(|edit| edit.content = content.clone())])));
        if !content.is_empty() && content.len() <= limits::FIELDS_BYTES {
            cases.push(("field.value", set("session:a", &[("x", &content)])));
            cases.push(("field.value", set("direct:bob", &[("draft", &content)])));
        }
        cases.push(("send.content", submit(vec![send(|send| send.content = content)])));
    }

    let long_key = format!("session:{}", "x".repeat(limits::KEY + 1));
    for target in ["", "bob", "room:x", "session", "session:", "session:a\nb", &long_key, &long_conversation]
    {
        cases.push(("target", set(target, &[("x", b"1")])));
    }
    for name in ["", "a\nb", "\0", &long_type] {
        cases.push(("field.name", set("session:a", &[(name, b"1")])));
    }
    for name in ["x", "Muted", "draft ", "__proto__"] {
        cases.push(("field.name", set("group:team", &[(name, b"true")])));
        cases.push(("field.name", set("group:team", &[("muted", b"true"), (name, b"")])));
    }
    for (name, value) in [
        ("draft", &b"null"[..]),
        ("draft", b"{}"),
        ("draft", b" \"hi\""),
        ("muted", b"1"),
        ("muted", b"null"),
        ("muted", b"true "),
        ("pinned", b"\"true\""),
    ] {
        cases.push(("field.value", set("direct:bob", &[(name, value)])));
    }
    cases.push(("fields", set("direct:bob", &[("draft", long_content.as_bytes())])));
    // All in all too much, though each is not; none at all; one twice.
    let half = json_string(limits::FIELDS_BYTES / 2 + 1);
    cases.push(("fields", set("session:a", &[("x", &half), ("y", &half)])));
    cases.push(("fields", set("session:a", &[])));
    cases.push(("fields", set("session:a", &[("x", b"1"), ("y", b""), ("x", b"1")])));
    let names: Vec<String> = (0..=limits::FIELDS).map(|number| number.to_string()).collect();
    let many: Vec<(&str, &[u8])> = names.iter().map(|name| (&name[..], &b"1"[..])).collect();
    cases.push(("set.fields", set("session:a", &many)));

    cases.push(("status", said(Status::default())));
    for name in ["bob", "a\nb"] {
        cases.push(("typing.account", said(typing(|typing| typing.account = name.into()))));
        cases.push(("presence.account", said(availability(|presence| presence.account = name.into()))));
        cases.push(("custom.account", said(custom(|custom| custom.account = name.into()))));
    }
    for id in ["", "bob", "direct:", "room:x", &long_conversation] {
        cases.push(("typing.conversation", said(own_typing(|typing| typing.conversation = id.into()))));
        cases.push(("custom.conversation", said(own_custom(|custom| custom.conversation = id.into()))));
    }
    for name in ["", "a\nb", &long_type] {
        cases.push(("custom.type", said(own_custom(|custom| custom.r#type = name.into()))));
    }
    for content in ["", "{", "1 2", &too_deep, &long_content] {
        let content = Bytes::copy_from_slice(content.as_bytes());
        cases.push(("custom.content", said(own_custom(|custom| custom.content = content))));
    }
    // Nobody says of themselves that they are offline, or what the server knows better.
    for number in [0, 5, -1] {
        cases.push(("presence.availability", said(availability(|it| it.availability = number))));
    }
    cases.push(("presence.last_seen", said(availability(|it| it.last_seen = 1))));
    cases.push(("presence.platforms", said(availability(|it| it.platforms = vec![1]))));
    cases.push(("presence.platforms", said(availability(|it| it.platforms = vec![1; 1_000]))));
    for name in ["", "a\nb", &long_name] {
        let ask = client_frame::Frame::Ask(Ask { account: name.into() });
        cases.push(("ask.account", ClientFrame { frame: Some(ask) }));
        cases.push(("rename.device", manage(rename(name, "Desk"))));
        cases.push(("rename.name", manage(rename("kiosk", name))));
        cases.push(("remove.device", manage(remove(name))));
    }
    // Of its devices the server tells.
    cases.push(("status.devices", said(devices(|_| {}))));
    let none = status::Status::Devices(Devices::default());
    cases.push(("status", said(Status { status: Some(none) })));
    cases.push(("manage.what", ClientFrame { frame: Some(client_frame::Frame::Manage(Manage::default())) }));
    cases.push(("refresh.token", refresh(limits::TOKEN + 1)));
    let long_address = format!("https://push.example/{}", "x".repeat(limits::PUSH_ENDPOINT));
    for address in
        ["", "https://push.example/ a", "https://push.example/\n", "https://p\u{fc}sh", &long_address]
    {
        cases.push(("push.endpoint", push(|push| push.endpoint = address.into())));
    }
    for point in [vec![], vec![4; 64], vec![4; 66], vec![2; 65]] {
        cases.push(("push.p256dh", push(|push| push.p256dh = point.into())));
    }
    for length in [0, 15, 17] {
        cases.push(("push.auth", push(|push| push.auth = vec![7; length].into())));
    }

    for (field, frame) in cases {
        assert_eq!(codec::decode_client(codec::encode(&frame)), Err(DecodeError::Field(field)));
    }
}

#[test]
fn a_server_frame_is_refused_for_each_field() {
    let long_name = "x".repeat(limits::NAME + 1);
    let long_type = "x".repeat(limits::TYPE + 1);
    let crowd = vec!["bob".to_owned(); limits::GROUP + 1];
    let many = limits::PAGE_EVENTS as u64 + 1;

    let mut cases = vec![
        ("delta.next", delta(|delta| delta.after = delta.next + 1)),
        ("delta.next", delta(|delta| delta.head = delta.next - 1)),
        ("delta.events", delta(|delta| delta.after -= 1)),
        ("delta.events", delta(|delta| (delta.next, delta.head) = (13, 13))),
        (
            "delta.events",
            delta(|delta| {
                delta.events = (1..=many).map(|seq| Event { seq, ..Event::default() }).collect();
                (delta.after, delta.next, delta.head) = (0, many, many);
            }),
        ),
        ("event.seq", delta(|delta| delta.events[0].seq = 0)),
        ("event.seq", delta(|delta| delta.events[0].seq += 1)),
        ("event.seq", delta(|delta| delta.events[1].seq -= 1)),
        ("event.seq", delta(|delta| delta.events.swap(0, 1))),
        (
            "message.position",
            message(|message| {
                (message.position, message.inbound) = (0, 0);
            }),
        ),
        ("message.inbound", message(|message| message.inbound = message.position + 1)),
        ("read.inbound", read(|read| read.inbound = read.position + 1)),
        ("members.members", members(|members| members.members = crowd)),
        // A recalled message has no content, and no other is without.
        ("message.content", changed(|message| message.recalled = true)),
        ("message.content", changed(|message| message.content.clear())),
        ("message.content", message(|message| message.recalled = true)),
        ("message.position", changed(|message| (message.position, message.inbound) = (0, 0))),
        ("message.inbound", changed(|message| message.inbound = message.position + 1)),
        ("fields.fields", fields(|fields| fields.fields = vec![field("x", b"1"); limits::FIELDS + 1])),
        ("fields", fields(|fields| fields.fields = vec![field("muted", b"true"); 2])),
        (
            "fields",
            fields(|fields| {
                let half = json_string(limits::FIELDS_BYTES / 2 + 1);
                fields.fields = vec![field("x", &half), field("y", &half)];
            }),
        ),
        ("field.value", fields(|fields| fields.fields.push(field("pinned", b"")))),
        ("field.value", fields(|fields| fields.fields.push(field("pinned", b"1")))),
        ("field.value", fields(|fields| fields.fields.push(field("draft", b"1")))),
        ("field.value", fields(|fields| fields.fields.push(field("x", b"{")))),
        ("submitted.outcomes", submitted(vec![accepted(); limits::SUBMIT_OPERATIONS + 1])),
        ("outcome.result", submitted(vec![Outcome { result: None, ..accepted() }])),
        ("limit.connections", limit(vec![connection(); limits::CONNECTIONS + 1])),
    ];
    for length in [0, 1, 15, 17] {
        let bytes = Bytes::from(vec![7; length]);
        cases.push(("welcome.log", welcome(bytes.clone())));
        cases.push(("message.id", message(|message| message.id = bytes.clone())));
        cases.push(("message.id", changed(|message| message.id = bytes.clone())));
        cases.push(("outcome.id", submitted(vec![Outcome { id: bytes.clone(), ..accepted() }])));
        let device = bytes.clone();
        cases.push(("connection.device", limit(vec![connection(), Connection { device, ..connection() }])));
        if length > 0 {
            cases.push(("message.device", message(|message| message.device = bytes.clone())));
            cases.push(("fields.device", fields(|fields| fields.device = bytes.clone())));
            cases.push(("event.operation", delta(|delta| delta.events[1].operation = bytes)));
        }
    }
    for name in ["", "a\nb", &long_name] {
        cases.push(("message.sender", message(|message| message.sender = name.into())));
        cases.push(("read_by.account", read_by(|read_by| read_by.account = name.into())));
        cases.push(("members.members", members(|members| members.members.push(name.into()))));
        cases.push(("refused.code", submitted(vec![accepted(), refused(name)])));
        cases.push(("error.code", error(name)));
        if !name.is_empty() {
            let name = name.to_owned();
            cases.push(("connection.name", limit(vec![Connection { name, ..connection() }])));
        }
    }
    for id in ["", "bob", "group:"] {
        cases.push(("message.conversation", message(|message| message.conversation = id.into())));
        cases.push(("read.conversation", read(|read| read.conversation = id.into())));
        cases.push(("members.conversation", members(|members| members.conversation = id.into())));
        cases.push(("message.conversation", changed(|message| message.conversation = id.into())));
        cases.push(("read_by.conversation", read_by(|read_by| read_by.conversation = id.into())));
        cases.push(("target", fields(|fields| fields.target = id.into())));
    }
    for name in ["", "a\nb", &long_type] {
        cases.push(("message.type", message(|message| message.r#type = name.into())));
        cases.push(("field.name", fields(|fields| fields.fields[0].name = name.into())));
    }
    for content in [&b""[..], b"{", b"\"\xff\""] {
        cases.push(("message.content", message(|message| message.content = Bytes::from_static(content))));
    }

    for name in ["", "a\nb", &long_name] {
        cases.push(("typing.account", told(typing(|typing| typing.account = name.into()))));
        cases.push(("presence.account", told(presence(|presence| presence.account = name.into()))));
        cases.push(("custom.account", told(custom(|custom| custom.account = name.into()))));
    }
    for id in ["", "bob", "group:"] {
        cases.push(("typing.conversation", told(typing(|typing| typing.conversation = id.into()))));
        cases.push(("custom.conversation", told(custom(|custom| custom.conversation = id.into()))));
    }
    for name in ["", "a\nb", &long_type] {
        cases.push(("custom.type", told(custom(|custom| custom.r#type = name.into()))));
    }
    for content in [&b""[..], b"{", b"\"\xff\""] {
        let content = Bytes::from_static(content);
        cases.push(("custom.content", told(custom(|custom| custom.content = content))));
    }
    let crowd = vec![300; limits::PLATFORMS + 1];
    cases.push(("presence.platforms", told(presence(|presence| presence.platforms = crowd))));

    for name in ["", "a\nb", &long_name] {
        cases.push(("device.id", told(devices(|device| device.id = name.into()))));
        cases.push(("device.id", managed("", list_of(|device| device.id = name.into()))));
        if !name.is_empty() {
            cases.push(("device.name", told(devices(|device| device.name = name.into()))));
            cases.push(("device.name", managed("", list_of(|device| device.name = name.into()))));
            cases.push(("managed.code", managed(name, Devices::default())));
            cases.push(("revoked.by", revoked(name)));
        }
    }
    let many = Devices { devices: vec![device(); limits::DEVICES + 1] };
    cases.push(("devices", managed("", many.clone())));
    cases.push(("devices", told(Status { status: Some(status::Status::Devices(many)) })));

    for (field, frame) in cases {
        assert_eq!(codec::decode_server(codec::encode(&frame)), Err(DecodeError::Field(field)));
    }
}

/// A page says where it begins, so only an event from elsewhere can claim to be before the first.
#[test]
fn an_event_before_the_first_is_refused() {
    assert_eq!(codec::check_event(&Event::default()), Err(DecodeError::Field("event.seq")));
}

/// A client checks an operation before it stores it, with nothing counted beforehand.
#[test]
fn an_operation_is_bounded_without_its_frame() {
    let names: Vec<String> = (0..=limits::FIELDS).map(|number| number.to_string()).collect();
    for (count, result) in [(limits::FIELDS, Ok(())), (limits::FIELDS + 1, Err(DecodeError::Field("fields")))]
    {
        let fields = names[..count].iter().map(|name| field(name, b"")).collect();
        let set = Set { target: "session:a".into(), fields };
        let operation = Operation { body: Some(operation::Body::Set(set)), ..send(|_| {}) };
        assert_eq!(codec::check_operation(&operation), result);
    }
}

/// What is shown until the server has answered.
#[test]
fn an_outbox_holds_the_message_that_changes() {
    let message = Message {
        id: id(),
        conversation: "direct:bob".into(),
        sender: "alice".into(),
        r#type: "text".into(),
        content: Bytes::from_static(b"{}"),
        ..Message::default()
    };
    let queued = |operation, message| Queued { operation: Some(operation), message, ..Queued::default() };
    for operation in [edit(|_| {}), recall(id())] {
        // On its way itself, or not.
        for position in [0, 1] {
            let message = Some(Message { position, ..message.clone() });
            assert_eq!(codec::check_queued(&queued(operation.clone(), message)), Ok(()));
        }
        let another = Message { id: vec![8; 16].into(), ..message.clone() };
        let nobodys = Message { sender: String::new(), ..message.clone() };
        let inbound = Message { inbound: 2, ..message.clone() };
        for (field, message) in [
            ("queued.message", None),
            ("queued.message", Some(another)),
            ("message.sender", Some(nobodys)),
            ("message.inbound", Some(inbound)),
        ] {
            let queued = queued(operation.clone(), message);
            assert_eq!(codec::check_queued(&queued), Err(DecodeError::Field(field)));
        }
    }
    assert_eq!(codec::check_queued(&Queued::default()), Err(DecodeError::Field("queued.operation")));
    assert_eq!(codec::check_queued(&queued(send(|_| {}), None)), Ok(()));
    let nothing = queued(Operation { body: None, ..send(|_| {}) }, None);
    assert_eq!(codec::check_queued(&nothing), Err(DecodeError::Field("operation.body")));
}

#[test]
fn what_is_just_within_the_limits_is_read() {
    let name = "x".repeat(limits::NAME);
    let content = Bytes::from(format!("\"{}\"", "x".repeat(limits::CONTENT - 2)));
    let deep = Bytes::from("[".repeat(128) + &"]".repeat(128));
    let names: Vec<String> = (0..limits::FIELDS as u32).map(|number| format!("{number:0>64}")).collect();
    let all: Vec<(&str, &[u8])> = names.iter().map(|name| (&name[..], &b""[..])).collect();
    let short: Vec<(&str, &[u8])> = all.iter().map(|(name, value)| (&name[62..], *value)).collect();
    let half = json_string(limits::FIELDS_BYTES / 2);
    for frame in [
        hello(|hello| {
            hello.token = "x".repeat(limits::TOKEN);
            hello.account = name.clone();
            hello.device_name = name.clone();
        }),
        hello(|hello| {
            hello.log.clear();
            hello.device_name.clear();
            hello.take_over = id();
        }),
        submit(vec![mark_read(|_| {}); limits::SUBMIT_OPERATIONS]),
        submit(vec![send(|send| {
            send.conversation = format!("group:{name}");
            send.r#type = "x".repeat(limits::TYPE);
            send.content = content.clone();
        })]),
        submit(vec![send(|send| send.content = deep.clone())]),
        submit(vec![edit(|edit| edit.content = content.clone())]),
        submit(vec![edit(|edit| edit.content = deep), recall(id())]),
        set(&format!("session:{}", "x".repeat(limits::KEY)), &[("x", &content)]),
        set(&format!("group:{name}"), &[("draft", &content)]),
        set("direct:bob", &[("draft", b"\"\""), ("muted", b"false"), ("pinned", b"")]),
        set("session:direct:bob", &all),
        submit(vec![set_of("session:a", &short); limits::SUBMIT_OPERATIONS]),
        hello(|hello| hello.privacy = Some(Privacy::default())),
        ClientFrame {
            frame: Some(client_frame::Frame::Privacy(Privacy { hide_reads: true, ..Privacy::default() })),
        },
        said(own_typing(|typing| typing.conversation = format!("direct:{name}"))),
        said(availability(|presence| presence.availability = 4)),
        said(own_custom(|custom| {
            custom.r#type = "x".repeat(limits::TYPE);
            custom.content = content.clone();
        })),
        ClientFrame { frame: Some(client_frame::Frame::Ask(Ask { account: name.clone() })) },
        manage(manage::What::List(ListDevices {})),
        manage(rename(&name, &name)),
        manage(remove(&name)),
        manage(manage::What::SetPush(SetPush::default())),
        push(|push| push.endpoint = "x".repeat(limits::PUSH_ENDPOINT)),
        refresh(limits::TOKEN),
    ] {
        assert_eq!(codec::decode_client(codec::encode(&frame)), Ok(frame));
    }

    for frame in [
        delta(|delta| {
            let all = limits::PAGE_EVENTS as u64;
            delta.events = (1..=all).map(|seq| Event { seq, ..Event::default() }).collect();
            (delta.after, delta.next, delta.head) = (0, all, all);
        }),
        message(|message| {
            message.device.clear();
            message.sender = name.clone();
            message.r#type = "x".repeat(limits::TYPE);
            message.content = content.clone();
            message.inbound = message.position;
        }),
        changed(|message| message.content = content.clone()),
        changed(|message| {
            message.content.clear();
            (message.recalled, message.edited_at) = (true, u64::MAX);
        }),
        message(|message| {
            message.content.clear();
            message.recalled = true;
        }),
        fields(|fields| fields.fields.clear()),
        fields(|fields| fields.fields = vec![field("x", &half), field("y", &half)]),
        fields(|fields| {
            fields.target = format!("session:{}", "x".repeat(limits::KEY));
            fields.fields = names.iter().map(|name| field(name, b"1")).collect();
            fields.device.clear();
        }),
        read_by(|read_by| read_by.position = 0),
        read_by(|read_by| (read_by.account, read_by.position) = (name.clone(), u64::MAX)),
        read(|read| read.inbound = read.position),
        members(|members| members.members.clear()),
        members(|members| members.members = vec![name.clone(); limits::GROUP]),
        submitted(vec![accepted(); limits::SUBMIT_OPERATIONS]),
        told(Status::default()),
        told(typing(|typing| typing.account = name.clone())),
        told(presence(|presence| (presence.availability, presence.platforms) = (99, vec![99; 8]))),
        told(custom(|custom| custom.content = content.clone())),
        limit(vec![]),
        limit(vec![Connection { name: name.clone(), ..connection() }; limits::CONNECTIONS]),
        managed(&name, Devices { devices: vec![device(); limits::DEVICES] }),
        told(devices(|device| (device.id, device.name, device.platform) = (name.clone(), String::new(), 99))),
        revoked(&name),
        revoked(""),
    ] {
        assert_eq!(codec::decode_server(codec::encode(&frame)), Ok(frame));
    }
}

// ---- valid frames, and one thing changed ----

fn id() -> Bytes {
    Bytes::from_static(&[7; 16])
}

fn hello(change: impl FnOnce(&mut Hello)) -> ClientFrame {
    let mut hello = Hello {
        token: "token".into(),
        account: "alice".into(),
        device: id(),
        device_name: "Desk".into(),
        log: id(),
        ..Hello::default()
    };
    change(&mut hello);
    ClientFrame { frame: Some(client_frame::Frame::Hello(hello)) }
}

fn submit(operations: Vec<Operation>) -> ClientFrame {
    ClientFrame { frame: Some(client_frame::Frame::Submit(Submit { operations })) }
}

fn send(change: impl FnOnce(&mut Send)) -> Operation {
    let mut send =
        Send { conversation: "direct:bob".into(), r#type: "text".into(), content: Bytes::from_static(b"{}") };
    change(&mut send);
    Operation { id: id(), clock: 1, body: Some(operation::Body::Send(send)) }
}

fn mark_read(change: impl FnOnce(&mut MarkRead)) -> Operation {
    let mut read = MarkRead { conversation: "direct:bob".into(), position: 1 };
    change(&mut read);
    Operation { id: id(), clock: 1, body: Some(operation::Body::MarkRead(read)) }
}

fn edit(change: impl FnOnce(&mut Edit)) -> Operation {
    let mut edit = Edit { message: id(), content: Bytes::from_static(b"{}") };
    change(&mut edit);
    Operation { id: id(), clock: 1, body: Some(operation::Body::Edit(edit)) }
}

fn recall(message: Bytes) -> Operation {
    Operation { id: id(), clock: 1, body: Some(operation::Body::Recall(Recall { message })) }
}

fn field(name: &str, value: &[u8]) -> Field {
    Field { name: name.into(), value: Bytes::copy_from_slice(value) }
}

fn set(target: &str, fields: &[(&str, &[u8])]) -> ClientFrame {
    submit(vec![set_of(target, fields)])
}

fn set_of(target: &str, fields: &[(&str, &[u8])]) -> Operation {
    let fields = fields.iter().map(|(name, value)| field(name, value)).collect();
    let set = Set { target: target.into(), fields };
    Operation { id: id(), clock: 1, body: Some(operation::Body::Set(set)) }
}

/// A string, so many bytes of JSON.
fn json_string(size: usize) -> Vec<u8> {
    format!("\"{}\"", "x".repeat(size - 2)).into()
}

fn server(frame: server_frame::Frame) -> ServerFrame {
    ServerFrame { frame: Some(frame) }
}

fn welcome(log: Bytes) -> ServerFrame {
    server(server_frame::Frame::Welcome(Welcome { log, ..Welcome::default() }))
}

/// A page of two events: of an unknown kind, and a message.
fn delta(change: impl FnOnce(&mut Delta)) -> ServerFrame {
    let mut delta = Delta {
        after: 10,
        events: vec![
            Event { seq: 11, ..Event::default() },
            Event {
                seq: 12,
                operation: id(),
                body: Some(event::Body::Message(Message {
                    id: id(),
                    conversation: "direct:bob".into(),
                    sender: "bob".into(),
                    device: id(),
                    r#type: "text".into(),
                    content: Bytes::from_static(b"{}"),
                    position: 5,
                    inbound: 3,
                    sent_at: 1,
                    edited_at: 0,
                    recalled: false,
                })),
            },
        ],
        next: 12,
        head: 12,
        ..Delta::default()
    };
    change(&mut delta);
    server(server_frame::Frame::Delta(delta))
}

fn message(change: impl FnOnce(&mut Message)) -> ServerFrame {
    delta(|delta| {
        if let Some(event::Body::Message(message)) = &mut delta.events[1].body {
            change(message);
        }
    })
}

fn changed(change: impl FnOnce(&mut Message)) -> ServerFrame {
    delta(|delta| {
        if let Some(event::Body::Message(mut message)) = delta.events[1].body.take() {
            change(&mut message);
            delta.events[1].body = Some(event::Body::Changed(message));
        }
    })
}

fn fields(change: impl FnOnce(&mut Fields)) -> ServerFrame {
    let fields = vec![field("muted", b"true")];
    let mut fields = Fields { target: "direct:bob".into(), fields, updated_at: 1, device: id() };
    change(&mut fields);
    delta(|delta| delta.events[1].body = Some(event::Body::Fields(fields)))
}

fn read_by(change: impl FnOnce(&mut ReadBy)) -> ServerFrame {
    let mut read_by = ReadBy { conversation: "group:team".into(), account: "bob".into(), position: 5 };
    change(&mut read_by);
    delta(|delta| delta.events[1].body = Some(event::Body::ReadBy(read_by)))
}

fn read(change: impl FnOnce(&mut Read)) -> ServerFrame {
    let mut read = Read { conversation: "direct:bob".into(), position: 5, inbound: 3 };
    change(&mut read);
    delta(|delta| delta.events[1].body = Some(event::Body::Read(read)))
}

fn members(change: impl FnOnce(&mut Members)) -> ServerFrame {
    let mut members = Members { conversation: "group:team".into(), members: vec!["alice".into()] };
    change(&mut members);
    delta(|delta| delta.events[1].body = Some(event::Body::Members(members)))
}

fn submitted(outcomes: Vec<Outcome>) -> ServerFrame {
    server(server_frame::Frame::Submitted(Submitted { outcomes }))
}

fn accepted() -> Outcome {
    Outcome { id: id(), result: Some(outcome::Result::Accepted(Accepted { seq: 12 })) }
}

fn refused(code: &str) -> Outcome {
    Outcome {
        id: id(),
        result: Some(outcome::Result::Refused(Refused { code: code.into(), ..Refused::default() })),
    }
}

fn error(code: &str) -> ServerFrame {
    server(server_frame::Frame::Error(Error { code: code.into(), ..Error::default() }))
}

fn said(status: Status) -> ClientFrame {
    ClientFrame { frame: Some(client_frame::Frame::Status(status)) }
}

fn told(status: Status) -> ServerFrame {
    server(server_frame::Frame::Status(status))
}

fn typing(change: impl FnOnce(&mut Typing)) -> Status {
    let mut typing = Typing { conversation: "direct:bob".into(), account: "bob".into(), typing: true };
    change(&mut typing);
    Status { status: Some(status::Status::Typing(typing)) }
}

/// As a client says it.
fn own_typing(change: impl FnOnce(&mut Typing)) -> Status {
    typing(|typing| {
        typing.account.clear();
        change(typing);
    })
}

fn presence(change: impl FnOnce(&mut AccountPresence)) -> Status {
    let mut presence =
        AccountPresence { account: "bob".into(), availability: 1, last_seen: 0, platforms: vec![2] };
    change(&mut presence);
    Status { status: Some(status::Status::Presence(presence)) }
}

/// As a client says it.
fn availability(change: impl FnOnce(&mut AccountPresence)) -> Status {
    presence(|presence| {
        *presence = AccountPresence { availability: 1, ..AccountPresence::default() };
        change(presence);
    })
}

fn custom(change: impl FnOnce(&mut Custom)) -> Status {
    let mut custom = Custom {
        conversation: "group:team".into(),
        account: "bob".into(),
        r#type: "wave".into(),
        content: Bytes::from_static(b"1"),
    };
    change(&mut custom);
    Status { status: Some(status::Status::Custom(custom)) }
}

/// As a client says it.
fn own_custom(change: impl FnOnce(&mut Custom)) -> Status {
    custom(|custom| {
        custom.account.clear();
        change(custom);
    })
}

fn manage(what: manage::What) -> ClientFrame {
    ClientFrame { frame: Some(client_frame::Frame::Manage(Manage { number: 1, what: Some(what) })) }
}

fn rename(device: &str, name: &str) -> manage::What {
    manage::What::Rename(RenameDevice { device: device.into(), name: name.into() })
}

fn remove(device: &str) -> manage::What {
    manage::What::Remove(RemoveDevice { device: device.into() })
}

fn push(change: impl FnOnce(&mut SetPush)) -> ClientFrame {
    let endpoint = "https://push.example/1".into();
    let mut push = SetPush { endpoint, p256dh: vec![4; 65].into(), auth: id() };
    change(&mut push);
    manage(manage::What::SetPush(push))
}

/// With a token of that length.
fn refresh(length: usize) -> ClientFrame {
    ClientFrame { frame: Some(client_frame::Frame::Refresh(Refresh { token: "x".repeat(length) })) }
}

fn device() -> Device {
    Device { id: "kiosk".into(), name: "Counter".into(), ..Device::default() }
}

/// One that is as it should be, and one that is not.
fn list_of(change: impl FnOnce(&mut Device)) -> Devices {
    let mut changed = device();
    change(&mut changed);
    Devices { devices: vec![device(), changed] }
}

fn devices(change: impl FnOnce(&mut Device)) -> Status {
    Status { status: Some(status::Status::Devices(list_of(change))) }
}

fn managed(code: &str, devices: Devices) -> ServerFrame {
    let managed = Managed { number: 1, code: code.into(), message: String::new(), devices: Some(devices) };
    server(server_frame::Frame::Managed(managed))
}

fn revoked(by: &str) -> ServerFrame {
    server(server_frame::Frame::Revoked(Revoked { by: by.into() }))
}

fn limit(connections: Vec<Connection>) -> ServerFrame {
    server(server_frame::Frame::Limit(Limit { limit: 10, connections }))
}

fn connection() -> Connection {
    Connection { device: id(), name: String::new(), platform: 2, since: 1 }
}
