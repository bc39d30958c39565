//! The default storage: one SQLite file, write-ahead log, every commit forced to the disk.
//!
//! One connection writes, so that writers never meet; a few others read beside it. Content is sealed under the key of
//! the account that it comes from; what statements look at is not.

mod devices;
mod erasure;
mod rotation;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::TryStreamExt as _;
use prost::Message as _;
use sqlx::{
    ConnectOptions as _, Connection as _, Row as _, Sqlite, SqliteConnection, SqlitePool,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteRow, SqliteSynchronous},
};
use tutti_protocol::{DeviceId, LogId, Millis, OperationId, Position, Seq, Timestamp, limits, target, wire};

use super::{
    AccountKey, Addressees, Delivery, Entry, MessageKey, NewFields, NewMessage, News, Noted, Overview, Page,
    Place, Reader, Reading, Receipt, Result, RosterKey, SentMessage, Storage, StorageError, StoredMessage,
    Told, Transaction, Trimmed, View, ViewKey,
    lineage::Lineage,
    rows::{
        ADDRESSEE, Columns as _, FIELDS, HEAD, MESSAGE, NOTIFICATION, READ, addressee, contains, json,
        number, read_event, read_field, read_fields, read_message, read_notification, read_overview, signed,
    },
    seal::{Keyring, MasterKeys, Seal, What},
};
use crate::{
    devices::{Device, Known, Removed, Subscription, Token, TokenMark},
    merge::{Fields, Stamp},
};

const SCHEMA: &str = include_str!("schema.sql");
const SCHEMA_VERSION: i64 = 6;
/// What brings a database of one version to the next; older ones are not known any more.
const UPGRADES: &[(i64, &str)] = &[(5, include_str!("sqlite/upgrade_5.sql"))];
const READERS: u32 = 4;
/// How long a statement waits for whoever is in its way.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long scrubbing waits, in milliseconds: all who write wait with it.
const SCRUB_PATIENCE: u32 = 20;

/// The wrapped key of an account.
macro_rules! key_of {
    ($account:literal) => {
        concat!("(SELECT k.bytes FROM contents k WHERE k.key = ", $account, ".key)")
    };
}

/// What is read of a message, for `read_message`. From which device it was sent is nobody's business but the
/// sender's own.
macro_rules! message_columns {
    () => {
        "v.conversation, l.position, l.inbound, m.id, m.sender, CASE WHEN m.sender = a.name THEN m.device END,
         m.type, substr(c.bytes, 1, m.size), m.sent_at, m.edited_at, m.recalled,
         (SELECT k.bytes FROM accounts s CROSS JOIN contents k ON k.key = s.key WHERE s.name = m.sender)"
    };
}

/// The fields of a target, as a JSON array of names and sealed values in hexadecimal.
macro_rules! fields_of_target {
    () => {
        "(SELECT json_group_array(json_array(f.name, hex(substr(v.bytes, 1, f.size))))
          FROM fields f JOIN contents v ON v.key = f.value
          WHERE f.target = t.id AND f.size > 0)"
    };
}

/// What is read of a notification, for `read_notification`.
macro_rules! notification_columns {
    () => {
        "n.id, n.conversation, n.message, n.created_at, n.state, substr(w.bytes, 1, n.size)"
    };
}

/// One query for a page: a range of the log, and what its entries refer to. The account's row comes
/// even when nothing follows, with the head of the same moment. Fields and notifications come with the last
/// entry of theirs alone. A change is for whom the message is for.
const PAGE: &str = concat!(
    "SELECT ",
    message_columns!(),
    ", t.name, t.updated_at, t.device, CASE WHEN t.seq = l.seq THEN ",
    fields_of_target!(),
    " END, a.head, a.tail, l.seq, l.kind, l.operation, r.members, reader.name,
     coalesce(l.device, held.device) = '', coalesce(coalesce(l.device, held.device) <> ?4, 0), ",
    notification_columns!(),
    ", CASE WHEN l.kind IN (5, 7) THEN ",
    key_of!("a"),
    " END FROM accounts a
    LEFT JOIN log l ON l.account = a.id AND l.seq > ?2
    LEFT JOIN views v ON v.id = l.view
    LEFT JOIN messages m ON m.key = l.message
    LEFT JOIN contents c ON c.key = m.content
    LEFT JOIN rosters r ON r.key = l.roster
    LEFT JOIN targets t ON t.id = l.target
    LEFT JOIN accounts reader ON reader.id = l.reader
    LEFT JOIN log held ON l.kind = 4 AND held.message = l.message AND held.account = l.account AND held.kind = 1
    LEFT JOIN notifications n ON l.kind = 7 AND n.account = l.account AND n.seq = l.seq
    LEFT JOIN contents w ON w.key = n.content
    WHERE a.name = ?1
    ORDER BY l.seq
    LIMIT ?3"
);

/// How the conversations of the account `?1` after the name `?2` are now for the device `?5`, which gets what is for
/// all unless `?6`.
const OVERVIEWS: &str = concat!(
    "SELECT ",
    message_columns!(),
    ", v.conversation, v.read, v.read_inbound, r.members, (
        SELECT json_group_array(json_array(told.name, told.position)) FROM (
            SELECT reader.name, g.told AS position FROM readings g
            CROSS JOIN accounts reader ON reader.id = g.reader
            WHERE g.view = v.id AND g.told > 0 LIMIT ?4
        ) told
    )
    FROM accounts a
    CROSS JOIN views v ON v.account = a.id AND v.conversation > ?2
    LEFT JOIN log l ON l.view = v.id AND l.kind = 1 AND l.position = (
        SELECT l.position FROM log l CROSS JOIN messages m ON m.key = l.message
        WHERE l.view = v.id AND l.kind = 1 AND NOT coalesce(l.device <> ?5, ?6)
        ORDER BY l.position DESC LIMIT 1
    )
    LEFT JOIN messages m ON m.key = l.message
    LEFT JOIN contents c ON c.key = m.content
    LEFT JOIN rosters r ON r.key = v.roster
    WHERE a.name = ?1 AND a.erased_at IS NULL
    ORDER BY v.conversation
    LIMIT ?3"
);
/// How far so many others have read is told of a conversation, at most: more than there are members of whom
/// that is told.
const OVERVIEW_READERS: i64 = 4 * limits::READERS as i64;

/// All that is set of the targets of the account `?1` after the name `?2`.
const SHARED: &str = concat!(
    "SELECT t.name, t.updated_at, t.device, ",
    fields_of_target!(),
    ", ",
    key_of!("a"),
    " FROM accounts a
    CROSS JOIN targets t ON t.account = a.id AND t.name > ?2
    WHERE a.name = ?1 AND a.erased_at IS NULL
    ORDER BY t.name
    LIMIT ?3"
);

/// What the account `?1` is notified of, after the id `?2`.
const NOTIFIED: &str = concat!(
    "SELECT ",
    notification_columns!(),
    ", ",
    key_of!("a"),
    " FROM accounts a
    CROSS JOIN notifications n ON n.account = a.id AND n.id > ?2
    CROSS JOIN contents w ON w.key = n.content
    WHERE a.name = ?1
    ORDER BY n.id
    LIMIT ?3"
);

/// Of the notifications of the account `?1` those that are beyond the `?2` newest, and those that were dismissed,
/// beyond the `?3` newest, and still have words.
const NOTIFICATIONS_SPENT: &str = "
    SELECT json_group_array(json_array(content, age > ?2)) FROM (
        SELECT content, state, size, row_number() OVER (ORDER BY created_at DESC, id DESC) AS age
        FROM notifications WHERE account = ?1
    ) WHERE age > ?2 OR age > ?3 AND state = 2 AND size > 0";

