//! The connections of this server, and the way to those of the others: whom to wake, whom to tell, who has lost its
//! place. Who may stand is decided by what all servers know together.

mod devices;

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use tokio::{
    sync::{Notify, watch},
    time::{Duration, Instant},
};
use tutti_acceptance::reach::Online;
use tutti_protocol::DeviceId;

use crate::{
    bus::{Bus, Tickets, Word, soon},
    roster::{Bid, Connection, Denied, Gone, Lost, Ticket},
    settings::Limits,
};

/// Statuses that wait for a connection before the next is dropped: what comes late is worth nothing.
const STATUSES: usize = 64;
/// Accounts of which something is changed at a time, where it is to be changed of all.
const AT_A_TIME: usize = 32;

/// The connections of this server.
pub(crate) struct Hub {
    bus: Arc<dyn Bus>,
    /// How long a connection keeps its place without a sign of life.
    lease: Duration,
    tickets: Tickets,
    state: Mutex<State>,
}

struct State {
    /// How many an account may have.
    limits: Limits,
    accounts: HashMap<String, Connections>,
}

/// The connections of an account.
type Connections = BTreeMap<Ticket, Arc<Signals>>;

/// How a connection hears of things.
struct Signals {
    wake: Notify,
    /// It has got its place, though it may have lost it since.
    stands: AtomicBool,
    /// Something may have been missed.
    doubt: AtomicBool,
    lost: watch::Sender<Option<Lost>>,
    /// When there was a sign of life.
    heard: Mutex<Instant>,
    /// For all that is known its user did something last on this one.
    is_latest: AtomicBool,
    /// Whether it understands status.
    status: bool,
    /// Frames that are worth something only now.
    statuses: Mutex<VecDeque<Bytes>>,
    said: Notify,
}

impl Hub {
    /// Nobody is connected, and places are leased for so long.
    #[must_use]
    pub(crate) fn new(bus: Arc<dyn Bus>, lease: Duration, limits: Limits) -> Self {
        let state = State { limits, accounts: HashMap::new() };
        Self { bus, lease, tickets: Tickets::default(), state: Mutex::new(state) }
    }

    /// Lets a connection stand until its [`Slot`] is dropped. An older connection of the same device
    /// is told that it has lost its place, and so is the one that gives way to the bid, if there is no other
    /// place. `status`: whether it understands status.
    ///
    /// # Errors
    /// [`Denied`] when it may not.
    pub(crate) async fn claim(
        self: &Arc<Self>,
        account: &str,
        connection: Connection,
        status: bool,
        bid: Bid<'_>,
    ) -> Result<Slot, Denied> {
        let lapsed = self.lose_lapsed(account);
        let limit = self.limits().of(connection.platform);
        // It can be told that it has lost its place as soon as it has it.
        let slot = Slot::begin(self, account, status);
        let claim =
            self.bus.change(account, |roster| roster.claim(slot.ticket, &connection, limit, bid, &lapsed));
        let gone = claim.await?;
        slot.signals.stands.store(true, Ordering::Relaxed);
        gone.into_iter().for_each(|gone| self.lose(account, gone));
        self.note_latest(account, slot.ticket);
        self.bus.publish(Word::Active { account: account.to_owned(), ticket: slot.ticket });
        Ok(slot)
    }

    /// Lets accounts have so many connections from now on, and wakes all that stand.
    pub(crate) async fn set_limits(&self, limits: Limits) {
        self.state().limits = limits;
        self.for_each_account(|account| async move {
            self.enforce(&account).await;
            self.wake_here(&account);
        })
        .await;
    }

    /// Ends what an account has more of than it may.
    async fn enforce(&self, account: &str) {
        let limits = self.limits();
        let gone = self.bus.change(account, |roster| roster.enforce(&limits)).await;
        gone.into_iter().for_each(|gone| self.lose(account, gone));
    }

