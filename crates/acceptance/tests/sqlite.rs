//! The storage in a SQLite file keeps every promise.
#![cfg(feature = "sqlite")]

use std::sync::Arc;

use tempfile::TempDir;
use tutti_acceptance::storage::{MasterKeys, SqliteStorage, Storage};

mod suite;

type Data = TempDir;

async fn open() -> (Arc<dyn Storage>, Data) {
    let data = tempfile::tempdir().unwrap();
    let keys = MasterKeys::new("a master key for the tests alone");
    (Arc::new(SqliteStorage::open(&data.path().join("tutti.db"), &keys).await.unwrap()), data)
}
