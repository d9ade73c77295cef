//! The ordered map.

use alloc::vec::Vec;
use core::borrow::Borrow;
use core::cmp::Ordering;
use core::mem;
use core::ops::{Bound, ControlFlow, RangeBounds};

use super::entry::Entry;
use super::iter::{
    IntoIter, IntoKeys, IntoValues, Iter, IterMut, Keys, Range, RangeMut, Values, ValuesMut,
};
use super::shape::{Edge, Key, Ordered, Place};
use crate::changes::{Change, Conflict, MapDiff, MapPatch, PatchError, changes_of_maps, gather};
use crate::engine::cursor::pair_up;
use crate::engine::path::Path;
use crate::engine::tree::Tree;

/// A map in the order of its keys, with O(1) `clone`.
///
/// Clones share their entries. A write to a shared map copies the path to the entry, some 2 KiB. A
/// map that shares nothing changes in place. A look-up costs as much as in a `BTreeMap`.
///
/// | operation | cost |
/// |---|---|
/// | `clone`, `==` of an untouched fork | O(1), no allocation |
/// | `get`, `insert`, `remove`, `entry`, `first_key_value`, `split_off` | O(log n) |
/// | `range` | O(log n), and O(1) for each entry |
/// | `diff`, `merge3` of forks | what differs |
///
/// # When not to use it
///
/// For a map that is never forked use `BTreeMap`. If you do not need the order,
/// [`HashMap`](crate::HashMap) finds keys faster.
///
/// # Example
///
/// ```
/// use tine_values::{Change, OrdMap};
///
/// let before: OrdMap<u32, &str> = [(1, "one"), (2, "two")].into();
/// let mut after = before.clone();
/// after.insert(3, "three");
/// after.remove(&1);
/// assert_eq!(before.len(), 2);
/// let changes: Vec<_> = before.diff(&after).into_iter().collect();
/// assert_eq!(changes, [Change::Removed(&1, &"one"), Change::Added(&3, &"three")]);
/// ```
pub struct OrdMap<K, V> {
    pub(crate) tree: Tree<Ordered<K, V>>,
}

impl<K, V> Clone for OrdMap<K, V> {
    /// Shares everything: O(1), without allocation, and without `K: Clone` or `V: Clone`.
    #[inline]
    fn clone(&self) -> Self {
        OrdMap { tree: self.tree.clone() }
    }
}

impl<K, V> OrdMap<K, V> {
    /// Makes an empty map, without allocation.
    pub const fn new() -> Self {
        OrdMap { tree: Tree::new() }
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.tree.len()
    }

    /// Returns `true` if there are no entries.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The entries in order, from both ends.
    pub fn iter(&self) -> Iter<'_, K, V> {
        Iter::new(self)
    }

    /// The keys in order.
    pub fn keys(&self) -> Keys<'_, K, V> {
        Keys(self.iter())
    }

    /// The values in the order of their keys.
    pub fn values(&self) -> Values<'_, K, V> {
        Values(self.iter())
    }

    /// The keys by value, in order.
    pub fn into_keys(self) -> IntoKeys<K, V>
    where
        K: Clone,
        V: Clone,
    {
        IntoKeys(IntoIter::new(self))
    }

    /// The values by value, in the order of their keys.
    pub fn into_values(self) -> IntoValues<K, V>
    where
        K: Clone,
        V: Clone,
    {
        IntoValues(IntoIter::new(self))
    }

    /// The entry with the least key.
    pub fn first_key_value(&self) -> Option<(&K, &V)> {
        self.tree.first().map(|(key, value)| (key, value))
    }

    /// The entry with the greatest key.
    pub fn last_key_value(&self) -> Option<(&K, &V)> {
        self.tree.last().map(|(key, value)| (key, value))
    }

    /// Returns `true` if both share everything. O(1).
    pub fn ptr_eq(&self, other: &Self) -> bool {
        self.tree.same(&other.tree)
    }

    /// The value of a key. O(log n).
    #[inline]
    pub fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.tree.find(Key(key)).map(|item| &item.1)
    }

    /// The entry of a key, with the key that the map holds.
    pub fn get_key_value<Q: Ord + ?Sized>(&self, key: &Q) -> Option<(&K, &V)>
    where
        K: Borrow<Q>,
    {
        self.tree.find(Key(key)).map(|(key, value)| (key, value))
    }

    /// Returns `true` if the map holds a key.
    pub fn contains_key<Q: Ord + ?Sized>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.get(key).is_some()
    }

    /// The entries whose keys lie in a range, in order from both ends.
    ///
    /// # Panics
    ///
    /// Like `BTreeMap`'s method: if the range begins after its end, or at its end with both
    /// excluded, unless the map is empty.
    pub fn range<Q: Ord + ?Sized>(&self, range: impl RangeBounds<Q>) -> Range<'_, K, V>
    where
        K: Borrow<Q>,
    {
        let (from, to) = self.ends(range);
        Range::new(self, &from, &to)
    }

    /// The paths of both ends of a range of keys.
    fn ends<Q: Ord + ?Sized>(&self, range: impl RangeBounds<Q>) -> (Path, Path)
    where
        K: Borrow<Q>,
    {
        // Like `BTreeMap`: in a map without entries, ends cannot be in the wrong order.
        if !self.is_empty() {
            must_be_in_order(range.start_bound(), range.end_bound());
        }
        let from = self.place(Edge::lower(range.start_bound()));
        let to = self.place(Edge::upper(range.end_bound()));
        let place = |path: &Path| (path.steps.clone(), path.slot);
        assert!(place(&from) <= place(&to), "Ord is ill-defined in an OrdMap's range");
        (from, to)
    }

    fn place<Q: Ord + ?Sized>(&self, edge: Edge<'_, Q>) -> Path
    where
        K: Borrow<Q>,
    {
        match self.tree.locate(edge) {
            Ok(path) | Err(path) => path,
        }
    }
}

