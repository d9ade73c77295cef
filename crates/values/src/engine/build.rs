//! Building a tree from items in order, bottom-up: full leaves, then level over level.

use alloc::vec::Vec;

use super::chunk::Chunk;
use super::node::{Inner, Node, Nodes};
use super::shape::TreeMut;

/// Makes a tree of items that are already in the tree's order.
pub(crate) fn build<K: TreeMut>(items: impl IntoIterator<Item = K::Item>) -> Node<K> {
    over(leaves(items))
}

fn leaves<K: TreeMut>(items: impl IntoIterator<Item = K::Item>) -> Nodes<K> {
    let mut leaves = Vec::new();
    let mut open: Vec<K::Item> = Vec::new();
    for item in items {
        open.push(item);
        if open.len() > K::LEAF {
            let at = K::split_point(&open, K::LEAF);
            if at > 0 && at < open.len() {
                leaves.push(Node::Leaf(Chunk::of(at, &mut open.drain(..at))));
            }
        }
    }
    if !open.is_empty() {
        leaves.push(Node::Leaf(Chunk::of(open.len(), &mut open.drain(..))));
    }
    leaves
}

/// Makes a tree over nodes of one height.
pub(crate) fn over<K: TreeMut>(mut nodes: Nodes<K>) -> Node<K> {
    while nodes.len() > 1 {
        let mut rest = nodes.into_iter();
        nodes = Vec::new();
        while rest.len() > 0 {
            // Parents are full, except that the last one must not be thin.
            let last =
                if rest.len() < K::FANOUT * 3 / 2 { rest.len().div_ceil(2) } else { K::FANOUT };
            let count = if rest.len() <= K::FANOUT { rest.len() } else { last };
            nodes.push(Inner::over(rest.by_ref().take(count)));
        }
    }
    nodes.pop().unwrap_or_default()
}
