//! Where a profile keeps its records: sealed in IndexedDB, or in memory where a browser has none.
//!
//! ```text
//! let store = store::open("ada").await?;
//! let claim = store.raise_epoch(snapshot.epoch).await?;
//! store.commit(batch).await?; // all of it or nothing, and nothing once another tab leads
//! let snapshot = store.load(&Table::ALL).await?;
//! ```

mod idb;
mod memory;
mod mend;
mod pack;

use bytes::Bytes;
use js_sys::Function;
use tutti_engine::batch::{Batch, Claim, Key, Snapshot, StoreError, Table};
use tutti_protocol::Epoch;

pub use idb::{IdbStore, profile_name};
pub use memory::MemoryStore;
pub(crate) use mend::{damaged, mend, replica};

/// Where a profile keeps its records. Each call is one transaction. Calls may overlap, and then happen
/// in any order: a small batch is sealed sooner than a large one.
#[expect(async_fn_in_trait, reason = "all of it runs on the one thread that a tab has")]
pub trait Store {
    /// What can be read of some tables, and what cannot.
    async fn salvage(&self, tables: &[Table]) -> Result<Salvage, StoreError>;
    /// All records of some tables, by table in the order given, then by key.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] when one of them cannot be read.
    async fn load(&self, tables: &[Table]) -> Result<Snapshot, StoreError> {
        self.salvage(tables).await.and_then(Salvage::whole)
    }
    /// Some records of a table, in the order of their keys as given.
    async fn read(&self, table: Table, keys: &[Key]) -> Result<Vec<Option<Bytes>>, StoreError>;
    /// Writes a batch, all of it or nothing.
    ///
    /// # Errors
    /// [`StoreError::Fenced`] when the store's epoch is no longer the batch's fence.
    async fn commit(&self, batch: Batch) -> Result<(), StoreError>;
    /// Begins the leadership after this one, which fences it, unless another has already begun.
    async fn raise_epoch(&self, from: Epoch) -> Result<Claim, StoreError>;
    /// From now on the store is what it is now. Until then, one that was erased and made anew refuses all
    /// calls as [`StoreError::Erased`]: they were meant for the one before.
    fn begin_anew(&self);
    /// Leaves nothing of it, whoever else has it open, and lets go of everything.
    ///
    /// # Errors
    /// When what is in it could not be removed.
    async fn erase(&self) -> Result<(), StoreError>;
    /// Lets go of the database until the next call.
    fn suspend(&self);
    /// Whether records outlive the tab.
    fn durable(&self) -> bool;
    /// Lets go of everything. What is under way completes; what comes later fails.
    fn close(&self);
}

/// What can be read of a store.
#[derive(Debug, Default)]
pub struct Salvage {
    /// The records that open.
    pub snapshot: Snapshot,
    /// Where one does not, or has gone.
    pub damaged: Vec<(Table, Key)>,
}

impl Salvage {
    /// All of it.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] when something cannot be read.
    pub fn whole(self) -> Result<Snapshot, StoreError> {
        match self.damaged.first() {
            Some((table, key)) => Err(StoreError::Damaged(format!("{table:?} {key:?}"))),
            None => Ok(self.snapshot),
        }
    }
}

/// Opens an account's store, in memory where the browser offers nothing better.
///
/// # Errors
/// [`StoreError::Version`] when a newer version of this code has the database, [`StoreError::Quota`]
/// when there is no space to open it. These are not helped by a store in memory, which would hide what
/// the database holds.
pub async fn open(account: &str) -> Result<AnyStore, StoreError> {
    match IdbStore::open(account).await {
        Ok(store) => Ok(AnyStore::Idb(store)),
        Err(StoreError::Failed(_)) => Ok(AnyStore::Memory(MemoryStore::default())),
        Err(error) => Err(error),
    }
}

impl AnyStore {
    /// What is known of this account's push subscription, if it has one. The browser has the rest.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn push(&self) -> Result<Option<String>, StoreError> {
        match self {
            Self::Idb(store) => store.push().await,
            Self::Memory(store) => Ok(store.push()),
        }
    }

    /// Keeps it, or none.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn set_push(&self, push: Option<String>) -> Result<(), StoreError> {
        match self {
            Self::Idb(store) => store.set_push(push).await,
            Self::Memory(store) => {
                store.set_push(push);
                Ok(())
            }
        }
    }

    /// Whether the database is of a later version, with which this code can work.
    fn is_later(&self) -> bool {
        matches!(self, Self::Idb(store) if store.is_later())
    }

    /// Calls this when the database is closed from without, and says whether that is to delete it.
    pub fn on_lost(&self, listener: &Function) {
        if let Self::Idb(store) = self {
            store.on_lost(listener);
        }
    }
}

/// What [`open`] found.
#[derive(Debug)]
pub enum AnyStore {
    /// In IndexedDB.
    Idb(IdbStore),
    /// In memory: gone with the tab, and not shared with other tabs.
    Memory(MemoryStore),
}

impl Store for AnyStore {
    async fn salvage(&self, tables: &[Table]) -> Result<Salvage, StoreError> {
        match self {
            Self::Idb(store) => store.salvage(tables).await,
            Self::Memory(store) => store.salvage(tables).await,
        }
    }

    async fn read(&self, table: Table, keys: &[Key]) -> Result<Vec<Option<Bytes>>, StoreError> {
        match self {
            Self::Idb(store) => store.read(table, keys).await,
            Self::Memory(store) => store.read(table, keys).await,
        }
    }

    async fn commit(&self, batch: Batch) -> Result<(), StoreError> {
        match self {
            Self::Idb(store) => store.commit(batch).await,
            Self::Memory(store) => store.commit(batch).await,
        }
    }

    async fn raise_epoch(&self, from: Epoch) -> Result<Claim, StoreError> {
        match self {
            Self::Idb(store) => store.raise_epoch(from).await,
            Self::Memory(store) => store.raise_epoch(from).await,
        }
    }

    async fn erase(&self) -> Result<(), StoreError> {
        match self {
            Self::Idb(store) => store.erase().await,
            Self::Memory(store) => store.erase().await,
        }
    }

    fn durable(&self) -> bool {
        match self {
            Self::Idb(store) => store.durable(),
            Self::Memory(store) => store.durable(),
        }
    }

    fn begin_anew(&self) {
        match self {
            Self::Idb(store) => store.begin_anew(),
            Self::Memory(store) => store.begin_anew(),
        }
    }

    fn suspend(&self) {
        match self {
            Self::Idb(store) => store.suspend(),
            Self::Memory(store) => store.suspend(),
        }
    }

    fn close(&self) {
        match self {
            Self::Idb(store) => store.close(),
            Self::Memory(store) => store.close(),
        }
    }
}
