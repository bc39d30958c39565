//! Frames to bytes and back. What comes from a peer is bounded before it is decoded and checked
//! before anyone uses it, so ids in a decoded frame are 16 bytes and names are names.

use bytes::Bytes;

use crate::{
    OperationId, content,
    conversation::{Conversation, is_name},
    limits, local, notification,
    outline::{self, Bounded},
    record::{self, Record, Writer},
    target::Target,
    wire::{
        self, ClientFrame, NotificationState, ServerFrame, client_frame, event, manage, operation, outcome,
        server_frame, status,
    },
};

/// Why bytes are no frame: the peer broke the protocol.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Longer than a frame in this direction may be.
    #[error("frame of {0} bytes is over the limit of {1}")]
    TooLarge(usize, usize),
    /// Not protobuf of this schema.
    #[error("malformed frame")]
    Malformed,
    /// A frame of a kind that this version does not know.
    #[error("unknown frame")]
    Unknown,
    /// A field that holds what it may not.
    #[error("frame field {0} is invalid")]
    Field(&'static str),
}

/// The bytes of a frame or record.
#[must_use]
pub fn encode(message: &dyn Record) -> Bytes {
    Writer::bytes(message).into()
}

/// Writes one more field, a message, to a message in the making.
pub fn append(to: &mut Vec<u8>, field: u32, message: &dyn Record) {
    Writer::append(to, field, message);
}

/// How many bytes that would be.
#[must_use]
pub fn encoded_len(message: &dyn Record) -> usize {
    Writer::bytes(message).len()
}

/// Reads a message as it stands: nothing of it is bounded or checked.
///
/// # Errors
/// [`DecodeError::Malformed`] when it is none.
pub fn decode<M: Record + Default>(bytes: &Bytes) -> Result<M, DecodeError> {
    let mut message = M::default();
    record::read(&mut message, bytes)?;
    Ok(message)
}

/// Reads a frame that a client sent.
///
/// # Errors
/// [`DecodeError`] when it is too large, malformed or holds a field that it may not.
pub fn decode_client(bytes: Bytes) -> Result<ClientFrame, DecodeError> {
    bound_size(&bytes, limits::CLIENT_FRAME)?;
    outline::bound(&bytes, ClientFrame::LISTS)?;
    let frame: ClientFrame = decode(&bytes)?;
    match frame.frame.as_ref().ok_or(DecodeError::Unknown)? {
        client_frame::Frame::Hello(hello) => check_hello(hello)?,
        client_frame::Frame::Submit(submit) => {
            submit.operations.iter().try_for_each(check_operation)?;
        }
        client_frame::Frame::Status(status) => check_said(status)?,
        client_frame::Frame::Ask(ask) => ensure(is_name(&ask.account), "ask.account")?,
        client_frame::Frame::Manage(manage) => check_manage(manage)?,
        client_frame::Frame::Refresh(refresh) => {
            ensure(refresh.token.len() <= limits::TOKEN, "refresh.token")?;
        }
        client_frame::Frame::PullSnapshot(pull) => pull.place.iter().try_for_each(check_place)?,
        client_frame::Frame::PullHistory(pull) => {
            check_conversation(&pull.conversation, "pull_history.conversation")?;
            check_positions(pull.from, pull.to)?;
        }
        client_frame::Frame::Pull(_) | client_frame::Frame::Ping(_) | client_frame::Frame::Privacy(_) => {}
    }
    Ok(frame)
}

