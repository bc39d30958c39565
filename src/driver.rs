//! Sole owner of the engine: feeds it inputs, carries out its effects and tells listeners its events.
//!
//! Nothing of the engine is borrowed while an effect runs or a listener is called, so both may come
//! back with further inputs; those wait their turn in the inbox.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    future::ready,
    pin::Pin,
    rc::{Rc, Weak},
};

use bytes::Bytes;
use futures_channel::oneshot;
use gloo_timers::future::TimeoutFuture;
use js_sys::{Function, Promise, Reflect, TypeError};
use tutti_engine::{
    BatchId, Block, Config, Connection, ConnectionId, Conversation, Effect, Engine, Event, Extent, Failure,
    Identity, Input, LoadId, Located, LockId, LogLevel, Message, MessageEvent, Missing, Next, Origin, Page,
    Query, Replica, Reply, RequestId, Search, Session, Setup, SortedMap, SortedSet, Status, Transport,
    batch::{Batch, Key, Snapshot, StoreError, Table},
    decode_locators, identity_batch,
};
use tutti_protocol::{
    Code, DeviceId, Epoch, Millis, OperationId, Position, StoreId, TabId,
    wire::{self, manage::What},
};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::{JsFuture, spawn_local};

use crate::{
    error::{self, describe, invalid},
    panic, push,
    store::{self, AnyStore, Salvage, Store},
    tabs::{Channel, Lock, LockEvent},
    timer::{Soon, Timer, now},
    transport::{self, ConnectionEvent, Post, Socket},
    types::{self, Options, TokenSource},
};

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_name = addEventListener)]
    fn add_global_listener(kind: &str, listener: &Function);
    #[wasm_bindgen(js_name = removeEventListener)]
    fn remove_global_listener(kind: &str, listener: &Function);
    #[wasm_bindgen(catch, js_namespace = ["navigator", "storage"], js_name = persist)]
    fn ask_to_persist() -> Result<Promise, JsValue>;
    #[wasm_bindgen(js_namespace = crypto, js_name = getRandomValues)]
    fn fill_random(bytes: &mut [u8]);
    #[wasm_bindgen(js_namespace = console, js_name = error)]
    fn console_error(thrown: &JsValue);
    #[wasm_bindgen(js_namespace = console, js_name = error)]
    fn console_say_error(text: &str);
    #[wasm_bindgen(js_namespace = console, js_name = warn)]
    fn console_warn(text: &str);
    #[wasm_bindgen(js_namespace = console, js_name = info)]
    fn console_info(text: &str);
    #[wasm_bindgen(js_namespace = console, js_name = debug)]
    fn console_debug(text: &str);
}

/// The tables that a replica is made of; blocks and locators are read when they are needed.
const RESIDENT: [Table; 4] = [Table::Meta, Table::Journal, Table::Heads, Table::Outbox];

/// Conversations whose ends are read ahead when they are listed, and messages of each: those of a screen.
const READ_AHEAD: usize = 30;
const READ_AHEAD_MESSAGES: usize = 50;

/// Blocks that a search reads and looks through in one go; the page has its turn in between.
const SEARCHED_AT_ONCE: usize = 8;
/// How often a search waits for news of a fold, and how long, in milliseconds.
const PATIENCE: u32 = 10;
const WAIT: u32 = 20;

thread_local! {
    /// Those of this page, some of them closed.
    static DRIVERS: RefCell<Vec<Weak<Driver>>> = const { RefCell::new(Vec::new()) };
}

/// After a panic: nothing here can be relied on any more, so nothing is kept from the other tabs, and
/// whoever waits is told.
pub(crate) fn abandon_all() {
    let drivers = DRIVERS.take();
    drivers.iter().filter_map(Weak::upgrade).for_each(|driver| driver.abandon());
}

/// One tab's client.
pub(crate) struct Driver {
    options: Options,
    profile: String,
    store: AnyStore,
    engine: RefCell<Engine>,
    inbox: Rc<Inbox>,
    channel: RefCell<Option<Channel>>,
    lock: RefCell<Option<(LockId, Lock)>>,
    connection: RefCell<Option<(ConnectionId, transport::Connection)>>,
    /// The connection that the engine wants: a token may come when it does not any more.
    wanted: Cell<Option<ConnectionId>>,
    /// The store is being mended.
    mending: Cell<bool>,
    reading_ahead: Cell<bool>,
    timer: Timer,
    page_listeners: RefCell<Vec<PageListener>>,
    /// Calls that wait for the engine's answer: few at a time.
    requests: RefCell<Vec<(RequestId, Answer)>>,
    last_request: Cell<u64>,
    listeners: RefCell<Vec<(u64, Kind, Function)>>,
    last_listener: Cell<u64>,
    news: RefCell<News>,
    news_task: Soon,
    this: Weak<Driver>,
    /// Itself, from open to close: an application need not hold what it listens to.
    open: RefCell<Option<Rc<Driver>>>,
}

type Answer = oneshot::Sender<Result<Reply, Failure>>;

/// The answer to a call, once it is there.
pub(crate) type Answered = Pin<Box<dyn Future<Output = Result<Reply, Failure>>>>;

