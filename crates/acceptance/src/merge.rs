//! Which of two values holds. The last writer wins: of two devices by their clocks, whatever came first; of one by
//! the order in which it tells, whatever its clock says.

use std::collections::{BTreeMap, btree_map};

use bytes::Bytes;
use tutti_protocol::{Timestamp, limits, wire};

/// When and where something was decided. The later one wins, then the one of the greater device id.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stamp {
    /// When, by the device's clock.
    pub clock: Timestamp,
    /// What tells the device from others: its id, if that lasts; empty for the HTTP API.
    pub device: Bytes,
}

impl Stamp {
    /// Whether what has this stamp holds against what is known already, and the stamp that it has then. A
    /// device tells what it did in that order, so nothing of it counts as earlier than what it told before.
    #[must_use]
    pub fn over(&self, known: &Self) -> Option<Self> {
        let clock = if self.device == known.device { self.clock.max(known.clock) } else { self.clock };
        let stamp = Self { clock, device: self.device.clone() };
        (stamp >= *known).then_some(stamp)
    }
}

/// A value of a field.
#[derive(Clone, Debug, PartialEq, Eq)]
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
            let stamp = match self.0.get(&name) {
                Some(own) => field.stamp.over(&own.stamp),
                None => Some(field.stamp),
            };
            won.0.extend(stamp.map(|stamp| (name, Field { stamp, value: field.value })));
        }
        self.extend(won.clone());
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

impl Extend<(String, Field)> for Fields {
    /// Puts these in the place of those that have their names.
    fn extend<T: IntoIterator<Item = (String, Field)>>(&mut self, fields: T) {
        self.0.extend(fields);
    }
}

impl IntoIterator for Fields {
    type Item = (String, Field);
    type IntoIter = btree_map::IntoIter<String, Field>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
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

    /// What a device sets, by a clock that is up to ten years off, and often that of another.
    fn some_set(rng: &mut Rng, device: u64) -> Fields {
        let off = [0, 1, 2, TEN_YEARS, 2 * TEN_YEARS, rng.below(2 * TEN_YEARS)];
        let time = Millis(NOW - TEN_YEARS + off[rng.below(6) as usize]);
        let device = match device {
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

    /// What several devices set, as it may come: each keeps its order, and which is next is chance.
    fn interleaved<'a>(devices: &'a [Vec<Fields>], rng: &mut Rng) -> Vec<&'a Fields> {
        let mut rest: Vec<_> = devices.iter().map(|sets| sets.iter()).collect();
        let mut all = Vec::new();
        while rest.iter().any(|sets| sets.len() > 0) {
            let next = rng.below(rest.len() as u64) as usize;
            all.extend(rest[next].next());
        }
        all
    }

    #[test]
    fn what_devices_set_ends_the_same_whichever_comes_first() {
        for seed in 0..5_000 {
            let mut rng = Rng(seed);
            let sets_of = |device| (0..rng.below(5)).map(|_| some_set(&mut rng, device)).collect();
            let devices: Vec<Vec<Fields>> = (0..5).map(sets_of).collect();
            let expected = merged(interleaved(&devices, &mut rng));
            for _ in 0..8 {
                assert_eq!(merged(interleaved(&devices, &mut rng)), expected, "seed {seed}");
            }
        }
    }

    #[test]
    fn of_one_device_the_last_holds_whatever_its_clock_says() {
        for seed in 0..1_000 {
            let mut rng = Rng(seed);
            let sets: Vec<_> = (0..8).map(|_| some_set(&mut rng, 1)).collect();
            let mut last = BTreeMap::new();
            for (name, field) in sets.iter().flat_map(Fields::iter) {
                last.insert(name.clone(), field.value.clone());
            }
            let values = merged(&sets).into_iter().map(|(name, field)| (name, field.value));
            assert_eq!(values.collect::<BTreeMap<_, _>>(), last, "seed {seed}");
        }
    }

    #[test]
    fn what_won_is_what_changed() {
        for seed in 0..5_000 {
            let mut rng = Rng(seed);
            let mut before = merged(&(0..4).map(|device| some_set(&mut rng, device)).collect::<Vec<_>>());
            let device = rng.below(5);
            let set = some_set(&mut rng, device);
            let mut after = before.clone();
            let won = after.merge(set.clone());
            assert!(won.iter().all(|(name, field)| set.0[name].value == field.value), "seed {seed}");
            before.extend(won);
            assert_eq!(before, after, "seed {seed}");
        }
    }

    #[test]
    fn the_later_clock_decides_then_the_greater_device() {
        let stamp = |clock, device: &'static [u8]| Stamp { clock: Timestamp(clock), device: device.into() };
        let over = |stamp: Stamp, known: Stamp| stamp.over(&known);
        assert_eq!(over(stamp(2, b"a"), stamp(1, b"b")), Some(stamp(2, b"a")));
        assert_eq!(over(stamp(1, b"b"), stamp(1, b"a")), Some(stamp(1, b"b")));
        assert_eq!(over(stamp(1, b"a"), stamp(1, b"b")), None);
        assert_eq!(over(stamp(1, b""), stamp(1, b"a")), None, "any device comes before the HTTP API");
        assert_eq!(over(stamp(1, b"a"), stamp(2, b"a")), Some(stamp(2, b"a")), "no device goes back");
    }
}
