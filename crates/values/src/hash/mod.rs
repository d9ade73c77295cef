//! [`HashMap`] and [`HashSet`]: hash maps and sets that are forked in O(1).

mod entry;
mod iter;
mod kind;
mod map;
#[cfg(test)]
mod model;
mod set;
mod traits;

pub use entry::{Entry, OccupiedEntry, VacantEntry};
pub use iter::{IntoIter, Iter, IterMut, Keys, Values, ValuesMut};
pub use map::HashMap;
pub use set::HashSet;

/// The hasher of maps that name none: fast, seeded anew for each map, and no defence against an attacker who can
/// watch it; name `std`'s `RandomState` where keys come from one.
pub type RandomState = foldhash::fast::RandomState;

pub(crate) use kind::Hashed;
#[cfg(any(feature = "serde", feature = "rayon"))]
pub(crate) use kind::Slot;
#[cfg(feature = "serde")]
pub(crate) use kind::rank;
