//! What a peer may not say of snapshots and history.

use bytes::Bytes;
use tutti_protocol::{
    codec::{self, DecodeError},
    limits,
    wire::{
        ClientFrame, Event, History, Message, PullHistory, PullSnapshot, ServerFrame, Snapshot,
        SnapshotPlace, client_frame, server_frame,
    },
};

fn client(frame: client_frame::Frame) -> Result<ClientFrame, DecodeError> {
    codec::decode_client(codec::encode(&ClientFrame { frame: Some(frame) }))
}

fn server(frame: server_frame::Frame) -> Result<ServerFrame, DecodeError> {
    codec::decode_server(codec::encode(&ServerFrame { frame: Some(frame) }))
}

fn pull(from: u64, to: u64) -> Result<ClientFrame, DecodeError> {
    let conversation = "direct:bob".to_owned();
    client(client_frame::Frame::PullHistory(PullHistory { conversation, from, to }))
}

fn message(position: u64) -> Message {
    Message {
        id: Bytes::from_static(&[1; 16]),
        conversation: "direct:bob".into(),
        sender: "bob".into(),
        r#type: "text".into(),
        content: Bytes::from_static(b"1"),
        position,
        ..Message::default()
    }
}

fn history(change: impl FnOnce(&mut History)) -> Result<ServerFrame, DecodeError> {
    let messages = vec![message(5), message(6)];
    let mut history = History { conversation: "direct:bob".into(), from: 3, to: 6, messages };
    change(&mut history);
    server(server_frame::Frame::History(history))
}

fn place(change: impl FnOnce(&mut SnapshotPlace)) -> SnapshotPlace {
    let mut place = SnapshotPlace { from: 1, step: 2, name: "group:team".into(), before: 7 };
    change(&mut place);
    place
}

#[test]
fn positions_are_asked_for_in_order_and_not_too_many() {
    assert!(pull(1, 1).is_ok());
    assert!(pull(1, limits::HISTORY).is_ok());
    assert!(pull(u64::MAX, u64::MAX).is_ok());
    for (from, to) in [(0, 1), (0, 0), (2, 1), (1, limits::HISTORY + 1), (1, u64::MAX)] {
        assert_eq!(pull(from, to), Err(DecodeError::Field("history.from")), "{from} to {to}");
    }
    let nobody = PullHistory { conversation: "nobody".into(), from: 1, to: 1 };
    let nobody = client(client_frame::Frame::PullHistory(nobody));
    assert_eq!(nobody, Err(DecodeError::Field("pull_history.conversation")));
}

#[test]
fn history_holds_what_was_asked_for_and_nothing_else() {
    assert!(history(|_| {}).is_ok());
    assert!(history(|history| history.messages.clear()).is_ok());
    let bad = Err(DecodeError::Field("history.messages"));
    assert_eq!(history(|history| history.messages.swap(0, 1)), bad);
    assert_eq!(history(|history| history.messages[1].position = 5), bad);
    assert_eq!(history(|history| history.messages[1].position = 7), bad);
    assert_eq!(history(|history| history.messages[0].position = 2), bad);
    assert_eq!(history(|history| history.messages[0].conversation = "direct:eve".into()), bad);
    assert!(history(|history| history.messages[0].content.clear()).is_err());
    assert!(history(|history| (history.from, history.to) = (1, u64::MAX)).is_err());
}

#[test]
fn a_snapshot_goes_on_where_there_is_something() {
    let asks =
        |place| client(client_frame::Frame::PullSnapshot(PullSnapshot { days: 1, place: Some(place) }));
    assert!(asks(place(|_| {})).is_ok());
    assert!(asks(SnapshotPlace::default()).is_ok());
    assert!(asks(place(|place| place.name = "session:track".into())).is_ok());
    assert_eq!(asks(place(|place| place.step = 4)), Err(DecodeError::Field("place.step")));
    assert_eq!(asks(place(|place| place.step = 3)), Err(DecodeError::Field("place.name")));
    let id = "018bcfe5-6801-7000-8000-000000000000";
    assert!(asks(place(|place| (place.step, place.name) = (3, id.into()))).is_ok());
    assert_eq!(asks(place(|place| place.name = "nobody".into())), Err(DecodeError::Field("place.name")));

    let says = |snapshot| server(server_frame::Frame::Snapshot(snapshot));
    let next = Some(place(|place| place.step = 4));
    assert!(says(Snapshot { next: next.clone(), ..Snapshot::default() }).is_err());
    assert!(says(Snapshot { place: next, ..Snapshot::default() }).is_err());
    let events =
        |count| Snapshot { events: vec![Event { seq: 1, ..Event::default() }; count], ..Snapshot::default() };
    assert!(says(events(limits::PAGE_EVENTS)).is_ok());
    assert_eq!(says(events(limits::PAGE_EVENTS + 1)), Err(DecodeError::Field("snapshot.events")));
    let unnumbered = Snapshot { events: vec![Event::default()], ..Snapshot::default() };
    assert_eq!(says(unnumbered), Err(DecodeError::Field("event.seq")));
}
