//! The storage that several servers share: a PostgreSQL database, in a schema of its own.
//!
//! Each statement sees what was committed when it began (READ COMMITTED), and whatever a transaction decides by it
//! holds until its end ([`locks`]), so nothing is decided twice and nobody waits in a circle. Content is sealed under
//! the key of the account that it comes from; what statements look at is not.

mod devices;
mod erasure;
mod locks;
mod rotation;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::TryStreamExt as _;
use prost::Message as _;
use sqlx::{
    ConnectOptions as _, PgConnection, PgPool, Postgres,
    postgres::{PgConnectOptions, PgPoolOptions, PgRow},
};
use tutti_protocol::{DeviceId, LogId, Millis, OperationId, Position, Seq, Timestamp, limits, target, wire};

use super::{
    AccountKey, Addressees, Delivery, Entry, MessageKey, NewFields, NewMessage, News, Noted, Overview, Page,
    Place, Reader, Reading, Receipt, Result, RosterKey, SentMessage, Storage, StorageError, StoredMessage,
    Told, Touched, Transaction, Trimmed, View, ViewKey,
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
use locks::Locks;

const SCHEMA: &str = include_str!("postgres/schema.sql");
const SCHEMA_VERSION: &str = "1";
const READERS: u32 = 8;
/// One writes; another is there for what is done beside it.
const WRITERS: u32 = 2;
/// How long a connection is waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// How the database is to treat a connection, and its statements.
const SETTINGS: [(&str, &str); 7] = [
    ("search_path", "tutti"),
    // A server that stands still holds nobody up for longer than that.
    ("lock_timeout", "5s"),
    ("idle_in_transaction_session_timeout", "10s"),
    // Statements are written so that each step finds a few rows by an index, in the order in which they name the
    // tables. No statistics, least of all old ones, are to talk the planner out of that.
    ("join_collapse_limit", "1"),
    ("enable_seqscan", "off"),
    ("enable_mergejoin", "off"),
    ("jit", "off"),
];

/// The wrapped key of an account.
macro_rules! key_of {
    ($account:literal) => {
        concat!("(SELECT k.wrapped FROM keys k WHERE k.account = ", $account, ")")
    };
}

/// What is read of a message, for `read_message`. From which device it was sent is nobody's business but the
/// sender's own, `$1`.
macro_rules! message_columns {
    () => {
        "v.conversation, l.position, l.inbound, m.id, m.sender, CASE WHEN m.sender = $1 THEN m.device END,
         m.type, m.content, m.sent_at, m.edited_at, m.recalled,
         (SELECT k.wrapped FROM keys k WHERE k.account = (SELECT s.id FROM accounts s WHERE s.name = m.sender))"
    };
}

/// The fields of a target, as a JSON array of names and sealed values in hexadecimal.
macro_rules! fields_of_target {
    () => {
        "(SELECT coalesce(json_agg(json_build_array(f.name, encode(f.value, 'hex'))), '[]')::text
          FROM fields f WHERE f.target = t.id AND f.value <> '')"
    };
}

/// What is read of a notification, for `read_notification`.
macro_rules! notification_columns {
    () => {
        "n.id, n.conversation, n.message, n.created_at, n.state::bigint, n.words"
    };
}

/// The account `$1`.
macro_rules! account {
    () => {
        "(SELECT id FROM accounts WHERE name = $1)"
    };
}

/// The account `$1`, unless it was erased.
macro_rules! living_account {
    () => {
        "(SELECT id FROM accounts WHERE name = $1 AND erased_at IS NULL)"
    };
}

/// One query for a page: a range of the log, and what its entries refer to, with the head of the same moment. Fields and
/// notifications come with the last entry of theirs alone. A change is for whom the message is for. Since all that is
/// asked for is sent, however early one stops to read, that is no more than the page can take: what content has `$5`
/// bytes before it stays there.
const PAGE: &str = concat!(
    "WITH a AS MATERIALIZED (SELECT id, head, tail FROM accounts WHERE name = $1) SELECT ",
    message_columns!(),
    ", t.name, t.updated_at, t.device, CASE WHEN t.seq = l.seq THEN ",
    fields_of_target!(),
    " END, (SELECT head FROM a), (SELECT tail FROM a), l.seq, l.kind::bigint, l.operation, r.members, reader.name,
     coalesce(l.device, held.device) = '', coalesce(coalesce(l.device, held.device) <> $4, false), ",
    notification_columns!(),
    ", CASE WHEN l.kind IN (5, 7) THEN ",
    key_of!("l.account"),
    " END FROM (
        SELECT l.*, coalesce(sum(octet_length(m.content)) OVER (
            ORDER BY l.seq ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
        ), 0) AS before
        FROM log l LEFT JOIN messages m ON m.key = l.message
        WHERE l.account = (SELECT id FROM a) AND l.seq > $2
        ORDER BY l.seq LIMIT $3
    ) l
    LEFT JOIN views v ON v.id = l.view
    LEFT JOIN messages m ON m.key = l.message
    LEFT JOIN rosters r ON r.key = l.roster
    LEFT JOIN targets t ON t.id = l.target
    LEFT JOIN accounts reader ON reader.id = l.reader
    LEFT JOIN LATERAL (
        SELECT held.device FROM log held
        WHERE l.kind = 4 AND held.message = l.message AND held.account = l.account AND held.kind = 1 LIMIT 1
    ) held ON true
    LEFT JOIN notifications n ON l.kind = 7 AND n.account = l.account AND n.seq = l.seq
    WHERE l.before < $5
    ORDER BY l.seq"
);

/// How the conversations of the account `$1` after the name `$2` are now for the device `$5`, which gets what is for
/// all unless `$6`.
const OVERVIEWS: &str = concat!(
    "SELECT ",
    message_columns!(),
    ", v.conversation, v.read, v.read_inbound, r.members, (
        SELECT coalesce(json_agg(json_build_array(told.name, told.position)), '[]')::text FROM (
            SELECT reader.name, g.told AS position FROM readings g
            JOIN accounts reader ON reader.id = g.reader
            WHERE g.view = v.id AND g.told > 0 LIMIT $4
        ) told
    )
    FROM views v
    LEFT JOIN LATERAL (
        SELECT l.position, l.inbound, l.message FROM log l
        WHERE l.view = v.id AND l.kind = 1 AND NOT coalesce(l.device <> $5, $6)
        ORDER BY l.position DESC LIMIT 1
    ) l ON true
    LEFT JOIN messages m ON m.key = l.message
    LEFT JOIN rosters r ON r.key = v.roster
    WHERE v.account = ",
    living_account!(),
    " AND v.conversation > $2
    ORDER BY v.conversation
    LIMIT $3"
);
/// How far so many others have read is told of a conversation, at most: more than there are members of whom
/// that is told.
const OVERVIEW_READERS: i64 = 4 * limits::READERS as i64;

/// All that is set of the targets of the account `$1` after the name `$2`.
const SHARED: &str = concat!(
    "SELECT t.name, t.updated_at, t.device, ",
    fields_of_target!(),
    ", ",
    key_of!("t.account"),
    " FROM targets t
    WHERE t.account = ",
    living_account!(),
    " AND t.name > $2
    ORDER BY t.name
    LIMIT $3"
);