/// The next conversation of the account `?1` after the name `?2` whose last message was sent since `?3`.
const ACTIVE: &str = "
    SELECT v.conversation, v.last
    FROM accounts a
    CROSS JOIN views v ON v.account = a.id AND v.conversation > ?2
    CROSS JOIN log l ON l.view = v.id AND l.position = v.last AND l.kind = 1
    CROSS JOIN messages m ON m.key = l.message
    WHERE a.name = ?1 AND m.sent_at >= ?3
    ORDER BY v.conversation
    LIMIT 1";

/// What is kept of the positions `?3` to `?4` in the view that the account `?1` has of the conversation `?2`, and is
/// for the device `?6`, which gets what is for all unless `?7`.
const STRETCH: &str = concat!(
    "SELECT ",
    message_columns!(),
    " FROM accounts a
    CROSS JOIN views v ON v.account = a.id AND v.conversation = ?2
    CROSS JOIN log l ON l.view = v.id AND l.position BETWEEN ?3 AND ?4 AND l.kind = 1
    CROSS JOIN messages m ON m.key = l.message
    CROSS JOIN contents c ON c.key = m.content
    WHERE a.name = ?1 AND (l.seq > a.tail OR l.position = v.last) AND NOT coalesce(l.device <> ?6, ?7)
    ORDER BY l.position DESC
    LIMIT ?5"
);

/// Entries of a log that are looked at in one step of trimming.
const TRIM: i64 = 500;
/// The oldest entries of the log of the account `?1` that are kept, and of messages whether they were sent since
/// `?3`.
const TRIM_FOUND: &str = "
    SELECT l.seq, m.sent_at >= ?3 FROM log l
    LEFT JOIN messages m ON m.key = l.message AND l.kind = 1
    WHERE l.account = ?1 AND l.seq > ?2
    ORDER BY l.seq
    LIMIT ?4";
/// What goes from the log of the account `?1` when it is kept from after `?2` on: all but the last messages of
/// conversations.
macro_rules! trimmed {
    () => {
        "account = ?1 AND seq <= ?2
         AND NOT (kind = 1 AND position = (SELECT v.last FROM views v WHERE v.id = log.view))"
    };
}
/// The messages in a JSON array, `?1`, that no log refers to.
macro_rules! unheld {
    () => {
        "FROM json_each(?1) j CROSS JOIN messages m ON m.key = j.value
         WHERE NOT EXISTS (SELECT 1 FROM log l WHERE l.message = m.key AND l.kind = 1)"
    };
}

/// The three steps of a delivery to a JSON array, `?1`, of accounts, each with the device it is for: the next seq
/// for each, the next place in its view (the same one again if `?3` is 0) with who is there (`?4`, if that is the
/// news), and the entries there. SQLite takes the tables of a CROSS JOIN in their order, so each account is found
/// by its name.
const DELIVER_SEQS: &str = "
    INSERT INTO accounts (name, head) SELECT value ->> 0, 1 FROM json_each(?1) WHERE true
    ON CONFLICT (name) DO UPDATE SET head = head + 1 WHERE erased_at IS NULL";
const DELIVER_PLACES: &str = "
    INSERT INTO views (account, conversation, last, inbound, roster)
    SELECT a.id, ?2, ?3, ?3, ?4 FROM json_each(?1) j CROSS JOIN accounts a ON a.name = j.value ->> 0
    WHERE a.erased_at IS NULL
    ON CONFLICT (account, conversation) DO UPDATE SET
        last = last + excluded.last, inbound = inbound + excluded.inbound,
        roster = coalesce(excluded.roster, roster)";
const DELIVER_ENTRIES: &str = "
    INSERT INTO log (account, seq, operation, kind, view, message, roster, device, position, inbound)
    SELECT a.id, a.head, ?3, iif(?4 IS NULL, 3, 1), v.id, ?4, ?5, j.value ->> 1,
           iif(?4 IS NULL, 0, v.last), iif(?4 IS NULL, 0, v.inbound)
    FROM json_each(?1) j
    CROSS JOIN accounts a ON a.name = j.value ->> 0 AND a.erased_at IS NULL
    CROSS JOIN views v ON v.account = a.id AND v.conversation = ?2";

/// The three steps to tell everyone who holds a message, `?1`, that it has changed: the next seq for each,
/// the entries there, and who they were.
const CHANGE_SEQS: &str = "
    UPDATE accounts SET head = head + 1
    WHERE id IN (SELECT account FROM log WHERE message = ?1 AND kind = 1)";
const CHANGE_ENTRIES: &str = "
    INSERT INTO log (account, seq, operation, kind, view, message, position, inbound)
    SELECT l.account, a.head, ?2, 4, l.view, l.message, l.position, l.inbound
    FROM log l CROSS JOIN accounts a ON a.id = l.account
    WHERE l.message = ?1 AND l.kind = 1";
const CHANGE_TOLD: &str = "
    SELECT json_group_object(a.name, a.head) FROM log l CROSS JOIN accounts a ON a.id = l.account
    WHERE l.message = ?1 AND l.kind = 1";

/// The drafts, `?2`, that those who hold a message, `?1`, have in its conversation.
const DRAFTS: &str = concat!(
    "SELECT t.id, t.name, substr(c.bytes, 1, f.size), a.name, ",
    key_of!("a"),
    " FROM log l
    CROSS JOIN views v ON v.id = l.view
    CROSS JOIN targets t ON t.account = l.account AND t.name = v.conversation
    CROSS JOIN fields f ON f.target = t.id AND f.name = ?2
    CROSS JOIN contents c ON c.key = f.value
    CROSS JOIN accounts a ON a.id = l.account
    WHERE l.message = ?1 AND l.kind = 1 AND f.size > 0"
);

/// The steps to tell those of the accounts in a JSON array, `?1`, who call a conversation `?2`, how far the
/// reader `?3` has read: to find who has in the own log what stands in the reader's view, `?4`, up to `?5`,
/// and was not looked at before, and where; to note that this was looked at; and to write it, and that it is told.
const READ_FOUND: &str = "
    SELECT json_group_array(json_array(found.account, found.name, found.view, found.position)) FROM (
        SELECT a.id AS account, a.name, v.id AS view, (
            SELECT theirs.position FROM log own
            CROSS JOIN log theirs ON theirs.message = own.message AND theirs.account = a.id
            WHERE own.view = ?4 AND own.kind = 1 AND own.position > coalesce(r.looked, 0)
                AND own.position <= ?5 AND theirs.kind = 1
            ORDER BY own.position DESC LIMIT 1
        ) AS position
        FROM json_each(?1) j
        CROSS JOIN accounts a ON a.name = j.value
        CROSS JOIN views v ON v.account = a.id AND v.conversation = ?2
        LEFT JOIN readings r ON r.view = v.id AND r.reader = ?3
    ) found WHERE found.position IS NOT NULL";
const READ_LOOKED: &str = "
    INSERT INTO readings (view, reader, looked)
    SELECT v.id, ?3, ?4 FROM json_each(?1) j
    CROSS JOIN accounts a ON a.name = j.value
    CROSS JOIN views v ON v.account = a.id AND v.conversation = ?2
    WHERE true
    ON CONFLICT (view, reader) DO UPDATE SET looked = excluded.looked";
const READ_SEQS: &str = "
    UPDATE accounts SET head = head + 1 WHERE id IN (SELECT value ->> 0 FROM json_each(?1))";
const READ_ENTRIES: &str = "
    INSERT INTO log (account, seq, kind, view, reader, position)
    SELECT a.id, a.head, 6, j.value ->> 2, ?2, j.value ->> 3
    FROM json_each(?1) j CROSS JOIN accounts a ON a.id = j.value ->> 0";
