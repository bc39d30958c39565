//! How long things took.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::clock::Micros;

/// Longer than anybody waits, in microseconds: what took longer counts as this.
const MOST: Micros = 10 * 60 * 1_000_000;
/// Digits that are kept of each.
const DIGITS: u8 = 3;

/// How long things took, each of them counted.
#[derive(Clone, Debug)]
pub(crate) struct Latencies(Histogram<u64>);

impl Latencies {
    pub(crate) fn new() -> Self {
        Self(Histogram::new_with_bounds(1, MOST, DIGITS).expect("these bounds make sense"))
    }

    /// Something was to begin at `from`, and had ended at `to`.
    pub(crate) fn record(&mut self, from: Micros, to: Micros) {
        self.0.saturating_record(to.saturating_sub(from).max(1));
    }

    /// How many were counted.
    pub(crate) fn count(&self) -> u64 {
        self.0.len()
    }

    /// Within this time, of a hundred so many had ended. Nothing takes no time.
    pub(crate) fn percentile(&self, of_hundred: f64) -> Duration {
        if self.0.is_empty() {
            return Duration::ZERO;
        }
        Duration::from_micros(self.0.value_at_quantile(of_hundred / 100.0))
    }

    pub(crate) fn summary(&self) -> Summary {
        let ms = |of_hundred| milliseconds(self.percentile(of_hundred));
        Summary { p50: ms(50.0), p99: ms(99.0), max: ms(100.0) }
    }
}

/// Milliseconds that things took.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// Half of them took no longer.
    pub p50: f64,
    /// 99 of 100 took no longer.
    pub p99: f64,
    /// None took longer.
    pub max: f64,
}

/// A duration in milliseconds.
pub(crate) fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1_000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_all_that_was_counted() {
        let mut latencies = Latencies::new();
        for ms in 1..=1_000 {
            latencies.record(5_000, 5_000 + ms * 1_000);
        }
        let near = |of_hundred, ms: f64| {
            let got = milliseconds(latencies.percentile(of_hundred));
            assert!((got - ms).abs() <= ms / 500.0, "{got} is not {ms}");
        };
        near(50.0, 500.0);
        near(99.0, 990.0);
        near(100.0, 1_000.0);
        assert_eq!(latencies.count(), 1_000);
    }

    #[test]
    fn one_in_a_hundred_is_not_yet_the_99th_percentile() {
        let mut latencies = Latencies::new();
        for _ in 0..99 {
            latencies.record(0, 1_000);
        }
        latencies.record(0, 500_000);
        assert!(latencies.percentile(99.0) < Duration::from_millis(2));
        latencies.record(0, 500_000);
        assert!(latencies.percentile(99.0) > Duration::from_millis(499));
    }

    #[test]
    fn what_makes_no_sense_is_counted_all_the_same() {
        let mut latencies = Latencies::new();
        assert_eq!(latencies.percentile(99.0), Duration::ZERO);
        latencies.record(7, 3);
        latencies.record(0, u64::MAX);
        assert_eq!(latencies.count(), 2);
        assert!(latencies.percentile(100.0) >= Duration::from_micros(MOST));
    }
}
