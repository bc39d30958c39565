//! The storage in a SQLite file keeps every promise.
#![cfg(feature = "sqlite")]

use std::sync::Arc;

use tempfile::TempDir;
use tutti_acceptance::storage::{SqliteStorage, Storage};

mod suite;

type Data = TempDir;

async fn open() -> (Arc<dyn Storage>, Data) {
    let data = tempfile::tempdir().unwrap();
    (Arc::new(SqliteStorage::open(&data.path().join("tutti.db")).await.unwrap()), data)
}
