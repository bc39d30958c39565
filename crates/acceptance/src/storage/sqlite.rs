//! The default storage: one SQLite file, write-ahead log, every commit forced to the disk.
//!
//! One connection writes, so that writers never meet; a few others read beside it.

use std::{collections::BTreeSet, path::Path, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::TryStreamExt as _;
use prost::Message as _;
use sqlx::{
    ConnectOptions as _, Connection as _, Row as _, Sqlite, SqliteConnection, SqlitePool,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteRow, SqliteSynchronous},
};
use tutti_protocol::{LogId, Millis, OperationId, Position, Seq, limits, wire};

use super::{
    AccountKey, Delivery, Device, Entry, MessageKey, NewMessage, News, Page, Place, Receipt, Result,
    RosterKey, Sighting, Storage, StorageError, Transaction, View, ViewKey,
};
use crate::platform::Platform;

const SCHEMA: &str = include_str!("schema.sql");
const SCHEMA_VERSION: i64 = 1;
const READERS: u32 = 4;

/// One query for a page: a range of the log, and what its entries refer to. The account's row comes
/// even when nothing follows, with the head of the same moment. From which device a message was sent
/// is nobody's business but the sender's own.
const PAGE: &str = "
    SELECT a.head, l.seq, l.operation, v.conversation, l.position, l.inbound, r.members,
           m.id, m.sender, CASE WHEN m.sender = a.name THEN m.device END, m.type, m.content, m.sent_at
    FROM accounts a
    LEFT JOIN log l ON l.account = a.id AND l.seq > ?2
    LEFT JOIN views v ON v.id = l.view
    LEFT JOIN messages m ON m.key = l.message
    LEFT JOIN rosters r ON r.key = l.roster
    WHERE a.name = ?1
    ORDER BY l.seq
    LIMIT ?3";

/// The three steps of a delivery to the accounts in a JSON array, `?1`: the next seq for each, the
/// next place in its view (the same one again if `?3` is 0), and the entries there. SQLite takes the
/// tables of a CROSS JOIN in their order, so each account is found by its name.
const DELIVER_SEQS: &str = "
    INSERT INTO accounts (name, head) SELECT value, 1 FROM json_each(?1) WHERE true
    ON CONFLICT (name) DO UPDATE SET head = head + 1";
const DELIVER_PLACES: &str = "
    INSERT INTO views (account, conversation, last, inbound)
    SELECT a.id, ?2, ?3, ?3 FROM json_each(?1) j CROSS JOIN accounts a ON a.name = j.value WHERE true
    ON CONFLICT (account, conversation)
    DO UPDATE SET last = last + excluded.last, inbound = inbound + excluded.inbound";
const DELIVER_ENTRIES: &str = "
    INSERT INTO log (account, seq, operation, view, message, roster, position, inbound)
    SELECT a.id, a.head, ?3, v.id, ?4, ?5, iif(?4 IS NULL, 0, v.last), iif(?4 IS NULL, 0, v.inbound)
    FROM json_each(?1) j
    CROSS JOIN accounts a ON a.name = j.value
    CROSS JOIN views v ON v.account = a.id AND v.conversation = ?2";

/// Storage in a SQLite file.
pub struct SqliteStorage {
    writer: SqlitePool,
    readers: SqlitePool,
    log_id: LogId,
}

impl SqliteStorage {
    /// Opens the database in a file, made if need be.
    ///
    /// # Errors
    /// When the file cannot be opened, is none of ours, or is of a later version.
    pub async fn open(file: &Path) -> Result<Self> {
        let options = SqliteConnectOptions::new()
            .filename(file)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(Duration::from_secs(5))
            .disable_statement_logging();
        let writer = SqlitePoolOptions::new()
            .max_connections(1)
            // A failing disk makes SQLite end a transaction by itself. The connection then believes
            // for good that it is in one, and begins no other: another takes its place.
            .before_acquire(|connection, _| Box::pin(async { Ok(!connection.is_in_transaction()) }))
            .connect_with(options.clone())
            .await?;
        let log_id = prepare(&writer).await?;
        let readers =
            SqlitePoolOptions::new().max_connections(READERS).connect_with(options.read_only(true)).await?;
        Ok(Self { writer, readers, log_id })
    }
}

