//! Items in order, from both ends: leaf by leaf, with a path to the leaf at each end.

use alloc::vec;
use arrayvec::ArrayVec;
use core::iter::FusedIterator;
use core::slice;

use super::node::{Inner, Node};
use super::path::{HEIGHT_MAX, Path};
use super::shape::{AHEAD_MAX, TreeMut, TreeShape};
use super::tree::Tree;

/// The path to one leaf.
struct Edge<'a, K: TreeShape> {
    above: ArrayVec<(&'a Inner<K>, u8), HEIGHT_MAX>,
    leaf: &'a [K::Item],
}

impl<K: TreeShape> Clone for Edge<'_, K> {
    fn clone(&self) -> Self {
        Edge { above: self.above.clone(), leaf: self.leaf }
    }
}

impl<'a, K: TreeShape> Edge<'a, K> {
    fn at(root: &'a Node<K>, path: &Path) -> Self {
        let mut edge = Edge { above: ArrayVec::new(), leaf: &[] };
        let mut node = root;
        let mut steps = path.steps.iter();
        while let Node::Inner(inner) = node {
            let step = steps.next().copied().unwrap_or(0);
            edge.above.push((inner, step));
            node = &inner.children[usize::from(step)];
        }
        edge.leaf = node.items();
        edge
    }

    fn down(&mut self, mut node: &'a Node<K>, first: bool) {
        while let Node::Inner(inner) = node {
            let step = if first { 0 } else { inner.children.len() - 1 };
            self.above.push((inner, step as u8));
            node = &inner.children[step];
        }
        self.leaf = node.items();
    }

    /// Moves to the next leaf, or to the one before. There must be one.
    fn step(&mut self, forward: bool) {
        while let Some((inner, step)) = self.above.pop() {
            let step = usize::from(step);
            let next = if forward { step + 1 } else { step.wrapping_sub(1) };
            if let Some(child) = inner.children.get(next) {
                self.above.push((inner, next as u8));
                self.down(child, forward);
                return;
            }
        }
        self.leaf = &[];
    }

    fn meets(&self, other: &Self) -> bool {
        // The deepest level differs first.
        self.above.iter().rev().zip(other.above.iter().rev()).all(|(a, b)| a.1 == b.1)
    }
}

/// Borrowed items in order.
pub(crate) struct Items<'a, K: TreeShape> {
    head: Edge<'a, K>,
    tail: Edge<'a, K>,
    /// Set if both edges are at the same leaf. Then `front` and `back` are all that is left.
    met: bool,
    /// Items between `front` and `back`, if the caller said how many there are in all.
    rest: usize,
    front: slice::Iter<'a, K::Item>,
    back: slice::Iter<'a, K::Item>,
}

impl<K: TreeShape> Clone for Items<'_, K> {
    fn clone(&self) -> Self {
        Items {
            head: self.head.clone(),
            tail: self.tail.clone(),
            met: self.met,
            rest: self.rest,
            front: self.front.clone(),
            back: self.back.clone(),
        }
    }
}

impl<'a, K: TreeShape> Items<'a, K> {
    pub(crate) fn all(root: &'a Node<K>) -> Self {
        let mut head = Edge { above: ArrayVec::new(), leaf: &[] };
        let mut tail = head.clone();
        head.down(root, true);
        tail.down(root, false);
        let end = tail.leaf.len();
        Self::new(head, 0, tail, end)
    }

    /// The items from one path up to another, excluding it. It must not be before the first.
    pub(crate) fn between(root: &'a Node<K>, from: &Path, to: &Path) -> Self {
        Self::new(Edge::at(root, from), from.slot, Edge::at(root, to), to.slot)
    }

    fn new(head: Edge<'a, K>, start: usize, tail: Edge<'a, K>, end: usize) -> Self {
        let met = head.meets(&tail);
        let (front, back) = if met {
            (head.leaf[start..end].iter(), [].iter())
        } else {
            (head.leaf[start..].iter(), tail.leaf[..end].iter())
        };
        Items { head, tail, met, rest: 0, front, back }
    }

    /// Sets how many items there are in all, so that [`Items::len`] is right.
    pub(crate) fn counting(mut self, len: usize) -> Self {
        self.rest = len - self.front.len() - self.back.len();
        self
    }

    /// How many items are left, for a counting iterator.
    pub(crate) fn len(&self) -> usize {
        self.front.len() + self.rest + self.back.len()
    }

