//! The iterators of a map, the same for both maps: entries, keys and values.

/// Declares the iterators of a map on top of those of its nodes, which give whole entries.
macro_rules! iterators {
    ($items:ident, $items_mut:ident, $into_items:ident of $($kind:ty),+) => {
        /// Entries by reference.
        pub struct Iter<'a, K, V>(pub(super) $items<'a, $($kind),+>);

        /// Entries with mutable values.
        pub struct IterMut<'a, K: Clone, V: Clone> {
            pub(super) items: $items_mut<'a, $($kind),+>,
            pub(super) len: usize,
        }

        /// Entries by value.
        pub struct IntoIter<K, V>(pub(super) $into_items<$($kind),+>);

        /// Keys by reference.
        pub struct Keys<'a, K, V>(pub(super) Iter<'a, K, V>);

        /// Values by reference.
        pub struct Values<'a, K, V>(pub(super) Iter<'a, K, V>);

        /// Values by mutable reference.
        pub struct ValuesMut<'a, K: Clone, V: Clone>(pub(super) IterMut<'a, K, V>);

        /// Keys by value.
        pub struct IntoKeys<K, V>(pub(super) IntoIter<K, V>);

        /// Values by value.
        pub struct IntoValues<K, V>(pub(super) IntoIter<K, V>);

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
                self.0.next().map(|(key, value)| (key, value))
            }

            fn size_hint(&self) -> (usize, Option<usize>) {
                (self.0.len(), Some(self.0.len()))
            }

            fn fold<B, F: FnMut(B, Self::Item) -> B>(self, init: B, mut f: F) -> B {
                self.0.fold(init, |folded, (key, value)| f(folded, (key, value)))
            }
        }

        impl<'a, K: Clone, V: Clone> Iterator for IterMut<'a, K, V> {
            type Item = (&'a K, &'a mut V);

            #[inline]
            fn next(&mut self) -> Option<Self::Item> {
                let (key, value) = self.items.next()?;
                self.len -= 1;
                Some((key, value))
            }

            fn size_hint(&self) -> (usize, Option<usize>) {
                (self.len, Some(self.len))
            }

            fn fold<B, F: FnMut(B, Self::Item) -> B>(self, init: B, mut f: F) -> B {
                self.items.fold(init, |folded, (key, value)| f(folded, (key, value)))
            }
        }

        impl<K: Clone, V: Clone> Iterator for IntoIter<K, V> {
            type Item = (K, V);

            #[inline]
            fn next(&mut self) -> Option<(K, V)> {
                self.0.next()
            }

            fn size_hint(&self) -> (usize, Option<usize>) {
                self.0.size_hint()
            }
        }

        $crate::iterators::halves! {
            Keys<'a, K, V>, (), &'a K, |entry| entry.0;
            Values<'a, K, V>, (), &'a V, |entry| entry.1;
            ValuesMut<'a, K, V>, (K: Clone, V: Clone), &'a mut V, |entry| entry.1;
            IntoKeys<K, V>, (K: Clone, V: Clone), K, |entry| entry.0;
            IntoValues<K, V>, (K: Clone, V: Clone), V, |entry| entry.1;
        }

        impl<K, V> ExactSizeIterator for Iter<'_, K, V> {}
        impl<K: Clone, V: Clone> ExactSizeIterator for IterMut<'_, K, V> {}
        impl<K: Clone, V: Clone> ExactSizeIterator for IntoIter<K, V> {}
        impl<K, V> core::iter::FusedIterator for Iter<'_, K, V> {}
        impl<K: Clone, V: Clone> core::iter::FusedIterator for IterMut<'_, K, V> {}
        impl<K: Clone, V: Clone> core::iter::FusedIterator for IntoIter<K, V> {}
    };
}
pub(crate) use iterators;

/// Implements iterators that give one half of each entry of another.
macro_rules! halves {
    ($($name:ident<$($life:lifetime,)? K, V>, ($($bound:tt)*), $item:ty, |$entry:ident| $half:expr;)*) => {$(
        impl<$($life,)? K, V> Iterator for $name<$($life,)? K, V>
        where
            $($bound)*
        {
            type Item = $item;

            #[inline]
            fn next(&mut self) -> Option<$item> {
                self.0.next().map(|$entry| $half)
            }

            fn size_hint(&self) -> (usize, Option<usize>) {
                self.0.size_hint()
            }

            fn fold<B, F: FnMut(B, $item) -> B>(self, init: B, mut f: F) -> B {
                self.0.fold(init, |folded, $entry| f(folded, $half))
            }
        }

        impl<$($life,)? K, V> ExactSizeIterator for $name<$($life,)? K, V>
        where
            $($bound)*
        {
        }

        impl<$($life,)? K, V> core::iter::FusedIterator for $name<$($life,)? K, V>
        where
            $($bound)*
        {
        }
    )*};
}
pub(crate) use halves;
