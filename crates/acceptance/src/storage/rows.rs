//! What rows say, in whatever database they lie: the queries of all of them have the same columns in the same order.

use std::{collections::BTreeSet, sync::Arc};

use bytes::Bytes;
use prost::Message as _;
use tutti_protocol::{
    Millis, Timestamp,
    wire::{self, event::Body},
};

use super::{
    Addressee, Overview, Result, StorageError,
    seal::{Keyring, Seal, What},
};
use crate::{
    devices::{Device, Known, Removed, Subscription},
    merge::{Field, Stamp},
    platform::Platform,
};

// What the entries of the log are, as the schema tells; statements have the numbers in their text, since only so
// databases find the indexes.
pub(super) const MESSAGE: i64 = 1;
pub(super) const READ: i64 = 2;
pub(super) const MEMBERS: i64 = 3;
pub(super) const CHANGED: i64 = 4;
pub(super) const FIELDS: i64 = 5;
pub(super) const READ_BY: i64 = 6;
pub(super) const NOTIFICATION: i64 = 7;

/// A row, by the places of its columns.
pub(super) trait Columns {
    fn text(&self, at: usize) -> Result<Option<&str>>;
    fn bytes(&self, at: usize) -> Result<Option<&[u8]>>;
    fn integer(&self, at: usize) -> Result<Option<i64>>;
    fn flag(&self, at: usize) -> Result<Option<bool>>;

    fn some_text(&self, at: usize) -> Result<&str> {
        self.text(at)?.ok_or_else(|| missing(at))
    }

    fn name(&self, at: usize) -> Result<String> {
        self.some_text(at).map(str::to_owned)
    }

    fn some_bytes(&self, at: usize) -> Result<&[u8]> {
        self.bytes(at)?.ok_or_else(|| missing(at))
    }

    /// None are no bytes.
    fn shared_bytes(&self, at: usize) -> Result<Bytes> {
        Ok(self.bytes(at)?.map(Bytes::copy_from_slice).unwrap_or_default())
    }

    fn key(&self, at: usize) -> Result<i64> {
        self.integer(at)?.ok_or_else(|| missing(at))
    }

    fn number(&self, at: usize) -> Result<u64> {
        number(self.key(at)?)
    }

    fn some_flag(&self, at: usize) -> Result<bool> {
        self.flag(at)?.ok_or_else(|| missing(at))
    }
}

fn missing(at: usize) -> StorageError {
    StorageError::new(format!("column {at} says nothing"))
}

macro_rules! columns {
    ($row:ty) => {
        impl Columns for $row {
            fn text(&self, at: usize) -> Result<Option<&str>> {
                Ok(sqlx::Row::try_get(self, at)?)
            }

            fn bytes(&self, at: usize) -> Result<Option<&[u8]>> {
                Ok(sqlx::Row::try_get(self, at)?)
            }

            fn integer(&self, at: usize) -> Result<Option<i64>> {
                Ok(sqlx::Row::try_get(self, at)?)
            }

            fn flag(&self, at: usize) -> Result<Option<bool>> {
                Ok(sqlx::Row::try_get(self, at)?)
            }
        }
    };
}

#[cfg(feature = "sqlite")]
columns!(sqlx::sqlite::SqliteRow);
#[cfg(feature = "postgres")]
columns!(sqlx::postgres::PgRow);

// Where the columns of a page's rows stand that come after those of a message.
pub(super) const TARGET: usize = 12;
pub(super) const HEAD: usize = TARGET + 4;
pub(super) const ENTRY: usize = HEAD + 2;
pub(super) const ADDRESSEE: usize = ENTRY + 5;
pub(super) const NOTIFIED_OF: usize = ADDRESSEE + 2;
pub(super) const OWN_KEY: usize = NOTIFIED_OF + 6;

