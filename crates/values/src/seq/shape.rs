//! The shape of a sequence: marks are positions.

use arrayvec::ArrayVec;
use core::marker::PhantomData;

use crate::engine::node::{Inner, Node};
use crate::engine::path::{HEIGHT_MAX, Seek, find};
use crate::engine::shape::{TreeMut, TreeShape, leaf_items};

/// With this, a copied path with a full leaf is shorter than 3 KiB, at four levels for a million
/// items.
pub(crate) const FANOUT: usize = if cfg!(test) { 4 } else { 24 };
/// Bytes of a full leaf, unless items are too large for it.
const LEAF_BYTES: usize = 1024;

pub(crate) struct Sequence<T>(PhantomData<T>);

impl<T> TreeShape for Sequence<T> {
    type Item = T;
    type Mark = usize;
    type Marks = ArrayVec<usize, FANOUT>;
    type Children = ArrayVec<Node<Self>, FANOUT>;

    const FANOUT: usize = FANOUT;
    const LEAF: usize = leaf_items(size_of::<T>(), LEAF_BYTES);

    fn start(mark: &usize) -> Option<usize> {
        Some(*mark)
    }
}

impl<T: Clone> TreeMut for Sequence<T> {
    fn mark(_first: &T) -> usize {
        0
    }

    fn mark_of(_kid: &Node<Self>) -> usize {
        0
    }

    #[inline]
    fn shift(marks: &mut [usize], by: isize) {
        for mark in marks {
            *mark = mark.wrapping_add_signed(by);
        }
    }
}

/// For each height, 2⁶⁴ divided by the items of a full child of a node there. Multiplying by it is
/// a division in far less time.
const fn shares<K: TreeShape>() -> [u64; HEIGHT_MAX + 1] {
    let mut shares = [0; HEIGHT_MAX + 1];
    let (mut height, mut full) = (1, K::LEAF as u64);
    while height <= HEIGHT_MAX {
        shares[height] = u64::MAX / full + 1;
        full = full.saturating_mul(K::FANOUT as u64);
        height += 1;
    }
    shares
}

/// The index of the child that holds item `at`, if all before it are full.
#[inline(always)]
fn guess<K: TreeShape>(height: usize, at: usize) -> usize {
    let share = const { shares::<K>() }[height];
    ((at as u128 * share as u128) >> 64) as usize
}

/// The child that holds item `at`, and the item's place in it. If `at` is the length, the last
/// child.
#[inline(always)]
pub(crate) fn child<K: TreeShape<Mark = usize>>(inner: &Inner<K>, at: usize) -> (usize, usize) {
    let marks: &[usize] = &inner.marks;
    let last = marks.len() - 1;
    let mut step = guess::<K>(inner.height as usize, at).min(last);
    // The guess is too far only among leaves that are longer than this shape makes them, as a store
    // may hold them.
    while marks[step] > at {
        step -= 1;
    }
    while step < last && marks[step + 1] <= at {
        step += 1;
    }
    (step, at - marks[step])
}

/// The item at a position, if there is one.
#[inline]
pub(crate) fn get<K: TreeShape<Mark = usize>>(root: &Node<K>, at: usize) -> Option<&K::Item> {
    by_guess(root, at).or_else(|| by_search(root, at))
}

#[cold]
#[inline(never)]
fn by_search<K: TreeShape<Mark = usize>>(root: &Node<K>, at: usize) -> Option<&K::Item> {
    find(root, Position(at))
}

/// The most levels that are descended by guess. Fewer levels already hold more items than a small
/// machine's memory.
const GUESSED_MAX: usize = 5;

/// The item at a position, if all items before it are in full nodes, as in trees made by `push` or
/// `collect`. Elsewhere it often finds nothing.
///
/// Random reads of a large tree wait for the leaf's cache lines. The number of reads that wait at
/// the same time is limited by the instructions that the processor holds, so there are as few here
/// as possible. The start of each node on the path is certain, and its end is not: the leaf tells
/// if the item is there.
#[inline(always)]
fn by_guess<K: TreeShape<Mark = usize>>(root: &Node<K>, mut at: usize) -> Option<&K::Item> {
    let mut node = root;
    let above = root.height() as usize;
    for height in (1..=GUESSED_MAX).rev() {
        if height <= above {
            let Node::Inner(inner) = node else { return None };
            let step = guess::<K>(height, at);
            at = at.checked_sub(*inner.marks.get(step)?)?;
            node = inner.children.get(step)?;
        }
    }
    match node {
        Node::Leaf(chunk) => chunk.items_of_full(K::LEAF).get(at),
        Node::Inner(_) => None,
    }
}

/// Finds the place before item `at`, or after the last.
#[derive(Clone, Copy)]
pub(crate) struct Position(pub(crate) usize);

impl<K: TreeShape<Mark = usize>> Seek<K> for Position {
    #[inline]
    fn child(&mut self, inner: &Inner<K>) -> usize {
        let (step, within) = child(inner, self.0);
        self.0 = within;
        step
    }

    #[inline]
    fn slot(&mut self, items: &[K::Item]) -> Result<usize, usize> {
        if self.0 < items.len() { Ok(self.0) } else { Err(items.len()) }
    }
}
