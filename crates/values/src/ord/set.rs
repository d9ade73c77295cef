//! The ordered set: an ordered map without values.

use core::borrow::Borrow;
use core::cmp::Ordering;
use core::fmt;
use core::ops::RangeBounds;

use super::iter::{IntoIter, Keys, Range};
use super::map::OrdMap;
use crate::changes::{MapDiff, MapPatch, PatchError};
use crate::sets::set_of;

/// A set in the order of its items, with O(1) `clone`. Costs are those of [`OrdMap`].
///
/// # When not to use it
///
/// For a set that is never forked use `BTreeSet`.
///
/// # Example
///
/// ```
/// use tine_values::OrdSet;
///
/// let known: OrdSet<u32> = [3, 1, 2].into();
/// let mut seen = known.clone();
/// seen.insert(4);
/// assert_eq!(seen.range(2..).copied().collect::<Vec<_>>(), [2, 3, 4]);
/// assert_eq!(known.len(), 3);
/// ```
pub struct OrdSet<T> {
    pub(crate) map: OrdMap<T, ()>,
}

set_of!(OrdSet, OrdMap, Ord + Eq);

impl<T> OrdSet<T> {
    /// Makes an empty set, without allocation.
    pub const fn new() -> Self {
        OrdSet { map: OrdMap::new() }
    }

    /// The least item.
    pub fn first(&self) -> Option<&T> {
        self.map.first_key_value().map(|(item, ())| item)
    }

    /// The greatest item.
    pub fn last(&self) -> Option<&T> {
        self.map.last_key_value().map(|(item, ())| item)
    }

    /// The items of a range, in order from both ends.
    ///
    /// # Panics
    ///
    /// Like `BTreeSet`'s method: if the range begins after its end, or at its end with both
    /// excluded, unless the set is empty.
    pub fn range<Q: Ord + ?Sized>(
        &self,
        range: impl RangeBounds<Q>,
    ) -> impl DoubleEndedIterator<Item = &T>
    where
        T: Borrow<Q>,
    {
        let range: Range<'_, T, ()> = self.map.range(range);
        range.map(|(item, ())| item)
    }
}

impl<T: Ord> OrdSet<T> {
    /// The items that are in one or both, each once and in order.
    pub fn union<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = &'a T> {
        self.beside(other).filter_map(|(ours, theirs)| ours.or(theirs))
    }

    /// The items that are in only one of both, in order.
    pub fn symmetric_difference<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = &'a T> {
        self.beside(other).filter_map(|(ours, theirs)| ours.xor(theirs))
    }

    /// The items of both in order, with equal ones as a pair.
    fn beside<'a>(
        &'a self,
        other: &'a Self,
    ) -> impl Iterator<Item = (Option<&'a T>, Option<&'a T>)> {
        let (mut ours, mut theirs) = (self.iter().peekable(), other.iter().peekable());
        core::iter::from_fn(move || {
            let order = match (ours.peek(), theirs.peek()) {
                (Some(a), Some(b)) => a.cmp(b),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (None, None) => return None,
            };
            Some((
                ours.next_if(|_| order != Ordering::Greater),
                theirs.next_if(|_| order != Ordering::Less),
            ))
        })
    }
}

impl<T: Ord + Clone> OrdSet<T> {
    /// Removes and returns the least item.
    pub fn pop_first(&mut self) -> Option<T> {
        self.map.pop_first().map(|(item, ())| item)
    }

    /// Removes and returns the greatest item.
    pub fn pop_last(&mut self) -> Option<T> {
        self.map.pop_last().map(|(item, ())| item)
    }

    /// Splits the set in two: keeps the items below `item` and returns the rest. O(log n).
    pub fn split_off<Q: Ord + ?Sized>(&mut self, item: &Q) -> Self
    where
        T: Borrow<Q>,
    {
        OrdSet { map: self.map.split_off(item) }
    }
}

impl<T: Ord> PartialOrd for OrdSet<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T: Ord> Ord for OrdSet<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.iter().cmp(other.iter())
    }
}

impl<T: core::hash::Hash> core::hash::Hash for OrdSet<T> {
    fn hash<H: core::hash::Hasher>(&self, state: &mut H) {
        self.map.hash(state);
    }
}

impl<T> Default for OrdSet<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Ord + Clone> FromIterator<T> for OrdSet<T> {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        OrdSet { map: items.into_iter().map(|item| (item, ())).collect() }
    }
}

impl<T: Ord + Clone, const N: usize> From<[T; N]> for OrdSet<T> {
    fn from(items: [T; N]) -> Self {
        items.into_iter().collect()
    }
}
