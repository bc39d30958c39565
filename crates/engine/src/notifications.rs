//! What the account is notified of: the newest, as they are now, and as what is on its way will make them.

use bytes::Bytes;
use tutti_protocol::{
    codec,
    notification::{is_erased, put},
    wire::{Notification, NotificationState, operation::Body},
};

use crate::{
    batch::StoreError,
    outbox::NOTIFICATIONS,
    replica::{Applied, Replica, damaged},
};

/// What the account is notified of.
#[derive(Debug, Default)]
pub(crate) struct Notifications {
    /// As the log says, the newest first.
    pub(crate) held: Vec<Notification>,
    /// All that was told of them up to the cursor is here.
    pub(crate) complete: bool,
}

impl Replica {
    /// The notifications, the newest first; those that were dismissed only if they are wanted.
    #[must_use]
    pub fn notifications(&self, dismissed: bool, limit: usize) -> Vec<Notification> {
        let wanted = |it: &Notification| dismissed || it.state() != NotificationState::Dismissed;
        let shown = self.notifications.held.iter().map(|notification| self.foreseen_mark(notification));
        shown.filter(wanted).take(limit).collect()
    }

    /// One of them as it is shown.
    pub(crate) fn notification(&self, id: &[u8]) -> Option<Notification> {
        let held = self.notifications.held.iter().find(|notification| notification.id[..] == *id)?;
        Some(self.foreseen_mark(held))
    }

    fn foreseen_mark(&self, notification: &Notification) -> Notification {
        let mut notification = notification.clone();
        for (_, body) in self.outbox.changes(NOTIFICATIONS) {
            if let Body::MarkNotification(mark) = body
                && mark.notification == notification.id
            {
                notification.state = notification.state.max(mark.state);
            }
        }
        notification
    }

    /// Takes in what a fold has written.
    pub(crate) fn load_notifications(&mut self, notifications: Vec<Notification>) -> Result<(), StoreError> {
        for notification in notifications {
            codec::check_notification(&notification).map_err(|_| damaged("heads"))?;
            self.put_notification(notification);
        }
        Ok(())
    }

    /// Takes in how one is now.
    pub(crate) fn put_notification(&mut self, mut notification: Notification) {
        // Copied out of the frame that they came in, which would stay in memory as long.
        for bytes in [&mut notification.id, &mut notification.data, &mut notification.message] {
            *bytes = Bytes::copy_from_slice(bytes);
        }
        let erased = is_erased(&notification);
        let before = put(&mut self.notifications.held, notification);
        // Words that are gone are not to stay in the store either.
        self.purge |= erased && before.is_some_and(|before| !is_erased(&before));
    }

    /// Notes how notifications look, before something changes them.
    pub(crate) fn note_notifications(&self, applied: &mut Applied) {
        applied.notifications.get_or_insert_with(|| self.notifications(true, usize::MAX));
    }
}