/// What this tab listens to, and how.
type PageListener = (&'static str, Function);

/// Inputs that wait for the engine. It is there before the engine, so that no frame of another tab is
/// missed while the store is read.
#[derive(Default)]
struct Inbox {
    inputs: RefCell<VecDeque<Input>>,
    driver: RefCell<Weak<Driver>>,
    draining: Cell<bool>,
}

/// What the listeners have not been told yet.
#[derive(Default)]
struct News {
    scheduled: bool,
    messages: Vec<MessageEvent>,
    /// Any message may look different.
    unsaid: bool,
    conversations: SortedSet<String>,
    sessions: Vec<(Session, Origin)>,
    /// In their order; none at all: there may be none any more.
    notifications: Option<Vec<wire::Notification>>,
    status: Option<Status>,
    limits: Vec<wire::Limit>,
    caught_up: Vec<(u64, Option<Millis>)>,
    /// Who types where, presences and custom statuses, in their order.
    statuses: Vec<Told>,
    devices: Option<wire::Devices>,
    removed: Option<Option<String>>,
    failures: Vec<Failure>,
    traces: Vec<Trace>,
}

/// What has gone into the engine, or come out of it.
pub(crate) struct Trace {
    pub(crate) at: Millis,
    pub(crate) kind: &'static str,
    pub(crate) name: &'static str,
    pub(crate) bytes: Option<usize>,
}

/// What was told of those who are there.
enum Told {
    Typing { conversation: String, account: String, typing: bool },
    Presence(wire::AccountPresence),
    Custom(wire::Custom),
}

/// What can be listened to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Messages,
    Conversations,
    Typing,
    Presence,
    CustomStatus,
    Session,
    Notifications,
    Status,
    CatchUp,
    ConnectionLimit,
    Devices,
    Removed,
    Error,
    Trace,
}

impl Kind {
    pub(crate) fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "messages" => Self::Messages,
            "conversations" => Self::Conversations,
            "typing" => Self::Typing,
            "presence" => Self::Presence,
            "custom-status" => Self::CustomStatus,
            "session" => Self::Session,
            "notifications" => Self::Notifications,
            "status" => Self::Status,
            "catch-up" => Self::CatchUp,
            "connection-limit" => Self::ConnectionLimit,
            "devices" => Self::Devices,
            "removed" => Self::Removed,
            "error" => Self::Error,
            "trace" => Self::Trace,
            _ => return None,
        })
    }
}

impl Driver {
    /// Opens the account's store, joins the other tabs and starts to sync.
    pub(crate) async fn open(options: Options) -> Result<Rc<Self>, Failure> {
        panic::check()?;
        let store = store::open(&options.account).await.map_err(|error| Failure::from(&error))?;
        let tab = TabId::mint(now().wall, random());
        let mut profile =
            store::profile_name(&options.account).await.map_err(|error| Failure::from(&error))?;
        if !store.durable() {
            // What it holds no other tab can read: it is a profile of its own.
            profile = format!("{profile}-{tab}");
        }
        let inbox = Rc::new(Inbox::default());
        let channel = inbox.join(&profile)?;
        let anonymous = options.config.anonymous;
        let registered = register(&store, &profile, &options.account, anonymous).await;
        let Registered { snapshot, replica, mended } = registered.map_err(|error| Failure::from(&error))?;
        let setup = Setup {
            identity: Identity {
                account: options.account.clone(),
                device_name: options.device_name.clone(),
                platform: options.platform,
                tab,
            },
            seed: random(),
            epoch: snapshot.epoch,
            network: is_online(),
            visible: is_visible(),
            config: options.config,
        };
        let engine = Engine::new(setup, replica, now());
        let told: Rc<RefCell<Weak<Self>>> = Rc::default();
        let news_task = Soon::new({
            let told = told.clone();
            move || {
                if let Some(driver) = told.borrow().upgrade() {
                    driver.tell_news();
                }
            }
        })
        .map_err(|error| Failure::new(Code::Unsupported, describe(&error)))?;
        let driver = Rc::new_cyclic(|this| Self {
            options,
            profile,
            store,
            engine: RefCell::new(engine),
            inbox: inbox.clone(),
            channel: RefCell::new(Some(channel)),
            lock: RefCell::default(),
            connection: RefCell::default(),
            wanted: Cell::default(),
            mending: Cell::default(),
            reading_ahead: Cell::default(),
            timer: Timer::default(),
            page_listeners: RefCell::default(),
            requests: RefCell::default(),
            last_request: Cell::default(),
            listeners: RefCell::default(),
            last_listener: Cell::default(),
            news: RefCell::default(),
            news_task,
            this: this.clone(),
            open: RefCell::default(),
        });
        driver.open.replace(Some(driver.clone()));
        DRIVERS.with_borrow_mut(|drivers| {
            drivers.retain(|driver| driver.strong_count() > 0);
            drivers.push(driver.this.clone());
        });
        told.replace(driver.this.clone());
        driver.store.on_lost(&driver.listener(|driver, deleted| {
            driver.feed(if deleted.is_truthy() { Input::StoreDeleted } else { Input::StoreLost });
        }));
        driver.listen_to_page();
        if driver.store.durable()
            && let Ok(asked) = ask_to_persist()
        {
            // The browser decides, and may ask its user. Whatever comes of it, all goes on.
            spawn_local(async { drop(JsFuture::from(asked).await) });
        }
        inbox.driver.replace(driver.this.clone());
        driver.feed(Input::NetworkChanged(is_online()));
        driver.note_mended(mended);
        Ok(driver)
    }

    pub(crate) fn identity(&self) -> Identity {
        self.engine.borrow().identity().clone()
    }

    /// The device's lasting id, if it has one.
    pub(crate) fn device(&self) -> Option<DeviceId> {
        self.engine.borrow().device()
    }

    /// What the application has set, in any tab.
    pub(crate) fn config(&self) -> Config {
        self.engine.borrow().config()
    }

    /// Sets some of it, for all tabs.
    pub(crate) fn configure(&self, changes: &JsValue) -> Result<(), Failure> {
        self.check_open()?;
        let config = types::configured(self.config(), changes)?;
        self.feed(Input::Configure(config));
        Ok(())
    }

    pub(crate) fn status(&self) -> JsValue {
        if let Err(failure) = panic::check() {
            let status = Status {
                leader: false,
                connection: Connection::Closed,
                reason: Some(failure.code),
                pending: 0,
                catching_up: None,
                tabs: 1,
                epoch: Epoch(0),
                working_offline: false,
            };
            return types::status(&status, self.store.durable());
        }
        types::status(&self.engine.borrow().status(), self.store.durable())
    }

