//! Iterators over an [`OrdMap`].

use core::iter::FusedIterator;

use super::map::OrdMap;
use super::shape::Ordered;
use crate::engine::iter::{IntoItems, Items};
use crate::engine::iter_mut::ItemsMut;
use crate::engine::path::Path;

crate::iterators::iterators!(Items, ItemsMut, IntoItems of Ordered<K, V>);

/// Entries of a range of keys by reference.
pub struct Range<'a, K, V>(Items<'a, Ordered<K, V>>);

/// Entries of a range of keys with mutable values.
pub struct RangeMut<'a, K: Clone, V: Clone>(ItemsMut<'a, Ordered<K, V>>);

impl<'a, K, V> Iter<'a, K, V> {
    pub(super) fn new(map: &'a OrdMap<K, V>) -> Self {
        Iter(map.tree.items().counting(map.len()))
    }
}

impl<'a, K, V> Range<'a, K, V> {
    pub(super) fn new(map: &'a OrdMap<K, V>, from: &Path, to: &Path) -> Self {
        Range(Items::between(&map.tree.root, from, to))
    }
}

impl<'a, K: Clone, V: Clone> IterMut<'a, K, V> {
    pub(super) fn new(map: &'a mut OrdMap<K, V>) -> Self {
        IterMut { len: map.len(), items: map.tree.items_mut() }
    }
}

impl<'a, K: Clone, V: Clone> RangeMut<'a, K, V> {
    pub(super) fn new(map: &'a mut OrdMap<K, V>, from: &Path, to: &Path) -> Self {
        RangeMut(ItemsMut::between(&mut map.tree.root, Some(from), Some(to)))
    }
}

impl<K, V> IntoIter<K, V> {
    pub(super) fn new(map: OrdMap<K, V>) -> Self {
        IntoIter(IntoItems::new(map.tree))
    }
}

impl<K, V> Clone for Range<'_, K, V> {
    fn clone(&self) -> Self {
        Range(self.0.clone())
    }
}

impl<'a, K, V> Iterator for Range<'a, K, V> {
    type Item = (&'a K, &'a V);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        self.0.next().map(|(key, value)| (key, value))
    }

    fn fold<B, F: FnMut(B, Self::Item) -> B>(self, init: B, mut f: F) -> B {
        self.0.fold(init, |folded, (key, value)| f(folded, (key, value)))
    }
}

impl<K, V> FusedIterator for Range<'_, K, V> {}

impl<'a, K: Clone, V: Clone> Iterator for RangeMut<'a, K, V> {
    type Item = (&'a K, &'a mut V);

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next().map(|(key, value)| (&*key, value))
    }
}

impl<K: Clone, V: Clone> FusedIterator for RangeMut<'_, K, V> {}

/// Implements iteration from the end, which only ordered collections have.
macro_rules! from_the_end {
    ($($name:ident<$($life:lifetime,)? K, V>, ($($bound:tt)*), |$entry:ident| $whole:expr;)*) => {$(
        impl<$($life,)? K, V> DoubleEndedIterator for $name<$($life,)? K, V>
        where
            $($bound)*
        {
            fn next_back(&mut self) -> Option<Self::Item> {
                self.0.next_back().map(|$entry| $whole)
            }
        }
    )*};
}

from_the_end! {
    Iter<'a, K, V>, (), |entry| (&entry.0, &entry.1);
    Range<'a, K, V>, (), |entry| (&entry.0, &entry.1);
    RangeMut<'a, K, V>, (K: Clone, V: Clone), |entry| (&entry.0, &mut entry.1);
    IntoIter<K, V>, (K: Clone, V: Clone), |entry| entry;
    Keys<'a, K, V>, (), |entry| entry.0;
    Values<'a, K, V>, (), |entry| entry.1;
    ValuesMut<'a, K, V>, (K: Clone, V: Clone), |entry| entry.1;
    IntoKeys<K, V>, (K: Clone, V: Clone), |entry| entry.0;
    IntoValues<K, V>, (K: Clone, V: Clone), |entry| entry.1;
}

impl<K: Clone, V: Clone> DoubleEndedIterator for IterMut<'_, K, V> {
    fn next_back(&mut self) -> Option<Self::Item> {
        let (key, value) = self.items.next_back()?;
        self.len -= 1;
        Some((key, value))
    }
}
