//! The hash set: a hash map without values.

use core::borrow::Borrow;
use core::fmt;
use core::hash::{BuildHasher, Hash};

use super::RandomState;
use super::iter::{IntoIter, Keys};
use super::map::HashMap;
use crate::changes::{MapDiff, MapPatch, PatchError};
use crate::sets::set_of;

/// A set by hash with O(1) `clone`. Costs are those of [`HashMap`].
///
/// # When not to use it
///
/// For a set that is never forked use `std`'s `HashSet`.
///
/// # Example
///
/// ```
/// use tine_values::HashSet;
///
/// let known: HashSet<&str> = ["a", "b"].into_iter().collect();
/// let mut seen = known.clone();
/// assert!(seen.insert("c"));
/// assert!(!known.contains("c"));
/// ```
pub struct HashSet<T, S = RandomState> {
    pub(crate) map: HashMap<T, (), S>,
}

set_of!(HashSet, HashMap, Hash + Eq, S: BuildHasher);

impl<T> HashSet<T> {
    /// Makes an empty set, without allocation.
    pub fn new() -> Self {
        Self::default()
    }
}

impl<T, S> HashSet<T, S> {
    /// Makes an empty set with the given hasher.
    pub const fn with_hasher(hasher: S) -> Self {
        HashSet { map: HashMap::with_hasher(hasher) }
    }

    /// The hasher.
    pub const fn hasher(&self) -> &S {
        &self.map.hasher
    }
}

impl<T: Hash + Eq, S: BuildHasher> HashSet<T, S> {
    /// The items that are in one or both, each once.
    pub fn union<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = &'a T> {
        self.iter().chain(other.difference(self))
    }

    /// The items that are in only one of both.
    pub fn symmetric_difference<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = &'a T> {
        self.difference(other).chain(other.difference(self))
    }
}

impl<T: Hash + Eq + Clone, S: BuildHasher> HashSet<T, S> {
    /// Removes all items and returns them. They are removed at once, not as they are drawn.
    pub fn drain(&mut self) -> impl Iterator<Item = T> {
        self.map.drain().map(|(item, ())| item)
    }
}

impl<T, S: Default> Default for HashSet<T, S> {
    fn default() -> Self {
        HashSet { map: HashMap::default() }
    }
}

impl<T: Hash + Eq + Clone, S: BuildHasher + Default> FromIterator<T> for HashSet<T, S> {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        HashSet { map: items.into_iter().map(|item| (item, ())).collect() }
    }
}

impl<T: Hash + Eq + Clone, const N: usize> From<[T; N]> for HashSet<T> {
    fn from(items: [T; N]) -> Self {
        items.into_iter().collect()
    }
}
