//! A storage in memory: for the simulator, and to check the real ones against.

use std::{
    collections::{BTreeMap, BTreeSet},
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use bytes::Bytes;
use prost::Message as _;
use tutti_protocol::{LogId, Millis, OperationId, Position, Seq, limits, wire};

use super::{
    AccountKey, Delivery, Device, Entry, MessageKey, NewMessage, News, Page, Place, Receipt, Result,
    RosterKey, Sighting, Storage, StorageError, Transaction, View, ViewKey,
};

/// A storage in memory. None of its futures ever waits. Transactions must not overlap: the one that is
/// committed last wins.
#[derive(Clone, Debug)]
pub struct MemoryStorage {
    state: Arc<Mutex<State>>,
}

/// All there is. A transaction works on a copy, in which only the accounts that it touches are new.
#[derive(Clone, Debug)]
struct State {
    log_id: LogId,
    page_events: usize,
    /// Transactions that are refused before the next one is not.
    refusals: u32,
    /// Names of accounts, by key; views and messages likewise.
    names: Arc<Vec<String>>,
    accounts: BTreeMap<String, Arc<Account>>,
    views: Arc<Vec<(AccountKey, String)>>,
    messages: Arc<Vec<Arc<wire::Message>>>,
    message_ids: Arc<BTreeSet<Bytes>>,
    rosters: Arc<Vec<Vec<String>>>,
    groups: BTreeMap<String, BTreeSet<String>>,
    settings: Option<String>,
}

#[derive(Clone, Debug)]
struct Account {
    key: AccountKey,
    log: Vec<Arc<wire::Event>>,
    receipts: BTreeMap<OperationId, Receipt>,
    views: BTreeMap<String, MemoryView>,
    devices: BTreeMap<String, Device>,
}

#[derive(Clone, Debug)]
struct MemoryView {
    key: ViewKey,
    last: u64,
    read: u64,
    /// Messages from others up to each position.
    inbound: Vec<u64>,
}

impl MemoryStorage {
    /// An empty storage with a log of this name.
    #[must_use]
    pub fn new(log_id: LogId) -> Self {
        let state = State {
            log_id,
            page_events: limits::PAGE_EVENTS,
            refusals: 0,
            names: Arc::default(),
            accounts: BTreeMap::new(),
            views: Arc::default(),
            messages: Arc::default(),
            message_ids: Arc::default(),
            rosters: Arc::default(),
            groups: BTreeMap::new(),
            settings: None,
        };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    /// Lets pages hold so many events.
    pub fn set_page_events(&self, events: usize) {
        self.state().page_events = events;
    }

    /// Refuses so many commits from now on, as a full disk does.
    pub fn refuse_commits(&self, commits: u32) {
        self.state().refusals = commits;
    }

    /// All that is stored, as it is now, apart from this storage.
    #[must_use]
    pub fn backup(&self) -> Self {
        Self { state: Arc::new(Mutex::new(self.state().clone())) }
    }

    /// Goes back to a backup, under the name of another log.
    pub fn restore(&self, backup: &Self, log_id: LogId) {
        let restored = State { log_id, ..backup.state().clone() };
        *self.state() = restored;
    }

    /// Accounts that there are.
    #[must_use]
    pub fn accounts(&self) -> Vec<String> {
        self.state().accounts.keys().cloned().collect()
    }

    /// An account's whole log.
    #[must_use]
    pub fn log(&self, account: &str) -> Vec<wire::Event> {
        let state = self.state();
        let log = state.accounts.get(account).map(|account| account.log.iter());
        log.into_iter().flatten().map(|event| (**event).clone()).collect()
    }

    /// Nothing is half done while this is held, so a poisoned lock is as good as any.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn account(&mut self, name: &str) -> &mut Account {
        let names = &mut self.names;
        let account = self.accounts.entry(name.to_owned()).or_insert_with(|| {
            let key = AccountKey(names.len() as i64);
            Arc::make_mut(names).push(name.to_owned());
            Arc::new(Account {
                key,
                log: Vec::new(),
                receipts: BTreeMap::new(),
                views: BTreeMap::new(),
                devices: BTreeMap::new(),
            })
        });
        Arc::make_mut(account)
    }

    fn account_of(&mut self, key: AccountKey) -> Result<&mut Account> {
        let name = entry(&self.names, key.0)?.clone();
        Ok(self.account(&name))
    }

    fn view(&mut self, account: AccountKey, conversation: &str) -> Result<&mut MemoryView> {
        let key = ViewKey(self.views.len() as i64);
        if !self.account_of(account)?.views.contains_key(conversation) {
            Arc::make_mut(&mut self.views).push((account, conversation.to_owned()));
        }
        let view = || MemoryView { key, last: 0, read: 0, inbound: Vec::new() };
        Ok(self.account_of(account)?.views.entry(conversation.to_owned()).or_insert_with(view))
    }

    fn view_of(&mut self, key: ViewKey) -> Result<&mut MemoryView> {
        let (account, conversation) = entry(&self.views, key.0)?.clone();
        self.account_of(account)?.views.get_mut(&conversation).ok_or_else(unknown)
    }

    /// The next place in a view, for a message from somewhere else or from the account itself.
    fn place(&mut self, account: AccountKey, conversation: &str, foreign: bool) -> Result<Place> {
        let view = self.view(account, conversation)?;
        view.last += 1;
        let inbound = view.inbound.last().copied().unwrap_or(0) + u64::from(foreign);
        view.inbound.push(inbound);
        Ok(Place { view: view.key, position: Position(view.last), inbound })
    }

    fn event(&self, account: &str, conversation: &str, entry_of: Entry) -> Result<wire::event::Body> {
        let conversation = conversation.to_owned();
        Ok(match entry_of {
            Entry::Message(key, Place { position, inbound, .. }) => {
                let message = &**entry(&self.messages, key.0)?;
                // From which device a message was sent is nobody's business but the sender's own.
                let device = if message.sender == account { message.device.clone() } else { Bytes::new() };
                let (position, message) = (position.0, message.clone());
                wire::event::Body::Message(wire::Message {
                    conversation,
                    device,
                    position,
                    inbound,
                    ..message
                })
            }
            Entry::Read(Place { position, inbound, .. }) => {
                wire::event::Body::Read(wire::Read { conversation, position: position.0, inbound })
            }
        })
    }
}

impl Account {
    fn append(&mut self, operation: Bytes, body: wire::event::Body) -> Seq {
        let seq = self.log.len() as u64 + 1;
        self.log.push(Arc::new(wire::Event { seq, operation, body: Some(body) }));
        Seq(seq)
    }
}

#[async_trait]
impl Storage for MemoryStorage {
    fn log_id(&self) -> LogId {
        self.state().log_id
    }

    async fn begin(&self) -> Result<Box<dyn Transaction>> {
        Ok(Box::new(MemoryTransaction { storage: self.clone(), state: self.state().clone() }))
    }

    async fn head(&self, account: &str) -> Result<Seq> {
        Ok(Seq(self.state().accounts.get(account).map_or(0, |account| account.log.len() as u64)))
    }

    async fn page(&self, account: &str, after: Seq) -> Result<Page> {
        let state = self.state();
        let log = state.accounts.get(account).map_or(&[][..], |account| &account.log);
        let mut page = Page { events: Vec::new(), next: after, head: Seq(log.len() as u64) };
        let mut size = 0;
        let from = usize::try_from(after.0).unwrap_or(usize::MAX);
        for event in log.get(from..).unwrap_or_default().iter().take(state.page_events) {
            size += event.encoded_len();
            page.next = Seq(event.seq);
            page.events.push((**event).clone());
            if size >= limits::PAGE_BYTES {
                break;
            }
        }
        Ok(page)
    }

    async fn devices(&self, account: &str) -> Result<Vec<Device>> {
        let state = self.state();
        let devices = state.accounts.get(account).map(|account| account.devices.values());
        let mut devices: Vec<Device> = devices.into_iter().flatten().cloned().collect();
        devices.sort_by(|a, b| (a.registered_at, &a.id).cmp(&(b.registered_at, &b.id)));
        Ok(devices)
    }

    async fn group(&self, id: &str) -> Result<Option<BTreeSet<String>>> {
        Ok(self.state().groups.get(id).cloned())
    }

    async fn settings(&self) -> Result<Option<String>> {
        Ok(self.state().settings.clone())
    }

    async fn check(&self) -> Result<()> {
        Ok(())
    }

    async fn close(&self) {}
}

struct MemoryTransaction {
    storage: MemoryStorage,
    state: State,
}

#[async_trait]
impl Transaction for MemoryTransaction {
    async fn account(&mut self, name: &str) -> Result<AccountKey> {
        Ok(self.state.account(name).key)
    }

    async fn receipt(&mut self, account: AccountKey, id: OperationId) -> Result<Option<Receipt>> {
        Ok(self.state.account_of(account)?.receipts.get(&id).copied())
    }

    async fn keep_receipt(&mut self, account: AccountKey, id: OperationId, receipt: &Receipt) -> Result<()> {
        self.state.account_of(account)?.receipts.insert(id, *receipt);
        Ok(())
    }

    async fn store_message(&mut self, message: &NewMessage<'_>) -> Result<Option<MessageKey>> {
        if !Arc::make_mut(&mut self.state.message_ids).insert(message.id.to_bytes()) {
            return Ok(None);
        }
        let message = wire::Message {
            id: message.id.to_bytes(),
            sender: message.sender.to_owned(),
            device: message.device.map(Bytes::copy_from_slice).unwrap_or_default(),
            r#type: message.kind.to_owned(),
            content: message.content.clone(),
            sent_at: message.sent_at.0,
            ..wire::Message::default()
        };
        let messages = Arc::make_mut(&mut self.state.messages);
        messages.push(Arc::new(message));
        Ok(Some(MessageKey(messages.len() as i64 - 1)))
    }

    async fn store_roster(&mut self, members: &BTreeSet<String>) -> Result<RosterKey> {
        let rosters = Arc::make_mut(&mut self.state.rosters);
        rosters.push(members.iter().cloned().collect());
        Ok(RosterKey(rosters.len() as i64 - 1))
    }

    async fn view(&mut self, account: AccountKey, conversation: &str) -> Result<Option<View>> {
        let view = self.state.account_of(account)?.views.get(conversation);
        Ok(view.map(|view| View { key: view.key, last: Position(view.last), read: Position(view.read) }))
    }

    async fn next_place(&mut self, account: AccountKey, conversation: &str) -> Result<Place> {
        self.state.place(account, conversation, false)
    }

    async fn inbound_at(&mut self, view: ViewKey, position: Position) -> Result<u64> {
        let inbound = &self.state.view_of(view)?.inbound;
        let index = position.0.checked_sub(1).ok_or_else(unknown)?;
        entry(inbound, i64::try_from(index).map_err(StorageError::new)?).copied()
    }

    async fn set_read(&mut self, view: ViewKey, position: Position) -> Result<()> {
        self.state.view_of(view)?.read = position.0;
        Ok(())
    }

    async fn append(&mut self, account: AccountKey, operation: OperationId, entry_of: Entry) -> Result<Seq> {
        let (Entry::Message(_, place) | Entry::Read(place)) = entry_of;
        let (_, conversation) = entry(&self.state.views, place.view.0)?.clone();
        let name = entry(&self.state.names, account.0)?.clone();
        let body = self.state.event(&name, &conversation, entry_of)?;
        Ok(self.state.account(&name).append(operation.to_bytes(), body))
    }

    async fn deliver(&mut self, accounts: &BTreeSet<String>, delivery: Delivery<'_>) -> Result<()> {
        let Delivery { operation, conversation, news } = delivery;
        for name in accounts {
            let key = self.state.account(name).key;
            let body = match news {
                News::Message(message) => {
                    let place = self.state.place(key, conversation, true)?;
                    self.state.event(name, conversation, Entry::Message(message, place))?
                }
                News::Members(roster) => {
                    self.state.view(key, conversation)?;
                    let members = entry(&self.state.rosters, roster.0)?.clone();
                    wire::event::Body::Members(wire::Members {
                        conversation: conversation.to_owned(),
                        members,
                    })
                }
            };
            let operation = operation.map(|id| id.to_bytes()).unwrap_or_default();
            self.state.account(name).append(operation, body);
        }
        Ok(())
    }

    async fn group(&mut self, id: &str) -> Result<Option<BTreeSet<String>>> {
        Ok(self.state.groups.get(id).cloned())
    }

    async fn put_group(&mut self, id: &str, members: &BTreeSet<String>) -> Result<()> {
        self.state.groups.insert(id.to_owned(), members.clone());
        Ok(())
    }

    async fn drop_group(&mut self, id: &str) -> Result<()> {
        self.state.groups.remove(id);
        Ok(())
    }

    async fn register_device(&mut self, account: &str, id: &str, now: Millis) -> Result<()> {
        let device = || Device {
            id: id.to_owned(),
            name: id.to_owned(),
            platform: None,
            registered_at: now,
            last_seen: None,
        };
        self.state.account(account).devices.entry(id.to_owned()).or_insert_with(device);
        Ok(())
    }

    async fn see_device(&mut self, account: &str, sighting: &Sighting, now: Millis) -> Result<()> {
        let Sighting { id, name, platform } = sighting;
        self.register_device(account, id, now).await?;
        if let Some(device) = self.state.account(account).devices.get_mut(id) {
            if device.name == *id && !name.is_empty() {
                device.name.clone_from(name);
            }
            device.platform = Some(*platform);
            device.last_seen = Some(now);
        }
        Ok(())
    }

    async fn put_settings(&mut self, settings: &str) -> Result<()> {
        self.state.settings = Some(settings.to_owned());
        Ok(())
    }

    async fn commit(self: Box<Self>) -> Result<()> {
        let mut state = self.storage.state();
        if state.refusals > 0 {
            state.refusals -= 1;
            return Err(StorageError::new("no space"));
        }
        drop(mem::replace(&mut *state, self.state));
        Ok(())
    }
}

fn entry<T>(list: &[T], key: i64) -> Result<&T> {
    usize::try_from(key).ok().and_then(|index| list.get(index)).ok_or_else(unknown)
}

fn unknown() -> StorageError {
    StorageError::new("no such key")
}
