//! What is known of an account's connections, on whichever server they are: who has its places, which of its devices
//! are there, and what others see of it. Pure: a [`Bus`](crate::bus::Bus) keeps it, for one server or for all.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use tutti_acceptance::{platform::Platform, status::Presence};
use tutti_protocol::{DeviceId, Millis, wire};

use crate::settings::Limits;

/// Names a connection among those of all servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Ticket(pub u64);

/// Names a server for as long as it runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct ServerId(pub u32);

impl Ticket {
    /// A server's connection with this number.
    #[must_use]
    pub(crate) fn new(server: ServerId, number: u32) -> Self {
        Self(u64::from(server.0) << 32 | u64::from(number))
    }

    /// The server that has the connection.
    #[must_use]
    pub(crate) fn server(self) -> ServerId {
        ServerId((self.0 >> 32) as u32)
    }
}

/// What is known of an account's connections.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Roster {
    /// Counts what happens: connections that come, and what their users do.
    ticks: u64,
    /// Who has a place, by device.
    places: BTreeMap<String, Place>,
    /// The devices in the account's list that are there, or were a moment ago, by connection.
    there: BTreeMap<Ticket, String>,
    presence: Presence,
    /// What of it was told last; none: nothing yet.
    told: Option<Told>,
}

/// A connection's place.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Place {
    ticket: Ticket,
    connection: Connection,
    /// When it came, and when its user did something last: ticks.
    came: u64,
    active: u64,
}

/// What others may know of a connection.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Connection {
    /// The device's id, which may be one that passes: nothing of this is written down.
    pub device: String,
    /// As whom messages are addressed to it.
    #[serde(with = "text")]
    pub addressee: DeviceId,
    /// What its user calls it, or else what it calls itself.
    pub name: String,
    /// What it is.
    pub platform: Platform,
    /// Leadership number of the tab that holds it.
    pub epoch: u64,
    /// Since when it stands, in milliseconds since the Unix epoch.
    pub since: u64,
}

/// What an account's own devices were told of its presence, and what others were.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Told {
    own: Seen,
    shown: Seen,
    /// How often something was told, …
    times: u64,
    /// … and who was to tell it last.
    by: ServerId,
    /// Whether they all heard it is not known.
    #[serde(default)]
    is_doubtful: bool,
}

/// [`wire::AccountPresence`] without whose it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Seen {
    availability: i32,
    last_seen: u64,
    platforms: Vec<i32>,
}

/// What is to be told of an account's presence.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct News {
    /// To its own devices.
    pub own: Option<wire::AccountPresence>,
    /// To others.
    pub shown: Option<wire::AccountPresence>,
    /// How often something was told with this: see [`Roster::news`].
    pub times: u64,
}

/// What a connection asks for where all places of its platform are taken.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Bid<'a> {
    /// That of this device.
    pub take_over: Option<&'a str>,
    /// None but one that is free. Else who comes last replaces who came first, from the web apart.
    pub yields: bool,
}

/// Why a connection may not stand.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Denied {
    /// A later leader of the same device is connected.
    Superseded,
    /// The account has as many connections of this platform as it may: these.
    Full(wire::Limit),
}

/// How a connection has lost its place.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Lost {
    /// To a newer connection of its device, or because its lease had run out.
    Replaced,
    /// To another device, or because there are fewer places now. These have them.
    Limited(#[serde(with = "message")] wire::Limit),
    /// With its device, which was removed, perhaps by another one.
    Revoked(Option<String>),
}

/// A connection that has lost its place.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Gone {
    /// Which.
    pub ticket: Ticket,
    /// How.
    pub lost: Lost,
}

impl Gone {
    fn new(place: &Place, lost: Lost) -> Self {
        Self { ticket: place.ticket, lost }
    }
}

