//! Who is connected: one connection a device, so many of each platform, and whom to wake.

mod devices;

use std::{
    collections::{HashMap, VecDeque},
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use tokio::{
    sync::{Notify, watch},
    time::{Duration, Instant},
};
use tutti_protocol::{DeviceId, Epoch, Millis, wire};

use tutti_acceptance::{platform::Platform, reach::Online};

use crate::settings::Limits;

/// Statuses that wait for a connection before the next is dropped: what comes late is worth nothing.
const STATUSES: usize = 64;

/// The connections of this process, by account and device.
pub(crate) struct Hub {
    /// How long a connection keeps its place without a sign of life.
    lease: Duration,
    state: Mutex<State>,
    /// Counts what happens here: connections that come, and what their users do.
    ticks: AtomicU64,
}

struct State {
    /// How many an account may have.
    limits: Limits,
    accounts: HashMap<String, Connections>,
}

/// The connections of an account, by device.
type Connections = HashMap<String, Standing>;

/// A connection that stands.
struct Standing {
    ticket: u64,
    connection: Connection,
    signals: Arc<Signals>,
}

impl Standing {
    fn lose(self, lost: Lost) {
        self.signals.lost.send_replace(Some(lost));
    }
}

/// What others may know of a connection.
#[derive(Clone, Debug)]
pub(crate) struct Connection {
    /// The device's id, which may be one that passes: nothing of this is written down.
    pub device: String,
    /// As whom messages are addressed to it.
    pub addressee: DeviceId,
    /// What its user calls it, or else what it calls itself.
    pub name: String,
    /// What it is.
    pub platform: Platform,
    /// Leadership number of the tab that holds it.
    pub epoch: Epoch,
    /// Since when it stands.
    pub since: Millis,
    /// Whether it understands status.
    pub status: bool,
}

struct Signals {
    wake: Notify,
    lost: watch::Sender<Option<Lost>>,
    /// When there was a sign of life.
    heard: Mutex<Instant>,
    /// The tick at which its user did something last.
    active: AtomicU64,
    /// Frames that are worth something only now.
    statuses: Mutex<VecDeque<Bytes>>,
    said: Notify,
}

/// How a connection has lost its place.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Lost {
    /// To a newer connection of its device, or because its lease had run out.
    Replaced,
    /// To another device, or because there are fewer places now. These have them.
    Limited(wire::Limit),
    /// With its device, which was removed, perhaps by another one.
    Revoked(Option<String>),
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

impl Hub {
    /// Nobody is connected, and places are leased for so long.
    #[must_use]
    pub(crate) fn new(lease: Duration, limits: Limits) -> Self {
        let state = State { limits, accounts: HashMap::new() };
        Self { lease, state: Mutex::new(state), ticks: AtomicU64::default() }
    }

    /// Lets a connection stand until its [`Slot`] is dropped. An older connection of the same device
    /// is told that it has lost its place, and so is the one that gives way to the bid, if there is no other
    /// place.
    ///
    /// # Errors
    /// [`Denied`] when it may not.
    pub(crate) fn claim(
        self: &Arc<Self>,
        account: &str,
        connection: Connection,
        bid: Bid<'_>,
    ) -> Result<Slot, Denied> {
        let mut state = self.state();
        let limit = state.limits.of(connection.platform);
        let standing = state.accounts.entry(account.to_owned()).or_default();
        let claimed = self.claim_among(standing, account, connection, limit, bid);
        if standing.is_empty() {
            state.accounts.remove(account);
        }
        claimed
    }

    fn claim_among(
        self: &Arc<Self>,
        standing: &mut Connections,
        account: &str,
        connection: Connection,
        limit: usize,
        bid: Bid<'_>,
    ) -> Result<Slot, Denied> {
        let Connection { device, platform, .. } = connection.clone();
        if standing.get(&device).is_some_and(|other| other.connection.epoch > connection.epoch) {
            return Err(Denied::Superseded);
        }
        for (_, lapsed) in standing.extract_if(|_, other| other.signals.has_lapsed(self.lease)) {
            lapsed.lose(Lost::Replaced);
        }
        let mut others = oldest_first(standing, platform);
        others.retain(|other| *other != device);
        let mut robbed = None;
        if others.len() >= limit {
            // Only what stands among those that are counted can make room.
            let named = others.iter().find(|other| Some(other.as_str()) == bid.take_over);
            let replaced = others.first().filter(|_| platform != Platform::Web && !bid.yields);
            robbed = named.or(replaced).and_then(|victim| standing.remove(victim));
            if robbed.is_none() {
                return Err(Denied::Full(full(standing, platform, limit)));
            }
        }
        let ticket = self.tick();
        let slot = Slot {
            hub: self.clone(),
            account: account.to_owned(),
            device: device.clone(),
            ticket,
            signals: Arc::new(Signals {
                wake: Notify::new(),
                lost: watch::Sender::new(None),
                heard: Mutex::new(Instant::now()),
                active: AtomicU64::new(ticket),
                statuses: Mutex::default(),
                said: Notify::new(),
            }),
        };
        let standing_now = Standing { ticket: slot.ticket, connection, signals: slot.signals.clone() };
        if let Some(older) = standing.insert(device, standing_now) {
            older.lose(Lost::Replaced);
        }
        if let Some(robbed) = robbed {
            robbed.lose(Lost::Limited(full(standing, platform, limit)));
        }
        Ok(slot)
    }

    /// Lets accounts have so many connections from now on. Of more that stand, those go that would not have been
    /// let in: from the web who came last, else who came first. All others are woken.
    pub(crate) fn set_limits(&self, limits: Limits) {
        let mut state = self.state();
        state.limits = limits.clone();
        for standing in state.accounts.values_mut() {
            for platform in Platform::ALL {
                let limit = limits.of(platform);
                let mut devices = oldest_first(standing, platform);
                if platform != Platform::Web {
                    devices.reverse();
                }
                let surplus = devices.iter().skip(limit);
                let going: Vec<Standing> = surplus.filter_map(|device| standing.remove(device)).collect();
                for gone in going {
                    gone.lose(Lost::Limited(full(standing, platform, limit)));
                }
            }
            standing.values().for_each(|connection| connection.signals.wake.notify_one());
        }
        state.accounts.retain(|_, standing| !standing.is_empty());
    }

    /// Whether a later leader of the device is connected.
    #[must_use]
    pub(crate) fn is_superseded(&self, account: &str, device: &str, epoch: Epoch) -> bool {
        let state = self.state();
        let standing = state.accounts.get(account).and_then(|standing| standing.get(device));
        standing.is_some_and(|standing| standing.connection.epoch > epoch)
    }

    /// Tells an account's connections that its log has grown.
    pub(crate) fn wake(&self, account: &str) {
        if let Some(standing) = self.state().accounts.get(account) {
            for connection in standing.values() {
                connection.signals.wake.notify_one();
            }
        }
    }

    /// Gives those of an account's connections that understand it a status, except the one with a ticket.
    pub(crate) fn tell(&self, account: &str, frame: &Bytes, except: Option<u64>) {
        let state = self.state();
        for standing in state.accounts.get(account).into_iter().flat_map(HashMap::values) {
            if standing.connection.status && Some(standing.ticket) != except {
                standing.signals.tell(frame);
            }
        }
    }

    /// An account's connections, oldest first.
    #[must_use]
    pub(crate) fn connections(&self, account: &str) -> Vec<Connection> {
        let state = self.state();
        let standing = state.accounts.get(account).into_iter().flat_map(HashMap::values);
        let mut standing: Vec<&Standing> = standing.collect();
        standing.sort_by_key(|standing| standing.ticket);
        standing.into_iter().map(|standing| standing.connection.clone()).collect()
    }

    /// Whether a device is connected.
    #[must_use]
    pub(crate) fn is_online(&self, account: &str, device: &str) -> bool {
        self.state().accounts.get(account).is_some_and(|standing| standing.contains_key(device))
    }

    /// No code can panic while it holds this lock, so a poisoned one is as good as any.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tick(&self) -> u64 {
        self.ticks.fetch_add(1, Ordering::Relaxed)
    }
}