    pub(crate) fn inspect(&self) -> Result<JsValue, Failure> {
        self.check_open()?;
        Ok(types::to_js(&self.engine.borrow().inspect()))
    }

    /// Looks at this tab's copy of the account.
    pub(crate) fn read<T>(&self, look: impl FnOnce(&Replica) -> T) -> Result<T, Failure> {
        self.check_open()?;
        Ok(look(self.engine.borrow().replica()))
    }

    /// Hands the engine a call of the application, to wait for its answer.
    pub(crate) fn request(&self, input: impl FnOnce(RequestId) -> Input) -> Answered {
        match self.check_open() {
            Ok(()) => self.ask(input),
            Err(failure) => Box::pin(ready(Err(failure))),
        }
    }

    /// Leaves nothing of the account here. While that is done the client is at its end, and can be asked for it again.
    pub(crate) async fn erase(&self, revoke: bool) -> Result<(), Failure> {
        if !self.engine.borrow().erases() {
            self.check_open()?;
        }
        self.ask(|request| Input::Erase { request, revoke }).await.map(drop)
    }

    fn ask(&self, input: impl FnOnce(RequestId) -> Input) -> Answered {
        let (id, answered) = self.expect_answer();
        self.feed(input(id));
        answered
    }

    /// Boxed, so that what waits is there once, not once for each kind of call.
    fn expect_answer(&self) -> (RequestId, Answered) {
        let id = RequestId(self.last_request.get() + 1);
        self.last_request.set(id.0);
        let (answer, answered) = oneshot::channel();
        self.requests.borrow_mut().push((id, answer));
        let answered =
            async { answered.await.unwrap_or_else(|_| Err(panic::check().err().unwrap_or_else(closed))) };
        (id, Box::pin(answered))
    }

    /// One message, wherever on this device it is.
    pub(crate) async fn message(&self, id: OperationId) -> Result<Option<Message>, Failure> {
        let records = match self.read(|replica| replica.locate(id))? {
            Located::Found(message) => return Ok(Some(message)),
            Located::Unknown => return Ok(None),
            Located::Stored(records) => records,
        };
        let keys: Vec<Key> = records.into_iter().map(Key::Number).collect();
        for record in self.read_store(Table::Locators, &keys).await?.into_iter().flatten() {
            let locators = decode_locators(record).map_err(|error| self.read_failed(error))?;
            let found = self.read(|replica| {
                let (conversation, position) = replica.position_in(&locators, id)?;
                Some((conversation.to_owned(), position))
            })?;
            if let Some((conversation, position)) = found {
                let page = self.page(&conversation, Some(position.next()), 1).await?;
                return Ok(page.messages.into_iter().find(|message| message.id == id));
            }
        }
        Ok(None)
    }

    /// Sends a message. One with an id that is known here, wherever it is stored, is no second one.
    pub(crate) async fn send(
        &self,
        conversation: String,
        content: Bytes,
        kind: String,
        id: Option<OperationId>,
    ) -> Result<Message, Failure> {
        if let Some(id) = id
            && let Some(known) = self.message(id).await?
        {
            let same = known.conversation == conversation && known.content == content && known.kind == kind;
            return if same { Ok(known) } else { Err(conflict()) };
        }
        let sent = |request| Input::Send { request, conversation, kind, content, id };
        match self.request(sent).await? {
            Reply::Message(message) => Ok(*message),
            _ => Err(Failure::new(Code::Internal, "a send was answered without its message")),
        }
    }

    /// A message that the application wants to change.
    pub(crate) async fn changeable(&self, id: OperationId) -> Result<Message, Failure> {
        let message = self.message(id).await?;
        message.ok_or_else(|| Failure::new(Code::NotFound, "no such message on this device"))
    }

    /// The conversations, latest activity first. Who is shown them opens one of them next.
    pub(crate) fn conversations(&self, limit: usize) -> Result<Vec<Conversation>, Failure> {
        let shown = self.read(|replica| replica.conversations(limit))?;
        self.read_ahead(shown.iter().take(READ_AHEAD).map(|conversation| conversation.id.clone()).collect());
        Ok(shown)
    }

    /// Has the ends of these conversations at hand, of the first one last: it is to be kept longest.
    fn read_ahead(&self, conversations: Vec<String>) {
        if self.engine.borrow().status().catching_up.is_some() || self.reading_ahead.replace(true) {
            return;
        }
        self.spawn(async |driver| {
            // First the list is shown, and the page has its turn in between.
            TimeoutFuture::new(0).await;
            for conversation in conversations.into_iter().rev() {
                match driver.blocks(&conversation, None, READ_AHEAD_MESSAGES).await {
                    Ok(blocks) if blocks.is_empty() => {}
                    Ok(_) => TimeoutFuture::new(0).await,
                    // What cannot be read, who asks for it is told.
                    Err(_) => break,
                }
            }
            driver.reading_ahead.set(false);
        });
    }

    /// A stretch of a conversation.
    pub(crate) async fn page(
        &self,
        conversation: &str,
        before: Option<Position>,
        limit: usize,
    ) -> Result<Page, Failure> {
        let blocks = self.blocks(conversation, before, limit).await?;
        self.read(|replica| replica.page(conversation, before, limit, &blocks))
    }

