//! Splitting a tree in two in O(log n).

use triomphe::Arc;

use super::join::concat;
use super::node::{Node, unique};
use super::path::Path;
use super::shape::TreeMut;

/// The items before a path, and those from it on.
pub(crate) fn split<K: TreeMut>(root: Node<K>, path: &Path) -> (Node<K>, Node<K>) {
    split_node(root, &path.steps, path.slot)
}

fn split_node<K: TreeMut>(node: Node<K>, steps: &[u8], slot: usize) -> (Node<K>, Node<K>) {
    let mut arc = match node {
        Node::Leaf(mut chunk) => {
            if slot == 0 {
                return (Node::default(), Node::Leaf(chunk));
            }
            if slot == chunk.len() {
                return (Node::Leaf(chunk), Node::default());
            }
            let right = chunk.split_off(slot);
            return (Node::Leaf(chunk), Node::Leaf(right));
        }
        Node::Inner(arc) => arc,
    };
    let inner = unique(&mut arc);
    let step = usize::from(steps[0]);
    let right = inner.split_off(step + 1);
    let Some(child) = inner.pop() else { unreachable!("a path names a child that exists") };
    let (before, after) = split_node(child, &steps[1..], slot);
    let left = Node::Inner(arc).plain();
    let right = Node::Inner(Arc::new(right)).plain();
    (concat(left, before), concat(after, right))
}
