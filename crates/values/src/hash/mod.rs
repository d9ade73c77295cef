//! [`HashMap`] and [`HashSet`]: hash maps and sets that are forked in O(1).

#[cfg(test)]
mod check;
mod differ;
mod entries;
mod entry;
mod iter;
#[cfg(feature = "serde")]
mod keep;
mod leaf;
mod map;
#[cfg(test)]
mod model;
mod node;
mod set;
mod traits;
mod trie;

pub use entry::{Entry, OccupiedEntry, VacantEntry};
pub use iter::{IntoIter, IntoKeys, IntoValues, Iter, IterMut, Keys, Values, ValuesMut};
pub use map::HashMap;
pub use set::HashSet;

/// The hasher of maps that name none: fast, seeded anew for each map, and no defence against an attacker who can
/// watch it; name `std`'s `RandomState` where keys come from one.
pub type RandomState = foldhash::fast::RandomState;

pub(crate) use node::Node;
