//! Status: what is said to those who are connected now, and is kept nowhere but in memory: who is there.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    iter,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use tokio::{
    runtime::Handle,
    time::{Instant, sleep},
};
use tutti_acceptance::{
    platform::Platform,
    status::{Presence, audience},
    storage::{Result as StorageResult, Storage},
};
use tutti_protocol::{
    codec, limits,
    wire::{self, Availability, server_frame::Frame, status::Status as Kind},
};

use crate::{
    bus::Bus,
    clock::now,
    hub::Hub,
    roster::{News, Roster, Ticket},
};

/// How often it is told at most that an account's presence has changed.
const PACE: Duration = Duration::from_millis(500);
/// Frames catch up with each other on their way: so much sooner than agreed they may come.
const EARLY: Duration = Duration::from_millis(limits::TYPING_INTERVAL / 4);

/// Who is there, and the way to all who are.
pub(crate) struct Statuses {
    storage: Arc<dyn Storage>,
    bus: Arc<dyn Bus>,
    hub: Arc<Hub>,
    /// How long an account may be without a connection before that is told.
    grace: Duration,
    /// Accounts of which somebody is about to tell what has changed, and whether something has changed since.
    telling: Mutex<HashMap<String, bool>>,
}

/// Who says something.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Speaker<'a> {
    /// The account.
    pub account: &'a str,
    /// Its connection, which is not told what it says itself.
    pub connection: Option<Ticket>,
    /// Whether the account's own connections are told.
    pub own: bool,
    /// Whether others are.
    pub others: bool,
}

impl Statuses {
    /// Nobody is there. Who goes may be away for so long before that is told.
    #[must_use]
    pub(crate) fn new(storage: Arc<dyn Storage>, bus: Arc<dyn Bus>, hub: Arc<Hub>, grace: Duration) -> Self {
        Self { storage, bus, hub, grace, telling: Mutex::default() }
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
            let frame = encode(kind(conversation.to_owned()));
            self.hub.tell(iter::once(speaker.account), &frame, speaker.connection);
        }
        if speaker.others {
            self.tell_all(&audience.others, &encode(kind(audience.conversation)));
        }
        Ok(())
    }

    /// A connection begins. It does not count before [`Attendance::appear`].
    pub(crate) async fn enter(
        self: &Arc<Self>,
        account: &str,
        connection: Ticket,
        platform: Platform,
        hidden: bool,
    ) -> Attendance {
        let (statuses, account) = (self.clone(), account.to_owned());
        let attendance = Attendance { statuses, account, connection, appeared: false };
        let enter = |roster: &mut Roster| roster.presence_mut().enter(connection.0, platform, hidden);
        self.bus.change(&attendance.account, enter).await;
        attendance
    }

    /// What an account learns of another's presence, or of its own.
    ///
    /// # Errors
    /// When it cannot be read with whom the other shares a conversation.
    pub(crate) async fn seen_by(&self, asking: &str, account: &str) -> StorageResult<Frame> {
        let own = asking == account;
        let presence = if own || self.storage.contacts(account).await?.contains(asking) {
            let roster = self.bus.look(account).await;
            if own { roster.presence().own(account) } else { roster.presence().shown(account) }
        } else {
            Presence::default().shown(account)
        };
        Ok(frame(Kind::Presence(presence)))
    }

    /// An account is no more: nothing is known of it, and whoever saw it there sees it gone.
    pub(crate) async fn forget(&self, account: &str, contacts: &BTreeSet<String>) {
        if self.bus.change(account, |roster| roster.forget_presence(account)).await {
            self.tell_all(contacts, &encode(Kind::Presence(Presence::default().shown(account))));
        }
    }

    /// Whether the user of an account is there, for all that is known: then no other device alerts them.
    pub(crate) async fn is_active(&self, account: &str) -> bool {
        let availability = self.bus.look(account).await.presence().own(account).availability();
        !matches!(availability, Availability::Offline | Availability::Away)
    }

    /// Changes what is known of an account, and tells those who may know what that changes for them.
    async fn change(self: &Arc<Self>, account: &str, mut change: impl FnMut(&mut Presence) + Send) {
        self.bus.change(account, |roster| change(roster.presence_mut())).await;
        self.tell_news(account);
    }

    /// Tells what has changed of an account's presence, unless somebody is about to.
    pub(crate) fn tell_news(self: &Arc<Self>, account: &str) {
        // While the runtime ends nobody is told anything.
        let Ok(runtime) = Handle::try_current() else {
            return;
        };
        let mut telling = self.telling();
        if let Some(changed) = telling.get_mut(account) {
            *changed = true;
            return;
        }
        telling.insert(account.to_owned(), false);
        runtime.spawn(self.clone().tell_changes(account.to_owned()));
    }

    /// Tells what has changed until nothing has since, one change after the other.
    async fn tell_changes(self: Arc<Self>, account: String) {
        let mut told = None;
        loop {
            let by = self.bus.server();
            let news = self.bus.change(&account, |roster| roster.news(&account, by, told)).await;
            match news {
                Some(news) => {
                    told = Some(news.times);
                    self.tell(&account, news).await;
                    sleep(PACE).await;
                }
                None if self.has_changed(&account) => {}
                None => return,
            }
        }
    }

    async fn tell(&self, account: &str, news: News) {
        if let Some(own) = news.own {
            self.hub.tell(iter::once(account), &encode(Kind::Presence(own)), None);
        }
        if let Some(shown) = news.shown {
            match self.storage.contacts(account).await {
                Ok(contacts) => self.tell_all(&contacts, &encode(Kind::Presence(shown))),
                Err(error) => tracing::warn!(%error, "a change of presence was not told"),
            }
        }
    }

    /// Whether something has changed since somebody is about to tell it; if nothing has, the next change begins anew.
    fn has_changed(&self, account: &str) -> bool {
        let mut telling = self.telling();
        let changed = telling.get_mut(account).is_some_and(std::mem::take);
        if !changed {
            telling.remove(account);
        }
        changed
    }

    fn tell_all(&self, accounts: &BTreeSet<String>, frame: &Bytes) {
        self.hub.tell(accounts.iter().map(String::as_str), frame, None);
    }

    /// No code can panic while it holds this lock, so a poisoned one is as good as any.
    fn telling(&self) -> MutexGuard<'_, HashMap<String, bool>> {
        self.telling.lock().unwrap_or_else(PoisonError::into_inner)
    }
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
    connection: Ticket,
    appeared: bool,
}

impl Attendance {
    /// The connection counts from now on.
    pub(crate) async fn appear(&mut self) {
        if std::mem::replace(&mut self.appeared, true) {
            return;
        }
        self.statuses.change(&self.account, |presence| presence.appear(self.connection.0)).await;
    }

    /// The user shares that this connection is there, or does not.
    pub(crate) async fn hide(&self, hidden: bool) {
        self.statuses.change(&self.account, |presence| presence.hide(self.connection.0, hidden)).await;
    }

    /// The user sets what others see.
    pub(crate) async fn set(&self, availability: Availability) {
        let now = now();
        self.statuses.change(&self.account, |presence| presence.set(availability, now)).await;
    }
}

impl Drop for Attendance {
    fn drop(&mut self) {
        let (statuses, account, connection) = (self.statuses.clone(), self.account.clone(), self.connection);
        let gone = now();
        let leave = async move {
            sleep(statuses.grace).await;
            statuses.change(&account, |presence| presence.leave(connection.0, gone)).await;
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
