//! Removal along a known path, and joining nodes that became thin with a neighbour.
//!
//! Removal first makes the path unique and takes the item. Lengths are correct before anything is
//! joined. Joining then goes up from the leaf, one parent at a time. No join changes a length, and
//! the tree is whole after each.

use alloc::vec::Vec;
use core::cmp::Ordering;
use core::mem;

use super::chunk::Chunk;
use super::fixed_vec::FixedVec;
use super::insert::reset;
use super::node::{Inner, Node, unique};
use super::path::Path;
use super::shape::{TreeMut, TreeShape};

/// Removes the item at a path that was found in this tree.
pub(crate) fn remove<K: TreeMut>(root: &mut Node<K>, path: &Path) -> K::Item {
    make_path_unique(root, &path.steps);
    let mut dead = Vec::new();
    let item = take(root, &path.steps, path.slot, &mut dead);
    rebalance_path(root, &path.steps);
    item
}

/// Makes the nodes of a path unique. The user's `Clone` runs here.
fn make_path_unique<K: TreeMut>(node: &mut Node<K>, steps: &[u8]) {
    match node {
        Node::Leaf(chunk) => chunk.make_unique(),
        Node::Inner(arc) => {
            make_path_unique(&mut unique(arc).children[usize::from(steps[0])], &steps[1..])
        }
    }
}

/// Takes the item out and corrects lengths. Runs none of the user's code.
fn take<K: TreeMut>(
    node: &mut Node<K>,
    steps: &[u8],
    slot: usize,
    dead: &mut Vec<(Node<K>, Option<K::Mark>)>,
) -> K::Item {
    let arc = match node {
        Node::Leaf(chunk) => return chunk.remove(slot),
        Node::Inner(arc) => arc,
    };
    let inner = unique(arc);
    let step = usize::from(steps[0]);
    let item = take(&mut inner.children[step], &steps[1..], slot, dead);
    inner.len -= 1;
    K::shift(&mut inner.marks[step + 1..], -1);
    if inner.children[step].len() == 0 {
        dead.push((inner.children.remove(step), Some(inner.marks.remove(step))));
    }
    item
}

/// Joins thin nodes near a path with their neighbours, from the leaf up, and drops a root with one
/// child.
pub(crate) fn rebalance_path<K: TreeMut>(root: &mut Node<K>, steps: &[u8]) {
    rebalance_below(root, steps);
    if root.children().len() < 2 {
        *root = mem::take(root).plain();
    }
}

fn rebalance_below<K: TreeMut>(node: &mut Node<K>, steps: &[u8]) {
    let Node::Inner(arc) = node else { return };
    if arc.children.is_empty() {
        return;
    }
    let inner = unique(arc);
    let step = steps.first().map_or(0, |step| usize::from(*step)).min(inner.children.len() - 1);
    rebalance_below(&mut inner.children[step], steps.get(1..).unwrap_or(&[]));
    if inner.children[step].is_thin() && inner.children.len() > 1 {
        rebalance(inner, step.max(1) - 1);
    }
}

/// What became of two neighbours. `old` is a mark that is no longer needed: its `Drop` is the
/// user's, and waits until the tree is whole.
enum Rebalanced<K: TreeShape> {
    Unchanged,
    /// The left one holds everything.
    Joined {
        old: Option<K::Mark>,
    },
    /// Some of one went to the other. `mark` is that of the right one now.
    Moved {
        mark: K::Mark,
        left_len: usize,
        old: Option<K::Mark>,
    },
}