/// Reads a row of a page of an account's log; `None` for the one that stands for nothing to follow.
pub(super) fn read_event(
    row: &impl Columns,
    account: &str,
    keyring: &Keyring,
) -> Result<Option<wire::Event>> {
    let Some(seq) = row.integer(ENTRY)? else {
        return Ok(None);
    };
    let own_seal = || keyring.seal(account, row.bytes(OWN_KEY)?);
    let body = match row.key(ENTRY + 1)? {
        MESSAGE | CHANGED if row.some_flag(ADDRESSEE + 1)? => None,
        MESSAGE => read_message(row, keyring)?.map(Body::Message),
        READ => Some(Body::Read(wire::Read {
            conversation: row.name(0)?,
            position: row.number(1)?,
            inbound: row.number(2)?,
        })),
        MEMBERS => Some(Body::Members(wire::Members {
            conversation: row.name(0)?,
            members: parse(row.some_text(ENTRY + 3)?)?,
        })),
        CHANGED => read_message(row, keyring)?.map(Body::Changed),
        FIELDS => read_fields(row, TARGET, own_seal)?.map(Body::Fields),
        READ_BY => Some(Body::ReadBy(wire::ReadBy {
            conversation: row.name(0)?,
            account: row.name(ENTRY + 4)?,
            position: row.number(1)?,
        })),
        // One that a later entry tells of, or that is kept no longer.
        NOTIFICATION if row.bytes(NOTIFIED_OF)?.is_none() => None,
        NOTIFICATION => Some(Body::Notification(read_notification(row, NOTIFIED_OF, &*own_seal()?)?)),
        kind => return Err(StorageError::new(format!("an entry of the unknown kind {kind}"))),
    };
    Ok(Some(wire::Event { seq: number(seq)?, operation: row.shared_bytes(ENTRY + 2)?, body }))
}

/// Reads the columns of a message; `None` for one that is kept no longer.
pub(super) fn read_message(row: &impl Columns, keyring: &Keyring) -> Result<Option<wire::Message>> {
    let content = match row.bytes(7)?.unwrap_or_default() {
        [] => Bytes::new(),
        sealed => keyring
            .seal(row.some_text(4)?, row.bytes(11)?)?
            .open(What::Message(row.some_bytes(3)?), sealed)?,
    };
    let message = wire::Message {
        conversation: row.name(0)?,
        position: row.number(1)?,
        inbound: row.number(2)?,
        id: row.shared_bytes(3)?,
        sender: row.name(4)?,
        device: row.shared_bytes(5)?,
        r#type: row.name(6)?,
        content,
        sent_at: row.number(8)?,
        edited_at: row.number(9)?,
        recalled: row.some_flag(10)?,
    };
    Ok(Some(message).filter(|message| message.recalled || !message.content.is_empty()))
}

/// Reads how a conversation is now.
pub(super) fn read_overview(row: &impl Columns, keyring: &Keyring) -> Result<Overview> {
    let conversation = row.name(TARGET)?;
    let mut news = Vec::new();
    // Of a group in which nothing was said there is no message.
    if row.integer(1)?.is_some() {
        news.extend(read_message(row, keyring)?.map(Body::Message));
    }
    let position = row.number(TARGET + 1)?;
    if position > 0 {
        let (conversation, inbound) = (conversation.clone(), row.number(TARGET + 2)?);
        news.push(Body::Read(wire::Read { conversation, position, inbound }));
    }
    if let Some(members) = row.text(TARGET + 3)? {
        let members = parse(members)?;
        news.push(Body::Members(wire::Members { conversation: conversation.clone(), members }));
    }
    let mut readers: Vec<(String, u64)> = parse(row.some_text(TARGET + 4)?)?;
    readers.sort_unstable();
    news.extend(readers.into_iter().map(|(account, position)| {
        Body::ReadBy(wire::ReadBy { conversation: conversation.clone(), account, position })
    }));
    Ok(Overview { conversation, news })
}

/// Reads the columns of a target from this one on, unless a later entry has its fields.
pub(super) fn read_fields(
    row: &impl Columns,
    first: usize,
    seal: impl FnOnce() -> Result<Arc<Seal>>,
) -> Result<Option<wire::Fields>> {
    let Some(fields) = row.text(first + 3)? else {
        return Ok(None);
    };
    let target = row.name(first)?;
    let mut fields: Vec<(String, String)> = parse(fields)?;
    fields.sort_unstable();
    let seal = seal()?;
    let field = |(name, sealed): (String, String)| {
        let value = seal.open(What::Field(&target, &name), &bytes_of_hex(&sealed)?)?;
        Ok(wire::Field { name, value })
    };
    Ok(Some(wire::Fields {
        fields: fields.into_iter().map(field).collect::<Result<_>>()?,
        target,
        updated_at: row.number(first + 1)?,
        device: row.shared_bytes(first + 2)?,
    }))
}

