//! What an account is told of: which notifications are kept, and which of them with their words.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::{
    OperationId,
    codec::{DecodeError, ensure},
    content, limits,
    wire::{Notification, NotificationState},
};

/// Whether its words are gone.
#[must_use]
pub fn is_erased(notification: &Notification) -> bool {
    notification.title.is_empty() && notification.body.is_empty() && notification.data.is_empty()
}

/// Takes its words away, for good: what it was about is over.
pub fn erase(notification: &mut Notification) {
    (notification.title, notification.body, notification.data) = Default::default();
    notification.set_state(NotificationState::Dismissed);
}

/// Checks its words: a title, perhaps more, and not too much of it.
///
/// # Errors
/// [`DecodeError::Field`] names the field.
pub fn check_words(notification: &Notification) -> Result<(), DecodeError> {
    let Notification { title, body, data, .. } = notification;
    ensure(!title.is_empty(), "notification.title")?;
    ensure(data.is_empty() || content::check(data).is_ok(), "notification.data")?;
    ensure(title.len() + body.len() + data.len() <= limits::NOTIFICATION, "notification.body")
}

/// The order in which they are shown, the newest last.
#[must_use]
pub fn age(notification: &Notification) -> (u64, Bytes) {
    (notification.created_at, notification.id.clone())
}

/// Lets go of what is not kept any more: of all but the newest, and of the words of most that were dismissed. That
/// follows from what there ever was alone, so all copies come to the same, in whatever order they hear of it.
pub fn keep_newest(notifications: &mut BTreeMap<OperationId, Notification>) {
    if notifications.len() <= limits::NOTIFICATIONS_DISMISSED {
        return;
    }
    let mut newest: Vec<_> = notifications.iter().map(|(id, it)| (age(it), *id)).collect();
    newest.sort_unstable_by(|a, b| b.cmp(a));
    for (rank, (_, id)) in newest.iter().enumerate().skip(limits::NOTIFICATIONS_DISMISSED) {
        if rank >= limits::NOTIFICATIONS {
            notifications.remove(id);
        } else if let Some(old) = notifications.get_mut(id)
            && old.state() == NotificationState::Dismissed
        {
            erase(old);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some(number: u64, state: NotificationState) -> Notification {
        let id = OperationId::mint(crate::Millis(number), [0; 10]).to_bytes();
        let title = format!("number {number}");
        Notification { id, title, created_at: number, state: state.into(), ..Notification::default() }
    }

    fn put(kept: &mut BTreeMap<OperationId, Notification>, notification: Notification) {
        kept.insert(OperationId::try_from(&notification.id).unwrap(), notification);
        keep_newest(kept);
    }

    #[test]
    fn the_newest_are_kept_and_of_older_ones_that_were_dismissed_no_words() {
        let mut kept = BTreeMap::new();
        for number in 1..=250 {
            let even = number % 2 == 0;
            let state = if even { NotificationState::Dismissed } else { NotificationState::Unread };
            put(&mut kept, some(number, state));
        }
        assert_eq!(kept.len(), limits::NOTIFICATIONS);
        for notification in kept.values() {
            let number = notification.created_at;
            assert!(number > 50);
            assert_eq!(is_erased(notification), number <= 200 && number % 2 == 0, "{notification:?}");
        }
    }

    #[test]
    fn all_copies_come_to_the_same_in_whatever_order_they_hear() {
        let states = [NotificationState::Unread, NotificationState::Read, NotificationState::Dismissed];
        let last = |number: u64| some(number, states[number as usize % 3]);
        let mut in_order = BTreeMap::new();
        let mut late = BTreeMap::new();
        for number in 1..=300 {
            put(&mut in_order, some(number, NotificationState::Unread));
        }
        for number in 101..=300 {
            put(&mut in_order, last(number));
        }
        (1..=300).rev().for_each(|number| put(&mut late, last(number)));
        assert_eq!(in_order, late);
    }
}
