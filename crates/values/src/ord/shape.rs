//! The shape of an ordered map: marks are keys.

use arrayvec::ArrayVec;
use core::borrow::Borrow;
use core::cmp::Ordering;
use core::marker::PhantomData;
use core::mem::needs_drop;
use core::ops::Bound;

use crate::engine::node::{Inner, Node};
use crate::engine::path::Seek;
use crate::engine::shape::{AHEAD_MAX, TreeMut, TreeShape, leaf_items};

/// With this, a copied path with a full leaf is shorter than 3 KiB, at five levels for a million
/// entries.
const FANOUT: usize = if cfg!(test) { 4 } else { 16 };
/// Bytes of a full leaf. It is smaller than a sequence's, since an insertion moves half of it.
const LEAF_BYTES: usize = 512;
/// Bytes that the processor loads at once.
const CACHE_LINE: usize = 64;

pub(crate) struct Ordered<K, V>(PhantomData<(K, V)>);

impl<K, V> TreeShape for Ordered<K, V> {
    type Item = (K, V);
    type Mark = K;
    type Marks = ArrayVec<K, FANOUT>;
    type Children = ArrayVec<Node<Self>, FANOUT>;

    const FANOUT: usize = FANOUT;
    const LEAF: usize = leaf_items(size_of::<(K, V)>(), LEAF_BYTES);
    const AHEAD: usize = AHEAD_MAX;
}

impl<K: Clone, V: Clone> TreeMut for Ordered<K, V> {
    fn mark(first: &(K, V)) -> K {
        first.0.clone()
    }
}

/// Finds a key.
pub(crate) struct Key<'a, Q: ?Sized>(pub(crate) &'a Q);

impl<K: Borrow<Q>, V, Q: Ord + ?Sized> Seek<Ordered<K, V>> for Key<'_, Q> {
    #[inline]
    fn child(&mut self, inner: &Inner<Ordered<K, V>>) -> usize {
        halve::<K, _>(&inner.marks[1..], FANOUT - 1, |mark| mark.borrow() <= self.0)
    }

    #[inline]
    fn slot(&mut self, items: &[(K, V)]) -> Result<usize, usize> {
        let is_less = |item: &(K, V)| item.0.borrow() < self.0;
        // Small items share cache lines, and many reads are in progress at once: the fewest
        // instructions win.
        let at = if size_of::<(K, V)>() < CACHE_LINE {
            halve::<K, _>(items, Ordered::<K, V>::LEAF, is_less)
        } else {
            count::<K, _>(items, is_less)
        };
        found(items, self.0, at)
    }
}

/// Finds a key for a write, which will touch most of each node on its path.
pub(crate) struct Place<'a, Q: ?Sized>(pub(crate) &'a Q);

impl<K: Borrow<Q>, V, Q: Ord + ?Sized> Seek<Ordered<K, V>> for Place<'_, Q> {
    #[inline]
    fn child(&mut self, inner: &Inner<Ordered<K, V>>) -> usize {
        count::<K, _>(&inner.marks[1..], |mark| mark.borrow() <= self.0)
    }

    #[inline]
    fn slot(&mut self, items: &[(K, V)]) -> Result<usize, usize> {
        found(items, self.0, count::<K, _>(items, |item| item.0.borrow() < self.0))
    }
}

/// `Ok(at)` if the key is at `at`, and else `Err(at)`. All keys before `at` are less.
#[inline]
fn found<K: Borrow<Q>, V, Q: Ord + ?Sized>(
    items: &[(K, V)],
    key: &Q,
    at: usize,
) -> Result<usize, usize> {
    match items.get(at) {
        Some(item) if item.0.borrow() == key => Ok(at),
        _ => Err(at),
    }
}

/// Returns `true` if keys are machine words. Comparing more of them than a binary search does is
/// then faster.
const fn are_words<K>() -> bool {
    size_of::<K>() <= size_of::<usize>() && !needs_drop::<K>()
}

/// How many of a node's entries, at most `room`, lie before a place.
///
/// For words it is a binary search whose number of steps depends only on `room`. If it depended on
/// the number of entries, the processor would predict that number, notice a wrong prediction only
/// when the node is loaded, and have no other look-up in progress meanwhile.
#[inline]
fn halve<K, T>(entries: &[T], room: usize, lies_before: impl Fn(&T) -> bool) -> usize {
    let most = room.next_power_of_two() / 2;
    // The first comparison leaves `most` places. Nodes that are less than half full, and full
    // leaves, are rare.
    let rest = (entries.len() + 1).wrapping_sub(most);
    if !are_words::<K>() || rest > most {
        return entries.partition_point(lies_before);
    }
    let mut at = if lies_before(&entries[rest.max(1) - 1]) { rest } else { 0 };
    let mut step = most / 2;
    while step > 0 {
        at = if lies_before(&entries[at + step - 1]) { at + step } else { at };
        step /= 2;
    }
    at
}

/// How many of a node's entries lie before a place.
///
/// Keys of a machine word are counted instead of bisected: first every fourth entry of a node, then
/// those between two of them. A step of a binary search waits for the cache line that the step
/// before chose. A count loads all lines at the same time.
#[inline]
fn count<K, T>(entries: &[T], lies_before: impl Fn(&T) -> bool) -> usize {
    const STRIDE: usize = 4;
    if !are_words::<K>() {
        return entries.partition_point(lies_before);
    }
    let count = |before: usize, entry: &T| before + usize::from(lies_before(entry));
    let groups = entries.chunks_exact(STRIDE).map(|group| &group[STRIDE - 1]).fold(0, count);
    let rest = &entries[groups * STRIDE..];
    groups * STRIDE + rest[..rest.len().min(STRIDE - 1)].iter().fold(0, count)
}

/// Finds the place between the keys outside a bound and those inside.
pub(crate) enum Edge<'a, Q: ?Sized> {
    /// Before the first key that is not less.
    Before(&'a Q),
    /// After the last key that is not greater.
    After(&'a Q),
    /// Before all keys.
    Start,
    /// After all keys.
    End,
}

impl<'a, Q: ?Sized> Edge<'a, Q> {
    pub(crate) fn lower(bound: Bound<&'a Q>) -> Self {
        match bound {
            Bound::Included(key) => Edge::Before(key),
            Bound::Excluded(key) => Edge::After(key),
            Bound::Unbounded => Edge::Start,
        }
    }

    pub(crate) fn upper(bound: Bound<&'a Q>) -> Self {
        match bound {
            Bound::Included(key) => Edge::After(key),
            Bound::Excluded(key) => Edge::Before(key),
            Bound::Unbounded => Edge::End,
        }
    }

    fn passes<K: Borrow<Q>>(&self, key: &K) -> bool
    where
        Q: Ord,
    {
        match self {
            Edge::Before(edge) => key.borrow().cmp(edge) == Ordering::Less,
            Edge::After(edge) => key.borrow().cmp(edge) != Ordering::Greater,
            Edge::Start => false,
            Edge::End => true,
        }
    }
}

impl<K: Borrow<Q>, V, Q: Ord + ?Sized> Seek<Ordered<K, V>> for Edge<'_, Q> {
    fn child(&mut self, inner: &Inner<Ordered<K, V>>) -> usize {
        inner.marks[1..].partition_point(|mark| self.passes(mark))
    }

    fn slot(&mut self, items: &[(K, V)]) -> Result<usize, usize> {
        Err(items.partition_point(|item| self.passes(&item.0)))
    }
}