const READ_TOLD: &str = "
    UPDATE readings SET told = j.value ->> 3 FROM json_each(?1) j
    WHERE view = j.value ->> 2 AND reader = ?2";

/// With whom the account `?1` shares a conversation. Whoever is in a group was told so, and has a view of it.
const CONTACTS: &str = "
    SELECT json_group_array(DISTINCT name) FROM (
        SELECT substr(v.conversation, 8) AS name
        FROM accounts a CROSS JOIN views v ON v.account = a.id
        WHERE a.name = ?1 AND v.conversation >= 'direct:' AND v.conversation < 'direct;'
        UNION ALL
        SELECT theirs.account
        FROM accounts a CROSS JOIN views v ON v.account = a.id
        CROSS JOIN group_members own ON own.group_id = substr(v.conversation, 7) AND own.account = ?1
        CROSS JOIN group_members theirs ON theirs.group_id = own.group_id
        WHERE a.name = ?1 AND v.conversation >= 'group:' AND v.conversation < 'group;'
    ) WHERE name <> ?1";

/// Storage in a SQLite file.
pub struct SqliteStorage {
    writer: SqlitePool,
    readers: SqlitePool,
    lineage: Mutex<Lineage>,
    keyring: Arc<Keyring>,
}

impl SqliteStorage {
    /// Opens the database in a file, made if need be. If it was sealed under an old one of these master keys, it
    /// is under the present one afterwards.
    ///
    /// # Errors
    /// When the file cannot be opened, is none of ours or of another version, or is sealed under a master key that is
    /// none of these.
    pub async fn open(file: &Path, keys: &MasterKeys) -> Result<Self> {
        let options = SqliteConnectOptions::new()
            .filename(file)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(PATIENCE)
            // What is erased is overwritten, and what is set aside for a while touches no disk.
            .pragma("secure_delete", "ON")
            .pragma("temp_store", "MEMORY")
            // Each row is read on another thread: that it waits for the reader of one would cost more than the rows.
            .row_buffer_size(limits::PAGE_EVENTS)
            .disable_statement_logging();
        let writer = SqlitePoolOptions::new()
            .max_connections(1)
            // A failing disk makes SQLite end a transaction by itself. The connection then believes
            // for good that it is in one, and begins no other: another takes its place.
            .before_acquire(|connection, _| Box::pin(async { Ok(!connection.is_in_transaction()) }))
            .connect_with(options.clone())
            .await?;
        let lineage = Mutex::new(prepare(&writer, keys).await?);
        // A server that was killed may not have come to it.
        checkpoint(&mut *writer.acquire().await?).await?;
        let readers =
            SqlitePoolOptions::new().max_connections(READERS).connect_with(options.read_only(true)).await?;
        let keyring = Arc::new(Keyring::new(keys.present.clone()));
        Ok(Self { writer, readers, lineage, keyring })
    }

    fn lineage(&self) -> MutexGuard<'_, Lineage> {
        self.lineage.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes the schema if need be, finds or mints the log's identity, and has all under the present master key.
async fn prepare(writer: &SqlitePool, keys: &MasterKeys) -> Result<Lineage> {
    let mut transaction = writer.begin_with("BEGIN IMMEDIATE").await?;
    let version: i64 = sqlx::query_scalar("PRAGMA user_version").fetch_one(&mut *transaction).await?;
    match version {
        0 => {
            sqlx::raw_sql(SCHEMA).execute(&mut *transaction).await?;
            set_version(&mut transaction).await?;
            let mut id = [0; 16];
            getrandom::fill(&mut id).map_err(StorageError::new)?;
            sqlx::query("INSERT INTO meta (key, value) VALUES ('log', ?)")
                .bind(&id[..])
                .execute(&mut *transaction)
                .await?;
        }
        SCHEMA_VERSION => {}
        older if UPGRADES.iter().any(|(from, _)| *from == older) => upgrade(&mut transaction, older).await?,
        other => {
            return Err(StorageError::new(format!(
                "the database is of version {other}, this server knows {SCHEMA_VERSION} alone: \
                 use the server that made it, or begin with another data directory"
            )));
        }
    }
    let id: Vec<u8> =
        sqlx::query_scalar("SELECT value FROM meta WHERE key = 'log'").fetch_one(&mut *transaction).await?;
    let former: Option<Vec<u8>> = sqlx::query_scalar("SELECT value FROM meta WHERE key = 'former logs'")
        .fetch_optional(&mut *transaction)
        .await?;
    let is_settled = rotation::begin(&mut transaction, keys).await?;
    transaction.commit().await?;
    if !is_settled {
        rotation::run(writer, keys).await?;
    } else if !keys.old.is_empty() {
        tracing::info!("no account's key is under an old master key; they are needed for backups alone");
    }
    Lineage::read(&id, &former.unwrap_or_default())
}

/// Brings a database of an earlier version to this one, step by step.
async fn upgrade(connection: &mut SqliteConnection, older: i64) -> Result<()> {
    for (_, upgrade) in UPGRADES.iter().filter(|(from, _)| *from >= older) {
        sqlx::raw_sql(*upgrade).execute(&mut *connection).await?;
    }
    set_version(connection).await
}

async fn set_version(connection: &mut SqliteConnection) -> Result<()> {
    let version = sqlx::AssertSqlSafe(format!("PRAGMA user_version = {SCHEMA_VERSION}"));
    sqlx::raw_sql(version).execute(connection).await?;
    Ok(())
}

#[async_trait]
impl Storage for SqliteStorage {
    fn log_id(&self) -> LogId {
        self.lineage().log
    }

    async fn rename_log(&self, id: LogId) -> Result<()> {
        let mut transaction = self.writer.begin_with("BEGIN IMMEDIATE").await?;
        let until: i64 = sqlx::query_scalar("SELECT coalesce(max(accepted_at), 0) FROM operations")
            .fetch_one(&mut *transaction)
            .await?;
        let lineage = self.lineage().renamed(id, Millis(number(until)?));
        let put = "INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value";
        for (key, value) in [("log", lineage.log.as_bytes().to_vec()), ("former logs", lineage.former())] {
            sqlx::query(put).bind(key).bind(value).execute(&mut *transaction).await?;
        }
        transaction.commit().await?;
        *self.lineage() = lineage;
        Ok(())
    }

    fn common(&self, with: LogId) -> Option<Millis> {
        self.lineage().common(with)
    }

    async fn begin(&self) -> Result<Box<dyn Transaction>> {
        let transaction = self.writer.begin_with("BEGIN IMMEDIATE").await?;
        let keyring = self.keyring.clone();
        let found = Found { keyring, accounts: BTreeMap::new(), seals: BTreeMap::new() };
        Ok(Box::new(SqliteTransaction(transaction, found)))
    }

    async fn head(&self, account: &str) -> Result<Seq> {
        let head: Option<i64> = sqlx::query_scalar("SELECT head FROM accounts WHERE name = ?")
            .bind(account)
            .fetch_optional(&self.readers)
            .await?;
        number(head.unwrap_or(0)).map(Seq)
    }

    async fn tail(&self, account: &str) -> Result<Seq> {
        let tail: Option<i64> = sqlx::query_scalar("SELECT tail FROM accounts WHERE name = ?")
            .bind(account)
            .fetch_optional(&self.readers)
            .await?;
        number(tail.unwrap_or(0)).map(Seq)
    }

    async fn waits(&self, account: &str, until: Seq) -> Result<bool> {
        let waits = sqlx::query_scalar(
            "SELECT EXISTS (
                 SELECT 1 FROM accounts a CROSS JOIN log l ON l.account = a.id AND l.seq <= ?2 AND l.device = ''
                 WHERE a.name = ?1
             )",
        )
        .bind(account)
        .bind(signed(until.0)?)
        .fetch_one(&self.readers)
        .await?;
        Ok(waits)
    }

