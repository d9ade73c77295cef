//! Collections that are forked instead of copied.
//!
//! `clone` is O(1): it counts one reference. A value with one owner changes in place. A shared
//! value copies the path to what is written, and the rest stays shared. In addition, every type
//! finds what differs between two forks ([`Seq::diff`], [`OrdMap::diff`]), merges two forks of one
//! base, counts the bytes that versions share, and can be stored node by node.
//!
//! The crate stands alone: it knows nothing of files, stores or memory pages, uses only `alloc`,
//! and has no `unsafe` code.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

/// The guide. Its examples run as tests.
#[cfg(all(doctest, feature = "serde"))]
#[doc = include_str!("../../../docs/values.md")]
mod guide {}

mod bytes;
mod changes;
mod engine;
mod entry;
pub mod hash;
mod iterators;
#[cfg(test)]
mod model;
pub mod ord;
#[cfg(feature = "rayon")]
mod parallel;
#[cfg(feature = "serde")]
pub mod persist;
pub mod seq;
#[cfg(feature = "serde")]
mod serial;
mod sets;
#[cfg(feature = "stats")]
pub mod stats;
#[cfg(not(feature = "stats"))]
mod stats;
pub mod text;
mod usage;

pub use bytes::Bytes;
pub use changes::{Change, Conflict, MapDiff, MapPatch, PatchError};
pub use hash::{HashMap, HashSet};
pub use ord::{OrdMap, OrdSet};
pub use seq::Seq;
pub use text::Text;
pub use usage::{Added, Tracker, Usage, Value};
