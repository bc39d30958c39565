//! Who is connected: one connection a device, so many from the web, and whom to wake.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::sync::Notify;
use tutti_protocol::{Epoch, Millis};

use crate::platform::Platform;

/// The connections of this process, by account and device.
#[derive(Default)]
pub(crate) struct Hub {
    accounts: Mutex<HashMap<String, HashMap<String, Standing>>>,
    tickets: AtomicU64,
}

/// A connection that stands.
struct Standing {
    ticket: u64,
    connection: Connection,
    signals: Arc<Signals>,
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
}

#[derive(Default)]
struct Signals {
    wake: Notify,
    replaced: Notify,
}

/// Why a connection may not stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Denied {
    /// A later leader of the same device is connected.
    Superseded,
    /// The account has as many web connections as it may.
    Full,
}

impl Hub {
    /// Lets a connection stand until its [`Slot`] is dropped. An older connection of the same device
    /// is told that it is replaced.
    ///
    /// # Errors
    /// [`Denied`] when it may not.
    pub(crate) fn claim(
        self: &Arc<Self>,
        account: &str,
        connection: Connection,
        web_limit: usize,
    ) -> Result<Slot, Denied> {
        let mut accounts = self.accounts();
        let standing = accounts.get(account);
        let older = standing.and_then(|standing| standing.get(&connection.device));
        if older.is_some_and(|older| older.connection.epoch > connection.epoch) {
            return Err(Denied::Superseded);
        }
        let is_web = |connection: &Connection| connection.platform == Platform::Web;
        let others = standing
            .into_iter()
            .flat_map(HashMap::values)
            .filter(|other| is_web(&other.connection) && other.connection.device != connection.device)
            .count();
        if is_web(&connection) && others >= web_limit {
            return Err(Denied::Full);
        }
        let slot = Slot {
            hub: self.clone(),
            account: account.to_owned(),
            device: connection.device.clone(),
            ticket: self.tickets.fetch_add(1, Ordering::Relaxed),
            signals: Arc::default(),
        };
        let older = accounts.entry(account.to_owned()).or_default().insert(
            connection.device.clone(),
            Standing { ticket: slot.ticket, connection, signals: slot.signals.clone() },
        );
        if let Some(older) = older {
            older.signals.replaced.notify_one();
        }
        Ok(slot)
    }

    /// Tells an account's connections that its log has grown.
    pub(crate) fn wake(&self, account: &str) {
        if let Some(standing) = self.accounts().get(account) {
            for connection in standing.values() {
                connection.signals.wake.notify_one();
            }
        }
    }

    /// An account's connections, oldest first.
    #[must_use]
    pub(crate) fn connections(&self, account: &str) -> Vec<Connection> {
        let mut connections: Vec<_> = self
            .accounts()
            .get(account)
            .into_iter()
            .flat_map(HashMap::values)
            .map(|standing| standing.connection.clone())
            .collect();
        connections.sort_by(|a, b| (a.since, &a.device).cmp(&(b.since, &b.device)));
        connections
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

    /// Waits until a newer connection of the device has taken the place.
    pub(crate) async fn replaced(&self) {
        self.signals.replaced.notified().await;
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
    use super::*;

    fn connection(device: &str, epoch: u64) -> Connection {
        Connection {
            device: device.to_owned(),
            name: String::new(),
            platform: Platform::Web,
            epoch: Epoch(epoch),
            since: Millis(0),
        }
    }

    #[tokio::test]
    async fn a_newer_connection_of_a_device_replaces_the_older() {
        let hub = Arc::new(Hub::default());
        let older = hub.claim("alice", connection("d", 1), 1).unwrap();
        let newer = hub.claim("alice", connection("d", 1), 1).unwrap();
        older.replaced().await;
        drop(older);
        assert!(hub.is_online("alice", "d"));
        drop(newer);
        assert!(!hub.is_online("alice", "d"));
    }

    #[test]
    fn a_fenced_leader_does_not_replace_its_successor() {
        let hub = Arc::new(Hub::default());
        let _standing = hub.claim("alice", connection("d", 2), 10).unwrap();
        let denied = hub.claim("alice", connection("d", 1), 10).err();
        assert_eq!(denied, Some(Denied::Superseded));
    }

    #[test]
    fn web_connections_are_limited_an_account() {
        let hub = Arc::new(Hub::default());
        let first = hub.claim("alice", connection("a", 0), 1).unwrap();
        assert_eq!(hub.claim("alice", connection("b", 0), 1).err(), Some(Denied::Full));
        let mut phone = connection("p", 0);
        phone.platform = Platform::Mobile;
        let _phone = hub.claim("alice", phone, 1).unwrap();
        let _other = hub.claim("bob", connection("b", 0), 1).unwrap();
        drop(first);
        assert!(hub.claim("alice", connection("b", 0), 1).is_ok());
    }

    #[test]
    fn a_denied_account_leaves_nothing_behind() {
        let hub = Arc::new(Hub::default());
        assert!(hub.claim("alice", connection("a", 0), 0).is_err());
        assert!(hub.accounts().is_empty());
    }
}
