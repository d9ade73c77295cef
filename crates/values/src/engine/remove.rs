//! Removal along a known path, and joining what became thin with a neighbour.
//!
//! Removal first makes the path unique and takes the item; lengths are right before anything is joined. Joining then
//! goes up from the leaf, one parent at a time; each join changes no length and is whole in itself.

use alloc::vec::Vec;
use core::mem;

use super::insert::reset;
use super::kind::Grow;
use super::node::{Inner, Node, unique};
use super::path::Path;
use super::room::Room;

/// Removes the item at a path that was found in this tree.
pub(crate) fn remove<K: Grow>(root: &mut Node<K>, path: &Path) -> K::Item {
    own(root, &path.steps);
    let mut dead = Vec::new();
    let item = take(root, &path.steps, path.slot, &mut dead);
    heal(root, &path.steps);
    item
}

/// Makes the nodes of a path unique; clones of the user's happen here.
fn own<K: Grow>(node: &mut Node<K>, steps: &[u8]) {
    match node {
        Node::Leaf(chunk) => chunk.own(),
        Node::Inner(arc) => own(&mut unique(arc).kids[usize::from(steps[0])], &steps[1..]),
    }
}

/// Takes the item out and corrects lengths; runs nothing of the user's.
fn take<K: Grow>(
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
    let item = take(&mut inner.kids[step], &steps[1..], slot, dead);
    inner.len -= 1;
    K::shift(&mut inner.marks[step + 1..], -1);
    if inner.kids[step].len() == 0 {
        dead.push((inner.kids.remove(step), Some(inner.marks.remove(step))));
    }
    item
}

/// Joins thin nodes near a path with their neighbours, from the leaf up, and drops a root with one child.
pub(crate) fn heal<K: Grow>(root: &mut Node<K>, steps: &[u8]) {
    heal_below(root, steps);
    if root.kids().len() < 2 {
        *root = mem::take(root).plain();
    }
}

fn heal_below<K: Grow>(node: &mut Node<K>, steps: &[u8]) {
    let Node::Inner(arc) = node else { return };
    if arc.kids.is_empty() {
        return;
    }
    let inner = unique(arc);
    let step = steps.first().map_or(0, |step| usize::from(*step)).min(inner.kids.len() - 1);
    heal_below(&mut inner.kids[step], steps.get(1..).unwrap_or(&[]));
    if inner.kids[step].is_thin() && inner.kids.len() > 1 {
        even(inner, step.max(1) - 1);
    }
}

/// Joins children `at` and `at + 1`, or evens them out when both do not fit in one node.
fn even<K: Grow>(inner: &mut Inner<K>, at: usize) {
    let (left, right) = inner.kids.split_at_mut(at + 1);
    let (left, right) = (&mut left[at], &mut right[0]);
    let joined = match (&mut *left, &mut *right) {
        (Node::Leaf(a), Node::Leaf(b)) => {
            a.own();
            b.own();
            if a.len() + b.len() <= K::LEAF {
                a.append(mem::replace(b, super::chunk::Chunk::Empty));
                true
            } else if a.len() < b.len() {
                let cut = K::cut(b.items(), (b.len() - a.len()) / 2);
                if cut == 0 || cut == b.len() {
                    return;
                }
                let mark = K::mark(&b.items()[cut]);
                let rest = b.split_off(cut);
                a.append(mem::replace(b, rest));
                let len = a.len();
                set_mark(inner, at, mark, len);
                false
            } else {
                let cut = K::cut(a.items(), a.len() - (a.len() - b.len()) / 2);
                if cut == 0 || cut == a.len() {
                    return;
                }
                let mark = K::mark(&a.items()[cut]);
                let mut moved = a.split_off(cut);
                moved.append(mem::replace(b, super::chunk::Chunk::Empty));
                *b = moved;
                let len = a.len();
                set_mark(inner, at, mark, len);
                false
            }
        }
        (Node::Inner(a), Node::Inner(b)) => {
            let (a, b) = (unique(a), unique(b));
            let count = a.kids.len() + b.kids.len();
            // The mark between both in the parent is a true one; that of the right child's first may not be.
            let mut between = inner.marks[at + 1].clone();
            reset::<K>(&mut between);
            if count <= K::FANOUT {
                let old = mem::replace(&mut b.marks[0], between);
                splice(a, b);
                drop(old);
                true
            } else {
                let half = count / 2;
                let mut mark = if half < a.kids.len() {
                    a.marks[half].clone()
                } else if half > a.kids.len() {
                    b.marks[half - a.kids.len()].clone()
                } else {
                    return;
                };
                reset::<K>(&mut mark);
                let old = mem::replace(&mut b.marks[0], between);
                if half < a.kids.len() {
                    let mut moved = a.split_off(half);
                    splice(&mut moved, b);
                    mem::swap(b, &mut moved);
                } else {
                    let mut rest = b.split_off(half - a.kids.len());
                    splice(a, b);
                    mem::swap(b, &mut rest);
                }
                let len = a.len;
                set_mark(inner, at, mark, len);
                drop(old);
                false
            }
        }
        _ => unreachable!("children of one node have one height"),
    };
    if joined {
        let dead = (inner.kids.remove(at + 1), inner.marks.remove(at + 1));
        drop(dead);
    }
}

/// Appends the children of `right`, whose marks are all true; leaves it empty.
fn splice<K: Grow>(left: &mut Inner<K>, right: &mut Inner<K>) {
    K::shift(&mut right.marks, left.len as isize);
    left.len += mem::take(&mut right.len);
    left.marks.append(&mut right.marks);
    left.kids.append(&mut right.kids);
}

/// Sets the mark after child `at`, which now holds `len` items.
fn set_mark<K: Grow>(inner: &mut Inner<K>, at: usize, mut mark: K::Mark, len: usize) {
    let start = K::start(&inner.marks[at]).unwrap_or(0) + len;
    K::shift(core::slice::from_mut(&mut mark), start as isize);
    drop(mem::replace(&mut inner.marks[at + 1], mark));
}