/// Reads a frame that the server sent.
///
/// # Errors
/// [`DecodeError`] when it is too large, malformed or holds a field that it may not.
pub fn decode_server(bytes: Bytes) -> Result<ServerFrame, DecodeError> {
    bound_size(&bytes, limits::SERVER_FRAME)?;
    outline::bound(&bytes, ServerFrame::LISTS)?;
    let frame: ServerFrame = decode(&bytes)?;
    match frame.frame.as_ref().ok_or(DecodeError::Unknown)? {
        server_frame::Frame::Welcome(welcome) => ensure(welcome.log.len() == 16, "welcome.log")?,
        server_frame::Frame::Delta(delta) => check_delta(delta)?,
        server_frame::Frame::Submitted(submitted) => {
            for outcome in &submitted.outcomes {
                ensure(outcome.id.len() == 16, "outcome.id")?;
                ensure(outcome.result.is_some(), "outcome.result")?;
                if let Some(outcome::Result::Refused(refused)) = &outcome.result {
                    ensure(is_name(&refused.code), "refused.code")?;
                }
            }
        }
        server_frame::Frame::Error(error) => ensure(is_name(&error.code), "error.code")?,
        server_frame::Frame::Limit(limit) => check_limit(limit)?,
        server_frame::Frame::Status(status) => check_status(status)?,
        server_frame::Frame::Snapshot(snapshot) => {
            [&snapshot.place, &snapshot.next].into_iter().flatten().try_for_each(check_place)?;
            snapshot.events.iter().try_for_each(check_event)?;
        }
        server_frame::Frame::History(history) => check_history(history)?,
        server_frame::Frame::Managed(managed) => {
            ensure(managed.code.is_empty() || is_name(&managed.code), "managed.code")?;
            managed.devices.iter().try_for_each(check_devices)?;
        }
        server_frame::Frame::Revoked(revoked) => {
            ensure(revoked.by.is_empty() || is_name(&revoked.by), "revoked.by")?;
        }
        server_frame::Frame::Bye(_) | server_frame::Frame::Pong(_) | server_frame::Frame::Refreshed(_) => {}
    }
    Ok(frame)
}

/// Reads a record of the store or a frame of the tab channel. Its lists are bounded; what is in it, the
/// reader checks.
///
/// # Errors
/// [`DecodeError`] when it is malformed or holds more than it may.
pub fn decode_local<M: Bounded>(bytes: Bytes) -> Result<M, DecodeError> {
    outline::bound(&bytes, M::LISTS)?;
    decode(&bytes)
}

