//! A look into the database of a server that was started here: what lies in it, and what was done there.

use std::{collections::BTreeMap, path::PathBuf};

use anyhow::Result;
use sqlx::{
    AssertSqlSafe, ConnectOptions as _, Connection as _, PgConnection, SqliteConnection,
    sqlite::SqliteConnectOptions,
};

/// A database.
#[derive(Clone, Debug)]
pub(crate) enum Database {
    Sqlite(PathBuf),
    Postgres(String),
}

/// What lies in a database.
#[derive(Clone, Debug, Default)]
pub(crate) struct Contents {
    /// Rows of each table.
    pub(crate) rows: BTreeMap<String, u64>,
    /// Bytes on the disk of each table and each index.
    pub(crate) bytes: BTreeMap<String, u64>,
    /// PostgreSQL: transactions that were committed, bytes of its log, and how often that was forced to the disk.
    pub(crate) journal: Option<Journal>,
}

/// What PostgreSQL has done.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Journal {
    pub(crate) bytes: u64,
    pub(crate) forced: u64,
}

impl Database {
    pub(crate) fn sqlite(file: PathBuf) -> Self {
        Self::Sqlite(file)
    }

    pub(crate) fn postgres(url: &str) -> Self {
        Self::Postgres(url.to_owned())
    }

    /// How many rows there are, in all tables.
    pub(crate) async fn rows(&self) -> Result<u64> {
        Ok(self.contents().await?.rows.values().sum())
    }

    /// All of it.
    pub(crate) async fn contents(&self) -> Result<Contents> {
        match self {
            Self::Sqlite(file) => {
                let options = SqliteConnectOptions::new().filename(file).read_only(true);
                let mut connection = options.connect().await?;
                let contents = sqlite(&mut connection).await;
                connection.close().await?;
                contents
            }
            Self::Postgres(url) => {
                let mut connection = PgConnection::connect(url).await?;
                let contents = postgres(&mut connection).await;
                connection.close().await?;
                contents
            }
        }
    }
}

async fn sqlite(connection: &mut SqliteConnection) -> Result<Contents> {
    let tables: Vec<String> = sqlx::query_scalar(
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'",
    )
    .fetch_all(&mut *connection)
    .await?;
    let mut rows = BTreeMap::new();
    for table in tables {
        let count = AssertSqlSafe(format!("SELECT count(*) FROM \"{table}\""));
        let count: i64 = sqlx::query_scalar(count).fetch_one(&mut *connection).await?;
        rows.insert(table, count.cast_unsigned());
    }
    let sizes: Vec<(String, i64)> =
        sqlx::query_as("SELECT name, sum(pgsize) FROM dbstat GROUP BY name").fetch_all(connection).await?;
    Ok(Contents { rows, bytes: unsigned(sizes), journal: None })
}

async fn postgres(connection: &mut PgConnection) -> Result<Contents> {
    let tables: Vec<String> =
        sqlx::query_scalar("SELECT tablename::text FROM pg_tables WHERE schemaname = 'tutti'")
            .fetch_all(&mut *connection)
            .await?;
    let mut rows = BTreeMap::new();
    for table in tables {
        let count = AssertSqlSafe(format!("SELECT count(*) FROM tutti.\"{table}\""));
        let count: i64 = sqlx::query_scalar(count).fetch_one(&mut *connection).await?;
        rows.insert(table, count.cast_unsigned());
    }
    let sizes = "SELECT relname::text, pg_relation_size(oid) FROM pg_class
                 WHERE relnamespace = 'tutti'::regnamespace AND relkind IN ('r', 'i')";
    let sizes: Vec<(String, i64)> = sqlx::query_as(sizes).fetch_all(&mut *connection).await?;
    let journal = "SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint, (SELECT wal_sync FROM pg_stat_wal)";
    let (bytes, forced): (i64, i64) = sqlx::query_as(journal).fetch_one(connection).await?;
    let journal = Journal { bytes: bytes.cast_unsigned(), forced: forced.cast_unsigned() };
    Ok(Contents { rows, bytes: unsigned(sizes), journal: Some(journal) })
}

fn unsigned(sizes: Vec<(String, i64)>) -> BTreeMap<String, u64> {
    sizes.into_iter().map(|(name, size)| (name, size.cast_unsigned())).collect()
}
