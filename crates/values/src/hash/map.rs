//! The hash map.

use alloc::vec::Vec;
use core::borrow::Borrow;
use core::hash::{BuildHasher, Hash};
use core::mem;
use core::ops::ControlFlow;

use super::RandomState;
use super::differ::pair_up;
use super::entry::Entry;
use super::iter::{IntoIter, IntoKeys, IntoValues, Iter, IterMut, Keys, Values, ValuesMut};
use super::trie::{Trie, rank};
use crate::changes::{Change, Conflict, MapDiff, MapPatch, PatchError, changes_of_maps, gather};

/// A map by hash with O(1) `clone`.
///
/// Entries lie in a trie under the bits of their hashes, so that two forks are compared slot by
/// slot. A write to a shared map copies the path to the entry, some 4 KiB. A map that shares
/// nothing changes in place.
///
/// | operation | cost |
/// |---|---|
/// | `clone`, `==` of an untouched fork | O(1), no allocation |
/// | `get`, `insert`, `remove`, `entry` | O(log n) with base 64, and one comparison of keys |
/// | iteration | O(n), in no particular order |
/// | `diff`, `merge3` of forks | what differs; with different hashers, a look-up for each entry |
///
/// Keys whose hashes collide lie in one leaf: n colliding keys cost O(n) each, as in every hash
/// map.
///
/// # When not to use it
///
/// For a map that is never forked: `std`'s `HashMap` finds keys four times as fast.
///
/// # Example
///
/// ```
/// use tine_values::HashMap;
///
/// let base: HashMap<&str, u32> = [("a", 1), ("b", 2)].into_iter().collect();
/// let (mut ours, mut theirs) = (base.clone(), base.clone());
/// ours.insert("a", 10);
/// theirs.remove("b");
/// let merged = HashMap::merge3(&base, &ours, &theirs, |conflict| conflict.ours.copied());
/// assert_eq!(merged.into_iter().collect::<Vec<_>>(), [("a", 10)]);
/// ```
pub struct HashMap<K, V, S = RandomState> {
    pub(crate) trie: Trie<K, V>,
    pub(crate) hasher: S,
}

/// Where the map has a key: its hash, and its place in the leaf of that hash.
pub(super) struct Taken {
    hash: u32,
    place: usize,
}

impl<K, V, S: Clone> Clone for HashMap<K, V, S> {
    /// Shares everything: O(1), without allocation, and without `K: Clone` or `V: Clone`.
    #[inline]
    fn clone(&self) -> Self {
        HashMap { trie: self.trie.clone(), hasher: self.hasher.clone() }
    }
}

impl<K, V> HashMap<K, V> {
    /// Makes an empty map, without allocation.
    pub fn new() -> Self {
        Self::default()
    }
}

impl<K, V, S> HashMap<K, V, S> {
    /// Makes an empty map with the given hasher.
    pub const fn with_hasher(hasher: S) -> Self {
        HashMap { trie: Trie::new(), hasher }
    }

    /// The hasher.
    pub fn hasher(&self) -> &S {
        &self.hasher
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.trie.root.len()
    }

    /// Returns `true` if there are no entries.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The entries, in an arbitrary order that forks have in common.
    pub fn iter(&self) -> Iter<'_, K, V> {
        Iter::new(&self.trie)
    }

    /// The keys, in the order of [`HashMap::iter`].
    pub fn keys(&self) -> Keys<'_, K, V> {
        Keys(self.iter())
    }

    /// The values, in the order of [`HashMap::iter`].
    pub fn values(&self) -> Values<'_, K, V> {
        Values(self.iter())
    }

    /// The keys by value.
    pub fn into_keys(self) -> IntoKeys<K, V>
    where
        K: Clone,
        V: Clone,
    {
        IntoKeys(IntoIter::new(self.trie))
    }

    /// The values by value.
    pub fn into_values(self) -> IntoValues<K, V>
    where
        K: Clone,
        V: Clone,
    {
        IntoValues(IntoIter::new(self.trie))
    }

    /// Returns `true` if both share everything. O(1).
    pub fn ptr_eq(&self, other: &Self) -> bool {
        self.trie.root.same(&other.trie.root)
    }
}

impl<K, V, S: BuildHasher> HashMap<K, V, S> {
    /// The value of a key.
    #[inline]
    pub fn get<Q: Hash + Eq + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.trie.find(self.rank(key), key).map(|entry| &entry.1)
    }

    /// The entry of a key, with the key that the map holds.
    pub fn get_key_value<Q: Hash + Eq + ?Sized>(&self, key: &Q) -> Option<(&K, &V)>
    where
        K: Borrow<Q>,
    {
        self.trie.find(self.rank(key), key).map(|(key, value)| (key, value))
    }

    /// Returns `true` if the map holds a key.
    pub fn contains_key<Q: Hash + Eq + ?Sized>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.get(key).is_some()
    }

    #[inline]
    fn rank<Q: Hash + ?Sized>(&self, key: &Q) -> u32 {
        rank(&self.hasher, key)
    }

    /// Where a key is, or its hash.
    pub(super) fn find_place(&self, key: &K) -> Result<Taken, u32>
    where
        K: Hash + Eq,
    {
        let hash = self.rank(key);
        self.trie.place(hash, key).map(|place| Taken { hash, place }).ok_or(hash)
    }

    pub(super) fn at(&self, taken: &Taken) -> &(K, V) {
        self.trie.at(taken.hash, taken.place)
    }

    /// Returns `true` if both maps place keys in the same way. Forks of one map do.
    pub(super) fn hashes_like(&self, other: &Self) -> bool {
        let probe = |map: &Self, of: u64| map.hasher.hash_one(of);
        [0, u64::MAX].iter().all(|of| probe(self, *of) == probe(other, *of))
    }
}

