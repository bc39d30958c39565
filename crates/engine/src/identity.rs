//! Who a profile is. Its tabs know their store by a name that no server learns. The server knows the device by an id
//! that lasts; or, if the application wants none, by one that passes: the tabs have it in memory alone, hand it on
//! to each other, and it is gone with the last of them.

use bytes::Bytes;
use tutti_protocol::{DeviceId, InvalidId, StoreId, codec, local};

use crate::{
    batch::{Batch, Durability, Key, Snapshot, StoreError, Table, Write},
    replica::{damaged, decode, of},
};

/// The record that holds the identity.
const IDENTITY: Key = Key::Number(1);

/// As whom the server knows a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Alias {
    pub(crate) device: DeviceId,
    /// The server is not to keep it.
    pub(crate) passing: bool,
}

/// What a store is called and which device it belongs to, if that has a lasting id; none in a new one.
///
/// # Errors
/// [`StoreError::Damaged`] when the record is not what this code writes.
pub fn identity(snapshot: &Snapshot) -> Result<Option<(StoreId, Option<DeviceId>)>, StoreError> {
    let Some((_, record)) = of(snapshot, Table::Meta).find(|(key, _)| *key == IDENTITY) else {
        return Ok(None);
    };
    let identity: local::Identity = decode(record)?;
    match (StoreId::try_from(&identity.store), named(&identity.device)) {
        (Ok(store), Ok(device)) => Ok(Some((store, device))),
        _ => Err(damaged("identity")),
    }
}

/// Names a store and makes it a device's, unless that has been done already.
#[must_use]
pub fn identity_batch(store: StoreId, device: Option<DeviceId>) -> Batch {
    Batch {
        fence: None,
        revision: None,
        writes: vec![Write::Insert(Table::Meta, IDENTITY, record(store, device))],
        durability: Durability::Strict,
    }
}

/// Gives a store to another device, or to one without a lasting id.
pub(crate) fn rewrite(store: StoreId, device: Option<DeviceId>) -> Write {
    Write::Put(Table::Meta, IDENTITY, record(store, device))
}

/// The device that a record or a frame names; none, if it has no lasting id.
pub(crate) fn named(device: &Bytes) -> Result<Option<DeviceId>, InvalidId> {
    (!device.is_empty()).then(|| DeviceId::try_from(device)).transpose()
}

fn record(store: StoreId, device: Option<DeviceId>) -> Bytes {
    let device = device.map(DeviceId::to_bytes).unwrap_or_default();
    codec::encode(&local::Identity { device, store: store.to_bytes() })
}