/// What the account `$1` is notified of, after the id `$2`.
const NOTIFIED: &str = concat!(
    "SELECT ",
    notification_columns!(),
    ", ",
    key_of!("n.account"),
    " FROM notifications n
    WHERE n.account = ",
    account!(),
    " AND n.id > $2
    ORDER BY n.id
    LIMIT $3"
);

/// Of the notifications of the account `$1` those that are beyond the `$2` newest, and those that were dismissed,
/// beyond the `$3` newest, and still have words.
const NOTIFICATIONS_SPENT: &str = "
    SELECT id, age > $2 FROM (
        SELECT id, state, words <> '' AS has_words, row_number() OVER (ORDER BY created_at DESC, id DESC) AS age
        FROM notifications WHERE account = $1
    ) aged WHERE age > $2 OR age > $3 AND state = 2 AND has_words";

/// The next conversation of the account `$1` after the name `$2` whose last message was sent since `$3`.
const ACTIVE: &str = concat!(
    "SELECT v.conversation, v.last
    FROM views v
    JOIN log l ON l.view = v.id AND l.position = v.last AND l.kind = 1
    JOIN messages m ON m.key = l.message
    WHERE v.account = ",
    account!(),
    " AND v.conversation > $2 AND m.sent_at >= $3
    ORDER BY v.conversation
    LIMIT 1"
);

/// What is kept of the positions `$3` to `$4` in the view that the account `$1` has of the conversation `$2`, and is
/// for the device `$6`, which gets what is for all unless `$7`.
const STRETCH: &str = concat!(
    "WITH v AS MATERIALIZED (
        SELECT v.id, v.conversation, v.last, a.tail FROM accounts a
        JOIN views v ON v.account = a.id AND v.conversation = $2 WHERE a.name = $1
    ) SELECT ",
    message_columns!(),
    " FROM log l
    JOIN v ON true
    JOIN messages m ON m.key = l.message
    WHERE l.view = (SELECT id FROM v) AND l.position BETWEEN $3 AND $4 AND l.kind = 1
        AND (l.seq > v.tail OR l.position = v.last) AND NOT coalesce(l.device <> $6, $7)
    ORDER BY l.position DESC
    LIMIT $5"
);

/// Entries of a log that are looked at in one step of trimming.
const TRIM: i64 = 500;
/// The oldest entries of the log of the account `$1` that are kept, and of messages whether they were sent since
/// `$3`.
const TRIM_FOUND: &str = "
    SELECT l.seq, m.sent_at >= $3 FROM log l
    LEFT JOIN messages m ON m.key = l.message AND l.kind = 1
    WHERE l.account = $1 AND l.seq > $2
    ORDER BY l.seq
    LIMIT $4";
/// What goes from the log of the account `$1` when it is kept from after `$2` on: all but the last messages of
/// conversations. Answers which messages went.
const TRIM_DROP: &str = "
    WITH dropped AS (
        DELETE FROM log l WHERE l.account = $1 AND l.seq <= $2
            AND NOT (l.kind = 1 AND l.position = (SELECT v.last FROM views v WHERE v.id = l.view))
        RETURNING l.kind, l.message
    ) SELECT coalesce(array_agg(message) FILTER (WHERE kind = 1), '{}') FROM dropped";

/// A delivery to the accounts `$1`, each for the device `$2`: the next seq for each, the next place in its view (the
/// same one again if `$4` is 0) with who is there (`$5`, if that is the news), and the entries there.
const DELIVER: &str = "
    WITH addressee AS MATERIALIZED (
        SELECT * FROM unnest($1::bigint[], $2::text[]) AS t (account, device)
    ), seqs AS (
        UPDATE accounts a SET head = a.head + 1 FROM addressee t WHERE a.id = t.account RETURNING a.id, a.head
    ), places AS (
        INSERT INTO views AS v (account, conversation, last, inbound, roster)
        SELECT account, $3, $4, $4, $5 FROM addressee
        ON CONFLICT (account, conversation) DO UPDATE SET
            last = v.last + excluded.last, inbound = v.inbound + excluded.inbound,
            roster = coalesce(excluded.roster, v.roster)
        RETURNING id, account, last, inbound
    )
    INSERT INTO log (account, seq, operation, kind, view, message, roster, device, position, inbound)
    SELECT s.id, s.head, $6, CASE WHEN $7::bigint IS NULL THEN 3 ELSE 1 END, p.id, $7, $5, t.device,
           CASE WHEN $7::bigint IS NULL THEN 0 ELSE p.last END, CASE WHEN $7::bigint IS NULL THEN 0 ELSE p.inbound END
    FROM addressee t JOIN seqs s ON s.id = t.account JOIN places p ON p.account = t.account";

/// Tells everyone who holds the message `$1` that it has changed by `$2`, and answers who they were and where.
const CHANGE: &str = "
    WITH held AS MATERIALIZED (
        SELECT account, view, position, inbound FROM log WHERE message = $1 AND kind = 1
    ), seqs AS (
        UPDATE accounts a SET head = a.head + 1 FROM held h WHERE a.id = h.account RETURNING a.id, a.name, a.head
    ), entries AS (
        INSERT INTO log (account, seq, operation, kind, view, message, position, inbound)
        SELECT s.id, s.head, $2, 4, h.view, $1, h.position, h.inbound
        FROM held h JOIN seqs s ON s.id = h.account
    ) SELECT name, head FROM seqs";

/// The drafts, `$2`, that those who hold a message, `$1`, have in its conversation.
const DRAFTS: &str = concat!(
    "SELECT t.id, t.name, f.value, a.name, ",
    key_of!("a.id"),
    " FROM log l
    JOIN views v ON v.id = l.view
    CROSS JOIN LATERAL (
        SELECT id, name FROM targets WHERE account = l.account AND name = v.conversation LIMIT 1
    ) t
    JOIN fields f ON f.target = t.id AND f.name = $2
    JOIN accounts a ON a.id = l.account
    WHERE l.message = $1 AND l.kind = 1 AND f.value <> ''"
);
/// Writes into the logs of those who have the targets `$1` that they have changed now, at `$2`, and answers whose they
/// are. No two are of the same account.
const TELL_DRAFTS: &str = "
    WITH seqs AS (
        UPDATE accounts a SET head = a.head + 1 FROM targets t WHERE t.id = ANY($1) AND a.id = t.account
        RETURNING t.id AS target, a.id, a.name, a.head
    ), told AS (
        UPDATE targets t SET seq = s.head, updated_at = $2, device = '' FROM seqs s WHERE t.id = s.target
    ), entries AS (
        INSERT INTO log (account, seq, kind, target) SELECT id, head, 5, target FROM seqs
    ) SELECT name FROM seqs";

/// Where those of the accounts `$1` who call a conversation `$2` have the last of what stands in the view `$4` of the
/// reader `$3` up to `$5`, and was not looked at before.
const READ_FOUND: &str = "
    SELECT found.account, found.name, found.view, found.position FROM (
        SELECT a.id AS account, a.name, v.id AS view, (
            SELECT theirs.position FROM log own
            CROSS JOIN LATERAL (
                SELECT position FROM log WHERE message = own.message AND account = a.id AND kind = 1 LIMIT 1
            ) theirs
            WHERE own.view = $4 AND own.kind = 1 AND own.position > coalesce(r.looked, 0) AND own.position <= $5
            ORDER BY own.position DESC LIMIT 1
        ) AS position
        FROM unnest($1::text[]) AS other (name)
        JOIN accounts a ON a.name = other.name
        JOIN views v ON v.account = a.id AND v.conversation = $2
        LEFT JOIN readings r ON r.view = v.id AND r.reader = $3
    ) found WHERE found.position IS NOT NULL";