/// Joins children `at` and `at + 1`, or evens them out if both do not fit into one node.
fn rebalance<K: TreeMut>(inner: &mut Inner<K>, at: usize) {
    let (left, right) = inner.children.split_at_mut(at + 1);
    let rebalanced: Rebalanced<K> = match (&mut left[at], &mut right[0]) {
        (Node::Leaf(a), Node::Leaf(b)) => rebalance_leaves(a, b),
        (Node::Inner(a), Node::Inner(b)) => {
            rebalance_inner(unique(a), unique(b), &inner.marks[at + 1])
        }
        _ => unreachable!("children of one node have one height"),
    };
    match rebalanced {
        Rebalanced::Unchanged => {}
        Rebalanced::Joined { old } => {
            let removed = (inner.children.remove(at + 1), inner.marks.remove(at + 1));
            drop((removed, old));
        }
        Rebalanced::Moved { mark, left_len, old } => {
            set_mark(inner, at, mark, left_len);
            drop(old);
        }
    }
}

fn rebalance_leaves<K: TreeMut>(a: &mut Chunk<K::Item>, b: &mut Chunk<K::Item>) -> Rebalanced<K> {
    a.make_unique();
    b.make_unique();
    if a.len() + b.len() <= K::LEAF {
        a.append(mem::replace(b, Chunk::Empty));
        return Rebalanced::Joined { old: None };
    }
    let mark;
    if a.len() < b.len() {
        let at = K::split_point(b.items(), (b.len() - a.len()) / 2);
        if at == 0 || at == b.len() {
            return Rebalanced::Unchanged;
        }
        mark = K::mark(&b.items()[at]);
        let rest = b.split_off(at);
        a.append(mem::replace(b, rest));
    } else {
        let at = K::split_point(a.items(), a.len() - (a.len() - b.len()) / 2);
        if at == 0 || at == a.len() {
            return Rebalanced::Unchanged;
        }
        mark = K::mark(&a.items()[at]);
        let mut moved = a.split_off(at);
        moved.append(mem::replace(b, Chunk::Empty));
        *b = moved;
    }
    Rebalanced::Moved { mark, left_len: a.len(), old: None }
}

/// `between` is the mark that separates both in their parent.
fn rebalance_inner<K: TreeMut>(
    a: &mut Inner<K>,
    b: &mut Inner<K>,
    between: &K::Mark,
) -> Rebalanced<K> {
    let count = a.children.len() + b.children.len();
    // The mark in the parent separates. That of the right child's first child may be anything.
    let mut between = between.clone();
    reset::<K>(&mut between);
    if count <= K::FANOUT {
        let old = mem::replace(&mut b.marks[0], between);
        splice(a, b);
        return Rebalanced::Joined { old: Some(old) };
    }
    let half = count / 2;
    let mut mark = match half.cmp(&a.children.len()) {
        Ordering::Less => a.marks[half].clone(),
        Ordering::Greater => b.marks[half - a.children.len()].clone(),
        Ordering::Equal => return Rebalanced::Unchanged,
    };
    reset::<K>(&mut mark);
    let old = mem::replace(&mut b.marks[0], between);
    if half < a.children.len() {
        let mut moved = a.split_off(half);
        splice(&mut moved, b);
        mem::swap(b, &mut moved);
    } else {
        let mut rest = b.split_off(half - a.children.len());
        splice(a, b);
        mem::swap(b, &mut rest);
    }
    Rebalanced::Moved { mark, left_len: a.len, old: Some(old) }
}

/// Appends the children of `right`, whose marks all separate, and leaves it empty.
fn splice<K: TreeMut>(left: &mut Inner<K>, right: &mut Inner<K>) {
    K::shift(&mut right.marks, left.len as isize);
    left.len += mem::take(&mut right.len);
    left.marks.append(&mut right.marks);
    left.children.append(&mut right.children);
}

/// Sets the mark after child `at`, which now holds `len` items.
fn set_mark<K: TreeMut>(inner: &mut Inner<K>, at: usize, mut mark: K::Mark, len: usize) {
    let start = K::start(&inner.marks[at]).unwrap_or(0) + len;
    K::shift(core::slice::from_mut(&mut mark), start as isize);
    drop(mem::replace(&mut inner.marks[at + 1], mark));
}