    /// What such a stretch needs of the store; its end is kept at hand.
    async fn blocks(
        &self,
        conversation: &str,
        before: Option<Position>,
        limit: usize,
    ) -> Result<SortedMap<u64, Block>, Failure> {
        let mut blocks: SortedMap<u64, Block> = SortedMap::new();
        loop {
            let wanted = self.read(|replica| replica.page_blocks(conversation, before, limit))?;
            // A fold may have moved messages to new blocks while the old ones were read.
            let missing: Vec<Key> =
                wanted.into_iter().filter(|number| !blocks.contains_key(number)).map(Key::Number).collect();
            if missing.is_empty() {
                if before.is_none() && !blocks.is_empty() {
                    self.engine.borrow_mut().keep_tail(conversation, limit, &blocks);
                }
                return Ok(blocks);
            }
            let records = self.read_store(Table::Blocks, &missing).await?;
            for (key, record) in missing.into_iter().zip(records) {
                // A block that is gone leaves a hole, which the page shows.
                let block = record.as_ref().map(Block::read).transpose();
                let block = block.map_err(|error| self.read_failed(error))?;
                if let Key::Number(number) = key {
                    blocks.insert(number, block.unwrap_or_default());
                }
            }
        }
    }

    /// A stretch of a conversation, with what the server has of it.
    pub(crate) async fn history(
        &self,
        conversation: &str,
        before: Option<Position>,
        limit: usize,
    ) -> Result<Page, Failure> {
        let mut page = self.page(conversation, before, limit).await?;
        let (Some(first), Some(last)) = (page.holes.first(), page.holes.last()) else {
            return Ok(page);
        };
        if !self.config().history || self.engine.borrow().is_sync_disabled() {
            page.explain(Position(0), Missing::Disabled);
            return Ok(page);
        }
        let (conversation_of, from, to) = (conversation.to_owned(), first.from, last.to);
        let wish = |request| Input::Fetch { request, conversation: conversation_of, from, to };
        // What cannot be had now is shown as missing.
        if let Ok(Reply::Fetched(expired)) = self.request(wish).await {
            page = self.page(conversation, before, limit).await?;
            page.explain(expired, Missing::Offline);
        }
        Ok(page)
    }

    /// The newest messages that match, in one conversation or in all, wherever on this device they are.
    pub(crate) async fn search(
        &self,
        query: Query,
        conversation: Option<String>,
        limit: usize,
    ) -> Result<Vec<Message>, Failure> {
        let mut search = Search::new(query, conversation, limit);
        let mut patience = PATIENCE;
        loop {
            let blocks = match self.read(|replica| search.next(replica, SEARCHED_AT_ONCE))? {
                Next::Found(messages) => return Ok(messages),
                Next::Blocks(blocks) => blocks,
            };
            let keys: Vec<Key> = blocks.iter().map(|block| Key::Number(*block)).collect();
            let records = self.read_store(Table::Blocks, &keys).await?;
            let mut gone = false;
            for (block, record) in blocks.into_iter().zip(records) {
                // A fold has dissolved it, and this tab is about to hear of it; if not, there is nothing in it.
                if record.is_none() && patience > 0 {
                    gone = true;
                    continue;
                }
                let record = record.unwrap_or_default();
                search.look_through(block, &record).map_err(|error| self.read_failed(error))?;
            }
            if gone {
                patience -= 1;
                TimeoutFuture::new(WAIT).await;
            } else if !self.store.durable() {
                // What is in memory is read at once, and the page wants its turn.
                TimeoutFuture::new(0).await;
            }
        }
    }

    /// Has the server push to this browser while no tab is open.
    pub(crate) async fn enable_push(&self, registration: &JsValue) -> Result<(), Failure> {
        self.check_open()?;
        let key = self.config().push_key.ok_or_else(|| {
            invalid("config.pushNotificationSenderId is null: set it to the key that the server's GET /api/push tells")
        })?;
        let subscription = push::subscribe(registration, key, &self.store).await?;
        self.request(|request| Input::Manage { request, what: What::SetPush(subscription) }).await.map(drop)
    }

    /// Tells the server again where to push to, and subscribes anew if the browser has ended that by itself.
    pub(crate) async fn renew_push(&self) -> Result<(), Failure> {
        self.check_open()?;
        let Some(key) = self.config().push_key else {
            return Ok(());
        };
        match push::renew(key, &self.store).await? {
            Some(subscription) => self
                .request(|request| Input::Manage { request, what: What::SetPush(subscription) })
                .await
                .map(drop),
            None => Ok(()),
        }
    }

    /// By which it does that, or null.
    pub(crate) async fn push_registration(&self) -> Result<JsValue, Failure> {
        self.check_open()?;
        Ok(push::registration(&self.store).await)
    }

    /// Has it push to this browser no more.
    pub(crate) async fn disable_push(&self) -> Result<(), Failure> {
        self.check_open()?;
        let ended = push::unsubscribe(&self.store).await;
        let none = What::SetPush(wire::SetPush::default());
        match self.request(|request| Input::Manage { request, what: none }).await {
            // The push service tells the server when it pushes next.
            Err(failure) if ended && failure.code == Code::Offline => Ok(()),
            answer => answer.map(drop),
        }
    }

    /// Calls `listener` for every event of a kind until the function that it returns is called.
    pub(crate) fn on(&self, kind: Kind, listener: Function) -> Function {
        let id = self.last_listener.get() + 1;
        self.last_listener.set(id);
        self.listeners.borrow_mut().push((id, kind, listener));
        let this = self.this.clone();
        let off = Closure::<dyn FnMut()>::new(move || {
            if let Some(driver) = this.upgrade() {
                driver.listeners.borrow_mut().retain(|(of, _, _)| *of != id);
            }
        });
        // Freed with the JavaScript function.
        off.into_js_value().unchecked_into()
    }

    pub(crate) fn feed(&self, input: Input) {
        self.inbox.feed(input);
    }

    /// Leaves the tab group. What is being written is written to its end.
    pub(crate) fn close(&self) {
        if self.open.take().is_none() {
            return;
        }
        self.feed(Input::Close);
        self.wanted.take();
        self.lock.take();
        self.connection.take();
        self.channel.take();
        self.let_go_of_page();
        self.store.close();
    }

