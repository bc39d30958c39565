//! Which of two values holds. The last writer wins, by the clocks of the devices, whatever came first.

use std::collections::BTreeMap;

use bytes::Bytes;
use tutti_protocol::{Timestamp, limits, wire};

/// When and where something was decided. The later one wins, then the one of the greater device id.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stamp {
    /// When, by the device's clock.
    pub clock: Timestamp,
    /// The device's id; empty for the HTTP API.
    pub device: Bytes,
}

/// A value of a field. Of two the greater one holds: the stamps decide, and should they be the same, the
/// values, so that the order in which they come never does.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Field {
    /// When and where it was set.
    pub stamp: Stamp,
    /// JSON text; empty: it was removed, which is remembered so that no older value comes back.
    pub value: Bytes,
}

/// Fields by name, removed ones too.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fields(BTreeMap<String, Field>);

impl Fields {
    /// What an operation sets.
    #[must_use]
    pub fn stamped(fields: &[wire::Field], stamp: &Stamp) -> Self {
        let stamped = |field: &wire::Field| Field { stamp: stamp.clone(), value: field.value.clone() };
        fields.iter().map(|field| (field.name.clone(), stamped(field))).collect()
    }

    /// Takes of the others what holds, and answers what that was.
    pub fn merge(&mut self, others: Self) -> Self {
        let mut won = Self::default();
        for (name, field) in others.0 {
            if self.0.get(&name).is_none_or(|own| *own < field) {
                self.0.insert(name.clone(), field.clone());
                won.0.insert(name, field);
            }
        }
        won
    }

    /// Removes a field whose value fits, as if that had been set in the first place.
    pub fn erase(&mut self, name: &str, fits: impl FnOnce(&[u8]) -> bool) -> bool {
        let Some(field) = self.0.get_mut(name).filter(|field| fits(&field.value)) else {
            return false;
        };
        field.value = Bytes::new();
        true
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether these are no more and no larger than they may be.
    #[must_use]
    pub fn is_within_limits(&self) -> bool {
        let size: usize = self.0.values().map(|field| field.value.len()).sum();
        self.0.len() <= limits::FIELDS && size <= limits::FIELDS_BYTES
    }

    /// Each with its name, removed ones too.
    pub fn iter(&self) -> impl Iterator<Item = (&String, &Field)> {
        self.0.iter()
    }

    /// Those that are set, in the order of their names.
    #[must_use]
    pub fn set(&self) -> Vec<wire::Field> {
        let set = self.0.iter().filter(|(_, field)| !field.value.is_empty());
        set.map(|(name, field)| wire::Field { name: name.clone(), value: field.value.clone() }).collect()
    }
}

impl FromIterator<(String, Field)> for Fields {
    fn from_iter<T: IntoIterator<Item = (String, Field)>>(fields: T) -> Self {
        Self(fields.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use tutti_protocol::Millis;

    use super::*;

    const NOW: u64 = 1_700_000_000_000;
    const TEN_YEARS: u64 = 10 * 365 * 24 * 3_600 * 1_000;

    /// SplitMix64.
    struct Rng(u64);

    impl Rng {
        fn number(&mut self) -> u64 {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            mixed ^ (mixed >> 31)
        }

        fn below(&mut self, bound: u64) -> u64 {
            self.number() % bound
        }
    }

    /// What some device sets, by a clock that is up to ten years off, and often that of another.
    fn some_set(rng: &mut Rng) -> Fields {
        let off = [0, 1, 2, TEN_YEARS, 2 * TEN_YEARS, rng.below(2 * TEN_YEARS)];
        let time = Millis(NOW - TEN_YEARS + off[rng.below(6) as usize]);
        let device = match rng.below(5) {
            0 => Bytes::new(),
            device => Bytes::from(vec![device as u8; 16]),
        };
        let clock = Timestamp(Timestamp::at(time).0 + rng.below(2));
        let fields: Vec<_> = (0..=rng.below(4))
            .map(|_| wire::Field {
                name: format!("field {}", rng.below(4)),
                value: match rng.below(4) {
                    0 => Bytes::new(),
                    value => Bytes::from(value.to_string()),
                },
            })
            .collect();
        Fields::stamped(&fields, &Stamp { clock, device })
    }

    fn merged<'a>(sets: impl IntoIterator<Item = &'a Fields>) -> Fields {
        let mut all = Fields::default();
        for set in sets {
            all.merge(set.clone());
        }
        all
    }

    fn shuffle(sets: &mut [Fields], rng: &mut Rng) {
        for end in (1..sets.len()).rev() {
            sets.swap(end, rng.below(end as u64 + 1) as usize);
        }
    }

    #[test]
    fn sets_end_the_same_in_every_order_and_however_often_they_come() {
        for seed in 0..5_000 {
            let mut rng = Rng(seed);
            let mut sets: Vec<_> = (0..rng.below(12)).map(|_| some_set(&mut rng)).collect();
            let expected = merged(&sets);
            for _ in 0..4 {
                shuffle(&mut sets, &mut rng);
                assert_eq!(merged(&sets), expected, "seed {seed}");
                assert_eq!(merged(sets.iter().chain(&sets)), expected, "seed {seed}: twice");
                let (some, others) = sets.split_at(rng.below(sets.len() as u64 + 1) as usize);
                assert_eq!(merged([&merged(some), &merged(others)]), expected, "seed {seed}: in parts");
            }
        }
    }

    #[test]
    fn what_won_is_what_changed() {
        for seed in 0..5_000 {
            let mut rng = Rng(seed);
            let mut before = merged(&(0..4).map(|_| some_set(&mut rng)).collect::<Vec<_>>());
            let set = some_set(&mut rng);
            let mut after = before.clone();
            let won = after.merge(set.clone());
            assert!(won.iter().all(|(name, field)| set.0[name] == *field), "seed {seed}");
            assert_eq!(won.is_empty(), before == after, "seed {seed}");
            before.0.extend(won.0);
            assert_eq!(before, after, "seed {seed}");
        }
    }

    #[test]
    fn the_later_clock_decides_then_the_greater_device() {
        let stamp = |clock, device: &'static [u8]| Stamp { clock: Timestamp(clock), device: device.into() };
        assert!(stamp(2, b"a") > stamp(1, b"b"));
        assert!(stamp(1, b"b") > stamp(1, b"a"));
        assert!(stamp(1, b"a") > stamp(1, b""), "any device comes before the HTTP API");
    }
}
