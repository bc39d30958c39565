//! What a notification may be, and what may be done to it.

use bytes::Bytes;
use tutti_protocol::{
    codec::{self, DecodeError},
    limits,
    wire::{Event, MarkNotification, Notification, NotificationState, Operation, event::Body, operation},
};

const ID: Bytes = Bytes::from_static(&[7; 16]);

fn told(change: impl FnOnce(&mut Notification)) -> Result<(), DecodeError> {
    let mut notification = Notification {
        id: ID,
        title: "Moved".into(),
        body: "To seven".into(),
        data: Bytes::from_static(b"[7]"),
        conversation: "direct:bob".into(),
        message: ID,
        created_at: 1,
        state: NotificationState::Read.into(),
    };
    change(&mut notification);
    codec::check_event(&Event {
        seq: 1,
        operation: Bytes::new(),
        body: Some(Body::Notification(notification)),
    })
}

#[test]
fn a_notification_has_words_and_is_about_something_or_nothing() {
    assert_eq!(told(|_| {}), Ok(()));
    assert_eq!(told(|it| (it.body, it.data) = Default::default()), Ok(()));
    assert_eq!(told(|it| (it.conversation, it.message) = Default::default()), Ok(()));
    assert_eq!(told(|it| it.set_state(NotificationState::Dismissed)), Ok(()));
    type Change = fn(&mut Notification);
    let wrong: [(&'static str, Change); 8] = [
        ("notification.id", |it| it.id.truncate(15)),
        ("notification.title", |it| it.title.clear()),
        ("notification.data", |it| it.data = Bytes::from_static(b"[7")),
        ("notification.body", |it| it.body = "x".repeat(limits::NOTIFICATION)),
        ("notification.conversation", |it| it.conversation = "bob".into()),
        ("notification.message", |it| it.message.truncate(1)),
        ("notification.state", |it| it.state = 3),
        ("notification.state", |it| it.state = -1),
    ];
    for (field, change) in wrong {
        assert_eq!(told(change), Err(DecodeError::Field(field)));
    }
    let longest = |it: &mut Notification, more| {
        (it.body, it.data) = ("x".repeat(limits::NOTIFICATION - it.title.len() + more), Bytes::new());
    };
    assert_eq!(told(|it| longest(it, 0)), Ok(()));
    assert_eq!(told(|it| longest(it, 1)), Err(DecodeError::Field("notification.body")));
}

#[test]
fn only_one_that_was_dismissed_may_be_without_words() {
    let erased = |state: NotificationState| {
        told(|it| {
            (it.title, it.body, it.data) = Default::default();
            it.set_state(state);
        })
    };
    assert_eq!(erased(NotificationState::Dismissed), Ok(()));
    for state in [NotificationState::Unread, NotificationState::Read] {
        assert_eq!(erased(state), Err(DecodeError::Field("notification.title")));
    }
}

#[test]
fn a_mark_goes_forward() {
    let marks = |notification: Bytes, state| {
        let body = Some(operation::Body::MarkNotification(MarkNotification { notification, state }));
        codec::check_operation(&Operation { id: ID, clock: 1, body })
    };
    for (state, expected) in [(0, false), (1, true), (2, true), (3, false)] {
        assert_eq!(marks(ID, state).is_ok(), expected, "{state}");
    }
    let short = marks(Bytes::from_static(&[7; 15]), 1);
    assert_eq!(short, Err(DecodeError::Field("mark_notification.notification")));
}
