//! The accounts' keys, as they lie in the database, are wrapped under another master key.

use sqlx::{PgConnection, PgPool};

use crate::storage::{
    Result,
    rotation::{check, rewrapped},
    rows::Columns as _,
    seal::MasterKeys,
};

/// Accounts whose keys are wrapped anew in one transaction.
const BATCH: i64 = 500;

/// Notes that from now on the present master key is in use. Answers whether it is the only one.
///
/// # Errors
/// When one that is in use was not given.
pub(super) async fn begin(connection: &mut PgConnection, keys: &MasterKeys) -> Result<bool> {
    let stored: Option<Vec<u8>> = sqlx::query_scalar("SELECT value FROM meta WHERE key = 'masters'")
        .fetch_optional(&mut *connection)
        .await?;
    let found = check(keys, stored.as_deref())?;
    write_marks(connection, &found.marks).await?;
    Ok(found.is_settled)
}

/// Wraps the accounts' keys under the present master key that are under an old one. The others are left as they are,
/// so it goes on where it was interrupted, and two servers that do it at once do it once.
///
/// # Errors
/// When a key fits none of the master keys, or the storage refused.
pub(super) async fn run(pool: &PgPool, keys: &MasterKeys) -> Result<()> {
    let (mut after, mut accounts) = (0, 0);
    tracing::info!("the master key has changed: accounts' keys are being wrapped under the new one");
    loop {
        let mut transaction = pool.begin().await?;
        let rows = sqlx::query(
            "SELECT k.account, a.name, k.wrapped FROM keys k JOIN accounts a ON a.id = k.account
             WHERE k.account > $1 ORDER BY k.account LIMIT $2 FOR UPDATE OF k",
        )
        .bind(after)
        .bind(BATCH)
        .fetch_all(&mut *transaction)
        .await?;
        for row in &rows {
            if let Some(wrapped) = rewrapped(keys, row.some_text(1)?, row.some_bytes(2)?)? {
                sqlx::query("UPDATE keys SET wrapped = $1 WHERE account = $2")
                    .bind(wrapped)
                    .bind(row.key(0)?)
                    .execute(&mut *transaction)
                    .await?;
            }
            after = row.key(0)?;
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

async fn write_marks(connection: &mut PgConnection, marks: &[u8]) -> Result<()> {
    sqlx::query(
        "INSERT INTO meta (key, value) VALUES ('masters', $1)
         ON CONFLICT (key) DO UPDATE SET value = excluded.value",
    )
    .bind(marks)
    .execute(connection)
    .await?;
    Ok(())
}
