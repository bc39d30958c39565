//! Who of an account's devices is there, and the news that the list of them has changed: for those connections of
//! the account that want it, together and not too often.

use std::{
    collections::HashMap,
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

use crate::{
    bus::{Bus, Word},
    hub::Hub,
    roster::Ticket,
};

/// The lists of all accounts that have connections to this server.
pub(crate) struct Lists {
    storage: Arc<dyn Storage>,
    bus: Arc<dyn Bus>,
    hub: Arc<Hub>,
    /// How long a device may be without a connection before that is told.
    grace: Duration,
    accounts: Mutex<HashMap<String, Account>>,
}

/// An account that has connections to this server.
#[derive(Default)]
struct Account {
    listeners: HashMap<Ticket, Listener>,
    /// How often its list has changed …
    changes: u64,
    /// … and how often it had when that was told last.
    told: u64,
    /// Somebody is about to tell what has changed.
    telling: bool,
}

/// A connection that wants the list.
struct Listener {
    /// How often the list had changed when the connection began: that it is there itself is no news to it.
    since: u64,
    /// Where it gets the list.
    mailbox: Arc<Mailbox>,
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
    pub ticket: Ticket,
    /// Whether the device is in the list: one without a lasting id is not.
    pub listed: bool,
    /// Whether it wants to be told of the list.
    pub listens: bool,
}

impl Lists {
    /// Nobody is there. Who goes may be away for so long before that is told.
    #[must_use]
    pub(crate) fn new(storage: Arc<dyn Storage>, bus: Arc<dyn Bus>, hub: Arc<Hub>, grace: Duration) -> Self {
        Self { storage, bus, hub, grace, accounts: Mutex::default() }
    }

    /// An account's list, as it is now.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(crate) async fn get(&self, account: &str) -> StorageResult<wire::Devices> {
        let devices = self.storage.devices(account).await?;
        let roster = self.bus.look(account).await;
        Ok(into_wire(devices, |device| roster.is_online(device)))
    }

    /// Does to connections what has become of a device, and tells the others.
    pub(crate) async fn apply(self: &Arc<Self>, change: &Change) {
        let Change { account, device, what } = change;
        match what {
            What::Listed => {}
            What::Renamed(name) => self.hub.rename(account, device, name).await,
            What::Removed(by) => self.hub.revoke(account, device, by.as_deref()).await,
        }
        self.note_change(account);
    }

    /// A connection begins.
    pub(crate) async fn enter(self: &Arc<Self>, newcomer: Newcomer<'_>) -> Entry {
        let Newcomer { account, device, ticket, listed, listens } = newcomer;
        let mut entry = Entry { lists: self.clone(), account: account.to_owned(), ticket, mailbox: None };
        if listed && self.bus.change(account, |roster| roster.enter(ticket, device)).await {
            self.note_change(account);
        }
        if listens {
            let mailbox = Arc::<Mailbox>::default();
            let mut accounts = self.accounts();
            let known = accounts.entry(account.to_owned()).or_default();
            known.listeners.insert(ticket, Listener { since: known.changes, mailbox: mailbox.clone() });
            entry.mailbox = Some(mailbox);
        }
        entry
    }

    /// A connection has ended long enough ago.
    async fn leave(self: &Arc<Self>, account: &str, ticket: Ticket) {
        if self.bus.change(account, |roster| roster.exit(ticket)).await {
            self.note_change(account);
        }
    }

    /// An account's list has changed, or which of its devices are there: that is told here and on other servers.
    pub(crate) fn note_change(self: &Arc<Self>, account: &str) {
        self.note_change_here(account);
        self.bus.publish(Word::Devices { account: account.to_owned() });
    }

    /// An account's list has changed, or which of its devices are there.
    pub(crate) fn note_change_here(self: &Arc<Self>, account: &str) {
        let mut accounts = self.accounts();
        let Some(known) = accounts.get_mut(account) else {
            return;
        };
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
                Ok(devices) => self.deliver(&account, devices, changes).await,
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

    async fn deliver(&self, account: &str, devices: Vec<Device>, changes: u64) {
        let roster = self.bus.look(account).await;
        let there = roster.there();
        let list = into_wire(devices, |device| there.contains(device));
        let status = wire::Status { status: Some(Kind::Devices(list)) };
        let frame = codec::encode(&wire::ServerFrame { frame: Some(Frame::Status(status)) });
        if let Some(known) = self.accounts().get(account) {
            known.listeners(changes).for_each(|mailbox| mailbox.put(&frame));
        }
    }

    /// A connection listens no more.
    fn forget(&self, account: &str, ticket: Ticket) {
        let mut accounts = self.accounts();
        if let Some(known) = accounts.get_mut(account) {
            known.listeners.remove(&ticket);
            if known.is_over() {
                accounts.remove(account);
            }
        }
    }

    /// No code can panic while it holds this lock, so a poisoned one is as good as any.
    fn accounts(&self) -> MutexGuard<'_, HashMap<String, Account>> {
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Account {
    /// Those who were there before it changed so often.
    fn listeners(&self, changes: u64) -> impl Iterator<Item = &Mailbox> {
        let before = self.listeners.values().filter(move |listener| listener.since < changes);
        before.map(|listener| &*listener.mailbox)
    }

    fn is_over(&self) -> bool {
        self.listeners.is_empty() && !self.telling
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
    ticket: Ticket,
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
        lists.forget(&account, ticket);
        let leave = async move {
            sleep(lists.grace).await;
            lists.leave(&account, ticket).await;
        };
        // While the runtime ends nobody is told anything.
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(leave);
        }
    }
}

#[cfg(test)]
mod tests;
