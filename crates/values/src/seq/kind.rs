//! A sequence as the tree sees it: marks are positions.

use core::marker::PhantomData;

use crate::engine::kind::{Grow, Kind, leaf_items};
use crate::engine::node::{FANOUT_LOG2, Inner, Node};
use crate::engine::path::Seek;

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

/// The child that holds item `at`, and the item's place in it. `at` may be the length: then the last child.
///
/// A child holds at most a full subtree, so its index is at least what it would be if all before it were full; in
/// trees made by `push` or `collect` they are, and the first guess is right.
#[inline(always)]
pub(crate) fn child<K: Kind<Mark = usize>>(inner: &Inner<K>, at: usize) -> (usize, usize) {
    let full_log2 = K::LEAF.trailing_zeros() + FANOUT_LOG2 * (inner.height - 1);
    let marks = inner.marks.as_slice();
    let mut step = at >> full_log2;
    if step + 1 >= marks.len() {
        step = marks.len() - 1;
    } else {
        while step + 1 < marks.len() && marks[step + 1] <= at {
            step += 1;
        }
    }
    (step, at - marks[step])
}

/// The item at a position, if there is one.
#[inline]
pub(crate) fn get<K: Kind<Mark = usize>>(root: &Node<K>, mut at: usize) -> Option<&K::Item> {
    let mut node = root;
    loop {
        match node {
            Node::Inner(inner) => {
                let (step, within) = child(inner, at);
                at = within;
                node = &inner.kids[step];
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
