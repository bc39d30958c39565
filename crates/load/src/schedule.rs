//! When things are to happen, whatever becomes of those before.

use std::time::Duration;

use rand_chacha::{
    ChaCha8Rng,
    rand_core::{RngCore as _, SeedableRng as _},
};

use crate::clock::Micros;

/// Dice that fall the same for the same seed.
#[derive(Clone, Debug)]
pub(crate) struct Dice(ChaCha8Rng);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    /// A number below this, which is not 0.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.0.next_u64() % bound as u64) as usize
    }

    /// More than 0, at most 1.
    fn fraction(&mut self) -> f64 {
        ((self.0.next_u64() >> 11) + 1) as f64 / (1_u64 << 53) as f64
    }
}

/// Moments at random, so many a second in the long run, as of many users who know nothing of each other (a Poisson
/// process).
#[derive(Debug)]
pub(crate) struct Schedule {
    dice: Dice,
    rate: f64,
    at: f64,
    end: f64,
}

impl Schedule {
    /// From a moment on, for so long.
    pub(crate) fn new(dice: Dice, rate: f64, start: Micros, length: Duration) -> Self {
        let at = start as f64;
        Self { dice, rate, at, end: at + length.as_secs_f64() * 1e6 }
    }
}

impl Iterator for Schedule {
    type Item = Micros;

    fn next(&mut self) -> Option<Micros> {
        // Waits between them are distributed exponentially.
        self.at -= self.dice.fraction().ln() / self.rate * 1e6;
        (self.at < self.end).then_some(self.at as Micros)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_a_second_as_were_asked_for_in_order_and_in_time() {
        let all: Vec<_> = Schedule::new(Dice::new(7), 1_000.0, 5_000_000, Duration::from_secs(100)).collect();
        // The standard deviation is the root of 100,000.
        assert!((98_500..101_500).contains(&all.len()), "{}", all.len());
        assert!(all.is_sorted());
        assert!(all[0] >= 5_000_000 && all[all.len() - 1] < 105_000_000);
    }

    #[test]
    fn they_come_in_clusters_as_chance_has_it() {
        let all: Vec<_> = Schedule::new(Dice::new(7), 100.0, 0, Duration::from_secs(1_000)).collect();
        let waits = all.windows(2).map(|pair| pair[1] - pair[0]);
        // Of exponential waits 1 - 1/e, or 63 %, are shorter than the mean.
        let short = waits.filter(|wait| *wait < 10_000).count() as f64 / all.len() as f64;
        assert!((0.62..0.65).contains(&short), "{short}");
    }

    #[test]
    fn the_same_seed_makes_the_same_schedule() {
        let of = |seed| Schedule::new(Dice::new(seed), 10.0, 0, Duration::from_secs(10)).collect::<Vec<_>>();
        assert_eq!(of(1), of(1));
        assert_ne!(of(1), of(2));
    }
}
