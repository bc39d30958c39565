//! One clock for all clients: microseconds since the beginning.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;
use tutti_engine::Now;
use tutti_protocol::Millis;

/// Microseconds since the beginning.
pub(crate) type Micros = u64;

/// The clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    start: Instant,
}

impl Clock {
    /// Begins now.
    pub(crate) fn new() -> Self {
        Self { start: Instant::now() }
    }

    /// This moment.
    pub(crate) fn micros(self) -> Micros {
        micros(self.start.elapsed())
    }

    /// When it shows this.
    pub(crate) fn at(self, micros: Micros) -> Instant {
        self.start + Duration::from_micros(micros)
    }

    /// This moment, as an engine wants it.
    pub(crate) fn now(self) -> Now {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Now { monotonic: Millis(self.micros() / 1_000), wall: Millis(micros(wall) / 1_000) }
    }

    /// When an engine wants to be called again. Never before what it asked for.
    pub(crate) fn deadline(self, at: Millis) -> Instant {
        // Some never come.
        self.start + Duration::from_millis(at.0.min(FAR))
    }
}

/// A year, in milliseconds: no run takes as long.
const FAR: u64 = 365 * 24 * 60 * 60 * 1_000;

/// A duration in microseconds.
pub(crate) fn micros(duration: Duration) -> Micros {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
