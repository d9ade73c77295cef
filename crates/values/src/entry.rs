//! The methods of a map's entry, the same for both maps.

/// Implements the entry types of a map. `$bound` is what its keys need in addition to `Clone`. An
/// entry remembers where its key is, or would be, and does not search again. So keys whose `Eq`,
/// `Ord` or `Hash` gives another answer the second time do no harm.
macro_rules! entries {
    ($map:ident, $bound:ident $(+ $also:ident)? $(, $s:ident: $hash:ident)?) => {
        impl<'a, K: $bound $(+ $also)? + Clone, V: Clone $(, $s: $hash)?> Entry<'a, K, V $(, $s)?> {
            pub(super) fn new(map: &'a mut $map<K, V $(, $s)?>, key: K) -> Self {
                match map.find_place(&key) {
                    Ok(place) => Entry::Occupied(OccupiedEntry { map, key, place }),
                    Err(place) => Entry::Vacant(VacantEntry { map, key, place }),
                }
            }

            /// The key.
            pub fn key(&self) -> &K {
                match self {
                    Entry::Occupied(entry) => &entry.key,
                    Entry::Vacant(entry) => &entry.key,
                }
            }

            /// The value. Inserts `value` first if the key is absent.
            pub fn or_insert(self, value: V) -> &'a mut V {
                self.or_insert_with(|| value)
            }

            /// The value. Makes and inserts it first if the key is absent.
            pub fn or_insert_with(self, value: impl FnOnce() -> V) -> &'a mut V {
                match self {
                    Entry::Occupied(entry) => entry.into_mut(),
                    Entry::Vacant(entry) => entry.insert(value()),
                }
            }

            /// The value. Makes it from the key and inserts it first if the key is absent.
            pub fn or_insert_with_key(self, value: impl FnOnce(&K) -> V) -> &'a mut V {
                match self {
                    Entry::Occupied(entry) => entry.into_mut(),
                    Entry::Vacant(entry) => {
                        let value = value(&entry.key);
                        entry.insert(value)
                    }
                }
            }

            /// The value. Inserts a default one first if the key is absent.
            pub fn or_default(self) -> &'a mut V
            where
                V: Default,
            {
                self.or_insert_with(V::default)
            }

            /// Changes the value if the key is present.
            #[must_use]
            pub fn and_modify(mut self, change: impl FnOnce(&mut V)) -> Self {
                if let Entry::Occupied(entry) = &mut self {
                    change(entry.get_mut());
                }
                self
            }
        }

        impl<'a, K: $bound $(+ $also)? + Clone, V: Clone $(, $s: $hash)?> OccupiedEntry<'a, K, V $(, $s)?> {
            /// The key.
            pub fn key(&self) -> &K {
                &self.key
            }

            /// The value.
            pub fn get(&self) -> &V {
                &self.map.at(&self.place).1
            }

            /// The value, mutably.
            pub fn get_mut(&mut self) -> &mut V {
                &mut self.map.at_mut(&self.place).1
            }

            /// The value, mutably, for as long as the map is borrowed.
            pub fn into_mut(self) -> &'a mut V {
                &mut self.map.at_mut(&self.place).1
            }

            /// Replaces the value and returns the old one.
            pub fn insert(&mut self, value: V) -> V {
                core::mem::replace(self.get_mut(), value)
            }

            /// Removes the key and returns its value.
            pub fn remove(self) -> V {
                self.remove_entry().1
            }

            /// Removes the key and returns the map's key with its value.
            pub fn remove_entry(self) -> (K, V) {
                self.map.take_at(&self.place)
            }
        }

        impl<'a, K: $bound $(+ $also)? + Clone, V: Clone $(, $s: $hash)?> VacantEntry<'a, K, V $(, $s)?> {
            /// The key.
            pub fn key(&self) -> &K {
                &self.key
            }

            /// The key by value.
            pub fn into_key(self) -> K {
                self.key
            }

            /// Inserts a value.
            pub fn insert(self, value: V) -> &'a mut V {
                self.map.put_at(&self.place, self.key, value)
            }
        }
    };
}
pub(crate) use entries;
