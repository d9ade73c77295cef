//! The place of one key in an [`OrdMap`].

use super::map::OrdMap;

/// The place of a key, taken or free.
pub enum Entry<'a, K, V> {
    /// The map holds the key.
    Occupied(OccupiedEntry<'a, K, V>),
    /// The map does not hold the key.
    Vacant(VacantEntry<'a, K, V>),
}

/// A key that the map holds.
pub struct OccupiedEntry<'a, K, V> {
    map: &'a mut OrdMap<K, V>,
    key: K,
}

/// A key that the map does not hold.
pub struct VacantEntry<'a, K, V> {
    map: &'a mut OrdMap<K, V>,
    key: K,
}

crate::entry::entries!(OrdMap, Ord);
