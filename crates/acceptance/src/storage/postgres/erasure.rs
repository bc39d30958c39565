//! What is left of an account that is erased, and how it goes.

use sqlx::PgConnection;
use tutti_protocol::{Millis, OperationId};

use super::{drop_unheld, find_erased};
use crate::storage::{
    AccountKey, MessageKey, Result, SentMessage, StorageError,
    rows::{Columns as _, signed},
};

/// Rows of a table that go in one step.
const DROP: i64 = 500;

/// A group that the account `$1` is in. Whoever is in a group was told so, and has a view of it.
pub(super) const ANY_GROUP: &str = "
    SELECT m.group_id FROM accounts a
    JOIN views v ON v.account = a.id AND v.conversation >= 'group:' AND v.conversation < 'group;'
    JOIN group_members m ON m.group_id = substr(v.conversation, 7) AND m.account = a.name
    WHERE a.id = $1
    LIMIT 1";

/// The next message of the account `$1`.
pub(super) const NEXT_SENT: &str = "
    SELECT m.key, m.id, m.content <> '' FROM messages m
    WHERE m.sender = (SELECT name FROM accounts WHERE id = $1)
        AND m.key > (SELECT erasing FROM accounts WHERE id = $1)
    ORDER BY m.key
    LIMIT 1";

/// The first `$2` entries of the log of the account `$1` go, and tell of which messages they were.
pub(super) const DROP_ENTRIES: &str = "
    WITH dropped AS (
        DELETE FROM log WHERE account = $1 AND seq IN (SELECT seq FROM log WHERE account = $1 ORDER BY seq LIMIT $2)
        RETURNING kind, message
    ) SELECT count(*), coalesce(array_agg(message) FILTER (WHERE kind = 1), '{}') FROM dropped";

/// What goes besides the log, in this order, at most `$2` rows of the account `$1` each. Views and targets lose their
/// names alone: the numbers that they get instead come before all names.
pub(super) const DROP_OWN: [&str; 6] = [
    "DELETE FROM operations WHERE account = $1
         AND id IN (SELECT id FROM operations WHERE account = $1 ORDER BY id LIMIT $2)",
    "DELETE FROM fields WHERE (target, name) IN (
         SELECT f.target, f.name FROM targets t JOIN fields f ON f.target = t.id WHERE t.account = $1 LIMIT $2
     )",
    "UPDATE targets SET name = id::text, seq = 0, updated_at = 0, device = ''
     WHERE id IN (SELECT id FROM targets WHERE account = $1 AND name > ':' LIMIT $2)",
    "DELETE FROM notifications WHERE account = $1
         AND id IN (SELECT id FROM notifications WHERE account = $1 ORDER BY id LIMIT $2)",
    "DELETE FROM readings WHERE (view, reader) IN (
         SELECT g.view, g.reader FROM views v JOIN readings g ON g.view = v.id WHERE v.account = $1 LIMIT $2
     )",
    "UPDATE views SET conversation = id::text, last = 0, inbound = 0, read = 0, read_inbound = 0, roster = NULL
     WHERE id IN (SELECT id FROM views WHERE account = $1 AND conversation > ':' LIMIT $2)",
];

pub(super) async fn find(connection: &mut PgConnection, account: &str) -> Result<Option<Millis>> {
    Ok(find_erased(connection, &[account]).await?.map(|(_, at)| at))
}

pub(super) async fn unfinished(connection: &mut PgConnection) -> Result<Vec<String>> {
    let names = sqlx::query_scalar("SELECT name FROM accounts WHERE erasing IS NOT NULL");
    Ok(names.fetch_all(connection).await?)
}

/// Where a device was registered before anything else was known of its account, that is an account, too. Subscriptions
/// go with their devices, by their foreign key. Answers its row, as it is held.
pub(super) async fn begin(
    connection: &mut PgConnection,
    account: &str,
    now: Millis,
) -> Result<Vec<sqlx::postgres::PgRow>> {
    let is_known: bool = sqlx::query_scalar(
        "SELECT EXISTS (SELECT 1 FROM accounts WHERE name = $1)
             OR EXISTS (SELECT 1 FROM devices WHERE account = $1)
             OR EXISTS (SELECT 1 FROM removed_devices WHERE account = $1)",
    )
    .bind(account)
    .fetch_one(&mut *connection)
    .await?;
    if !is_known {
        return Ok(Vec::new());
    }
    let rows = sqlx::query(
        "INSERT INTO accounts (name, erased_at, erasing) VALUES ($1, $2, 0)
         ON CONFLICT (name) DO UPDATE SET erased_at = excluded.erased_at, erasing = excluded.erasing
         RETURNING id, name, erased_at",
    )
    .bind(account)
    .bind(signed(now.0)?)
    .fetch_all(&mut *connection)
    .await?;
    for forget in [
        "DELETE FROM devices WHERE account = $1",
        "DELETE FROM removed_devices WHERE account = $1",
        "DELETE FROM token_uses WHERE account = $1",
        "DELETE FROM revoked_tokens WHERE account = $1",
    ] {
        sqlx::query(forget).bind(account).execute(&mut *connection).await?;
    }
    Ok(rows)
}

pub(super) async fn any_group(connection: &mut PgConnection, account: AccountKey) -> Result<Option<String>> {
    Ok(sqlx::query_scalar(ANY_GROUP).bind(account.0).fetch_optional(connection).await?)
}

pub(super) async fn drop_own(connection: &mut PgConnection, account: AccountKey) -> Result<bool> {
    let (dropped, messages): (i64, Vec<i64>) =
        sqlx::query_as(DROP_ENTRIES).bind(account.0).bind(DROP).fetch_one(&mut *connection).await?;
    drop_unheld(connection, &messages).await?;
    let mut more = dropped == DROP;
    for drop in DROP_OWN {
        let dropped = sqlx::query(drop).bind(account.0).bind(DROP).execute(&mut *connection).await?;
        more |= dropped.rows_affected() == DROP as u64;
    }
    Ok(more)
}

pub(super) async fn next_sent(
    connection: &mut PgConnection,
    account: AccountKey,
) -> Result<Option<SentMessage>> {
    let row = sqlx::query(NEXT_SENT).bind(account.0).fetch_optional(&mut *connection).await?;
    let Some(row) = row else { return Ok(None) };
    let key = MessageKey(row.key(0)?);
    let id = OperationId::try_from(row.some_bytes(1)?).map_err(StorageError::new)?;
    sqlx::query("UPDATE accounts SET erasing = $1 WHERE id = $2")
        .bind(key.0)
        .bind(account.0)
        .execute(connection)
        .await?;
    Ok(Some(SentMessage { key, id, has_content: row.some_flag(2)? }))
}

/// Answers the account's name.
pub(super) async fn end(connection: &mut PgConnection, account: AccountKey) -> Result<String> {
    sqlx::query("DELETE FROM keys WHERE account = $1").bind(account.0).execute(&mut *connection).await?;
    let end = "UPDATE accounts SET head = 0, tail = 0, erasing = NULL WHERE id = $1 RETURNING name";
    Ok(sqlx::query_scalar(end).bind(account.0).fetch_one(connection).await?)
}
