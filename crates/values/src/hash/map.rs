//! The hash map.

use alloc::vec::Vec;
use core::borrow::Borrow;
use core::hash::{BuildHasher, Hash};
use core::mem;
use core::ops::ControlFlow;

use super::RandomState;
use super::entry::Entry;
use super::iter::{IntoIter, Iter, IterMut, Keys, Values, ValuesMut};
use super::kind::{Hashed, Hit, Slot, rank};
use crate::changes::{Change, Conflict, MapDiff, MapPatch, PatchError, changes_of_maps, gather};
use crate::engine::cursor::pair_up;
use crate::engine::tree::Tree;

/// A map by hash with O(1) `clone`.
///
/// Entries lie in the tree in the order of their hashes, so that two forks are compared like sorted maps. A write to a
/// shared map copies the path to the entry, some 2 KiB; a map that shares nothing changes in place.
///
/// | operation | cost |
/// |---|---|
/// | `clone`, `==` of an untouched fork | O(1), no allocation |
/// | `get`, `insert`, `remove`, `entry` | O(log n) with a few comparisons of hashes, and one of keys |
/// | iteration | O(n), in an order that depends on the hasher alone |
/// | `diff`, `merge3` of forks | what differs; of maps with different hashers, a look-up an entry |
///
/// Keys whose hashes collide lie side by side: n colliding keys cost O(n) each, as with every hash map.
///
/// # When not to use it
///
/// For a map that is never forked `std`'s `HashMap` finds keys two to three times as fast.
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
    pub(crate) tree: Tree<Hashed<K, V>>,
    pub(crate) hasher: S,
}

impl<K, V, S: Clone> Clone for HashMap<K, V, S> {
    /// Shares everything: O(1), without allocation, and without `K: Clone` or `V: Clone`.
    #[inline]
    fn clone(&self) -> Self {
        HashMap { tree: self.tree.clone(), hasher: self.hasher.clone() }
    }
}

impl<K, V> HashMap<K, V> {
    /// An empty map; allocates nothing.
    pub fn new() -> Self {
        Self::default()
    }
}

impl<K, V, S> HashMap<K, V, S> {
    /// An empty map with a hasher of its own.
    pub const fn with_hasher(hasher: S) -> Self {
        HashMap { tree: Tree::new(), hasher }
    }

    /// The hasher.
    pub fn hasher(&self) -> &S {
        &self.hasher
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.tree.len()
    }

    /// Whether there are no entries.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The entries in the order of their hashes.
    pub fn iter(&self) -> Iter<'_, K, V> {
        Iter::new(&self.tree)
    }

    /// The keys in the order of their hashes.
    pub fn keys(&self) -> Keys<'_, K, V> {
        Keys(self.iter())
    }

    /// The values in the order of their keys' hashes.
    pub fn values(&self) -> Values<'_, K, V> {
        Values(self.iter())
    }

    /// Whether both are the same value, sharing everything. O(1).
    pub fn ptr_eq(&self, other: &Self) -> bool {
        self.tree.same(&other.tree)
    }
}

impl<K, V, S: BuildHasher> HashMap<K, V, S> {
    /// The value of a key.
    #[inline]
    pub fn get<Q: Hash + Eq + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.tree.find(self.hit(key)).map(|slot| &slot.value)
    }

    /// The entry of a key, with the key that the map holds.
    pub fn get_key_value<Q: Hash + Eq + ?Sized>(&self, key: &Q) -> Option<(&K, &V)>
    where
        K: Borrow<Q>,
    {
        self.tree.find(self.hit(key)).map(|slot| (&slot.key, &slot.value))
    }

    /// Whether the map holds a key.
    pub fn contains_key<Q: Hash + Eq + ?Sized>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.get(key).is_some()
    }

    #[inline]
    fn hit<'a, Q: Hash + ?Sized>(&self, key: &'a Q) -> Hit<'a, Q> {
        Hit { hash: rank(&self.hasher, key), key }
    }

    /// Whether both maps order keys alike; forks of one map do.
    pub(super) fn hashes_like(&self, other: &Self) -> bool {
        let probe = |map: &Self, of: u64| map.hasher.hash_one(of);
        [0, u64::MAX].iter().all(|of| probe(self, *of) == probe(other, *of))
    }
}

