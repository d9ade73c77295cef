//! Restoring sharing: equal nodes of two trees become one.

use super::node::{Node, unique};
use super::shape::TreeMut;

/// Replaces nodes of `node` that equal their counterparts in `base`. Returns the bytes that this
/// shares.
///
/// Children are paired from both ends inwards, then by place, so that a change in the middle of a
/// node leaves the rest paired.
pub(crate) fn rebase<K: TreeMut>(
    node: &mut Node<K>,
    base: &Node<K>,
    eq: &impl Fn(&K::Item, &K::Item) -> bool,
) -> usize {
    if node.same(base) {
        return 0;
    }
    if node.height() > base.height() {
        let Node::Inner(arc) = node else { return 0 };
        return unique(arc).children.iter_mut().map(|child| rebase(child, base, eq)).sum();
    }
    if node.height() < base.height() {
        return base.children().iter().map(|child| rebase(node, child, eq)).sum();
    }
    let arc = match node {
        Node::Leaf(chunk) => {
            let items = base.items();
            if chunk.len() != items.len() || !chunk.items().iter().zip(items).all(|(a, b)| eq(a, b))
            {
                return 0;
            }
            let bytes = chunk.heap_bytes();
            *node = base.clone();
            return bytes;
        }
        Node::Inner(arc) => arc,
    };
    let inner = unique(arc);
    let (ours, theirs) = (inner.children.len(), base.children().len());
    let mut bytes = 0;
    let mut front = 0;
    while front < ours.min(theirs) {
        bytes += rebase(&mut inner.children[front], &base.children()[front], eq);
        if !inner.children[front].same(&base.children()[front]) {
            break;
        }
        front += 1;
    }
    let mut back = 0;
    while back < ours.min(theirs) - front {
        let (child, other) =
            (&mut inner.children[ours - 1 - back], &base.children()[theirs - 1 - back]);
        bytes += rebase(child, other, eq);
        if !child.same(other) {
            break;
        }
        back += 1;
    }
    for at in front..(ours - back).min(theirs.saturating_sub(back)) {
        bytes += rebase(&mut inner.children[at], &base.children()[at], eq);
    }
    let whole =
        ours == theirs && inner.children.iter().zip(base.children()).all(|(a, b)| a.same(b));
    if whole {
        bytes += node.heap_bytes();
        *node = base.clone();
    }
    bytes
}
