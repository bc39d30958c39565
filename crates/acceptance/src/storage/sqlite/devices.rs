//! Devices, and the tokens that they came with.

use std::collections::BTreeSet;

use sqlx::{Row as _, SqliteConnection};
use tutti_protocol::{Millis, limits};

use crate::{
    devices::{Device, Known, Removed, Subscription, Token, TokenMark},
    platform::Platform,
    storage::{
        Result, StorageError,
        rows::{read_device, read_known, signed},
    },
};

/// Tokens that are forgotten in one step.
const TRIM: i64 = 500;

/// What is read of a device, for `read_device`.
macro_rules! device_columns {
    () => {
        "d.id, d.name, d.platform, d.registered_at, d.last_seen, d.renamed, s.endpoint, s.p256dh, s.auth"
    };
}

const LIST: &str = concat!(
    "SELECT ",
    device_columns!(),
    " FROM devices d
    LEFT JOIN subscriptions s ON s.account = d.account AND s.device = d.id
    WHERE d.account = ?1
    ORDER BY d.registered_at, d.id"
);

/// One row, whatever is known.
const FIND: &str = concat!(
    "SELECT ",
    device_columns!(),
    ", r.removed_at, r.remover
    FROM (SELECT ?1 AS account, ?2 AS id) asked
    LEFT JOIN devices d ON d.account = asked.account AND d.id = asked.id
    LEFT JOIN subscriptions s ON s.account = d.account AND s.device = d.id
    LEFT JOIN removed_devices r ON r.account = asked.account AND r.id = asked.id"
);

pub(super) async fn list(connection: &mut SqliteConnection, account: &str) -> Result<Vec<Device>> {
    let rows = sqlx::query(LIST).bind(account).fetch_all(connection).await?;
    rows.iter().filter_map(|row| read_device(row).transpose()).collect()
}

pub(super) async fn find(
    connection: &mut SqliteConnection,
    account: &str,
    id: &str,
) -> Result<Option<Known>> {
    let row = sqlx::query(FIND).bind(account).bind(id).fetch_one(connection).await?;
    read_known(&row)
}

pub(super) async fn put(connection: &mut SqliteConnection, account: &str, device: &Device) -> Result<()> {
    sqlx::query(
        "INSERT INTO devices (account, id, name, platform, registered_at, last_seen, renamed)
         VALUES (?, ?, ?, ?, ?, ?, ?)
         ON CONFLICT (account, id) DO UPDATE SET
             name = excluded.name, platform = excluded.platform, registered_at = excluded.registered_at,
             last_seen = excluded.last_seen, renamed = excluded.renamed",
    )
    .bind(account)
    .bind(&device.id)
    .bind(&device.name)
    .bind(device.platform.map(Platform::as_str))
    .bind(signed(device.registered_at.0)?)
    .bind(device.last_seen.map(|at| signed(at.0)).transpose()?)
    .bind(device.renamed)
    .execute(connection)
    .await?;
    Ok(())
}

pub(super) async fn drop_surplus(connection: &mut SqliteConnection, account: &str) -> Result<()> {
    sqlx::query(
        "DELETE FROM devices WHERE account = ?1 AND id IN (
             SELECT id FROM devices WHERE account = ?1
             ORDER BY coalesce(last_seen, registered_at) DESC, id LIMIT -1 OFFSET ?2
         )",
    )
    .bind(account)
    .bind(limits::DEVICES as i64)
    .execute(connection)
    .await?;
    Ok(())
}

pub(super) async fn set_push(
    connection: &mut SqliteConnection,
    account: &str,
    id: &str,
    push: Option<&Subscription>,
) -> Result<()> {
    let Some(push) = push else {
        sqlx::query("DELETE FROM subscriptions WHERE account = ? AND device = ?")
            .bind(account)
            .bind(id)
            .execute(connection)
            .await?;
        return Ok(());
    };
    sqlx::query(
        "INSERT INTO subscriptions (account, device, endpoint, p256dh, auth) VALUES (?, ?, ?, ?, ?)
         ON CONFLICT (account, device) DO UPDATE SET
             endpoint = excluded.endpoint, p256dh = excluded.p256dh, auth = excluded.auth",
    )
    .bind(account)
    .bind(id)
    .bind(&push.endpoint)
    .bind(&push.p256dh[..])
    .bind(&push.auth[..])
    .execute(connection)
    .await?;
    Ok(())
}

