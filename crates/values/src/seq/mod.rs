//! [`Seq`]: a vector that is forked in O(1) and split or joined anywhere in O(log n).

pub(crate) mod diff;
pub(crate) mod edits;
pub(crate) mod iter;
pub(crate) mod merge;
#[cfg(test)]
pub(crate) mod model;
#[cfg(feature = "serde")]
mod persist;
pub(crate) mod shape;
mod traits;

use alloc::vec::Vec;
use core::mem;
use core::ops::{Range, RangeBounds};

use crate::engine::iter_mut::ItemsMut;
use crate::engine::length::{bounds, grown};
use crate::engine::node::Node;
use crate::engine::node::unique;
use crate::engine::path::Path;
use crate::engine::tree::Tree;
use shape::{Position, Sequence};

pub use diff::{Hunk, SeqDiff, SeqPatch};
pub use iter::{Chunks, IntoIter, Iter, IterMut};
pub use merge::{SeqConflict, merge3};

/// A vector with O(1) `clone`, and O(log n) insertion, removal, split and concatenation at any
/// place.
///
/// Clones share their items. A write to a shared `Seq` copies the path to the item, some 2 KiB. A
/// `Seq` that shares nothing changes in place. Reading by index takes five to ten times as long as
/// in a `Vec`: less if the sequence was made by `push` or `collect` than after many insertions in
/// the middle.
///
/// | operation | cost |
/// |---|---|
/// | `clone`, `==` of an untouched fork | O(1), no allocation |
/// | `get`, `set`, `push`, `pop`, `insert`, `remove` | O(log n) |
/// | `split_off`, `append`, `drain`, `splice` | O(log n), and O(k) for k items handed out or in |
/// | iteration | O(n), leaf by leaf as slices |
/// | `diff`, `merge3` of forks | what differs |
///
/// # When not to use it
///
/// For a vector that is never forked, or that is small and copied rarely, `Vec` is faster and
/// smaller. For a queue with one owner use `VecDeque`: `push_front` of a `Seq` moves up to a leaf
/// of items.
///
/// # Example
///
/// ```
/// use tine_values::Seq;
///
/// let original: Seq<u64> = (0..1_000_000).collect();
/// let mut fork = original.clone(); // nothing is copied
/// fork.insert(500_000, 7); // copies one path
/// assert_eq!((original.len(), fork.len()), (1_000_000, 1_000_001));
/// assert_eq!(fork[500_000], 7);
/// ```
pub struct Seq<T> {
    pub(crate) tree: Tree<Sequence<T>>,
}

impl<T> Clone for Seq<T> {
    /// Shares everything: O(1), without allocation, and without `T: Clone`.
    #[inline]
    fn clone(&self) -> Self {
        Seq { tree: self.tree.clone() }
    }
}

impl<T> Seq<T> {
    /// Makes an empty sequence, without allocation.
    pub const fn new() -> Self {
        Seq { tree: Tree::new() }
    }

    /// Number of items.
    #[inline]
    pub fn len(&self) -> usize {
        self.tree.len()
    }

    /// Returns `true` if there are no items.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The item at `index`, or `None` past the end. O(log n).
    #[inline]
    pub fn get(&self, index: usize) -> Option<&T> {
        shape::get(&self.tree.root, index)
    }

    /// The first item.
    pub fn first(&self) -> Option<&T> {
        self.tree.first()
    }

    /// The last item.
    pub fn last(&self) -> Option<&T> {
        self.tree.last()
    }