/// Brings the schema up to date and finds or mints the log's identity.
async fn prepare(writer: &SqlitePool) -> Result<LogId> {
    let mut transaction = writer.begin_with("BEGIN IMMEDIATE").await?;
    let version: i64 = sqlx::query_scalar("PRAGMA user_version").fetch_one(&mut *transaction).await?;
    match version {
        0 => {
            sqlx::raw_sql(SCHEMA).execute(&mut *transaction).await?;
            sqlx::raw_sql("PRAGMA user_version = 1").execute(&mut *transaction).await?;
            let mut id = [0; 16];
            getrandom::fill(&mut id).map_err(StorageError::new)?;
            sqlx::query("INSERT INTO meta (key, value) VALUES ('log', ?)")
                .bind(&id[..])
                .execute(&mut *transaction)
                .await?;
        }
        SCHEMA_VERSION => {}
        later => {
            return Err(StorageError::new(format!(
                "the database is of version {later}, this server knows {SCHEMA_VERSION}"
            )));
        }
    }
    let id: Vec<u8> =
        sqlx::query_scalar("SELECT value FROM meta WHERE key = 'log'").fetch_one(&mut *transaction).await?;
    transaction.commit().await?;
    LogId::try_from(&id[..]).map_err(StorageError::new)
}

#[async_trait]
impl Storage for SqliteStorage {
    fn log_id(&self) -> LogId {
        self.log_id
    }

    async fn begin(&self) -> Result<Box<dyn Transaction>> {
        let transaction = self.writer.begin_with("BEGIN IMMEDIATE").await?;
        Ok(Box::new(SqliteTransaction(transaction)))
    }

    async fn head(&self, account: &str) -> Result<Seq> {
        let head: Option<i64> = sqlx::query_scalar("SELECT head FROM accounts WHERE name = ?")
            .bind(account)
            .fetch_optional(&self.readers)
            .await?;
        number(head.unwrap_or(0)).map(Seq)
    }

    async fn page(&self, account: &str, after: Seq) -> Result<Page> {
        let mut page = Page { events: Vec::new(), next: after, head: Seq(0) };
        let mut size = 0;
        // Nothing follows what no log reaches.
        let from = i64::try_from(after.0).unwrap_or(i64::MAX);
        let mut rows =
            sqlx::query(PAGE).bind(account).bind(from).bind(limits::PAGE_EVENTS as i64).fetch(&self.readers);
        while let Some(row) = rows.try_next().await? {
            page.head = Seq(column(&row, 0)?);
            let Some(event) = read_event(&row)? else {
                break;
            };
            if event.seq != page.next.next().0 {
                return Err(StorageError::new(format!("a gap in a log after {}", page.next)));
            }
            page.next = Seq(event.seq);
            size += event.encoded_len();
            page.events.push(event);
            if size >= limits::PAGE_BYTES {
                break;
            }
        }
        Ok(page)
    }

    async fn devices(&self, account: &str) -> Result<Vec<Device>> {
        let rows = sqlx::query(
            "SELECT id, name, platform, registered_at, last_seen FROM devices
             WHERE account = ? ORDER BY registered_at, id",
        )
        .bind(account)
        .fetch_all(&self.readers)
        .await?;
        rows.iter().map(read_device).collect()
    }

    async fn group(&self, id: &str) -> Result<Option<BTreeSet<String>>> {
        group(&mut *self.readers.acquire().await?, id).await
    }

    async fn settings(&self) -> Result<Option<String>> {
        let text: Option<Vec<u8>> = sqlx::query_scalar("SELECT value FROM meta WHERE key = 'settings'")
            .fetch_optional(&self.readers)
            .await?;
        text.map(|text| String::from_utf8(text).map_err(StorageError::new)).transpose()
    }

    async fn check(&self) -> Result<()> {
        sqlx::query("SELECT value FROM meta WHERE key = 'log'").fetch_one(&self.readers).await?;
        Ok(())
    }

    async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}

