//! Iterators over a [`Seq`].

use alloc::vec::Vec;
use core::iter::FusedIterator;
use core::ops::Range;
use core::slice;

use super::Seq;
use super::shape::Sequence;
use crate::engine::iter::{IntoItems, Items};
use crate::engine::iter_mut::ItemsMut;
use crate::engine::node::Node;

/// Items of a [`Seq`] by reference.
pub struct Iter<'a, T>(Items<'a, Sequence<T>>);

impl<T> Clone for Iter<'_, T> {
    fn clone(&self) -> Self {
        Iter(self.0.clone())
    }
}

impl<'a, T> Iter<'a, T> {
    pub(super) fn new(seq: &'a Seq<T>) -> Self {
        Iter(seq.tree.items().counting(seq.len()))
    }

    pub(super) fn between(seq: &'a Seq<T>, range: Range<usize>) -> Self {
        let (from, to) = (seq.place(range.start), seq.place(range.end));
        Iter(Items::between(&seq.tree.root, &from, &to).counting(range.len()))
    }
}

impl<'a, T> Iterator for Iter<'a, T> {
    type Item = &'a T;

    #[inline]
    fn next(&mut self) -> Option<&'a T> {
        self.0.next()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.0.len(), Some(self.0.len()))
    }

    fn fold<B, F: FnMut(B, &'a T) -> B>(self, init: B, f: F) -> B {
        self.0.fold(init, f)
    }
}

impl<T> DoubleEndedIterator for Iter<'_, T> {
    #[inline]
    fn next_back(&mut self) -> Option<Self::Item> {
        self.0.next_back()
    }
}

impl<T> ExactSizeIterator for Iter<'_, T> {}
impl<T> FusedIterator for Iter<'_, T> {}

/// Items of a [`Seq`] by mutable reference.
pub struct IterMut<'a, T: Clone> {
    items: ItemsMut<'a, Sequence<T>>,
    len: usize,
}

impl<'a, T: Clone> IterMut<'a, T> {
    pub(super) fn new(seq: &'a mut Seq<T>) -> Self {
        IterMut { len: seq.len(), items: seq.tree.items_mut() }
    }
}

impl<'a, T: Clone> Iterator for IterMut<'a, T> {
    type Item = &'a mut T;

    #[inline]
    fn next(&mut self) -> Option<&'a mut T> {
        let item = self.items.next()?;
        self.len -= 1;
        Some(item)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.len, Some(self.len))
    }

    fn fold<B, F: FnMut(B, &'a mut T) -> B>(self, init: B, f: F) -> B {
        self.items.fold(init, f)
    }
}

impl<T: Clone> DoubleEndedIterator for IterMut<'_, T> {
    fn next_back(&mut self) -> Option<Self::Item> {
        let item = self.items.next_back()?;
        self.len -= 1;
        Some(item)
    }
}

impl<T: Clone> ExactSizeIterator for IterMut<'_, T> {}
impl<T: Clone> FusedIterator for IterMut<'_, T> {}

/// Items of a [`Seq`] by value.
pub struct IntoIter<T> {
    items: IntoItems<Sequence<T>>,
}

impl<T> IntoIter<T> {
    pub(super) fn new(seq: Seq<T>) -> Self {
        IntoIter { items: IntoItems::new(seq.tree) }
    }
}

impl<T: Clone> Iterator for IntoIter<T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        self.items.next()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.items.size_hint()
    }
}

impl<T: Clone> DoubleEndedIterator for IntoIter<T> {
    fn next_back(&mut self) -> Option<T> {
        self.items.next_back()
    }
}

impl<T: Clone> ExactSizeIterator for IntoIter<T> {}
impl<T: Clone> FusedIterator for IntoIter<T> {}

/// The leaves of a [`Seq`] as slices. None is empty.
pub struct Chunks<'a, T> {
    rest: Vec<slice::Iter<'a, Node<Sequence<T>>>>,
}

impl<'a, T> Chunks<'a, T> {
    pub(super) fn new(seq: &'a Seq<T>) -> Self {
        Chunks { rest: [slice::from_ref(&seq.tree.root).iter()].into() }
    }
}

impl<'a, T> Iterator for Chunks<'a, T> {
    type Item = &'a [T];

    fn next(&mut self) -> Option<&'a [T]> {
        loop {
            match self.rest.last_mut()?.next() {
                Some(Node::Inner(inner)) => self.rest.push(inner.children.iter()),
                Some(leaf) if leaf.len() > 0 => return Some(leaf.items()),
                Some(_) => {}
                None => {
                    self.rest.pop();
                }
            }
        }
    }
}

impl<T> FusedIterator for Chunks<'_, T> {}
