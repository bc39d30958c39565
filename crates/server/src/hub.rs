//! Who is connected: one connection a device, so many from the web, and whom to wake.

use std::{
    collections::{HashMap, VecDeque},
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
use tutti_protocol::{DeviceId, Epoch, Millis, limits, wire};

use tutti_acceptance::platform::Platform;

/// Statuses that wait for a connection before the next is dropped: what comes late is worth nothing.
const STATUSES: usize = 64;

/// The connections of this process, by account and device.
pub(crate) struct Hub {
    /// How long a connection keeps its place without a sign of life.
    lease: Duration,
    accounts: Mutex<HashMap<String, HashMap<String, Standing>>>,
    tickets: AtomicU64,
}

/// A connection that stands.
struct Standing {
    ticket: u64,
    connection: Connection,
    signals: Arc<Signals>,
}

impl Standing {
    fn is_web(&self) -> bool {
        self.connection.platform == Platform::Web
    }

    fn lose(self, lost: Lost) {
        self.signals.lost.send_replace(Some(lost));
    }
}

/// What others may know of a connection.
#[derive(Clone, Debug)]
pub(crate) struct Connection {
    /// The device's id.
    pub device: String,
    /// What it calls itself.
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
    /// Frames that are worth something only now.
    statuses: Mutex<VecDeque<Bytes>>,
    said: Notify,
}

/// How a connection has lost its place.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Lost {
    /// To a newer connection of its device, or because its lease had run out.
    Replaced,
    /// To another device, which asked for it. These have the places now.
    TakenOver(wire::Limit),
}

/// Why a connection may not stand.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Denied {
    /// A later leader of the same device is connected.
    Superseded,
    /// The account has as many web connections as it may: these.
    Full(wire::Limit),
}

impl Hub {
    /// Nobody is connected, and places are leased for so long.
    #[must_use]
    pub(crate) fn new(lease: Duration) -> Self {
        Self { lease, accounts: Mutex::default(), tickets: AtomicU64::default() }
    }

    /// Lets a connection stand until its [`Slot`] is dropped. An older connection of the same device
    /// is told that it has lost its place, and so is that of the device `take_over`, if there is no
    /// other place.
    ///
    /// # Errors
    /// [`Denied`] when it may not.
    pub(crate) fn claim(
        self: &Arc<Self>,
        account: &str,
        connection: Connection,
        web_limit: usize,
        take_over: Option<&str>,
    ) -> Result<Slot, Denied> {
        let mut accounts = self.accounts();
        let standing = accounts.entry(account.to_owned()).or_default();
        let claimed = self.claim_among(standing, account, connection, web_limit, take_over);
        if standing.is_empty() {
            accounts.remove(account);
        }
        claimed
    }

    fn claim_among(
        self: &Arc<Self>,
        standing: &mut HashMap<String, Standing>,
        account: &str,
        connection: Connection,
        web_limit: usize,
        take_over: Option<&str>,
    ) -> Result<Slot, Denied> {
        let device = connection.device.clone();
        if standing.get(&device).is_some_and(|other| other.connection.epoch > connection.epoch) {
            return Err(Denied::Superseded);
        }
        for (_, lapsed) in standing.extract_if(|_, other| other.signals.heard().elapsed() > self.lease) {
            lapsed.lose(Lost::Replaced);
        }
        let others = standing.iter().filter(|(id, other)| other.is_web() && **id != device).count();
        let mut robbed = None;
        if connection.platform == Platform::Web && others >= web_limit {
            // Only what stands among those that are counted can make room.
            let victim = take_over.filter(|victim| *victim != device);
            let victim = victim.filter(|victim| standing.get(*victim).is_some_and(Standing::is_web));
            robbed = victim.filter(|_| others == web_limit).and_then(|victim| standing.remove(victim));
            if robbed.is_none() {
                return Err(Denied::Full(limit(standing, web_limit)));
            }
        }
        let slot = Slot {
            hub: self.clone(),
            account: account.to_owned(),
            device: device.clone(),
            ticket: self.tickets.fetch_add(1, Ordering::Relaxed),
            signals: Arc::new(Signals {
                wake: Notify::new(),
                lost: watch::Sender::new(None),
                heard: Mutex::new(Instant::now()),
                statuses: Mutex::default(),
                said: Notify::new(),
            }),
        };
        let standing_now = Standing { ticket: slot.ticket, connection, signals: slot.signals.clone() };
        if let Some(older) = standing.insert(device, standing_now) {
            older.lose(Lost::Replaced);
        }
        if let Some(robbed) = robbed {
            robbed.lose(Lost::TakenOver(limit(standing, web_limit)));
        }
        Ok(slot)
    }

    /// Whether a later leader of the device is connected.
    #[must_use]
    pub(crate) fn is_superseded(&self, account: &str, device: &str, epoch: Epoch) -> bool {
        let accounts = self.accounts();
        let standing = accounts.get(account).and_then(|standing| standing.get(device));
        standing.is_some_and(|standing| standing.connection.epoch > epoch)
    }

    /// Tells an account's connections that its log has grown.
    pub(crate) fn wake(&self, account: &str) {
        if let Some(standing) = self.accounts().get(account) {
            for connection in standing.values() {
                connection.signals.wake.notify_one();
            }
        }
    }

    /// Gives those of an account's connections that understand it a status, except the one with a ticket.
    pub(crate) fn tell(&self, account: &str, frame: &Bytes, except: Option<u64>) {
        let accounts = self.accounts();
        for standing in accounts.get(account).into_iter().flat_map(HashMap::values) {
            if standing.connection.status && Some(standing.ticket) != except {
                standing.signals.tell(frame);
            }
        }
    }