const READ_LOOKED: &str = "
    INSERT INTO readings (view, reader, looked)
    SELECT v.id, $3, $4 FROM unnest($1::text[]) AS other (name)
    JOIN accounts a ON a.name = other.name
    JOIN views v ON v.account = a.id AND v.conversation = $2
    ON CONFLICT (view, reader) DO UPDATE SET looked = excluded.looked";
/// Tells the accounts `$1` that the reader `$4` has read up to the positions `$3` in their views `$2`.
const READ_TELL: &str = "
    WITH found AS MATERIALIZED (
        SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) AS t (account, view, position)
    ), seqs AS (
        UPDATE accounts a SET head = a.head + 1 FROM found f WHERE a.id = f.account RETURNING a.id, a.head
    ), told AS (
        UPDATE readings g SET told = (SELECT f.position FROM found f WHERE f.view = g.view)
        WHERE g.view = ANY($2) AND g.reader = $4
    )
    INSERT INTO log (account, seq, kind, view, reader, position)
    SELECT s.id, s.head, 6, f.view, $4, f.position FROM found f JOIN seqs s ON s.id = f.account";

/// With whom the account `$1` shares a conversation. Whoever is in a group was told so, and has a view of it.
const CONTACTS: &str = "
    SELECT ARRAY(
        SELECT name FROM (
            SELECT substr(v.conversation, 8) AS name
            FROM accounts a JOIN views v ON v.account = a.id
            WHERE a.name = $1 AND v.conversation >= 'direct:' AND v.conversation < 'direct;'
            UNION
            SELECT theirs.account
            FROM accounts a JOIN views v ON v.account = a.id
            JOIN group_members own ON own.group_id = substr(v.conversation, 7) AND own.account = $1
            JOIN group_members theirs ON theirs.group_id = own.group_id
            WHERE a.name = $1 AND v.conversation >= 'group:' AND v.conversation < 'group;'
        ) shared WHERE name <> $1
    )";

/// Storage in a PostgreSQL database.
pub struct PostgresStorage {
    writers: PgPool,
    readers: PgPool,
    lineage: Mutex<Lineage>,
    keyring: Arc<Keyring>,
    /// Keys of accounts were removed, and may still be in dead rows. As it begins, nobody knows.
    has_dead_keys: Arc<AtomicBool>,
}

impl PostgresStorage {
    /// Opens the database at an address, `postgres://user:password@host/database`. The tables are made if need be, in the
    /// schema `tutti`. If it was sealed under an old one of these master keys, it is under the present one afterwards.
    ///
    /// # Errors
    /// When the database cannot be reached, is of another version, does not know all characters, or is sealed under a
    /// master key that is none of these.
    pub async fn open(url: &str, keys: &MasterKeys) -> Result<Self> {
        let options: PgConnectOptions = url.parse().map_err(StorageError::new)?;
        let options = options.application_name("tutti").options(SETTINGS).disable_statement_logging();
        let pool = |most| {
            PgPoolOptions::new().max_connections(most).acquire_timeout(PATIENCE).after_connect(
                |connection, _| {
                    Box::pin(async move {
                        // Whatever the database does else: what was answered is on the disk.
                        let durable = "SELECT set_config('synchronous_commit', 'on', false)
                                   WHERE current_setting('synchronous_commit') = 'off'";
                        sqlx::query(durable).execute(connection).await.map(drop)
                    })
                },
            )
        };
        let writers = pool(WRITERS).connect_with(options.clone()).await?;
        let lineage = Mutex::new(prepare(&writers, keys).await?);
        let readers = pool(READERS).connect_with(options).await?;
        let keyring = Arc::new(Keyring::new(keys.present.clone()));
        let has_dead_keys = Arc::new(AtomicBool::new(true));
        let storage = Self { writers, readers, lineage, keyring, has_dead_keys };
        // A server that was killed may not have come to it.
        storage.scrub().await?;
        Ok(storage)
    }

    fn lineage(&self) -> MutexGuard<'_, Lineage> {
        self.lineage.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes the schema if need be, finds or mints the log's identity, and has all under the present master key. Of several
/// servers that begin at once one does.
async fn prepare(pool: &PgPool, keys: &MasterKeys) -> Result<Lineage> {
    let mut transaction = pool.begin().await?;
    sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(locks::schema()).execute(&mut *transaction).await?;
    let encoding: String =
        sqlx::query_scalar("SELECT current_setting('server_encoding')").fetch_one(&mut *transaction).await?;
    if encoding != "UTF8" {
        return Err(StorageError::new(format!("the database's encoding is {encoding}; it is to be UTF8")));
    }
    let has_schema: bool = sqlx::query_scalar("SELECT to_regnamespace('tutti') IS NOT NULL")
        .fetch_one(&mut *transaction)
        .await?;
    if !has_schema {
        sqlx::raw_sql("CREATE SCHEMA tutti").execute(&mut *transaction).await?;
    }
    let has_tables: bool = sqlx::query_scalar("SELECT to_regclass('tutti.meta') IS NOT NULL")
        .fetch_one(&mut *transaction)
        .await?;
    if !has_tables {
        sqlx::raw_sql(SCHEMA).execute(&mut *transaction).await?;
        let mut id = [0; 16];
        getrandom::fill(&mut id).map_err(StorageError::new)?;
        sqlx::query("INSERT INTO meta (key, value) VALUES ('log', $1), ('version', $2)")
            .bind(&id[..])
            .bind(SCHEMA_VERSION.as_bytes())
            .execute(&mut *transaction)
            .await?;
    }
    let version: Vec<u8> = sqlx::query_scalar("SELECT value FROM meta WHERE key = 'version'")
        .fetch_one(&mut *transaction)
        .await?;
    if version != SCHEMA_VERSION.as_bytes() {
        let version = String::from_utf8_lossy(&version);
        return Err(StorageError::new(format!(
            "the database is of version {version}, this server knows {SCHEMA_VERSION} alone: \
             use the server that made it, or begin with another database"
        )));
    }
    let id: Vec<u8> =
        sqlx::query_scalar("SELECT value FROM meta WHERE key = 'log'").fetch_one(&mut *transaction).await?;
    let former: Option<Vec<u8>> = sqlx::query_scalar("SELECT value FROM meta WHERE key = 'former logs'")
        .fetch_optional(&mut *transaction)
        .await?;
    let is_settled = rotation::begin(&mut transaction, keys).await?;
    transaction.commit().await?;
    if !is_settled {
        rotation::run(pool, keys).await?;
    } else if !keys.old.is_empty() {
        tracing::info!("no account's key is under an old master key; they are needed for backups alone");
    }
    Lineage::read(&id, &former.unwrap_or_default())
}

#[async_trait]
impl Storage for PostgresStorage {
    fn log_id(&self) -> LogId {
        self.lineage().log
    }

