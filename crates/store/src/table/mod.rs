//! The key-value door: named tables of a branch.
//!
//! A table is the part of a branch whose keys begin with the table's name. It comes with its first
//! entry and goes with its last; a fork forks all tables of a branch in O(1). Keys and values are
//! byte strings, and keys sort as such. The branch's raw map has a key space of its own: neither
//! sees nor changes what is in the other.

mod cursor;
mod diff;
mod name;
mod range;
mod read;
mod write;

pub use cursor::TableCursor;
pub use diff::{TableChange, TableDiff};
pub(crate) use name::Prefix;
pub use range::{TableEntry, TableRange};
pub use read::Table;
pub use write::TableMut;
