//! Maps and sets in the order of their keys, for a package that a page has to load.
//!
//! Each is a sorted list of boxes. The standard library's trees come with five kilobytes of code for every pair of
//! types; a list of boxes is moved by the same few instructions whatever is in the boxes. What is new comes last
//! more often than not, which costs its box. Elsewhere it moves a pointer for each that comes after it: for as many
//! as a tab holds that is less than what decoding it took.

use std::borrow::Borrow;

/// Values by key, in the order of the keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SortedMap<K, V>(Vec<Box<Entry<K, V>>>);

/// A key and its value. The key stands first, so that looking for one is the same code whatever it leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Entry<K, V> {
    key: K,
    value: V,
}

impl<K, V> Default for SortedMap<K, V> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K, V> SortedMap<K, V> {
    /// An empty one.
    #[must_use]
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Keys and values, in the order of the keys.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&K, &V)> {
        self.0.iter().map(|entry| (&entry.key, &entry.value))
    }

    /// Keys, and values to be changed.
    pub fn iter_mut(&mut self) -> impl DoubleEndedIterator<Item = (&K, &mut V)> {
        self.0.iter_mut().map(|entry| {
            let Entry { key, value } = &mut **entry;
            (&*key, value)
        })
    }

    /// The keys, in order.
    pub fn keys(&self) -> impl DoubleEndedIterator<Item = &K> {
        self.0.iter().map(|entry| &entry.key)
    }

    /// The values, in the order of the keys.
    pub fn values(&self) -> impl DoubleEndedIterator<Item = &V> {
        self.0.iter().map(|entry| &entry.value)
    }

    /// The values, to be changed.
    pub fn values_mut(&mut self) -> impl DoubleEndedIterator<Item = &mut V> {
        self.0.iter_mut().map(|entry| &mut entry.value)
    }

    /// The values, without their keys.
    pub fn into_values(self) -> impl DoubleEndedIterator<Item = V> {
        self.0.into_iter().map(|entry| entry.value)
    }

    /// Leaves those for which this holds.
    pub fn retain(&mut self, mut keep: impl FnMut(&K, &mut V) -> bool) {
        self.0.retain_mut(|entry| keep(&entry.key, &mut entry.value));
    }

    /// Leaves none.
    pub fn clear(&mut self) {
        self.0.clear();
    }
}

impl<K: Ord, V> SortedMap<K, V> {
    /// Where a key is, or where it belongs.
    fn find<Q: Ord + ?Sized>(&self, key: &Q) -> Result<usize, usize>
    where
        K: Borrow<Q>,
    {
        self.0.binary_search_by(|entry| entry.key.borrow().cmp(key))
    }

    /// Whether there is one.
    pub fn contains_key<Q: Ord + ?Sized>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.find(key).is_ok()
    }

    /// The value of a key.
    pub fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.find(key).ok().map(|at| &self.0[at].value)
    }

    /// The value of a key, to be changed.
    pub fn get_mut<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        self.find(key).ok().map(|at| &mut self.0[at].value)
    }

    /// The value of a key, made if there is none.
    pub fn get_or_insert_with(&mut self, key: K, make: impl FnOnce() -> V) -> &mut V {
        let at = self.find(&key).unwrap_or_else(|at| {
            self.0.insert(at, Box::new(Entry { key, value: make() }));
            at
        });
        &mut self.0[at].value
    }

    /// Gives a key a value. Says which it had.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        match self.find(&key) {
            Ok(at) => Some(std::mem::replace(&mut self.0[at].value, value)),
            Err(at) => {
                self.0.insert(at, Box::new(Entry { key, value }));
                None
            }
        }
    }

    /// Takes a key out. Says which value it had.
    pub fn remove<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        self.find(key).ok().map(|at| self.0.remove(at).value)
    }
}

impl<K, V> IntoIterator for SortedMap<K, V> {
    type Item = (K, V);
    type IntoIter = std::iter::Map<std::vec::IntoIter<Box<Entry<K, V>>>, fn(Box<Entry<K, V>>) -> (K, V)>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter().map(|entry| (entry.key, entry.value))
    }
}

impl<K: Ord, V> Extend<(K, V)> for SortedMap<K, V> {
    fn extend<I: IntoIterator<Item = (K, V)>>(&mut self, entries: I) {
        entries.into_iter().for_each(|(key, value)| drop(self.insert(key, value)));
    }
}

