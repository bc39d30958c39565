//! Which master key the accounts' keys are wrapped under, and how they come to be under another.
//!
//! The database holds the marks of the master keys that are in use: the present one, and while accounts' keys are
//! being wrapped anew, those before it. So nothing is served under a key that does not fit.

use sqlx::{Row as _, SqliteConnection, SqlitePool};

use super::seal::MasterKeys;
use crate::storage::{Result, StorageError};

/// Accounts whose keys are wrapped anew in one transaction.
const BATCH: i64 = 500;

/// Checks that the given master keys are all that are in use, and notes that from now on the present one is. Answers
/// whether it is the only one.
///
/// # Errors
/// When one that is in use was not given.
pub(super) async fn begin(connection: &mut SqliteConnection, keys: &MasterKeys) -> Result<bool> {
    let stored: Option<Vec<u8>> = sqlx::query_scalar("SELECT value FROM meta WHERE key = 'masters'")
        .fetch_optional(&mut *connection)
        .await?;
    let present = keys.present.mark()?;
    let used: Vec<_> = stored.as_deref().unwrap_or(&present).chunks(present.len()).collect();
    for mark in &used {
        if !is_given(keys, mark)? {
            return Err(StorageError::new(if used.len() > 1 { UNFINISHED } else { ANOTHER }));
        }
    }
    let before: Vec<_> = used.into_iter().filter(|mark| **mark != present).collect();
    write_marks(connection, &[&[&present[..]], &before[..]].concat()).await?;
    Ok(before.is_empty())
}

const ANOTHER: &str = "the content of this database is sealed under another master key than was given. \
    Give that one; to change it, give the new one, and that one as an old master key";
const UNFINISHED: &str = "the master key of this database was being changed, and not all of it is under one master \
    key yet. Give the new one, and the one before as an old master key";

/// Wraps the accounts' keys under the present master key that are under an old one. The others are left as they are,
/// so it goes on where it was interrupted.
///
/// # Errors
/// When a key fits none of the master keys, or the storage refused.
pub(super) async fn run(writer: &SqlitePool, keys: &MasterKeys) -> Result<()> {
    let (mut after, mut accounts) = (0, 0);
    tracing::info!("the master key has changed: accounts' keys are being wrapped under the new one");
    loop {
        let mut transaction = writer.begin_with("BEGIN IMMEDIATE").await?;
        let rows = sqlx::query(
            "SELECT a.id, a.name, a.key, k.bytes FROM accounts a CROSS JOIN contents k ON k.key = a.key
             WHERE a.id > ? ORDER BY a.id LIMIT ?",
        )
        .bind(after)
        .bind(BATCH)
        .fetch_all(&mut *transaction)
        .await?;
        for row in &rows {
            if let Some(wrapped) = rewrapped(keys, row.try_get(1)?, row.try_get(3)?)? {
                // As long as before, so it takes the very place.
                sqlx::query("UPDATE contents SET bytes = ? WHERE key = ?")
                    .bind(wrapped)
                    .bind(row.try_get::<i64, _>(2)?)
                    .execute(&mut *transaction)
                    .await?;
            }
            after = row.try_get::<i64, _>(0)?;
        }
        if rows.is_empty() {
            write_marks(&mut transaction, &[&keys.present.mark()?]).await?;
            transaction.commit().await?;
            tracing::info!(
                accounts,
                "all accounts' keys are under the new master key; old ones are needed for backups alone"
            );
            return Ok(());
        }
        transaction.commit().await?;
        accounts += rows.len();
        tracing::info!(accounts, "accounts' keys are under the new master key");
    }
}

/// An account's key under the present master key, unless it is already.
fn rewrapped(keys: &MasterKeys, account: &str, wrapped: &[u8]) -> Result<Option<Vec<u8>>> {
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

async fn write_marks(connection: &mut SqliteConnection, marks: &[&[u8]]) -> Result<()> {
    sqlx::query(
        "INSERT INTO meta (key, value) VALUES ('masters', ?)
         ON CONFLICT (key) DO UPDATE SET value = excluded.value",
    )
    .bind(marks.concat())
    .execute(connection)
    .await?;
    Ok(())
}
