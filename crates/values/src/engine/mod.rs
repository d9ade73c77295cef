//! The tree behind sequences, texts and ordered maps: a copy-on-write B+tree whose nodes count their owners.
//!
//! Items lie in leaves ([`chunk`]); inner nodes ([`node`]) hold up to [`kind::Kind::FANOUT`] children and a *mark* before
//! each: the position of the child's first item for sequences, a lower bound of its keys for maps. What differs
//! between collections is a [`kind::Kind`]. A node with one owner changes in place; a shared node is copied
//! first, so a write copies the path from the root at most.
//!
//! Invariants: all leaves at one depth; no empty node below the root; marks `1..` of a node separate its children
//! (mark 0 separates nothing and may be anything for maps); `len` of a node is the sum over its children.
//! Nothing of the user's (`Clone`, `Ord`, `Drop`) runs while these are broken: what it is needed for
//! happens before the first change, and unwinding leaves the old value or the new one.

pub(crate) mod align;
pub(crate) mod build;
pub(crate) mod chunk;
pub(crate) mod cursor;
pub(crate) mod insert;
pub(crate) mod iter;
pub(crate) mod iter_mut;
pub(crate) mod join;
pub(crate) mod kind;
pub(crate) mod length;
pub(crate) mod node;
pub(crate) mod path;
#[cfg(feature = "serde")]
pub(crate) mod rebase;
pub(crate) mod remove;
pub(crate) mod room;
pub(crate) mod split;
pub(crate) mod tree;

#[cfg(test)]
pub(crate) mod check;
