//! Checks the structure of a tree for tests: order, occupancy, depth and counts.

use super::node::{Inner, Node};
use super::shape::TreeShape;

/// Panics if an invariant of the tree does not hold. `fits` checks the mark of one child of a node.
pub(crate) fn check<K: TreeShape>(
    root: &Node<K>,
    fits: impl Fn(&K::Mark, &Inner<K>, usize) -> bool,
    soft: bool,
) {
    if let Node::Inner(inner) = root {
        assert!(inner.children.len() > 1, "a root with one child");
        let leaves = root.len() as f64 / (K::LEAF as f64 / 4.0);
        assert!(
            f64::from(inner.height) <= leaves.max(2.0).log(K::FANOUT as f64 / 2.0).ceil() + 3.0,
            "{} items at height {}",
            root.len(),
            inner.height
        );
    }
    node(root, &fits, soft);
}

fn node<K: TreeShape>(
    at: &Node<K>,
    fits: &impl Fn(&K::Mark, &Inner<K>, usize) -> bool,
    soft: bool,
) {
    match at {
        Node::Leaf(chunk) => {
            assert!(soft || chunk.len() <= K::LEAF, "a leaf of {} items", chunk.len());
        }
        Node::Inner(inner) => {
            assert!(!inner.children.is_empty() && inner.children.len() == inner.marks.len());
            assert_eq!(inner.len, inner.children.iter().map(Node::len).sum::<usize>(), "length");
            for (step, child) in inner.children.iter().enumerate() {
                assert!(child.len() > 0, "an empty child");
                assert_eq!(child.height() + 1, inner.height, "height");
                assert!(fits(&inner.marks[step], inner, step), "mark {step}");
                node(child, fits, soft);
            }
        }
    }
}
