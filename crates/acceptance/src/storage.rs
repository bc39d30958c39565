//! What a server keeps, behind a trait: acceptance is written once and runs over any storage.
//!
//! Everything that changes the storage happens in a [`Transaction`]; reads see what was committed.

mod lineage;
mod memory;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "sql")]
mod rotation;
#[cfg(feature = "sql")]
mod rows;
#[cfg(feature = "sql")]
mod seal;
#[cfg(feature = "sqlite")]
mod sqlite;

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use bytes::Bytes;
use tutti_protocol::{DeviceId, LogId, Millis, OperationId, Position, Seq, wire};

pub use memory::MemoryStorage;
#[cfg(feature = "postgres")]
pub use postgres::PostgresStorage;
#[cfg(feature = "sql")]
pub use seal::MasterKeys;
#[cfg(feature = "sqlite")]
pub use sqlite::SqliteStorage;

use crate::{
    devices::{Device, Known, Removed, Subscription, Token, TokenMark},
    merge::{Fields, Stamp},
};

/// The storage refused: out of space, locked, damaged, gone. Trying again may help.
#[derive(Debug, thiserror::Error)]
#[error("storage: {cause}")]
pub struct StorageError {
    #[source]
    cause: Box<dyn std::error::Error + Send + Sync>,
    is_passing: bool,
}

impl StorageError {
    /// Wraps what the storage said.
    pub fn new(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self { cause: cause.into(), is_passing: false }
    }

    /// Wraps what the storage said when somebody else was in the way, or the way to it was gone for a moment.
    pub fn passing(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self { cause: cause.into(), is_passing: true }
    }

    /// Whether the very same may go through in a moment: nothing is wrong with it, and nothing of it was done.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        self.is_passing
    }
}

#[cfg(feature = "sql")]
impl From<sqlx::Error> for StorageError {
    fn from(error: sqlx::Error) -> Self {
        let is_passing = match &error {
            sqlx::Error::Database(error) => error.code().is_some_and(|code| PASSING.contains(&&*code)),
            sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut => true,
            _ => false,
        };
        Self { cause: error.into(), is_passing }
    }
}

/// What PostgreSQL says of two transactions that met: they could not be put in an order, waited for each other, or one
/// was not to wait, or waited for too long, or both have made the same; and of a server that ends, begins, or has too
/// many connections. What SQLite says is a number.
#[cfg(feature = "sql")]
const PASSING: [&str; 10] =
    ["40001", "40P01", "55P03", "23505", "25P03", "57P01", "57P02", "57P03", "53300", "08006"];

/// What the storage answers.
pub type Result<T, E = StorageError> = std::result::Result<T, E>;