impl<K: Hash + Eq, V: Eq, S: BuildHasher> HashMap<K, V, S> {
    /// What leads from this map to `newer`. Skips what forks share; maps with different hashers share nothing.
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
        let pair = |slot: &'a Slot<K, V>| (&slot.key, &slot.value);
        let _: ControlFlow<()> = pair_up(
            &self.tree.root,
            &newer.tree.root,
            |a, b| a.hash.cmp(&b.hash),
            |a, b| a.key == b.key,
            |old, new| {
                gather(&mut changes, old.map(pair), new.map(pair));
                ControlFlow::Continue(())
            },
        );
        MapDiff { changes }
    }
}

impl<K: Hash + Eq + Clone, V: Clone + Eq, S: BuildHasher + Clone> HashMap<K, V, S> {
    changes_of_maps!();
}

impl<K: Hash + Eq + Clone, V: Clone, S: BuildHasher> HashMap<K, V, S> {
    /// Puts a value under a key and returns the one that was there; the key that was there stays.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        let hash = rank(&self.hasher, &key);
        match self.tree.locate(Hit { hash, key: &key }) {
            Ok(path) => Some(mem::replace(&mut self.tree.at_mut(&path).value, value)),
            Err(path) => {
                self.tree.insert(&path, Slot { hash, key, value });
                None
            }
        }
    }

    /// The value of a key for changing; nothing is copied when the key is absent.
    pub fn get_mut<Q: Hash + Eq + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        let path = self.tree.locate(self.hit(key)).ok()?;
        Some(&mut self.tree.at_mut(&path).value)
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
        let path = self.tree.locate(self.hit(key)).ok()?;
        let slot = self.tree.remove(&path);
        Some((slot.key, slot.value))
    }

    /// The place of a key, for changing it or filling it.
    pub fn entry(&mut self, key: K) -> Entry<'_, K, V, S> {
        Entry::new(self, key)
    }

    /// Drops all entries; the hasher stays.
    pub fn clear(&mut self) {
        self.tree = Tree::new();
    }

    /// Removes all entries and returns them. They are out of the map at once.
    pub fn drain(&mut self) -> IntoIter<K, V> {
        IntoIter::new(mem::take(&mut self.tree))
    }

    /// Keeps the entries for which `keep` is true. Leaves that lose nothing stay shared when few entries go.
    pub fn retain(&mut self, mut keep: impl FnMut(&K, &V) -> bool) {
        self.tree.extract(|slot| !keep(&slot.key, &slot.value));
    }

    /// Removes the entries for which `doomed` is true and returns them. They are out of the map at once.
    pub fn extract_if(
        &mut self,
        mut doomed: impl FnMut(&K, &V) -> bool,
    ) -> alloc::vec::IntoIter<(K, V)> {
        let out = self.tree.extract(|slot| doomed(&slot.key, &slot.value));
        let out: Vec<_> = out.into_iter().map(|slot| (slot.key, slot.value)).collect();
        out.into_iter()
    }

    /// The entries with values for changing. A leaf is copied, when shared, as the iteration reaches it.
    pub fn iter_mut(&mut self) -> IterMut<'_, K, V> {
        IterMut::new(&mut self.tree)
    }

    /// The values for changing.
    pub fn values_mut(&mut self) -> ValuesMut<'_, K, V> {
        ValuesMut(self.iter_mut())
    }

    /// A map of entries, of which the last of each key counts.
    pub(super) fn build(entries: impl IntoIterator<Item = (K, V)>, hasher: S) -> Self {
        let mut slots: Vec<Slot<K, V>> = entries
            .into_iter()
            .map(|(key, value)| Slot { hash: rank(&hasher, &key), key, value })
            .collect();
        slots.sort_by_key(|slot| slot.hash);
        // Equal keys have equal hashes, so they stand in one run; the run is short unless hashes collide.
        let mut unique: Vec<Slot<K, V>> = Vec::with_capacity(slots.len());
        let mut run = 0;
        for slot in slots {
            if unique.get(run).is_none_or(|first| first.hash != slot.hash) {
                run = unique.len();
            }
            match unique[run..].iter_mut().find(|known| known.key == slot.key) {
                Some(known) => known.value = slot.value,
                None => unique.push(slot),
            }
        }
        HashMap { tree: Tree::build(unique), hasher }
    }
}