/// Panics for ends that are invalid whatever the map holds.
fn must_be_in_order<Q: Ord + ?Sized>(from: Bound<&Q>, to: Bound<&Q>) {
    let (Bound::Included(start) | Bound::Excluded(start)) = from else { return };
    let (Bound::Included(end) | Bound::Excluded(end)) = to else { return };
    match start.cmp(end) {
        Ordering::Less => {}
        Ordering::Equal => {
            let outside = matches!((from, to), (Bound::Excluded(_), Bound::Excluded(_)));
            assert!(!outside, "range start and end are equal and excluded in OrdMap");
        }
        Ordering::Greater => panic!("range start is greater than range end in OrdMap"),
    }
}

impl<K: Ord, V> OrdMap<K, V> {
    /// The path of a key, or where it would be.
    pub(super) fn find_place(&self, key: &K) -> Result<Path, Path> {
        self.tree.locate(Place(key))
    }

    pub(super) fn at(&self, place: &Path) -> &(K, V) {
        self.tree.at(place)
    }
}

impl<K: Ord + Clone, V: Clone> OrdMap<K, V> {
    pub(super) fn at_mut(&mut self, place: &Path) -> &mut (K, V) {
        self.tree.at_mut(place)
    }

    pub(super) fn put_at(&mut self, place: &Path, key: K, value: V) -> &mut V {
        &mut self.tree.insert_mut(place, (key, value)).1
    }

    pub(super) fn take_at(&mut self, place: &Path) -> (K, V) {
        self.tree.remove(place)
    }
}

impl<K: Ord, V: Eq> OrdMap<K, V> {
    /// The changes from this map to `newer`, in the order of keys. Skips what both share.
    pub fn diff<'a>(&'a self, newer: &'a Self) -> MapDiff<'a, K, V> {
        let mut changes = Vec::new();
        let pair = |item: &'a (K, V)| (&item.0, &item.1);
        let _: ControlFlow<()> = pair_up(
            &self.tree.root,
            &newer.tree.root,
            |a, b| a.0.cmp(&b.0),
            |old, new| {
                gather(&mut changes, old.map(pair), new.map(pair));
                ControlFlow::Continue(())
            },
        );
        MapDiff { changes }
    }
}

impl<K: Ord + Clone, V: Clone + Eq> OrdMap<K, V> {
    changes_of_maps!();
}