/// Checks one operation, wherever it came from.
///
/// # Errors
/// [`DecodeError::Field`] names the field.
pub fn check_operation(operation: &wire::Operation) -> Result<(), DecodeError> {
    ensure(operation.id.len() == 16, "operation.id")?;
    match operation.body.as_ref().ok_or(DecodeError::Field("operation.body"))? {
        operation::Body::Send(send) => {
            check_conversation(&send.conversation, "send.conversation")?;
            check_type(&send.r#type, "send.type")?;
            content::check(&send.content).map_err(|_| DecodeError::Field("send.content"))
        }
        operation::Body::MarkRead(read) => check_conversation(&read.conversation, "mark_read.conversation"),
        operation::Body::Edit(edit) => {
            ensure(edit.message.len() == 16, "edit.message")?;
            content::check(&edit.content).map_err(|_| DecodeError::Field("edit.content"))
        }
        operation::Body::Recall(recall) => ensure(recall.message.len() == 16, "recall.message"),
        operation::Body::Set(set) => {
            ensure(!set.fields.is_empty(), "fields")?;
            let target = check_fields(&set.target, &set.fields)?;
            ensure(set.fields.iter().all(|field| target.has(&field.name)), "field.name")
        }
        operation::Body::MarkNotification(mark) => {
            ensure(mark.notification.len() == 16, "mark_notification.notification")?;
            let marks = matches!(mark.state(), NotificationState::Read | NotificationState::Dismissed);
            ensure(marks, "mark_notification.state")
        }
    }
}

/// Checks an operation of an outbox, wherever it came from.
///
/// # Errors
/// [`DecodeError::Field`] names the field.
pub fn check_queued(queued: &local::Queued) -> Result<(), DecodeError> {
    let operation = queued.operation.as_ref().ok_or(DecodeError::Field("queued.operation"))?;
    check_operation(operation)?;
    let of = match &operation.body {
        Some(operation::Body::Edit(edit)) => &edit.message,
        Some(operation::Body::Recall(recall)) => &recall.message,
        _ => return Ok(()),
    };
    let message = queued.message.as_ref().ok_or(DecodeError::Field("queued.message"))?;
    ensure(message.id == of, "queued.message")?;
    // One that is on its way itself has no position yet.
    check_message(&wire::Message { position: message.position.max(1), ..message.clone() })
}

/// Checks one event, wherever it came from.
///
/// # Errors
/// [`DecodeError::Field`] names the field.
pub fn check_event(event: &wire::Event) -> Result<(), DecodeError> {
    ensure(event.seq > 0, "event.seq")?;
    ensure(matches!(event.operation.len(), 0 | 16), "event.operation")?;
    match event.body.as_ref() {
        // A later version's doing: it takes its place in the log and is passed over.
        None => Ok(()),
        Some(event::Body::Message(message)) => check_message(message),
        Some(event::Body::Read(read)) => {
            check_conversation(&read.conversation, "read.conversation")?;
            ensure(read.inbound <= read.position, "read.inbound")
        }
        Some(event::Body::Members(members)) => {
            check_conversation(&members.conversation, "members.conversation")?;
            ensure(members.members.len() <= limits::GROUP, "members.members")?;
            ensure(members.members.iter().all(|name| is_name(name)), "members.members")
        }
        Some(event::Body::Changed(message) | event::Body::Past(message)) => check_message(message),
        Some(event::Body::Fields(fields)) => check_shared(fields),
        Some(event::Body::ReadBy(read_by)) => check_read_by(read_by),
        Some(event::Body::Notification(notification)) => check_notification(notification),
    }
}

/// Checks what is set of a conversation or a session, wherever it came from. A conversation may have fields
/// that only a later version knows.
///
/// # Errors
/// [`DecodeError::Field`] names the field.
pub fn check_shared(fields: &wire::Fields) -> Result<(), DecodeError> {
    ensure(matches!(fields.device.len(), 0 | 16), "fields.device")?;
    ensure(fields.fields.iter().all(|field| !field.value.is_empty()), "field.value")?;
    check_fields(&fields.target, &fields.fields).map(drop)
}

/// Checks how far somebody has read, wherever it came from.
///
/// # Errors
/// [`DecodeError::Field`] names the field.
pub fn check_read_by(read_by: &wire::ReadBy) -> Result<(), DecodeError> {
    check_conversation(&read_by.conversation, "read_by.conversation")?;
    ensure(is_name(&read_by.account), "read_by.account")
}

/// Checks one notification, wherever it came from.
///
/// # Errors
/// [`DecodeError::Field`] names the field.
pub fn check_notification(notification: &wire::Notification) -> Result<(), DecodeError> {
    ensure(notification.id.len() == 16, "notification.id")?;
    ensure(matches!(notification.message.len(), 0 | 16), "notification.message")?;
    if !notification.conversation.is_empty() {
        check_conversation(&notification.conversation, "notification.conversation")?;
    }
    let state = NotificationState::try_from(notification.state);
    let state = state.map_err(|_| DecodeError::Field("notification.state"))?;
    if notification::is_erased(notification) {
        return ensure(state == NotificationState::Dismissed, "notification.title");
    }
    notification::check_words(notification)
}

/// Checks one message, wherever it came from.
///
/// # Errors
/// [`DecodeError::Field`] names the field.
pub fn check_message(message: &wire::Message) -> Result<(), DecodeError> {
    ensure(message.id.len() == 16, "message.id")?;
    ensure(matches!(message.device.len(), 0 | 16), "message.device")?;
    ensure(message.position > 0, "message.position")?;
    ensure(message.inbound <= message.position, "message.inbound")?;
    ensure(is_name(&message.sender), "message.sender")?;
    check_conversation(&message.conversation, "message.conversation")?;
    check_type(&message.r#type, "message.type")?;
    if message.recalled {
        return ensure(message.content.is_empty(), "message.content");
    }
    content::check(&message.content).map_err(|_| DecodeError::Field("message.content"))
}

/// Checks fields of a target. An empty value is none.
fn check_fields<'a>(target: &'a str, fields: &[wire::Field]) -> Result<Target<'a>, DecodeError> {
    let target = Target::parse(target).ok_or(DecodeError::Field("target"))?;
    ensure(fields.len() <= limits::FIELDS, "fields")?;
    let size: usize = fields.iter().map(|field| field.value.len()).sum();
    ensure(size <= limits::FIELDS_BYTES, "fields")?;
    for field in fields {
        check_type(&field.name, "field.name")?;
        let value = &field.value;
        ensure(value.is_empty() || content::check(value).is_ok(), "field.value")?;
        ensure(target.takes(&field.name, value), "field.value")?;
    }
    // Each once, so that their order means nothing. They are few.
    let is_new = |(at, field): (usize, &wire::Field)| fields[..at].iter().all(|it| it.name != field.name);
    ensure(fields.iter().enumerate().all(is_new), "fields")?;
    Ok(target)
}

