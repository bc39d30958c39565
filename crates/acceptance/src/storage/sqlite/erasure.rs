//! What is left of an account that is erased, and how it goes.

use sqlx::{Row as _, SqliteConnection};
use tutti_protocol::{Millis, OperationId};

use super::erase_unheld;
use crate::storage::{
    AccountKey, MessageKey, Result, SentMessage, StorageError,
    rows::{number, signed},
};

/// Rows of a table that go in one step.
const DROP: i64 = 500;

/// A group that the account `?1` is in. Whoever is in a group was told so, and has a view of it.
pub(super) const ANY_GROUP: &str = "
    SELECT m.group_id FROM accounts a
    CROSS JOIN views v ON v.account = a.id AND v.conversation >= 'group:' AND v.conversation < 'group;'
    CROSS JOIN group_members m ON m.group_id = substr(v.conversation, 7) AND m.account = a.name
    WHERE a.id = ?1
    LIMIT 1";

/// The next message of the account `?1`.
pub(super) const NEXT_SENT: &str = "
    SELECT m.key, m.id, m.size > 0 FROM accounts a
    CROSS JOIN messages m ON m.sender = a.name AND m.key > a.erasing
    WHERE a.id = ?1
    ORDER BY m.key
    LIMIT 1";

/// The last of the first `?2` entries of the log of the account `?1`.
const LAST_ENTRY: &str = "
    SELECT max(seq) FROM (SELECT seq FROM log WHERE account = ?1 ORDER BY seq LIMIT ?2)";

/// Fields of the account `?1`.
macro_rules! some_fields {
    ($column:literal) => {
        concat!(
            "SELECT ",
            $column,
            " FROM targets t CROSS JOIN fields f ON f.target = t.id
              WHERE t.account = ?1 ORDER BY t.name, f.name LIMIT ?2"
        )
    };
}

/// What goes besides the log, in this order, at most `?2` rows of the account `?1` each. Content goes before what
/// refers to it. Views and targets lose their names alone: the numbers that they get instead come before all names.
pub(super) const DROP_OWN: [&str; 8] = [
    "DELETE FROM operations WHERE (account, id) IN (SELECT account, id FROM operations WHERE account = ?1 LIMIT ?2)",
    concat!(
        "UPDATE contents SET bytes = zeroblob(length(bytes)) WHERE key IN (",
        some_fields!("f.value"),
        ")"
    ),
    concat!("DELETE FROM fields WHERE (target, name) IN (", some_fields!("f.target, f.name"), ")"),
    "UPDATE targets SET name = CAST(id AS TEXT), seq = 0, updated_at = 0, device = x''
     WHERE id IN (SELECT id FROM targets WHERE account = ?1 AND name > ':' LIMIT ?2)",
    "UPDATE contents SET bytes = zeroblob(length(bytes)) WHERE key IN (
         SELECT content FROM notifications WHERE account = ?1 ORDER BY id LIMIT ?2
     )",
    "DELETE FROM notifications WHERE (account, id) IN (
         SELECT account, id FROM notifications WHERE account = ?1 ORDER BY id LIMIT ?2
     )",
    "DELETE FROM readings WHERE (view, reader) IN (
         SELECT g.view, g.reader FROM views v CROSS JOIN readings g ON g.view = v.id WHERE v.account = ?1 LIMIT ?2
     )",
    "UPDATE views SET conversation = CAST(id AS TEXT), last = 0, inbound = 0, read = 0, read_inbound = 0, roster = NULL
     WHERE id IN (SELECT id FROM views WHERE account = ?1 AND conversation > ':' LIMIT ?2)",
];

pub(super) async fn find(
    connection: &mut SqliteConnection,
    accounts: &[&str],
) -> Result<Option<(String, Millis)>> {
    let row = sqlx::query(
        "SELECT a.name, a.erased_at FROM json_each(?) j CROSS JOIN accounts a ON a.name = j.value
         WHERE a.erased_at IS NOT NULL ORDER BY j.key LIMIT 1",
    )
    .bind(serde_json::to_string(accounts).map_err(StorageError::new)?)
    .fetch_optional(connection)
    .await?;
    row.map(|row| Ok((row.try_get(0)?, Millis(number(row.try_get(1)?)?)))).transpose()
}

pub(super) async fn unfinished(connection: &mut SqliteConnection) -> Result<Vec<String>> {
    let names = sqlx::query_scalar("SELECT name FROM accounts WHERE erasing IS NOT NULL");
    Ok(names.fetch_all(connection).await?)
}

