//! The place of one key in a [`HashMap`].

use core::hash::{BuildHasher, Hash};

use super::RandomState;
use super::map::{HashMap, Taken};

/// The place of a key, taken or free.
pub enum Entry<'a, K, V, S = RandomState> {
    /// The map holds the key.
    Occupied(OccupiedEntry<'a, K, V, S>),
    /// The map does not hold the key.
    Vacant(VacantEntry<'a, K, V, S>),
}

/// A key that the map holds.
pub struct OccupiedEntry<'a, K, V, S = RandomState> {
    map: &'a mut HashMap<K, V, S>,
    key: K,
    place: Taken,
}

/// A key that the map does not hold.
pub struct VacantEntry<'a, K, V, S = RandomState> {
    map: &'a mut HashMap<K, V, S>,
    key: K,
    /// Its hash.
    place: u32,
}

crate::entry::entries!(HashMap, Hash + Eq, S: BuildHasher);