/// A server's lasting memory.
#[async_trait]
pub trait Storage: Send + Sync + 'static {
    /// Names the log, from the making of the storage on. A cursor means something only in one log.
    fn log_id(&self) -> LogId;

    /// Gives the log another name, for a storage that was restored from a backup: what is written from now on counts on
    /// from there, so that a cursor from before may be one of other events. Whoever has the storage open elsewhere goes on
    /// with the name that it knows.
    async fn rename_log(&self, id: LogId) -> Result<()>;

    /// When the last operation was accepted that is in this log as well as in that one: what came later to one of them
    /// is not in the other. None: they are the same, or nothing was ever restored here.
    fn common(&self, with: LogId) -> Option<Millis>;

    /// Opens a transaction. It is undone unless it is committed.
    async fn begin(&self) -> Result<Box<dyn Transaction>>;

    /// The last seq in an account's log.
    async fn head(&self, account: &str) -> Result<Seq>;

    /// The last seq of an account's log that is no longer kept; 0: all are.
    async fn tail(&self, account: &str) -> Result<Seq>;

    /// Whether anything up to there in an account's log waits for the first device that comes for it.
    async fn waits(&self, account: &str, until: Seq) -> Result<bool>;

    /// What comes after `after` in an account's log, as one of its devices gets it, up to the limits of a page. A
    /// message that is for another device, and what becomes of it, takes its place without a body.
    async fn page(&self, account: &str, after: Seq, device: DeviceId) -> Result<Page>;

    /// How an account's conversations are now for one of its devices, so many after that name, in the order of
    /// their names. One that was erased has none, nor anything set.
    async fn overviews(
        &self,
        account: &str,
        reader: Reader,
        after: &str,
        most: usize,
    ) -> Result<Vec<Overview>>;

    /// All that is set of an account's targets, so many after that name, in the order of their names.
    async fn shared(&self, account: &str, after: &str, most: usize) -> Result<Vec<wire::Fields>>;

    /// What an account is notified of, after that id, so many in the order of their ids.
    async fn notifications(
        &self,
        account: &str,
        after: Option<OperationId>,
        most: usize,
    ) -> Result<Vec<wire::Notification>>;

    /// The next of an account's conversations after that name in which the last message was sent at that time
    /// or later, and its position.
    async fn active(&self, account: &str, after: &str, since: Millis) -> Result<Option<(String, Position)>>;

    /// Of these positions in an account's view of a conversation, both ends included, so many messages that are
    /// kept and for one of its devices, the last one first.
    async fn stretch(
        &self,
        account: &str,
        reader: Reader,
        conversation: &str,
        positions: (Position, Position),
        most: usize,
    ) -> Result<Vec<wire::Message>>;

    /// An account's devices, first registered first.
    async fn devices(&self, account: &str) -> Result<Vec<Device>>;

    /// What is known of a device.
    async fn device(&self, account: &str, id: &str) -> Result<Option<Known>>;

    /// Which devices may use a token that was revoked, since they came with it before and were not removed; none:
    /// it was not revoked.
    async fn token_keepers(&self, account: &str, token: TokenMark) -> Result<Option<BTreeSet<String>>>;

    /// Who is in a group, if there is one of that name.
    async fn group(&self, id: &str) -> Result<Option<BTreeSet<String>>>;

    /// With whom an account shares a conversation: a direct one that it has, or a group that both are in now.
    async fn contacts(&self, account: &str) -> Result<BTreeSet<String>>;

    /// When an account was erased, if it was.
    async fn erased(&self, account: &str) -> Result<Option<Millis>>;

    /// Accounts that were erased, and of which something is left.
    async fn erasing(&self) -> Result<Vec<String>>;

    /// The settings as they were last written.
    async fn settings(&self) -> Result<Option<String>>;

    /// Whether the storage answers at all.
    async fn check(&self) -> Result<()>;

    /// Makes sure that what was erased is nowhere any more: in no journal, no free page. Answers whether
    /// that is so; if not, somebody is still reading beside it, and it is to be tried again.
    async fn scrub(&self) -> Result<bool>;

    /// Lets go of the storage once what runs has ended.
    async fn close(&self);
}

/// A step that happens entirely or not at all.
#[async_trait]
pub trait Transaction: Send {
    /// Waits until nobody else is at what this will be done to; to be called first, and once. Where transactions do
    /// not meet there is nothing to wait for. Where they do, whoever touches more than it has said is refused as soon
    /// as somebody else is at it, since two that hold something and wait could wait for each other; see
    /// [`StorageError::is_passing`].
    async fn lock(&mut self, _touched: &Touched) -> Result<()> {
        Ok(())
    }

    /// The account of that name, made if need be.
    async fn account(&mut self, name: &str) -> Result<AccountKey>;

    /// What became of an operation when it was accepted.
    async fn receipt(&mut self, account: AccountKey, id: OperationId) -> Result<Option<Receipt>>;

    /// Remembers that an operation was accepted.
    async fn keep_receipt(&mut self, account: AccountKey, id: OperationId, receipt: &Receipt) -> Result<()>;

