//! Who of an account's devices is there, and the news that the list of them has changed: for those connections of
//! the account that want it, together and not too often.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use tokio::{runtime::Handle, sync::Notify, time::sleep};
use tutti_acceptance::{
    devices::{Change, Device, What},
    storage::{Result as StorageResult, Storage},
};
use tutti_protocol::{
    codec, limits,
    wire::{self, server_frame::Frame, status::Status as Kind},
};

use crate::hub::Hub;

/// The lists of all accounts that have connections.
pub(crate) struct Lists {
    storage: Arc<dyn Storage>,
    hub: Arc<Hub>,
    /// How long a device may be without a connection before that is told.
    grace: Duration,
    accounts: Mutex<HashMap<String, Account>>,
}

/// An account that has connections, or had a moment ago.
#[derive(Default)]
struct Account {
    connections: HashMap<u64, Connected>,
    /// How often its list has changed …
    changes: u64,
    /// … and how often it had when that was told last.
    told: u64,
    /// Somebody is about to tell what has changed.
    telling: bool,
}

struct Connected {
    device: String,
    /// Whether the device is in the list.
    listed: bool,
    /// How often the list had changed when the connection began: that it is there itself is no news to it.
    since: u64,
    /// Where it gets the list, if it wants it.
    mailbox: Option<Arc<Mailbox>>,
}

/// The list as it was told last, until it is fetched.
#[derive(Default)]
struct Mailbox {
    list: Mutex<Option<Bytes>>,
    came: Notify,
}

/// Who begins a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Newcomer<'a> {
    /// Whose device it is.
    pub account: &'a str,
    /// Which.
    pub device: &'a str,
    /// Names the connection.
    pub ticket: u64,
    /// Whether the device is in the list: one without a lasting id is not.
    pub listed: bool,
    /// Whether it wants to be told of the list.
    pub listens: bool,
}

impl Lists {
    /// Nobody is there. Who goes may be away for so long before that is told.
    #[must_use]
    pub(crate) fn new(storage: Arc<dyn Storage>, hub: Arc<Hub>, grace: Duration) -> Self {
        Self { storage, hub, grace, accounts: Mutex::default() }
    }

