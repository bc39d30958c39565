//! What a tab shows of its account beside messages, as it was told last of each or found it when it opened.

use std::collections::BTreeMap;

use bytes::Bytes;
use tutti_engine::{Conversation, Message, Replica, Session, SortedMap};
use tutti_protocol::wire::Notification;

/// What a tab shows. Equal to what it holds, or it was not told of something.
#[derive(Debug, Default)]
pub struct Shown {
    conversations: BTreeMap<String, Conversation>,
    sessions: BTreeMap<String, SortedMap<String, Bytes>>,
    /// By id.
    pub notifications: BTreeMap<Bytes, Notification>,
}

impl Shown {
    /// All that a copy holds.
    pub(super) fn all(replica: &Replica) -> Self {
        let mut shown = Self::default();
        shown.tell_conversations(replica, replica.conversations(usize::MAX).into_iter().map(|it| it.id));
        shown.tell_sessions(replica.sessions(""));
        shown.tell_notifications(replica, replica.notifications(true, usize::MAX));
        shown
    }

    /// The summaries of these look different: they are looked up.
    pub(super) fn tell_conversations(&mut self, replica: &Replica, ids: impl IntoIterator<Item = String>) {
        for id in ids {
            match replica.conversation(&id) {
                Some(mut conversation) => {
                    // What waits goes by the id of the device, whatever that is then.
                    let waits = |last: &&mut Message| last.position.is_none();
                    conversation.last.as_mut().filter(waits).into_iter().for_each(|last| last.device = None);
                    self.conversations.insert(id, conversation);
                }
                None => drop(self.conversations.remove(&id)),
            }
        }
    }

    /// These sessions look different; without fields there is nothing of them.
    pub(super) fn tell_sessions(&mut self, sessions: impl IntoIterator<Item = Session>) {
        self.sessions.extend(sessions.into_iter().map(|session| (session.key, session.fields)));
        self.sessions.retain(|_, fields| !fields.is_empty());
    }

    /// These are new or look different. Which others are gone is looked up.
    pub(super) fn tell_notifications(&mut self, replica: &Replica, notifications: Vec<Notification>) {
        self.notifications.extend(notifications.into_iter().map(|it| (it.id.clone(), it)));
        let held = replica.notifications(true, usize::MAX);
        self.notifications.retain(|id, _| held.iter().any(|it| it.id == id));
    }

    /// Nothing has changed in this copy of which the tab was not told.
    pub(super) fn check(&self, replica: &Replica) {
        let held = Self::all(replica);
        for id in self.conversations.keys().chain(held.conversations.keys()) {
            let (told, held) = (self.conversations.get(id), held.conversations.get(id));
            assert_eq!(told, held, "a tab was not told of a conversation");
        }
        assert_eq!(self.sessions, held.sessions, "a tab was not told of a session");
        assert_eq!(self.notifications, held.notifications, "a tab was not told of a notification");
    }
}
