//! The keys that a node may hold, as the separators above it say.
//!
//! Pointers carry checksums, so no node leads to itself, but in a forged tree one node can stand in
//! many places: a few such levels make a walk that never ends. A key belongs to one place alone, so
//! a walk that checks each node on entry meets a node in a second place only to refuse it.

use super::entries::Entries;
use super::node::{Body, Node};
use crate::error::{Error, Result};

/// The keys from `low` on and below `high`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds<'k> {
    pub low: &'k [u8],
    pub high: Option<&'k [u8]>,
}

impl<'k> Bounds<'k> {
    /// Those of a root.
    pub const ALL: Bounds<'static> = Bounds { low: &[], high: None };

    /// Those of child `at` of a node with these bounds. What sorts before the first key belongs to
    /// the first child too.
    pub fn of_child(self, keys: &'k Entries, at: usize) -> Bounds<'k> {
        Bounds {
            low: if at == 0 { self.low } else { keys.key(at) },
            high: if at + 1 < keys.len() { Some(keys.key(at + 1)) } else { self.high },
        }
    }

    /// Those of the child that a path leads to: each step is a node and the child gone down to,
    /// from the root on.
    pub fn below(path: impl DoubleEndedIterator<Item = (&'k Node, usize)>) -> Bounds<'k> {
        let (mut low, mut high) = (None, None);
        for (node, at) in path.rev() {
            let Body::Inner { keys, .. } = &node.body else { continue };
            if low.is_none() && at > 0 {
                low = Some(keys.key(at));
            }
            if high.is_none() && at + 1 < keys.len() {
                high = Some(keys.key(at + 1));
            }
            if low.is_some() && high.is_some() {
                break;
            }
        }
        Bounds { low: low.unwrap_or_default(), high }
    }

    /// Refuses a node that holds other keys, or none: only the root of an empty tree does.
    pub fn admit(&self, node: &Node) -> Result<()> {
        let inside = match &node.body {
            Body::Leaf(entries) => entries.len() > 0 && self.hold(entries, 0),
            // The first separator says nothing.
            Body::Inner { keys, .. } if keys.len() > 1 => {
                self.low < keys.key(1) && self.hold(keys, 1)
            }
            Body::Inner { .. } => self.high.is_none_or(|high| self.low < high),
        };
        if inside {
            return Ok(());
        }
        let what = "a tree node stands where its keys do not belong";
        Err(match node.place.get() {
            Some(ptr) => Error::damaged_at(ptr.addr, what),
            None => Error::damaged(what),
        })
    }

    /// Returns `true` if the keys from the one at `first` on lie within.
    fn hold(&self, keys: &Entries, first: usize) -> bool {
        keys.key(first) >= self.low && self.high.is_none_or(|high| keys.key(keys.len() - 1) < high)
    }
}
