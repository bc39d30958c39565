//! The accounts' keys, as they lie in the file, are wrapped under another master key.

use sqlx::{Row as _, SqliteConnection, SqlitePool};

use crate::storage::{
    Result,
    rotation::{check, rewrapped},
    seal::MasterKeys,
};

/// Accounts whose keys are wrapped anew in one transaction.
const BATCH: i64 = 500;

/// Notes that from now on the present master key is in use. Answers whether it is the only one.
///
/// # Errors
/// When one that is in use was not given.
pub(super) async fn begin(connection: &mut SqliteConnection, keys: &MasterKeys) -> Result<bool> {
    let stored: Option<Vec<u8>> = sqlx::query_scalar("SELECT value FROM meta WHERE key = 'masters'")
        .fetch_optional(&mut *connection)
        .await?;
    let found = check(keys, stored.as_deref())?;
    write_marks(connection, &found.marks).await?;
    Ok(found.is_settled)
}

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
            write_marks(&mut transaction, &keys.present.mark()?).await?;
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

async fn write_marks(connection: &mut SqliteConnection, marks: &[u8]) -> Result<()> {
    sqlx::query(
        "INSERT INTO meta (key, value) VALUES ('masters', ?)
         ON CONFLICT (key) DO UPDATE SET value = excluded.value",
    )
    .bind(marks)
    .execute(connection)
    .await?;
    Ok(())
}
