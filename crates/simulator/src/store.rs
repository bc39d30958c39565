//! A store in memory that keeps the promises of `batch.rs`, and fails when it is told to.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use prost::Message as _;
use tutti_engine::batch::{Batch, Claim, Key, Snapshot, StoreError, Table, Write};
use tutti_protocol::{Epoch, OperationId, Revision, local, wire::operation};

/// A profile's database.
#[derive(Clone, Debug, Default)]
pub struct Store {
    /// The newest leadership.
    pub epoch: Epoch,
    /// The number of the last commit.
    pub revision: Revision,
    /// Everything in it.
    pub records: BTreeMap<(Table, Key), Bytes>,
    /// Which database this is.
    pub generation: u64,
    /// Operations so far.
    pub operations: u64,
    /// Messages on their way that a user gives up.
    pub given_up: BTreeSet<OperationId>,
    /// Messages that the last batch has taken out of the outbox, and that are not in the copy.
    pub gone: Vec<OperationId>,
    /// The operation with this number fails.
    pub fail: Option<(u64, StoreError)>,
}

impl Store {
    /// Writes all of a batch or nothing.
    ///
    /// # Errors
    /// When it was told to fail, or the batch is of an older leader.
    pub fn commit(&mut self, batch: Batch) -> Result<(), StoreError> {
        self.begin()?;
        if batch.fence.is_some_and(|fence| fence != self.epoch) {
            return Err(StoreError::Fenced);
        }
        let leaving = self.leaving(&batch);
        for write in batch.writes {
            self.write(write);
        }
        let gone = leaving.into_iter().filter(|id| !self.holds(*id)).collect();
        self.gone = gone;
        if let Some(revision) = batch.revision {
            assert_eq!(revision, self.revision.next(), "revisions count commits");
            self.revision = revision;
        }
        Ok(())
    }

    /// Reads whole tables.
    ///
    /// # Errors
    /// When it was told to fail.
    pub fn load(&mut self, tables: &[Table]) -> Result<Snapshot, StoreError> {
        self.begin()?;
        let records = self.records.iter().filter(|((table, _), _)| tables.contains(table));
        Ok(Snapshot {
            epoch: self.epoch,
            revision: self.revision,
            records: records.map(|((table, key), value)| (*table, *key, value.clone())).collect(),
        })
    }

    /// Reads some blocks; one that is not there as nothing.
    ///
    /// # Errors
    /// When it was told to fail.
    pub fn blocks(&mut self, numbers: &[u64]) -> Result<Snapshot, StoreError> {
        self.begin()?;
        let read = |number: &u64| {
            let key = (Table::Blocks, Key::Number(*number));
            (key.0, key.1, self.records.get(&key).cloned().unwrap_or_default())
        };
        Ok(Snapshot { records: numbers.iter().map(read).collect(), ..Snapshot::default() })
    }

    /// Begins the leadership after `from`, if that is the newest.
    ///
    /// # Errors
    /// When it was told to fail.
    pub fn raise_epoch(&mut self, from: Epoch) -> Result<Claim, StoreError> {
        self.begin()?;
        if from != self.epoch {
            return Ok(Claim::Overtaken(self.epoch));
        }
        self.epoch = from.next();
        Ok(Claim::Won(self.revision))
    }

    /// The site's data is cleared, and the next to open makes another database.
    pub fn erase(&mut self) {
        let given_up = std::mem::take(&mut self.given_up);
        *self = Self { generation: self.generation + 1, given_up, ..Self::default() };
    }

    /// The application wants nothing of it to be left.
    ///
    /// # Errors
    /// When it was told to fail.
    pub fn delete(&mut self) -> Result<(), StoreError> {
        self.begin()?;
        self.erase();
        Ok(())
    }

    /// The records of a table.
    pub fn table(&self, table: Table) -> impl DoubleEndedIterator<Item = (Key, &Bytes)> {
        self.records.iter().filter(move |((of, _), _)| *of == table).map(|((_, key), value)| (*key, value))
    }

    /// Messages on their way that a batch takes out of the outbox.
    fn leaving(&self, batch: &Batch) -> Vec<OperationId> {
        let deleted = batch.writes.iter().filter_map(|write| match write {
            Write::Delete(Table::Outbox, Key::Operation(id)) => Some(*id),
            _ => None,
        });
        let is_message = |id: &OperationId| {
            let record = self.records.get(&(Table::Outbox, Key::Operation(*id)));
            let queued = record.and_then(|record| local::Queued::decode(record.clone()).ok());
            let queued = queued.filter(|queued| queued.refused.is_none());
            let body = queued.and_then(|queued| queued.operation?.body);
            matches!(body, Some(operation::Body::Send(_)))
        };
        deleted.filter(is_message).filter(|id| !self.given_up.contains(id)).collect()
    }

    /// Whether a message is in the copy.
    fn holds(&self, id: OperationId) -> bool {
        let id = id.to_bytes();
        let in_journal = |record: &Bytes| {
            let journal = local::Journal::decode(record.clone()).unwrap_or_default();
            journal.events.iter().any(|event| event.operation == id)
        };
        let in_block = |record: &Bytes| {
            let block = local::Block::decode(record.clone()).unwrap_or_default();
            block.messages.iter().any(|message| message.id == id)
        };
        // What has just left is mostly in the newest.
        self.table(Table::Journal).rev().any(|(_, record)| in_journal(record))
            || self.table(Table::Blocks).rev().any(|(_, record)| in_block(record))
    }

    fn begin(&mut self) -> Result<(), StoreError> {
        self.operations += 1;
        match self.fail.take_if(|(number, _)| *number <= self.operations) {
            Some((_, error)) => Err(error),
            None => Ok(()),
        }
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