/// Places.
impl Roster {
    /// Gives a connection a place, if it may have one of so many, and says who has lost theirs: an older connection of
    /// its device, and the one that gives way to the bid, if there is no other place. `lapsed` have lost theirs before.
    pub(crate) fn claim(
        &mut self,
        ticket: Ticket,
        connection: &Connection,
        limit: usize,
        bid: Bid<'_>,
        lapsed: &[Ticket],
    ) -> Result<Vec<Gone>, Denied> {
        let Connection { device, platform, .. } = connection;
        if self.is_superseded(device, connection.epoch) {
            return Err(Denied::Superseded);
        }
        self.places.retain(|_, place| !lapsed.contains(&place.ticket));
        let mut others = self.oldest_first(*platform);
        others.retain(|other| other != device);
        let mut robbed = None;
        if others.len() >= limit {
            // Only what stands among those that are counted can make room.
            let named = others.iter().find(|other| Some(other.as_str()) == bid.take_over);
            let replaced = others.first().filter(|_| *platform != Platform::Web && !bid.yields);
            robbed = named.or(replaced).and_then(|victim| self.places.remove(victim));
            if robbed.is_none() {
                return Err(Denied::Full(self.full(*platform, limit)));
            }
        }
        let tick = self.tick();
        let place = Place { ticket, connection: connection.clone(), came: tick, active: tick };
        let older = self.places.insert(device.clone(), place).map(|older| Gone::new(&older, Lost::Replaced));
        let robbed = robbed.map(|robbed| Gone::new(&robbed, Lost::Limited(self.full(*platform, limit))));
        Ok(older.into_iter().chain(robbed).collect())
    }

    /// A connection gives up its place, if it still has it.
    pub(crate) fn release(&mut self, ticket: Ticket) {
        self.places.retain(|_, place| place.ticket != ticket);
    }

    /// Takes a device's place away.
    pub(crate) fn remove(&mut self, device: &str) -> Option<Ticket> {
        self.places.remove(device).map(|place| place.ticket)
    }

    /// Takes all places away.
    pub(crate) fn remove_all(&mut self) -> Vec<Ticket> {
        std::mem::take(&mut self.places).into_values().map(|place| place.ticket).collect()
    }

    /// Takes away what is more than the account may have. Those go that would not have been let in: from the web who
    /// came last, else who came first.
    pub(crate) fn enforce(&mut self, limits: &Limits) -> Vec<Gone> {
        let mut gone = Vec::new();
        for platform in Platform::ALL {
            let limit = limits.of(platform);
            let mut devices = self.oldest_first(platform);
            if platform != Platform::Web {
                devices.reverse();
            }
            let surplus = devices.iter().skip(limit);
            let going: Vec<Place> = surplus.filter_map(|device| self.places.remove(device)).collect();
            if !going.is_empty() {
                let full = self.full(platform, limit);
                gone.extend(going.iter().map(|place| Gone::new(place, Lost::Limited(full.clone()))));
            }
        }
        gone
    }

    /// Whether a later leader of the device is connected.
    #[must_use]
    pub(crate) fn is_superseded(&self, device: &str, epoch: u64) -> bool {
        self.places.get(device).is_some_and(|place| place.connection.epoch > epoch)
    }

    /// Whether a device is connected.
    #[must_use]
    pub(crate) fn is_online(&self, device: &str) -> bool {
        self.places.contains_key(device)
    }

    /// Whether a connection has its place.
    #[must_use]
    pub(crate) fn has_place(&self, ticket: Ticket) -> bool {
        self.places.values().any(|place| place.ticket == ticket)
    }

    /// A device that may be connected is called otherwise from now on.
    pub(crate) fn rename(&mut self, device: &str, name: &str) {
        if let Some(place) = self.places.get_mut(device) {
            name.clone_into(&mut place.connection.name);
        }
    }

    /// The user did something on this connection.
    pub(crate) fn note_active(&mut self, ticket: Ticket) {
        let tick = self.tick();
        let place = self.places.values_mut().find(|place| place.ticket == ticket);
        place.into_iter().for_each(|place| place.active = tick);
    }

    /// The connection, of those that are not passed over, on which the user did something last.
    #[must_use]
    pub(crate) fn latest(&self, is_passed_over: impl Fn(Ticket) -> bool) -> Option<&Connection> {
        let places = self.places.values().filter(|place| !is_passed_over(place.ticket));
        places.max_by_key(|place| place.active).map(|place| &place.connection)
    }

