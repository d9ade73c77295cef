//! Which parts of two sequences are not shared: gaps between subtrees that both hold.
//!
//! Level by level from the top, nodes of both trees are matched by identity: first common ends,
//! then the longest series of matches that keeps order. What lies between matches is matched one
//! level lower. For two forks of one sequence the cost is proportional to what differs. Unrelated
//! sequences cost O(leaves · log leaves) and end as one gap.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::ops::Range;

use super::node::Node;
use super::shape::TreeShape;

/// The leaves of both sides between two shared subtrees.
pub(crate) struct Gap<'a, K: TreeShape> {
    pub(crate) ours: Run<'a, K>,
    pub(crate) theirs: Run<'a, K>,
}

/// Neighbouring nodes of one height, and the item at which they begin.
pub(crate) struct Run<'a, K: TreeShape> {
    pub(crate) start: usize,
    pub(crate) nodes: Vec<&'a Node<K>>,
}

impl<'a, K: TreeShape> Run<'a, K> {
    fn of(root: &'a Node<K>) -> Self {
        let nodes = if root.len() == 0 { Vec::new() } else { [root].into() };
        Run { start: 0, nodes }
    }

    fn height(&self) -> Option<u32> {
        self.nodes.first().map(|node| node.height())
    }

    fn open(&mut self) {
        self.nodes = self.nodes.iter().flat_map(|node| node.children()).collect();
    }

    /// The nodes of a range. The nodes before it hold `before` items.
    fn part(&self, range: Range<usize>, before: usize) -> Self {
        Run { start: self.start + before, nodes: self.nodes[range].to_vec() }
    }

    /// The items of a run of leaves, leaf by leaf.
    pub(crate) fn leaves(&self) -> impl DoubleEndedIterator<Item = &'a [K::Item]> {
        self.nodes.iter().map(|node| node.items())
    }

    /// The items at a range of positions, counted from the run's start.
    pub(crate) fn between(&self, range: Range<usize>) -> Vec<&'a K::Item> {
        let mut before = 0;
        let mut all = Vec::with_capacity(range.len());
        for leaf in self.leaves() {
            let clamp = |at: usize| at.saturating_sub(before).min(leaf.len());
            all.extend(&leaf[clamp(range.start)..clamp(range.end)]);
            before += leaf.len();
        }
        all
    }
}

/// The gaps between two trees, in order.
pub(crate) fn gaps<'a, K: TreeShape>(ours: &'a Node<K>, theirs: &'a Node<K>) -> Vec<Gap<'a, K>> {
    let mut gaps = Vec::new();
    if !ours.same(theirs) {
        descend(Run::of(ours), Run::of(theirs), &mut gaps);
    }
    gaps
}

fn descend<'a, K: TreeShape>(
    mut ours: Run<'a, K>,
    mut theirs: Run<'a, K>,
    gaps: &mut Vec<Gap<'a, K>>,
) {
    loop {
        let (above, below) = (ours.height(), theirs.height());
        if above.unwrap_or(0) == 0 && below.unwrap_or(0) == 0 {
            break;
        }
        if above > below {
            ours.open();
        } else if above < below {
            theirs.open();
        } else {
            ours.open();
            theirs.open();
            break;
        }
    }
    let (mut i, mut j) = (0, 0);
    let (mut before, mut also) = (0, 0);
    let ends = (ours.nodes.len(), theirs.nodes.len());
    for (x, y) in matches(&ours.nodes, &theirs.nodes).into_iter().chain([ends]) {
        let (a, b) = (ours.part(i..x, before), theirs.part(j..y, also));
        let (long, wide) = (a.len(), b.len());
        if long > 0 || wide > 0 {
            if a.height().unwrap_or(0) == 0 && b.height().unwrap_or(0) == 0 {
                gaps.push(Gap { ours: a, theirs: b });
            } else {
                descend(a, b, gaps);
            }
        }
        let shared = ours.nodes.get(x).map_or(0, |node| node.len());
        before += long + shared;
        also += wide + shared;
        (i, j) = (x + 1, y + 1);
    }
}

impl<K: TreeShape> Run<'_, K> {
    pub(crate) fn len(&self) -> usize {
        self.nodes.iter().map(|node| node.len()).sum()
    }
}

/// Pairs of indices of the same node, which ascend in both.
fn matches<K: TreeShape>(ours: &[&Node<K>], theirs: &[&Node<K>]) -> Vec<(usize, usize)> {
    let front = ours.iter().zip(theirs).take_while(|(a, b)| a.same(b)).count();
    let (a, b) = (&ours[front..], &theirs[front..]);
    let back = a.iter().rev().zip(b.iter().rev()).take_while(|(a, b)| a.same(b)).count();
    let (a, b) = (&a[..a.len() - back], &b[..b.len() - back]);
    let mut pairs: Vec<_> = (0..front).map(|at| (at, at)).collect();
    if !a.is_empty() && !b.is_empty() {
        let places: BTreeMap<usize, usize> =
            b.iter().enumerate().map(|(at, node)| (node.address(), at)).collect();
        let candidates: Vec<_> = a
            .iter()
            .enumerate()
            .filter_map(|(at, node)| Some((at, *places.get(&node.address())?)))
            .collect();
        pairs.extend(rising(&candidates).into_iter().map(|(i, j)| (front + i, front + j)));
    }
    let ends = (ours.len() - back, theirs.len() - back);
    pairs.extend((0..back).map(|at| (ends.0 + at, ends.1 + at)));
    pairs
}

/// The longest subsequence that ascends in the second index (patience sorting).
fn rising(pairs: &[(usize, usize)]) -> Vec<(usize, usize)> {
    let mut piles: Vec<usize> = Vec::new();
    let mut before: Vec<Option<usize>> = Vec::with_capacity(pairs.len());
    for (at, pair) in pairs.iter().enumerate() {
        let pile = piles.partition_point(|top| pairs[*top].1 < pair.1);
        before.push(pile.checked_sub(1).map(|left| piles[left]));
        if pile == piles.len() {
            piles.push(at);
        } else {
            piles[pile] = at;
        }
    }
    let mut chain = Vec::with_capacity(piles.len());
    let mut next = piles.last().copied();
    while let Some(at) = next {
        chain.push(pairs[at]);
        next = before[at];
    }
    chain.reverse();
    chain
}
