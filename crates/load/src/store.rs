//! A client's store, in memory. Nobody else opens it, and it never fails.

use std::collections::BTreeMap;

use bytes::Bytes;
use tutti_engine::{
    Extent,
    batch::{Batch, Claim, Key, Snapshot, StoreError, Table, Write},
};
use tutti_protocol::{Epoch, Revision};

/// What is read when a client begins.
const RESIDENT: [Table; 4] = [Table::Meta, Table::Journal, Table::Heads, Table::Outbox];

/// A client's store.
#[derive(Debug, Default)]
pub(crate) struct Store {
    epoch: Epoch,
    revision: Revision,
    records: BTreeMap<(Table, Key), Bytes>,
}

impl Store {
    /// Writes all of a batch or nothing.
    pub(crate) fn commit(&mut self, batch: Batch) -> Result<(), StoreError> {
        if batch.fence.is_some_and(|fence| fence != self.epoch) {
            return Err(StoreError::Fenced);
        }
        for write in batch.writes {
            self.write(write);
        }
        self.revision = batch.revision.unwrap_or(self.revision);
        Ok(())
    }

    /// Reads what an engine asks for.
    pub(crate) fn load(&self, extent: &Extent) -> Snapshot {
        let tables = |tables: &[Table]| {
            let records = self.records.iter().filter(|((table, _), _)| tables.contains(table));
            records.map(|((table, key), value)| (*table, *key, value.clone())).collect()
        };
        let block = |number: &u64| {
            let key = (Table::Blocks, Key::Number(*number));
            (key.0, key.1, self.records.get(&key).cloned().unwrap_or_default())
        };
        let records = match extent {
            Extent::Everything => tables(&RESIDENT),
            Extent::Outbox => tables(&[Table::Outbox]),
            Extent::Blocks(numbers) => numbers.iter().map(block).collect(),
        };
        Snapshot { epoch: self.epoch, revision: self.revision, records }
    }

    /// Begins the leadership after `from`, if that is the newest.
    pub(crate) fn claim(&mut self, from: Epoch) -> Claim {
        if from != self.epoch {
            return Claim::Overtaken(self.epoch);
        }
        self.epoch = from.next();
        Claim::Won(self.revision)
    }

    fn write(&mut self, write: Write) {
        match write {
            Write::Put(table, key, value) => drop(self.records.insert((table, key), value)),
            Write::Insert(table, key, value) => drop(self.records.entry((table, key)).or_insert(value)),
            Write::Delete(table, key) => drop(self.records.remove(&(table, key))),
            Write::Clear(table) => self.records.retain(|(of, _), _| *of != table),
        }
    }
}