    /// The connections, oldest first.
    #[must_use]
    pub(crate) fn connections(&self) -> Vec<Connection> {
        let mut places: Vec<&Place> = self.places.values().collect();
        places.sort_by_key(|place| place.came);
        places.into_iter().map(|place| place.connection.clone()).collect()
    }

    /// Devices that are connected, of one platform.
    fn oldest_first(&self, platform: Platform) -> Vec<String> {
        let connections = self.connections().into_iter().filter(|connection| connection.platform == platform);
        connections.map(|connection| connection.device).collect()
    }

    /// Who has the places of a platform.
    fn full(&self, platform: Platform, limit: usize) -> wire::Limit {
        let connections = self.connections().into_iter().filter(|connection| connection.platform == platform);
        wire::Limit {
            limit: u32::try_from(limit).unwrap_or(u32::MAX),
            connections: connections.map(Connection::into_wire).collect(),
        }
    }

    fn tick(&mut self) -> u64 {
        self.ticks += 1;
        self.ticks
    }
}

/// The account's list of devices.
impl Roster {
    /// A device of the list is there from now on. Answers whether that is news.
    pub(crate) fn enter(&mut self, ticket: Ticket, device: &str) -> bool {
        let is_news = !self.is_there(device);
        self.there.insert(ticket, device.to_owned());
        is_news
    }

    /// A connection has ended long enough ago. Answers whether that is news.
    pub(crate) fn exit(&mut self, ticket: Ticket) -> bool {
        self.there.remove(&ticket).is_some_and(|device| !self.is_there(&device))
    }

    /// A device is in the list no more: that it goes is no further news.
    pub(crate) fn unlist(&mut self, device: &str) {
        self.there.retain(|_, there| there != device);
    }

    /// The devices that are there, or were a moment ago.
    #[must_use]
    pub(crate) fn there(&self) -> BTreeSet<&str> {
        self.there.values().map(String::as_str).collect()
    }

    fn is_there(&self, device: &str) -> bool {
        self.there.values().any(|there| there == device)
    }
}

/// Presence.
impl Roster {
    /// What is known of the account's presence.
    #[must_use]
    pub(crate) fn presence(&self) -> &Presence {
        &self.presence
    }

    /// To change it; what follows for others is [`Roster::news`].
    pub(crate) fn presence_mut(&mut self) -> &mut Presence {
        &mut self.presence
    }

    /// What is to be told now by a server, and counts as told. If it has told what was told `after` so many times, and
    /// another one has told something since, all is news: the two may have overtaken each other.
    pub(crate) fn news(&mut self, account: &str, by: ServerId, after: Option<u64>) -> Option<News> {
        let nothing = Seen::from(&Presence::default().shown(account));
        let (own, shown) = (self.presence.own(account), self.presence.shown(account));
        let seen = (Seen::from(&own), Seen::from(&shown));
        let before = self.told.take();
        let times = before.as_ref().map_or(0, |told| told.times);
        let is_doubtful = before.as_ref().is_some_and(|told| told.is_doubtful);
        let again = is_doubtful || after.is_some_and(|after| after != times);
        let (own_before, shown_before) =
            before.map_or((nothing.clone(), nothing), |told| (told.own, told.shown));
        let is_news = (own_before != seen.0, shown_before != seen.1);
        let times = times + u64::from(is_news.0 || is_news.1);
        self.told = Some(Told { own: seen.0, shown: seen.1, times, by, is_doubtful: false });
        let news = News {
            own: (again || is_news.0).then_some(own),
            shown: (again || is_news.1).then_some(shown),
            times,
        };
        (news.own.is_some() || news.shown.is_some()).then_some(news)
    }

    /// What was told may not have been heard by all.
    pub(crate) fn doubt_told(&mut self) {
        if let Some(told) = &mut self.told {
            told.is_doubtful = true;
        }
    }

    /// The account is no more: nothing is known of its presence. Answers whether others are to be told.
    pub(crate) fn forget_presence(&mut self, account: &str) -> bool {
        self.presence = Presence::default();
        let nothing = Seen::from(&self.presence.shown(account));
        self.told.take().is_some_and(|told| told.shown != nothing)
    }
}

