//! What two tries do not share, slot against slot. The cost is proportional to what differs.

use core::ops::{ControlFlow, Range};
use core::slice::from_ref;

use super::node::{Node, SLOTS, Slots, span};

/// An entry of the older trie, of the newer, or one of each with the same key.
pub(crate) type Pair<'a, K, V> = (Option<&'a (K, V)>, Option<&'a (K, V)>);

/// Calls `differ` with what two tries of one hasher do not share, each key once, until it breaks.
pub(crate) fn pair_up<'a, K: Eq, V, B>(
    ours: &'a Node<K, V>,
    theirs: &'a Node<K, V>,
    mut differ: impl FnMut(Pair<'a, K, V>) -> ControlFlow<B>,
) -> ControlFlow<B> {
    nodes(ours, theirs, 0, &mut differ)
}

/// Two nodes that cover the same hashes, below `depth` branches.
fn nodes<'a, K: Eq, V, B>(
    ours: &'a Node<K, V>,
    theirs: &'a Node<K, V>,
    depth: u32,
    differ: &mut impl FnMut(Pair<'a, K, V>) -> ControlFlow<B>,
) -> ControlFlow<B> {
    if ours.same(theirs) {
        return ControlFlow::Continue(());
    }
    let (Some(slots), Some(also)) = (ours.slots(), theirs.slots()) else {
        return runs((ours, from_ref(ours)), (theirs, from_ref(theirs)), depth, differ);
    };
    let mut slot = 0;
    while slot < SLOTS as u32 {
        let (a, b) = (span(slots, slot), span(also, slot));
        let end = a.end.max(b.end);
        let ours_there = (ours, part(ours, slots, slot..end));
        let theirs_there = (theirs, part(theirs, also, slot..end));
        match (ours_there.1, theirs_there.1) {
            ([a], [b]) => nodes(a, b, depth + 1, differ)?,
            _ => runs(ours_there, theirs_there, depth, differ)?,
        }
        slot = end;
    }
    ControlFlow::Continue(())
}

/// The children that cover a run of slots.
fn part<'a, K, V>(node: &'a Node<K, V>, slots: &Slots, run: Range<u32>) -> &'a [Node<K, V>] {
    let (first, last) = (slots[run.start as usize], slots[run.end as usize - 1]);
    &node.children()[usize::from(first)..=usize::from(last)]
}

/// A node, and those of its parts that are compared entry by entry with the other side. At least
/// one side is a leaf.
type Side<'a, K, V> = (&'a Node<K, V>, &'a [Node<K, V>]);

fn runs<'a, K: Eq, V, B>(
    ours: Side<'a, K, V>,
    theirs: Side<'a, K, V>,
    depth: u32,
    differ: &mut impl FnMut(Pair<'a, K, V>) -> ControlFlow<B>,
) -> ControlFlow<B> {
    for node in ours.1 {
        each(node, &mut |hash, entry| differ((Some(entry), theirs.0.find(hash, depth, &entry.0))))?;
    }
    for node in theirs.1 {
        each(node, &mut |hash, entry| match ours.0.find(hash, depth, &entry.0) {
            Some(_) => ControlFlow::Continue(()),
            None => differ((None, Some(entry))),
        })?;
    }
    ControlFlow::Continue(())
}

fn each<'a, K, V, B>(
    node: &'a Node<K, V>,
    visit: &mut dyn FnMut(u32, &'a (K, V)) -> ControlFlow<B>,
) -> ControlFlow<B> {
    if let Node::Leaf(leaf) = node {
        for (at, entry) in leaf.entries().iter().enumerate() {
            visit(leaf.hash(at), entry)?;
        }
    }
    node.children().iter().try_for_each(|child| each(child, visit))
}