    async fn page(&self, account: &str, after: Seq, device: DeviceId) -> Result<Page> {
        let mut page = Page { next: after, ..Page::default() };
        let mut size = 0;
        // Nothing follows what no log reaches.
        let from = i64::try_from(after.0).unwrap_or(i64::MAX);
        let mut rows = sqlx::query(PAGE)
            .bind(account)
            .bind(from)
            .bind(limits::PAGE_EVENTS as i64)
            .bind(device.to_string())
            .fetch(&self.readers);
        while let Some(row) = rows.try_next().await? {
            (page.head, page.tail) = (Seq(row.number(HEAD)?), Seq(row.number(HEAD + 1)?));
            page.unclaimed |= row.try_get::<Option<bool>, _>(ADDRESSEE)?.unwrap_or_default();
            if after < page.tail {
                break;
            }
            let Some(event) = read_event(&row, account, &self.keyring)? else {
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

    async fn overviews(
        &self,
        account: &str,
        reader: Reader,
        after: &str,
        most: usize,
    ) -> Result<Vec<Overview>> {
        let rows = sqlx::query(OVERVIEWS)
            .bind(account)
            .bind(after)
            .bind(most as i64)
            .bind(OVERVIEW_READERS)
            .bind(reader.device.to_string())
            .bind(!reader.compensated)
            .fetch_all(&self.readers)
            .await?;
        rows.iter().map(|row| read_overview(row, &self.keyring)).collect()
    }

    async fn shared(&self, account: &str, after: &str, most: usize) -> Result<Vec<wire::Fields>> {
        let rows = sqlx::query(SHARED).bind(account).bind(after).bind(most as i64);
        let rows = rows.fetch_all(&self.readers).await?;
        let read = |row: &SqliteRow| read_fields(row, 0, || self.keyring.seal(account, row.try_get(4)?));
        rows.iter().filter_map(|row| read(row).transpose()).collect()
    }

    async fn notifications(
        &self,
        account: &str,
        after: Option<OperationId>,
        most: usize,
    ) -> Result<Vec<wire::Notification>> {
        let rows = sqlx::query(NOTIFIED)
            .bind(account)
            .bind(after.map(|id| id.as_bytes().to_vec()).unwrap_or_default())
            .bind(most as i64)
            .fetch_all(&self.readers)
            .await?;
        let read =
            |row: &SqliteRow| read_notification(row, 0, &*self.keyring.seal(account, row.try_get(6)?)?);
        rows.iter().map(read).collect()
    }

    async fn active(&self, account: &str, after: &str, since: Millis) -> Result<Option<(String, Position)>> {
        let row = sqlx::query(ACTIVE)
            .bind(account)
            .bind(after)
            .bind(signed(since.0)?)
            .fetch_optional(&self.readers)
            .await?;
        row.map(|row| Ok((row.try_get(0)?, Position(row.number(1)?)))).transpose()
    }

    async fn stretch(
        &self,
        account: &str,
        reader: Reader,
        conversation: &str,
        (from, to): (Position, Position),
        most: usize,
    ) -> Result<Vec<wire::Message>> {
        let rows = sqlx::query(STRETCH)
            .bind(account)
            .bind(conversation)
            // Nothing stands where no conversation reaches.
            .bind(i64::try_from(from.0).unwrap_or(i64::MAX))
            .bind(i64::try_from(to.0).unwrap_or(i64::MAX))
            .bind(most as i64)
            .bind(reader.device.to_string())
            .bind(!reader.compensated)
            .fetch_all(&self.readers)
            .await?;
        rows.iter().filter_map(|row| read_message(row, &self.keyring).transpose()).collect()
    }

    async fn devices(&self, account: &str) -> Result<Vec<Device>> {
        devices::list(&mut *self.readers.acquire().await?, account).await
    }

    async fn device(&self, account: &str, id: &str) -> Result<Option<Known>> {
        devices::find(&mut *self.readers.acquire().await?, account, id).await
    }

    async fn token_keepers(&self, account: &str, token: TokenMark) -> Result<Option<BTreeSet<String>>> {
        devices::token_keepers(&mut *self.readers.acquire().await?, account, token).await
    }

    async fn group(&self, id: &str) -> Result<Option<BTreeSet<String>>> {
        group(&mut *self.readers.acquire().await?, id).await
    }

    async fn contacts(&self, account: &str) -> Result<BTreeSet<String>> {
        // One row, since each row costs a way between threads.
        let names: String = sqlx::query_scalar(CONTACTS).bind(account).fetch_one(&self.readers).await?;
        serde_json::from_str(&names).map_err(StorageError::new)
    }

    async fn erased(&self, account: &str) -> Result<Option<Millis>> {
        let erased = erasure::find(&mut *self.readers.acquire().await?, &[account]).await?;
        Ok(erased.map(|(_, at)| at))
    }

    async fn erasing(&self) -> Result<Vec<String>> {
        erasure::unfinished(&mut *self.readers.acquire().await?).await
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

    async fn scrub(&self) -> Result<bool> {
        let mut writer = self.writer.acquire().await?;
        set_patience(&mut writer, SCRUB_PATIENCE).await?;
        let scrubbed = checkpoint(&mut writer).await;
        set_patience(&mut writer, u32::try_from(PATIENCE.as_millis()).unwrap_or(u32::MAX)).await?;
        scrubbed
    }

    async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}

/// Moves all that the journal holds into the database and empties the journal's file. Answers whether that
/// was done: it is not while somebody reads from the journal.
async fn checkpoint(writer: &mut SqliteConnection) -> Result<bool> {
    let row = sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").fetch_one(writer).await?;
    Ok(row.try_get::<i64, _>(0)? == 0)
}

/// How many milliseconds the connection waits for whoever is in its way.
async fn set_patience(connection: &mut SqliteConnection, millis: u32) -> Result<()> {
    let sql = sqlx::AssertSqlSafe(format!("PRAGMA busy_timeout = {millis}"));
    sqlx::raw_sql(sql).execute(connection).await?;
    Ok(())
}

/// A transaction, and what it has found out so far.
struct SqliteTransaction(sqlx::Transaction<'static, Sqlite>, Found);

struct Found {
    keyring: Arc<Keyring>,
    /// Accounts, and when they were erased.
    accounts: BTreeMap<String, (AccountKey, Option<Millis>)>,
    seals: BTreeMap<i64, Arc<Seal>>,
}

#[async_trait]
impl Transaction for SqliteTransaction {
    async fn account(&mut self, name: &str) -> Result<AccountKey> {
        if let Some((known, _)) = self.1.accounts.get(name) {
            return Ok(*known);
        }
        let known: Option<(i64, Option<i64>)> =
            sqlx::query_as("SELECT id, erased_at FROM accounts WHERE name = ?")
                .bind(name)
                .fetch_optional(&mut *self.0)
                .await?;
        let (key, erased_at) = match known {
            Some(known) => known,
            None => {
                sqlx::query_as("INSERT INTO accounts (name) VALUES (?) RETURNING id, erased_at")
                    .bind(name)
                    .fetch_one(&mut *self.0)
                    .await?
            }
        };
        let key = AccountKey(key);
        let erased_at = erased_at.map(number).transpose()?.map(Millis);
        self.1.accounts.insert(name.to_owned(), (key, erased_at));
        Ok(key)
    }

    async fn receipt(&mut self, account: AccountKey, id: OperationId) -> Result<Option<Receipt>> {
        let row = sqlx::query("SELECT digest, seq, accepted_at FROM operations WHERE account = ? AND id = ?")
            .bind(account.0)
            .bind(&id.as_bytes()[..])
            .fetch_optional(&mut *self.0)
            .await?;
        let Some(row) = row else { return Ok(None) };
        let digest = self.seal_of(account).await?.open(What::Digest(id.as_bytes()), row.try_get(0)?)?;
        Ok(Some(Receipt {
            digest: digest[..].try_into().map_err(StorageError::new)?,
            seq: Seq(row.number(1)?),
            accepted_at: Millis(row.number(2)?),
        }))
    }

    async fn keep_receipt(&mut self, account: AccountKey, id: OperationId, receipt: &Receipt) -> Result<()> {
        let digest = self.seal_of(account).await?.seal(What::Digest(id.as_bytes()), &receipt.digest)?;
        sqlx::query("INSERT INTO operations (account, id, digest, seq, accepted_at) VALUES (?, ?, ?, ?, ?)")
            .bind(account.0)
            .bind(&id.as_bytes()[..])
            .bind(digest)
            .bind(signed(receipt.seq.0)?)
            .bind(signed(receipt.accepted_at.0)?)
            .execute(&mut *self.0)
            .await?;
        Ok(())
    }

    async fn store_message(&mut self, message: &NewMessage<'_>) -> Result<Option<MessageKey>> {
        let sender = self.account(message.sender).await?;
        let seal = self.seal_of(sender).await?;
        let content = seal.seal(What::Message(message.id.as_bytes()), message.content)?;
        let (id, size) = (&message.id.as_bytes()[..], size(&content)?);
        // First, since a row that others already refer to is looked for in all that may.
        let place: Option<i64> = sqlx::query_scalar(
            "INSERT INTO contents (bytes) SELECT ?2 WHERE NOT EXISTS (SELECT 1 FROM messages WHERE id = ?1)
             RETURNING key",
        )
        .bind(id)
        .bind(content)
        .fetch_optional(&mut *self.0)
        .await?;
        let Some(place) = place else { return Ok(None) };
        let key = sqlx::query_scalar(
            "INSERT INTO messages (id, sender, device, type, sent_at, size, content)
             VALUES (?, ?, ?, ?, ?, ?, ?) RETURNING key",
        )
        .bind(id)
        .bind(message.sender)
        .bind(message.device)
        .bind(message.kind)
        .bind(signed(message.sent_at.0)?)
        .bind(size)
        .bind(place)
        .fetch_one(&mut *self.0)
        .await?;
        Ok(Some(MessageKey(key)))
    }

    async fn message(&mut self, account: AccountKey, id: OperationId) -> Result<Option<StoredMessage>> {
        let row = sqlx::query(
            "SELECT key, sender, sent_at, recalled, edit_clock, edit_device, EXISTS (
                 SELECT 1 FROM log WHERE message = messages.key AND account = ? AND kind = 1
             ) FROM messages WHERE id = ? AND NOT aged",
        )
        .bind(account.0)
        .bind(&id.as_bytes()[..])
        .fetch_optional(&mut *self.0)
        .await?;
        let Some(row) = row else { return Ok(None) };
        let edit = match row.try_get::<Option<i64>, _>(4)? {
            Some(clock) => Some(Stamp { clock: Timestamp(number(clock)?), device: row.shared_bytes(5)? }),
            None => None,
        };
        Ok(Some(StoredMessage {
            key: MessageKey(row.try_get(0)?),
            sender: row.try_get(1)?,
            sent_at: Millis(row.number(2)?),
            edit,
            recalled: row.try_get(3)?,
            held: row.try_get(6)?,
        }))
    }

    async fn edit_message(
        &mut self,
        message: MessageKey,
        content: &Bytes,
        stamp: &Stamp,
        now: Millis,
    ) -> Result<()> {
        let row = sqlx::query("SELECT content, id, sender FROM messages WHERE key = ?")
            .bind(message.0)
            .fetch_one(&mut *self.0)
            .await?;
        let sender = self.account(row.try_get(2)?).await?;
        let content = self.seal_of(sender).await?.seal(What::Message(row.try_get(1)?), content)?;
        let place = self.put_content(Some(row.try_get(0)?), &content).await?;
        sqlx::query(
            "UPDATE messages SET content = ?, size = ?, edited_at = ?, edit_clock = ?, edit_device = ?
             WHERE key = ?",
        )
        .bind(place)
        .bind(size(&content)?)
        .bind(signed(now.0)?)
        .bind(signed(stamp.clock.0)?)
        .bind(&stamp.device[..])
        .bind(message.0)
        .execute(&mut *self.0)
        .await?;
        Ok(())
    }

    async fn erase_message(&mut self, message: MessageKey) -> Result<()> {
        sqlx::query(
            "UPDATE contents SET bytes = zeroblob(length(bytes))
             WHERE key = (SELECT content FROM messages WHERE key = ?)",
        )
        .bind(message.0)
        .execute(&mut *self.0)
        .await?;
        sqlx::query("UPDATE messages SET size = 0, recalled = 1 WHERE key = ?")
            .bind(message.0)
            .execute(&mut *self.0)
            .await?;
        Ok(())
    }

    async fn tell_changed(&mut self, message: MessageKey, operation: Option<OperationId>) -> Result<Told> {
        sqlx::query(CHANGE_SEQS).bind(message.0).execute(&mut *self.0).await?;
        sqlx::query(CHANGE_ENTRIES)
            .bind(message.0)
            .bind(operation.map(|id| id.as_bytes().to_vec()))
            .execute(&mut *self.0)
            .await?;
        let told: String = sqlx::query_scalar(CHANGE_TOLD).bind(message.0).fetch_one(&mut *self.0).await?;
        let told: BTreeMap<String, u64> = serde_json::from_str(&told).map_err(StorageError::new)?;
        Ok(told.into_iter().map(|(account, seq)| (account, Seq(seq))).collect())
    }

    async fn remove_drafts(
        &mut self,
        message: MessageKey,
        text: &str,
        now: Millis,
    ) -> Result<BTreeSet<String>> {
        let targets = self.find_drafts(message, text).await?;
        if targets.is_empty() {
            return Ok(BTreeSet::new());
        }
        let targets = serde_json::to_string(&targets).map_err(StorageError::new)?;
        for erase in [
            "UPDATE contents SET bytes = zeroblob(length(bytes)) WHERE key IN (
                 SELECT value FROM fields WHERE name = ?1
                     AND target IN (SELECT j.value FROM json_each(?2) j)
             )",
            "UPDATE fields SET size = 0 WHERE name = ?1 AND target IN (SELECT j.value FROM json_each(?2) j)",
        ] {
            sqlx::query(erase).bind(target::DRAFT).bind(&targets).execute(&mut *self.0).await?;
        }
        sqlx::query(
            "UPDATE accounts SET head = head + 1 WHERE id IN (
                 SELECT account FROM targets WHERE id IN (SELECT value FROM json_each(?))
             )",
        )
        .bind(&targets)
        .execute(&mut *self.0)
        .await?;
        sqlx::query(
            "UPDATE targets SET seq = (SELECT head FROM accounts WHERE id = account), updated_at = ?,
                 device = x'' WHERE id IN (SELECT value FROM json_each(?))",
        )
        .bind(signed(now.0)?)
        .bind(&targets)
        .execute(&mut *self.0)
        .await?;
        sqlx::query(
            "INSERT INTO log (account, seq, kind, target)
             SELECT account, seq, 5, id FROM targets WHERE id IN (SELECT value FROM json_each(?))",
        )
        .bind(&targets)
        .execute(&mut *self.0)
        .await?;
        let told: String = sqlx::query_scalar(
            "SELECT json_group_array(a.name) FROM json_each(?) j
             CROSS JOIN targets t ON t.id = j.value CROSS JOIN accounts a ON a.id = t.account",
        )
        .bind(&targets)
        .fetch_one(&mut *self.0)
        .await?;
        serde_json::from_str(&told).map_err(StorageError::new)
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
            last: Position(row.number(1)?),
            read: Position(row.number(2)?),
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
            position: Position(row.number(1)?),
            inbound: row.number(2)?,
        })
    }