    /// What [`Driver::close`] does, as far as it can be done: what was borrowed in the panic stays so.
    fn abandon(&self) {
        fn free<T: Default>(cell: &RefCell<T>) {
            drop(cell.try_borrow_mut().map(|mut it| std::mem::take(&mut *it)));
        }
        if self.open.take().is_none() {
            return;
        }
        free(&self.lock);
        free(&self.channel);
        free(&self.connection);
        free(&self.requests);
        self.tell(Kind::Error, &|| error::to_js(&panic::failure()));
        self.let_go_of_page();
        self.store.close();
    }

    fn let_go_of_page(&self) {
        self.timer.set(None, || {});
        for (kind, listener) in self.page_listeners.take() {
            remove_global_listener(kind, &listener);
        }
    }

    fn check_open(&self) -> Result<(), Failure> {
        panic::check()?;
        match self.engine.borrow().status() {
            Status { connection: Connection::Closed, reason: Some(Code::Version), .. } => {
                Err(Failure::from(&StoreError::Version))
            }
            Status { connection: Connection::Closed, reason: Some(Code::Revoked), .. } => Err(revoked()),
            Status { connection: Connection::Closed, .. } => Err(closed()),
            _ => Ok(()),
        }
    }

    async fn read_store(&self, table: Table, keys: &[Key]) -> Result<Vec<Option<Bytes>>, Failure> {
        let records = self.store.read(table, keys).await.map_err(|error| self.read_failed(error))?;
        if records.iter().any(Option::is_none) {
            // Another tab may just have put what it held elsewhere. If not, it is missing.
            self.mend_soon();
        }
        Ok(records)
    }

    /// Something could not be read for the application. What is damaged now is not when it asks again.
    fn read_failed(&self, error: StoreError) -> Failure {
        let failure = Failure::from(&error);
        if matches!(error, StoreError::Damaged(_)) {
            self.mend_soon();
        }
        self.feed(Input::ReadFailed(error));
        failure
    }

    /// Has the store mended, if it is damaged, while whoever asked is answered.
    fn mend_soon(&self) {
        self.spawn(async |driver| driver.mend().await);
    }

    /// Has the store mended if it is damaged, unless that is under way. All tabs read it again then.
    async fn mend(&self) {
        if self.mending.replace(true) {
            return;
        }
        let (account, anonymous) = (&self.options.account, self.config().anonymous);
        let mended = mend(&self.store, &self.profile, account, anonymous).await;
        self.mending.set(false);
        match mended {
            // Another tab has moved it, and this one has not heard of that.
            Ok(None) => self.feed(Input::StoreLost),
            Ok(mended) => {
                self.note_mended(mended);
                if self.channel.borrow().is_some() {
                    // What this tab holds is of the store before, and so is its leadership.
                    self.feed(Input::Suspended);
                    self.feed(Input::Resumed);
                }
            }
            Err(error) => self.feed(Input::ReadFailed(error)),
        }
    }

    /// Tells that the store was damaged, and what was lost with that.
    fn note_mended(&self, mended: Option<usize>) {
        let Some(lost) = mended else { return };
        let mut message = "what is stored here was damaged, and comes from the server again".to_owned();
        if lost > 0 {
            message +=
                &format!("; operations that were not confirmed, could not be read and are lost: {lost}");
        }
        self.note(Event::Failed(Failure::new(Code::Storage, message)));
    }

    // ---- what the page and the browser tell ----

    fn listen_to_page(&self) {
        let mut listeners = self.page_listeners.borrow_mut();
        let mut listen = |kind, input| {
            let listener = self.listener(input);
            add_global_listener(kind, &listener);
            listeners.push((kind, listener));
        };
        listen("online", |driver, _| driver.feed(Input::NetworkChanged(true)));
        listen("offline", |driver, _| driver.feed(Input::NetworkChanged(false)));
        listen("visibilitychange", |driver, _| driver.feed(Input::VisibilityChanged(is_visible())));
        // Firefox does not keep a page that waits for a lock, and has decided so by the time of `pagehide`.
        listen("beforeunload", |driver, _| driver.feed(Input::Leaving));
        // The others learn at once that this tab is gone, or may be back one day; a page that keeps
        // anything is not kept by the browser.
        listen(
            "pagehide",
            |driver, event| if is_persisted(event) { driver.suspend() } else { driver.close() },
        );
        listen("pageshow", |driver, event| {
            if is_persisted(event) {
                driver.resume()
            }
        });
        listen("freeze", |driver, _| driver.suspend());
        listen("resume", |driver, _| driver.resume());
    }

    /// A function that does something as long as there is a driver to do it.
    fn listener(&self, work: fn(&Driver, &JsValue)) -> Function {
        let this = self.this.clone();
        let listener = Closure::<dyn FnMut(JsValue)>::new(move |event| {
            if let Some(driver) = this.upgrade() {
                work(&driver, &event);
            }
        });
        // Freed with the JavaScript function.
        listener.into_js_value().unchecked_into()
    }

    /// Lets go of all that others might wait for.
    fn suspend(&self) {
        self.feed(Input::Suspended);
        self.channel.take();
        self.store.suspend();
    }

    fn resume(&self) {
        if self.check_open().is_err() || self.channel.borrow().is_some() {
            return;
        }
        match self.inbox.join(&self.profile) {
            Ok(channel) => drop(self.channel.replace(Some(channel))),
            Err(failure) => self.note(Event::Failed(failure)),
        }
        self.feed(Input::Resumed);
    }

    fn lock(&self, id: LockId, steal: bool) {
        let this = self.this.clone();
        let on = move |event| {
            if let Some(driver) = this.upgrade() {
                driver.feed(match event {
                    LockEvent::Granted => Input::LockGranted(id),
                    LockEvent::Lost => Input::LockLost(id),
                    LockEvent::Unavailable => Input::NoLocks,
                });
            }
        };
        let lock = Lock::request(&self.profile, steal, Rc::new(on));
        self.lock.replace(Some((id, lock)));
    }

