//! [`OrdMap`] and [`OrdSet`]: sorted maps and sets that are forked in O(1).

mod entry;
mod iter;
mod map;
#[cfg(test)]
mod model;
#[cfg(feature = "serde")]
mod persist;
mod set;
mod shape;
mod traits;

pub use entry::{Entry, OccupiedEntry, VacantEntry};
pub use iter::{
    IntoIter, IntoKeys, IntoValues, Iter, IterMut, Keys, Range, RangeMut, Values, ValuesMut,
};
pub use map::OrdMap;
pub use set::OrdSet;

pub(crate) use shape::Ordered;