    /// Stores a message's content; `None` if another message has that id.
    async fn store_message(&mut self, message: &NewMessage<'_>) -> Result<Option<MessageKey>>;

    /// A stored message, and how an account stands to it; `None` for one that some log does not keep any more.
    async fn message(&mut self, account: AccountKey, id: OperationId) -> Result<Option<StoredMessage>>;

    /// Gives a message other content, for all logs that refer to it.
    async fn edit_message(
        &mut self,
        message: MessageKey,
        content: &Bytes,
        stamp: &Stamp,
        now: Millis,
    ) -> Result<()>;

    /// Takes the content from a message for good, for all logs that refer to it.
    async fn erase_message(&mut self, message: MessageKey) -> Result<()>;

    /// Writes into every log that holds a message that it has changed: by an operation, or by the server's own doing.
    async fn tell_changed(&mut self, message: MessageKey, operation: Option<OperationId>) -> Result<Told>;

    /// Removes the drafts in which a text occurs from a message's conversation, in every account that holds
    /// the message, and writes that into their logs. Answers whose they were.
    async fn remove_drafts(
        &mut self,
        message: MessageKey,
        text: &str,
        now: Millis,
    ) -> Result<BTreeSet<String>>;

    /// Stores a list of members, for log entries to refer to.
    async fn store_roster(&mut self, members: &BTreeSet<String>) -> Result<RosterKey>;

    /// An account's view of a conversation, if it ever had one.
    async fn view(&mut self, account: AccountKey, conversation: &str) -> Result<Option<View>>;

    /// The next place in an account's view of a conversation, which is made if need be, for what the
    /// account itself has sent.
    async fn next_place(&mut self, account: AccountKey, conversation: &str) -> Result<Place>;

    /// The place at a position of a view, or the last before the next message that is kept.
    async fn place_at(&mut self, view: ViewKey, position: Position) -> Result<Place>;

    /// Moves the read position of a view.
    async fn set_read(&mut self, place: Place) -> Result<()>;

    /// Writes into the logs of those of these accounts who do not know it yet how far another has read
    /// what they have, too. All of them call the conversation the same. Answers who they were.
    async fn tell_read(
        &mut self,
        accounts: &BTreeSet<String>,
        conversation: &str,
        reading: Reading,
    ) -> Result<BTreeSet<String>>;

    /// The fields of an account's target, removed ones too.
    async fn fields(&mut self, account: AccountKey, target: &str) -> Result<Fields>;

    /// Of how many targets an account has fields.
    async fn targets(&mut self, account: AccountKey) -> Result<usize>;

    /// Sets fields of an account's target, and writes into its log that they are as they are now. What the
    /// log said of the target before has no body any more.
    async fn set_fields(
        &mut self,
        account: AccountKey,
        operation: OperationId,
        fields: NewFields<'_>,
    ) -> Result<Seq>;

    /// Notifies an account of something that it was not notified of before, and writes that into its log.
    async fn notify(&mut self, account: AccountKey, notification: &wire::Notification) -> Result<Noted>;

    /// How far a notification of an account has come, if it is kept.
    async fn notification(
        &mut self,
        account: AccountKey,
        id: OperationId,
    ) -> Result<Option<wire::NotificationState>>;

    /// Notes that a notification has come further, and writes into the account's log how it is now. What the log
    /// said of it before has no body any more.
    async fn mark_notification(
        &mut self,
        account: AccountKey,
        operation: OperationId,
        mark: &wire::MarkNotification,
    ) -> Result<Noted>;

    /// Which notifications of messages of a conversation an account has not read: those that have the id of their message.
    async fn unread_messages(&mut self, account: AccountKey, conversation: &str) -> Result<Vec<OperationId>>;

    /// Takes the words from all notifications of a message, in every account, and writes that into their logs, in the
    /// order of their ids.
    /// Answers whose they were.
    async fn erase_notifications(&mut self, message: OperationId) -> Result<BTreeSet<String>>;

    /// Writes an entry of an account's own doing into its log, and answers its seq.
    async fn append(&mut self, account: AccountKey, operation: OperationId, entry: Entry) -> Result<Seq>;

    /// Writes what came from elsewhere into the logs of all these accounts but those that were erased, under each
    /// one's next seq and for each one's view of the conversation. Accounts and views are made if need be. Costs as
    /// many statements for five hundred accounts as for one.
    async fn deliver(&mut self, to: &Addressees, delivery: Delivery<'_>) -> Result<()>;

    /// Gives a device what waits in its account's log, after one seq and up to another, for the first that comes.
    async fn claim(&mut self, account: &str, device: DeviceId, after: Seq, until: Seq) -> Result<()>;

    /// Who is in a group, if there is one of that name.
    async fn group(&mut self, id: &str) -> Result<Option<BTreeSet<String>>>;

    /// Makes a group, or gives it other members.
    async fn put_group(&mut self, id: &str, members: &BTreeSet<String>) -> Result<()>;

    /// Removes a group.
    async fn drop_group(&mut self, id: &str) -> Result<()>;

    /// What is known of a device.
    async fn device(&mut self, account: &str, id: &str) -> Result<Option<Known>>;

    /// Writes a device that was not removed, as it is now, but for where it is pushed to.
    async fn put_device(&mut self, account: &str, device: &Device) -> Result<()>;

    /// Keeps of an account's devices [`limits::DEVICES`](tutti_protocol::limits::DEVICES). Those that were not there
    /// for longest give way; they may come again.
    async fn drop_surplus_devices(&mut self, account: &str) -> Result<()>;

    /// Sets where a device that is listed is pushed to.
    async fn set_push(&mut self, account: &str, id: &str, push: Option<&Subscription>) -> Result<()>;

    /// Forgets all of a device but that it was removed, and revokes the tokens that it came with.
    async fn remove_device(&mut self, account: &str, id: &str, removed: &Removed) -> Result<()>;

    /// Notes that a device comes with a token, if it may: it came with it before, or the token was not revoked.
    async fn note_token(&mut self, account: &str, device: &str, token: Token) -> Result<bool>;

    /// Forgets some of the tokens that have expired, and answers whether there may be more.
    async fn trim_tokens(&mut self, now: Millis) -> Result<bool>;

    /// Keeps no more of the log of the account after this one what comes before any message that was sent at that
    /// time or later, in a step of its own. The last message of each conversation stays. A message that no log
    /// refers to any more loses its content.
    async fn trim(&mut self, after: AccountKey, before: Millis) -> Result<Trimmed>;

    /// The first of these accounts that was erased, and when.
    async fn erased(&mut self, accounts: &[&str]) -> Result<Option<(String, Millis)>>;

    /// Notes that an account is erased from now on, for good, and forgets its devices and all tokens. Answers whether
    /// there is such an account.
    async fn begin_erasure(&mut self, account: &str, now: Millis) -> Result<bool>;

    /// A group that an account is in.
    async fn any_group(&mut self, account: AccountKey) -> Result<Option<String>>;

    /// Drops some of what an account that was erased has for itself, in a step of its own: entries of its log, receipts,
    /// fields, notifications, views. A message that no log refers to any more loses its content. Answers whether there
    /// may be more.
    async fn drop_own(&mut self, account: AccountKey) -> Result<bool>;

    /// The next message that an account has sent that was erased: each once, for as long as the erasure lasts.
    async fn next_sent(&mut self, account: AccountKey) -> Result<Option<SentMessage>>;

    /// Forgets from which of its sender's devices a message came, and which has changed it.
    async fn forget_source(&mut self, message: MessageKey) -> Result<()>;

    /// Destroys what the content of an account that was erased is sealed under. Its name is left, and when it was
    /// erased.
    async fn end_erasure(&mut self, account: AccountKey) -> Result<()>;

    /// Writes the settings.
    async fn put_settings(&mut self, settings: &str) -> Result<()>;

    /// Makes it lasting.
    async fn commit(self: Box<Self>) -> Result<()>;
}

/// What some work will be done to, as far as that can be told beforehand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Touched {
    /// Accounts into whose logs something is written.
    pub accounts: BTreeSet<String>,
    /// Groups to all of whose members something is sent.
    pub groups: BTreeSet<String>,
    /// Groups whose members learn how far others have read, if they are few enough for that.
    pub readers: BTreeSet<String>,
    /// Groups that get other members.
    pub changed_groups: BTreeSet<String>,
    /// Messages that change, and with them the logs of everyone who has them or was notified of them.
    pub messages: BTreeSet<OperationId>,
    /// Accounts whose devices and tokens are looked at or change.
    pub devices: BTreeSet<String>,
}

/// An account, as the storage numbers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccountKey(pub i64);

/// A view, as the storage numbers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ViewKey(pub i64);

/// A stored message, as the storage numbers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MessageKey(pub i64);

/// A stored list of members, as the storage numbers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RosterKey(pub i64);

/// What is kept of an accepted operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// SHA-256 of what the operation said.
    pub digest: [u8; 32],
    /// Its event in the submitter's log; 0: none.
    pub seq: Seq,
    /// When it was accepted.
    pub accepted_at: Millis,
}