    fn claim(&self, id: LockId, from: Epoch) {
        self.spawn(async move |driver| {
            let claim = driver.store.raise_epoch(from).await;
            driver.feed(Input::Claimed(id, claim));
        });
    }

    // ---- what the engine wants done ----

    fn handle(&self, input: Input) {
        self.trace("input", input.name(), input.frame_len());
        let (effects, events) = {
            let mut engine = self.engine.borrow_mut();
            engine.handle(input, now());
            let effects: Vec<Effect> = std::iter::from_fn(|| engine.poll_effect()).collect();
            let events: Vec<Event> = std::iter::from_fn(|| engine.poll_event()).collect();
            (effects, events)
        };
        effects.into_iter().for_each(|effect| self.carry_out(effect));
        events.into_iter().for_each(|event| self.note(event));
    }

    fn carry_out(&self, effect: Effect) {
        self.trace("effect", effect.name(), effect.frame_len());
        match effect {
            Effect::Persist(id, batch) => self.persist(id, batch),
            Effect::Load(id, extent) => self.load(id, extent),
            Effect::Connect(id, transport) => self.connect(id, transport),
            Effect::Disconnect(id) => {
                // Another connection stays.
                self.wanted.set(self.wanted.get().filter(|wanted| *wanted != id));
                drop(self.connection.borrow_mut().take_if(|(of, _)| *of == id));
            }
            Effect::Send(id, bytes) => {
                if let Some((_, connection)) = self.connection.borrow().as_ref().filter(|(of, _)| *of == id) {
                    connection.send(bytes);
                }
            }
            Effect::Broadcast(bytes) => {
                if let Some(channel) = &*self.channel.borrow() {
                    channel.send(&bytes);
                }
            }
            Effect::Resolve(id, result) => {
                let mut requests = self.requests.borrow_mut();
                let at = requests.iter().position(|(of, _)| *of == id);
                if let Some((_, answer)) = at.map(|at| requests.swap_remove(at)) {
                    // Whoever asked may not wait any more.
                    let _ = answer.send(result);
                }
            }
            Effect::Lock(id) => self.lock(id, false),
            Effect::StealLock(id) => self.lock(id, true),
            Effect::ReleaseLock(id) => drop(self.lock.borrow_mut().take_if(|(of, _)| *of == id)),
            Effect::Claim(id, from) => self.claim(id, from),
            Effect::Renew => self.spawn(async |driver| {
                driver.store.begin_anew();
                let (account, anonymous) = (&driver.options.account, driver.config().anonymous);
                let result = register(&driver.store, &driver.profile, account, anonymous).await;
                driver.feed(Input::Renewed(result.map(|registered| registered.snapshot)));
            }),
            Effect::FetchToken(id) => self.spawn(async move |driver| {
                let token = driver.token().await;
                driver.feed(Input::TokenFetched(id, token));
            }),
            Effect::Erase => self.spawn(async |driver| {
                push::unsubscribe(&driver.store).await;
                let erased = driver.store.erase().await;
                driver.feed(Input::Erased(erased));
            }),
            Effect::Close => self.close(),
        }
    }

    fn persist(&self, id: BatchId, batch: Batch) {
        self.spawn(async move |driver| {
            let input = match driver.store.commit(batch).await {
                Ok(()) => Input::Persisted(id),
                Err(error) => Input::PersistFailed(id, error),
            };
            driver.feed(input);
        });
    }

    fn load(&self, id: LoadId, extent: Extent) {
        self.spawn(async move |driver| {
            let result = match extent {
                Extent::Everything => driver.store.salvage(&RESIDENT).await.and_then(Salvage::whole),
                Extent::Outbox => driver.store.salvage(&[Table::Outbox]).await.and_then(Salvage::whole),
                Extent::Blocks(numbers) => driver.load_blocks(numbers).await,
            };
            if let Err(StoreError::Damaged(_)) = result {
                // The engine tries again, and then it is mended.
                driver.mend().await;
            }
            driver.feed(Input::Loaded(id, result));
        });
    }

    async fn load_blocks(&self, numbers: Vec<u64>) -> Result<Snapshot, StoreError> {
        let keys: Vec<Key> = numbers.into_iter().map(Key::Number).collect();
        let records = self.store.read(Table::Blocks, &keys).await?;
        // One that is gone is told of as one that cannot be read.
        let block = |(key, record): (Key, Option<Bytes>)| (Table::Blocks, key, record.unwrap_or_default());
        let records = keys.into_iter().zip(records).map(block).collect();
        Ok(Snapshot { records, ..Snapshot::default() })
    }

    fn connect(&self, id: ConnectionId, by: Transport) {
        self.wanted.set(Some(id));
        self.spawn(async move |driver| {
            let opened = match driver.token().await {
                Ok(token) => driver.open_connection(id, by, token),
                Err(failure) => Err(failure),
            };
            if let Err(failure) = opened {
                driver.feed(Input::Disconnected(id, failure));
            }
        });
    }

    async fn token(&self) -> Result<String, Failure> {
        let function = match &self.options.token {
            TokenSource::Fixed(token) => return Ok(token.clone()),
            TokenSource::Function(function) => function,
        };
        let auth = |thrown: JsValue| {
            // What `fetch` throws when it reaches nobody.
            let code = if thrown.is_instance_of::<TypeError>() { Code::Offline } else { Code::Auth };
            Failure::new(code, format!("token: {}", describe(&thrown)))
        };
        let token = function.call0(&JsValue::UNDEFINED).map_err(auth)?;
        let token = JsFuture::from(Promise::resolve(&token)).await.map_err(auth)?;
        types::check_token(&token).map_err(|failure| Failure::new(Code::Auth, failure.message))
    }