    /// Nothing could be heard of other servers for a while. Whoever has a place here that it has not got by what all
    /// know now loses it, and all others look for what they may have missed.
    pub(crate) async fn catch_up(&self, account: &str) {
        self.enforce(account).await;
        let standing = self.state().accounts.get(account).cloned().unwrap_or_default();
        let standing: Vec<_> =
            standing.into_iter().filter(|(_, signals)| signals.stands.load(Ordering::Relaxed)).collect();
        let roster = self.bus.look(account).await;
        for (ticket, signals) in standing {
            if roster.has_place(ticket) {
                signals.is_latest.store(false, Ordering::Relaxed);
                signals.doubt.store(true, Ordering::Relaxed);
                signals.wake.notify_one();
            } else {
                signals.lose(Lost::Replaced);
            }
        }
    }

    /// Does something for each account that has connections here, some at a time.
    pub(crate) async fn for_each_account<F: Future<Output = ()>>(&self, work: impl Fn(String) -> F) {
        let accounts: Vec<String> = self.state().accounts.keys().cloned().collect();
        stream::iter(accounts).for_each_concurrent(AT_A_TIME, work).await;
    }

    /// Whether a later leader of the device is connected.
    pub(crate) async fn is_superseded(&self, account: &str, device: &str, epoch: u64) -> bool {
        self.bus.look(account).await.is_superseded(device, epoch)
    }

    /// Tells accounts' connections that their log has grown.
    pub(crate) fn wake<'a>(&self, accounts: impl Iterator<Item = &'a String>) {
        let accounts: Vec<String> = accounts.inspect(|account| self.wake_here(account)).cloned().collect();
        if !accounts.is_empty() {
            self.bus.publish(Word::Grown { accounts });
        }
    }

    /// Those of an account that are connected here.
    pub(crate) fn wake_here(&self, account: &str) {
        self.standing(account, |_, signals| signals.wake.notify_one());
    }

    /// Gives those of accounts' connections that understand it a status, except the one that says it.
    pub(crate) fn tell<'a>(
        &self,
        accounts: impl IntoIterator<Item = &'a str>,
        frame: &Bytes,
        except: Option<Ticket>,
    ) {
        let here = |account: &&str| self.tell_here(account, frame, except);
        let accounts: Vec<String> = accounts.into_iter().inspect(here).map(str::to_owned).collect();
        if !accounts.is_empty() {
            self.bus.publish(Word::Status { accounts, frame: frame.clone(), except });
        }
    }

    /// Those of an account that are connected here.
    pub(crate) fn tell_here(&self, account: &str, frame: &Bytes, except: Option<Ticket>) {
        self.standing(account, |ticket, signals| {
            if signals.status && Some(ticket) != except {
                signals.tell(frame);
            }
        });
    }

    /// An account's connections, oldest first.
    pub(crate) async fn connections(&self, account: &str) -> Vec<Connection> {
        self.bus.look(account).await.connections()
    }

    /// A connection has lost its place: it is told, wherever it is.
    fn lose(&self, account: &str, gone: Gone) {
        let Gone { ticket, lost } = gone;
        if ticket.server() == self.bus.server() {
            self.lose_here(account, ticket, lost);
        } else {
            self.bus.publish(Word::Lost { account: account.to_owned(), ticket, lost });
        }
    }

    /// A connection of this server has lost its place.
    pub(crate) fn lose_here(&self, account: &str, ticket: Ticket, lost: Lost) {
        if let Some(signals) = self.forget(account, ticket) {
            signals.lose(lost);
        }
    }

    /// Those of this server that give no sign of life lose their places.
    fn lose_lapsed(&self, account: &str) -> Vec<Ticket> {
        let lapsed = self.lapsed(account);
        lapsed.iter().for_each(|ticket| self.lose_here(account, *ticket, Lost::Replaced));
        lapsed
    }

    /// Those of this server that give no sign of life.
    fn lapsed(&self, account: &str) -> Vec<Ticket> {
        let mut lapsed = Vec::new();
        self.standing(account, |ticket, signals| {
            if signals.has_lapsed(self.lease) {
                lapsed.push(ticket);
            }
        });
        lapsed
    }

    /// The user did something on one of an account's connections, on whichever server, and on no other since.
    pub(crate) fn note_latest(&self, account: &str, latest: Ticket) {
        let note = |ticket, signals: &Signals| signals.is_latest.store(ticket == latest, Ordering::Relaxed);
        self.standing(account, note);
    }

    fn standing(&self, account: &str, mut each: impl FnMut(Ticket, &Signals)) {
        if let Some(standing) = self.state().accounts.get(account) {
            standing.iter().for_each(|(ticket, signals)| each(*ticket, signals));
        }
    }

    fn forget(&self, account: &str, ticket: Ticket) -> Option<Arc<Signals>> {
        let mut state = self.state();
        let standing = state.accounts.get_mut(account)?;
        let signals = standing.remove(&ticket);
        if standing.is_empty() {
            state.accounts.remove(account);
        }
        signals
    }

    fn limits(&self) -> Limits {
        self.state().limits.clone()
    }

    /// No code can panic while it holds this lock, so a poisoned one is as good as any.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Online for Hub {
    async fn device(&self, account: &str) -> Option<DeviceId> {
        let lapsed = self.lapsed(account);
        let roster = self.bus.look(account).await;
        roster.latest(|ticket| lapsed.contains(&ticket)).map(|connection| connection.addressee)
    }
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub").finish_non_exhaustive()
    }
}