    /// The items in order, from both ends.
    pub fn iter(&self) -> Iter<'_, T> {
        Iter::new(self)
    }

    /// The items of a range of positions.
    ///
    /// # Panics
    ///
    /// Panics if the range begins after its end or reaches past the end of the sequence.
    pub fn range(&self, range: impl RangeBounds<usize>) -> Iter<'_, T> {
        let range = self.bounds(range);
        Iter::between(self, range)
    }

    /// The leaves as slices, in order: the fastest way to read everything.
    pub fn chunks(&self) -> Chunks<'_, T> {
        Chunks::new(self)
    }

    /// Returns `true` if both share everything. O(1).
    pub fn ptr_eq(&self, other: &Self) -> bool {
        self.tree.same(&other.tree)
    }

    /// Finds an item in a sequence sorted by `f`, like `slice::binary_search_by`. O(log² n).
    pub fn binary_search_by(
        &self,
        mut f: impl FnMut(&T) -> core::cmp::Ordering,
    ) -> Result<usize, usize> {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low + (high - low) / 2;
            match f(&self[middle]) {
                core::cmp::Ordering::Equal => return Ok(middle),
                core::cmp::Ordering::Less => low = middle + 1,
                core::cmp::Ordering::Greater => high = middle,
            }
        }
        Err(low)
    }

    fn place(&self, at: usize) -> Path {
        match self.tree.locate(Position(at)) {
            Ok(path) | Err(path) => path,
        }
    }

    fn bounds(&self, range: impl RangeBounds<usize>) -> Range<usize> {
        bounds(range, self.len(), "Seq")
    }
}

impl<T: Clone> Seq<T> {
    /// The item at `index`, mutably. Shared nodes on its path are copied first.
    #[inline]
    pub fn get_mut(&mut self, mut index: usize) -> Option<&mut T> {
        if index >= self.len() {
            return None;
        }
        let mut node = &mut self.tree.root;
        loop {
            match node {
                Node::Inner(arc) => {
                    let inner = unique(arc);
                    let (step, within) = shape::child(inner, index);
                    index = within;
                    node = &mut inner.children[step];
                }
                Node::Leaf(chunk) => return chunk.items_mut().get_mut(index),
            }
        }
    }

    /// Replaces the item at `index` and returns the old one.
    ///
    /// # Panics
    ///
    /// Panics if `index` is past the end.
    pub fn set(&mut self, index: usize, item: T) -> T {
        mem::replace(&mut self[index], item)
    }

    /// Appends an item.
    ///
    /// # Panics
    ///
    /// Panics if there would be more than `isize::MAX` items, like every method that makes a
    /// sequence longer.
    #[inline]
    #[track_caller]
    pub fn push(&mut self, item: T) {
        self.tree.push(item);
    }

    /// Removes and returns the last item.
    pub fn pop(&mut self) -> Option<T> {
        (!self.is_empty()).then(|| {
            let path = self.tree.last_path();
            self.tree.remove(&path)
        })
    }

    /// Inserts an item before all others.
    pub fn push_front(&mut self, item: T) {
        let path = self.tree.first_path();
        self.tree.insert(&path, item);
    }

    /// Removes and returns the first item.
    pub fn pop_front(&mut self) -> Option<T> {
        (!self.is_empty()).then(|| {
            let path = self.tree.first_path();
            self.tree.remove(&path)
        })
    }

    /// The first item, mutably.
    pub fn first_mut(&mut self) -> Option<&mut T> {
        self.get_mut(0)
    }

    /// The last item, mutably.
    pub fn last_mut(&mut self) -> Option<&mut T> {
        self.get_mut(self.len().checked_sub(1)?)
    }

    /// Inserts an item before position `index`.
    ///
    /// # Panics
    ///
    /// Panics if `index` is greater than the length.
    pub fn insert(&mut self, index: usize, item: T) {
        assert!(index <= self.len(), "insertion at {index} in a Seq of length {}", self.len());
        let path = self.place(index);
        self.tree.insert(&path, item);
    }

    /// Removes and returns the item at `index`.
    ///
    /// # Panics
    ///
    /// Panics if `index` is past the end.
    pub fn remove(&mut self, index: usize) -> T {
        assert!(index < self.len(), "removal at {index} in a Seq of length {}", self.len());
        let path = self.place(index);
        self.tree.remove(&path)
    }

    /// Exchanges two items.
    ///
    /// # Panics
    ///
    /// Panics if either index is past the end.
    pub fn swap(&mut self, a: usize, b: usize) {
        let item = self[a].clone();
        let item = self.set(b, item);
        self[a] = item;
    }

