//! Which master keys the accounts' keys of a database are wrapped under, and how a key comes to be under another.
//!
//! The database holds the marks of the master keys that are in use: the present one, and while accounts' keys are
//! being wrapped anew, those before it. So nothing is served under a key that does not fit.

use super::{Result, StorageError, seal::MasterKeys};

/// What a database is to note of its master keys.
pub(super) struct Marks {
    /// Those that are in use from now on.
    pub(super) marks: Vec<u8>,
    /// The present one is the only one.
    pub(super) is_settled: bool,
}

/// Checks that the given master keys are all that are in use by the marks that a database has.
///
/// # Errors
/// When one that is in use was not given.
pub(super) fn check(keys: &MasterKeys, stored: Option<&[u8]>) -> Result<Marks> {
    let present = keys.present.mark()?;
    let used: Vec<_> = stored.unwrap_or(&present).chunks(present.len()).collect();
    for mark in &used {
        if !is_given(keys, mark)? {
            return Err(StorageError::new(if used.len() > 1 { UNFINISHED } else { ANOTHER }));
        }
    }
    let before: Vec<_> = used.into_iter().filter(|mark| **mark != present).collect();
    Ok(Marks { marks: [&[&present[..]], &before[..]].concat().concat(), is_settled: before.is_empty() })
}

const ANOTHER: &str = "the content of this database is sealed under another master key than was given. \
    Give that one; to change it, give the new one, and that one as an old master key";
const UNFINISHED: &str = "the master key of this database was being changed, and not all of it is under one master \
    key yet. Give the new one, and the one before as an old master key";

/// An account's key under the present master key, unless it is already.
///
/// # Errors
/// When it fits none of the master keys.
pub(super) fn rewrapped(keys: &MasterKeys, account: &str, wrapped: &[u8]) -> Result<Option<Vec<u8>>> {
    let unopened = match keys.present.unwrap(account, wrapped) {
        Ok(_) => return Ok(None),
        Err(error) => error,
    };
    let key = keys.old.iter().find_map(|old| old.unwrap(account, wrapped).ok()).ok_or(unopened)?;
    keys.present.wrap(account, &key).map(Some)
}

fn is_given(keys: &MasterKeys, mark: &[u8]) -> Result<bool> {
    for key in std::iter::once(&keys.present).chain(&keys.old) {
        if key.mark()? == mark {
            return Ok(true);
        }
    }
    Ok(false)
}