struct SqliteTransaction(sqlx::Transaction<'static, Sqlite>);

#[async_trait]
impl Transaction for SqliteTransaction {
    async fn account(&mut self, name: &str) -> Result<AccountKey> {
        let known: Option<i64> = sqlx::query_scalar("SELECT id FROM accounts WHERE name = ?")
            .bind(name)
            .fetch_optional(&mut *self.0)
            .await?;
        if let Some(key) = known {
            return Ok(AccountKey(key));
        }
        let key = sqlx::query_scalar("INSERT INTO accounts (name) VALUES (?) RETURNING id")
            .bind(name)
            .fetch_one(&mut *self.0)
            .await?;
        Ok(AccountKey(key))
    }

    async fn receipt(&mut self, account: AccountKey, id: OperationId) -> Result<Option<Receipt>> {
        let row = sqlx::query("SELECT digest, seq, accepted_at FROM operations WHERE account = ? AND id = ?")
            .bind(account.0)
            .bind(&id.as_bytes()[..])
            .fetch_optional(&mut *self.0)
            .await?;
        let Some(row) = row else { return Ok(None) };
        let digest: &[u8] = row.try_get(0)?;
        Ok(Some(Receipt {
            digest: digest.try_into().map_err(StorageError::new)?,
            seq: Seq(column(&row, 1)?),
            accepted_at: Millis(column(&row, 2)?),
        }))
    }

    async fn keep_receipt(&mut self, account: AccountKey, id: OperationId, receipt: &Receipt) -> Result<()> {
        sqlx::query("INSERT INTO operations (account, id, digest, seq, accepted_at) VALUES (?, ?, ?, ?, ?)")
            .bind(account.0)
            .bind(&id.as_bytes()[..])
            .bind(&receipt.digest[..])
            .bind(signed(receipt.seq.0)?)
            .bind(signed(receipt.accepted_at.0)?)
            .execute(&mut *self.0)
            .await?;
        Ok(())
    }

    async fn store_message(&mut self, message: &NewMessage<'_>) -> Result<Option<MessageKey>> {
        let key: Option<i64> = sqlx::query_scalar(
            "INSERT INTO messages (id, sender, device, type, content, sent_at)
             VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING RETURNING key",
        )
        .bind(&message.id.as_bytes()[..])
        .bind(message.sender)
        .bind(message.device)
        .bind(message.kind)
        .bind(&message.content[..])
        .bind(signed(message.sent_at.0)?)
        .fetch_optional(&mut *self.0)
        .await?;
        Ok(key.map(MessageKey))
    }

    async fn store_roster(&mut self, members: &BTreeSet<String>) -> Result<RosterKey> {
        let key = sqlx::query_scalar("INSERT INTO rosters (members) VALUES (?) RETURNING key")
            .bind(json(members)?)
            .fetch_one(&mut *self.0)
            .await?;
        Ok(RosterKey(key))
    }

    async fn view(&mut self, account: AccountKey, conversation: &str) -> Result<Option<View>> {
        let row = sqlx::query("SELECT id, last, read FROM views WHERE account = ? AND conversation = ?")
            .bind(account.0)
            .bind(conversation)
            .fetch_optional(&mut *self.0)
            .await?;
        let Some(row) = row else { return Ok(None) };
        Ok(Some(View {
            key: ViewKey(row.try_get(0)?),
            last: Position(column(&row, 1)?),
            read: Position(column(&row, 2)?),
        }))
    }

    async fn next_place(&mut self, account: AccountKey, conversation: &str) -> Result<Place> {
        let row = sqlx::query(
            "INSERT INTO views (account, conversation, last) VALUES (?, ?, 1)
             ON CONFLICT (account, conversation) DO UPDATE SET last = last + 1
             RETURNING id, last, inbound",
        )
        .bind(account.0)
        .bind(conversation)
        .fetch_one(&mut *self.0)
        .await?;
        Ok(Place {
            view: ViewKey(row.try_get(0)?),
            position: Position(column(&row, 1)?),
            inbound: column(&row, 2)?,
        })
    }

    async fn inbound_at(&mut self, view: ViewKey, position: Position) -> Result<u64> {
        let inbound = sqlx::query_scalar(
            "SELECT inbound FROM log WHERE view = ? AND position = ? AND message IS NOT NULL",
        )
        .bind(view.0)
        .bind(signed(position.0)?)
        .fetch_one(&mut *self.0)
        .await?;
        number(inbound)
    }

    async fn set_read(&mut self, view: ViewKey, position: Position) -> Result<()> {
        sqlx::query("UPDATE views SET read = ? WHERE id = ?")
            .bind(signed(position.0)?)
            .bind(view.0)
            .execute(&mut *self.0)
            .await?;
        Ok(())
    }

    async fn append(&mut self, account: AccountKey, operation: OperationId, entry: Entry) -> Result<Seq> {
        let (message, place) = match entry {
            Entry::Message(message, place) => (Some(message.0), place),
            Entry::Read(place) => (None, place),
        };
        let seq: i64 = sqlx::query_scalar("UPDATE accounts SET head = head + 1 WHERE id = ? RETURNING head")
            .bind(account.0)
            .fetch_one(&mut *self.0)
            .await?;
        sqlx::query(
            "INSERT INTO log (account, seq, operation, view, message, position, inbound)
             VALUES (?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(account.0)
        .bind(seq)
        .bind(&operation.as_bytes()[..])
        .bind(place.view.0)
        .bind(message)
        .bind(signed(place.position.0)?)
        .bind(signed(place.inbound)?)
        .execute(&mut *self.0)
        .await?;
        number(seq).map(Seq)
    }

    async fn deliver(&mut self, accounts: &BTreeSet<String>, delivery: Delivery<'_>) -> Result<()> {
        let Delivery { operation, conversation, news } = delivery;
        let (message, roster) = match news {
            News::Message(message) => (Some(message.0), None),
            News::Members(roster) => (None, Some(roster.0)),
        };
        let accounts = &json(accounts)?;
        sqlx::query(DELIVER_SEQS).bind(accounts).execute(&mut *self.0).await?;
        sqlx::query(DELIVER_PLACES)
            .bind(accounts)
            .bind(conversation)
            .bind(i64::from(message.is_some()))
            .execute(&mut *self.0)
            .await?;
        sqlx::query(DELIVER_ENTRIES)
            .bind(accounts)
            .bind(conversation)
            .bind(operation.map(|id| id.as_bytes().to_vec()))
            .bind(message)
            .bind(roster)
            .execute(&mut *self.0)
            .await?;
        Ok(())
    }

    async fn group(&mut self, id: &str) -> Result<Option<BTreeSet<String>>> {
        group(&mut self.0, id).await
    }

    async fn put_group(&mut self, id: &str, members: &BTreeSet<String>) -> Result<()> {
        sqlx::query("INSERT INTO groups (id) VALUES (?) ON CONFLICT (id) DO NOTHING")
            .bind(id)
            .execute(&mut *self.0)
            .await?;
        sqlx::query("DELETE FROM group_members WHERE group_id = ?").bind(id).execute(&mut *self.0).await?;
        sqlx::query("INSERT INTO group_members (group_id, account) SELECT ?, value FROM json_each(?)")
            .bind(id)
            .bind(json(members)?)
            .execute(&mut *self.0)
            .await?;
        Ok(())
    }

    async fn drop_group(&mut self, id: &str) -> Result<()> {
        sqlx::query("DELETE FROM groups WHERE id = ?").bind(id).execute(&mut *self.0).await?;
        Ok(())
    }

    async fn register_device(&mut self, account: &str, id: &str, now: Millis) -> Result<()> {
        sqlx::query(
            "INSERT INTO devices (account, id, registered_at) VALUES (?, ?, ?)
             ON CONFLICT (account, id) DO NOTHING",
        )
        .bind(account)
        .bind(id)
        .bind(signed(now.0)?)
        .execute(&mut *self.0)
        .await?;
        Ok(())
    }

    async fn see_device(&mut self, account: &str, sighting: &Sighting, now: Millis) -> Result<()> {
        sqlx::query(
            "INSERT INTO devices (account, id, name, platform, registered_at, last_seen)
             VALUES (?1, ?2, nullif(?3, ''), ?4, ?5, ?5)
             ON CONFLICT (account, id) DO UPDATE SET
                 name = coalesce(name, excluded.name),
                 platform = excluded.platform,
                 last_seen = excluded.last_seen",
        )
        .bind(account)
        .bind(&sighting.id)
        .bind(&sighting.name)
        .bind(sighting.platform.as_str())
        .bind(signed(now.0)?)
        .execute(&mut *self.0)
        .await?;
        Ok(())
    }

    async fn put_settings(&mut self, settings: &str) -> Result<()> {
        sqlx::query(
            "INSERT INTO meta (key, value) VALUES ('settings', ?)
             ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        )
        .bind(settings.as_bytes())
        .execute(&mut *self.0)
        .await?;
        Ok(())
    }

    async fn commit(self: Box<Self>) -> Result<()> {
        Ok(self.0.commit().await?)
    }
}

async fn group(connection: &mut SqliteConnection, id: &str) -> Result<Option<BTreeSet<String>>> {
    // One row, since each row costs a way between threads.
    let members: Option<String> = sqlx::query_scalar(
        "SELECT (SELECT json_group_array(account) FROM group_members WHERE group_id = id)
         FROM groups WHERE id = ?",
    )
    .bind(id)
    .fetch_optional(connection)
    .await?;
    members.map(|members| serde_json::from_str(&members).map_err(StorageError::new)).transpose()
}

fn json(names: &BTreeSet<String>) -> Result<String> {
    serde_json::to_string(names).map_err(StorageError::new)
}

/// Reads a row of [`PAGE`]; `None` for the one that stands for nothing to follow.
fn read_event(row: &SqliteRow) -> Result<Option<wire::Event>> {
    let Some(seq) = row.try_get::<Option<i64>, _>(1)? else {
        return Ok(None);
    };
    let conversation = row.try_get(3)?;
    let body = if let Some(id) = row.try_get::<Option<&[u8]>, _>(7)? {
        wire::event::Body::Message(wire::Message {
            id: Bytes::copy_from_slice(id),
            conversation,
            sender: row.try_get(8)?,
            device: optional_bytes(row, 9)?,
            r#type: row.try_get(10)?,
            content: Bytes::copy_from_slice(row.try_get(11)?),
            position: column(row, 4)?,
            inbound: column(row, 5)?,
            sent_at: column(row, 12)?,
        })
    } else if let Some(members) = row.try_get::<Option<&str>, _>(6)? {
        wire::event::Body::Members(wire::Members {
            conversation,
            members: serde_json::from_str(members).map_err(StorageError::new)?,
        })
    } else {
        wire::event::Body::Read(wire::Read {
            conversation,
            position: column(row, 4)?,
            inbound: column(row, 5)?,
        })
    };
    Ok(Some(wire::Event { seq: number(seq)?, operation: optional_bytes(row, 2)?, body: Some(body) }))
}

fn read_device(row: &SqliteRow) -> Result<Device> {
    let id: String = row.try_get(0)?;
    let last_seen: Option<i64> = row.try_get(4)?;
    Ok(Device {
        name: row.try_get::<Option<String>, _>(1)?.unwrap_or_else(|| id.clone()),
        platform: row.try_get::<Option<&str>, _>(2)?.and_then(Platform::parse),
        registered_at: Millis(column(row, 3)?),
        last_seen: last_seen.map(number).transpose()?.map(Millis),
        id,
    })
}

fn optional_bytes(row: &SqliteRow, index: usize) -> Result<Bytes> {
    Ok(row.try_get::<Option<&[u8]>, _>(index)?.map(Bytes::copy_from_slice).unwrap_or_default())
}

fn column(row: &SqliteRow, index: usize) -> Result<u64> {
    number(row.try_get(index)?)
}

/// SQLite's integers are signed; ours are not.
fn number(stored: i64) -> Result<u64> {
    u64::try_from(stored).map_err(StorageError::new)
}

fn signed(number: u64) -> Result<i64> {
    i64::try_from(number).map_err(StorageError::new)
}

impl From<sqlx::Error> for StorageError {
    fn from(error: sqlx::Error) -> Self {
        Self::new(error)
    }
}

#[cfg(test)]
mod tests;
