//! Status: what reaches only who is connected at the moment. Here is decided who that may be, and what others
//! see of an account's presence. Nothing of it is written to a storage.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use tutti_protocol::{
    Conversation, Millis,
    wire::{self, Availability},
};

use crate::{
    platform::Platform,
    storage::{Result, Storage},
};

/// Who gets what an account says in a conversation, besides the account itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audience {
    /// Accounts.
    pub others: BTreeSet<String>,
    /// What they call the conversation.
    pub conversation: String,
}

/// Who gets what `account` says in `conversation`; none if it has no part in it, whether or not there is one.
///
/// # Errors
/// When the storage cannot be read.
pub async fn audience(storage: &dyn Storage, account: &str, conversation: &str) -> Result<Option<Audience>> {
    let (mut others, conversation) = match Conversation::parse(conversation) {
        Ok(Conversation::Direct(other)) => {
            (BTreeSet::from([other.to_owned()]), Conversation::Direct(account).to_string())
        }
        Ok(Conversation::Group(id)) => match storage.group(id).await? {
            Some(members) if members.contains(account) => (members, conversation.to_owned()),
            _ => return Ok(None),
        },
        Err(_) => return Ok(None),
    };
    others.remove(account);
    Ok(Some(Audience { others, conversation }))
}

/// Whether an account is there: what its connections and its user say. In memory alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Presence {
    /// As the user has set it, on whichever device, …
    #[serde(with = "number")]
    availability: Availability,
    /// … and when, in milliseconds since the Unix epoch.
    set_at: u64,
    connections: BTreeMap<u64, Connection>,
    /// When others last saw the account there; none: they are not told.
    last_seen: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Connection {
    platform: Platform,
    /// Others are not told of it.
    hidden: bool,
    /// It counts: before that its user may still set something.
    present: bool,
}

impl Default for Presence {
    fn default() -> Self {
        Self { availability: Availability::Online, set_at: 0, connections: BTreeMap::new(), last_seen: None }
    }
}

impl Presence {
    /// A connection begins. It does not count yet.
    pub fn enter(&mut self, connection: u64, platform: Platform, hidden: bool) {
        self.connections.insert(connection, Connection { platform, hidden, present: false });
    }

    /// A connection counts from now on.
    pub fn appear(&mut self, connection: u64) {
        if let Some(connection) = self.connections.get_mut(&connection) {
            connection.present = true;
        }
        self.forget_if_hidden();
    }

    /// The user shares with others from now on that this connection is there, or does not.
    pub fn hide(&mut self, connection: u64, hidden: bool) {
        if let Some(connection) = self.connections.get_mut(&connection) {
            connection.hidden = hidden;
        }
        self.forget_if_hidden();
    }

    /// A connection has ended, at this time.
    pub fn leave(&mut self, connection: u64, now: Millis) {
        let shown = self.is_shown();
        self.connections.remove(&connection);
        self.note_seen(shown, now);
        if self.connections.is_empty() {
            self.availability = Availability::Online;
        }
    }

    /// The user sets what others see.
    pub fn set(&mut self, availability: Availability, now: Millis) {
        let shown = self.is_shown();
        self.availability = availability;
        self.set_at = now.0;
        self.note_seen(shown, now);
    }

    /// The connections, those too that do not count.
    pub fn connections(&self) -> impl Iterator<Item = u64> {
        self.connections.keys().copied()
    }

    /// Takes over what somebody else knows of the account, who knows all of those connections for which `is_theirs`:
    /// of what the user has set, that which was set last.
    pub fn merge(&mut self, theirs: &Self, is_theirs: impl Fn(u64) -> bool) {
        self.connections.retain(|connection, _| !is_theirs(*connection));
        let theirs_alone = theirs.connections.iter().filter(|(connection, _)| is_theirs(**connection));
        self.connections.extend(theirs_alone);
        if theirs.set_at > self.set_at {
            (self.availability, self.set_at) = (theirs.availability, theirs.set_at);
        }
        self.last_seen = self.last_seen.max(theirs.last_seen);
        self.forget_if_hidden();
    }

    /// As the account's own devices see it.
    #[must_use]
    pub fn own(&self, account: &str) -> wire::AccountPresence {
        self.seen(account, self.availability, |connection| connection.present)
    }

    /// As others see it.
    #[must_use]
    pub fn shown(&self, account: &str) -> wire::AccountPresence {
        let availability = if self.is_shown() { self.availability } else { Availability::Offline };
        self.seen(account, availability, Connection::is_shown)
    }

    fn seen(
        &self,
        account: &str,
        availability: Availability,
        counts: impl Fn(&Connection) -> bool,
    ) -> wire::AccountPresence {
        let connections = self.connections.values().filter(|connection| counts(connection));
        let mut platforms: BTreeSet<i32> =
            connections.map(|it| wire::Platform::from(it.platform).into()).collect();
        let there = availability != Availability::Offline && !platforms.is_empty();
        if !there {
            platforms.clear();
        }
        wire::AccountPresence {
            account: account.to_owned(),
            availability: if there { availability } else { Availability::Offline }.into(),
            last_seen: self.last_seen.filter(|_| !there).unwrap_or(0),
            platforms: platforms.into_iter().collect(),
        }
    }

    fn is_shown(&self) -> bool {
        self.availability != Availability::Invisible && self.connections.values().any(Connection::is_shown)
    }

    fn note_seen(&mut self, was_shown: bool, now: Millis) {
        if was_shown && !self.is_shown() {
            self.last_seen = Some(now.0);
        }
        self.forget_if_hidden();
    }

