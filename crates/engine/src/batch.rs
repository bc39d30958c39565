//! What the engine asks of a store: records in tables, changed in batches of one transaction each.

use bytes::Bytes;
use tutti_protocol::{Epoch, OperationId, Revision};

/// A kind of record. The layout is told in docs/architecture.md.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Table {
    /// One record, number 0: cursor, log, device.
    Meta,
    /// Commits as they came, not yet folded.
    Journal,
    /// Folded messages, sorted by conversation and position.
    Blocks,
    /// Conversation heads as of the last fold.
    Heads,
    /// Message id to conversation and position.
    Locators,
    /// Operations that the server has not confirmed: the only table that followers write.
    Outbox,
}

impl Table {
    /// Every table.
    pub const ALL: [Self; 6] =
        [Self::Meta, Self::Journal, Self::Blocks, Self::Heads, Self::Locators, Self::Outbox];
}

/// Where a record stands in its table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// In every table but the outbox. At most 2^53 - 1, so that it is exact in JavaScript.
    Number(u64),
    /// In the outbox.
    Operation(OperationId),
}

/// One change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    /// Writes a record over whatever was there. Values stay under 60 KiB.
    Put(Table, Key, Bytes),
    /// Writes a record unless one is there already.
    Insert(Table, Key, Bytes),
    /// Removes a record, if it is there.
    Delete(Table, Key),
    /// Removes all records of a table.
    Clear(Table),
}

/// How long a commit waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Until the operating system has it. For what the server still has.
    Relaxed,
    /// Until the disk has it. For what nobody else has.
    Strict,
}

/// Changes that happen together or not at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// What a leader writes: commits only while the store's epoch is this one.
    pub fence: Option<Epoch>,
    /// The store's revision after this commit, where it changes what followers hold.
    pub revision: Option<Revision>,
    /// In order.
    pub writes: Vec<Write>,
    /// How long to wait.
    pub durability: Durability,
}

/// All records of some tables, at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Of the newest leader; 0 before the first.
    pub epoch: Epoch,
    /// Of the last commit that had one; 0 before the first.
    pub revision: Revision,
    /// By table, then key.
    pub records: Vec<(Table, Key, Bytes)>,
}

/// What came of beginning a leadership.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// It has begun, at this revision; its epoch is the one after the one it was claimed from.
    Won(Revision),
    /// Another had begun before: the store's epoch is this one. Nothing has changed.
    Overtaken(Epoch),
}

/// Why a store did not do what it was asked. Nothing of the batch was written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// A newer leader has taken over.
    #[error("a newer leader writes this store")]
    Fenced,
    /// No space is left.
    #[error("no storage space is left: free some, nothing unsent was dropped")]
    Quota,
    /// The store was closed.
    #[error("the store was closed")]
    Closed,
    /// The database is held by a newer version of this code.
    #[error("the store belongs to a newer version: reload the page")]
    Version,
    /// A tab of an older version holds the database open.
    #[error("a tab that runs an older version of this page keeps the storage from being upgraded: close it")]
    Blocked,
    /// The database is another one than before: the browser, or its user, has cleared this site's data.
    #[error("the browser has cleared this site's data")]
    Erased,
    /// A record does not open: another key, or changed bytes.
    #[error("a stored record is damaged: {0}")]
    Damaged(String),
    /// Anything else that the storage said.
    #[error("storage failed: {0}")]
    Failed(String),
}
