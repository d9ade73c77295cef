//! The trie behind hash maps and sets: entries under 32 bits of their hash, in copy-on-write nodes.
//!
//! Invariants:
//! * A child covers an aligned power of two of its branch's slots. A branch below another covers
//!   exactly one.
//! * An entry lies in the leaf that covers its hash.
//! * Leaves hold at most [`leaf_max`] entries, except where the hash has no more bits.
//! * `len` of a branch is the sum over its children.
//!
//! None of the user's code (`Clone`, `Eq`, `Hash`, `Drop`) runs while these are broken.

use alloc::vec::Vec;
use core::borrow::Borrow;
use core::hash::{BuildHasher, Hash};
use core::mem;
use core::ops::Range;

use super::entries::Entries;
use super::leaf::Leaf;
use super::node::{DEPTH_MAX, Node, SLOTS, Slots, leaf_max, slot, span};

/// The bits of a hash that place an entry, mixed for hashers that leave some bits unused.
#[inline]
pub(crate) fn rank<S: BuildHasher, Q: Hash + ?Sized>(hasher: &S, key: &Q) -> u32 {
    let hash = hasher.hash_one(key);
    (hash.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as u32
}

pub(crate) struct Trie<K, V> {
    pub(crate) root: Node<K, V>,
}

impl<K, V> Clone for Trie<K, V> {
    #[inline]
    fn clone(&self) -> Self {
        Trie { root: self.root.clone() }
    }
}

impl<K, V> Default for Trie<K, V> {
    fn default() -> Self {
        Trie::new()
    }
}

impl<K, V> Trie<K, V> {
    pub(crate) const fn new() -> Self {
        Trie { root: Node::Leaf(Leaf::Empty) }
    }

    #[inline]
    pub(crate) fn find<Q: Eq + ?Sized>(&self, hash: u32, key: &Q) -> Option<&(K, V)>
    where
        K: Borrow<Q>,
    {
        self.root.find(hash, 0, key)
    }

    /// All entries.
    pub(crate) fn entries(&self) -> Entries<'_, K, V> {
        Entries::new(&self.root)
    }

    /// The leaves as slices.
    #[cfg(feature = "rayon")]
    pub(crate) fn leaves(&self) -> impl Iterator<Item = &[(K, V)]> {
        self.entries().leaves()
    }

    /// The place of a key in its leaf.
    #[inline]
    pub(crate) fn place<Q: Eq + ?Sized>(&self, hash: u32, key: &Q) -> Option<usize>
    where
        K: Borrow<Q>,
    {
        self.root.leaf(hash, 0).find(hash, key)
    }
}

impl<K, V> Trie<K, V> {
    /// The entry at a place that was found.
    pub(crate) fn at(&self, hash: u32, place: usize) -> &(K, V) {
        &self.root.leaf(hash, 0).entries()[place]
    }
}

impl<K: Clone, V: Clone> Trie<K, V> {
    /// The entry at a place that was found, mutably. A shared path is copied.
    pub(crate) fn at_mut(&mut self, hash: u32, place: usize) -> &mut (K, V) {
        let (mut node, mut depth) = (&mut self.root, 0);
        loop {
            node = match node {
                Node::Leaf(leaf) => return &mut leaf.entries_mut()[place],
                branch => match branch.branch_mut() {
                    Some(branch) => branch.child(slot(hash, depth)),
                    None => unreachable!("what is no leaf is a branch"),
                },
            };
            depth += 1;
        }
    }

    /// Adds an entry whose key is absent. Returns its place in its leaf.
    pub(crate) fn insert(&mut self, hash: u32, entry: (K, V)) -> usize {
        open(&mut self.root, hash);
        // Only moves from here on.
        let (mut node, mut depth) = (&mut self.root, 0);
        loop {
            node = match node {
                Node::Leaf(leaf) => {
                    // The leaf of a small map grows step by step. A leaf below a branch has its
                    // full size at once.
                    let room = if depth == 0 { 0 } else { leaf_max::<K, V>() };
                    leaf.push(hash, entry, room);
                    return leaf.len() - 1;
                }
                branch => match branch.branch_mut() {
                    Some(branch) => {
                        *branch.len += 1;
                        branch.child(slot(hash, depth))
                    }
                    None => unreachable!("what is no leaf is a branch"),
                },
            };
            depth += 1;
        }
    }

    /// Removes the entry at a place that was found.
    pub(crate) fn remove(&mut self, hash: u32, place: usize) -> (K, V) {
        // The user's `Clone` runs here, if at all. The rest only moves.
        self.at_mut(hash, place);
        let entry = remove(&mut self.root, 0, hash, place);
        collapse(&mut self.root);
        entry
    }

    /// Removes the entries that are marked, in the order of iteration. Nodes that lose nothing stay
    /// shared.
    pub(crate) fn extract(&mut self, marked: &[bool]) -> Vec<(K, V)> {
        let mut out = Vec::new();
        if marked.contains(&true) {
            make_marked_unique(&mut self.root, marked);
            extract(&mut self.root, marked, &mut out);
            collapse(&mut self.root);
        }
        out
    }
}

/// Makes the path to the leaf of a hash unique, and makes room in the leaf. `len` of no branch
/// changes.
fn open<K: Clone, V: Clone>(root: &mut Node<K, V>, hash: u32) {
    let (mut node, mut depth) = (root, 0);
    loop {
        if let Node::Leaf(leaf) = node {
            leaf.make_unique();
            if leaf.len() < leaf_max::<K, V>() || depth == DEPTH_MAX {
                return;
            }
            *node = Node::over([0; SLOTS], [mem::take(node)]);
        }
        let slot = slot(hash, depth);
        if let Some(middle) = crowded(node, slot) {
            split(node, depth, slot, middle);
            continue;
        }
        node = match node.branch_mut() {
            Some(branch) => branch.child(slot),
            None => unreachable!("what is no leaf is a branch"),
        };
        depth += 1;
    }
}

