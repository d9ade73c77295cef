//! The methods of a set over its map, the same for both sets.

/// Implements a set as a map without values. `$bound` is what items need to be found.
macro_rules! set_of {
    ($set:ident, $map:ident, $bound:ident + $also:ident $(, $s:ident: $hash:ident)?) => {
        impl<T $(, $s: Clone)?> Clone for $set<T $(, $s)?> {
            /// Shares everything: O(1), without allocation, and without `T: Clone`.
            fn clone(&self) -> Self {
                $set { map: self.map.clone() }
            }
        }

        impl<T $(, $s)?> $set<T $(, $s)?> {
            /// Number of items.
            pub fn len(&self) -> usize {
                self.map.len()
            }

            /// Returns `true` if there are no items.
            pub fn is_empty(&self) -> bool {
                self.map.is_empty()
            }

            /// The items in the set's order.
            pub fn iter(&self) -> Keys<'_, T, ()> {
                self.map.keys()
            }

            /// Returns `true` if both share everything. O(1).
            pub fn ptr_eq(&self, other: &Self) -> bool {
                self.map.ptr_eq(&other.map)
            }
        }

        impl<T: $bound + $also $(, $s: $hash)?> $set<T $(, $s)?> {
            /// Returns `true` if the set holds an item.
            pub fn contains<Q: $bound + $also + ?Sized>(&self, item: &Q) -> bool
            where
                T: Borrow<Q>,
            {
                self.map.contains_key(item)
            }

            /// The item of the set that equals `item`.
            pub fn get<Q: $bound + $also + ?Sized>(&self, item: &Q) -> Option<&T>
            where
                T: Borrow<Q>,
            {
                self.map.get_key_value(item).map(|(item, ())| item)
            }

            /// Returns `true` if every item is in `other`.
            pub fn is_subset(&self, other: &Self) -> bool {
                self.len() <= other.len() && self.iter().all(|item| other.contains(item))
            }

            /// Returns `true` if every item of `other` is in this set.
            pub fn is_superset(&self, other: &Self) -> bool {
                other.is_subset(self)
            }

            /// Returns `true` if no item is in `other`.
            pub fn is_disjoint(&self, other: &Self) -> bool {
                self.iter().all(|item| !other.contains(item))
            }

            /// The items that are in both.
            pub fn intersection<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = &'a T> {
                self.iter().filter(|item| other.contains(*item))
            }

            /// The items that are not in `other`.
            pub fn difference<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = &'a T> {
                self.iter().filter(|item| !other.contains(*item))
            }
        }

        impl<T: $bound + $also + Clone $(, $s: $hash)?> $set<T $(, $s)?> {
            /// Adds an item. Returns `true` if it was new.
            pub fn insert(&mut self, item: T) -> bool {
                self.map.insert(item, ()).is_none()
            }

            /// Removes an item. Returns `true` if it was present.
            pub fn remove<Q: $bound + $also + ?Sized>(&mut self, item: &Q) -> bool
            where
                T: Borrow<Q>,
            {
                self.map.remove(item).is_some()
            }

            /// Removes and returns the item of the set that equals `item`.
            pub fn take<Q: $bound + $also + ?Sized>(&mut self, item: &Q) -> Option<T>
            where
                T: Borrow<Q>,
            {
                self.map.remove_entry(item).map(|(item, ())| item)
            }

            /// Drops all items.
            pub fn clear(&mut self) {
                self.map.clear();
            }

            /// Keeps the items for which `keep` returns `true`. Leaves that lose nothing stay
            /// shared.
            pub fn retain(&mut self, mut keep: impl FnMut(&T) -> bool) {
                let marked: alloc::vec::Vec<bool> = self.iter().map(|item| !keep(item)).collect();
                self.map.extract(&marked);
            }

            /// Removes the items for which `doomed` returns `true`, and returns them. They are
            /// removed at once, not as they are drawn. Leaves that lose nothing stay shared.
            pub fn extract_if(
                &mut self,
                doomed: impl FnMut(&T) -> bool,
            ) -> alloc::vec::IntoIter<T> {
                let marked: alloc::vec::Vec<bool> = self.iter().map(doomed).collect();
                let out = self.map.extract(&marked).into_iter();
                out.map(|(item, ())| item).collect::<alloc::vec::Vec<_>>().into_iter()
            }
        }

        impl<T: $bound + $also $(, $s: $hash)?> $set<T $(, $s)?> {
            /// The changes from this set to `newer`. Skips what both share.
            pub fn diff<'a>(&'a self, newer: &'a Self) -> MapDiff<'a, T, ()> {
                self.map.diff(&newer.map)
            }
        }

        impl<T: $bound + $also + Clone $(, $s: $hash + Clone)?> $set<T $(, $s)?> {
            /// Makes the changes of a patch.
            ///
            /// # Errors
            ///
            /// Fails if an item to add is present or one to remove is not. The set is unchanged
            /// then.
            pub fn apply(&mut self, patch: &MapPatch<T, ()>) -> Result<(), PatchError> {
                self.map.apply(patch)
            }

            /// Merges two forks of one base. Sets have no conflicts: an item is in or out.
            #[must_use]
            pub fn merge3(base: &Self, ours: &Self, theirs: &Self) -> Self {
                // A key can differ from the base in one way only, so the resolver is never called.
                $set { map: $map::merge3(&base.map, &ours.map, &theirs.map, |c| c.theirs.copied()) }
            }
        }

        impl<T: $bound + $also $(, $s: $hash)?> PartialEq for $set<T $(, $s)?> {
            /// Skips what both share: O(1) for an untouched fork.
            fn eq(&self, other: &Self) -> bool {
                self.map == other.map
            }
        }

        impl<T: $bound + $also $(, $s: $hash)?> Eq for $set<T $(, $s)?> {}

        impl<T: fmt::Debug $(, $s)?> fmt::Debug for $set<T $(, $s)?> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_set().entries(self.iter()).finish()
            }
        }

        impl<T: $bound + $also + Clone $(, $s: $hash)?> Extend<T> for $set<T $(, $s)?> {
            fn extend<I: IntoIterator<Item = T>>(&mut self, items: I) {
                self.map.extend(items.into_iter().map(|item| (item, ())));
            }
        }

        impl<T: Clone $(, $s)?> IntoIterator for $set<T $(, $s)?> {
            type Item = T;
            type IntoIter = core::iter::Map<IntoIter<T, ()>, fn((T, ())) -> T>;

            fn into_iter(self) -> Self::IntoIter {
                self.map.into_iter().map(|(item, ())| item)
            }
        }

        impl<'a, T $(, $s)?> IntoIterator for &'a $set<T $(, $s)?> {
            type Item = &'a T;
            type IntoIter = Keys<'a, T, ()>;

            fn into_iter(self) -> Self::IntoIter {
                self.iter()
            }
        }
    };
}
pub(crate) use set_of;
