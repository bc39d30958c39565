//! What decoding promises, said again in other words.

use std::fmt::Debug;

use bytes::Bytes;
use serde::de::IgnoredAny;
use tutti_protocol::{
    Conversation, OperationId, Target,
    codec::{self, DecodeError},
    limits,
    record::Record,
    wire::{
        ClientFrame, Custom, Devices, Event, Field, Manage, Message, Notification, ServerFrame, SetPush,
        SnapshotPlace, client_frame, event, manage, operation, outcome, server_frame, status::Status as Kind,
    },
};

/// What was decoded of these bytes decodes to the same again, and is what prost makes of them.
pub(crate) fn stable<M: Record + prost::Message + Default + PartialEq + Debug>(
    bytes: Bytes,
    message: &M,
    decode: impl Fn(Bytes) -> Result<M, DecodeError>,
) {
    let encoded = codec::encode(message);
    assert_eq!(encoded, message.encode_to_vec());
    assert_eq!(codec::encoded_len(message), encoded.len());
    assert_eq!(decode(encoded).as_ref(), Ok(message));
    assert_eq!(M::decode(bytes).as_ref(), Ok(message));
}

pub(crate) fn of_client(frame: &ClientFrame) {
    match frame.frame.as_ref().expect("promised") {
        client_frame::Frame::Hello(hello) => {
            assert!(hello.token.len() <= limits::TOKEN);
            assert_name(&hello.account);
            assert_eq!(hello.device.len(), 16);
            if !hello.device_name.is_empty() {
                assert_name(&hello.device_name);
            }
            assert!(hello.log.is_empty() || hello.log.len() == 16);
            assert!(hello.take_over.is_empty() || hello.take_over.len() == 16);
        }
        client_frame::Frame::Submit(submit) => {
            assert!(submit.operations.len() <= limits::SUBMIT_OPERATIONS);
            for operation in &submit.operations {
                assert_eq!(operation.id.len(), 16);
                match operation.body.as_ref().expect("promised") {
                    operation::Body::Send(send) => {
                        of_conversation(&send.conversation);
                        assert_type(&send.r#type);
                        of_content(&send.content);
                    }
                    operation::Body::MarkRead(read) => of_conversation(&read.conversation),
                    operation::Body::Edit(edit) => {
                        assert_eq!(edit.message.len(), 16);
                        of_content(&edit.content);
                    }
                    operation::Body::Recall(recall) => assert_eq!(recall.message.len(), 16),
                    operation::Body::MarkNotification(mark) => {
                        assert_eq!(mark.notification.len(), 16);
                        assert!((1..=2).contains(&mark.state));
                    }
                    operation::Body::Set(set) => {
                        assert!(!set.fields.is_empty());
                        of_fields(&set.target, &set.fields);
                        if !set.target.starts_with("session:") {
                            for field in &set.fields {
                                assert!(["draft", "muted", "pinned"].contains(&field.name.as_str()));
                            }
                        }
                    }
                }
            }
        }
        client_frame::Frame::Status(status) => match status.status.as_ref().expect("promised") {
            Kind::Typing(typing) => {
                assert_eq!(typing.account, "");
                of_conversation(&typing.conversation);
            }
            Kind::Presence(presence) => {
                assert!((1..=4).contains(&presence.availability));
                assert_eq!((presence.account.as_str(), presence.platforms.len()), ("", 0));
            }
            Kind::Custom(custom) => {
                assert_eq!(custom.account, "");
                of_custom(custom);
            }
            Kind::Devices(devices) => panic!("{devices:?} are not a client's to say"),
        },
        client_frame::Frame::Manage(manage) => of_manage(manage),
        client_frame::Frame::Refresh(refresh) => assert!(refresh.token.len() <= limits::TOKEN),
        client_frame::Frame::Ask(ask) => assert_name(&ask.account),
        client_frame::Frame::PullSnapshot(pull) => pull.place.iter().for_each(of_place),
        client_frame::Frame::PullHistory(pull) => {
            of_conversation(&pull.conversation);
            of_positions(pull.from, pull.to);
        }
        client_frame::Frame::Pull(_) | client_frame::Frame::Ping(_) | client_frame::Frame::Privacy(_) => {}
    }
}

pub(crate) fn of_server(frame: &ServerFrame) {
    match frame.frame.as_ref().expect("promised") {
        server_frame::Frame::Welcome(welcome) => assert_eq!(welcome.log.len(), 16),
        server_frame::Frame::Delta(delta) => {
            assert!(delta.events.len() <= limits::PAGE_EVENTS);
            let mut last = delta.after;
            for event in &delta.events {
                assert_eq!(event.seq.checked_sub(last), Some(1), "seqs are contiguous");
                last = event.seq;
                of_event(event);
            }
            assert_eq!(last, delta.next);
            assert!(delta.next <= delta.head);
        }
        server_frame::Frame::Submitted(submitted) => {
            assert!(submitted.outcomes.len() <= limits::SUBMIT_OPERATIONS);
            for outcome in &submitted.outcomes {
                assert_eq!(outcome.id.len(), 16);
                match outcome.result.as_ref().expect("promised") {
                    outcome::Result::Accepted(_) => {}
                    outcome::Result::Refused(refused) => assert_name(&refused.code),
                }
            }
        }
        server_frame::Frame::Error(error) => assert_name(&error.code),
        server_frame::Frame::Limit(limit) => {
            assert!(limit.connections.len() <= limits::CONNECTIONS);
            for connection in &limit.connections {
                assert_eq!(connection.device.len(), 16);
                if !connection.name.is_empty() {
                    assert_name(&connection.name);
                }
            }
        }
        server_frame::Frame::Snapshot(page) => {
            assert!(page.events.len() <= limits::PAGE_EVENTS);
            page.place.iter().chain(&page.next).for_each(of_place);
            page.events.iter().for_each(of_event);
        }
        server_frame::Frame::History(history) => {
            of_conversation(&history.conversation);
            of_positions(history.from, history.to);
            let mut next = history.from;
            for message in &history.messages {
                of_message(message);
                assert_eq!(message.conversation, history.conversation);
                assert!((next..=history.to).contains(&message.position));
                next = message.position.saturating_add(1);
            }
        }
        server_frame::Frame::Status(status) => match &status.status {
            None => {}
            Some(Kind::Typing(typing)) => {
                assert_name(&typing.account);
                of_conversation(&typing.conversation);
            }
            Some(Kind::Presence(presence)) => {
                assert_name(&presence.account);
                assert!(presence.platforms.len() <= limits::PLATFORMS);
            }
            Some(Kind::Custom(custom)) => {
                assert_name(&custom.account);
                of_custom(custom);
            }
            Some(Kind::Devices(devices)) => of_devices(devices),
        },
        server_frame::Frame::Managed(managed) => {
            if !managed.code.is_empty() {
                assert_name(&managed.code);
            }
            managed.devices.iter().for_each(of_devices);
        }
        server_frame::Frame::Revoked(revoked) => {
            if !revoked.by.is_empty() {
                assert_name(&revoked.by);
            }
        }
        server_frame::Frame::Bye(_) | server_frame::Frame::Pong(_) | server_frame::Frame::Refreshed(_) => {}
    }
}

fn of_manage(manage: &Manage) {
    match manage.what.as_ref().expect("promised") {
        manage::What::List(_) => {}
        manage::What::Rename(rename) => {
            assert_name(&rename.device);
            assert_name(&rename.name);
        }
        manage::What::Remove(remove) => assert_name(&remove.device),
        manage::What::SetPush(push) => of_push(push),
    }
}

/// All of it, or nothing.
fn of_push(push: &SetPush) {
    let SetPush { endpoint, p256dh, auth } = push;
    if endpoint.is_empty() {
        return assert_eq!((p256dh.len(), auth.len()), (0, 0));
    }
    assert!(endpoint.len() <= limits::PUSH_ENDPOINT && endpoint.chars().all(|it| it.is_ascii_graphic()));
    assert_eq!((p256dh.len(), p256dh[0], auth.len()), (65, 4, 16));
}

fn of_devices(devices: &Devices) {
    assert!(devices.devices.len() <= limits::DEVICES);
    for device in &devices.devices {
        assert_name(&device.id);
        if !device.name.is_empty() {
            assert_name(&device.name);
        }
    }
}

fn of_place(place: &SnapshotPlace) {
    let is_id = || place.name.parse::<OperationId>().is_ok();
    let named = if place.step == 3 { is_id() } else { Target::parse(&place.name).is_some() };
    assert!(place.step <= 3 && (place.name.is_empty() || named));
}

fn of_positions(from: u64, to: u64) {
    assert!(from > 0 && from <= to && to - from < limits::HISTORY);
}

fn of_custom(custom: &Custom) {
    of_conversation(&custom.conversation);
    assert_type(&custom.r#type);
    of_content(&custom.content);
}

fn of_event(event: &Event) {
    assert!(event.operation.is_empty() || event.operation.len() == 16);
    match &event.body {
        None => {}
        Some(event::Body::Message(message)) => of_message(message),
        Some(event::Body::Read(read)) => {
            of_conversation(&read.conversation);
            assert!(read.position.checked_sub(read.inbound).is_some());
        }
        Some(event::Body::Members(members)) => {
            of_conversation(&members.conversation);
            assert!(members.members.len() <= limits::GROUP);
            members.members.iter().for_each(|name| assert_name(name));
        }
        Some(event::Body::Changed(message) | event::Body::Past(message)) => of_message(message),
        Some(event::Body::Fields(fields)) => {
            assert!(fields.device.is_empty() || fields.device.len() == 16);
            assert!(fields.fields.iter().all(|field| !field.value.is_empty()));
            of_fields(&fields.target, &fields.fields);
        }
        Some(event::Body::ReadBy(read_by)) => {
            of_conversation(&read_by.conversation);
            assert_name(&read_by.account);
        }
        Some(event::Body::Notification(notification)) => of_notification(notification),
    }
}

pub(crate) fn of_notification(notification: &Notification) {
    let Notification { id, title, body, data, conversation, message, state, .. } = notification;
    assert!(id.len() == 16 && matches!(message.len(), 0 | 16) && (0..=2).contains(state));
    assert!(title.len() + body.len() + data.len() <= limits::NOTIFICATION);
    assert!(!title.is_empty() || *state == 2 && body.is_empty() && data.is_empty());
    if !conversation.is_empty() {
        of_conversation(conversation);
    }
    if !data.is_empty() {
        of_content(data);
    }
}

pub(crate) fn of_message(message: &Message) {
    assert_eq!(message.id.len(), 16);
    assert!(message.device.is_empty() || message.device.len() == 16);
    of_conversation(&message.conversation);
    assert_name(&message.sender);
    assert_type(&message.r#type);
    if message.recalled {
        assert!(message.content.is_empty());
    } else {
        of_content(&message.content);
    }
    assert!((1..=u64::MAX).contains(&message.position));
    assert!(message.position.checked_sub(message.inbound).is_some());
}

fn of_fields(target: &str, fields: &[Field]) {
    if let Some(key) = target.strip_prefix("session:") {
        assert!((1..=256).contains(&key.len()), "{key:?}");
        assert!(!key.contains(char::is_control), "{key:?}");
    } else {
        of_conversation(target);
    }
    assert_eq!(Target::parse(target).expect("promised").to_string(), target);
    assert!(fields.len() <= 32);
    assert!(fields.iter().map(|field| field.value.len()).sum::<usize>() <= 32 * 1024);
    for (place, field) in fields.iter().enumerate() {
        assert_type(&field.name);
        assert!(fields[..place].iter().all(|before| before.name != field.name), "{:?} twice", field.name);
        if field.value.is_empty() {
            continue;
        }
        of_content(&field.value);
        if !target.starts_with("session:") {
            match field.name.as_str() {
                "draft" => assert!(field.value.starts_with(b"\"")),
                "muted" | "pinned" => assert!(matches!(&field.value[..], b"true" | b"false")),
                _ => {}
            }
        }
    }
}

fn assert_name(name: &str) {
    assert!((1..=128).contains(&name.len()), "{name:?}");
    assert!(!name.contains(char::is_control), "{name:?}");
}

fn assert_type(name: &str) {
    assert_name(name);
    assert!(name.len() <= 64, "{name:?}");
}

pub(crate) fn of_conversation(id: &str) {
    let name = id.strip_prefix("direct:").or_else(|| id.strip_prefix("group:"));
    assert_name(name.expect("promised"));
    assert_eq!(Conversation::parse(id).expect("promised").to_string(), id);
}

pub(crate) fn of_content(content: &[u8]) {
    assert!(content.len() <= 32 * 1024);
    // Only that it is JSON: JavaScript reads numbers and halves of pairs that Rust has no place for.
    serde_json::from_slice::<IgnoredAny>(content).expect("promised");
    std::str::from_utf8(content).expect("promised");
}
