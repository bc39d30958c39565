//! What becomes of a store that is damaged: who the device is stays, and what can be read of the outbox. All else
//! comes from the server again, as to a device that is new.
//!
//! That is a leader's doing: it begins with a claim, which fences the leader before, and is one transaction.

use bytes::Bytes;
use tutti_engine::{
    Replica,
    batch::{Batch, Claim, Durability, Key, Snapshot, StoreError, Table, Write},
    decode_block, decode_locators, identity, identity_batch,
};
use tutti_protocol::{DeviceId, Epoch, StoreId, codec, local::Queued};

use super::{AnyStore, Salvage, Store};

/// All that the server can tell again.
const COPIED: [Table; 5] = [Table::Meta, Table::Journal, Table::Blocks, Table::Heads, Table::Locators];

/// Reads a replica from the records of every table but blocks and locators; none: the store is new.
///
/// # Errors
/// [`StoreError::Damaged`] when they contradict each other, or are not what this code writes.
pub(crate) fn replica(account: &str, snapshot: &Snapshot) -> Result<Option<Replica>, StoreError> {
    let named = identity(snapshot)?.is_some();
    let is_copied = of(snapshot, Table::Journal).chain(of(snapshot, Table::Heads)).next().is_some();
    match (of(snapshot, Table::Meta).count(), named) {
        (0, _) if !is_copied => Ok(None),
        // Who the device is comes first, and with a copy how far that has come.
        (count, true) if count > usize::from(is_copied) => Replica::load(account, snapshot).map(Some),
        _ => Err(StoreError::Damaged("Meta".into())),
    }
}

/// Whether a store is damaged: in which leadership that was found.
///
/// # Errors
/// When it cannot be said now.
pub(crate) async fn damaged(store: &AnyStore, account: &str) -> Result<Option<Epoch>, StoreError> {
    // The key is read again, too.
    store.suspend();
    let found = store.salvage(&Table::ALL).await?;
    match is_sound(account, &found) {
        true => Ok(None),
        false if store.is_later() => Err(StoreError::Damaged("a later version is to see to it".into())),
        false => Ok(Some(found.snapshot.epoch)),
    }
}

/// Makes a store a sound one that was found damaged in a leadership, and says how many operations are lost with that.
/// None: another has led since. `fresh`: who the device is, if that cannot be read either.
///
/// # Errors
/// When the store fails in another way. It is as it was then.
pub(crate) async fn mend(
    store: &AnyStore,
    found: Epoch,
    fresh: (StoreId, Option<DeviceId>),
) -> Result<Option<usize>, StoreError> {
    let Claim::Won(revision) = store.raise_epoch(found).await? else { return Ok(None) };
    // From now on nobody else writes, but for followers, who only add to the outbox.
    let Salvage { snapshot, damaged } = store.salvage(&[Table::Meta, Table::Outbox]).await?;
    let mut lost: Vec<Key> = Vec::new();
    lost.extend(damaged.iter().filter(|(table, _)| *table == Table::Outbox).map(|(_, key)| *key));
    lost.extend(of(&snapshot, Table::Outbox).filter(|(_, record)| !is_queued(record)).map(|(key, _)| key));
    let (name, device) = identity(&snapshot).ok().flatten().unwrap_or(fresh);
    let mut writes: Vec<Write> = COPIED.map(Write::Clear).into();
    writes.extend(identity_batch(name, device).writes);
    writes.extend(lost.iter().map(|key| Write::Delete(Table::Outbox, *key)));
    let batch = Batch {
        fence: Some(found.next()),
        revision: Some(revision.next()),
        writes,
        durability: Durability::Strict,
    };
    match store.commit(batch).await {
        Ok(()) => Ok(Some(lost.len())),
        Err(StoreError::Fenced) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether all can be read that is wanted.
fn is_sound(account: &str, Salvage { snapshot, damaged }: &Salvage) -> bool {
    let Ok(replica) = replica(account, snapshot) else { return false };
    let is_there = |number: &u64| of(snapshot, Table::Blocks).any(|(key, _)| key == Key::Number(*number));
    let are_there = |replica: Replica| {
        let conversations = replica.conversations(usize::MAX);
        conversations.iter().all(|it| replica.page_blocks(&it.id, None, usize::MAX).iter().all(is_there))
    };
    let is_readable = |(table, _, record): &(Table, Key, Bytes)| match table {
        Table::Blocks => decode_block(record.clone()).is_ok(),
        Table::Locators => decode_locators(record.clone()).is_ok(),
        _ => true,
    };
    damaged.is_empty() && snapshot.records.iter().all(is_readable) && replica.is_none_or(are_there)
}

fn is_queued(record: &Bytes) -> bool {
    codec::decode_local::<Queued>(record.clone()).is_ok_and(|queued| codec::check_queued(&queued).is_ok())
}

fn of(snapshot: &Snapshot, table: Table) -> impl Iterator<Item = (Key, &Bytes)> {
    snapshot.records.iter().filter(move |(of, _, _)| *of == table).map(|(_, key, record)| (*key, record))
}
