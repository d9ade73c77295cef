//! What differs between two maps, key by key. Ordered maps, hash maps and sets use it.

use alloc::string::{String, ToString};
use alloc::vec::{self, Vec};
use core::fmt;
use core::slice;

/// A key on which two maps differ. `K` and `V` are references in a diff and owned in a patch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Change<K, V> {
    /// Only the newer map has the key, with this value.
    Added(K, V),
    /// Only the older map has the key, with this value.
    Removed(K, V),
    /// Both have the key: the older value, then the newer.
    Changed(K, V, V),
}

impl<K, V> Change<K, V> {
    /// The key that differs.
    pub fn key(&self) -> &K {
        match self {
            Change::Added(key, _) | Change::Removed(key, _) | Change::Changed(key, _, _) => key,
        }
    }

    /// The value before, if the key was there.
    pub fn before(&self) -> Option<&V> {
        match self {
            Change::Added(..) => None,
            Change::Removed(_, old) | Change::Changed(_, old, _) => Some(old),
        }
    }

    /// The value after, if the key is still there.
    pub fn after(&self) -> Option<&V> {
        match self {
            Change::Removed(..) => None,
            Change::Added(_, new) | Change::Changed(_, _, new) => Some(new),
        }
    }
}

impl<K: Clone, V: Clone> Change<&K, &V> {
    fn to_owned(self) -> Change<K, V> {
        match self {
            Change::Added(key, new) => Change::Added(key.clone(), new.clone()),
            Change::Removed(key, old) => Change::Removed(key.clone(), old.clone()),
            Change::Changed(key, old, new) => {
                Change::Changed(key.clone(), old.clone(), new.clone())
            }
        }
    }
}

/// The changes from an older map to a newer one, borrowed from both, in the order of the maps.
#[derive(Clone, Debug)]
pub struct MapDiff<'a, K, V> {
    pub(crate) changes: Vec<Change<&'a K, &'a V>>,
}

impl<'a, K, V> MapDiff<'a, K, V> {
    /// Number of keys that differ.
    pub fn len(&self) -> usize {
        self.changes.len()
    }

    /// Returns `true` if the maps are equal.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// The changes in order.
    pub fn iter(&self) -> slice::Iter<'_, Change<&'a K, &'a V>> {
        self.changes.iter()
    }

    /// The same changes with owned keys and values, to store or to apply elsewhere.
    pub fn to_patch(&self) -> MapPatch<K, V>
    where
        K: Clone,
        V: Clone,
    {
        MapPatch { changes: self.changes.iter().map(|change| change.to_owned()).collect() }
    }
}

impl<'a, K, V> IntoIterator for MapDiff<'a, K, V> {
    type Item = Change<&'a K, &'a V>;
    type IntoIter = vec::IntoIter<Self::Item>;

    fn into_iter(self) -> Self::IntoIter {
        self.changes.into_iter()
    }
}

/// Changes of a map, with owned keys and values. [`MapDiff::to_patch`] makes them, and `apply` uses
/// them.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct MapPatch<K, V> {
    /// The changes, at most one for each key.
    pub changes: Vec<Change<K, V>>,
}

/// A patch does not fit the value that it was applied to. The value is unchanged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PatchError {
    at: usize,
    why: String,
}

impl PatchError {
    pub(crate) fn new(at: usize, why: impl ToString) -> Self {
        PatchError { at, why: why.to_string() }
    }

    /// Index of the first change in the patch that does not fit.
    pub fn at(&self) -> usize {
        self.at
    }
}

impl fmt::Display for PatchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "change {} of the patch does not fit: {}; apply it to the value that it was made from, or merge instead",
            self.at, self.why
        )
    }
}

impl core::error::Error for PatchError {}

/// A key that two forks changed in different ways, with the value that base and forks have (`None`
/// if the key is absent).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conflict<'a, K, V> {
    /// The key.
    pub key: &'a K,
    /// Its value in the common base.
    pub base: Option<&'a V>,
    /// Its value in our fork.
    pub ours: Option<&'a V>,
    /// Its value in the other fork.
    pub theirs: Option<&'a V>,
}

/// Methods of maps that need only look-up, `insert`, `remove` and `diff`.
macro_rules! changes_of_maps {
    () => {
        /// Makes the changes of a patch, in O(log n) each.
        ///
        /// # Errors
        ///
        /// Fails if an old value of the patch is not what this map has for its key. The map is
        /// unchanged then.
        pub fn apply(&mut self, patch: &MapPatch<K, V>) -> Result<(), PatchError> {
            let mut patched = self.clone();
            for (at, change) in patch.changes.iter().enumerate() {
                if patched.get(change.key()) != change.before() {
                    let why = match change {
                        Change::Added(..) => "a key to add is there already",
                        Change::Removed(..) => "a key to remove is absent or has another value",
                        Change::Changed(..) => "a key to change is absent or has another value",
                    };
                    return Err(PatchError::new(at, why));
                }
                match change.after() {
                    Some(new) => drop(patched.insert(change.key().clone(), new.clone())),
                    None => drop(patched.remove(change.key())),
                }
            }
            *self = patched;
            Ok(())
        }

        /// Merges two forks of one base. A key that only one fork changed gets its value, a key
        /// that both changed in the same way gets theirs, and `resolve` decides on the others
        /// (`None` removes the key). The cost is proportional to what differs between `base` and
        /// `theirs`.
        #[must_use]
        pub fn merge3(
            base: &Self,
            ours: &Self,
            theirs: &Self,
            mut resolve: impl FnMut(Conflict<'_, K, V>) -> Option<V>,
        ) -> Self {
            let mut merged = ours.clone();
            for change in base.diff(theirs) {
                let (key, base, theirs) = (*change.key(), change.before(), change.after());
                let ours = ours.get(key);
                let (base, theirs) = (base.copied(), theirs.copied());
                if ours == theirs {
                    continue;
                }
                let value = if ours == base {
                    theirs.cloned()
                } else {
                    resolve(Conflict { key, base, ours, theirs })
                };
                match value {
                    Some(value) => drop(merged.insert(key.clone(), value)),
                    None => drop(merged.remove(key)),
                }
            }
            merged
        }
    };
}
pub(crate) use changes_of_maps;

/// Turns the pair that [`crate::engine::cursor::pair_up`] finds into a change.
pub(crate) fn gather<'a, K, V: Eq>(
    changes: &mut Vec<Change<&'a K, &'a V>>,
    old: Option<(&'a K, &'a V)>,
    new: Option<(&'a K, &'a V)>,
) {
    match (old, new) {
        (Some((key, old)), Some((_, new))) if old != new => {
            changes.push(Change::Changed(key, old, new));
        }
        (Some((key, old)), None) => changes.push(Change::Removed(key, old)),
        (None, Some((key, new))) => changes.push(Change::Added(key, new)),
        _ => {}
    }
}