/// The subscription goes with the device, by its foreign key.
pub(super) async fn remove(
    connection: &mut SqliteConnection,
    account: &str,
    id: &str,
    removed: &Removed,
) -> Result<()> {
    for sql in [
        "INSERT INTO revoked_tokens (account, token, expires_at)
         SELECT account, token, expires_at FROM token_uses WHERE account = ?1 AND device = ?2
         ON CONFLICT (account, token) DO NOTHING",
        "DELETE FROM token_uses WHERE account = ?1 AND device = ?2",
        "DELETE FROM devices WHERE account = ?1 AND id = ?2",
    ] {
        sqlx::query(sql).bind(account).bind(id).execute(&mut *connection).await?;
    }
    sqlx::query("INSERT INTO removed_devices (account, id, remover, removed_at) VALUES (?, ?, ?, ?)")
        .bind(account)
        .bind(id)
        .bind(removed.by.as_deref())
        .bind(signed(removed.at.0)?)
        .execute(connection)
        .await?;
    Ok(())
}

pub(super) async fn token_keepers(
    connection: &mut SqliteConnection,
    account: &str,
    token: TokenMark,
) -> Result<Option<BTreeSet<String>>> {
    let keepers: Option<String> = sqlx::query_scalar(
        "SELECT (SELECT json_group_array(u.device) FROM token_uses u WHERE u.account = ?1 AND u.token = ?2)
         FROM revoked_tokens WHERE account = ?1 AND token = ?2",
    )
    .bind(account)
    .bind(token.as_bytes())
    .fetch_optional(connection)
    .await?;
    keepers.map(|keepers| serde_json::from_str(&keepers).map_err(StorageError::new)).transpose()
}

pub(super) async fn note_token(
    connection: &mut SqliteConnection,
    account: &str,
    device: &str,
    token: Token,
) -> Result<bool> {
    let row = sqlx::query(
        "SELECT EXISTS (SELECT 1 FROM token_uses WHERE account = ?1 AND token = ?2 AND device = ?3),
                EXISTS (SELECT 1 FROM revoked_tokens WHERE account = ?1 AND token = ?2)",
    )
    .bind(account)
    .bind(token.mark.as_bytes())
    .bind(device)
    .fetch_one(&mut *connection)
    .await?;
    let (is_noted, is_revoked): (bool, bool) = (row.try_get(0)?, row.try_get(1)?);
    if !is_noted && !is_revoked {
        sqlx::query("INSERT INTO token_uses (account, token, device, expires_at) VALUES (?, ?, ?, ?)")
            .bind(account)
            .bind(token.mark.as_bytes())
            .bind(device)
            // Whoever makes tokens may have them last as long as they like.
            .bind(i64::try_from(token.expires_at.0).unwrap_or(i64::MAX))
            .execute(connection)
            .await?;
    }
    Ok(is_noted || !is_revoked)
}

pub(super) async fn trim_tokens(connection: &mut SqliteConnection, now: Millis) -> Result<bool> {
    let mut more = false;
    for sql in [
        "DELETE FROM token_uses WHERE (account, token, device) IN
         (SELECT account, token, device FROM token_uses WHERE expires_at <= ? LIMIT ?)",
        "DELETE FROM revoked_tokens WHERE (account, token) IN
         (SELECT account, token FROM revoked_tokens WHERE expires_at <= ? LIMIT ?)",
    ] {
        let trim = sqlx::query(sql).bind(signed(now.0)?).bind(TRIM);
        more |= trim.execute(&mut *connection).await?.rows_affected() == TRIM as u64;
    }
    Ok(more)
}