    /// An account's list, as it is now.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(crate) async fn get(&self, account: &str) -> StorageResult<wire::Devices> {
        let devices = self.storage.devices(account).await?;
        let is_online = |device: &str| self.hub.is_online(account, device);
        Ok(into_wire(devices, is_online))
    }

    /// Does to connections what has become of a device, and tells the others.
    pub(crate) fn apply(self: &Arc<Self>, change: &Change) {
        let Change { account, device, what } = change;
        match what {
            What::Listed => {}
            What::Renamed(name) => self.hub.rename(account, device, name),
            What::Removed(by) => {
                self.hub.revoke(account, device, by.as_deref());
                self.unlist(account, device);
            }
        }
        if let Some(known) = self.accounts().get_mut(account) {
            self.note_change(account, known);
        }
    }

    /// A connection begins.
    pub(crate) fn enter(self: &Arc<Self>, newcomer: Newcomer<'_>) -> Entry {
        let Newcomer { account, device, ticket, listed, listens } = newcomer;
        let mut accounts = self.accounts();
        let known = accounts.entry(account.to_owned()).or_default();
        if listed && !known.has(device) {
            self.note_change(account, known);
        }
        let mailbox = listens.then(Arc::<Mailbox>::default);
        let (device, since) = (device.to_owned(), known.changes);
        known.connections.insert(ticket, Connected { device, listed, since, mailbox: mailbox.clone() });
        Entry { lists: self.clone(), account: account.to_owned(), ticket, mailbox }
    }

    /// A connection has ended long enough ago.
    fn leave(self: &Arc<Self>, account: &str, ticket: u64) {
        let mut accounts = self.accounts();
        let Some(known) = accounts.get_mut(account) else {
            return;
        };
        let gone = known.connections.remove(&ticket);
        if gone.is_some_and(|gone| gone.listed && !known.has(&gone.device)) {
            self.note_change(account, known);
        }
        if known.is_over() {
            accounts.remove(account);
        }
    }

    /// A device is in the list no more: that it goes is no further change.
    fn unlist(&self, account: &str, device: &str) {
        if let Some(known) = self.accounts().get_mut(account) {
            let its = known.connections.values_mut().filter(|connected| connected.device == device);
            its.for_each(|connected| connected.listed = false);
        }
    }

    fn note_change(self: &Arc<Self>, account: &str, known: &mut Account) {
        known.changes += 1;
        // While the runtime ends nobody is told anything.
        if let (false, Ok(runtime)) = (known.telling, Handle::try_current()) {
            known.telling = true;
            runtime.spawn(self.clone().tell(account.to_owned()));
        }
    }

    /// Tells the list until it has not changed since.
    async fn tell(self: Arc<Self>, account: String) {
        while let Some(changes) = self.begin_to_tell(&account) {
            match self.storage.devices(&account).await {
                Ok(devices) => self.deliver(&account, devices, changes),
                Err(error) => tracing::warn!(%error, "a change of devices was not told"),
            }
            sleep(Duration::from_millis(limits::DEVICES_INTERVAL)).await;
        }
    }

    /// Up to which change the list is to be told now; none: nobody is there who would not know.
    fn begin_to_tell(&self, account: &str) -> Option<u64> {
        let mut accounts = self.accounts();
        let known = accounts.get_mut(account)?;
        let is_news = std::mem::replace(&mut known.told, known.changes) < known.changes;
        known.telling = is_news && known.listeners(known.changes).next().is_some();
        if known.is_over() {
            accounts.remove(account);
            return None;
        }
        known.telling.then_some(known.changes)
    }

    fn deliver(&self, account: &str, devices: Vec<Device>, changes: u64) {
        let Some(online) = self.accounts().get(account).map(Account::online) else {
            return;
        };
        let list = into_wire(devices, |device| online.contains(device));
        let status = wire::Status { status: Some(Kind::Devices(list)) };
        let frame = codec::encode(&wire::ServerFrame { frame: Some(Frame::Status(status)) });
        if let Some(known) = self.accounts().get(account) {
            known.listeners(changes).for_each(|mailbox| mailbox.put(&frame));
        }
    }

    /// No code can panic while it holds this lock, so a poisoned one is as good as any.
    fn accounts(&self) -> MutexGuard<'_, HashMap<String, Account>> {
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Account {
    /// Whether a device in the list is there, or was a moment ago.
    fn has(&self, device: &str) -> bool {
        self.connections.values().any(|connected| connected.listed && connected.device == device)
    }

    fn online(&self) -> BTreeSet<String> {
        self.connections.values().map(|connected| connected.device.clone()).collect()
    }

    /// Those who want the list and were there before it changed so often.
    fn listeners(&self, changes: u64) -> impl Iterator<Item = &Mailbox> {
        let before = self.connections.values().filter(move |connected| connected.since < changes);
        before.filter_map(|connected| connected.mailbox.as_deref())
    }

    fn is_over(&self) -> bool {
        self.connections.is_empty() && !self.telling
    }
}

impl Mailbox {
    fn list(&self) -> MutexGuard<'_, Option<Bytes>> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, list: &Bytes) {
        *self.list() = Some(list.clone());
        self.came.notify_one();
    }
}

fn into_wire(devices: Vec<Device>, is_online: impl Fn(&str) -> bool) -> wire::Devices {
    let devices = devices.into_iter().map(|device| {
        let online = is_online(&device.id);
        device.into_wire(online)
    });
    wire::Devices { devices: devices.collect() }
}

/// That a connection is there. When it is dropped the device may be gone, unless it is back in a moment.
pub(crate) struct Entry {
    lists: Arc<Lists>,
    account: String,
    ticket: u64,
    mailbox: Option<Arc<Mailbox>>,
}

impl Entry {
    /// Waits until a list is there to be taken; at once if there is one.
    pub(crate) async fn told(&self) {
        let Some(mailbox) = &self.mailbox else {
            return std::future::pending().await;
        };
        while mailbox.list().is_none() {
            mailbox.came.notified().await;
        }
    }

    /// Takes the list, as a frame.
    pub(crate) fn take(&self) -> Option<Bytes> {
        self.mailbox.as_ref().and_then(|mailbox| mailbox.list().take())
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let (lists, account, ticket) = (self.lists.clone(), self.account.clone(), self.ticket);
        if let Some(gone) =
            lists.accounts().get_mut(&account).and_then(|known| known.connections.get_mut(&ticket))
        {
            gone.mailbox = None;
        }
        let leave = async move {
            sleep(lists.grace).await;
            lists.leave(&account, ticket);
        };
        // While the runtime ends nobody is told anything.
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(leave);
        }
    }
}

#[cfg(test)]
mod tests;
