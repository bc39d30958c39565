//! The storage in a PostgreSQL database keeps every promise.
#![cfg(feature = "postgres")]

use std::sync::Arc;

use tutti_acceptance::storage::{MasterKeys, PostgresStorage, Storage};

mod suite;

type Data = ();

async fn open() -> (Arc<dyn Storage>, Data) {
    let keys = MasterKeys::new("a master key for the tests alone");
    (Arc::new(PostgresStorage::open(&tutti_databases::database(), &keys).await.unwrap()), ())
}