/// Servers.
impl Roster {
    /// Whether a server has something to do with the account.
    #[must_use]
    pub(crate) fn has(&self, server: ServerId) -> bool {
        let is_its = |ticket: Ticket| ticket.server() == server;
        self.places.values().any(|place| is_its(place.ticket))
            || self.there.keys().copied().any(is_its)
            || self.presence.connections().map(Ticket).any(is_its)
    }

    /// Whether anybody is there, or was a moment ago.
    #[must_use]
    pub(crate) fn is_empty(&self) -> bool {
        self.places.is_empty() && self.there.is_empty() && self.presence.connections().next().is_none()
    }

    /// A server is gone, and all of its connections.
    pub(crate) fn bury(&mut self, server: ServerId, now: Millis) {
        let is_its = |ticket: Ticket| ticket.server() == server;
        self.places.retain(|_, place| !is_its(place.ticket));
        self.there.retain(|ticket, _| !is_its(*ticket));
        let gone: Vec<u64> = self.presence.connections().filter(|it| is_its(Ticket(*it))).collect();
        gone.into_iter().for_each(|connection| self.presence.leave(connection, now));
        if self.told.as_ref().is_some_and(|told| told.by == server) {
            self.doubt_told();
        }
    }

    /// Takes over what a server knows of its own connections, which was away for a while. Where two have a device's
    /// place, its later leader keeps it, or else who came last.
    pub(crate) fn merge(&mut self, theirs: &Self, server: ServerId) {
        let is_its = |ticket: Ticket| ticket.server() == server;
        self.places.retain(|_, place| !is_its(place.ticket));
        for (device, place) in theirs.places.iter().filter(|(_, place)| is_its(place.ticket)) {
            let rank = |place: &Place| (place.connection.epoch, place.connection.since);
            if self.places.get(device).is_none_or(|other| rank(other) < rank(place)) {
                self.places.insert(device.clone(), place.clone());
            }
        }
        self.ticks = self.ticks.max(theirs.ticks);
        self.there.retain(|ticket, _| !is_its(*ticket));
        let there = theirs.there.iter().filter(|(ticket, _)| is_its(**ticket));
        self.there.extend(there.map(|(ticket, device)| (*ticket, device.clone())));
        self.presence.merge(&theirs.presence, |connection| is_its(Ticket(connection)));
        let is_doubtful = theirs.told.as_ref().is_some_and(|told| told.is_doubtful);
        self.told = self.told.take().or_else(|| theirs.told.clone());
        if is_doubtful {
            self.doubt_told();
        }
    }
}

impl Connection {
    fn into_wire(self) -> wire::Connection {
        wire::Connection {
            device: self.device.parse().map(DeviceId::to_bytes).unwrap_or_default(),
            name: self.name,
            platform: wire::Platform::from(self.platform).into(),
            since: self.since,
        }
    }
}

impl From<&wire::AccountPresence> for Seen {
    fn from(presence: &wire::AccountPresence) -> Self {
        let wire::AccountPresence { availability, last_seen, platforms, account: _ } = presence;
        Self { availability: *availability, last_seen: *last_seen, platforms: platforms.clone() }
    }
}

/// What has a text of its own.
mod text {
    use std::{fmt::Display, str::FromStr};

    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    pub(super) fn serialize<S: Serializer>(value: &impl Display, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>, T>(deserializer: D) -> Result<T, D::Error>
    where
        T: FromStr,
        T::Err: Display,
    {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// Bytes, in base64 (RFC 4648).
pub(crate) mod base64 {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    use bytes::Bytes;
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    pub(crate) fn serialize<S: Serializer>(bytes: &Bytes, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(bytes))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Bytes, D::Error> {
        let text = String::deserialize(deserializer)?;
        STANDARD.decode(text).map(Bytes::from).map_err(D::Error::custom)
    }
}

/// A message of the protocol.
mod message {
    use prost::Message;
    use serde::{Deserializer, Serializer, de::Error as _};

    pub(super) fn serialize<S: Serializer, M: Message>(
        message: &M,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        super::base64::serialize(&message.encode_to_vec().into(), serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>, M: Message + Default>(
        deserializer: D,
    ) -> Result<M, D::Error> {
        M::decode(super::base64::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests;