impl Online for Hub {
    fn device(&self, account: &str) -> Option<DeviceId> {
        let state = self.state();
        let standing = state.accounts.get(account)?.values();
        let there = standing.filter(|standing| !standing.signals.has_lapsed(self.lease));
        let latest = there.max_by_key(|standing| standing.signals.active.load(Ordering::Relaxed))?;
        Some(latest.connection.addressee)
    }
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub").finish_non_exhaustive()
    }
}

impl Signals {
    fn heard(&self) -> MutexGuard<'_, Instant> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether there was no sign of life for longer than that.
    fn has_lapsed(&self, lease: Duration) -> bool {
        self.heard().elapsed() > lease
    }

    fn statuses(&self) -> MutexGuard<'_, VecDeque<Bytes>> {
        self.statuses.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, frame: &Bytes) {
        let mut statuses = self.statuses();
        if statuses.len() < STATUSES {
            statuses.push_back(frame.clone());
            self.said.notify_one();
        }
    }
}

/// Devices that are connected, of one platform.
fn oldest_first(standing: &Connections, platform: Platform) -> Vec<String> {
    let mut devices: Vec<(u64, &String)> = standing
        .iter()
        .filter(|(_, standing)| standing.connection.platform == platform)
        .map(|(device, standing)| (standing.ticket, device))
        .collect();
    devices.sort_unstable();
    devices.into_iter().map(|(_, device)| device.clone()).collect()
}