    /// Splits the sequence in two: keeps the items before `at` and returns the rest. O(log n).
    ///
    /// If an item's `Clone` panics in the middle, `self` is left empty. Forks are not affected.
    ///
    /// # Panics
    ///
    /// Panics if `at` is greater than the length.
    #[must_use = "use `truncate` to drop the rest"]
    pub fn split_off(&mut self, at: usize) -> Self {
        assert!(at <= self.len(), "split at {at} in a Seq of length {}", self.len());
        let path = self.place(at);
        Seq { tree: self.tree.split_off(&path) }
    }

    /// Moves all items of `other` to the end, and leaves it empty. O(log n).
    ///
    /// If an item's `Clone` panics in the middle, both are left empty. Forks are not affected.
    ///
    /// # Panics
    ///
    /// Panics if there would be more than `isize::MAX` items. Both are unchanged then.
    #[track_caller]
    pub fn append(&mut self, other: &mut Self) {
        grown(self.len(), other.len());
        self.tree.append(mem::take(&mut other.tree));
    }

    /// Drops the items from `len` on.
    pub fn truncate(&mut self, len: usize) {
        if len < self.len() {
            drop(self.split_off(len));
        }
    }

    /// Drops all items.
    pub fn clear(&mut self) {
        *self = Self::new();
    }

    /// Makes a sequence of the items in a range, which shares their leaves. O(log n).
    ///
    /// # Panics
    ///
    /// Panics if the range begins after its end or reaches past the end of the sequence.
    #[must_use]
    pub fn slice(&self, range: impl RangeBounds<usize>) -> Self {
        let range = self.bounds(range);
        let mut part = self.clone();
        part.truncate(range.end);
        part.split_off(range.start)
    }

    /// Replaces a range by other items and returns the old ones. O(log n).
    ///
    /// # Panics
    ///
    /// Panics if the range begins after its end or reaches past the end of the sequence, or if
    /// there would be more than `isize::MAX` items. The sequence is unchanged then.
    #[track_caller]
    pub fn splice(&mut self, range: impl RangeBounds<usize>, items: impl Into<Self>) -> Self {
        let range = self.bounds(range);
        let mut items = items.into();
        grown(self.len() - range.len(), items.len());
        let mut after = self.split_off(range.end);
        let removed = self.split_off(range.start);
        self.append(&mut items);
        self.append(&mut after);
        removed
    }

    /// Removes a range and returns its items by value. They are removed at once, not as they are
    /// drawn.
    ///
    /// # Panics
    ///
    /// Panics if the range begins after its end or reaches past the end of the sequence.
    pub fn drain(&mut self, range: impl RangeBounds<usize>) -> IntoIter<T> {
        self.splice(range, Self::new()).into_iter()
    }

    /// Keeps the items for which `keep` returns `true`. If few items are removed, leaves that lose
    /// nothing stay shared.
    pub fn retain(&mut self, mut keep: impl FnMut(&T) -> bool) {
        let marked: Vec<bool> = self.iter().map(|item| !keep(item)).collect();
        self.tree.extract(&marked);
    }

    /// Keeps the items for which `keep` returns `true`. It may change them. Visits, and so copies,
    /// all that is shared.
    pub fn retain_mut(&mut self, mut keep: impl FnMut(&mut T) -> bool) {
        self.extract_if(.., |item| !keep(item));
    }

    /// Removes the items of a range for which `doomed` returns `true`, and returns them in order.
    /// They are removed at once, not as they are drawn. Visits, and so copies, all that the range
    /// shares.
    ///
    /// # Panics
    ///
    /// Panics if the range begins after its end or reaches past the end of the sequence.
    pub fn extract_if(
        &mut self,
        range: impl RangeBounds<usize>,
        doomed: impl FnMut(&mut T) -> bool,
    ) -> alloc::vec::IntoIter<T> {
        let range = self.bounds(range);
        let mut marked = alloc::vec![false; range.start];
        let (from, to) = (self.place(range.start), self.place(range.end));
        marked.extend(ItemsMut::between(&mut self.tree.root, Some(&from), Some(&to)).map(doomed));
        self.tree.extract(&marked).into_iter()
    }

    /// The items by mutable reference, in order. A shared leaf is copied when the iteration reaches
    /// it.
    pub fn iter_mut(&mut self) -> IterMut<'_, T> {
        IterMut::new(self)
    }
}
