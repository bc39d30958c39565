//! Tutti's sync state machine: an account's copy on one device, shared by any number of tabs.
//!
//! Something happened ([`Input`]), the engine decided, someone carries it out ([`Effect`]) and tells
//! the user ([`Event`]). The engine never waits, never reads a clock and rolls no dice of its own:
//! a week offline is an argument.
//!
//! ```text
//! engine.handle(Input::NetworkChanged(true), now);
//! while let Some(effect) = engine.poll_effect() {
//!     carry_out(effect); // what comes of it is another input, later
//! }
//! while let Some(event) = engine.poll_event() {
//!     show(event);
//! }
//! wake_at(engine.deadline());
//! ```

mod backoff;
pub mod batch;
mod block;
mod config;
mod engine;
mod entropy;
mod fold;
mod identity;
mod leadership;
mod link;
mod lowercase;
mod message;
mod notifications;
mod outbox;
mod replica;
mod salvage;
mod search;
mod sorted;
mod status;
mod tails;

use bytes::Bytes;
use tutti_protocol::{DeviceId, Epoch, Millis, OperationId, Position, TabId, wire::Platform};

pub use block::{Block, decode_block};
pub use config::{Config, Hide, LogLevel, PushKey};
pub use engine::{Engine, InOutbox, Inspection};
pub use identity::{identity, identity_batch};
pub use leadership::LockId;
pub use link::{Connection, ConnectionId, Transport};
pub use message::{Conversation, Failure, Hole, Message, Missing, Page, Session, State};
pub use outbox::Outbox;
pub use replica::{Located, Replica, decode_locators};
pub use search::{Next, Query, Search};
pub use sorted::{SortedMap, SortedSet};

use batch::{Batch, Claim, Snapshot, StoreError};

/// Who runs this engine.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The account.
    pub account: String,
    /// What people call the device.
    pub device_name: String,
    /// What kind of device.
    pub platform: Platform,
    /// The tab.
    pub tab: TabId,
}

/// What an engine begins with, besides its copy of the account.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Who runs it.
    pub identity: Identity,
    /// Entropy that no other tab has.
    pub seed: [u8; 32],
    /// The store's newest leadership, when the copy was read.
    pub epoch: Epoch,
    /// Whether the browser has a network.
    pub network: bool,
    /// Whether somebody looks at the tab, or its timers can be relied on all the same.
    pub visible: bool,
    /// What the application wants, unless another tab knows of something later.
    pub config: Config,
}

/// This moment.
#[derive(Clone, Copy, Debug, Default)]
pub struct Now {
    /// For deadlines: only grows.
    pub monotonic: Millis,
    /// For people and the hybrid clock: may jump.
    pub wall: Millis,
}

/// Which call of the application an answer belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RequestId(pub u64);

/// Which batch an answer of the store belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct BatchId(pub u64);

/// Which reading of the store an answer belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct LoadId(pub u64);

/// How much of the store is read again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Extent {
    /// Every table but blocks and locators.
    Everything,
    /// The outbox.
    Outbox,
    /// These blocks.
    Blocks(Vec<u64>),
}