impl<K: Hash + Eq, V: Eq, S: BuildHasher> HashMap<K, V, S> {
    /// The changes from this map to `newer`. Skips what forks share. Maps with different hashers
    /// share nothing.
    pub fn diff<'a>(&'a self, newer: &'a Self) -> MapDiff<'a, K, V> {
        let mut changes = Vec::new();
        if !self.hashes_like(newer) {
            for (key, old) in self.iter() {
                gather(&mut changes, Some((key, old)), newer.get_key_value(key));
            }
            for (key, new) in newer.iter().filter(|(key, _)| !self.contains_key(*key)) {
                gather(&mut changes, None, Some((key, new)));
            }
            return MapDiff { changes };
        }
        let halves = |entry: &'a (K, V)| (&entry.0, &entry.1);
        let _: ControlFlow<()> = pair_up(&self.trie.root, &newer.trie.root, |(old, new)| {
            gather(&mut changes, old.map(halves), new.map(halves));
            ControlFlow::Continue(())
        });
        MapDiff { changes }
    }
}

impl<K: Hash + Eq + Clone, V: Clone + Eq, S: BuildHasher + Clone> HashMap<K, V, S> {
    changes_of_maps!();
}

impl<K: Hash + Eq + Clone, V: Clone, S: BuildHasher> HashMap<K, V, S> {
    /// Inserts a value under a key and returns the old value. A key that was present stays.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        let hash = self.rank(&key);
        match self.trie.place(hash, &key) {
            Some(place) => Some(mem::replace(&mut self.trie.at_mut(hash, place).1, value)),
            None => {
                self.trie.insert(hash, (key, value));
                None
            }
        }
    }

    pub(super) fn at_mut(&mut self, taken: &Taken) -> &mut (K, V) {
        self.trie.at_mut(taken.hash, taken.place)
    }

    pub(super) fn put_at(&mut self, hash: &u32, key: K, value: V) -> &mut V {
        let place = self.trie.insert(*hash, (key, value));
        &mut self.trie.at_mut(*hash, place).1
    }

    pub(super) fn take_at(&mut self, taken: &Taken) -> (K, V) {
        self.trie.remove(taken.hash, taken.place)
    }

    /// The value of a key, mutably. Nothing is copied if the key is absent.
    pub fn get_mut<Q: Hash + Eq + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        let hash = self.rank(key);
        let place = self.trie.place(hash, key)?;
        Some(&mut self.trie.at_mut(hash, place).1)
    }

    /// Removes a key and returns its value.
    pub fn remove<Q: Hash + Eq + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        self.remove_entry(key).map(|(_, value)| value)
    }

    /// Removes a key and returns it with its value.
    pub fn remove_entry<Q: Hash + Eq + ?Sized>(&mut self, key: &Q) -> Option<(K, V)>
    where
        K: Borrow<Q>,
    {
        let hash = self.rank(key);
        let place = self.trie.place(hash, key)?;
        Some(self.trie.remove(hash, place))
    }

    /// The entry of a key, to be read, changed or filled.
    pub fn entry(&mut self, key: K) -> Entry<'_, K, V, S> {
        Entry::new(self, key)
    }

    /// Drops all entries. The hasher stays.
    pub fn clear(&mut self) {
        self.trie = Trie::new();
    }

    /// Removes all entries and returns them. They are removed at once, not as they are drawn.
    pub fn drain(&mut self) -> IntoIter<K, V> {
        IntoIter::new(mem::take(&mut self.trie))
    }

    /// Keeps the entries for which `keep` returns `true`. Visits, and so copies, all that is
    /// shared.
    pub fn retain(&mut self, mut keep: impl FnMut(&K, &mut V) -> bool) {
        self.extract_if(|key, value| !keep(key, value));
    }

    /// Removes the entries for which `doomed` returns `true`, and returns them. They are removed at
    /// once, not as they are drawn. Visits, and so copies, all that is shared.
    pub fn extract_if(
        &mut self,
        mut doomed: impl FnMut(&K, &mut V) -> bool,
    ) -> alloc::vec::IntoIter<(K, V)> {
        let marked: Vec<bool> = self.iter_mut().map(|(key, value)| doomed(key, value)).collect();
        self.extract(&marked).into_iter()
    }

    /// Removes the entries that are marked, in the order of iteration. Leaves that lose nothing
    /// stay shared.
    pub(crate) fn extract(&mut self, marked: &[bool]) -> Vec<(K, V)> {
        self.trie.extract(marked)
    }

    /// The entries with mutable values. A shared leaf is copied when the iteration reaches it.
    pub fn iter_mut(&mut self) -> IterMut<'_, K, V> {
        IterMut::new(&mut self.trie)
    }

    /// The values by mutable reference.
    pub fn values_mut(&mut self) -> ValuesMut<'_, K, V> {
        ValuesMut(self.iter_mut())
    }

    /// Makes a map of entries. If a key occurs several times, the last entry counts.
    pub(super) fn build(entries: impl IntoIterator<Item = (K, V)>, hasher: S) -> Self {
        let mut map = HashMap::with_hasher(hasher);
        map.extend(entries);
        map
    }
}