/// A message that is about to be stored.
#[derive(Clone, Copy, Debug)]
pub struct NewMessage<'a> {
    /// Its id, which is its operation's.
    pub id: OperationId,
    /// The account it comes from.
    pub sender: &'a str,
    /// The device it comes from; none for the HTTP API.
    pub device: Option<&'a [u8]>,
    /// What kind of content it has.
    pub kind: &'a str,
    /// JSON text.
    pub content: &'a Bytes,
    /// When it was accepted.
    pub sent_at: Millis,
}

/// A message, as an account finds it.
#[derive(Clone, Debug)]
pub struct StoredMessage {
    /// Names it.
    pub key: MessageKey,
    /// The account it comes from.
    pub sender: String,
    /// When it was accepted.
    pub sent_at: Millis,
    /// What decided its present content; none: it was never edited.
    pub edit: Option<Stamp>,
    /// Whether it has been taken back.
    pub recalled: bool,
    /// Whether the account's log holds it.
    pub held: bool,
}

/// A message of an account that was erased.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SentMessage {
    /// Names it.
    pub key: MessageKey,
    /// Its id.
    pub id: OperationId,
    /// Whether it has its content.
    pub has_content: bool,
}

/// How an account's conversation is now.
#[derive(Clone, Debug)]
pub struct Overview {
    /// Its name.
    pub conversation: String,
    /// The last message that is for the reader, how far the account has read, who is there, and how far others
    /// have read, in the order of their names.
    pub news: Vec<wire::event::Body>,
}

