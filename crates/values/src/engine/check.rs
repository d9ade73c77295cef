//! The structural checker of tests: order, occupancy, depth and counts, from scratch.

use super::kind::Kind;
use super::node::{Inner, Node};

/// Panics where an invariant of the tree does not hold. `fits` judges one mark: the items before the child, the item
/// before it, and the child's first.
pub(crate) fn check<K: Kind>(
    root: &Node<K>,
    fits: impl Fn(&K::Mark, &Inner<K>, usize) -> bool,
    soft: bool,
) {
    if let Node::Inner(inner) = root {
        assert!(inner.kids.len() > 1, "a root with one child");
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

fn node<K: Kind>(at: &Node<K>, fits: &impl Fn(&K::Mark, &Inner<K>, usize) -> bool, soft: bool) {
    match at {
        Node::Leaf(chunk) => {
            assert!(soft || chunk.len() <= K::LEAF, "a leaf of {} items", chunk.len());
        }
        Node::Inner(inner) => {
            assert!(!inner.kids.is_empty() && inner.kids.len() == inner.marks.len());
            assert_eq!(inner.len, inner.kids.iter().map(Node::len).sum::<usize>(), "length");
            for (step, kid) in inner.kids.iter().enumerate() {
                assert!(kid.len() > 0, "an empty child");
                assert_eq!(kid.height() + 1, inner.height, "height");
                assert!(fits(&inner.marks[step], inner, step), "mark {step}");
                node(kid, fits, soft);
            }
        }
    }
}