    async fn place_at(&mut self, view: ViewKey, position: Position) -> Result<Place> {
        let row = sqlx::query(
            "SELECT l.position - (l.position > ?2), l.inbound - (l.position > ?2 AND m.sender <> a.name) FROM log l
             CROSS JOIN messages m ON m.key = l.message
             CROSS JOIN accounts a ON a.id = l.account
             WHERE l.view = ?1 AND l.position >= ?2 AND l.kind = 1
             ORDER BY l.position LIMIT 1",
        )
        .bind(view.0)
        .bind(signed(position.0)?)
        .fetch_one(&mut *self.0)
        .await?;
        Ok(Place { view, position: Position(row.number(0)?), inbound: row.number(1)? })
    }

    async fn set_read(&mut self, place: Place) -> Result<()> {
        sqlx::query("UPDATE views SET read = ?, read_inbound = ? WHERE id = ?")
            .bind(signed(place.position.0)?)
            .bind(signed(place.inbound)?)
            .bind(place.view.0)
            .execute(&mut *self.0)
            .await?;
        Ok(())
    }

    async fn tell_read(
        &mut self,
        accounts: &BTreeSet<String>,
        conversation: &str,
        reading: Reading,
    ) -> Result<BTreeSet<String>> {
        let Reading { reader, view, position } = reading;
        let position = signed(position.0)?;
        let accounts = &json(accounts)?;
        let found: String = sqlx::query_scalar(READ_FOUND)
            .bind(accounts)
            .bind(conversation)
            .bind(reader.0)
            .bind(view.0)
            .bind(position)
            .fetch_one(&mut *self.0)
            .await?;
        sqlx::query(READ_LOOKED)
            .bind(accounts)
            .bind(conversation)
            .bind(reader.0)
            .bind(position)
            .execute(&mut *self.0)
            .await?;
        let told: Vec<(i64, String, i64, i64)> = serde_json::from_str(&found).map_err(StorageError::new)?;
        if !told.is_empty() {
            sqlx::query(READ_SEQS).bind(&found).execute(&mut *self.0).await?;
            for tell in [READ_ENTRIES, READ_TOLD] {
                sqlx::query(tell).bind(&found).bind(reader.0).execute(&mut *self.0).await?;
            }
        }
        Ok(told.into_iter().map(|(_, name, _, _)| name).collect())
    }