/// Who has an account's places of a platform.
fn full(standing: &Connections, platform: Platform, limit: usize) -> wire::Limit {
    let devices = oldest_first(standing, platform);
    let connections = devices.iter().filter_map(|device| standing.get(device));
    wire::Limit {
        limit: u32::try_from(limit).unwrap_or(u32::MAX),
        connections: connections.map(|standing| standing.connection.clone().into_wire()).collect(),
    }
}

impl Connection {
    fn into_wire(self) -> wire::Connection {
        wire::Connection {
            device: self.device.parse().map(DeviceId::to_bytes).unwrap_or_default(),
            name: self.name,
            platform: wire::Platform::from(self.platform).into(),
            since: self.since.0,
        }
    }
}

/// The right of a connection to stand.
pub(crate) struct Slot {
    hub: Arc<Hub>,
    account: String,
    device: String,
    ticket: u64,
    signals: Arc<Signals>,
}

impl Slot {
    /// Waits until the account's log has grown; at once if it has since the last time.
    pub(crate) async fn woken(&self) {
        self.signals.wake.notified().await;
    }

    /// Names it in this process.
    pub(crate) fn ticket(&self) -> u64 {
        self.ticket
    }

    /// Waits for the next status.
    pub(crate) async fn status(&self) -> Bytes {
        loop {
            let next = self.signals.statuses().pop_front();
            match next {
                Some(frame) => return frame,
                None => self.signals.said.notified().await,
            }
        }
    }

    /// Waits until the place is lost.
    pub(crate) async fn lost(&self) -> Lost {
        let mut lost = self.signals.lost.subscribe();
        match lost.wait_for(Option::is_some).await.map(|lost| lost.clone()) {
            Ok(Some(lost)) => lost,
            // The sender is this slot's own, and lives.
            _ => std::future::pending().await,
        }
    }

    /// There was a sign of life.
    pub(crate) fn renew(&self) {
        *self.signals.heard() = Instant::now();
    }

    /// The user did something here.
    pub(crate) fn note_active(&self) {
        self.signals.active.store(self.hub.tick(), Ordering::Relaxed);
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut state = self.hub.state();
        let Some(standing) = state.accounts.get_mut(&self.account) else {
            return;
        };
        if standing.get(&self.device).is_some_and(|current| current.ticket == self.ticket) {
            standing.remove(&self.device);
        }
        if standing.is_empty() {
            state.accounts.remove(&self.account);
        }
    }
}

#[cfg(test)]
mod tests;
