//! What an account and a connection may do, and how long it may take: for the operator to choose. Sizes that both
//! ends hold to are not in here; they are the protocol's.

use std::time::Duration;

use clap::{Args, value_parser};
use tutti_protocol::limits;

use crate::rate::Rate;

/// What an account and a connection may do, and how long it may take.
#[derive(Clone, Debug, Args)]
pub struct Limits {
    /// Operations that an account may submit at once
    #[arg(long, env = "TUTTI_RATE_BURST", default_value_t = limits::OPERATIONS_BURST,
          value_parser = value_parser!(u32).range(1..))]
    rate_burst: u32,

    /// And then each second
    #[arg(long, env = "TUTTI_RATE_PER_SECOND", default_value_t = limits::OPERATIONS_PER_SECOND,
          value_parser = value_parser!(u32).range(1..))]
    rate_per_second: u32,

    /// Frames that a connection may send in a minute, heartbeats apart; also posts of an account
    #[arg(long, env = "TUTTI_FRAMES_PER_MINUTE", default_value_t = limits::FRAMES_PER_MINUTE,
          value_parser = value_parser!(u32).range(10..))]
    frames_per_minute: u32,

    /// Seconds that a connection may take to say hello, or a post to arrive
    #[arg(long, env = "TUTTI_HELLO_DEADLINE", default_value_t = limits::AUTH_DEADLINE / 1_000,
          value_parser = value_parser!(u64).range(1..=600))]
    hello_deadline: u64,

    /// Seconds of silence after which a connection is pinged; less than a proxy in between allows
    #[arg(long, env = "TUTTI_PING_INTERVAL", default_value_t = limits::PING_INTERVAL / 1_000,
          value_parser = value_parser!(u64).range(1..=600))]
    ping_interval: u64,

    /// Seconds that whoever was pinged has to answer
    #[arg(long, env = "TUTTI_PONG_DEADLINE", default_value_t = PONG_DEADLINE / 1_000,
          value_parser = value_parser!(u64).range(1..=600))]
    pong_deadline: u64,

    /// Seconds that a write to a connection may take
    #[arg(long, env = "TUTTI_WRITE_DEADLINE", default_value_t = limits::WRITE_DEADLINE / 1_000,
          value_parser = value_parser!(u64).range(1..=600))]
    write_deadline: u64,

    /// KiB that may wait to be written to a connection; beyond it, it is closed, and the client resumes
    #[arg(long, env = "TUTTI_WRITE_QUEUE", default_value_t = limits::WRITE_QUEUE as u64 / KIB,
          value_parser = value_parser!(u64).range(LEAST_QUEUE..=65_536))]
    write_queue: u64,
}

const KIB: u64 = 1_024;
/// A page has to fit twice.
const LEAST_QUEUE: u64 = 2 * limits::SERVER_FRAME as u64 / KIB;
/// Longer than the client waits: it should be the one to find out.
const PONG_DEADLINE: u64 = limits::PONG_DEADLINE + 5_000;
/// How much longer a connection keeps its place than it takes to find out that it is gone: only one that is not
/// there loses it, however seldom this server pings.
const LEASE_BEYOND: Duration =
    Duration::from_millis(limits::SLOT_LEASE - limits::PING_INTERVAL - PONG_DEADLINE);

impl Limits {
    /// Operations of an account.
    pub(crate) fn operations(&self) -> Rate {
        Rate { burst: self.rate_burst, per_second: f64::from(self.rate_per_second) }
    }

    /// Frames of a connection, heartbeats apart.
    pub(crate) fn frames(&self) -> Rate {
        Rate { burst: self.frames_per_minute, per_second: f64::from(self.frames_per_minute) / 60.0 }
    }

    /// How long a connection may take to say hello.
    pub(crate) fn hello_deadline(&self) -> Duration {
        Duration::from_secs(self.hello_deadline)
    }

    /// Silence after which a client is asked whether it is there.
    pub(crate) fn ping_interval(&self) -> Duration {
        Duration::from_secs(self.ping_interval)
    }

    /// How long it has to answer.
    pub(crate) fn pong_deadline(&self) -> Duration {
        Duration::from_secs(self.pong_deadline)
    }

    /// How long a connection keeps its place without a sign of life.
    pub(crate) fn slot_lease(&self) -> Duration {
        self.ping_interval() + self.pong_deadline() + LEASE_BEYOND
    }

    /// How long a write may take.
    pub(crate) fn write_deadline(&self) -> Duration {
        Duration::from_secs(self.write_deadline)
    }

    /// Bytes that may wait to be written.
    pub(crate) fn write_queue(&self) -> usize {
        usize::try_from(self.write_queue * KIB).unwrap_or(usize::MAX)
    }
}
