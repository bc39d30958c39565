//! The server's wall clock.

use std::{
    sync::atomic::{AtomicI64, Ordering},
    time::{SystemTime, UNIX_EPOCH},
};

use tutti_protocol::Millis;

/// By how many milliseconds it is off, by choice.
static OFFSET: AtomicI64 = AtomicI64::new(0);

/// Sets the clock of this process so many seconds off.
pub(crate) fn set_offset(seconds: i64) {
    OFFSET.store(seconds.saturating_mul(1_000), Ordering::Relaxed);
}

/// Now, in milliseconds since the Unix epoch.
#[must_use]
pub(crate) fn now() -> Millis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let millis = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
    Millis(millis.saturating_add_signed(OFFSET.load(Ordering::Relaxed)))
}