/// What a step of trimming has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trimmed {
    /// After which account to go on; none: that was the last.
    pub next: Option<AccountKey>,
    /// Something went for good.
    pub erased: bool,
}

/// Whose logs got an entry, each with its seq.
pub type Told = BTreeMap<String, Seq>;

/// An entry about a notification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Noted {
    /// Where in the account's log it stands.
    pub seq: Seq,
    /// Something older went for good.
    pub erased: bool,
}

/// Fields that are about to be set.
#[derive(Clone, Copy, Debug)]
pub struct NewFields<'a> {
    /// What has them.
    pub target: &'a str,
    /// Those that change.
    pub fields: &'a Fields,
    /// When that is.
    pub updated_at: Millis,
    /// Which device sets them; empty for the HTTP API.
    pub device: &'a Bytes,
}

/// How far an account has read.
#[derive(Clone, Copy, Debug)]
pub struct Reading {
    /// Who.
    pub reader: AccountKey,
    /// The reader's view.
    pub view: ViewKey,
    /// The position in it.
    pub position: Position,
}

/// One account's view of a conversation.
#[derive(Clone, Copy, Debug)]
pub struct View {
    /// Names it.
    pub key: ViewKey,
    /// The last position.
    pub last: Position,
    /// The position read up to.
    pub read: Position,
}

/// Where a message stands in one account's view.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// The view.
    pub view: ViewKey,
    /// The position.
    pub position: Position,
    /// How many messages up to and with this one came from others.
    pub inbound: u64,
}

/// For which of an account's devices a message in its log is, and all that becomes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Addressee {
    /// For all of them.
    All,
    /// For the first that comes for it, which then is the one.
    First,
    /// For this one.
    Device(DeviceId),
}

/// Accounts, and for which of their devices something is.
pub type Addressees = BTreeMap<String, Addressee>;

/// A device that wants to know how all is, without a copy or beyond it.
#[derive(Clone, Copy, Debug)]
pub struct Reader {
    /// Which.
    pub device: DeviceId,
    /// Whether it gets messages that were for all devices, too, not only what is for it alone.
    pub compensated: bool,
    /// Whether it wants what the account is notified of.
    pub notified: bool,
}

/// What an account did itself, as its log says it.
#[derive(Clone, Copy, Debug)]
pub enum Entry {
    /// It sent a message.
    Message(MessageKey, Place, Addressee),
    /// It has read up to a place.
    Read(Place),
}

/// What enters the logs of several accounts alike.
#[derive(Clone, Copy, Debug)]
pub struct Delivery<'a> {
    /// What it came from; none for the server's own doing.
    pub operation: Option<OperationId>,
    /// What all of them call the conversation.
    pub conversation: &'a str,
    /// What it is.
    pub news: News,
}

/// What the logs of several accounts say alike.
#[derive(Clone, Copy, Debug)]
pub enum News {
    /// Another account's message arrived. It takes the next place in each view.
    Message(MessageKey),
    /// A group's members changed.
    Members(RosterKey),
}

/// A page of an account's log.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// Contiguous, in order.
    pub events: Vec<wire::Event>,
    /// The last seq of the page, or where it was to begin.
    pub next: Seq,
    /// The last seq of the log.
    pub head: Seq,
    /// The last one that is no longer kept. What comes after an earlier one cannot be told.
    pub tail: Seq,
    /// It cannot be used: something in it waits for the first device that comes for it. The reader is to
    /// claim that first.
    pub unclaimed: bool,
}