/// Where a device was registered before anything else was known of its account, that is an account, too. Subscriptions
/// go with their devices, by their foreign key.
pub(super) async fn begin(connection: &mut SqliteConnection, account: &str, now: Millis) -> Result<bool> {
    let is_known: bool = sqlx::query_scalar(
        "SELECT EXISTS (SELECT 1 FROM accounts WHERE name = ?1)
             OR EXISTS (SELECT 1 FROM devices WHERE account = ?1)
             OR EXISTS (SELECT 1 FROM removed_devices WHERE account = ?1)",
    )
    .bind(account)
    .fetch_one(&mut *connection)
    .await?;
    if !is_known {
        return Ok(false);
    }
    sqlx::query(
        "INSERT INTO accounts (name, erased_at, erasing) VALUES (?, ?, 0)
         ON CONFLICT (name) DO UPDATE SET erased_at = excluded.erased_at, erasing = excluded.erasing",
    )
    .bind(account)
    .bind(signed(now.0)?)
    .execute(&mut *connection)
    .await?;
    for forget in [
        "DELETE FROM devices WHERE account = ?",
        "DELETE FROM removed_devices WHERE account = ?",
        "DELETE FROM token_uses WHERE account = ?",
        "DELETE FROM revoked_tokens WHERE account = ?",
    ] {
        sqlx::query(forget).bind(account).execute(&mut *connection).await?;
    }
    Ok(true)
}

pub(super) async fn any_group(
    connection: &mut SqliteConnection,
    account: AccountKey,
) -> Result<Option<String>> {
    Ok(sqlx::query_scalar(ANY_GROUP).bind(account.0).fetch_optional(connection).await?)
}

pub(super) async fn drop_own(connection: &mut SqliteConnection, account: AccountKey) -> Result<bool> {
    let mut more = drop_entries(connection, account).await?;
    for drop in DROP_OWN {
        let dropped = sqlx::query(drop).bind(account.0).bind(DROP).execute(&mut *connection).await?;
        more |= dropped.rows_affected() == DROP as u64;
    }
    Ok(more)
}

/// Drops the first entries of an account's log. Answers whether there may be more.
async fn drop_entries(connection: &mut SqliteConnection, account: AccountKey) -> Result<bool> {
    let last: Option<i64> =
        sqlx::query_scalar(LAST_ENTRY).bind(account.0).bind(DROP).fetch_one(&mut *connection).await?;
    let Some(last) = last else { return Ok(false) };
    let messages: String = sqlx::query_scalar(
        "SELECT json_group_array(message) FROM log WHERE account = ? AND seq <= ? AND kind = 1",
    )
    .bind(account.0)
    .bind(last)
    .fetch_one(&mut *connection)
    .await?;
    let dropped = sqlx::query("DELETE FROM log WHERE account = ? AND seq <= ?")
        .bind(account.0)
        .bind(last)
        .execute(&mut *connection)
        .await?;
    erase_unheld(connection, &messages).await?;
    Ok(dropped.rows_affected() == DROP as u64)
}

pub(super) async fn next_sent(
    connection: &mut SqliteConnection,
    account: AccountKey,
) -> Result<Option<SentMessage>> {
    let row = sqlx::query(NEXT_SENT).bind(account.0).fetch_optional(&mut *connection).await?;
    let Some(row) = row else { return Ok(None) };
    let key = MessageKey(row.try_get(0)?);
    let id = OperationId::try_from(row.try_get::<&[u8], _>(1)?).map_err(StorageError::new)?;
    sqlx::query("UPDATE accounts SET erasing = ? WHERE id = ?")
        .bind(key.0)
        .bind(account.0)
        .execute(connection)
        .await?;
    Ok(Some(SentMessage { key, id, has_content: row.try_get(2)? }))
}

/// Answers the account's name.
pub(super) async fn end(connection: &mut SqliteConnection, account: AccountKey) -> Result<String> {
    sqlx::query(
        "UPDATE contents SET bytes = zeroblob(length(bytes)) WHERE key = (SELECT key FROM accounts WHERE id = ?)",
    )
    .bind(account.0)
    .execute(&mut *connection)
    .await?;
    let end =
        "UPDATE accounts SET key = NULL, head = 0, tail = 0, erasing = NULL WHERE id = ? RETURNING name";
    Ok(sqlx::query_scalar(end).bind(account.0).fetch_one(connection).await?)
}