impl<K: Ord, V> FromIterator<(K, V)> for SortedMap<K, V> {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        let mut map = Self::new();
        map.extend(entries);
        map
    }
}

/// Things in their order, each once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SortedSet<T>(SortedMap<T, ()>);

impl<T> Default for SortedSet<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> SortedSet<T> {
    /// An empty one.
    #[must_use]
    pub const fn new() -> Self {
        Self(SortedMap::new())
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All, in order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &T> {
        self.0.keys()
    }

    /// Leaves those for which this holds.
    pub fn retain(&mut self, mut keep: impl FnMut(&T) -> bool) {
        self.0.retain(|it, ()| keep(it));
    }

    /// Leaves none.
    pub fn clear(&mut self) {
        self.0.clear();
    }
}

impl<T: Ord> SortedSet<T> {
    /// Whether there is one.
    pub fn contains<Q: Ord + ?Sized>(&self, it: &Q) -> bool
    where
        T: Borrow<Q>,
    {
        self.0.contains_key(it)
    }

    /// Puts one in. Says whether it was not there before.
    pub fn insert(&mut self, it: T) -> bool {
        self.0.insert(it, ()).is_none()
    }

    /// Takes one out. Says whether it was there.
    pub fn remove<Q: Ord + ?Sized>(&mut self, it: &Q) -> bool
    where
        T: Borrow<Q>,
    {
        self.0.remove(it).is_some()
    }
}

impl<T> IntoIterator for SortedSet<T> {
    type Item = T;
    type IntoIter = std::iter::Map<std::vec::IntoIter<Box<Entry<T, ()>>>, fn(Box<Entry<T, ()>>) -> T>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.0.into_iter().map(|entry| entry.key)
    }
}

impl<T: Ord> Extend<T> for SortedSet<T> {
    fn extend<I: IntoIterator<Item = T>>(&mut self, items: I) {
        self.0.extend(items.into_iter().map(|it| (it, ())));
    }
}

impl<T: Ord> FromIterator<T> for SortedSet<T> {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        let mut set = Self::new();
        set.extend(items);
        set
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use rand_chacha::{
        ChaCha8Rng,
        rand_core::{RngCore as _, SeedableRng as _},
    };

    use super::*;

    #[test]
    fn it_holds_what_a_tree_would_hold_in_the_same_order() {
        for seed in 0..50 {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let (mut map, mut tree) = (SortedMap::new(), BTreeMap::new());
            for value in 0..500 {
                let key = format!("{}", rng.next_u32() % 100);
                match rng.next_u32() % 8 {
                    0..3 => assert_eq!(map.insert(key.clone(), value), tree.insert(key, value)),
                    3..5 => assert_eq!(map.remove(&*key), tree.remove(&*key)),
                    5 => {
                        let of_tree = *tree.entry(key.clone()).or_insert(value);
                        assert_eq!(*map.get_or_insert_with(key, || value), of_tree);
                    }
                    6 => {
                        assert_eq!(map.get(&*key), tree.get(&*key));
                        assert_eq!(map.contains_key(&*key), tree.contains_key(&*key));
                        assert_eq!(
                            map.get_mut(&*key).map(|it| *it += 1),
                            tree.get_mut(&*key).map(|it| *it += 1)
                        );
                    }
                    _ if value % 50 == 0 => {
                        map.retain(|_, value| *value % 3 > 0);
                        tree.retain(|_, value| *value % 3 > 0);
                    }
                    _ => assert_eq!(map.len(), tree.len()),
                }
                assert!(map.iter().eq(tree.iter()), "seed {seed}");
            }
            assert!(map.into_iter().eq(tree), "seed {seed}");
        }
    }

    #[test]
    fn a_set_has_each_thing_once() {
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        let things: Vec<u32> = (0..1_000).map(|_| rng.next_u32() % 300).collect();
        let (mut set, mut tree): (SortedSet<u32>, BTreeSet<u32>) =
            (things.iter().copied().collect(), things.iter().copied().collect());
        assert!(set.iter().eq(tree.iter()));
        for it in things {
            assert_eq!(set.remove(&it), tree.remove(&it));
            assert_eq!(set.contains(&it), tree.contains(&it));
            assert_eq!((set.len(), set.is_empty()), (tree.len(), tree.is_empty()));
        }
        assert!(set.insert(1) && !set.insert(1));
    }
}
