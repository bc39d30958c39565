//! How much in how short a time: a bucket of tokens that refills steadily.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// So many at once, then so many a second.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rate {
    /// At once.
    pub burst: u32,
    /// And then each second.
    pub per_second: f64,
}

/// What is left of a [`Rate`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bucket {
    rate: Rate,
    tokens: f64,
    at: Instant,
}

impl Bucket {
    /// A full bucket.
    #[must_use]
    pub(crate) fn full(rate: Rate, now: Instant) -> Self {
        Self { rate, tokens: f64::from(rate.burst), at: now }
    }

    /// Takes up to so many tokens, and says how many there were.
    pub(crate) fn take(&mut self, wanted: u32, now: Instant) -> u32 {
        self.refill(now);
        // A float becomes the nearest integer in range: neither sign nor size can be wrong.
        let granted = (self.tokens as u32).min(wanted);
        self.tokens -= f64::from(granted);
        granted
    }

    /// How long until there are so many tokens.
    #[must_use]
    pub(crate) fn wait_for(&self, wanted: u32) -> Duration {
        let missing = (f64::from(wanted) - self.tokens).max(0.0);
        Duration::try_from_secs_f64(missing / self.rate.per_second).unwrap_or(Duration::MAX)
    }

    fn refill(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.tokens = (self.tokens + passed * self.rate.per_second).min(f64::from(self.rate.burst));
        self.at = now;
    }

    fn is_full(&mut self, now: Instant) -> bool {
        self.refill(now);
        self.tokens >= f64::from(self.rate.burst)
    }
}

/// A bucket an account, whichever device it uses.
pub(crate) struct AccountRates {
    rate: Rate,
    buckets: Mutex<Buckets>,
}

struct Buckets {
    by_account: HashMap<String, Bucket>,
    sweep_at: usize,
}

/// Buckets that are kept before full ones, which say nothing, are first thrown away.
const FIRST_SWEEP: usize = 1_024;

/// What an account was granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Grant {
    /// How many of those it wanted.
    pub granted: u32,
    /// How long until the rest would be.
    pub wait: Duration,
}

impl AccountRates {
    /// Full buckets for everyone.
    #[must_use]
    pub(crate) fn new(rate: Rate) -> Self {
        Self { rate, buckets: Mutex::new(Buckets { by_account: HashMap::new(), sweep_at: FIRST_SWEEP }) }
    }

    /// Takes up to so many tokens of an account.
    pub(crate) fn take(&self, account: &str, wanted: u32, now: Instant) -> Grant {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        buckets.sweep(now);
        let bucket =
            buckets.by_account.entry(account.to_owned()).or_insert_with(|| Bucket::full(self.rate, now));
        let granted = bucket.take(wanted, now);
        let rest = (wanted - granted).min(self.rate.burst);
        Grant { granted, wait: bucket.wait_for(rest) }
    }
}

impl Buckets {
    /// Keeps the map as small as the accounts that are active.
    fn sweep(&mut self, now: Instant) {
        if self.by_account.len() >= self.sweep_at {
            self.by_account.retain(|_, bucket| !bucket.is_full(now));
            self.sweep_at = (2 * self.by_account.len()).max(FIRST_SWEEP);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate { burst: 5, per_second: 2.0 };

    #[test]
    fn a_burst_is_granted_and_then_so_many_a_second() {
        let start = Instant::now();
        let mut bucket = Bucket::full(RATE, start);
        assert_eq!(bucket.take(7, start), 5);
        assert_eq!(bucket.take(1, start), 0);
        assert_eq!(bucket.wait_for(2), Duration::from_secs(1));
        assert_eq!(bucket.take(7, start + Duration::from_secs(1)), 2);
        assert_eq!(bucket.take(7, start + Duration::from_secs(3_600)), 5);
    }

    #[test]
    fn accounts_have_buckets_of_their_own() {
        let rates = AccountRates::new(RATE);
        let now = Instant::now();
        assert_eq!(rates.take("alice", 9, now).granted, 5);
        assert_eq!(rates.take("alice", 1, now).granted, 0);
        assert_eq!(rates.take("bob", 1, now).granted, 1);
    }

    #[test]
    fn accounts_that_rest_are_forgotten() {
        let rates = AccountRates::new(RATE);
        let now = Instant::now();
        for i in 0..10 * FIRST_SWEEP {
            let later = now + Duration::from_secs(i as u64);
            rates.take(&i.to_string(), 1, later);
        }
        assert!(rates.buckets.lock().unwrap().by_account.len() <= 2 * FIRST_SWEEP);
    }
}
