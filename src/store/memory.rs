//! The store of a browser that keeps nothing.

use std::{cell::RefCell, collections::BTreeMap};

use bytes::Bytes;
use tutti_engine::batch::{Batch, Claim, Key, Snapshot, StoreError, Table, Write};
use tutti_protocol::{Epoch, Revision};

use super::Store;

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
    records: BTreeMap<(Table, Key), Bytes>,
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

impl Store for MemoryStore {
    async fn load(&self, tables: &[Table]) -> Result<Snapshot, StoreError> {
        self.with(|state| {
            let of = |table| state.records.iter().filter(move |((of, _), _)| *of == table);
            let records = tables.iter().flat_map(|table| of(*table));
            Ok(Snapshot {
                epoch: state.epoch,
                revision: state.revision,
                records: records.map(|((table, key), value)| (*table, *key, value.clone())).collect(),
            })
        })
    }

    async fn read(&self, table: Table, keys: &[Key]) -> Result<Vec<Option<Bytes>>, StoreError> {
        self.with(|state| Ok(keys.iter().map(|key| state.records.get(&(table, *key)).cloned()).collect()))
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

    fn suspend(&self) {}

    fn durable(&self) -> bool {
        false
    }

    fn close(&self) {
        self.state.take();
    }
}

impl State {
    fn write(&mut self, write: Write) {
        match write {
            Write::Put(table, key, value) => drop(self.records.insert((table, key), value)),
            Write::Insert(table, key, value) => drop(self.records.entry((table, key)).or_insert(value)),
            Write::Delete(table, key) => drop(self.records.remove(&(table, key))),
            Write::Clear(table) => self.records.retain(|(of, _), _| *of != table),
        }
    }
}
