//! A sequence as the tree sees it: marks are positions.

use core::marker::PhantomData;

use crate::engine::kind::{Grow, Kind, leaf_items};
use crate::engine::node::{FANOUT_LOG2, Inner, Node};
use crate::engine::path::{Seek, find};

/// Bytes of a full leaf, for items that are not too large for it.
const LEAF_BYTES: usize = 1024;

pub(crate) struct Sequence<T>(PhantomData<T>);

impl<T> Kind for Sequence<T> {
    type Item = T;
    type Mark = usize;

    const LEAF: usize = leaf_items(size_of::<T>(), LEAF_BYTES);

    fn start(mark: &usize) -> Option<usize> {
        Some(*mark)
    }
}

impl<T: Clone> Grow for Sequence<T> {
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

/// The logarithm of the items in a full child of a node at `height`.
#[inline(always)]
fn full_log2<K: Kind>(height: u32) -> u32 {
    (FANOUT_LOG2 * height + K::LEAF.trailing_zeros()).wrapping_sub(FANOUT_LOG2)
}

/// The child that holds item `at`, and the item's place in it. `at` may be the length: then the last child.
#[inline(always)]
pub(crate) fn child<K: Kind<Mark = usize>>(inner: &Inner<K>, at: usize) -> (usize, usize) {
    let marks = inner.marks.as_slice();
    let last = marks.len() - 1;
    let mut step = (at >> full_log2::<K>(inner.height)).min(last);
    // Too far is only a guess among leaves that are longer than this kind makes them, as a store may hold them.
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
pub(crate) fn get<K: Kind<Mark = usize>>(root: &Node<K>, at: usize) -> Option<&K::Item> {
    guess(root, at).or_else(|| find(root, Position(at)))
}

/// The item at a position, where all before it are in full nodes, as in trees made by `push` or `collect`; elsewhere
/// often nothing.
///
/// Random reads of a large tree wait for the leaf's cache lines, and as many wait together as the processor holds
/// instructions: so here are as few as can be. The start of each node on the way is known for certain, its end is not;
/// whether the item is there, the leaf tells.
#[inline(always)]
fn guess<K: Kind<Mark = usize>>(root: &Node<K>, mut at: usize) -> Option<&K::Item> {
    let mut node = root;
    let mut full_log2 = full_log2::<K>(root.height());
    loop {
        match node {
            Node::Inner(inner) => {
                let step = at.wrapping_shr(full_log2);
                at = at.checked_sub(*inner.marks.get(step)?)?;
                node = inner.kids.get(step)?;
                full_log2 = full_log2.wrapping_sub(FANOUT_LOG2);
            }
            Node::Leaf(chunk) => return chunk.items().get(at),
        }
    }
}

/// Finds the place before item `at`, or after the last.
#[derive(Clone, Copy)]
pub(crate) struct Position(pub(crate) usize);

impl<K: Kind<Mark = usize>> Seek<K> for Position {
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
