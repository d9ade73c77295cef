//! Checks the structure of a trie for tests: places, runs of slots, sizes and counts.

use core::fmt::Debug;

use super::node::{DEPTH_MAX, Node, SLOTS, leaf_max, slot, span};

/// Panics if an invariant of the trie does not hold.
pub(crate) fn check<K: Eq + Debug, V>(root: &Node<K, V>, rank: &impl Fn(&K) -> u32) {
    node(root, 0, rank, &|_| true);
}

fn node<K: Eq + Debug, V>(
    at: &Node<K, V>,
    depth: u32,
    rank: &impl Fn(&K) -> u32,
    covers: &dyn Fn(u32) -> bool,
) {
    let Some(slots) = at.slots() else {
        let Node::Leaf(leaf) = at else { unreachable!() };
        assert!(leaf.len() <= leaf_max::<K, V>() || depth == DEPTH_MAX, "{} entries", leaf.len());
        for (place, (key, _)) in leaf.entries().iter().enumerate() {
            assert_eq!(leaf.hash(place), rank(key), "hash of {key:?}");
            assert!(covers(rank(key)), "{key:?} in the wrong leaf");
            assert_eq!(leaf.find(rank(key), key), Some(place), "{key:?} twice");
        }
        return;
    };
    assert_eq!(at.len(), at.children().iter().map(Node::len).sum::<usize>(), "length");
    assert!(
        at.children().len() > 1 || !matches!(at.children(), [Node::Leaf(_)]),
        "one leaf below a branch"
    );
    let mut start = 0;
    for child in at.children() {
        let run = span(slots, start);
        let width = run.len() as u32;
        assert!(run.start == start && width.is_power_of_two() && start % width == 0, "{run:?}");
        assert!(width == 1 || matches!(child, Node::Leaf(_)), "a branch over {width} slots");
        let within = |hash: u32| covers(hash) && run.contains(&slot(hash, depth));
        node(child, depth + 1, rank, &within);
        start = run.end;
    }
    assert_eq!(start as usize, SLOTS, "slots without a child");
}
