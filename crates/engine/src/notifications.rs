//! What the account is notified of: the newest, as they are now, and as what is on its way will make them.

use std::collections::BTreeMap;

use bytes::Bytes;
use tutti_protocol::{
    OperationId, codec,
    notification::{age, is_erased, keep_newest},
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
    held: BTreeMap<OperationId, Notification>,
    /// All that was told of them up to the cursor is here.
    pub(crate) complete: bool,
}

impl Notifications {
    /// Takes in how one is now. Says whether words went that were here.
    fn put(&mut self, id: OperationId, mut notification: Notification) -> bool {
        // Copied out of the frame that they came in, which would stay in memory as long.
        for bytes in [&mut notification.id, &mut notification.data, &mut notification.message] {
            *bytes = Bytes::copy_from_slice(bytes);
        }
        let erased = is_erased(&notification);
        let before = self.held.insert(id, notification);
        keep_newest(&mut self.held);
        erased && before.is_some_and(|before| !is_erased(&before))
    }

    /// There is another log.
    pub(crate) fn clear(&mut self) {
        self.held.clear();
    }

    /// All, as the log says.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&OperationId, &Notification)> {
        self.held.iter()
    }
}

impl Replica {
    /// The notifications, the newest first; those that were dismissed only if they are wanted.
    #[must_use]
    pub fn notifications(&self, dismissed: bool, limit: usize) -> Vec<Notification> {
        let shown = self.notifications.held.keys().filter_map(|id| self.notification(*id));
        let wanted = |it: &Notification| dismissed || it.state() != NotificationState::Dismissed;
        let mut shown: Vec<_> = shown.filter(wanted).collect();
        shown.sort_by_cached_key(age);
        shown.reverse();
        shown.truncate(limit);
        shown
    }

    /// One of them as it is shown.
    pub(crate) fn notification(&self, id: OperationId) -> Option<Notification> {
        let mut notification = self.notifications.held.get(&id)?.clone();
        for (_, body) in self.outbox.changes(NOTIFICATIONS) {
            if let Body::MarkNotification(mark) = body
                && mark.notification == notification.id
            {
                notification.state = notification.state.max(mark.state);
            }
        }
        Some(notification)
    }

    /// Takes in what a fold has written.
    pub(crate) fn load_notifications(&mut self, notifications: Vec<Notification>) -> Result<(), StoreError> {
        for notification in notifications {
            codec::check_notification(&notification).map_err(|_| damaged("heads"))?;
            self.apply_notification(notification, &mut Applied::default());
        }
        Ok(())
    }

    pub(crate) fn apply_notification(&mut self, notification: Notification, applied: &mut Applied) {
        if let Ok(id) = OperationId::try_from(&notification.id) {
            self.note_notification(id, applied);
            self.purge |= self.notifications.put(id, notification);
        }
    }

    /// Notes how a notification looks before something changes it.
    pub(crate) fn note_notification(&self, id: OperationId, applied: &mut Applied) {
        applied.notifications.entry(id).or_insert_with(|| self.notification(id));
    }
}