/// What happened.
#[derive(Debug)]
pub enum Input {
    /// A batch is durable.
    Persisted(BatchId),
    /// Nothing of a batch was written.
    PersistFailed(BatchId, StoreError),
    /// The store was read again.
    Loaded(LoadId, Result<Snapshot, StoreError>),
    /// The profile's lock was granted.
    LockGranted(LockId),
    /// Another tab has stolen the lock, or it could not be had.
    LockLost(LockId),
    /// The browser has no locks.
    NoLocks,
    /// What the store says to a claim of leadership.
    Claimed(LockId, Result<Claim, StoreError>),
    /// Somebody looks at this tab, or nobody does any more.
    VisibilityChanged(bool),
    /// The page may be about to be left.
    Leaving,
    /// The tab may stand still from now on: it is kept for a return, or frozen.
    Suspended,
    /// The tab is back, and may have missed anything.
    Resumed,
    /// Bytes from another tab.
    ChannelFrame(Bytes),
    /// A socket is open, and this is the token to say hello with.
    Connected(ConnectionId, String),
    /// A socket has closed, or could not be opened.
    Disconnected(ConnectionId, Failure),
    /// Bytes from the server.
    FrameReceived(ConnectionId, Bytes),
    /// The browser has a network, or none.
    NetworkChanged(bool),
    /// The user sends a message.
    Send {
        /// Answered with the pending message.
        request: RequestId,
        /// To where.
        conversation: String,
        /// What kind of content.
        kind: String,
        /// JSON text.
        content: Bytes,
        /// The id, if the application has minted one.
        id: Option<OperationId>,
    },
    /// The user has read a conversation, up to a position or to its end.
    MarkRead {
        /// Answered with nothing.
        request: RequestId,
        /// Which.
        conversation: String,
        /// Up to where.
        position: Option<Position>,
    },
    /// The user gives a message other content.
    Edit {
        /// Answered with nothing.
        request: RequestId,
        /// The message, as the user sees it.
        message: Message,
        /// JSON text.
        content: Bytes,
    },
    /// The user takes a message back.
    Recall {
        /// Answered with nothing.
        request: RequestId,
        /// The message, as the user sees it.
        message: Message,
    },
    /// The user sets fields of a conversation or of a session.
    Set {
        /// Answered with nothing.
        request: RequestId,
        /// Of which, and to what.
        set: tutti_protocol::wire::Set,
    },
    /// The user has read a notification, or wants to see it no more.
    MarkNotification {
        /// Answered with nothing.
        request: RequestId,
        /// Which.
        id: OperationId,
        /// How far it has come.
        state: tutti_protocol::wire::NotificationState,
    },
    /// The user gives up a message that was not sequenced, or tries one again that was refused.
    Withdraw {
        /// Answered with nothing, once that is lasting.
        request: RequestId,
        /// The message.
        id: OperationId,
        /// Whether to try again.
        retry: bool,
    },
    /// The application wants messages that this device does not have.
    Fetch {
        /// Answered with what the server does not keep.
        request: RequestId,
        /// Of which conversation.
        conversation: String,
        /// From this position …
        from: Position,
        /// … to this one, at most [`tutti_protocol::limits::HISTORY`] together.
        to: Position,
    },
    /// The user types in a conversation, or does not any more. Said to who is there; kept nowhere.
    SetTyping {
        /// Where.
        conversation: String,
        /// Whether.
        typing: bool,
    },
    /// The user wants others to see this. Holds for all tabs of the profile.
    SetPresence(tutti_protocol::wire::Availability),
    /// The application says something to who is there in a conversation.
    SendStatus {
        /// Where.
        conversation: String,
        /// What kind of content.
        kind: String,
        /// JSON text.
        content: Bytes,
    },
    /// The application wants to know whether somebody is there.
    AskPresence {
        /// Answered with the presence.
        request: RequestId,
        /// Who.
        account: String,
    },
    /// The application wants something done about the account's devices.
    Manage {
        /// Answered with the devices, if those are wanted.
        request: RequestId,
        /// What.
        what: tutti_protocol::wire::manage::What,
    },
    /// Nothing is to be left of the account's copy on this device, in any tab.
    Erase {
        /// Answered with nothing, once that is so.
        request: RequestId,
        /// Nor of the device on the server: without it, nothing is erased.
        revoke: bool,
    },
    /// Nothing is left of the store, or something is.
    Erased(Result<(), StoreError>),
    /// Another token for a connection that stands, or why there is none.
    TokenFetched(ConnectionId, Result<String, Failure>),
    /// The application wants to be sure that all is in step.
    SyncNow(RequestId),
    /// The user wants this profile to be connected, in the place of another device if there is no other.
    TakeOver(RequestId, DeviceId),
    /// The user works offline, or no longer does.
    SetOffline(bool),
    /// The application sets this for all tabs.
    Configure(Config),
    /// The device is registered anew, in a store that was erased: its records.
    Renewed(Result<Snapshot, StoreError>),
    /// What the store was opened with is gone; nobody knows yet what became of it.
    StoreLost,
    /// Another tab deletes the store, which is how it is erased on purpose. This one may hear of that otherwise, or not:
    /// one that stood still has not.
    StoreDeleted,
    /// A record could not be read for the application.
    ReadFailed(StoreError),
    /// The tab is going away.
    Close,
    /// A deadline has come.
    Tick,
}

