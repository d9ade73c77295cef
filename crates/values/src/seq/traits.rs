//! The common traits of a vector, for [`Seq`].

use alloc::vec::Vec;
use core::cmp::Ordering;
use core::fmt;
use core::hash::{Hash, Hasher};
use core::ops::{Index, IndexMut};

use super::{IntoIter, Iter, IterMut, Seq};
use crate::engine::cursor::equal;
use crate::engine::tree::Tree;

impl<T> Default for Seq<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Index<usize> for Seq<T> {
    type Output = T;

    #[inline]
    fn index(&self, index: usize) -> &T {
        match self.get(index) {
            Some(item) => item,
            None => panic!("index {index} in a Seq of length {}", self.len()),
        }
    }
}

impl<T: Clone> IndexMut<usize> for Seq<T> {
    #[inline]
    fn index_mut(&mut self, index: usize) -> &mut T {
        let len = self.len();
        match self.get_mut(index) {
            Some(item) => item,
            None => panic!("index {index} in a Seq of length {len}"),
        }
    }
}

impl<T: Eq> PartialEq for Seq<T> {
    /// Skips what both share: O(1) for an untouched fork.
    fn eq(&self, other: &Self) -> bool {
        self.ptr_eq(other) || equal(&self.tree.root, &other.tree.root, |a, b| a == b)
    }
}

impl<T: Eq> Eq for Seq<T> {}

impl<T: Ord> PartialOrd for Seq<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T: Ord> Ord for Seq<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        if self.ptr_eq(other) { Ordering::Equal } else { self.iter().cmp(other.iter()) }
    }
}

impl<T: Hash> Hash for Seq<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_usize(self.len());
        self.iter().for_each(|item| item.hash(state));
    }
}

impl<T: fmt::Debug> fmt::Debug for Seq<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self).finish()
    }
}

impl<T: Clone> FromIterator<T> for Seq<T> {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        Seq { tree: Tree::build(items) }
    }
}

impl<T: Clone> Extend<T> for Seq<T> {
    fn extend<I: IntoIterator<Item = T>>(&mut self, items: I) {
        items.into_iter().for_each(|item| self.push(item));
    }
}

impl<'a, T: Clone + 'a> Extend<&'a T> for Seq<T> {
    fn extend<I: IntoIterator<Item = &'a T>>(&mut self, items: I) {
        self.extend(items.into_iter().cloned());
    }
}

impl<T: Clone> From<Vec<T>> for Seq<T> {
    fn from(items: Vec<T>) -> Self {
        items.into_iter().collect()
    }
}

impl<T: Clone> From<&[T]> for Seq<T> {
    fn from(items: &[T]) -> Self {
        items.iter().cloned().collect()
    }
}

impl<T: Clone, const N: usize> From<[T; N]> for Seq<T> {
    fn from(items: [T; N]) -> Self {
        items.into_iter().collect()
    }
}

impl<T: Clone> From<Seq<T>> for Vec<T> {
    fn from(items: Seq<T>) -> Self {
        items.into_iter().collect()
    }
}

impl<T: Clone> IntoIterator for Seq<T> {
    type Item = T;
    type IntoIter = IntoIter<T>;

    fn into_iter(self) -> IntoIter<T> {
        IntoIter::new(self)
    }
}

impl<'a, T> IntoIterator for &'a Seq<T> {
    type Item = &'a T;
    type IntoIter = Iter<'a, T>;

    fn into_iter(self) -> Iter<'a, T> {
        self.iter()
    }
}

impl<'a, T: Clone> IntoIterator for &'a mut Seq<T> {
    type Item = &'a mut T;
    type IntoIter = IterMut<'a, T>;

    fn into_iter(self) -> IterMut<'a, T> {
        self.iter_mut()
    }
}
