//! Iterating over two trees at once while skipping what they share. The cost is proportional to
//! what differs.

use alloc::vec::Vec;
use core::cmp::Ordering;
use core::ops::ControlFlow;

use super::node::{Inner, Node};
use super::shape::TreeShape;

/// A place in one tree: before a node that is not opened yet, or inside a leaf.
struct Cursor<'a, K: TreeShape> {
    above: Vec<(&'a Inner<K>, usize)>,
    head: Option<&'a Node<K>>,
    slot: usize,
}

impl<'a, K: TreeShape> Cursor<'a, K> {
    fn new(root: &'a Node<K>) -> Self {
        Cursor { above: Vec::new(), head: (root.len() > 0).then_some(root), slot: 0 }
    }

    fn open(&mut self, inner: &'a Inner<K>) {
        self.above.push((inner, 0));
        self.head = inner.children.first();
    }

    /// Moves past the current node.
    fn skip(&mut self) {
        self.slot = 0;
        self.head = None;
        while let Some((inner, at)) = self.above.last_mut() {
            *at += 1;
            if let Some(child) = inner.children.get(*at) {
                self.head = Some(child);
                return;
            }
            self.above.pop();
        }
    }

    /// Moves past `count` items of the current leaf.
    fn pass(&mut self, count: usize) {
        self.slot += count;
        if self.head.is_none_or(|leaf| self.slot >= leaf.items().len()) {
            self.skip();
        }
    }
}

/// Items of both trees at the current place that are not shared. One of them may be empty.
struct Runs<'a, K: TreeShape> {
    ours: &'a [K::Item],
    theirs: &'a [K::Item],
}

/// Calls `runs` with what both trees do not share, leaf against leaf. It returns how many items of
/// each it has dealt with.
fn walk<'a, K: TreeShape, B>(
    ours: &'a Node<K>,
    theirs: &'a Node<K>,
    mut runs: impl FnMut(Runs<'a, K>) -> ControlFlow<B, (usize, usize)>,
) -> ControlFlow<B> {
    let (mut a, mut b) = (Cursor::new(ours), Cursor::new(theirs));
    loop {
        match (a.head, b.head) {
            (None, None) => return ControlFlow::Continue(()),
            (Some(x), Some(y)) if a.slot == 0 && b.slot == 0 && x.same(y) => {
                a.skip();
                b.skip();
            }
            (x, y) => {
                let (above, below) = (x.map(Node::height), y.map(Node::height));
                if let (Some(Node::Inner(inner)), true) = (x, above >= below) {
                    a.open(inner);
                    if let (Some(Node::Inner(inner)), true) = (y, above == below) {
                        b.open(inner);
                    }
                } else if let Some(Node::Inner(inner)) = y {
                    b.open(inner);
                } else {
                    let ours = x.map_or(&[][..], |leaf| &leaf.items()[a.slot..]);
                    let theirs = y.map_or(&[][..], |leaf| &leaf.items()[b.slot..]);
                    let (passed, also) = runs(Runs { ours, theirs })?;
                    if passed > 0 {
                        a.pass(passed);
                    }
                    if also > 0 {
                        b.pass(also);
                    }
                }
            }
        }
    }
}

/// Calls `differ` with what two trees in the order `order` do not share, until it breaks: an item
/// of one, of the other, or a pair of both that are equal by `order`. No two items of one tree are
/// equal.
pub(crate) fn pair_up<'a, K: TreeShape, B>(
    ours: &'a Node<K>,
    theirs: &'a Node<K>,
    order: impl Fn(&K::Item, &K::Item) -> Ordering,
    mut differ: impl FnMut(Option<&'a K::Item>, Option<&'a K::Item>) -> ControlFlow<B>,
) -> ControlFlow<B> {
    walk(ours, theirs, |Runs { ours, theirs }| {
        let (mut i, mut j) = (0, 0);
        loop {
            match (ours.get(i), theirs.get(j)) {
                (Some(x), Some(y)) => match order(x, y) {
                    Ordering::Less => {
                        differ(Some(x), None)?;
                        i += 1;
                    }
                    Ordering::Greater => {
                        differ(None, Some(y))?;
                        j += 1;
                    }
                    Ordering::Equal => {
                        differ(Some(x), Some(y))?;
                        i += 1;
                        j += 1;
                    }
                },
                // If one leaf ends first, that tree's next leaf decides. An empty run is a tree
                // that has ended.
                (Some(x), None) if theirs.is_empty() => {
                    differ(Some(x), None)?;
                    i += 1;
                }
                (None, Some(y)) if ours.is_empty() => {
                    differ(None, Some(y))?;
                    j += 1;
                }
                _ => return ControlFlow::Continue((i, j)),
            }
        }
    })
}

/// Returns `true` if both trees hold equal items in the same order.
pub(crate) fn equal<K: TreeShape>(
    ours: &Node<K>,
    theirs: &Node<K>,
    eq: impl Fn(&K::Item, &K::Item) -> bool,
) -> bool {
    ours.len() == theirs.len()
        && walk(ours, theirs, |Runs { ours, theirs }| {
            let count = ours.len().min(theirs.len());
            let equal = count > 0 && ours.iter().zip(theirs).all(|(x, y)| eq(x, y));
            if equal { ControlFlow::Continue((count, count)) } else { ControlFlow::Break(()) }
        })
        .is_continue()
}
