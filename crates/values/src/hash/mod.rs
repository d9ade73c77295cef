//! [`HashMap`] and [`HashSet`]: hash maps and sets that are forked in O(1).

#[cfg(test)]
mod check;
mod differ;
mod entries;
mod entry;
mod iter;
mod leaf;
mod map;
#[cfg(test)]
mod model;
mod node;
#[cfg(feature = "serde")]
mod persist;
mod set;
mod traits;
mod trie;

pub use entry::{Entry, OccupiedEntry, VacantEntry};
pub use iter::{IntoIter, IntoKeys, IntoValues, Iter, IterMut, Keys, Values, ValuesMut};
pub use map::HashMap;
pub use set::HashSet;

/// The default hasher: fast, and seeded anew for each map. It is no defence against an attacker
/// that can observe it. Use `std`'s `RandomState` for keys that an attacker chooses.
pub type RandomState = foldhash::fast::RandomState;

pub(crate) use node::Node;