fn bound_size(bytes: &Bytes, limit: usize) -> Result<(), DecodeError> {
    if bytes.len() > limit {
        return Err(DecodeError::TooLarge(bytes.len(), limit));
    }
    Ok(())
}

fn check_hello(hello: &wire::Hello) -> Result<(), DecodeError> {
    ensure(hello.token.len() <= limits::TOKEN, "hello.token")?;
    ensure(is_name(&hello.account), "hello.account")?;
    ensure(hello.device.len() == 16, "hello.device")?;
    ensure(hello.device_name.is_empty() || is_name(&hello.device_name), "hello.device_name")?;
    ensure(matches!(hello.log.len(), 0 | 16), "hello.log")?;
    ensure(matches!(hello.take_over.len(), 0 | 16), "hello.take_over")
}

/// Checks who holds an account's connections, wherever that was heard.
///
/// # Errors
/// [`DecodeError::Field`] names the field.
pub fn check_limit(limit: &wire::Limit) -> Result<(), DecodeError> {
    ensure(limit.connections.len() <= limits::CONNECTIONS, "limit.connections")?;
    limit.connections.iter().try_for_each(|connection| {
        ensure(connection.device.len() == 16, "connection.device")?;
        ensure(connection.name.is_empty() || is_name(&connection.name), "connection.name")
    })
}

/// Checks a status as a client says it: without an account, which is the client's own.
///
/// # Errors
/// [`DecodeError::Field`] names the field.
pub fn check_said(status: &wire::Status) -> Result<(), DecodeError> {
    match status.status.as_ref().ok_or(DecodeError::Field("status"))? {
        status::Status::Typing(typing) => {
            ensure(typing.account.is_empty(), "typing.account")?;
            check_conversation(&typing.conversation, "typing.conversation")
        }
        status::Status::Presence(presence) => {
            ensure(presence.account.is_empty(), "presence.account")?;
            ensure(presence.last_seen == 0, "presence.last_seen")?;
            ensure(presence.platforms.is_empty(), "presence.platforms")?;
            // Nobody is offline who says so.
            ensure(presence.availability() != wire::Availability::Offline, "presence.availability")
        }
        status::Status::Custom(custom) => {
            ensure(custom.account.is_empty(), "custom.account")?;
            check_custom(custom)
        }
        status::Status::Devices(_) => Err(DecodeError::Field("status")),
    }
}

/// Checks a status as the server tells it, wherever it came from.
///
/// # Errors
/// [`DecodeError::Field`] names the field.
pub fn check_status(status: &wire::Status) -> Result<(), DecodeError> {
    match status.status.as_ref() {
        // A later version's: it is passed over.
        None => Ok(()),
        Some(status::Status::Typing(typing)) => {
            ensure(is_name(&typing.account), "typing.account")?;
            check_conversation(&typing.conversation, "typing.conversation")
        }
        Some(status::Status::Presence(presence)) => check_presence(presence),
        Some(status::Status::Custom(custom)) => {
            ensure(is_name(&custom.account), "custom.account")?;
            check_custom(custom)
        }
        Some(status::Status::Devices(devices)) => check_devices(devices),
    }
}

/// Checks a list of devices, wherever it came from.
///
/// # Errors
/// [`DecodeError::Field`] names the field.
pub fn check_devices(devices: &wire::Devices) -> Result<(), DecodeError> {
    devices.devices.iter().try_for_each(|device| {
        ensure(is_name(&device.id), "device.id")?;
        ensure(device.name.is_empty() || is_name(&device.name), "device.name")
    })
}

