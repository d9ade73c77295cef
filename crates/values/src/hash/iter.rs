//! Iterators over an [`HashMap`](super::HashMap).

use core::iter::FusedIterator;

use super::kind::Hashed;
use crate::engine::iter::{IntoItems, Items};
use crate::engine::iter_mut::ItemsMut;
use crate::engine::tree::Tree;

/// Entries by reference.
pub struct Iter<'a, K, V>(Items<'a, Hashed<K, V>>);

/// Entries with values for changing.
pub struct IterMut<'a, K: Clone, V: Clone> {
    items: ItemsMut<'a, Hashed<K, V>>,
    len: usize,
}

/// Entries by value.
pub struct IntoIter<K, V>(IntoItems<Hashed<K, V>>);

/// Keys by reference.
pub struct Keys<'a, K, V>(pub(super) Iter<'a, K, V>);

/// Values by reference.
pub struct Values<'a, K, V>(pub(super) Iter<'a, K, V>);

/// Values for changing.
pub struct ValuesMut<'a, K: Clone, V: Clone>(pub(super) IterMut<'a, K, V>);

impl<'a, K, V> Iter<'a, K, V> {
    pub(super) fn new(tree: &'a Tree<Hashed<K, V>>) -> Self {
        Iter(tree.items().counting(tree.len()))
    }
}

impl<'a, K: Clone, V: Clone> IterMut<'a, K, V> {
    pub(super) fn new(tree: &'a mut Tree<Hashed<K, V>>) -> Self {
        IterMut { len: tree.len(), items: tree.items_mut() }
    }
}

impl<K, V> IntoIter<K, V> {
    pub(super) fn new(tree: Tree<Hashed<K, V>>) -> Self {
        IntoIter(IntoItems::new(tree))
    }
}

impl<K, V> Clone for Iter<'_, K, V> {
    fn clone(&self) -> Self {
        Iter(self.0.clone())
    }
}

impl<K, V> Clone for Keys<'_, K, V> {
    fn clone(&self) -> Self {
        Keys(self.0.clone())
    }
}

impl<K, V> Clone for Values<'_, K, V> {
    fn clone(&self) -> Self {
        Values(self.0.clone())
    }
}

impl<'a, K, V> Iterator for Iter<'a, K, V> {
    type Item = (&'a K, &'a V);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        self.0.next().map(|slot| (&slot.key, &slot.value))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.0.len(), Some(self.0.len()))
    }

    fn fold<B, F: FnMut(B, Self::Item) -> B>(self, init: B, mut f: F) -> B {
        self.0.fold(init, |folded, slot| f(folded, (&slot.key, &slot.value)))
    }
}

impl<K, V> DoubleEndedIterator for Iter<'_, K, V> {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.0.next_back().map(|slot| (&slot.key, &slot.value))
    }
}

impl<K, V> ExactSizeIterator for Iter<'_, K, V> {}
impl<K, V> FusedIterator for Iter<'_, K, V> {}

impl<'a, K: Clone, V: Clone> Iterator for IterMut<'a, K, V> {
    type Item = (&'a K, &'a mut V);

    fn next(&mut self) -> Option<Self::Item> {
        let slot = self.items.next()?;
        self.len -= 1;
        Some((&slot.key, &mut slot.value))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.len, Some(self.len))
    }
}

impl<K: Clone, V: Clone> DoubleEndedIterator for IterMut<'_, K, V> {
    fn next_back(&mut self) -> Option<Self::Item> {
        let slot = self.items.next_back()?;
        self.len -= 1;
        Some((&slot.key, &mut slot.value))
    }
}

impl<K: Clone, V: Clone> ExactSizeIterator for IterMut<'_, K, V> {}

impl<K: Clone, V: Clone> Iterator for IntoIter<K, V> {
    type Item = (K, V);

    fn next(&mut self) -> Option<(K, V)> {
        self.0.next().map(|slot| (slot.key, slot.value))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}

impl<K: Clone, V: Clone> DoubleEndedIterator for IntoIter<K, V> {
    fn next_back(&mut self) -> Option<(K, V)> {
        self.0.next_back().map(|slot| (slot.key, slot.value))
    }
}

impl<K: Clone, V: Clone> ExactSizeIterator for IntoIter<K, V> {}
impl<K: Clone, V: Clone> FusedIterator for IntoIter<K, V> {}

impl<'a, K, V> Iterator for Keys<'a, K, V> {
    type Item = &'a K;

    #[inline]
    fn next(&mut self) -> Option<&'a K> {
        self.0.next().map(|(key, _)| key)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }

    fn fold<B, F: FnMut(B, &'a K) -> B>(self, init: B, mut f: F) -> B {
        self.0.fold(init, |folded, (key, _)| f(folded, key))
    }
}

impl<K, V> DoubleEndedIterator for Keys<'_, K, V> {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.0.next_back().map(|(key, _)| key)
    }
}

impl<K, V> ExactSizeIterator for Keys<'_, K, V> {}

impl<'a, K, V> Iterator for Values<'a, K, V> {
    type Item = &'a V;

    #[inline]
    fn next(&mut self) -> Option<&'a V> {
        self.0.next().map(|(_, value)| value)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }

    fn fold<B, F: FnMut(B, &'a V) -> B>(self, init: B, mut f: F) -> B {
        self.0.fold(init, |folded, (_, value)| f(folded, value))
    }
}

impl<K, V> DoubleEndedIterator for Values<'_, K, V> {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.0.next_back().map(|(_, value)| value)
    }
}

impl<K, V> ExactSizeIterator for Values<'_, K, V> {}

impl<'a, K: Clone, V: Clone> Iterator for ValuesMut<'a, K, V> {
    type Item = &'a mut V;

    fn next(&mut self) -> Option<&'a mut V> {
        self.0.next().map(|(_, value)| value)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}
