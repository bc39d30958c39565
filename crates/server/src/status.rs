//! Status: what is said to those who are connected now, and kept nowhere but here, in memory: who is there.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use tokio::{
    runtime::Handle,
    time::{Instant, sleep},
};
use tutti_acceptance::{
    status::{Presence, audience},
    storage::{Result as StorageResult, Storage},
};
use tutti_protocol::{
    Millis, codec, limits,
    wire::{self, Availability, Platform, server_frame::Frame, status::Status as Kind},
};

use crate::{clock::now, hub::Hub};

/// How often it is told at most that an account's presence has changed.
const PACE: Duration = Duration::from_millis(500);
/// Frames catch up with each other on their way: so much sooner than agreed they may come.
const EARLY: Duration = Duration::from_millis(limits::TYPING_INTERVAL / 4);

/// Who is there, and the way to all who are.
pub(crate) struct Statuses {
    storage: Arc<dyn Storage>,
    hub: Arc<Hub>,
    /// How long an account may be without a connection before that is told.
    grace: Duration,
    accounts: Mutex<HashMap<String, Account>>,
}

/// What is known of an account's presence. It stays when the account goes, for when it was last seen.
#[derive(Default)]
struct Account {
    presence: Presence,
    /// What its own devices were told last, and what others were.
    told: Option<(wire::AccountPresence, wire::AccountPresence)>,
    /// Somebody is about to tell what has changed.
    telling: bool,
}

/// Who says something.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Speaker<'a> {
    /// The account.
    pub account: &'a str,
    /// Its connection, which is not told what it says itself.
    pub connection: Option<u64>,
    /// Whether the account's own connections are told.
    pub own: bool,
    /// Whether others are.
    pub others: bool,
}

impl Statuses {
    /// Nobody is there. Who goes may be away for so long before that is told.
    #[must_use]
    pub(crate) fn new(storage: Arc<dyn Storage>, hub: Arc<Hub>, grace: Duration) -> Self {
        Self { storage, hub, grace, accounts: Mutex::default() }
    }

    /// Says something in a conversation: `kind` makes it of what the receiving account calls the conversation.
    ///
    /// # Errors
    /// When it cannot be read who is in the conversation.
    pub(crate) async fn say(
        &self,
        speaker: Speaker<'_>,
        conversation: &str,
        kind: impl Fn(String) -> Kind,
    ) -> StorageResult<()> {
        let Some(audience) = audience(&*self.storage, speaker.account, conversation).await? else {
            return Ok(());
        };
        if speaker.own {
            self.hub.tell(speaker.account, &encode(kind(conversation.to_owned())), speaker.connection);
        }
        if speaker.others {
            self.tell_all(&audience.others, &encode(kind(audience.conversation)));
        }
        Ok(())
    }

    /// A connection begins. It does not count before [`Attendance::appear`].
    pub(crate) fn enter(
        self: &Arc<Self>,
        account: &str,
        connection: u64,
        platform: Platform,
        hidden: bool,
    ) -> Attendance {
        self.accounts().entry(account.to_owned()).or_default().presence.enter(connection, platform, hidden);
        Attendance { statuses: self.clone(), account: account.to_owned(), connection, appeared: false }
    }

    /// What an account learns of another's presence, or of its own.
    ///
    /// # Errors
    /// When it cannot be read with whom the other shares a conversation.
    pub(crate) async fn seen_by(&self, asking: &str, account: &str) -> StorageResult<Frame> {
        let own = asking == account;
        let knows = own || self.storage.contacts(account).await?.contains(asking);
        let accounts = self.accounts();
        let presence = accounts.get(account).filter(|_| knows).map(|account| &account.presence);
        let presence = match presence {
            Some(presence) if own => presence.own(account),
            Some(presence) => presence.shown(account),
            None => Presence::default().shown(account),
        };
        Ok(frame(Kind::Presence(presence)))
    }

    /// An account is no more: nothing is known of it, and whoever saw it there sees it gone.
    pub(crate) fn forget(&self, account: &str, contacts: &BTreeSet<String>) {
        let known = self.accounts().remove(account);
        let nothing = Presence::default().shown(account);
        if known.and_then(|known| known.told).is_some_and(|(_, shown)| shown != nothing) {
            self.tell_all(contacts, &encode(Kind::Presence(nothing)));
        }
    }

    /// Whether the user of an account is there, for all that is known: then no other device alerts them.
    pub(crate) fn is_active(&self, account: &str) -> bool {
        let accounts = self.accounts();
        let availability = accounts.get(account).map(|known| known.presence.own(account).availability());
        availability.is_some_and(|it| !matches!(it, Availability::Offline | Availability::Away))
    }

    /// Changes what is known of an account, and tells those who may know what that changes for them.
    fn change(self: &Arc<Self>, account: &str, change: impl FnOnce(&mut Presence)) {
        let mut accounts = self.accounts();
        let Some(known) = accounts.get_mut(account) else {
            return;
        };
        change(&mut known.presence);
        // While the runtime ends nobody is told anything.
        if let (false, Ok(runtime)) = (known.telling, Handle::try_current()) {
            known.telling = true;
            runtime.spawn(self.clone().tell_changes(account.to_owned()));
        }
    }

