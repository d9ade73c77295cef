//! What changed between two snapshots, by path.
//!
//! The store tells which entries differ and skips what the snapshots share, so the cost follows the
//! changes. They are gathered by inode; a path is then found by going up from the inode to its
//! directories.

mod change;
mod inodes;
mod names;
mod touched;

pub use change::{Change, NameChange, PathChange};
pub use inodes::diff;
pub use names::diff_names;
