//! The store of a browser that keeps nothing.

use std::cell::RefCell;

use bytes::Bytes;
use tutti_engine::batch::{Batch, Claim, Key, Snapshot, StoreError, Table, Write};
use tutti_protocol::{Epoch, Revision};

use super::{Salvage, Store};

/// Records in memory: gone with the tab.
#[derive(Debug)]
pub struct MemoryStore {
    /// Nothing once closed.
    state: RefCell<Option<State>>,
}

#[derive(Debug, Default)]
struct State {
    epoch: Epoch,
    revision: Revision,
    push: Option<String>,
    /// By table and key.
    records: Vec<(Table, Key, Bytes)>,
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self { state: RefCell::new(Some(State::default())) }
    }
}

impl MemoryStore {
    fn with<T>(&self, work: impl FnOnce(&mut State) -> Result<T, StoreError>) -> Result<T, StoreError> {
        work(self.state.borrow_mut().as_mut().ok_or(StoreError::Closed)?)
    }
}

impl MemoryStore {
    pub(super) fn push(&self) -> Option<String> {
        self.state.borrow().as_ref()?.push.clone()
    }

    pub(super) fn set_push(&self, push: Option<String>) {
        if let Some(state) = &mut *self.state.borrow_mut() {
            state.push = push;
        }
    }
}

impl Store for MemoryStore {
    async fn salvage(&self, tables: &[Table]) -> Result<Salvage, StoreError> {
        self.with(|state| {
            let of = |table| state.records.iter().filter(move |(of, ..)| *of == table);
            let records = tables.iter().flat_map(|table| of(*table)).cloned().collect();
            let snapshot = Snapshot { epoch: state.epoch, revision: state.revision, records };
            Ok(Salvage { snapshot, damaged: Vec::new() })
        })
    }

    async fn read(&self, table: Table, keys: &[Key]) -> Result<Vec<Option<Bytes>>, StoreError> {
        self.with(|state| {
            let read = |key: &Key| Some(state.records[state.find(table, *key).ok()?].2.clone());
            Ok(keys.iter().map(read).collect())
        })
    }

    async fn commit(&self, batch: Batch) -> Result<(), StoreError> {
        self.with(|state| {
            if batch.fence.is_some_and(|fence| fence != state.epoch) {
                return Err(StoreError::Fenced);
            }
            batch.writes.into_iter().for_each(|write| state.write(write));
            state.revision = batch.revision.unwrap_or(state.revision);
            Ok(())
        })
    }

    async fn raise_epoch(&self, from: Epoch) -> Result<Claim, StoreError> {
        self.with(|state| {
            if from != state.epoch {
                return Ok(Claim::Overtaken(state.epoch));
            }
            state.epoch = from.next();
            Ok(Claim::Won(state.revision))
        })
    }

    fn begin_anew(&self) {}

    fn suspend(&self) {}

    fn durable(&self) -> bool {
        false
    }

    async fn erase(&self) -> Result<(), StoreError> {
        self.close();
        Ok(())
    }

    fn close(&self) {
        self.state.take();
    }
}

impl State {
    /// Where a record is, or where it belongs.
    fn find(&self, table: Table, key: Key) -> Result<usize, usize> {
        self.records.binary_search_by_key(&(table, key), |(table, key, _)| (*table, *key))
    }

    fn write(&mut self, write: Write) {
        match write {
            Write::Put(table, key, value) => match self.find(table, key) {
                Ok(at) => self.records[at].2 = value,
                Err(at) => self.records.insert(at, (table, key, value)),
            },
            Write::Insert(table, key, value) => {
                if let Err(at) = self.find(table, key) {
                    self.records.insert(at, (table, key, value));
                }
            }
            Write::Delete(table, key) => drop(self.find(table, key).map(|at| self.records.remove(at))),
            Write::Clear(table) => self.records.retain(|(of, ..)| *of != table),
        }
    }
}