impl<K: Ord + Clone, V: Clone> OrdMap<K, V> {
    /// Inserts a value under a key and returns the old value. A key that was present stays.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        match self.tree.locate(Place(&key)) {
            Ok(path) => Some(mem::replace(&mut self.tree.at_mut(&path).1, value)),
            Err(path) => {
                self.tree.insert(&path, (key, value));
                None
            }
        }
    }

    /// The value of a key, mutably. Nothing is copied if the key is absent.
    pub fn get_mut<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        let path = self.tree.locate(Key(key)).ok()?;
        Some(&mut self.tree.at_mut(&path).1)
    }

    /// Removes a key and returns its value.
    pub fn remove<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        self.remove_entry(key).map(|(_, value)| value)
    }

    /// Removes a key and returns it with its value.
    pub fn remove_entry<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<(K, V)>
    where
        K: Borrow<Q>,
    {
        let path = self.tree.locate(Key(key)).ok()?;
        Some(self.tree.remove(&path))
    }

    /// The entry of a key, to be read, changed or filled.
    pub fn entry(&mut self, key: K) -> Entry<'_, K, V> {
        Entry::new(self, key)
    }

    /// Removes and returns the entry with the least key.
    pub fn pop_first(&mut self) -> Option<(K, V)> {
        (!self.is_empty()).then(|| {
            let path = self.tree.first_path();
            self.tree.remove(&path)
        })
    }

    /// Removes and returns the entry with the greatest key.
    pub fn pop_last(&mut self) -> Option<(K, V)> {
        (!self.is_empty()).then(|| {
            let path = self.tree.last_path();
            self.tree.remove(&path)
        })
    }

    /// Drops all entries.
    pub fn clear(&mut self) {
        *self = Self::new();
    }

    /// Splits the map in two: keeps the keys below `key` and returns the rest. O(log n).
    ///
    /// If a `Clone` panics in the middle, `self` is left empty. Forks are not affected.
    pub fn split_off<Q: Ord + ?Sized>(&mut self, key: &Q) -> Self
    where
        K: Borrow<Q>,
    {
        let path = self.place(Edge::Before(key));
        OrdMap { tree: self.tree.split_off(&path) }
    }

    /// Moves all entries of `other` into this map. If both hold a key, the other's value wins.
    /// O(log n) if all keys of `other` are greater, and else O(m log n) for its m entries.
    pub fn append(&mut self, other: &mut Self) {
        let other = mem::take(other);
        let after = match (self.last_key_value(), other.first_key_value()) {
            (Some((last, _)), Some((first, _))) => last < first,
            _ => true,
        };
        if after {
            self.tree.append(other.tree);
        } else {
            self.extend(other);
        }
    }

    /// Keeps the entries for which `keep` returns `true`. Visits, and so copies, all that is
    /// shared.
    pub fn retain(&mut self, mut keep: impl FnMut(&K, &mut V) -> bool) {
        let marked: Vec<bool> = self.iter_mut().map(|(key, value)| !keep(key, value)).collect();
        self.extract(&marked);
    }

    /// Removes the entries of a range for which `doomed` returns `true`, and returns them in order.
    /// They are removed at once, not as they are drawn. Visits, and so copies, all that the range
    /// shares.
    ///
    /// # Panics
    ///
    /// Like `BTreeMap`'s method: if the range begins after its end, or at its end with both
    /// excluded, unless the map is empty.
    pub fn extract_if<Q: Ord + ?Sized>(
        &mut self,
        range: impl RangeBounds<Q>,
        mut doomed: impl FnMut(&K, &mut V) -> bool,
    ) -> alloc::vec::IntoIter<(K, V)>
    where
        K: Borrow<Q>,
    {
        let (from, to) = self.ends(range);
        let mut marked = alloc::vec![false; self.tree.before(&from)];
        marked.extend(RangeMut::new(self, &from, &to).map(|(key, value)| doomed(key, value)));
        self.extract(&marked).into_iter()
    }

    /// Removes the entries that are marked, in order. None is after the last mark. If few entries
    /// are removed, leaves that lose nothing stay shared.
    pub(crate) fn extract(&mut self, marked: &[bool]) -> Vec<(K, V)> {
        self.tree.extract(marked)
    }

    /// The entries in order with mutable values. A shared leaf is copied when the iteration reaches
    /// it.
    pub fn iter_mut(&mut self) -> IterMut<'_, K, V> {
        IterMut::new(self)
    }

    /// The values by mutable reference, in the order of their keys.
    pub fn values_mut(&mut self) -> ValuesMut<'_, K, V> {
        ValuesMut(self.iter_mut())
    }

    /// The entries whose keys lie in a range, with mutable values.
    ///
    /// # Panics
    ///
    /// Like `BTreeMap`'s method: if the range begins after its end, or at its end with both
    /// excluded, unless the map is empty.
    pub fn range_mut<Q: Ord + ?Sized>(&mut self, range: impl RangeBounds<Q>) -> RangeMut<'_, K, V>
    where
        K: Borrow<Q>,
    {
        let (from, to) = self.ends(range);
        RangeMut::new(self, &from, &to)
    }
}