/// Where to split the slots of the leaf that covers a slot, if it is full and has more than one.
#[inline]
fn crowded<K, V>(node: &Node<K, V>, slot: u32) -> Option<u32> {
    let slots = node.slots()?;
    match &node.children()[usize::from(slots[slot as usize])] {
        Node::Leaf(leaf) if leaf.len() >= leaf_max::<K, V>() => {
            let slots = span(slots, slot);
            (slots.len() > 1).then_some(slots.start + slots.len() as u32 / 2)
        }
        _ => None,
    }
}

#[cold]
fn split<K: Clone, V: Clone>(node: &mut Node<K, V>, depth: u32, slot: u32, middle: u32) {
    if let Some(branch) = node.branch_mut()
        && let Node::Leaf(leaf) = branch.child(slot)
    {
        leaf.make_unique();
        let right = leaf.split(|hash| self::slot(hash, depth) >= middle);
        node.split_child(middle, Node::Leaf(right));
    }
}

/// Removes an entry at the end of a unique path.
fn remove<K, V>(node: &mut Node<K, V>, depth: u32, hash: u32, place: usize) -> (K, V) {
    if let Node::Leaf(leaf) = node {
        let entry = leaf.take(place);
        if leaf.len() == 0 {
            *leaf = Leaf::Empty;
        }
        return entry;
    }
    let slot = slot(hash, depth);
    let Some(branch) = node.branch_mut() else { unreachable!("what is no leaf is a branch") };
    *branch.len -= 1;
    let child = branch.child(slot);
    let entry = remove(child, depth + 1, hash, place);
    collapse(child);
    join_small_leaves(node, slot);
    entry
}

/// Replaces a branch over a single leaf by that leaf.
fn collapse<K, V>(node: &mut Node<K, V>) {
    if let [Node::Leaf(leaf)] = node.children() {
        *node = Node::Leaf(leaf.clone());
    }
}

/// Joins the leaf that covers a slot with its neighbours while all of them together fill at most
/// half a leaf. Shared neighbours are left alone: joining them would copy them.
fn join_small_leaves<K, V>(node: &mut Node<K, V>, slot: u32) {
    let Some(slots) = node.slots() else { return };
    let alone = span(slots, slot);
    let mut joined = alone.clone();
    loop {
        let width = joined.len() as u32 * 2;
        let start = joined.start / width * width;
        if !fits(node, slots, start..start + width) {
            break;
        }
        joined = start..start + width;
    }
    if joined != alone {
        let Some(branch) = node.branch_mut() else { return };
        let (first, last) =
            (branch.slots[joined.start as usize], branch.slots[joined.end as usize - 1]);
        let mut one = Leaf::Empty;
        for child in &mut branch.children[usize::from(first)..=usize::from(last)] {
            if let Node::Leaf(leaf) = mem::take(child) {
                leaf.pour(|hash, entry| one.push(hash, entry, leaf_max::<K, V>()));
            }
        }
        node.unite(joined, Node::Leaf(one));
    }
}

/// Returns `true` if the children in a run of slots are leaves with one owner that together hold at
/// most half a leaf's entries.
fn fits<K, V>(node: &Node<K, V>, slots: &Slots, run: Range<u32>) -> bool {
    if run.end > SLOTS as u32 {
        return false;
    }
    let (first, last) = (slots[run.start as usize], slots[run.end as usize - 1]);
    let children = &node.children()[usize::from(first)..=usize::from(last)];
    children.iter().all(|child| matches!(child, Node::Leaf(leaf) if leaf.is_unique()))
        && children.iter().map(Node::len).sum::<usize>() <= leaf_max::<K, V>() / 2
}

/// Makes every leaf that holds a marked entry unique, and the path to it.
fn make_marked_unique<K: Clone, V: Clone>(node: &mut Node<K, V>, marked: &[bool]) {
    if !marked.contains(&true) {
        return;
    }
    if let Node::Leaf(leaf) = node {
        return leaf.make_unique();
    }
    if let Some(branch) = node.branch_mut() {
        let mut rest = marked;
        for child in branch.children.iter_mut() {
            let (own_marks, after) = rest.split_at(child.len());
            make_marked_unique(child, own_marks);
            rest = after;
        }
    }
}

/// Takes marked entries out of leaves that are unique.
fn extract<K: Clone, V: Clone>(node: &mut Node<K, V>, marked: &[bool], out: &mut Vec<(K, V)>) {
    if !marked.contains(&true) {
        return;
    }
    if let Node::Leaf(leaf) = node {
        let first = out.len();
        // From the end, so that what comes to a free place is not marked.
        for at in (0..marked.len()).rev().filter(|at| marked[*at]) {
            out.push(leaf.take(at));
        }
        out[first..].reverse();
        if leaf.len() == 0 {
            *leaf = Leaf::Empty;
        }
        return;
    }
    let Some(branch) = node.branch_mut() else { return };
    let mut rest = marked;
    for child in branch.children.iter_mut() {
        let (own_marks, after) = rest.split_at(child.len());
        extract(child, own_marks, out);
        collapse(child);
        rest = after;
    }
    *branch.len = branch.children.iter().map(Node::len).sum();
    let mut slot = 0;
    while slot < SLOTS as u32 {
        join_small_leaves(node, slot);
        slot = node.slots().map_or(SLOTS as u32, |slots| span(slots, slot).end);
    }
}