    async fn fields(&mut self, account: AccountKey, target: &str) -> Result<Fields> {
        let rows = sqlx::query(
            "SELECT name, substr(bytes, 1, size), clock, device FROM fields
             JOIN contents ON contents.key = fields.value
             WHERE target = (SELECT id FROM targets WHERE account = ? AND name = ?)",
        )
        .bind(account.0)
        .bind(target)
        .fetch_all(&mut *self.0)
        .await?;
        let seal = self.seal_of(account).await?;
        rows.iter().map(|row| read_field(row, target, &seal)).collect()
    }

    async fn targets(&mut self, account: AccountKey) -> Result<usize> {
        let targets: i64 = sqlx::query_scalar("SELECT count(*) FROM targets WHERE account = ?")
            .bind(account.0)
            .fetch_one(&mut *self.0)
            .await?;
        usize::try_from(targets).map_err(StorageError::new)
    }

    async fn set_fields(
        &mut self,
        account: AccountKey,
        operation: OperationId,
        new: NewFields<'_>,
    ) -> Result<Seq> {
        let seq = self.next_seq(account).await?;
        let target: i64 = sqlx::query_scalar(
            "INSERT INTO targets (account, name, seq, updated_at, device) VALUES (?, ?, ?, ?, ?)
             ON CONFLICT (account, name) DO UPDATE SET
                 seq = excluded.seq, updated_at = excluded.updated_at, device = excluded.device
             RETURNING id",
        )
        .bind(account.0)
        .bind(new.target)
        .bind(seq)
        .bind(signed(new.updated_at.0)?)
        .bind(&new.device[..])
        .fetch_one(&mut *self.0)
        .await?;
        let seal = self.seal_of(account).await?;
        for (name, field) in new.fields.iter() {
            let sealed = seal.seal(What::Field(new.target, name), &field.value)?;
            self.put_field(target, name, &field.stamp, &sealed).await?;
        }
        sqlx::query("INSERT INTO log (account, seq, operation, kind, target) VALUES (?, ?, ?, ?, ?)")
            .bind(account.0)
            .bind(seq)
            .bind(&operation.as_bytes()[..])
            .bind(FIELDS)
            .bind(target)
            .execute(&mut *self.0)
            .await?;
        number(seq).map(Seq)
    }