    /// The next leaves of the head's parent, from `skip` after the head on and before the tail, at
    /// most [`TreeShape::AHEAD`] of them. The head moves to the last one.
    fn siblings(&mut self, skip: usize) -> ArrayVec<&'a [K::Item], AHEAD_MAX> {
        let Some(level) = self.head.above.len().checked_sub(1) else { return ArrayVec::new() };
        let (inner, step) = self.head.above[level];
        let (tail, end) = (&self.tail.above, inner.children.len());
        let above = self.head.above[..level].iter().zip(&tail[..level]);
        let end =
            if above.rev().all(|(a, b)| a.1 == b.1) { usize::from(tail[level].1) } else { end };
        let start = usize::from(step) + skip;
        let end = end.min(start + K::AHEAD);
        self.head.above[level].1 = (end - 1) as u8;
        inner.children[start..end].iter().map(Node::items).collect()
    }

    #[cold]
    fn next_leaf(&mut self) -> Option<&'a K::Item> {
        loop {
            if self.met {
                return self.back.next();
            }
            self.head.step(true);
            self.met = self.head.meets(&self.tail);
            if !self.met {
                self.front = self.head.leaf.iter();
                self.rest = self.rest.wrapping_sub(self.front.len());
                if let Some(item) = self.front.next() {
                    return Some(item);
                }
            }
        }
    }

    #[cold]
    fn leaf_before(&mut self) -> Option<&'a K::Item> {
        loop {
            if self.met {
                return self.front.next_back();
            }
            self.tail.step(false);
            self.met = self.head.meets(&self.tail);
            if !self.met {
                self.back = self.tail.leaf.iter();
                self.rest = self.rest.wrapping_sub(self.back.len());
                if let Some(item) = self.back.next_back() {
                    return Some(item);
                }
            }
        }
    }
}

impl<'a, K: TreeShape> Iterator for Items<'a, K> {
    type Item = &'a K::Item;

    #[inline]
    fn next(&mut self) -> Option<&'a K::Item> {
        match self.front.next() {
            Some(item) => Some(item),
            None => self.next_leaf(),
        }
    }

    fn fold<B, F: FnMut(B, Self::Item) -> B>(mut self, init: B, mut f: F) -> B {
        let mut folded = self.front.clone().fold(init, &mut f);
        let mut read = 1;
        while !self.met {
            for leaf in self.siblings(read) {
                folded = leaf.iter().fold(folded, &mut f);
            }
            self.head.step(true);
            self.met = self.head.meets(&self.tail);
            read = 0;
        }
        self.back.fold(folded, f)
    }
}

impl<K: TreeShape> DoubleEndedIterator for Items<'_, K> {
    #[inline]
    fn next_back(&mut self) -> Option<Self::Item> {
        match self.back.next_back() {
            Some(item) => Some(item),
            None => self.leaf_before(),
        }
    }
}

impl<K: TreeShape> FusedIterator for Items<'_, K> {}

/// Items by value, leaf by leaf. They are moved out of leaves with one owner and cloned out of
/// shared ones.
pub(crate) struct IntoItems<K: TreeShape> {
    rest: Tree<K>,
    len: usize,
    front: vec::IntoIter<K::Item>,
    back: vec::IntoIter<K::Item>,
}

impl<K: TreeShape> IntoItems<K> {
    pub(crate) fn new(tree: Tree<K>) -> Self {
        let empty = || alloc::vec::Vec::new().into_iter();
        IntoItems { len: tree.len(), rest: tree, front: empty(), back: empty() }
    }
}

impl<K: TreeMut> Iterator for IntoItems<K> {
    type Item = K::Item;

    fn next(&mut self) -> Option<K::Item> {
        if self.front.len() == 0 {
            match self.rest.pop_leaf(true) {
                Some(leaf) => self.front = leaf.into_vec().into_iter(),
                None => {
                    let item = self.back.next()?;
                    self.len -= 1;
                    return Some(item);
                }
            }
        }
        let item = self.front.next()?;
        self.len -= 1;
        Some(item)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.len, Some(self.len))
    }
}

impl<K: TreeMut> DoubleEndedIterator for IntoItems<K> {
    fn next_back(&mut self) -> Option<K::Item> {
        if self.back.len() == 0 {
            match self.rest.pop_leaf(false) {
                Some(leaf) => self.back = leaf.into_vec().into_iter(),
                None => {
                    let item = self.front.next_back()?;
                    self.len -= 1;
                    return Some(item);
                }
            }
        }
        let item = self.back.next_back()?;
        self.len -= 1;
        Some(item)
    }
}

impl<K: TreeMut> ExactSizeIterator for IntoItems<K> {}
impl<K: TreeMut> FusedIterator for IntoItems<K> {}
