//! An ordered map as the tree sees it: marks are keys.

use core::borrow::Borrow;
use core::cmp::Ordering;
use core::marker::PhantomData;
use core::mem::needs_drop;
use core::ops::Bound;

use crate::engine::kind::{Grow, Kind, leaf_items};
use crate::engine::node::Inner;
use crate::engine::path::Seek;

/// Bytes of a full leaf. Smaller than a sequence's, for an insertion moves half of it.
const LEAF_BYTES: usize = 512;
/// Bytes that memory hands over at once.
const CACHE_LINE: usize = 64;

pub(crate) struct Ordered<K, V>(PhantomData<(K, V)>);

impl<K, V> Kind for Ordered<K, V> {
    type Item = (K, V);
    type Mark = K;

    const LEAF: usize = leaf_items(size_of::<(K, V)>(), LEAF_BYTES);
}

impl<K: Clone, V: Clone> Grow for Ordered<K, V> {
    fn mark(first: &(K, V)) -> K {
        first.0.clone()
    }
}

/// Finds a key.
pub(crate) struct Key<'a, Q: ?Sized>(pub(crate) &'a Q);

impl<K: Borrow<Q>, V, Q: Ord + ?Sized> Seek<Ordered<K, V>> for Key<'_, Q> {
    #[inline]
    fn child(&mut self, inner: &Inner<Ordered<K, V>>) -> usize {
        inner.marks[1..].partition_point(|mark| mark.borrow() <= self.0)
    }

    #[inline]
    fn slot(&mut self, items: &[(K, V)]) -> Result<usize, usize> {
        let at = count_less(items, self.0);
        match items.get(at) {
            Some(item) if item.0.borrow() == self.0 => Ok(at),
            _ => Err(at),
        }
    }
}

/// How many items of a leaf hold lesser keys.
///
/// Items that fill cache lines of their own are counted when their keys are cheap to compare: every step of a binary
/// search would wait for the line that the step before chose, whereas a count asks for all lines together.
#[inline]
fn count_less<K: Borrow<Q>, V, Q: Ord + ?Sized>(items: &[(K, V)], key: &Q) -> usize {
    let is_less = |item: &(K, V)| item.0.borrow() < key;
    if size_of::<(K, V)>() >= CACHE_LINE
        && size_of::<K>() <= size_of::<usize>()
        && !needs_drop::<K>()
    {
        items.iter().fold(0, |count, item| count + usize::from(is_less(item)))
    } else {
        items.partition_point(is_less)
    }
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