/// Checks what is to be done about an account's devices, wherever it came from.
///
/// # Errors
/// [`DecodeError::Field`] names the field.
pub fn check_manage(manage: &wire::Manage) -> Result<(), DecodeError> {
    match manage.what.as_ref().ok_or(DecodeError::Field("manage.what"))? {
        manage::What::List(wire::ListDevices {}) => Ok(()),
        manage::What::Rename(rename) => {
            ensure(is_name(&rename.device), "rename.device")?;
            ensure(is_name(&rename.name), "rename.name")
        }
        manage::What::Remove(remove) => ensure(is_name(&remove.device), "remove.device"),
        manage::What::SetPush(push) => check_push(push),
    }
}

/// Checks the form of a push subscription. Whether its key is a point of the curve, and its address one to push to,
/// who pushes has to check.
fn check_push(push: &wire::SetPush) -> Result<(), DecodeError> {
    if *push == wire::SetPush::default() {
        return Ok(());
    }
    let endpoint = &push.endpoint;
    let plain = endpoint.bytes().all(|byte| byte.is_ascii_graphic());
    ensure(endpoint.len() <= limits::PUSH_ENDPOINT && plain && !endpoint.is_empty(), "push.endpoint")?;
    ensure(push.p256dh.len() == 65 && push.p256dh.starts_with(&[4]), "push.p256dh")?;
    ensure(push.auth.len() == 16, "push.auth")
}

/// Checks an account's presence, wherever it came from.
///
/// # Errors
/// [`DecodeError::Field`] names the field.
pub fn check_presence(presence: &wire::AccountPresence) -> Result<(), DecodeError> {
    ensure(is_name(&presence.account), "presence.account")?;
    ensure(presence.platforms.len() <= limits::PLATFORMS, "presence.platforms")
}

fn check_custom(custom: &wire::Custom) -> Result<(), DecodeError> {
    check_conversation(&custom.conversation, "custom.conversation")?;
    check_type(&custom.r#type, "custom.type")?;
    content::check(&custom.content).map_err(|_| DecodeError::Field("custom.content"))
}

fn check_delta(delta: &wire::Delta) -> Result<(), DecodeError> {
    ensure(delta.after <= delta.next && delta.next <= delta.head, "delta.next")?;
    ensure(delta.events.len() as u64 == delta.next - delta.after, "delta.events")?;
    for (event, place) in delta.events.iter().zip(1..) {
        ensure(event.seq == delta.after + place, "event.seq")?;
        check_event(event)?;
    }
    Ok(())
}

fn check_history(history: &wire::History) -> Result<(), DecodeError> {
    check_conversation(&history.conversation, "history.conversation")?;
    check_positions(history.from, history.to)?;
    history.messages.iter().try_for_each(check_message)?;
    let asked = history.from..=history.to;
    let fits = |it: &wire::Message| it.conversation == history.conversation && asked.contains(&it.position);
    let sorted = history.messages.is_sorted_by(|one, next| one.position < next.position);
    ensure(sorted && history.messages.iter().all(fits), "history.messages")
}

/// Checks positions of which not more are asked for than may be.
///
/// # Errors
/// [`DecodeError::Field`] names the field.
pub fn check_positions(from: u64, to: u64) -> Result<(), DecodeError> {
    ensure((1..=to).contains(&from) && to - from < limits::HISTORY, "history.from")
}

/// Checks how far a snapshot has come, wherever that was heard.
///
/// # Errors
/// [`DecodeError::Field`] names the field.
pub fn check_place(place: &wire::SnapshotPlace) -> Result<(), DecodeError> {
    ensure(place.step <= 3, "place.step")?;
    let named = match place.step {
        3 => place.name.parse::<OperationId>().is_ok(),
        _ => Target::parse(&place.name).is_some(),
    };
    ensure(place.name.is_empty() || named, "place.name")
}

fn check_conversation(id: &str, field: &'static str) -> Result<(), DecodeError> {
    Conversation::parse(id).map(drop).map_err(|_| DecodeError::Field(field))
}

fn check_type(name: &str, field: &'static str) -> Result<(), DecodeError> {
    ensure(is_name(name) && name.len() <= limits::TYPE, field)
}

pub(crate) fn ensure(holds: bool, field: &'static str) -> Result<(), DecodeError> {
    if holds { Ok(()) } else { Err(DecodeError::Field(field)) }
}
