//! The copy-on-write B+tree (Rodeh, *B-trees, Shadowing, and Clones*, ACM TOS 3(4), 2008).
//!
//! Nodes are immutable in an `Arc` as soon as a second owner exists: a reader, a fork or a running
//! checkpoint. A writer that owns the whole path alone changes nodes in place; else it shadows:
//! copies the node, and tells the [`ShadowPolicy`] that the copy superseded it. The tree knows
//! nothing of branches, counts or space.

mod batch;
mod bounds;
mod cursor;
mod diff;
mod edit;
mod entries;
mod extent_map;
mod node;
mod nodes;
mod root;

pub(crate) use batch::{Change, paths};
pub(crate) use bounds::Bounds;
pub(crate) use cursor::{Cursor, Found, find_below, get, rank};
pub(crate) use diff::{Difference, RawChange};
pub(crate) use edit::{ShadowPolicy, Tree};
pub(crate) use entries::Entries;
pub(crate) use extent_map::{Mapped, NewRun, map_key, map_runs, values_in_map};
pub(crate) use node::{Body, Child, Link, Node, Sums};
pub(crate) use nodes::Nodes;
pub(crate) use root::Root;