    async fn rename_log(&self, id: LogId) -> Result<()> {
        let mut transaction = self.writers.begin().await?;
        let until: i64 = sqlx::query_scalar("SELECT coalesce(max(accepted_at), 0) FROM operations")
            .fetch_one(&mut *transaction)
            .await?;
        let lineage = self.lineage().renamed(id, Millis(number(until)?));
        let put = "INSERT INTO meta (key, value) VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET value = excluded.value";
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
        let tx = self.writers.begin_with("BEGIN ISOLATION LEVEL READ COMMITTED").await?;
        let found = Found {
            keyring: self.keyring.clone(),
            has_dead_keys: self.has_dead_keys.clone(),
            accounts: BTreeMap::new(),
            seals: BTreeMap::new(),
            locks: Locks::default(),
        };
        Ok(Box::new(PostgresTransaction { tx, found }))
    }

    async fn head(&self, account: &str) -> Result<Seq> {
        let head: Option<i64> = sqlx::query_scalar("SELECT head FROM accounts WHERE name = $1")
            .bind(account)
            .fetch_optional(&self.readers)
            .await?;
        number(head.unwrap_or(0)).map(Seq)
    }

    async fn tail(&self, account: &str) -> Result<Seq> {
        let tail: Option<i64> = sqlx::query_scalar("SELECT tail FROM accounts WHERE name = $1")
            .bind(account)
            .fetch_optional(&self.readers)
            .await?;
        number(tail.unwrap_or(0)).map(Seq)
    }

