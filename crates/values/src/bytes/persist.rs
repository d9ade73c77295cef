//! Byte strings in a node store: as sequences of bytes.

use alloc::vec::Vec;

use super::{Bytes, Repr};
use crate::persist::{Persist, Restore};
use crate::seq::Seq;

impl Restore for Bytes {
    fn nodes(&self) -> Self::Node {
        self.seq().tree.root
    }

    fn leaf(_like: &Self, items: Vec<u8>) -> Option<Self::Node> {
        Seq::leaf(&Seq::new(), items)
    }

    fn restore(_like: &Self, root: Self::Node) -> Option<Self> {
        Seq::restore(&Seq::new(), root).map(Bytes::from)
    }
}

impl Persist for Bytes {
    fn rebase_on(&mut self, base: &Self) -> usize {
        match (&mut self.0, &base.0) {
            (Repr::Tree(ours), Repr::Tree(base)) => ours.rebase_on(base),
            _ => 0,
        }
    }
}
