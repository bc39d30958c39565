//! Time: wall clocks in milliseconds, and the hybrid logical clock that orders what devices did
//! (Kulkarni et al., "Logical Physical Clocks", 2014).

use std::fmt;

use crate::limits;

/// Milliseconds: since the Unix epoch for a wall clock, since any fixed moment for a monotonic one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Millis(pub u64);

impl Millis {
    /// This moment and so many milliseconds more; stays at the end of time.
    #[must_use]
    pub fn plus(self, millis: u64) -> Self {
        Self(self.0.saturating_add(millis))
    }
}

/// A reading of a hybrid logical clock: 48 bits of milliseconds, then a 16-bit counter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// The first reading of a millisecond. Later than 48 bits can say stays at their end.
    #[must_use]
    pub fn at(time: Millis) -> Self {
        Self(time.0.min((1 << 48) - 1) << 16)
    }

    /// The wall-clock part.
    #[must_use]
    pub fn millis(self) -> Millis {
        Millis(self.0 >> 16)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}+{}", self.0 >> 16, self.0 & 0xffff)
    }
}

/// A clock whose readings only grow, whatever the wall clock does.
#[derive(Clone, Copy, Debug, Default)]
pub struct HybridClock {
    last: Timestamp,
}

impl HybridClock {
    /// The next reading: after all that were given or observed.
    pub fn tick(&mut self, wall: Millis) -> Timestamp {
        self.last = Timestamp::at(wall).max(Timestamp(self.last.0.saturating_add(1)));
        self.last
    }

    /// Takes note of another's reading, so that the next one here comes after it. A reading that is
    /// more than [`limits::CLOCK_AHEAD`] ahead of `wall` is not believed.
    pub fn observe(&mut self, other: Timestamp, wall: Millis) {
        if other.millis() <= wall.plus(limits::CLOCK_AHEAD) {
            self.last = self.last.max(other);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readings_grow_when_the_wall_clock_is_set_back() {
        let mut clock = HybridClock::default();
        let first = clock.tick(Millis(1_000));
        let second = clock.tick(Millis(10));
        assert!(second > first);
        assert_eq!(second.millis(), Millis(1_000));
    }

    #[test]
    fn what_is_observed_comes_before_what_follows() {
        let mut clock = HybridClock::default();
        clock.observe(Timestamp::at(Millis(5_000)), Millis(1_000));
        assert!(clock.tick(Millis(1_000)) > Timestamp::at(Millis(5_000)));
    }

    #[test]
    fn a_far_future_clock_is_not_believed() {
        let mut clock = HybridClock::default();
        let wall = Millis(1_000);
        clock.observe(Timestamp::at(wall.plus(limits::CLOCK_AHEAD + 1)), wall);
        assert_eq!(clock.tick(wall), Timestamp::at(wall));
        clock.observe(Timestamp(u64::MAX), Millis(u64::MAX));
        assert_eq!(clock.tick(wall), Timestamp(u64::MAX));
    }
}