    async fn waits(&self, account: &str, until: Seq) -> Result<bool> {
        let waits = sqlx::query_scalar(concat!(
            "SELECT EXISTS (SELECT 1 FROM log WHERE account = ",
            account!(),
            " AND seq <= $2 AND device = '')"
        ))
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
            .bind(limits::PAGE_BYTES as i64)
            .fetch(&self.readers);
        let mut is_empty = true;
        while let Some(row) = rows.try_next().await? {
            is_empty = false;
            (page.head, page.tail) = (Seq(row.number(HEAD)?), Seq(row.number(HEAD + 1)?));
            page.unclaimed |= row.flag(ADDRESSEE)?.unwrap_or_default();
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
        drop(rows);
        if is_empty {
            let ends = sqlx::query("SELECT head, tail FROM accounts WHERE name = $1").bind(account);
            if let Some(row) = ends.fetch_optional(&self.readers).await? {
                (page.head, page.tail) = (Seq(row.number(0)?), Seq(row.number(1)?));
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
        let read = |row: &PgRow| read_fields(row, 0, || self.keyring.seal(account, row.bytes(4)?));
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
        let read = |row: &PgRow| read_notification(row, 0, &*self.keyring.seal(account, row.bytes(6)?)?);
        rows.iter().map(read).collect()
    }

    async fn active(&self, account: &str, after: &str, since: Millis) -> Result<Option<(String, Position)>> {
        let row = sqlx::query(ACTIVE)
            .bind(account)
            .bind(after)
            .bind(signed(since.0)?)
            .fetch_optional(&self.readers)
            .await?;
        row.map(|row| Ok((row.name(0)?, Position(row.number(1)?)))).transpose()
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
        let names: Vec<String> = sqlx::query_scalar(CONTACTS).bind(account).fetch_one(&self.readers).await?;
        Ok(names.into_iter().collect())
    }

    async fn erased(&self, account: &str) -> Result<Option<Millis>> {
        erasure::find(&mut *self.readers.acquire().await?, account).await
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

    /// What was erased is out of reach of all statements once that is committed. What is left in dead rows is sealed; the
    /// keys of erased accounts leave theirs here, and the rest goes with the database's own vacuuming, for which nobody
    /// waits. If somebody else is at it just now, that one does it.
    async fn scrub(&self) -> Result<bool> {
        if self.has_dead_keys.swap(false, Ordering::Relaxed) {
            let vacuumed = sqlx::raw_sql("VACUUM (SKIP_LOCKED) keys").execute(&self.writers).await;
            vacuumed.inspect_err(|_| self.has_dead_keys.store(true, Ordering::Relaxed))?;
        }
        Ok(true)
    }

    async fn close(&self) {
        self.readers.close().await;
        self.writers.close().await;
    }
}

/// A transaction, and what it has found out so far.
struct PostgresTransaction {
    tx: sqlx::Transaction<'static, Postgres>,
    found: Found,
}

struct Found {
    keyring: Arc<Keyring>,
    has_dead_keys: Arc<AtomicBool>,
    /// Accounts that are held, and when they were erased.
    accounts: BTreeMap<String, (AccountKey, Option<Millis>)>,
    seals: BTreeMap<i64, Arc<Seal>>,
    locks: Locks,
}

#[async_trait]
impl Transaction for PostgresTransaction {
    async fn lock(&mut self, touched: &Touched) -> Result<()> {
        self.lock_all(touched).await
    }

    async fn account(&mut self, name: &str) -> Result<AccountKey> {
        self.hold_names(&[name]).await?;
        if !self.found.accounts.contains_key(name) {
            self.make_accounts(&[name]).await?;
        }
        self.found
            .accounts
            .get(name)
            .map(|(key, _)| *key)
            .ok_or_else(|| StorageError::passing("an account was just made"))
    }

    async fn receipt(&mut self, account: AccountKey, id: OperationId) -> Result<Option<Receipt>> {
        let row =
            sqlx::query("SELECT digest, seq, accepted_at FROM operations WHERE account = $1 AND id = $2")
                .bind(account.0)
                .bind(&id.as_bytes()[..])
                .fetch_optional(&mut *self.tx)
                .await?;
        let Some(row) = row else { return Ok(None) };
        let digest = self.seal_of(account).await?.open(What::Digest(id.as_bytes()), row.some_bytes(0)?)?;
        Ok(Some(Receipt {
            digest: digest[..].try_into().map_err(StorageError::new)?,
            seq: Seq(row.number(1)?),
            accepted_at: Millis(row.number(2)?),
        }))
    }

    async fn keep_receipt(&mut self, account: AccountKey, id: OperationId, receipt: &Receipt) -> Result<()> {
        let digest = self.seal_of(account).await?.seal(What::Digest(id.as_bytes()), &receipt.digest)?;
        sqlx::query(
            "INSERT INTO operations (account, id, digest, seq, accepted_at) VALUES ($1, $2, $3, $4, $5)",
        )
        .bind(account.0)
        .bind(&id.as_bytes()[..])
        .bind(digest)
        .bind(signed(receipt.seq.0)?)
        .bind(signed(receipt.accepted_at.0)?)
        .execute(&mut *self.tx)
        .await?;
        Ok(())
    }

    async fn store_message(&mut self, message: &NewMessage<'_>) -> Result<Option<MessageKey>> {
        let sender = self.account(message.sender).await?;
        let seal = self.seal_of(sender).await?;
        let content = seal.seal(What::Message(message.id.as_bytes()), message.content)?;
        let key: Option<i64> = sqlx::query_scalar(
            "INSERT INTO messages (id, sender, device, type, sent_at, content) VALUES ($1, $2, $3, $4, $5, $6)
             ON CONFLICT (id) DO NOTHING RETURNING key",
        )
        .bind(&message.id.as_bytes()[..])
        .bind(message.sender)
        .bind(message.device)
        .bind(message.kind)
        .bind(signed(message.sent_at.0)?)
        .bind(content)
        .fetch_optional(&mut *self.tx)
        .await?;
        Ok(key.map(MessageKey))
    }

    async fn message(&mut self, account: AccountKey, id: OperationId) -> Result<Option<StoredMessage>> {
        // Held, since what becomes of it is decided by how it is now.
        let row = sqlx::query(
            "SELECT key, sender, sent_at, recalled, edit_clock, edit_device, EXISTS (
                 SELECT 1 FROM log WHERE message = messages.key AND account = $1 AND kind = 1
             ) FROM messages WHERE id = $2 AND NOT aged FOR NO KEY UPDATE NOWAIT",
        )
        .bind(account.0)
        .bind(&id.as_bytes()[..])
        .fetch_optional(&mut *self.tx)
        .await?;
        let Some(row) = row else { return Ok(None) };
        let edit = match row.integer(4)? {
            Some(clock) => Some(Stamp { clock: Timestamp(number(clock)?), device: row.shared_bytes(5)? }),
            None => None,
        };
        Ok(Some(StoredMessage {
            key: MessageKey(row.key(0)?),
            sender: row.name(1)?,
            sent_at: Millis(row.number(2)?),
            edit,
            recalled: row.some_flag(3)?,
            held: row.some_flag(6)?,
        }))
    }

    async fn edit_message(
        &mut self,
        message: MessageKey,
        content: &Bytes,
        stamp: &Stamp,
        now: Millis,
    ) -> Result<()> {
        let row = sqlx::query("SELECT id, sender FROM messages WHERE key = $1")
            .bind(message.0)
            .fetch_one(&mut *self.tx)
            .await?;
        let sender = self.account(row.some_text(1)?).await?;
        let content = self.seal_of(sender).await?.seal(What::Message(row.some_bytes(0)?), content)?;
        sqlx::query(
            "UPDATE messages SET content = $2, edited_at = $3, edit_clock = $4, edit_device = $5 WHERE key = $1",
        )
        .bind(message.0)
        .bind(content)
        .bind(signed(now.0)?)
        .bind(signed(stamp.clock.0)?)
        .bind(&stamp.device[..])
        .execute(&mut *self.tx)
        .await?;
        Ok(())
    }

    async fn erase_message(&mut self, message: MessageKey) -> Result<()> {
        sqlx::query("UPDATE messages SET content = '', recalled = true WHERE key = $1")
            .bind(message.0)
            .execute(&mut *self.tx)
            .await?;
        Ok(())
    }

    async fn tell_changed(&mut self, message: MessageKey, operation: Option<OperationId>) -> Result<Told> {
        let holders: Vec<i64> = sqlx::query_scalar("SELECT account FROM log WHERE message = $1 AND kind = 1")
            .bind(message.0)
            .fetch_all(&mut *self.tx)
            .await?;
        self.hold(holders).await?;
        let rows = sqlx::query(CHANGE)
            .bind(message.0)
            .bind(operation.map(|id| id.as_bytes().to_vec()))
            .fetch_all(&mut *self.tx)
            .await?;
        rows.iter().map(|row| Ok((row.name(0)?, Seq(row.number(1)?)))).collect()
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
        sqlx::query("UPDATE fields SET value = '' WHERE name = $1 AND target = ANY($2)")
            .bind(target::DRAFT)
            .bind(&targets)
            .execute(&mut *self.tx)
            .await?;
        let told: Vec<String> = sqlx::query_scalar(TELL_DRAFTS)
            .bind(&targets)
            .bind(signed(now.0)?)
            .fetch_all(&mut *self.tx)
            .await?;
        Ok(told.into_iter().collect())
    }

    async fn store_roster(&mut self, members: &BTreeSet<String>) -> Result<RosterKey> {
        let key = sqlx::query_scalar("INSERT INTO rosters (members) VALUES ($1) RETURNING key")
            .bind(json(members)?)
            .fetch_one(&mut *self.tx)
            .await?;
        Ok(RosterKey(key))
    }

    async fn view(&mut self, account: AccountKey, conversation: &str) -> Result<Option<View>> {
        let row = sqlx::query("SELECT id, last, read FROM views WHERE account = $1 AND conversation = $2")
            .bind(account.0)
            .bind(conversation)
            .fetch_optional(&mut *self.tx)
            .await?;
        let Some(row) = row else { return Ok(None) };
        Ok(Some(View {
            key: ViewKey(row.key(0)?),
            last: Position(row.number(1)?),
            read: Position(row.number(2)?),
        }))
    }

    async fn next_place(&mut self, account: AccountKey, conversation: &str) -> Result<Place> {
        let row = sqlx::query(
            "INSERT INTO views AS v (account, conversation, last) VALUES ($1, $2, 1)
             ON CONFLICT (account, conversation) DO UPDATE SET last = v.last + 1
             RETURNING id, last, inbound",
        )
        .bind(account.0)
        .bind(conversation)
        .fetch_one(&mut *self.tx)
        .await?;
        Ok(Place { view: ViewKey(row.key(0)?), position: Position(row.number(1)?), inbound: row.number(2)? })
    }

    async fn place_at(&mut self, view: ViewKey, position: Position) -> Result<Place> {
        let row = sqlx::query(
            "SELECT l.position - (l.position > $2)::int,
                    l.inbound - (l.position > $2 AND m.sender <> a.name)::int
             FROM log l
             JOIN messages m ON m.key = l.message
             JOIN accounts a ON a.id = l.account
             WHERE l.view = $1 AND l.position >= $2 AND l.kind = 1
             ORDER BY l.position LIMIT 1",
        )
        .bind(view.0)
        .bind(signed(position.0)?)
        .fetch_one(&mut *self.tx)
        .await?;
        Ok(Place { view, position: Position(row.number(0)?), inbound: row.number(1)? })
    }

    async fn set_read(&mut self, place: Place) -> Result<()> {
        sqlx::query("UPDATE views SET read = $1, read_inbound = $2 WHERE id = $3")
            .bind(signed(place.position.0)?)
            .bind(signed(place.inbound)?)
            .bind(place.view.0)
            .execute(&mut *self.tx)
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
        let accounts: Vec<&str> = accounts.iter().map(String::as_str).collect();
        self.hold_names(&accounts).await?;
        let rows = sqlx::query(READ_FOUND)
            .bind(&accounts)
            .bind(conversation)
            .bind(reader.0)
            .bind(view.0)
            .bind(position)
            .fetch_all(&mut *self.tx)
            .await?;
        sqlx::query(READ_LOOKED)
            .bind(&accounts)
            .bind(conversation)
            .bind(reader.0)
            .bind(position)
            .execute(&mut *self.tx)
            .await?;
        if rows.is_empty() {
            return Ok(BTreeSet::new());
        }
        let keys = |at| rows.iter().map(|row| row.key(at)).collect::<Result<Vec<i64>>>();
        sqlx::query(READ_TELL)
            .bind(keys(0)?)
            .bind(keys(2)?)
            .bind(keys(3)?)
            .bind(reader.0)
            .execute(&mut *self.tx)
            .await?;
        rows.iter().map(|row| row.name(1)).collect()
    }

    async fn fields(&mut self, account: AccountKey, target: &str) -> Result<Fields> {
        let rows = sqlx::query(
            "SELECT name, value, clock, device FROM fields
             WHERE target = (SELECT id FROM targets WHERE account = $1 AND name = $2)",
        )
        .bind(account.0)
        .bind(target)
        .fetch_all(&mut *self.tx)
        .await?;
        let seal = self.seal_of(account).await?;
        rows.iter().map(|row| read_field(row, target, &seal)).collect()
    }

    async fn targets(&mut self, account: AccountKey) -> Result<usize> {
        let targets: i64 = sqlx::query_scalar("SELECT count(*) FROM targets WHERE account = $1")
            .bind(account.0)
            .fetch_one(&mut *self.tx)
            .await?;
        usize::try_from(targets).map_err(StorageError::new)
    }

    async fn set_fields(
        &mut self,
        account: AccountKey,
        operation: OperationId,
        new: NewFields<'_>,
    ) -> Result<Seq> {
        let seal = self.seal_of(account).await?;
        let seq = self.next_seq(account).await?;
        let target: i64 = sqlx::query_scalar(
            "INSERT INTO targets (account, name, seq, updated_at, device) VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT (account, name) DO UPDATE SET
                 seq = excluded.seq, updated_at = excluded.updated_at, device = excluded.device
             RETURNING id",
        )
        .bind(account.0)
        .bind(new.target)
        .bind(seq)
        .bind(signed(new.updated_at.0)?)
        .bind(&new.device[..])
        .fetch_one(&mut *self.tx)
        .await?;
        for (name, field) in new.fields.iter() {
            sqlx::query(
                "INSERT INTO fields (target, name, value, clock, device) VALUES ($1, $2, $3, $4, $5)
                 ON CONFLICT (target, name) DO UPDATE SET
                     value = excluded.value, clock = excluded.clock, device = excluded.device",
            )
            .bind(target)
            .bind(name)
            .bind(seal.seal(What::Field(new.target, name), &field.value)?)
            .bind(signed(field.stamp.clock.0)?)
            .bind(&field.stamp.device[..])
            .execute(&mut *self.tx)
            .await?;
        }
        sqlx::query("INSERT INTO log (account, seq, operation, kind, target) VALUES ($1, $2, $3, $4, $5)")
            .bind(account.0)
            .bind(seq)
            .bind(&operation.as_bytes()[..])
            .bind(FIELDS)
            .bind(target)
            .execute(&mut *self.tx)
            .await?;
        number(seq).map(Seq)
    }

    async fn notify(&mut self, account: AccountKey, notification: &wire::Notification) -> Result<Noted> {
        let wire::Notification { title, body, data, .. } = notification.clone();
        let words = wire::Notification { title, body, data, ..wire::Notification::default() }.encode_to_vec();
        let words = self.seal_of(account).await?.seal(What::Notification(&notification.id), &words)?;
        let seq = self.next_seq(account).await?;
        sqlx::query(
            "INSERT INTO notifications (account, id, seq, conversation, message, created_at, state, words)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        )
        .bind(account.0)
        .bind(&notification.id[..])
        .bind(seq)
        .bind(&notification.conversation)
        .bind(&notification.message[..])
        .bind(signed(notification.created_at)?)
        .bind(notification.state)
        .bind(words)
        .execute(&mut *self.tx)
        .await?;
        self.note_notification(account, seq, None).await
    }

    async fn notification(
        &mut self,
        account: AccountKey,
        id: OperationId,
    ) -> Result<Option<wire::NotificationState>> {
        let state: Option<i32> =
            sqlx::query_scalar("SELECT state::int FROM notifications WHERE account = $1 AND id = $2")
                .bind(account.0)
                .bind(&id.as_bytes()[..])
                .fetch_optional(&mut *self.tx)
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
        sqlx::query("UPDATE notifications SET state = $1, seq = $2 WHERE account = $3 AND id = $4")
            .bind(mark.state)
            .bind(seq)
            .bind(account.0)
            .bind(&mark.notification[..])
            .execute(&mut *self.tx)
            .await?;
        self.note_notification(account, seq, Some(operation)).await
    }

    async fn unread_messages(&mut self, account: AccountKey, conversation: &str) -> Result<Vec<OperationId>> {
        let ids: Vec<Vec<u8>> = sqlx::query_scalar(
            "SELECT id FROM notifications
             WHERE account = $1 AND conversation = $2 AND message = id AND state = 0 ORDER BY id",
        )
        .bind(account.0)
        .bind(conversation)
        .fetch_all(&mut *self.tx)
        .await?;
        ids.iter().map(|id| OperationId::try_from(&id[..]).map_err(StorageError::new)).collect()
    }

    async fn erase_notifications(&mut self, message: OperationId) -> Result<BTreeSet<String>> {
        let rows = sqlx::query(
            "SELECT n.account, a.name, n.id FROM notifications n JOIN accounts a ON a.id = n.account
             WHERE n.message = $1 AND n.message <> '' AND n.words <> '' ORDER BY n.account, n.id",
        )
        .bind(&message.as_bytes()[..])
        .fetch_all(&mut *self.tx)
        .await?;
        self.hold(rows.iter().map(|row| row.key(0)).collect::<Result<Vec<_>>>()?).await?;
        let mut told = BTreeSet::new();
        for row in &rows {
            let account = AccountKey(row.key(0)?);
            let seq = self.next_seq(account).await?;
            sqlx::query(
                "UPDATE notifications SET state = 2, words = '', seq = $1 WHERE account = $2 AND id = $3",
            )
            .bind(seq)
            .bind(account.0)
            .bind(row.some_bytes(2)?)
            .execute(&mut *self.tx)
            .await?;
            self.note_notification(account, seq, None).await?;
            told.insert(row.name(1)?);
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
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
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
        .execute(&mut *self.tx)
        .await?;
        number(seq).map(Seq)
    }

    async fn deliver(&mut self, to: &Addressees, delivery: Delivery<'_>) -> Result<()> {
        let Delivery { operation, conversation, news } = delivery;
        let (message, roster) = match news {
            News::Message(message) => (Some(message.0), None),
            News::Members(roster) => (None, Some(roster.0)),
        };
        let names: Vec<&str> = to.keys().map(String::as_str).collect();
        self.hold_names(&names).await?;
        let new: Vec<_> =
            names.iter().copied().filter(|name| !self.found.accounts.contains_key(*name)).collect();
        if !new.is_empty() {
            self.make_accounts(&new).await?;
        }
        let (mut accounts, mut devices) = (Vec::new(), Vec::new());
        for (name, to) in to {
            match self.found.accounts.get(name) {
                Some((_, Some(_))) => {}
                Some((account, None)) => {
                    accounts.push(account.0);
                    devices.push(addressee(*to));
                }
                None => return Err(StorageError::passing("an account was just made")),
            }
        }
        sqlx::query(DELIVER)
            .bind(accounts)
            .bind(devices)
            .bind(conversation)
            .bind(i64::from(message.is_some()))
            .bind(roster)
            .bind(operation.map(|id| id.as_bytes().to_vec()))
            .bind(message)
            .execute(&mut *self.tx)
            .await?;
        Ok(())
    }

    async fn claim(&mut self, account: &str, device: DeviceId, after: Seq, until: Seq) -> Result<()> {
        self.hold_names(&[account]).await?;
        sqlx::query(
            "UPDATE log SET device = $1 WHERE account = (SELECT id FROM accounts WHERE name = $2)
             AND seq > $3 AND seq <= $4 AND device = ''",
        )
        .bind(device.to_string())
        .bind(account)
        .bind(signed(after.0)?)
        .bind(signed(until.0)?)
        .execute(&mut *self.tx)
        .await?;
        Ok(())
    }

    async fn group(&mut self, id: &str) -> Result<Option<BTreeSet<String>>> {
        self.hold_name(locks::group(id), false).await?;
        group(&mut self.tx, id).await
    }

    async fn put_group(&mut self, id: &str, members: &BTreeSet<String>) -> Result<()> {
        self.hold_name(locks::group(id), true).await?;
        for sql in [
            "INSERT INTO groups (id) VALUES ($1) ON CONFLICT (id) DO NOTHING",
            "DELETE FROM group_members WHERE group_id = $1",
        ] {
            sqlx::query(sql).bind(id).execute(&mut *self.tx).await?;
        }
        sqlx::query("INSERT INTO group_members (group_id, account) SELECT $1, unnest($2::text[])")
            .bind(id)
            .bind(members.iter().map(String::as_str).collect::<Vec<_>>())
            .execute(&mut *self.tx)
            .await?;
        Ok(())
    }

    async fn drop_group(&mut self, id: &str) -> Result<()> {
        self.hold_name(locks::group(id), true).await?;
        sqlx::query("DELETE FROM groups WHERE id = $1").bind(id).execute(&mut *self.tx).await?;
        Ok(())
    }

    async fn device(&mut self, account: &str, id: &str) -> Result<Option<Known>> {
        self.hold_name(locks::devices(account), true).await?;
        devices::find(&mut self.tx, account, id).await
    }

    async fn put_device(&mut self, account: &str, device: &Device) -> Result<()> {
        self.hold_name(locks::devices(account), true).await?;
        devices::put(&mut self.tx, account, device).await
    }

    async fn drop_surplus_devices(&mut self, account: &str) -> Result<()> {
        self.hold_name(locks::devices(account), true).await?;
        devices::drop_surplus(&mut self.tx, account).await
    }

    async fn set_push(&mut self, account: &str, id: &str, push: Option<&Subscription>) -> Result<()> {
        self.hold_name(locks::devices(account), true).await?;
        devices::set_push(&mut self.tx, account, id, push).await
    }

    async fn remove_device(&mut self, account: &str, id: &str, removed: &Removed) -> Result<()> {
        self.hold_name(locks::devices(account), true).await?;
        devices::remove(&mut self.tx, account, id, removed).await
    }

    async fn note_token(&mut self, account: &str, device: &str, token: Token) -> Result<bool> {
        self.hold_name(locks::devices(account), true).await?;
        devices::note_token(&mut self.tx, account, device, token).await
    }

    async fn trim_tokens(&mut self, now: Millis) -> Result<bool> {
        devices::trim_tokens(&mut self.tx, now).await
    }

    async fn trim(&mut self, after: AccountKey, before: Millis) -> Result<Trimmed> {
        let account = sqlx::query("SELECT id, tail FROM accounts WHERE id > $1 ORDER BY id LIMIT 1")
            .bind(after.0)
            .fetch_optional(&mut *self.tx)
            .await?;
        let Some(account) = account else {
            return Ok(Trimmed { next: None, erased: false });
        };
        let (id, tail) = (account.key(0)?, account.key(1)?);
        let (kept_after, is_done) = self.find_tail(id, tail, before).await?;
        let next = Some(AccountKey(if is_done { id } else { id - 1 }));
        if kept_after == tail {
            return Ok(Trimmed { next, erased: false });
        }
        // Only now: most accounts have nothing that is too old, and nobody is to wait for one that is only looked at.
        self.hold([id]).await?;
        let messages: Vec<i64> =
            sqlx::query_scalar(TRIM_DROP).bind(id).bind(kept_after).fetch_one(&mut *self.tx).await?;
        sqlx::query("UPDATE accounts SET tail = greatest(tail, $2) WHERE id = $1")
            .bind(id)
            .bind(kept_after)
            .execute(&mut *self.tx)
            .await?;
        lock_messages(&mut self.tx, &messages).await?;
        sqlx::query("UPDATE messages SET aged = true WHERE key = ANY($1) AND NOT aged")
            .bind(&messages)
            .execute(&mut *self.tx)
            .await?;
        erase_unheld(&mut self.tx, &messages).await?;
        Ok(Trimmed { next, erased: true })
    }

    async fn erased(&mut self, accounts: &[&str]) -> Result<Option<(String, Millis)>> {
        let found = |name: &&str| Some((name.to_string(), self.found.accounts.get(*name)?.1));
        if let Some(found) = accounts.iter().map(found).collect::<Option<Vec<_>>>() {
            return Ok(found.into_iter().find_map(|(name, at)| Some((name, at?))));
        }
        find_erased(&mut self.tx, accounts).await
    }

    async fn begin_erasure(&mut self, account: &str, now: Millis) -> Result<bool> {
        self.hold_name(locks::devices(account), true).await?;
        self.hold_names(&[account]).await?;
        let rows = erasure::begin(&mut self.tx, account, now).await?;
        self.note_accounts(&rows)?;
        Ok(!rows.is_empty())
    }

    async fn any_group(&mut self, account: AccountKey) -> Result<Option<String>> {
        erasure::any_group(&mut self.tx, account).await
    }

    async fn drop_own(&mut self, account: AccountKey) -> Result<bool> {
        self.hold([account.0]).await?;
        erasure::drop_own(&mut self.tx, account).await
    }

    async fn next_sent(&mut self, account: AccountKey) -> Result<Option<SentMessage>> {
        self.hold([account.0]).await?;
        erasure::next_sent(&mut self.tx, account).await
    }

    async fn forget_source(&mut self, message: MessageKey) -> Result<()> {
        sqlx::query("UPDATE messages SET device = NULL, edit_device = NULL WHERE key = $1")
            .bind(message.0)
            .execute(&mut *self.tx)
            .await?;
        Ok(())
    }

    async fn end_erasure(&mut self, account: AccountKey) -> Result<()> {
        self.hold([account.0]).await?;
        let name = erasure::end(&mut self.tx, account).await?;
        self.found.seals.remove(&account.0);
        self.found.keyring.forget(&name);
        // Whoever scrubs does so after the commit, if there is one.
        self.found.has_dead_keys.store(true, Ordering::Relaxed);
        Ok(())
    }

    async fn put_settings(&mut self, settings: &str) -> Result<()> {
        sqlx::query(
            "INSERT INTO meta (key, value) VALUES ('settings', $1)
             ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        )
        .bind(settings.as_bytes())
        .execute(&mut *self.tx)
        .await?;
        Ok(())
    }

    async fn commit(self: Box<Self>) -> Result<()> {
        // Where the connection is lost meanwhile nobody knows whether it was done, so that does not pass.
        self.tx.commit().await.map_err(|error| match error {
            sqlx::Error::Io(error) => StorageError::new(error),
            other => other.into(),
        })
    }
}

impl PostgresTransaction {
    /// Makes accounts that nobody had made when they were looked for, and holds them. Of one that somebody has made since
    /// then nothing is noted.
    async fn make_accounts(&mut self, names: &[&str]) -> Result<()> {
        let rows = sqlx::query(
            "INSERT INTO accounts (name) SELECT name FROM unnest($1::text[]) AS new (name) ORDER BY name
             ON CONFLICT (name) DO NOTHING RETURNING id, name, erased_at",
        )
        .bind(names)
        .fetch_all(&mut *self.tx)
        .await?;
        self.note_accounts(&rows)
    }

    /// What seals an account's content. Its key is made when it is needed first.
    async fn seal_of(&mut self, account: AccountKey) -> Result<Arc<Seal>> {
        if let Some(seal) = self.found.seals.get(&account.0) {
            return Ok(seal.clone());
        }
        self.hold([account.0]).await?;
        let row =
            sqlx::query(concat!("SELECT a.name, ", key_of!("a.id"), " FROM accounts a WHERE a.id = $1"))
                .bind(account.0)
                .fetch_one(&mut *self.tx)
                .await?;
        let name = row.some_text(0)?;
        let wrapped = match row.bytes(1)? {
            Some(wrapped) => wrapped.to_vec(),
            None => self.mint_key(account, name).await?,
        };
        let seal = self.found.keyring.seal(name, Some(&wrapped))?;
        self.found.seals.insert(account.0, seal.clone());
        Ok(seal)
    }

    /// Gives an account a key, and answers it, wrapped.
    async fn mint_key(&mut self, account: AccountKey, name: &str) -> Result<Vec<u8>> {
        let wrapped = self.found.keyring.mint(name)?;
        sqlx::query("INSERT INTO keys (account, wrapped) VALUES ($1, $2)")
            .bind(account.0)
            .bind(&wrapped)
            .execute(&mut *self.tx)
            .await?;
        Ok(wrapped)
    }

    /// The targets of those who hold a message with a draft in its conversation that has a text in it.
    async fn find_drafts(&mut self, message: MessageKey, text: &str) -> Result<Vec<i64>> {
        let mut found = Vec::new();
        let mut drafts = sqlx::query(DRAFTS).bind(message.0).bind(target::DRAFT).fetch(&mut *self.tx);
        while let Some(draft) = drafts.try_next().await? {
            let (what, sealed) = (What::Field(draft.some_text(1)?, target::DRAFT), draft.some_bytes(2)?);
            let seal = self.found.keyring.seal(draft.some_text(3)?, draft.bytes(4)?);
            // Nobody can read one that cannot be opened, and a recall is not held up by it: it goes, too.
            if seal.and_then(|seal| seal.open(what, sealed)).is_ok_and(|draft| !contains(&draft, text)) {
                continue;
            }
            found.push(draft.key(0)?);
        }
        Ok(found)
    }

    /// The next seq of an account's log, which is held from then on.
    async fn next_seq(&mut self, account: AccountKey) -> Result<i64> {
        self.hold([account.0]).await?;
        Ok(sqlx::query_scalar("UPDATE accounts SET head = head + 1 WHERE id = $1 RETURNING head")
            .bind(account.0)
            .fetch_one(&mut *self.tx)
            .await?)
    }

    /// Writes into an account's log that a notification is now as it is, and lets go of what is not kept any more.
    async fn note_notification(
        &mut self,
        account: AccountKey,
        seq: i64,
        operation: Option<OperationId>,
    ) -> Result<Noted> {
        sqlx::query("INSERT INTO log (account, seq, operation, kind) VALUES ($1, $2, $3, $4)")
            .bind(account.0)
            .bind(seq)
            .bind(operation.map(|id| id.as_bytes().to_vec()))
            .bind(NOTIFICATION)
            .execute(&mut *self.tx)
            .await?;
        let spent = sqlx::query(NOTIFICATIONS_SPENT)
            .bind(account.0)
            .bind(limits::NOTIFICATIONS as i64)
            .bind(limits::NOTIFICATIONS_DISMISSED as i64)
            .fetch_all(&mut *self.tx)
            .await?;
        for row in &spent {
            let spend = if row.some_flag(1)? {
                "DELETE FROM notifications WHERE account = $1 AND id = $2"
            } else {
                "UPDATE notifications SET words = '' WHERE account = $1 AND id = $2"
            };
            sqlx::query(spend).bind(account.0).bind(row.some_bytes(0)?).execute(&mut *self.tx).await?;
        }
        Ok(Noted { seq: number(seq).map(Seq)?, erased: !spent.is_empty() })
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
            .fetch_all(&mut *self.tx)
            .await?;
        let (mut found, mut last) = (tail, tail);
        for row in &rows {
            last = row.key(0)?;
            match row.flag(1)? {
                Some(true) => return Ok((found, true)),
                Some(false) => found = last,
                None => {}
            }
        }
        if (rows.len() as i64) < TRIM {
            return Ok((found, true));
        }
        let next_is_kept: Option<bool> = sqlx::query_scalar(
            "SELECT m.sent_at >= $3 FROM log l JOIN messages m ON m.key = l.message
             WHERE l.account = $1 AND l.seq > $2 AND l.kind = 1 ORDER BY l.seq LIMIT 1",
        )
        .bind(account)
        .bind(last)
        .bind(before)
        .fetch_optional(&mut *self.tx)
        .await?;
        Ok(if next_is_kept == Some(false) { (last, false) } else { (found, true) })
    }
}

/// Holds messages, in the order of their keys. Whoever holds one and looks who refers to it sees what was committed
/// before: so of two logs that let go of a message at once, the second notices that it was the last.
async fn lock_messages(connection: &mut PgConnection, messages: &[i64]) -> Result<()> {
    sqlx::query("SELECT key FROM messages WHERE key = ANY($1) ORDER BY key FOR NO KEY UPDATE")
        .bind(messages)
        .execute(connection)
        .await?;
    Ok(())
}

/// Takes their content from those of these messages, which are held, that no log refers to. Nobody can change them any
/// more.
async fn erase_unheld(connection: &mut PgConnection, messages: &[i64]) -> Result<()> {
    sqlx::query(
        "UPDATE messages m SET content = '', aged = true
         WHERE m.key = ANY($1) AND NOT EXISTS (SELECT 1 FROM log l WHERE l.message = m.key AND l.kind = 1)",
    )
    .bind(messages)
    .execute(connection)
    .await?;
    Ok(())
}

/// The same for messages that are not held yet.
async fn drop_unheld(connection: &mut PgConnection, messages: &[i64]) -> Result<()> {
    if messages.is_empty() {
        return Ok(());
    }
    lock_messages(connection, messages).await?;
    erase_unheld(connection, messages).await
}

/// The first of these accounts that was erased, and when.
async fn find_erased(connection: &mut PgConnection, accounts: &[&str]) -> Result<Option<(String, Millis)>> {
    let row = sqlx::query(
        "SELECT a.name, a.erased_at FROM unnest($1::text[]) WITH ORDINALITY AS asked (name, place)
         JOIN accounts a ON a.name = asked.name
         WHERE a.erased_at IS NOT NULL ORDER BY asked.place LIMIT 1",
    )
    .bind(accounts)
    .fetch_optional(connection)
    .await?;
    row.map(|row| Ok((row.name(0)?, Millis(row.number(1)?)))).transpose()
}

async fn group(connection: &mut PgConnection, id: &str) -> Result<Option<BTreeSet<String>>> {
    let members: Option<Vec<String>> = sqlx::query_scalar(
        "SELECT ARRAY(SELECT account FROM group_members WHERE group_id = id) FROM groups WHERE id = $1",
    )
    .bind(id)
    .fetch_optional(connection)
    .await?;
    Ok(members.map(BTreeSet::from_iter))
}

#[cfg(test)]
mod tests;