/// Reads the columns of a notification from this one on.
pub(super) fn read_notification(row: &impl Columns, first: usize, seal: &Seal) -> Result<wire::Notification> {
    let sealed = row.bytes(first + 5)?.unwrap_or_default();
    let words = seal.open(What::Notification(row.some_bytes(first)?), sealed)?;
    let words = wire::Notification::decode(words).map_err(StorageError::new)?;
    Ok(wire::Notification {
        id: row.shared_bytes(first)?,
        conversation: row.name(first + 1)?,
        message: row.shared_bytes(first + 2)?,
        created_at: row.number(first + 3)?,
        state: row.key(first + 4)?.try_into().map_err(StorageError::new)?,
        ..words
    })
}

/// Reads a field: its name, its sealed value, which is empty or nothing if it was removed, its clock, and who set it.
pub(super) fn read_field(row: &impl Columns, target: &str, seal: &Seal) -> Result<(String, Field)> {
    let stamp = Stamp { clock: Timestamp(row.number(2)?), device: row.shared_bytes(3)? };
    let name = row.name(0)?;
    let value = seal.open(What::Field(target, &name), row.bytes(1)?.unwrap_or_default())?;
    Ok((name, Field { stamp, value }))
}

// Where the columns of what is known of a device stand that come after those of the device.
const REMOVED: usize = 9;

/// Reads the columns of a device, if there is one.
pub(super) fn read_device(row: &impl Columns) -> Result<Option<Device>> {
    let Some(id) = row.text(0)?.map(str::to_owned) else {
        return Ok(None);
    };
    let last_seen = row.integer(4)?;
    let endpoint = row.text(6)?.map(str::to_owned);
    let (p256dh, auth) = (row.shared_bytes(7)?, row.shared_bytes(8)?);
    Ok(Some(Device {
        name: row.text(1)?.unwrap_or(&id).to_owned(),
        platform: row.text(2)?.and_then(Platform::parse),
        registered_at: Millis(row.number(3)?),
        last_seen: last_seen.map(number).transpose()?.map(Millis),
        renamed: row.some_flag(5)?,
        push: endpoint.map(|endpoint| Subscription { endpoint, p256dh, auth }),
        id,
    }))
}

/// Reads what is known of a device: its columns, and when it was removed and by whom.
pub(super) fn read_known(row: &impl Columns) -> Result<Option<Known>> {
    match row.integer(REMOVED)? {
        Some(at) => {
            let by = row.text(REMOVED + 1)?.map(str::to_owned);
            Ok(Some(Known::Removed(Removed { by, at: Millis(number(at)?) })))
        }
        None => Ok(read_device(row)?.map(Known::Listed)),
    }
}

/// For whom something is, as the log says it.
pub(super) fn addressee(addressee: Addressee) -> Option<String> {
    match addressee {
        Addressee::All => None,
        Addressee::First => Some(String::new()),
        Addressee::Device(device) => Some(device.to_string()),
    }
}

pub(super) fn contains(content: &[u8], text: &str) -> bool {
    String::from_utf8_lossy(content).contains(text)
}

pub(super) fn json(names: &BTreeSet<String>) -> Result<String> {
    serde_json::to_string(names).map_err(StorageError::new)
}

/// Reads what a statement has gathered into one value.
pub(super) fn parse<'a, T: serde::Deserialize<'a>>(json: &'a str) -> Result<T> {
    serde_json::from_str(json).map_err(StorageError::new)
}

/// What a database's hexadecimal function has written.
fn bytes_of_hex(hex: &str) -> Result<Vec<u8>> {
    let digit = |digit: u8| char::from(digit).to_digit(16);
    let byte = |pair: &[u8]| match pair {
        [high, low] => u8::try_from(digit(*high)? << 4 | digit(*low)?).ok(),
        _ => None,
    };
    let bytes: Option<_> = hex.as_bytes().chunks(2).map(byte).collect();
    bytes.ok_or_else(|| StorageError::new("hexadecimal digits were expected"))
}

/// Databases' integers are signed; ours are not.
pub(super) fn number(stored: i64) -> Result<u64> {
    u64::try_from(stored).map_err(StorageError::new)
}

pub(super) fn signed(number: u64) -> Result<i64> {
    i64::try_from(number).map_err(StorageError::new)
}
