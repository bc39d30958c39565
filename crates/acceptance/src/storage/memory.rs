//! A storage in memory: for the simulator, and to check the real ones against.

mod devices;

use std::{
    collections::{BTreeMap, BTreeSet},
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use bytes::Bytes;
use prost::Message as _;
use tutti_protocol::{
    Conversation, DeviceId, LogId, Millis, OperationId, Position, Seq, limits, notification, target,
    wire::{self, event::Body},
};

use super::{
    AccountKey, Addressee, Addressees, Delivery, Entry, MessageKey, NewFields, NewMessage, News, Noted,
    Overview, Page, Place, Reader, Reading, Receipt, Result, RosterKey, SentMessage, Storage, StorageError,
    StoredMessage, Told, Transaction, Trimmed, View, ViewKey, lineage::Lineage,
};
use crate::{
    devices::{Device, Known, Removed, Subscription, Token, TokenMark},
    merge::{Fields, Stamp},
};
use devices::Devices;

/// A storage in memory. None of its futures ever waits. Transactions must not overlap: the one that is
/// committed last wins.
#[derive(Clone, Debug)]
pub struct MemoryStorage {
    state: Arc<Mutex<State>>,
}

/// All there is. A transaction works on a copy, in which only the accounts that it touches are new.
#[derive(Clone, Debug)]
struct State {
    lineage: Lineage,
    page_events: usize,
    /// Transactions that are refused before the next one is not.
    refusals: u32,
    /// Names of accounts, by key; views and messages likewise.
    names: Arc<Vec<String>>,
    accounts: BTreeMap<String, Arc<Account>>,
    views: Arc<Vec<(AccountKey, String)>>,
    messages: Arc<Vec<Arc<MemoryMessage>>>,
    message_keys: Arc<BTreeMap<Bytes, MessageKey>>,
    rosters: Arc<Vec<Vec<String>>>,
    groups: BTreeMap<String, BTreeSet<String>>,
    settings: Option<String>,
}

#[derive(Clone, Debug)]
struct Account {
    key: AccountKey,
    erased_at: Option<Millis>,
    /// The first of its messages that was not recalled since; none: all is done.
    erasing: Option<usize>,
    /// All there ever was; what is no longer kept is told to nobody.
    log: Vec<Arc<wire::Event>>,
    tail: u64,
    receipts: BTreeMap<OperationId, Receipt>,
    views: BTreeMap<String, MemoryView>,
    targets: BTreeMap<String, MemoryTarget>,
    /// The newest first.
    notifications: Vec<wire::Notification>,
    /// The entries that say how notifications are now.
    notified: BTreeMap<Bytes, Seq>,
    devices: Devices,
}

#[derive(Clone, Debug)]
struct MemoryView {
    key: ViewKey,
    read: u64,
    read_inbound: u64,
    /// Positions up to this one are no longer kept, but for the last.
    trimmed: u64,
    /// Positions up to this one are in the log no more.
    gone: u64,
    roster: Option<RosterKey>,
    /// What stands at each position, and how many messages up to it came from others.
    messages: Vec<(MessageKey, u64)>,
    /// Up to which of its own positions another account's reading was looked at, by that account.
    looked: BTreeMap<i64, u64>,
    /// Up to which position in this view that was told.
    told: BTreeMap<i64, u64>,
}

#[derive(Clone, Debug, Default)]
struct MemoryTarget {
    fields: Fields,
    /// The entry that says how they are now.
    newest: Seq,
}

#[derive(Clone, Debug)]
struct MemoryMessage {
    /// Without what differs from account to account.
    shared: wire::Message,
    edit: Option<Stamp>,
    /// A log that held it does not keep it any more.
    aged: bool,
    /// The accounts whose logs hold it.
    holders: BTreeMap<i64, Holder>,
    /// Those whose logs hold it no more; that it has changed may be kept there for longer.
    former: BTreeMap<i64, Holder>,
}

/// What an account's log says of a message.
#[derive(Clone, Debug)]
struct Holder {
    /// As the account sees it.
    message: wire::Message,
    addressee: Addressee,
    view: ViewKey,
    /// Its own entry, and those that say that it has changed.
    entries: Vec<Seq>,
}

impl MemoryStorage {
    /// An empty storage with a log of this name.
    #[must_use]
    pub fn new(log_id: LogId) -> Self {
        let state = State {
            lineage: Lineage::new(log_id),
            page_events: limits::PAGE_EVENTS,
            refusals: 0,
            names: Arc::default(),
            accounts: BTreeMap::new(),
            views: Arc::default(),
            messages: Arc::default(),
            message_keys: Arc::default(),
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
        self.replace(backup);
        self.state().rename(log_id);
    }

    /// Becomes what another storage is.
    pub fn replace(&self, other: &Self) {
        let other = other.state().clone();
        *self.state() = other;
    }

    /// Accounts that there are.
    #[must_use]
    pub fn accounts(&self) -> Vec<String> {
        self.state().accounts.keys().cloned().collect()
    }

    /// An account's whole log.
    #[must_use]
    pub fn log(&self, account: &str) -> Vec<Arc<wire::Event>> {
        let state = self.state();
        state.accounts.get(account).map(|account| account.log.clone()).unwrap_or_default()
    }

    /// The positions of an account's view of a conversation whose messages are kept.
    #[must_use]
    pub fn kept(&self, account: &str, conversation: &str) -> BTreeSet<u64> {
        let state = self.state();
        let view = state.accounts.get(account).and_then(|account| account.views.get(conversation));
        let positions = |view: &MemoryView| (1..=view.last()).filter(|it| view.keeps(*it)).collect();
        view.map(positions).unwrap_or_default()
    }

    /// Whether there is a message of that id.
    #[must_use]
    pub fn is_stored(&self, id: &Bytes) -> bool {
        self.state().message_keys.contains_key(id)
    }

    /// For which of their devices those who have a message have it.
    #[must_use]
    pub fn addressees(&self, id: &Bytes) -> Vec<Addressee> {
        let state = self.state();
        let message = state.message_keys.get(id).and_then(|key| entry(&state.messages, key.0).ok());
        let holders = message.into_iter().flat_map(|message| message.holders.values());
        holders.map(|holder| holder.addressee).collect()
    }

    /// The positions of an account's view of a conversation whose messages are another device's, or nobody's yet.
    #[must_use]
    pub fn withheld(&self, account: &str, conversation: &str, device: DeviceId) -> BTreeSet<u64> {
        let state = self.state();
        let Some(account) = state.accounts.get(account) else {
            return BTreeSet::new();
        };
        let all = Addressee::All;
        let addressee = |key: &MessageKey| {
            let holder = entry(&state.messages, key.0).ok()?.holders.get(&account.key.0)?;
            Some(holder.addressee)
        };
        let messages = account.views.get(conversation).map(|view| view.messages.iter());
        let numbered = (1..).zip(messages.into_iter().flatten());
        let others = |key| addressee(key).is_some_and(|it| it != all && it != Addressee::Device(device));
        numbered.filter(|(_, (key, _))| others(key)).map(|(position, _)| position).collect()
    }

    /// The first of these devices that anything here mentions.
    #[must_use]
    pub fn mentioned(&self, devices: &BTreeSet<DeviceId>) -> Option<DeviceId> {
        if devices.is_empty() {
            return None;
        }
        let all = format!("{:?}", self.state());
        // As bytes, or as text.
        let named = |device: &DeviceId| {
            all.contains(&format!("{:?}", device.to_bytes())) || all.contains(&device.to_string())
        };
        devices.iter().copied().find(named)
    }

    /// Whether a message is too old to be changed.
    #[must_use]
    pub fn is_aged(&self, id: OperationId) -> bool {
        let state = self.state();
        let key = state.message_keys.get(&id.as_bytes()[..]);
        let message = key.and_then(|key| entry(&state.messages, key.0).ok());
        message.is_some_and(|message| message.aged)
    }

    /// Nothing is half done while this is held, so a poisoned lock is as good as any.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Calls the log something else, as of now.
    fn rename(&mut self, log: LogId) {
        let receipts = self.accounts.values().flat_map(|account| account.receipts.values());
        let until = receipts.map(|receipt| receipt.accepted_at).max().unwrap_or_default();
        self.lineage = self.lineage.renamed(log, until);
    }

    fn account(&mut self, name: &str) -> &mut Account {
        let names = &mut self.names;
        let account = self.accounts.entry(name.to_owned()).or_insert_with(|| {
            let key = AccountKey(names.len() as i64);
            Arc::make_mut(names).push(name.to_owned());
            Arc::new(Account::new(key))
        });
        Arc::make_mut(account)
    }

    /// An account that was not erased.
    fn living(&self, name: &str) -> Option<&Arc<Account>> {
        self.accounts.get(name).filter(|account| account.erased_at.is_none())
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
        let view = || MemoryView::new(key);
        Ok(self.account_of(account)?.views.entry(conversation.to_owned()).or_insert_with(view))
    }

    fn view_of(&mut self, key: ViewKey) -> Result<&mut MemoryView> {
        let (account, conversation) = entry(&self.views, key.0)?.clone();
        self.account_of(account)?.views.get_mut(&conversation).ok_or_else(unknown)
    }

    fn message(&mut self, key: MessageKey) -> Result<&mut MemoryMessage> {
        let index = usize::try_from(key.0).map_err(StorageError::new)?;
        let message = Arc::make_mut(&mut self.messages).get_mut(index).ok_or_else(unknown)?;
        Ok(Arc::make_mut(message))
    }

    /// Writes a message into a log, at a place that is free.
    fn hold(
        &mut self,
        account: AccountKey,
        key: MessageKey,
        (place, addressee): (Place, Addressee),
        operation: Bytes,
    ) -> Result<Seq> {
        let (_, conversation) = entry(&self.views, place.view.0)?.clone();
        let name = entry(&self.names, account.0)?.clone();
        self.view_of(place.view)?.messages.push((key, place.inbound));
        let stored = self.message(key)?;
        let mut message = stored.shared.clone();
        message.conversation = conversation;
        message.position = place.position.0;
        message.inbound = place.inbound;
        // From which device a message was sent is nobody's business but the sender's own.
        if message.sender != name {
            message.device = Bytes::new();
        }
        let seq = self.account(&name).append(operation, Body::Message(message.clone()));
        let holder = Holder { message, addressee, view: place.view, entries: vec![seq] };
        self.message(key)?.holders.insert(account.0, holder);
        Ok(seq)
    }

    /// Changes a message for all, and what every log has said of it.
    fn change(&mut self, key: MessageKey, change: impl Fn(&mut wire::Message)) -> Result<()> {
        let message = self.message(key)?;
        change(&mut message.shared);
        for holder in message.holders.values_mut().chain(message.former.values_mut()) {
            change(&mut holder.message);
        }
        let (holders, former) = (message.holders.clone(), message.former.clone());
        for (account, Holder { message, entries, .. }) in holders.into_iter().chain(former) {
            let account = self.account_of(AccountKey(account))?;
            for (number, seq) in entries.into_iter().enumerate() {
                let message = message.clone();
                let body = if number == 0 { Body::Message(message) } else { Body::Changed(message) };
                account.rewrite(seq, Some(body));
            }
        }
        Ok(())
    }

    /// For which of an account's devices an entry in its log is. Only of messages there is a choice.
    fn addressee(&self, account: &Account, event: &wire::Event) -> Addressee {
        let holder = match &event.body {
            Some(Body::Message(message) | Body::Changed(message)) => {
                let key = self.message_keys.get(&message.id);
                let message = key.and_then(|key| entry(&self.messages, key.0).ok());
                message.and_then(|message| message.holders.get(&account.key.0))
            }
            _ => None,
        };
        holder.map_or(Addressee::All, |holder| holder.addressee)
    }

    /// What a device of an account finds at a position of a view, if that is for it.
    fn message_at(
        &self,
        account: &Account,
        reader: Reader,
        view: &MemoryView,
        position: u64,
    ) -> Result<Option<wire::Message>> {
        let (key, _) = entry(&view.messages, position as i64 - 1)?;
        let holder = entry(&self.messages, key.0)?.holders.get(&account.key.0).ok_or_else(unknown)?;
        let is_for = match holder.addressee {
            Addressee::All => reader.compensated,
            addressee => addressee == Addressee::Device(reader.device),
        };
        Ok(is_for.then(|| holder.message.clone()))
    }

    fn overview(&self, account: &Account, reader: Reader, name: &str) -> Result<Overview> {
        let conversation = name.to_owned();
        let view = account.views.get(name).ok_or_else(unknown)?;
        let mut news = Vec::new();
        for position in (1..=view.last()).rev().filter(|position| view.keeps(*position)) {
            if let Some(message) = self.message_at(account, reader, view, position)? {
                news.push(Body::Message(message));
                break;
            }
        }
        if view.read > 0 {
            let (position, inbound) = (view.read, view.read_inbound);
            news.push(Body::Read(wire::Read { conversation: conversation.clone(), position, inbound }));
        }
        if let Some(roster) = view.roster {
            let members = entry(&self.rosters, roster.0)?.clone();
            news.push(Body::Members(wire::Members { conversation: conversation.clone(), members }));
        }
        let named = |(reader, position): (&i64, &u64)| Ok((entry(&self.names, *reader)?, *position));
        let readers: BTreeMap<_, _> = view.told.iter().map(named).collect::<Result<_>>()?;
        news.extend(readers.into_iter().map(|(account, position)| {
            let (conversation, account) = (conversation.clone(), account.clone());
            Body::ReadBy(wire::ReadBy { conversation, account, position })
        }));
        Ok(Overview { conversation, news })
    }

    /// Takes a message out of an account's log. If that was the last that held it, its content is forgotten, and nobody
    /// can change it any more.
    fn let_go(&mut self, account: AccountKey, message: MessageKey) -> Result<()> {
        let stored = self.message(message)?;
        let Some(holder) = stored.holders.remove(&account.0) else {
            return Ok(());
        };
        stored.former.insert(account.0, holder);
        if stored.holders.is_empty() {
            stored.aged = true;
            stored.shared.content = Bytes::new();
            // Only that it was recalled is still told: who has it and was away is to erase it.
            let former = if stored.shared.recalled { BTreeMap::new() } else { stored.former.clone() };
            for (account, holder) in former {
                let account = self.account_of(AccountKey(account))?;
                holder.entries.into_iter().skip(1).for_each(|seq| account.rewrite(seq, None));
            }
        }
        Ok(())
    }

    /// The position in an account's own view of the last message there that stands in another view after
    /// one position and up to another.
    fn last_shared(&self, account: AccountKey, view: ViewKey, after: u64, until: u64) -> Option<u64> {
        let (owner, conversation) = entry(&self.views, view.0).ok()?;
        let owner = entry(&self.names, owner.0).ok()?;
        let view = self.accounts.get(owner)?.views.get(conversation)?;
        let range = usize::try_from(after.max(view.gone).min(until)).ok()?..usize::try_from(until).ok()?;
        view.messages.get(range)?.iter().rev().find_map(|(key, _)| {
            let holder = entry(&self.messages, key.0).ok()?.holders.get(&account.0)?;
            Some(holder.message.position)
        })
    }
}

impl Holder {
    /// Whether it waits in this stretch of the log for the first device that comes.
    fn waits(&self, after: Seq, until: Seq) -> bool {
        let seq = self.entries.first().copied().unwrap_or_default();
        self.addressee == Addressee::First && after < seq && seq <= until
    }
}

impl Account {
    /// One of which nothing is known.
    fn new(key: AccountKey) -> Self {
        Self {
            key,
            erased_at: None,
            erasing: None,
            log: Vec::new(),
            tail: 0,
            receipts: BTreeMap::new(),
            views: BTreeMap::new(),
            targets: BTreeMap::new(),
            notifications: Vec::new(),
            notified: BTreeMap::new(),
            devices: Devices::default(),
        }
    }

    fn append(&mut self, operation: Bytes, body: Body) -> Seq {
        let seq = self.log.len() as u64 + 1;
        self.log.push(Arc::new(wire::Event { seq, operation, body: Some(body) }));
        Seq(seq)
    }

    /// Gives an entry another body.
    fn rewrite(&mut self, seq: Seq, body: Option<Body>) {
        let index = usize::try_from(seq.0).ok().and_then(|seq| seq.checked_sub(1));
        if let Some(event) = index.and_then(|index| self.log.get_mut(index)) {
            Arc::make_mut(event).body = body;
        }
    }

    /// Says how the fields of a target are now, and takes that from where it was said before.
    fn tell_fields(&mut self, operation: Bytes, name: &str, updated_at: Millis, device: Bytes) -> Seq {
        let target = self.targets.entry(name.to_owned()).or_default();
        let body = Body::Fields(wire::Fields {
            target: name.to_owned(),
            fields: target.fields.set(),
            updated_at: updated_at.0,
            device,
        });
        let before = mem::replace(&mut target.newest, Seq(self.log.len() as u64 + 1));
        self.rewrite(before, None);
        self.append(operation, body)
    }

    /// Says how a notification is now, takes that from where it was said before, and lets go of what is not kept
    /// any more.
    fn tell_notification(&mut self, operation: Bytes, now: wire::Notification) -> Noted {
        let mut told = self.notifications.clone();
        told.retain(|other| other.id != now.id);
        told.push(now.clone());
        let seq = self.append(operation, Body::Notification(now.clone()));
        let superseded = self.notified.insert(now.id.clone(), seq);
        superseded.into_iter().for_each(|before| self.rewrite(before, None));
        notification::put(&mut self.notifications, now);
        let spent: Vec<_> = told.into_iter().filter(|told| !self.notifications.contains(told)).collect();
        for told in &spent {
            let body = self.notification(&told.id).map(Body::Notification);
            let entry = self.notified.get(&told.id).copied().unwrap_or_default();
            self.rewrite(entry, body);
        }
        Noted { seq, erased: !spent.is_empty() }
    }

    fn notification(&self, id: &[u8]) -> Option<wire::Notification> {
        self.notifications.iter().find(|notification| notification.id[..] == *id).cloned()
    }
}

impl MemoryView {
    fn new(key: ViewKey) -> Self {
        Self {
            key,
            read: 0,
            read_inbound: 0,
            trimmed: 0,
            gone: 0,
            roster: None,
            messages: Vec::new(),
            looked: BTreeMap::new(),
            told: BTreeMap::new(),
        }
    }

    /// Whether what stands at a position is kept.
    fn keeps(&self, position: u64) -> bool {
        position > self.trimmed || position == self.last()
    }

    fn last(&self) -> u64 {
        self.messages.len() as u64
    }

    /// The next place, for a message from somewhere else or from the account itself.
    fn next_place(&self, foreign: bool) -> Place {
        let inbound = self.messages.last().map_or(0, |(_, inbound)| *inbound) + u64::from(foreign);
        Place { view: self.key, position: Position(self.last() + 1), inbound }
    }
}

#[async_trait]
impl Storage for MemoryStorage {
    fn log_id(&self) -> LogId {
        self.state().lineage.log
    }

    async fn rename_log(&self, id: LogId) -> Result<()> {
        self.state().rename(id);
        Ok(())
    }

    fn common(&self, with: LogId) -> Option<Millis> {
        self.state().lineage.common(with)
    }

    async fn begin(&self) -> Result<Box<dyn Transaction>> {
        Ok(Box::new(MemoryTransaction { storage: self.clone(), state: self.state().clone() }))
    }

    async fn head(&self, account: &str) -> Result<Seq> {
        Ok(Seq(self.state().accounts.get(account).map_or(0, |account| account.log.len() as u64)))
    }

    async fn tail(&self, account: &str) -> Result<Seq> {
        Ok(Seq(self.state().accounts.get(account).map_or(0, |account| account.tail)))
    }

    async fn waits(&self, account: &str, until: Seq) -> Result<bool> {
        let state = self.state();
        let key = state.accounts.get(account).map(|account| account.key.0);
        let holders = state.messages.iter().filter_map(|message| message.holders.get(&key?));
        Ok(holders.into_iter().any(|holder| holder.waits(Seq(0), until)))
    }

    async fn page(&self, account: &str, after: Seq, device: DeviceId) -> Result<Page> {
        let state = self.state();
        let mut page = Page { next: after, ..Page::default() };
        let Some(account) = state.accounts.get(account) else {
            return Ok(page);
        };
        (page.head, page.tail) = (Seq(account.log.len() as u64), Seq(account.tail));
        if after < page.tail {
            return Ok(page);
        }
        let mut size = 0;
        let from = usize::try_from(after.0).unwrap_or(usize::MAX);
        for event in account.log.get(from..).unwrap_or_default().iter().take(state.page_events) {
            let mut event = (**event).clone();
            let addressee = state.addressee(account, &event);
            page.unclaimed |= addressee == Addressee::First;
            if addressee != Addressee::All && addressee != Addressee::Device(device) {
                event.body = None;
            }
            size += event.encoded_len();
            page.next = Seq(event.seq);
            page.events.push(event);
            if size >= limits::PAGE_BYTES {
                break;
            }
        }
        Ok(page)
    }

    async fn overviews(
        &self,
        account: &str,
        reader: Reader,
        after: &str,
        most: usize,
    ) -> Result<Vec<Overview>> {
        let state = self.state();
        let Some(account) = state.living(account) else {
            return Ok(Vec::new());
        };
        let views = account.views.keys().filter(|name| name.as_str() > after).take(most);
        views.map(|name| state.overview(account, reader, name)).collect()
    }

    async fn shared(&self, account: &str, after: &str, most: usize) -> Result<Vec<wire::Fields>> {
        let state = self.state();
        let Some(account) = state.living(account) else {
            return Ok(Vec::new());
        };
        let targets = account.targets.iter().filter(|(name, _)| name.as_str() > after).take(most);
        let newest = |(_, target): (_, &MemoryTarget)| account.log.get(target.newest.0 as usize - 1);
        Ok(targets
            .filter_map(|target| match newest(target)?.body.clone()? {
                Body::Fields(fields) => Some(fields),
                _ => None,
            })
            .collect())
    }

    async fn notifications(
        &self,
        account: &str,
        after: Option<OperationId>,
        most: usize,
    ) -> Result<Vec<wire::Notification>> {
        let state = self.state();
        let notifications = state.accounts.get(account).map(|account| account.notifications.clone());
        let mut rest = notifications.unwrap_or_default();
        rest.retain(|notification| after.is_none_or(|after| notification.id[..] > after.as_bytes()[..]));
        rest.sort_by(|a, b| a.id.cmp(&b.id));
        rest.truncate(most);
        Ok(rest)
    }

    async fn active(&self, account: &str, after: &str, since: Millis) -> Result<Option<(String, Position)>> {
        let state = self.state();
        let views = state.accounts.get(account).map(|account| account.views.iter());
        let mut views = views.into_iter().flatten().filter(|(name, _)| name.as_str() > after);
        let is_active = |view: &MemoryView| {
            let last = view.messages.last().and_then(|(key, _)| entry(&state.messages, key.0).ok());
            last.is_some_and(|last| last.shared.sent_at >= since.0)
        };
        let found = views.find(|(_, view)| is_active(view));
        Ok(found.map(|(name, view)| (name.clone(), Position(view.last()))))
    }

    async fn stretch(
        &self,
        account: &str,
        reader: Reader,
        conversation: &str,
        (from, to): (Position, Position),
        most: usize,
    ) -> Result<Vec<wire::Message>> {
        let state = self.state();
        let Some(account) = state.accounts.get(account) else {
            return Ok(Vec::new());
        };
        let Some(view) = account.views.get(conversation) else {
            return Ok(Vec::new());
        };
        let positions = (from.0..=to.0.min(view.last())).rev().filter(|position| view.keeps(*position));
        positions
            .filter_map(|position| state.message_at(account, reader, view, position).transpose())
            .take(most)
            .collect()
    }

    async fn devices(&self, account: &str) -> Result<Vec<Device>> {
        let state = self.state();
        Ok(state.accounts.get(account).map(|account| account.devices.list()).unwrap_or_default())
    }

    async fn device(&self, account: &str, id: &str) -> Result<Option<Known>> {
        Ok(self.state().accounts.get(account).and_then(|account| account.devices.find(id)))
    }

    async fn token_keepers(&self, account: &str, token: TokenMark) -> Result<Option<BTreeSet<String>>> {
        Ok(self.state().accounts.get(account).and_then(|account| account.devices.token_keepers(token)))
    }

    async fn group(&self, id: &str) -> Result<Option<BTreeSet<String>>> {
        Ok(self.state().groups.get(id).cloned())
    }

    async fn contacts(&self, account: &str) -> Result<BTreeSet<String>> {
        let state = self.state();
        let views = state.accounts.get(account).map(|account| account.views.keys());
        let mut contacts = BTreeSet::new();
        for conversation in views.into_iter().flatten() {
            match Conversation::parse(conversation) {
                Ok(Conversation::Direct(other)) => drop(contacts.insert(other.to_owned())),
                Ok(Conversation::Group(id)) => {
                    let members = state.groups.get(id).filter(|members| members.contains(account));
                    contacts.extend(members.into_iter().flatten().cloned());
                }
                Err(_) => {}
            }
        }
        contacts.remove(account);
        Ok(contacts)
    }

    async fn erased(&self, account: &str) -> Result<Option<Millis>> {
        Ok(self.state().accounts.get(account).and_then(|account| account.erased_at))
    }

    async fn erasing(&self) -> Result<Vec<String>> {
        let state = self.state();
        let erasing = state.accounts.iter().filter(|(_, account)| account.erasing.is_some());
        Ok(erasing.map(|(name, _)| name.clone()).collect())
    }

    async fn settings(&self) -> Result<Option<String>> {
        Ok(self.state().settings.clone())
    }

    async fn check(&self) -> Result<()> {
        Ok(())
    }

    async fn scrub(&self) -> Result<bool> {
        Ok(true)
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
        let key = MessageKey(self.state.messages.len() as i64);
        let id = message.id.to_bytes();
        if self.state.message_keys.contains_key(&id) {
            return Ok(None);
        }
        Arc::make_mut(&mut self.state.message_keys).insert(id.clone(), key);
        let shared = wire::Message {
            id,
            sender: message.sender.to_owned(),
            device: message.device.map(Bytes::copy_from_slice).unwrap_or_default(),
            r#type: message.kind.to_owned(),
            content: message.content.clone(),
            sent_at: message.sent_at.0,
            ..wire::Message::default()
        };
        let message = MemoryMessage {
            shared,
            edit: None,
            aged: false,
            holders: BTreeMap::new(),
            former: BTreeMap::new(),
        };
        Arc::make_mut(&mut self.state.messages).push(Arc::new(message));
        Ok(Some(key))
    }

    async fn message(&mut self, account: AccountKey, id: OperationId) -> Result<Option<StoredMessage>> {
        let Some(&key) = self.state.message_keys.get(&id.as_bytes()[..]) else {
            return Ok(None);
        };
        let MemoryMessage { shared, edit, aged, holders, .. } = &**entry(&self.state.messages, key.0)?;
        if *aged {
            return Ok(None);
        }
        Ok(Some(StoredMessage {
            key,
            sender: shared.sender.clone(),
            sent_at: Millis(shared.sent_at),
            edit: edit.clone(),
            recalled: shared.recalled,
            held: holders.contains_key(&account.0),
        }))
    }

    async fn edit_message(
        &mut self,
        message: MessageKey,
        content: &Bytes,
        stamp: &Stamp,
        now: Millis,
    ) -> Result<()> {
        self.state.message(message)?.edit = Some(stamp.clone());
        self.state.change(message, |message| {
            message.content = content.clone();
            message.edited_at = now.0;
        })
    }

    async fn erase_message(&mut self, message: MessageKey) -> Result<()> {
        self.state.change(message, |message| {
            message.content = Bytes::new();
            message.recalled = true;
        })
    }

    async fn tell_changed(&mut self, message: MessageKey, operation: Option<OperationId>) -> Result<Told> {
        let operation = operation.map(|id| id.to_bytes()).unwrap_or_default();
        let mut told = Told::new();
        for (account, holder) in self.state.message(message)?.holders.clone() {
            let body = Body::Changed(holder.message);
            let seq = self.state.account_of(AccountKey(account))?.append(operation.clone(), body);
            if let Some(holder) = self.state.message(message)?.holders.get_mut(&account) {
                holder.entries.push(seq);
            }
            told.insert(entry(&self.state.names, account)?.clone(), seq);
        }
        Ok(told)
    }

    async fn remove_drafts(
        &mut self,
        message: MessageKey,
        text: &str,
        now: Millis,
    ) -> Result<BTreeSet<String>> {
        let mut told = BTreeSet::new();
        for (account, holder) in self.state.message(message)?.holders.clone() {
            let (_, conversation) = entry(&self.state.views, holder.view.0)?.clone();
            let name = entry(&self.state.names, account)?.clone();
            let account = self.state.account(&name);
            let Some(target) = account.targets.get_mut(&conversation) else {
                continue;
            };
            let mentions = |value: &[u8]| String::from_utf8_lossy(value).contains(text);
            if target.fields.erase(target::DRAFT, mentions) {
                account.tell_fields(Bytes::new(), &conversation, now, Bytes::new());
                told.insert(name);
            }
        }
        Ok(told)
    }

    async fn store_roster(&mut self, members: &BTreeSet<String>) -> Result<RosterKey> {
        let rosters = Arc::make_mut(&mut self.state.rosters);
        rosters.push(members.iter().cloned().collect());
        Ok(RosterKey(rosters.len() as i64 - 1))
    }

    async fn view(&mut self, account: AccountKey, conversation: &str) -> Result<Option<View>> {
        let view = self.state.account_of(account)?.views.get(conversation);
        Ok(view.map(|view| View { key: view.key, last: Position(view.last()), read: Position(view.read) }))
    }

    async fn next_place(&mut self, account: AccountKey, conversation: &str) -> Result<Place> {
        Ok(self.state.view(account, conversation)?.next_place(false))
    }

    async fn place_at(&mut self, key: ViewKey, position: Position) -> Result<Place> {
        let view = self.state.view_of(key)?;
        let position = position.0.max(view.gone);
        let index = i64::try_from(position).map_err(StorageError::new)? - 1;
        let (_, inbound) = *entry(&view.messages, index)?;
        Ok(Place { view: key, position: Position(position), inbound })
    }

    async fn set_read(&mut self, place: Place) -> Result<()> {
        let view = self.state.view_of(place.view)?;
        (view.read, view.read_inbound) = (place.position.0, place.inbound);
        Ok(())
    }

    async fn tell_read(
        &mut self,
        accounts: &BTreeSet<String>,
        conversation: &str,
        reading: Reading,
    ) -> Result<BTreeSet<String>> {
        let until = reading.position.0;
        let reader = entry(&self.state.names, reading.reader.0)?.clone();
        let mut told = BTreeSet::new();
        for name in accounts {
            let account = self.state.account(name);
            let key = account.key;
            // Whom nothing was ever sent to in this conversation has nothing that was read.
            let Some(view) = account.views.get_mut(conversation) else {
                continue;
            };
            let after = view.looked.insert(reading.reader.0, until).unwrap_or_default();
            if let Some(position) = self.state.last_shared(key, reading.view, after, until) {
                let (conversation, account) = (conversation.to_owned(), reader.clone());
                let read_by = wire::ReadBy { conversation, account, position };
                let account = self.state.account(name);
                if let Some(view) = account.views.get_mut(&read_by.conversation) {
                    view.told.insert(reading.reader.0, position);
                }
                account.append(Bytes::new(), Body::ReadBy(read_by));
                told.insert(name.clone());
            }
        }
        Ok(told)
    }

    async fn fields(&mut self, account: AccountKey, target: &str) -> Result<Fields> {
        let target = self.state.account_of(account)?.targets.get(target);
        Ok(target.map(|target| target.fields.clone()).unwrap_or_default())
    }

    async fn targets(&mut self, account: AccountKey) -> Result<usize> {
        Ok(self.state.account_of(account)?.targets.len())
    }

    async fn set_fields(
        &mut self,
        account: AccountKey,
        operation: OperationId,
        new: NewFields<'_>,
    ) -> Result<Seq> {
        let account = self.state.account_of(account)?;
        account.targets.entry(new.target.to_owned()).or_default().fields.extend(new.fields.clone());
        Ok(account.tell_fields(operation.to_bytes(), new.target, new.updated_at, new.device.clone()))
    }

    async fn notify(&mut self, account: AccountKey, notification: &wire::Notification) -> Result<Noted> {
        Ok(self.state.account_of(account)?.tell_notification(Bytes::new(), notification.clone()))
    }

    async fn notification(
        &mut self,
        account: AccountKey,
        id: OperationId,
    ) -> Result<Option<wire::NotificationState>> {
        let notification = self.state.account_of(account)?.notification(id.as_bytes());
        Ok(notification.map(|notification| notification.state()))
    }

    async fn mark_notification(
        &mut self,
        account: AccountKey,
        operation: OperationId,
        mark: &wire::MarkNotification,
    ) -> Result<Noted> {
        let account = self.state.account_of(account)?;
        let mut marked = account.notification(&mark.notification).ok_or_else(unknown)?;
        marked.state = mark.state;
        Ok(account.tell_notification(operation.to_bytes(), marked))
    }

    async fn unread_messages(&mut self, account: AccountKey, conversation: &str) -> Result<Vec<OperationId>> {
        let notifications = &self.state.account_of(account)?.notifications;
        let unread = notifications.iter().filter(|it| {
            it.conversation == conversation
                && it.message == it.id
                && it.state() == wire::NotificationState::Unread
        });
        let ids: BTreeSet<_> = unread.filter_map(|it| OperationId::try_from(&it.id).ok()).collect();
        Ok(ids.into_iter().collect())
    }

    async fn erase_notifications(&mut self, message: OperationId) -> Result<BTreeSet<String>> {
        let message = message.to_bytes();
        let mut told = BTreeSet::new();
        let names = self.state.names.clone();
        for name in names.iter() {
            let has_words = |it: &wire::Notification| it.message == message && !notification::is_erased(it);
            let about = self.state.accounts.get(name).map(|account| account.notifications.clone());
            let mut about: Vec<_> = about.into_iter().flatten().filter(has_words).collect();
            about.sort_by(|a, b| a.id.cmp(&b.id));
            for mut erased in about {
                notification::erase(&mut erased);
                self.state.account(name).tell_notification(Bytes::new(), erased);
                told.insert(name.clone());
            }
        }
        Ok(told)
    }

    async fn append(&mut self, account: AccountKey, operation: OperationId, entry_of: Entry) -> Result<Seq> {
        let operation = operation.to_bytes();
        match entry_of {
            Entry::Message(message, place, addressee) => {
                self.state.hold(account, message, (place, addressee), operation)
            }
            Entry::Read(Place { view, position, inbound }) => {
                let (_, conversation) = entry(&self.state.views, view.0)?.clone();
                let read = wire::Read { conversation, position: position.0, inbound };
                Ok(self.state.account_of(account)?.append(operation, Body::Read(read)))
            }
        }
    }

    async fn deliver(&mut self, to: &Addressees, delivery: Delivery<'_>) -> Result<()> {
        let Delivery { operation, conversation, news } = delivery;
        let operation = operation.map(|id| id.to_bytes()).unwrap_or_default();
        for (name, addressee) in to {
            let Account { key, erased_at: None, .. } = *self.state.account(name) else {
                continue;
            };
            let view = self.state.view(key, conversation)?;
            match news {
                News::Message(message) => {
                    let place = view.next_place(true);
                    self.state.hold(key, message, (place, *addressee), operation.clone())?;
                }
                News::Members(roster) => {
                    view.roster = Some(roster);
                    let members = entry(&self.state.rosters, roster.0)?.clone();
                    let members = wire::Members { conversation: conversation.to_owned(), members };
                    self.state.account(name).append(operation.clone(), Body::Members(members));
                }
            }
        }
        Ok(())
    }

    async fn claim(&mut self, account: &str, device: DeviceId, after: Seq, until: Seq) -> Result<()> {
        let account = self.state.account(account).key;
        for message in Arc::make_mut(&mut self.state.messages) {
            if message.holders.get(&account.0).is_some_and(|holder| holder.waits(after, until))
                && let Some(holder) = Arc::make_mut(message).holders.get_mut(&account.0)
            {
                holder.addressee = Addressee::Device(device);
            }
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

    async fn device(&mut self, account: &str, id: &str) -> Result<Option<Known>> {
        Ok(self.state.accounts.get(account).and_then(|account| account.devices.find(id)))
    }

    async fn put_device(&mut self, account: &str, device: &Device) -> Result<()> {
        self.state.account(account).devices.put(device);
        Ok(())
    }

    async fn drop_surplus_devices(&mut self, account: &str) -> Result<()> {
        self.state.account(account).devices.drop_surplus();
        Ok(())
    }

    async fn set_push(&mut self, account: &str, id: &str, push: Option<&Subscription>) -> Result<()> {
        self.state.account(account).devices.set_push(id, push);
        Ok(())
    }

    async fn remove_device(&mut self, account: &str, id: &str, removed: &Removed) -> Result<()> {
        self.state.account(account).devices.remove(id, removed);
        Ok(())
    }

    async fn note_token(&mut self, account: &str, device: &str, token: Token) -> Result<bool> {
        Ok(self.state.account(account).devices.note_token(device, token))
    }

    async fn trim_tokens(&mut self, now: Millis) -> Result<bool> {
        for account in self.state.accounts.values_mut() {
            Arc::make_mut(account).devices.trim_tokens(now);
        }
        Ok(false)
    }

    async fn trim(&mut self, after: AccountKey, before: Millis) -> Result<Trimmed> {
        let next = AccountKey(after.0 + 1);
        let Ok(name) = entry(&self.state.names, next.0).cloned() else {
            return Ok(Trimmed { next: None, erased: false });
        };
        let is_kept = |event: &Arc<wire::Event>| match &event.body {
            Some(Body::Message(message)) => Some(message.sent_at >= before.0),
            _ => None,
        };
        let account = self.state.account(&name);
        let old = account.log.iter().skip(account.tail as usize);
        let mut old = old.take_while(|event| is_kept(event) != Some(true));
        let kept_after = old.by_ref().filter(|event| is_kept(event) == Some(false)).last();
        let Some(kept_after) = kept_after.map(|event| event.seq) else {
            return Ok(Trimmed { next: Some(next), erased: false });
        };
        let range = account.tail as usize..kept_after as usize;
        account.tail = kept_after;
        for event in account.log[range].iter() {
            if let Some(Body::Message(message)) = &event.body
                && let Some(view) = account.views.get_mut(&message.conversation)
            {
                view.trimmed = message.position;
            }
        }
        let mut gone = Vec::new();
        for view in account.views.values_mut() {
            let until = view.trimmed.min(view.last().saturating_sub(1));
            gone.extend((view.gone..until).map(|index| view.messages[index as usize].0));
            view.gone = view.gone.max(until);
        }
        let key = account.key;
        for message in gone {
            self.state.message(message)?.aged = true;
            self.state.let_go(key, message)?;
        }
        Ok(Trimmed { next: Some(next), erased: true })
    }

    async fn erased(&mut self, accounts: &[&str]) -> Result<Option<(String, Millis)>> {
        let at = |name: &&str| self.state.accounts.get(*name)?.erased_at;
        Ok(accounts.iter().find_map(|name| Some((name.to_string(), at(name)?))))
    }

    async fn begin_erasure(&mut self, account: &str, now: Millis) -> Result<bool> {
        if !self.state.accounts.contains_key(account) {
            return Ok(false);
        }
        let account = self.state.account(account);
        (account.erased_at, account.erasing) = (Some(now), Some(0));
        account.devices = Devices::default();
        Ok(true)
    }

    async fn any_group(&mut self, account: AccountKey) -> Result<Option<String>> {
        let name = entry(&self.state.names, account.0)?;
        let group = self.state.groups.iter().find(|(_, members)| members.contains(name));
        Ok(group.map(|(id, _)| id.clone()))
    }

    async fn drop_own(&mut self, account: AccountKey) -> Result<bool> {
        let known = self.state.account_of(account)?;
        let (erased_at, erasing) = (known.erased_at, known.erasing);
        let held: Vec<_> = known.views.values().flat_map(|view| view.messages.clone()).collect();
        for (message, _) in held {
            self.state.let_go(account, message)?;
        }
        *self.state.account_of(account)? = Account { erased_at, erasing, ..Account::new(account) };
        for (owner, conversation) in Arc::make_mut(&mut self.state.views) {
            if *owner == account {
                conversation.clear();
            }
        }
        Ok(false)
    }

    async fn next_sent(&mut self, account: AccountKey) -> Result<Option<SentMessage>> {
        let name = entry(&self.state.names, account.0)?.clone();
        let Some(first) = self.state.account(&name).erasing else {
            return Ok(None);
        };
        let mut rest = self.state.messages.iter().enumerate().skip(first);
        let Some((index, message)) = rest.find(|(_, message)| message.shared.sender == name) else {
            return Ok(None);
        };
        let id = OperationId::try_from(&message.shared.id).map_err(StorageError::new)?;
        let has_content = !message.shared.content.is_empty();
        self.state.account(&name).erasing = Some(index + 1);
        Ok(Some(SentMessage { key: MessageKey(index as i64), id, has_content }))
    }

    async fn forget_source(&mut self, message: MessageKey) -> Result<()> {
        let message = self.state.message(message)?;
        message.shared.device = Bytes::new();
        message.edit.iter_mut().for_each(|edit| edit.device = Bytes::new());
        Ok(())
    }

    async fn end_erasure(&mut self, account: AccountKey) -> Result<()> {
        self.state.account_of(account)?.erasing = None;
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