/// What to do.
#[derive(Debug)]
pub enum Effect {
    /// Write; the answer is [`Input::Persisted`] or [`Input::PersistFailed`].
    Persist(BatchId, Batch),
    /// Read; the answer is [`Input::Loaded`].
    Load(LoadId, Extent),
    /// Fetch a token and open a socket; the answer is [`Input::Connected`] or [`Input::Disconnected`].
    Connect(ConnectionId, Transport),
    /// Fetch another token for a connection that stands; the answer is [`Input::TokenFetched`].
    FetchToken(ConnectionId),
    /// Close a socket.
    Disconnect(ConnectionId),
    /// Send bytes to the server.
    Send(ConnectionId, Bytes),
    /// Send bytes to all other tabs.
    Broadcast(Bytes),
    /// Answer a call of the application.
    Resolve(RequestId, Result<Reply, Failure>),
    /// Register the device anew, in a store that was erased; the answer is [`Input::Renewed`].
    Renew,
    /// Leave nothing of the store, whoever else has it open; the answer is [`Input::Erased`].
    Erase,
    /// This client cannot go on: let go of everything.
    Close,
    /// Queue for the profile's lock; the answer is [`Input::LockGranted`], now or much later, and
    /// [`Input::LockLost`] when it is stolen.
    Lock(LockId),
    /// Take the profile's lock from whoever has it.
    StealLock(LockId),
    /// Let go of the lock, or of the place in its queue.
    ReleaseLock(LockId),
    /// Begin the leadership after this one in the store; the answer is [`Input::Claimed`].
    Claim(LockId, Epoch),
}

/// The answer to a call of the application.
#[derive(Clone, Debug)]
pub enum Reply {
    /// It is done.
    Done,
    /// The message, now durable.
    Message(Box<Message>),
    /// What the server has of the messages that were wanted is on this device now. Up to this position it keeps none
    /// that is not; 0: it keeps all.
    Fetched(Position),
    /// Whether somebody is there.
    Presence(Box<tutti_protocol::wire::AccountPresence>),
    /// The account's devices.
    Devices(Box<tutti_protocol::wire::Devices>),
}

/// What the user should know.
#[derive(Debug, PartialEq)]
pub enum Event {
    /// Messages that are new or look different now. None at all: any may look different, or be gone, since something was
    /// folded of which this tab has not heard, or another log has taken the place of the one that was known.
    Messages(Vec<MessageEvent>),
    /// Conversations whose summary changed.
    Conversations(Vec<String>),
    /// Sessions that look different now; without fields if there is nothing of them any more.
    Sessions(Vec<(Session, Origin)>),
    /// Notifications that are new or look different now. Others may be there no more.
    Notifications(Vec<tutti_protocol::wire::Notification>),
    /// The status changed.
    Status(Status),
    /// A catch-up has ended.
    CaughtUp {
        /// What it brought.
        events: u64,
        /// Since when all messages are on this device, if that is known.
        complete_from: Option<Millis>,
    },
    /// All of the account's places for connections are taken, by these. The profile polls meanwhile.
    Limited(tutti_protocol::wire::Limit),
    /// Somebody types, or does not any more.
    Typing {
        /// Where.
        conversation: String,
        /// Who.
        account: String,
        /// Whether.
        typing: bool,
    },
    /// Whether somebody is there.
    Presence(tutti_protocol::wire::AccountPresence),
    /// The account's devices, which have changed.
    Devices(tutti_protocol::wire::Devices),
    /// This device was removed, and nothing of the account is left on it.
    Removed {
        /// By which device; none: by the application's back end.
        by: Option<String>,
    },
    /// The application said something somewhere else.
    CustomStatus(tutti_protocol::wire::Custom),
    /// Something failed that no call waits for.
    Failed(Failure),
}

/// A message that is new, looks different now or is gone.
#[derive(Debug, PartialEq, Eq)]
pub struct MessageEvent {
    /// As it is now.
    pub message: Message,
    /// What has become of it.
    pub change: Change,
    /// Who did it.
    pub origin: Origin,
}

/// What has become of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It was not there before.
    Added,
    /// It looks different.
    Updated,
    /// Its sender has taken it back.
    Recalled,
    /// The user has given it up before it was sequenced.
    Removed,
}

/// Who did something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// This tab.
    Local,
    /// Another tab of this profile.
    Tab,
    /// Another device or account.
    Remote,
}

/// The state of sync in one look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// Whether this tab holds the connection.
    pub leader: bool,
    /// The profile's connection.
    pub connection: Connection,
    /// Why, when not online.
    pub reason: Option<tutti_protocol::Code>,
    /// Operations that the server has not confirmed.
    pub pending: usize,
    /// How far it is while events are on their way that happened before.
    pub catching_up: Option<CatchingUp>,
    /// Tabs of this profile, this one included.
    pub tabs: usize,
    /// Leadership number.
    pub epoch: Epoch,
    /// Whether the user works offline by choice.
    pub working_offline: bool,
}

/// How far a catch-up is, in events of the account's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CatchingUp {
    /// What it has brought, and is stored.
    pub done: u64,
    /// With what is still to come. None while only the server knows: on a new device, until it has the list of
    /// conversations.
    pub total: Option<u64>,
}