    fn open_connection(&self, id: ConnectionId, by: Transport, token: String) -> Result<(), Failure> {
        if self.wanted.get() != Some(id) {
            return Ok(());
        }
        let this = self.this.clone();
        let token = Rc::new(Cell::new(Some(token)));
        let on = move |event| {
            let Some(driver) = this.upgrade() else { return };
            driver.feed(match event {
                ConnectionEvent::Opened => Input::Connected(id, token.take().unwrap_or_default()),
                ConnectionEvent::Frame(bytes) => Input::FrameReceived(id, bytes),
                ConnectionEvent::Closed(failure) => Input::Disconnected(id, failure),
            });
        };
        let url = &self.options.url;
        let connection = match by {
            Transport::Socket => transport::Connection::Socket(Socket::open(url, on)?),
            Transport::Post => transport::Connection::Post(Post::open(url, on)?),
        };
        self.connection.replace(Some((id, connection)));
        Ok(())
    }

    fn spawn(&self, task: impl AsyncFnOnce(Rc<Driver>) + 'static) {
        if let Some(driver) = self.this.upgrade() {
            // Boxed, so that what runs a task is there once, not once for each kind of task.
            let task: Pin<Box<dyn Future<Output = ()>>> = Box::pin(task(driver));
            spawn_local(task);
        }
    }

    fn set_timer(&self) {
        let deadline = self.engine.borrow().deadline();
        let this = self.this.clone();
        self.timer.set(deadline, move || {
            if let Some(driver) = this.upgrade() {
                driver.timer.fired();
                driver.feed(Input::Tick);
            }
        });
    }

    // ---- what the listeners are told ----

    fn note(&self, event: Event) {
        self.log(&event);
        let mut news = self.news.borrow_mut();
        match event {
            Event::Messages(messages) if messages.is_empty() => news.unsaid = true,
            Event::Messages(messages) => news.messages.extend(messages),
            Event::Conversations(ids) => news.conversations.extend(ids),
            Event::Sessions(sessions) => news.sessions.extend(sessions),
            Event::Notifications(changed) => news.notifications.get_or_insert_default().extend(changed),
            Event::Status(status) => news.status = Some(status),
            Event::Limited(limit) => news.limits.push(limit),
            Event::CaughtUp { events, complete_from } => news.caught_up.push((events, complete_from)),
            Event::Typing { conversation, account, typing } => {
                news.statuses.push(Told::Typing { conversation, account, typing });
            }
            Event::Presence(presence) => news.statuses.push(Told::Presence(presence)),
            Event::CustomStatus(custom) => news.statuses.push(Told::Custom(custom)),
            Event::Devices(devices) => news.devices = Some(devices),
            Event::Removed { by } => news.removed = Some(by),
            Event::Failed(failure) => news.failures.push(failure),
        }
        drop(news);
        self.schedule_news();
    }

    /// Notes what goes into the engine and comes out of it, if somebody wants to see that.
    fn trace(&self, kind: &'static str, name: &'static str, bytes: Option<usize>) {
        if self.listeners.borrow().iter().any(|(_, of, _)| *of == Kind::Trace) {
            self.news.borrow_mut().traces.push(Trace { at: now().wall, kind, name, bytes });
            self.schedule_news();
        }
    }

    /// Says on the console what has happened, if that is wanted.
    fn log(&self, event: &Event) {
        let (level, text) = match event {
            Event::Messages(messages) => (LogLevel::Debug, format!("{} messages changed", messages.len())),
            Event::Conversations(ids) => (LogLevel::Debug, format!("{} conversations changed", ids.len())),
            Event::Sessions(sessions) => (LogLevel::Debug, format!("{} sessions changed", sessions.len())),
            Event::Notifications(changed) => {
                (LogLevel::Debug, format!("{} notifications changed", changed.len()))
            }
            Event::Status(status) => {
                let role = if status.leader { "leader" } else { "follower" };
                let reason = status.reason.map_or("", Code::as_str);
                let connection = types::connection_name(status.connection);
                (LogLevel::Info, format!("{role}, {connection} {reason}, {} pending", status.pending))
            }
            Event::CaughtUp { events, .. } => (LogLevel::Info, format!("caught up with {events} events")),
            // What is kept nowhere is not kept on the console either.
            Event::Typing { .. } | Event::Presence(_) | Event::CustomStatus(_) => return,
            Event::Devices(devices) => (LogLevel::Debug, format!("{} devices", devices.devices.len())),
            Event::Removed { .. } => {
                (LogLevel::Warning, "this device was removed from the account".to_owned())
            }
            Event::Limited(_) => (LogLevel::Warning, "all places for connections are taken".to_owned()),
            Event::Failed(failure) => {
                let level = if failure.code.retryable() { LogLevel::Warning } else { LogLevel::Error };
                (level, format!("{}: {}", failure.code, failure.message))
            }
        };
        if level < self.config().log {
            return;
        }
        let say = match level {
            LogLevel::Debug => console_debug,
            LogLevel::Info => console_info,
            LogLevel::Warning => console_warn,
            LogLevel::Error => console_say_error,
        };
        say(&format!("tutti-sync: {text}"));
    }

    fn schedule_news(&self) {
        if !std::mem::replace(&mut self.news.borrow_mut().scheduled, true) {
            self.news_task.call();
        }
    }