    /// When somebody was last there who shares nothing is nobody's business either.
    fn forget_if_hidden(&mut self) {
        if self.connections.values().any(|connection| connection.hidden) {
            self.last_seen = None;
        }
    }
}

impl Connection {
    fn is_shown(&self) -> bool {
        self.present && !self.hidden
    }
}

/// The values of the protocol's enumerations.
mod number {
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    pub(super) fn serialize<S: Serializer, E: Copy + Into<i32>>(
        value: &E,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_i32((*value).into())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>, E: TryFrom<i32>>(
        deserializer: D,
    ) -> Result<E, D::Error> {
        let number = i32::deserialize(deserializer)?;
        E::try_from(number).map_err(|_| D::Error::custom("no such value"))
    }
}

#[cfg(test)]
mod tests {
    use Platform::{Desktop, Mobile, Web};

    use super::*;

    fn online(connections: &[(u64, Platform, bool)]) -> Presence {
        let mut presence = Presence::default();
        for (connection, platform, hidden) in connections {
            presence.enter(*connection, *platform, *hidden);
            presence.appear(*connection);
        }
        presence
    }

    fn of(presence: &wire::AccountPresence) -> (Availability, u64, Vec<Platform>) {
        (presence.availability(), presence.last_seen, presence.platforms().map(Platform::from).collect())
    }

    #[test]
    fn an_account_is_there_as_long_as_it_has_connections() {
        let mut presence = Presence::default();
        assert_eq!(of(&presence.shown("bob")), (Availability::Offline, 0, vec![]));
        presence.enter(1, Web, false);
        assert_eq!(presence.shown("bob").availability(), Availability::Offline, "it does not count yet");
        presence.appear(1);
        presence.enter(2, Mobile, false);
        presence.appear(2);
        assert_eq!(of(&presence.shown("bob")), (Availability::Online, 0, vec![Mobile, Web]));
        presence.leave(1, Millis(5));
        assert_eq!(of(&presence.shown("bob")), (Availability::Online, 0, vec![Mobile]));
        presence.leave(2, Millis(6));
        assert_eq!(of(&presence.shown("bob")), (Availability::Offline, 6, vec![]));
        assert_eq!(presence.own("bob"), presence.shown("bob"));
    }

    #[test]
    fn what_was_set_holds_until_the_last_connection_ends() {
        let mut presence = online(&[(1, Web, false), (2, Web, false)]);
        presence.set(Availability::Busy, Millis(1));
        presence.leave(1, Millis(2));
        assert_eq!(of(&presence.shown("bob")), (Availability::Busy, 0, vec![Web]));
        presence.leave(2, Millis(3));
        presence.enter(3, Web, false);
        presence.appear(3);
        assert_eq!(presence.shown("bob").availability(), Availability::Online);
    }

    #[test]
    fn who_is_invisible_is_offline_for_others_alone() {
        let mut presence = Presence::default();
        presence.enter(1, Web, false);
        presence.set(Availability::Invisible, Millis(1));
        presence.appear(1);
        assert_eq!(of(&presence.shown("bob")), (Availability::Offline, 0, vec![]), "never seen");
        assert_eq!(of(&presence.own("bob")), (Availability::Invisible, 0, vec![Web]));
        presence.set(Availability::Away, Millis(2));
        presence.set(Availability::Invisible, Millis(3));
        assert_eq!(of(&presence.shown("bob")), (Availability::Offline, 3, vec![]));
        presence.leave(1, Millis(4));
        assert_eq!(presence.shown("bob").last_seen, 3, "as if it had gone then");
    }

    #[test]
    fn what_two_know_of_it_comes_together() {
        let is_theirs = |connection| connection >= 10;
        let mut ours = online(&[(1, Web, false), (11, Mobile, false)]);
        let mut theirs = online(&[(2, Web, false), (10, Desktop, false)]);
        ours.set(Availability::Busy, Millis(1));
        theirs.set(Availability::Away, Millis(2));
        ours.merge(&theirs, is_theirs);
        assert_eq!(ours.connections().collect::<Vec<_>>(), [1, 10], "each knows its own");
        assert_eq!(ours.shown("bob").availability(), Availability::Away, "what was set last holds");
        ours.leave(1, Millis(4));
        ours.leave(10, Millis(5));
        theirs.leave(10, Millis(3));
        theirs.merge(&ours, |connection| connection < 10);
        assert_eq!(of(&theirs.shown("bob")), (Availability::Offline, 5, vec![]));
    }

    #[test]
    fn what_is_hidden_is_no_connection_for_others() {
        let mut presence = online(&[(1, Web, true)]);
        assert_eq!(of(&presence.shown("bob")), (Availability::Offline, 0, vec![]));
        assert_eq!(of(&presence.own("bob")), (Availability::Online, 0, vec![Web]));
        presence.leave(1, Millis(5));
        assert_eq!(presence.shown("bob").last_seen, 0);

        let mut presence = online(&[(1, Web, true), (2, Mobile, false)]);
        assert_eq!(of(&presence.shown("bob")), (Availability::Online, 0, vec![Mobile]));
        presence.hide(2, true);
        assert_eq!(of(&presence.shown("bob")), (Availability::Offline, 0, vec![]));
        presence.hide(2, false);
        presence.leave(2, Millis(6));
        assert_eq!(of(&presence.shown("bob")), (Availability::Offline, 0, vec![]), "the other still hides");
    }
}
