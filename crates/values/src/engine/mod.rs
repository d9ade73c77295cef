//! The tree behind sequences, texts and ordered maps: a copy-on-write B+tree whose nodes are
//! reference counted.
//!
//! Items lie in leaves ([`chunk`]). Inner nodes ([`node`]) hold up to [`shape::TreeShape::FANOUT`]
//! children and a *mark* before each: the position of the child's first item for sequences, a lower
//! bound of its keys for maps. What differs between collections is a [`shape::TreeShape`]. A node
//! with one owner changes in place. A shared node is copied first, so a write copies at most the
//! path from the root.
//!
//! Invariants:
//! * All leaves are at one depth, and no node below the root is empty.
//! * Marks `1..` of a node separate its children. Mark 0 separates nothing, and may be anything for
//!   maps.
//! * `len` of a node is the sum over its children.
//!
//! None of the user's code (`Clone`, `Ord`, `Drop`) runs while these are broken. What needs it
//! happens before the first change, and unwinding leaves the old value or the new one.

pub(crate) mod align;
pub(crate) mod build;
pub(crate) mod chunk;
pub(crate) mod cursor;
pub(crate) mod fixed_vec;
pub(crate) mod insert;
pub(crate) mod iter;
pub(crate) mod iter_mut;
pub(crate) mod join;
pub(crate) mod length;
pub(crate) mod node;
pub(crate) mod path;
#[cfg(feature = "serde")]
pub(crate) mod rebase;
pub(crate) mod remove;
pub(crate) mod shape;
pub(crate) mod split;
pub(crate) mod tree;

#[cfg(test)]
pub(crate) mod check;
