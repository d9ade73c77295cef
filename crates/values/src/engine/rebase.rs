//! Restoring sharing: equal nodes of two trees become one.

use super::kind::Grow;
use super::node::{Node, unique};

/// Replaces nodes of `node` that equal their counterparts in `base`; returns the bytes that are shared by it.
///
/// Children are paired from both ends inwards, then by place, so that a change in the middle of a node leaves the rest paired.
pub(crate) fn rebase<K: Grow>(
    node: &mut Node<K>,
    base: &Node<K>,
    eq: &impl Fn(&K::Item, &K::Item) -> bool,
) -> usize {
    if node.same(base) {
        return 0;
    }
    if node.height() > base.height() {
        let Node::Inner(arc) = node else { return 0 };
        return unique(arc).kids.iter_mut().map(|kid| rebase(kid, base, eq)).sum();
    }
    if node.height() < base.height() {
        return base.kids().iter().map(|kid| rebase(node, kid, eq)).sum();
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
    let (ours, theirs) = (inner.kids.len(), base.kids().len());
    let mut bytes = 0;
    let mut front = 0;
    while front < ours.min(theirs) {
        bytes += rebase(&mut inner.kids[front], &base.kids()[front], eq);
        if !inner.kids[front].same(&base.kids()[front]) {
            break;
        }
        front += 1;
    }
    let mut back = 0;
    while back < ours.min(theirs) - front {
        let (kid, other) = (&mut inner.kids[ours - 1 - back], &base.kids()[theirs - 1 - back]);
        bytes += rebase(kid, other, eq);
        if !kid.same(other) {
            break;
        }
        back += 1;
    }
    for at in front..(ours - back).min(theirs.saturating_sub(back)) {
        bytes += rebase(&mut inner.kids[at], &base.kids()[at], eq);
    }
    let whole = ours == theirs && inner.kids.iter().zip(base.kids()).all(|(a, b)| a.same(b));
    if whole {
        bytes += node.heap_bytes();
        *node = base.clone();
    }
    bytes
}