    async fn notify(&mut self, account: AccountKey, notification: &wire::Notification) -> Result<Noted> {
        let wire::Notification { title, body, data, .. } = notification.clone();
        let words = wire::Notification { title, body, data, ..wire::Notification::default() }.encode_to_vec();
        let words = self.seal_of(account).await?.seal(What::Notification(&notification.id), &words)?;
        let content = self.put_content(None, &words).await?;
        let seq = self.next_seq(account).await?;
        sqlx::query(
            "INSERT INTO notifications
                 (account, id, seq, conversation, message, created_at, state, content, size)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(account.0)
        .bind(&notification.id[..])
        .bind(seq)
        .bind(&notification.conversation)
        .bind(&notification.message[..])
        .bind(signed(notification.created_at)?)
        .bind(notification.state)
        .bind(content)
        .bind(size(&words)?)
        .execute(&mut *self.0)
        .await?;
        self.note_notification(account, seq, None).await
    }

    async fn notification(
        &mut self,
        account: AccountKey,
        id: OperationId,
    ) -> Result<Option<wire::NotificationState>> {
        let state: Option<i32> =
            sqlx::query_scalar("SELECT state FROM notifications WHERE account = ? AND id = ?")
                .bind(account.0)
                .bind(&id.as_bytes()[..])
                .fetch_optional(&mut *self.0)
                .await?;
        state.map(|state| state.try_into().map_err(StorageError::new)).transpose()
    }

    async fn mark_notification(
        &mut self,
        account: AccountKey,
        operation: OperationId,
        mark: &wire::MarkNotification,
    ) -> Result<Noted> {
        let seq = self.next_seq(account).await?;
        sqlx::query("UPDATE notifications SET state = ?, seq = ? WHERE account = ? AND id = ?")
            .bind(mark.state)
            .bind(seq)
            .bind(account.0)
            .bind(&mark.notification[..])
            .execute(&mut *self.0)
            .await?;
        self.note_notification(account, seq, Some(operation)).await
    }

    async fn unread_messages(&mut self, account: AccountKey, conversation: &str) -> Result<Vec<OperationId>> {
        let ids: Vec<Vec<u8>> = sqlx::query_scalar(
            "SELECT id FROM notifications
             WHERE account = ? AND conversation = ? AND message = id AND state = 0 ORDER BY id",
        )
        .bind(account.0)
        .bind(conversation)
        .fetch_all(&mut *self.0)
        .await?;
        ids.iter().map(|id| OperationId::try_from(&id[..]).map_err(StorageError::new)).collect()
    }

    async fn erase_notifications(&mut self, message: OperationId) -> Result<BTreeSet<String>> {
        let rows = sqlx::query(
            "SELECT n.account, a.name, n.content FROM notifications n CROSS JOIN accounts a ON a.id = n.account
             WHERE n.message = ? AND n.message <> x'' AND n.size > 0 ORDER BY n.account, n.id",
        )
        .bind(&message.as_bytes()[..])
        .fetch_all(&mut *self.0)
        .await?;
        let mut told = BTreeSet::new();
        for row in &rows {
            let (account, content) = (AccountKey(row.try_get(0)?), row.try_get(2)?);
            let seq = self.next_seq(account).await?;
            self.erase_content(content).await?;
            sqlx::query(
                "UPDATE notifications SET state = 2, size = 0, seq = ? WHERE account = ? AND content = ?",
            )
            .bind(seq)
            .bind(account.0)
            .bind(content)
            .execute(&mut *self.0)
            .await?;
            self.note_notification(account, seq, None).await?;
            told.insert(row.try_get(1)?);
        }
        Ok(told)
    }

    async fn append(&mut self, account: AccountKey, operation: OperationId, entry: Entry) -> Result<Seq> {
        let (kind, message, place, device) = match entry {
            Entry::Message(message, place, to) => (MESSAGE, Some(message.0), place, addressee(to)),
            Entry::Read(place) => (READ, None, place, None),
        };
        let seq = self.next_seq(account).await?;
        sqlx::query(
            "INSERT INTO log (account, seq, operation, kind, view, message, position, inbound, device)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(account.0)
        .bind(seq)
        .bind(&operation.as_bytes()[..])
        .bind(kind)
        .bind(place.view.0)
        .bind(message)
        .bind(signed(place.position.0)?)
        .bind(signed(place.inbound)?)
        .bind(device)
        .execute(&mut *self.0)
        .await?;
        number(seq).map(Seq)
    }

    async fn deliver(&mut self, to: &Addressees, delivery: Delivery<'_>) -> Result<()> {
        let Delivery { operation, conversation, news } = delivery;
        let (message, roster) = match news {
            News::Message(message) => (Some(message.0), None),
            News::Members(roster) => (None, Some(roster.0)),
        };
        let to: Vec<_> = to.iter().map(|(account, to)| (account, addressee(*to))).collect();
        let accounts = &serde_json::to_string(&to).map_err(StorageError::new)?;
        sqlx::query(DELIVER_SEQS).bind(accounts).execute(&mut *self.0).await?;
        sqlx::query(DELIVER_PLACES)
            .bind(accounts)
            .bind(conversation)
            .bind(i64::from(message.is_some()))
            .bind(roster)
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

    async fn claim(&mut self, account: &str, device: DeviceId, after: Seq, until: Seq) -> Result<()> {
        sqlx::query(
            "UPDATE log SET device = ? WHERE account = (SELECT id FROM accounts WHERE name = ?)
             AND seq > ? AND seq <= ? AND device = ''",
        )
        .bind(device.to_string())
        .bind(account)
        .bind(signed(after.0)?)
        .bind(signed(until.0)?)
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

    async fn device(&mut self, account: &str, id: &str) -> Result<Option<Known>> {
        devices::find(&mut self.0, account, id).await
    }

    async fn put_device(&mut self, account: &str, device: &Device) -> Result<()> {
        devices::put(&mut self.0, account, device).await
    }

    async fn drop_surplus_devices(&mut self, account: &str) -> Result<()> {
        devices::drop_surplus(&mut self.0, account).await
    }

    async fn set_push(&mut self, account: &str, id: &str, push: Option<&Subscription>) -> Result<()> {
        devices::set_push(&mut self.0, account, id, push).await
    }

    async fn remove_device(&mut self, account: &str, id: &str, removed: &Removed) -> Result<()> {
        devices::remove(&mut self.0, account, id, removed).await
    }

    async fn note_token(&mut self, account: &str, device: &str, token: Token) -> Result<bool> {
        devices::note_token(&mut self.0, account, device, token).await
    }

    async fn trim_tokens(&mut self, now: Millis) -> Result<bool> {
        devices::trim_tokens(&mut self.0, now).await
    }

    async fn trim(&mut self, after: AccountKey, before: Millis) -> Result<Trimmed> {
        let account = sqlx::query("SELECT id, tail FROM accounts WHERE id > ? ORDER BY id LIMIT 1")
            .bind(after.0)
            .fetch_optional(&mut *self.0)
            .await?;
        let Some(account) = account else {
            return Ok(Trimmed { next: None, erased: false });
        };
        let (id, tail): (i64, i64) = (account.try_get(0)?, account.try_get(1)?);
        let (kept_after, is_done) = self.find_tail(id, tail, before).await?;
        let next = Some(AccountKey(if is_done { id } else { id - 1 }));
        if kept_after == tail {
            return Ok(Trimmed { next, erased: false });
        }
        let messages: String = sqlx::query_scalar(concat!(
            "SELECT json_group_array(message) FROM log WHERE kind = 1 AND ",
            trimmed!()
        ))
        .bind(id)
        .bind(kept_after)
        .fetch_one(&mut *self.0)
        .await?;
        for trim in
            [concat!("DELETE FROM log WHERE ", trimmed!()), "UPDATE accounts SET tail = ?2 WHERE id = ?1"]
        {
            sqlx::query(trim).bind(id).bind(kept_after).execute(&mut *self.0).await?;
        }
        sqlx::query("UPDATE messages SET aged = 1 WHERE key IN (SELECT value FROM json_each(?))")
            .bind(&messages)
            .execute(&mut *self.0)
            .await?;
        erase_unheld(&mut self.0, &messages).await?;
        Ok(Trimmed { next, erased: true })
    }

    async fn erased(&mut self, accounts: &[&str]) -> Result<Option<(String, Millis)>> {
        let found = |name: &&str| Some((name.to_string(), self.1.accounts.get(*name)?.1));
        if let Some(found) = accounts.iter().map(found).collect::<Option<Vec<_>>>() {
            return Ok(found.into_iter().find_map(|(name, at)| Some((name, at?))));
        }
        erasure::find(&mut self.0, accounts).await
    }

    async fn begin_erasure(&mut self, account: &str, now: Millis) -> Result<bool> {
        self.1.accounts.remove(account);
        erasure::begin(&mut self.0, account, now).await
    }

    async fn any_group(&mut self, account: AccountKey) -> Result<Option<String>> {
        erasure::any_group(&mut self.0, account).await
    }

    async fn drop_own(&mut self, account: AccountKey) -> Result<bool> {
        erasure::drop_own(&mut self.0, account).await
    }

    async fn next_sent(&mut self, account: AccountKey) -> Result<Option<SentMessage>> {
        erasure::next_sent(&mut self.0, account).await
    }

    async fn forget_source(&mut self, message: MessageKey) -> Result<()> {
        sqlx::query("UPDATE messages SET device = NULL, edit_device = NULL WHERE key = ?")
            .bind(message.0)
            .execute(&mut *self.0)
            .await?;
        Ok(())
    }

    async fn end_erasure(&mut self, account: AccountKey) -> Result<()> {
        let name = erasure::end(&mut self.0, account).await?;
        self.1.seals.remove(&account.0);
        self.1.keyring.forget(&name);
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

impl SqliteTransaction {
    /// What seals an account's content. Its key is made when it is needed first.
    async fn seal_of(&mut self, account: AccountKey) -> Result<Arc<Seal>> {
        if let Some(seal) = self.1.seals.get(&account.0) {
            return Ok(seal.clone());
        }
        let row = sqlx::query(concat!("SELECT a.name, ", key_of!("a"), " FROM accounts a WHERE a.id = ?"))
            .bind(account.0)
            .fetch_one(&mut *self.0)
            .await?;
        let (name, known): (&str, Option<Vec<u8>>) = (row.try_get(0)?, row.try_get(1)?);
        let wrapped = match known {
            Some(wrapped) => wrapped,
            None => self.mint_key(account, name).await?,
        };
        let seal = self.1.keyring.seal(name, Some(&wrapped))?;
        self.1.seals.insert(account.0, seal.clone());
        Ok(seal)
    }

    /// Gives an account a key, and answers it, wrapped.
    async fn mint_key(&mut self, account: AccountKey, name: &str) -> Result<Vec<u8>> {
        let wrapped = self.1.keyring.mint(name)?;
        let key = self.put_content(None, &wrapped).await?;
        sqlx::query("UPDATE accounts SET key = ? WHERE id = ?")
            .bind(key)
            .bind(account.0)
            .execute(&mut *self.0)
            .await?;
        Ok(wrapped)
    }

    /// The targets of those who hold a message with a draft in its conversation that has a text in it.
    async fn find_drafts(&mut self, message: MessageKey, text: &str) -> Result<Vec<i64>> {
        let mut found = Vec::new();
        let mut drafts = sqlx::query(DRAFTS).bind(message.0).bind(target::DRAFT).fetch(&mut *self.0);
        while let Some(draft) = drafts.try_next().await? {
            let (what, sealed) = (What::Field(draft.try_get(1)?, target::DRAFT), draft.try_get(2)?);
            let seal = self.1.keyring.seal(draft.try_get(3)?, draft.try_get(4)?);
            // Nobody can read one that cannot be opened, and a recall is not held up by it: it goes, too.
            if seal.and_then(|seal| seal.open(what, sealed)).is_ok_and(|draft| !contains(&draft, text)) {
                continue;
            }
            found.push(draft.try_get(0)?);
        }
        Ok(found)
    }

    /// The next seq of an account's log.
    async fn next_seq(&mut self, account: AccountKey) -> Result<i64> {
        Ok(sqlx::query_scalar("UPDATE accounts SET head = head + 1 WHERE id = ? RETURNING head")
            .bind(account.0)
            .fetch_one(&mut *self.0)
            .await?)
    }

    /// Writes into an account's log that a notification is now as it is, and lets go of what is not kept any more.
    async fn note_notification(
        &mut self,
        account: AccountKey,
        seq: i64,
        operation: Option<OperationId>,
    ) -> Result<Noted> {
        sqlx::query("INSERT INTO log (account, seq, operation, kind) VALUES (?, ?, ?, ?)")
            .bind(account.0)
            .bind(seq)
            .bind(operation.map(|id| id.as_bytes().to_vec()))
            .bind(NOTIFICATION)
            .execute(&mut *self.0)
            .await?;
        let spent: String = sqlx::query_scalar(NOTIFICATIONS_SPENT)
            .bind(account.0)
            .bind(limits::NOTIFICATIONS as i64)
            .bind(limits::NOTIFICATIONS_DISMISSED as i64)
            .fetch_one(&mut *self.0)
            .await?;
        let spent: Vec<(i64, i64)> = serde_json::from_str(&spent).map_err(StorageError::new)?;
        for (content, goes) in &spent {
            self.erase_content(*content).await?;
            let spend = match goes {
                0 => "UPDATE notifications SET size = 0 WHERE account = ? AND content = ?",
                _ => "DELETE FROM notifications WHERE account = ? AND content = ?",
            };
            sqlx::query(spend).bind(account.0).bind(content).execute(&mut *self.0).await?;
        }
        Ok(Noted { seq: number(seq).map(Seq)?, erased: !spent.is_empty() })
    }

    async fn erase_content(&mut self, content: i64) -> Result<()> {
        sqlx::query("UPDATE contents SET bytes = zeroblob(length(bytes)) WHERE key = ?")
            .bind(content)
            .execute(&mut *self.0)
            .await?;
        Ok(())
    }

    /// After which entry the log of an account is kept in a step of trimming, and whether the steps have come to
    /// an end. What comes after the last message that goes stays.
    async fn find_tail(&mut self, account: i64, tail: i64, before: Millis) -> Result<(i64, bool)> {
        let before = signed(before.0)?;
        let rows = sqlx::query(TRIM_FOUND)
            .bind(account)
            .bind(tail)
            .bind(before)
            .bind(TRIM)
            .fetch_all(&mut *self.0)
            .await?;
        let (mut found, mut last) = (tail, tail);
        for row in &rows {
            last = row.try_get(0)?;
            match row.try_get::<Option<bool>, _>(1)? {
                Some(true) => return Ok((found, true)),
                Some(false) => found = last,
                None => {}
            }
        }
        if (rows.len() as i64) < TRIM {
            return Ok((found, true));
        }
        let next_is_kept: Option<bool> = sqlx::query_scalar(
            "SELECT m.sent_at >= ?3 FROM log l CROSS JOIN messages m ON m.key = l.message
             WHERE l.account = ?1 AND l.seq > ?2 AND l.kind = 1 ORDER BY l.seq LIMIT 1",
        )
        .bind(account)
        .bind(last)
        .bind(before)
        .fetch_optional(&mut *self.0)
        .await?;
        Ok(if next_is_kept == Some(false) { (last, false) } else { (found, true) })
    }

    async fn put_field(&mut self, target: i64, name: &str, stamp: &Stamp, sealed: &[u8]) -> Result<()> {
        let before = sqlx::query_scalar("SELECT value FROM fields WHERE target = ? AND name = ?")
            .bind(target)
            .bind(name)
            .fetch_optional(&mut *self.0)
            .await?;
        let place = self.put_content(before, sealed).await?;
        sqlx::query(
            "INSERT INTO fields (target, name, value, size, clock, device) VALUES (?, ?, ?, ?, ?, ?)
             ON CONFLICT (target, name) DO UPDATE SET value = excluded.value, size = excluded.size,
                 clock = excluded.clock, device = excluded.device",
        )
        .bind(target)
        .bind(name)
        .bind(place)
        .bind(size(sealed)?)
        .bind(signed(stamp.clock.0)?)
        .bind(&stamp.device[..])
        .execute(&mut *self.0)
        .await?;
        Ok(())
    }

    /// Puts content where other content is, or elsewhere if it does not fit there, and answers where.
    async fn put_content(&mut self, before: Option<i64>, content: &[u8]) -> Result<i64> {
        let mut bytes = content.to_vec();
        if let Some(place) = before {
            let room: i64 = sqlx::query_scalar("SELECT length(bytes) FROM contents WHERE key = ?")
                .bind(place)
                .fetch_one(&mut *self.0)
                .await?;
            let room = usize::try_from(room).map_err(StorageError::new)?;
            if content.len() <= room {
                bytes.resize(room, 0);
                sqlx::query("UPDATE contents SET bytes = ? WHERE key = ?")
                    .bind(bytes)
                    .bind(place)
                    .execute(&mut *self.0)
                    .await?;
                return Ok(place);
            }
            self.erase_content(place).await?;
            // With room to grow, so that all the places left behind are not more than the last one.
            bytes.resize(content.len().max(2 * room), 0);
        }
        Ok(sqlx::query_scalar("INSERT INTO contents (bytes) VALUES (?) RETURNING key")
            .bind(bytes)
            .fetch_one(&mut *self.0)
            .await?)
    }
}

/// Takes their content from those of the messages in a JSON array that no log refers to. Nobody can change them any more.
async fn erase_unheld(connection: &mut SqliteConnection, messages: &str) -> Result<()> {
    for erase in [
        concat!(
            "UPDATE contents SET bytes = zeroblob(length(bytes)) WHERE key IN (SELECT m.content ",
            unheld!(),
            ")"
        ),
        concat!("UPDATE messages SET size = 0, aged = 1 WHERE key IN (SELECT m.key ", unheld!(), ")"),
    ] {
        sqlx::query(erase).bind(messages).execute(&mut *connection).await?;
    }
    Ok(())
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

fn size(content: &[u8]) -> Result<i64> {
    i64::try_from(content.len()).map_err(StorageError::new)
}

#[cfg(test)]
mod tests;