    /// Tells what has changed until nothing has since, one change after the other.
    async fn tell_changes(self: Arc<Self>, account: String) {
        while let Some(news) = self.news(&account) {
            if let Some(own) = news.own {
                self.hub.tell(&account, &encode(Kind::Presence(own)), None);
            }
            if let Some(shown) = news.shown {
                match self.storage.contacts(&account).await {
                    Ok(contacts) => self.tell_all(&contacts, &encode(Kind::Presence(shown))),
                    Err(error) => tracing::warn!(%error, "a change of presence was not told"),
                }
            }
            sleep(PACE).await;
        }
    }

    /// What is to be told of an account; if nothing is, the next change begins to tell anew.
    fn news(&self, account: &str) -> Option<News> {
        let mut accounts = self.accounts();
        let known = accounts.get_mut(account)?;
        let (own, shown) = (known.presence.own(account), known.presence.shown(account));
        let nothing = || {
            let nothing = Presence::default().shown(account);
            (nothing.clone(), nothing)
        };
        let (own_before, shown_before) = known.told.take().unwrap_or_else(nothing);
        known.told = Some((own.clone(), shown.clone()));
        let news =
            News { own: (own != own_before).then_some(own), shown: (shown != shown_before).then_some(shown) };
        known.telling = news.own.is_some() || news.shown.is_some();
        known.telling.then_some(news)
    }

    fn tell_all(&self, accounts: &BTreeSet<String>, frame: &Bytes) {
        accounts.iter().for_each(|account| self.hub.tell(account, frame, None));
    }

    /// No code can panic while it holds this lock, so a poisoned one is as good as any.
    fn accounts(&self) -> MutexGuard<'_, HashMap<String, Account>> {
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct News {
    own: Option<wire::AccountPresence>,
    shown: Option<wire::AccountPresence>,
}

fn frame(kind: Kind) -> Frame {
    Frame::Status(wire::Status { status: Some(kind) })
}

fn encode(kind: Kind) -> Bytes {
    codec::encode(&wire::ServerFrame { frame: Some(frame(kind)) })
}

/// That a connection is there. When it is dropped the account may be gone, unless it is back in a moment.
pub(crate) struct Attendance {
    statuses: Arc<Statuses>,
    account: String,
    connection: u64,
    appeared: bool,
}

impl Attendance {
    /// The connection counts from now on.
    pub(crate) fn appear(&mut self) {
        if std::mem::replace(&mut self.appeared, true) {
            return;
        }
        self.statuses.change(&self.account, |presence| presence.appear(self.connection));
    }

    /// The user shares that this connection is there, or does not.
    pub(crate) fn hide(&self, hidden: bool) {
        self.statuses.change(&self.account, |presence| presence.hide(self.connection, hidden));
    }

    /// The user sets what others see.
    pub(crate) fn set(&self, availability: wire::Availability) {
        self.statuses.change(&self.account, |presence| presence.set(availability, now()));
    }
}

impl Drop for Attendance {
    fn drop(&mut self) {
        let (statuses, account, connection) = (self.statuses.clone(), self.account.clone(), self.connection);
        let gone: Millis = now();
        let leave = async move {
            sleep(statuses.grace).await;
            statuses.change(&account, |presence| presence.leave(connection, gone));
        };
        // While the runtime ends nobody is told anything.
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(leave);
        }
    }
}

/// How often a connection says that somebody types: what comes too soon is passed over.
#[derive(Debug, Default)]
pub(crate) struct TypingRate(BTreeMap<String, Turn>);

#[derive(Debug)]
struct Turn {
    /// When it was let through last that somebody types …
    at: Instant,
    /// … which has not ended since.
    on: bool,
}

impl TypingRate {
    /// Whether this may be told.
    pub(crate) fn lets_through(&mut self, conversation: &str, typing: bool, now: Instant) -> bool {
        let interval = Duration::from_millis(limits::TYPING_INTERVAL).saturating_sub(EARLY);
        self.0.retain(|_, turn| turn.on || now < turn.at + interval);
        // What is typed long since has ended without a word.
        self.0.retain(|_, turn| now < turn.at + Duration::from_millis(limits::TYPING_EXPIRES));
        match (self.0.get_mut(conversation), typing) {
            (Some(turn), true) if now < turn.at + interval => false,
            (_, true) => {
                self.0.insert(conversation.to_owned(), Turn { at: now, on: true });
                true
            }
            (Some(turn), false) => std::mem::replace(&mut turn.on, false),
            (None, false) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typing_is_let_through_every_two_seconds_and_its_end_once() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let mut rate = TypingRate::default();
        assert!(!rate.lets_through("direct:bob", false, at(0)), "nobody types");
        assert!(rate.lets_through("direct:bob", true, at(0)));
        assert!(!rate.lets_through("direct:bob", true, at(1_000)));
        assert!(rate.lets_through("group:team", true, at(1_000)), "each conversation for itself");
        assert!(rate.lets_through("direct:bob", true, at(1_900)), "it has caught up a little");
        assert!(rate.lets_through("direct:bob", false, at(2_000)));
        assert!(!rate.lets_through("direct:bob", false, at(2_001)));
        assert!(!rate.lets_through("direct:bob", true, at(2_500)));
        assert!(rate.lets_through("direct:bob", true, at(4_000)));
        assert!(!rate.lets_through("direct:bob", false, at(10_000)), "others know already");
        assert!(rate.0.is_empty());
    }
}
