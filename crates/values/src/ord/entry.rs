//! The place of one key in an [`OrdMap`].

use super::map::OrdMap;
use crate::engine::path::Path;

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
    place: Path,
}

/// A key that the map does not hold.
pub struct VacantEntry<'a, K, V> {
    map: &'a mut OrdMap<K, V>,
    key: K,
    /// Where the key would be.
    place: Path,
}

crate::entry::entries!(OrdMap, Ord);
