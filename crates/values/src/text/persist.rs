//! Texts in a node store.

use alloc::vec::Vec;

use super::{Repr, Text, Utf8};
use crate::engine::node::Node;
use crate::engine::rebase::rebase;
use crate::engine::tree::Tree;
use crate::persist::{Persist, Restore, leaf};

impl Restore for Text {
    fn nodes(&self) -> Node<Utf8> {
        self.tree().root
    }

    /// Checks the leaf alone: each leaf of a text is valid UTF-8 by itself.
    fn leaf(_like: &Self, items: Vec<u8>) -> Option<Node<Utf8>> {
        core::str::from_utf8(&items).is_ok().then(|| leaf(items))
    }

    fn restore(_like: &Self, root: Node<Utf8>) -> Option<Self> {
        Some(Text::of(Tree { root }))
    }
}

impl Persist for Text {
    fn rebase_on(&mut self, base: &Self) -> usize {
        match (&mut self.0, &base.0) {
            (Repr::Tree(ours), Repr::Tree(base)) => rebase(&mut ours.root, &base.root, &u8::eq),
            _ => 0,
        }
    }
}