    /// An account's connections, oldest first.
    #[must_use]
    pub(crate) fn connections(&self, account: &str) -> Vec<Connection> {
        self.accounts().get(account).map(oldest_first).unwrap_or_default()
    }

    /// Whether a device is connected.
    #[must_use]
    pub(crate) fn is_online(&self, account: &str, device: &str) -> bool {
        self.accounts().get(account).is_some_and(|standing| standing.contains_key(device))
    }

    /// No code can panic while it holds this lock, so a poisoned one is as good as any.
    fn accounts(&self) -> MutexGuard<'_, HashMap<String, HashMap<String, Standing>>> {
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Signals {
    fn heard(&self) -> MutexGuard<'_, Instant> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
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

fn oldest_first(standing: &HashMap<String, Standing>) -> Vec<Connection> {
    let mut connections: Vec<_> = standing.values().map(|standing| standing.connection.clone()).collect();
    connections.sort_by(|a, b| (a.since, &a.device).cmp(&(b.since, &b.device)));
    connections
}

/// Who has an account's places.
fn limit(standing: &HashMap<String, Standing>, web_limit: usize) -> wire::Limit {
    let web = oldest_first(standing).into_iter().filter(|connection| connection.platform == Platform::Web);
    wire::Limit {
        limit: u32::try_from(web_limit).unwrap_or(u32::MAX),
        // There may be more for a while, after the limit was lowered.
        connections: web.take(limits::CONNECTIONS).map(Connection::into_wire).collect(),
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
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut accounts = self.hub.accounts();
        let Some(standing) = accounts.get_mut(&self.account) else {
            return;
        };
        if standing.get(&self.device).is_some_and(|current| current.ticket == self.ticket) {
            standing.remove(&self.device);
        }
        if standing.is_empty() {
            accounts.remove(&self.account);
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    const LEASE: Duration = Duration::from_millis(limits::SLOT_LEASE);

    fn connection(device: &str, epoch: u64) -> Connection {
        Connection {
            device: device.to_owned(),
            name: String::new(),
            platform: Platform::Web,
            epoch: Epoch(epoch),
            since: Millis(0),
            status: true,
        }
    }

    #[tokio::test]
    async fn a_newer_connection_of_a_device_replaces_the_older() {
        let hub = Arc::new(Hub::new(LEASE));
        let older = hub.claim("alice", connection("d", 1), 1, None).unwrap();
        let newer = hub.claim("alice", connection("d", 1), 1, None).unwrap();
        assert_eq!(older.lost().await, Lost::Replaced);
        drop(older);
        assert!(hub.is_online("alice", "d"));
        drop(newer);
        assert!(!hub.is_online("alice", "d"));
    }

    #[test]
    fn a_fenced_leader_does_not_replace_its_successor() {
        let hub = Arc::new(Hub::new(LEASE));
        let _standing = hub.claim("alice", connection("d", 2), 10, None).unwrap();
        let denied = hub.claim("alice", connection("d", 1), 10, None).err();
        assert_eq!(denied, Some(Denied::Superseded));
    }

    #[test]
    fn web_connections_are_limited_an_account() {
        let hub = Arc::new(Hub::new(LEASE));
        let first = hub.claim("alice", connection("a", 0), 1, None).unwrap();
        assert!(hub.claim("alice", connection("b", 0), 1, None).is_err());
        let mut phone = connection("p", 0);
        phone.platform = Platform::Mobile;
        let _phone = hub.claim("alice", phone, 1, None).unwrap();
        let _other = hub.claim("bob", connection("b", 0), 1, None).unwrap();
        drop(first);
        assert!(hub.claim("alice", connection("b", 0), 1, None).is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_place_is_kept_by_signs_of_life_alone() {
        let hub = Arc::new(Hub::new(LEASE));
        let silent = hub.claim("alice", connection("a", 0), 2, None).unwrap();
        let heard = hub.claim("alice", connection("b", 0), 2, None).unwrap();
        advance(LEASE).await;
        heard.renew();
        assert!(hub.claim("alice", connection("c", 0), 2, None).is_err(), "the lease has not run out");
        advance(Duration::from_millis(1)).await;
        let _newcomer = hub.claim("alice", connection("c", 0), 2, None).unwrap();
        assert_eq!(silent.lost().await, Lost::Replaced);
        // When it comes to its end at last, it takes nothing with it.
        drop(silent);
        let Err(Denied::Full(limit)) = hub.claim("alice", connection("d", 0), 2, None) else {
            panic!("a third was let in");
        };
        assert_eq!(limit.connections.len(), 2);
    }

    #[tokio::test]
    async fn statuses_reach_those_who_stand_and_understand_them_and_no_more_than_are_read() {
        let hub = Arc::new(Hub::new(LEASE));
        let own = hub.claim("alice", connection("a", 0), 10, None).unwrap();
        let other = hub.claim("alice", connection("b", 0), 10, None).unwrap();
        let older = Connection { status: false, ..connection("c", 0) };
        let older = hub.claim("alice", older, 10, None).unwrap();
        hub.tell("alice", &Bytes::from_static(b"1"), Some(own.ticket()));
        hub.tell("bob", &Bytes::from_static(b"2"), None);
        assert_eq!(other.status().await, "1");
        for _ in 0..2 * STATUSES {
            hub.tell("alice", &Bytes::from_static(b"3"), None);
        }
        assert_eq!(own.signals.statuses().len(), STATUSES);
        assert_eq!(own.status().await, "3", "nothing of its own");
        assert!(older.signals.statuses().is_empty());
    }

    #[test]
    fn a_denied_account_leaves_nothing_behind() {
        let hub = Arc::new(Hub::new(LEASE));
        assert!(hub.claim("alice", connection("a", 0), 0, None).is_err());
        assert!(hub.accounts().is_empty());
    }
}