impl Signals {
    fn new(status: bool) -> Self {
        Self {
            wake: Notify::new(),
            stands: AtomicBool::new(false),
            doubt: AtomicBool::new(false),
            lost: watch::Sender::new(None),
            heard: Mutex::new(Instant::now()),
            is_latest: AtomicBool::new(false),
            status,
            statuses: Mutex::default(),
            said: Notify::new(),
        }
    }

    fn heard(&self) -> MutexGuard<'_, Instant> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether there was no sign of life for longer than that.
    fn has_lapsed(&self, lease: Duration) -> bool {
        self.heard().elapsed() > lease
    }

    fn lose(&self, lost: Lost) {
        self.lost.send_replace(Some(lost));
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

/// The right of a connection to stand.
pub(crate) struct Slot {
    hub: Arc<Hub>,
    account: String,
    ticket: Ticket,
    signals: Arc<Signals>,
}

impl Slot {
    fn begin(hub: &Arc<Hub>, account: &str, status: bool) -> Self {
        let ticket = hub.tickets.next(hub.bus.server());
        let signals = Arc::new(Signals::new(status));
        let (hub, account) = (hub.clone(), account.to_owned());
        hub.state().accounts.entry(account.clone()).or_default().insert(ticket, signals.clone());
        Self { hub, account, ticket, signals }
    }

    /// Waits until the account's log has grown; at once if it has since the last time.
    pub(crate) async fn woken(&self) {
        self.signals.wake.notified().await;
    }

    /// Whether something else may have been missed since this was asked last.
    pub(crate) fn take_doubt(&self) -> bool {
        self.signals.doubt.swap(false, Ordering::Relaxed)
    }

    /// Names it.
    pub(crate) fn ticket(&self) -> Ticket {
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

    /// The user did something here. Who did before, too, and nowhere else since, has told it.
    pub(crate) async fn note_active(&self) {
        if self.signals.is_latest.load(Ordering::Relaxed) {
            return;
        }
        let (hub, account, ticket) = (&self.hub, &self.account, self.ticket);
        hub.bus.change(account, |roster| roster.note_active(ticket)).await;
        hub.note_latest(account, ticket);
        hub.bus.publish(Word::Active { account: account.clone(), ticket });
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.hub.forget(&self.account, self.ticket);
        let (bus, account, ticket) = (self.hub.bus.clone(), self.account.clone(), self.ticket);
        soon(async move { bus.change(&account, |roster| roster.release(ticket)).await });
    }
}

#[cfg(test)]
mod tests;
