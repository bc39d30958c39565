//! What an account is told of: which notifications are kept, and which of them with their words.

use crate::{
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

/// Puts one in the place of what is known of it, in a list with the newest first, and lets go of what is not kept any
/// more: of all but the newest, and of the words of most that were dismissed. That follows from what there ever was
/// alone, so all lists come to the same, in whatever order they hear of it. Answers what was known of it.
pub fn put(notifications: &mut Vec<Notification>, notification: Notification) -> Option<Notification> {
    let known = notifications.iter().position(|it| it.id == notification.id);
    let known = known.map(|index| notifications.remove(index));
    let newer = |it: &Notification| (it.created_at, &it.id) > (notification.created_at, &notification.id);
    let place = notifications.iter().take_while(|it| newer(it)).count();
    notifications.insert(place, notification);
    notifications.truncate(limits::NOTIFICATIONS);
    for old in notifications.iter_mut().skip(limits::NOTIFICATIONS_DISMISSED) {
        if old.state() == NotificationState::Dismissed {
            erase(old);
        }
    }
    known
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some(number: u64, state: NotificationState) -> Notification {
        let id = crate::OperationId::mint(crate::Millis(number), [0; 10]).to_bytes();
        let title = format!("number {number}");
        Notification { id, title, created_at: number, state: state.into(), ..Notification::default() }
    }

    #[test]
    fn the_newest_are_kept_and_of_older_ones_that_were_dismissed_no_words() {
        let mut kept = Vec::new();
        for number in 1..=250 {
            let even = number % 2 == 0;
            let state = if even { NotificationState::Dismissed } else { NotificationState::Unread };
            assert_eq!(put(&mut kept, some(number, state)), None);
        }
        let numbers: Vec<_> = kept.iter().map(|notification| notification.created_at).collect();
        assert_eq!(numbers, (51..=250).rev().collect::<Vec<_>>());
        for notification in &kept {
            let number = notification.created_at;
            assert_eq!(is_erased(notification), number <= 200 && number % 2 == 0, "{notification:?}");
        }
        let last = some(250, NotificationState::Dismissed);
        assert_eq!(put(&mut kept, last.clone()), Some(last), "each is there once");
        assert_eq!(kept.len(), limits::NOTIFICATIONS);
    }

    #[test]
    fn all_copies_come_to_the_same_in_whatever_order_they_hear() {
        let states = [NotificationState::Unread, NotificationState::Read, NotificationState::Dismissed];
        let last = |number: u64| some(number, states[number as usize % 3]);
        let (mut in_order, mut late) = (Vec::new(), Vec::new());
        for number in 1..=300 {
            put(&mut in_order, some(number, NotificationState::Unread));
        }
        for number in 101..=300 {
            put(&mut in_order, last(number));
        }
        (1..=300).rev().for_each(|number| drop(put(&mut late, last(number))));
        assert_eq!(in_order, late);
    }
}
