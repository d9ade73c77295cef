//! Building a tree from items in order, bottom-up: full leaves, then level over level.

use alloc::vec::Vec;

use super::chunk::Chunk;
use super::kind::Grow;
use super::node::{Inner, Node, Nodes};

/// A tree of items that are already in the order of their kind.
pub(crate) fn build<K: Grow>(items: impl IntoIterator<Item = K::Item>) -> Node<K> {
    over(leaves(items))
}

fn leaves<K: Grow>(items: impl IntoIterator<Item = K::Item>) -> Nodes<K> {
    let mut leaves = Vec::new();
    let mut open: Vec<K::Item> = Vec::new();
    for item in items {
        open.push(item);
        if open.len() > K::LEAF {
            let cut = K::cut(&open, K::LEAF);
            if cut > 0 && cut < open.len() {
                leaves.push(Node::Leaf(Chunk::of(cut, &mut open.drain(..cut))));
            }
        }
    }
    if !open.is_empty() {
        leaves.push(Node::Leaf(Chunk::of(open.len(), &mut open.drain(..))));
    }
    leaves
}

/// A tree over nodes of one height.
pub(crate) fn over<K: Grow>(mut nodes: Nodes<K>) -> Node<K> {
    while nodes.len() > 1 {
        let mut rest = nodes.into_iter();
        nodes = Vec::new();
        while rest.len() > 0 {
            // Full, but that the last parent is not thin.
            let last =
                if rest.len() < K::FANOUT * 3 / 2 { rest.len().div_ceil(2) } else { K::FANOUT };
            let count = if rest.len() <= K::FANOUT { rest.len() } else { last };
            nodes.push(Inner::over(rest.by_ref().take(count)));
        }
    }
    nodes.pop().unwrap_or_default()
}
