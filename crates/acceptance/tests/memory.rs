//! The storage in memory keeps every promise.

use std::sync::Arc;

use tutti_acceptance::storage::{MemoryStorage, Storage};
use tutti_protocol::LogId;

mod suite;

type Data = ();

async fn open() -> (Arc<dyn Storage>, Data) {
    (Arc::new(MemoryStorage::new(LogId::from([1; 16]))), ())
}