    fn tell_news(&self) {
        let news = self.news.take();
        if !news.messages.is_empty() {
            self.tell(Kind::Messages, &|| types::to_js(&news.messages));
        }
        if news.unsaid {
            self.tell(Kind::Messages, &|| js_sys::Array::new().into());
        }
        if !news.conversations.is_empty() {
            self.tell(Kind::Conversations, &|| {
                let engine = self.engine.borrow();
                let replica = engine.replica();
                let changed: Vec<_> =
                    news.conversations.iter().filter_map(|id| replica.conversation(id)).collect();
                types::to_js(&changed)
            });
        }
        for session in &news.sessions {
            self.tell(Kind::Session, &|| types::to_js(session));
        }
        if let Some(changed) = &news.notifications {
            self.tell(Kind::Notifications, &|| types::to_js(changed));
        }
        for told in &news.statuses {
            match told {
                Told::Typing { conversation, account, typing } => {
                    self.tell(Kind::Typing, &|| types::typing(conversation, account, *typing));
                }
                Told::Presence(presence) => self.tell(Kind::Presence, &|| types::to_js(presence)),
                Told::Custom(custom) => self.tell(Kind::CustomStatus, &|| types::to_js(custom)),
            }
        }
        if let Some(devices) = &news.devices {
            self.tell(Kind::Devices, &|| types::devices(devices, self.device()));
        }
        if let Some(status) = &news.status {
            self.tell(Kind::Status, &|| types::status(status, self.store.durable()));
        }
        for limit in &news.limits {
            self.tell(Kind::ConnectionLimit, &|| types::connection_limit(limit));
        }
        for (events, complete_from) in news.caught_up {
            self.tell(Kind::CatchUp, &|| types::catch_up(events, complete_from));
        }
        if let Some(by) = &news.removed {
            self.tell(Kind::Removed, &|| types::removed(by.as_deref()));
        }
        for failure in &news.failures {
            self.tell(Kind::Error, &|| error::to_js(failure));
        }
        if !news.traces.is_empty() {
            self.tell(Kind::Trace, &|| types::to_js(&news.traces));
        }
    }

    /// Calls the listeners of a kind, one by one, with a value of their own.
    fn tell(&self, kind: Kind, value: &dyn Fn() -> JsValue) {
        let listeners: Vec<Function> = self
            .listeners
            .borrow()
            .iter()
            .filter(|(_, of, _)| *of == kind)
            .map(|(_, _, listener)| listener.clone())
            .collect();
        for listener in listeners {
            if let Err(thrown) = listener.call1(&JsValue::UNDEFINED, &value()) {
                console_error(&thrown);
            }
        }
    }
}

impl Inbox {
    fn join(self: &Rc<Self>, profile: &str) -> Result<Channel, Failure> {
        let inbox = self.clone();
        Channel::join(profile, move |frame| inbox.feed(Input::ChannelFrame(frame)))
    }

    fn feed(&self, input: Input) {
        if panic::check().is_err() {
            return;
        }
        self.inputs.borrow_mut().push_back(input);
        let Some(driver) = self.driver.borrow().upgrade() else { return };
        if self.draining.replace(true) {
            return;
        }
        loop {
            let Some(input) = self.inputs.borrow_mut().pop_front() else { break };
            driver.handle(input);
        }
        self.draining.set(false);
        driver.set_timer();
    }
}

/// What a client begins with.
struct Registered {
    snapshot: Snapshot,
    replica: Replica,
    /// The store was damaged, and so many operations were lost.
    mended: Option<usize>,
}

/// Reads what a replica is made of, after naming a new store and making it a device's, unless that is to have no
/// lasting id. A damaged store is mended.
async fn register(
    store: &AnyStore,
    profile: &str,
    account: &str,
    anonymous: bool,
) -> Result<Registered, StoreError> {
    let mut mended = None;
    loop {
        let loaded = store.salvage(&RESIDENT).await.and_then(Salvage::whole);
        match loaded.and_then(|snapshot| Ok((store::replica(account, &snapshot)?, snapshot))) {
            Ok((Some(replica), snapshot)) => return Ok(Registered { snapshot, replica, mended }),
            Ok((None, _)) => {
                // Of two tabs that do this at once, one is first and the other takes what it wrote.
                let (name, device) = newcomer(anonymous);
                store.commit(identity_batch(name, device)).await?;
            }
            Err(StoreError::Damaged(_)) if mended.is_none() => {
                mended = mend(store, profile, account, anonymous).await?;
            }
            Err(error) => return Err(error),
        }
    }
}

/// Has a store mended, if it is damaged, by who leads from then on. Says how many operations were lost with that.
async fn mend(
    store: &AnyStore,
    profile: &str,
    account: &str,
    anonymous: bool,
) -> Result<Option<usize>, StoreError> {
    let mut lock = None;
    while let Some(epoch) = store::damaged(store, account).await? {
        if lock.is_none() {
            // Another may have done it until this tab has it.
            lock = Some(Lock::steal(profile).await);
            continue;
        }
        let mended = store::mend(store, epoch, newcomer(anonymous)).await?;
        if mended.is_some() {
            return Ok(mended);
        }
    }
    Ok(None)
}

/// A store's name, and the device that it belongs to.
fn newcomer(anonymous: bool) -> (StoreId, Option<DeviceId>) {
    (StoreId::from(random()), (!anonymous).then(|| DeviceId::mint(now().wall, random())))
}

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    fill_random(&mut bytes);
    bytes
}

fn is_online() -> bool {
    // Only a clear "no" counts; some environments have no answer.
    look_up("navigator", "onLine").as_bool() != Some(false)
}

/// Whether somebody may look. Nobody looks at a worker, but its timers run.
fn is_visible() -> bool {
    look_up("document", "visibilityState").as_string().is_none_or(|state| state == "visible")
}

/// What a global object says now; undefined where there is no such object. An imported static would
/// throw there, and elsewhere stay what it was at first.
fn look_up(object: &str, field: &str) -> JsValue {
    let object = Reflect::get(&js_sys::global(), &object.into()).unwrap_or_default();
    Reflect::get(&object, &field.into()).unwrap_or_default()
}

fn is_persisted(event: &JsValue) -> bool {
    Reflect::get(event, &"persisted".into()).is_ok_and(|persisted| persisted.is_truthy())
}

fn conflict() -> Failure {
    Failure::new(Code::Conflict, "another message has this id")
}

fn revoked() -> Failure {
    Failure::new(Code::Revoked, "this device was removed from the account")
}

fn closed() -> Failure {
    Failure::new(Code::Closed, "this client is closed")
}
