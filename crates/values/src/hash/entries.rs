//! The entries of a trie, leaf by leaf: borrowed, by mutable reference, and by value.

use alloc::vec::{self, Vec};
use arrayvec::ArrayVec;
use core::mem;
use core::slice;

use super::node::{DEPTH_MAX, Node};

/// The most nodes whose children are being iterated at the same time.
const LEVELS: usize = DEPTH_MAX as usize + 1;

/// Borrowed entries.
pub(crate) struct Entries<'a, K, V> {
    above: ArrayVec<slice::Iter<'a, Node<K, V>>, LEVELS>,
    leaf: slice::Iter<'a, (K, V)>,
    left: usize,
}

impl<K, V> Clone for Entries<'_, K, V> {
    fn clone(&self) -> Self {
        Entries { above: self.above.clone(), leaf: self.leaf.clone(), left: self.left }
    }
}

impl<'a, K, V> Entries<'a, K, V> {
    pub(crate) fn new(root: &'a Node<K, V>) -> Self {
        let mut above = ArrayVec::new();
        above.push(slice::from_ref(root).iter());
        Entries { above, leaf: [].iter(), left: root.len() }
    }

    /// The entries of the next leaf. None of them counts as returned yet.
    fn next_leaf(&mut self) -> Option<slice::Iter<'a, (K, V)>> {
        loop {
            match self.above.last_mut()?.next() {
                Some(Node::Leaf(leaf)) => return Some(leaf.entries().iter()),
                Some(branch) => self.above.push(branch.children().iter()),
                None => _ = self.above.pop(),
            }
        }
    }

    /// The leaves as slices.
    #[cfg(feature = "rayon")]
    pub(crate) fn leaves(mut self) -> impl Iterator<Item = &'a [(K, V)]> {
        core::iter::from_fn(move || self.next_leaf().map(|leaf| leaf.as_slice()))
    }
}

impl<'a, K, V> Iterator for Entries<'a, K, V> {
    type Item = &'a (K, V);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(entry) = self.leaf.next() {
                self.left -= 1;
                return Some(entry);
            }
            self.leaf = self.next_leaf()?;
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }

    fn fold<B, F: FnMut(B, Self::Item) -> B>(mut self, init: B, mut f: F) -> B {
        let mut folded = self.leaf.clone().fold(init, &mut f);
        while let Some(leaf) = self.next_leaf() {
            folded = leaf.fold(folded, &mut f);
        }
        folded
    }
}

impl<K, V> ExactSizeIterator for Entries<'_, K, V> {}

/// Entries by mutable reference. A node is made unique when the iteration reaches it, not before.
pub(crate) struct EntriesMut<'a, K, V> {
    above: ArrayVec<slice::IterMut<'a, Node<K, V>>, LEVELS>,
    leaf: slice::IterMut<'a, (K, V)>,
}

impl<'a, K: Clone, V: Clone> EntriesMut<'a, K, V> {
    pub(crate) fn new(root: &'a mut Node<K, V>) -> Self {
        let mut above = ArrayVec::new();
        above.push(slice::from_mut(root).iter_mut());
        EntriesMut { above, leaf: [].iter_mut() }
    }
}

impl<'a, K: Clone, V: Clone> Iterator for EntriesMut<'a, K, V> {
    type Item = &'a mut (K, V);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(entry) = self.leaf.next() {
                return Some(entry);
            }
            match self.above.last_mut()?.next() {
                Some(Node::Leaf(leaf)) => self.leaf = leaf.entries_mut().iter_mut(),
                Some(branch) => {
                    self.above.extend(branch.branch_mut().map(|branch| branch.children.iter_mut()));
                }
                None => _ = self.above.pop(),
            }
        }
    }
}

/// Entries by value: moved out of leaves with one owner, cloned out of shared ones.
pub(crate) struct IntoEntries<K, V> {
    above: Vec<vec::IntoIter<Node<K, V>>>,
    leaf: vec::IntoIter<(K, V)>,
    left: usize,
}

impl<K, V> IntoEntries<K, V> {
    pub(crate) fn new(root: Node<K, V>) -> Self {
        let left = root.len();
        let above = [Vec::from([root]).into_iter()].into();
        IntoEntries { above, leaf: Vec::new().into_iter(), left }
    }
}

impl<K: Clone, V: Clone> Iterator for IntoEntries<K, V> {
    type Item = (K, V);

    fn next(&mut self) -> Option<(K, V)> {
        loop {
            if let Some(entry) = self.leaf.next() {
                self.left -= 1;
                return Some(entry);
            }
            match self.above.last_mut()?.next() {
                Some(Node::Leaf(leaf)) => self.leaf = leaf.into_entries().into_iter(),
                Some(branch) if branch.is_unique() => {
                    let mut branch = branch;
                    let children =
                        branch.branch_mut().into_iter().flat_map(|branch| branch.children);
                    self.above.push(children.map(mem::take).collect::<Vec<_>>().into_iter());
                }
                Some(branch) => self.above.push(branch.children().to_vec().into_iter()),
                None => _ = self.above.pop(),
            }
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}
