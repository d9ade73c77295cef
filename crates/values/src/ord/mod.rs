//! [`OrdMap`] and [`OrdSet`]: sorted maps and sets that are forked in O(1).

mod entry;
mod iter;
#[cfg(feature = "serde")]
mod keep;
mod kind;
mod map;
#[cfg(test)]
mod model;
mod set;
mod traits;

pub use entry::{Entry, OccupiedEntry, VacantEntry};
pub use iter::{
    IntoIter, IntoKeys, IntoValues, Iter, IterMut, Keys, Range, RangeMut, Values, ValuesMut,
};
pub use map::OrdMap;
pub use set::OrdSet;

pub(crate) use kind::Ordered;
