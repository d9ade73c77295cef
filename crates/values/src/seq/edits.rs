//! The edit script between two sequences: aligned by shared subtrees, then item by item within what is left.
//!
//! Within a gap between shared subtrees, common ends are cut off and the rest is compared by the greedy algorithm of
//! Myers (*An O(ND) Difference Algorithm and Its Variations*, Algorithmica 1, 1986), given up for one edit
//! of the whole gap when more than [`EDITS_MAX`] items differ.

use alloc::vec::Vec;
use core::ops::Range;

use crate::engine::align::gaps;
use crate::engine::kind::Kind;
use crate::engine::node::Node;

/// Items that may differ within one gap before the gap becomes one edit; bounds time and memory a gap.
const EDITS_MAX: usize = 64;

/// Items of the old sequence, and those of the new one in their place; either may be empty, not both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Edit {
    pub(crate) old: Range<usize>,
    pub(crate) new: Range<usize>,
}

/// The edits from one tree to another, in order, none touching the next.
pub(crate) fn edits<K: Kind<Mark = usize, Item: Eq>>(old: &Node<K>, new: &Node<K>) -> Vec<Edit> {
    let mut all: Vec<Edit> = Vec::new();
    for gap in gaps(old, new) {
        let (from, to): (Vec<_>, Vec<_>) =
            (gap.ours.items().collect(), gap.theirs.items().collect());
        for edit in compare(&from, &to) {
            let old = edit.old.start + gap.ours.start..edit.old.end + gap.ours.start;
            let new = edit.new.start + gap.theirs.start..edit.new.end + gap.theirs.start;
            match all.last_mut() {
                Some(last) if last.old.end == old.start && last.new.end == new.start => {
                    last.old.end = old.end;
                    last.new.end = new.end;
                }
                _ => all.push(Edit { old, new }),
            }
        }
    }
    all
}

fn compare<T: Eq>(old: &[&T], new: &[&T]) -> Vec<Edit> {
    let front = old.iter().zip(new).take_while(|(a, b)| a == b).count();
    let (a, b) = (&old[front..], &new[front..]);
    let back = a.iter().rev().zip(b.iter().rev()).take_while(|(a, b)| a == b).count();
    let (a, b) = (&a[..a.len() - back], &b[..b.len() - back]);
    if a.is_empty() && b.is_empty() {
        return Vec::new();
    }
    let whole = || [(0..a.len(), 0..b.len())].into();
    let found = if a.is_empty() || b.is_empty() { None } else { shortest(a, b) };
    let shift = |range: Range<usize>| range.start + front..range.end + front;
    let parts: Vec<(Range<usize>, Range<usize>)> = found.unwrap_or_else(whole);
    parts.into_iter().map(|(old, new)| Edit { old: shift(old), new: shift(new) }).collect()
}

/// The shortest edit script, unless it is longer than [`EDITS_MAX`].
fn shortest<T: Eq>(a: &[&T], b: &[&T]) -> Option<Vec<(Range<usize>, Range<usize>)>> {
    let (n, m) = (a.len() as isize, b.len() as isize);
    if n.abs_diff(m) > EDITS_MAX {
        return None;
    }
    let offset = EDITS_MAX as isize + 1;
    // `reach[k]` is how far into `a` the best script on diagonal k (a's place less b's) has come.
    let mut reach = alloc::vec![0isize; 2 * EDITS_MAX + 3];
    let mut steps: Vec<Vec<isize>> = Vec::new();
    for edits in 0..=EDITS_MAX as isize {
        steps.push(reach.clone());
        for k in (-edits..=edits).step_by(2) {
            let at = |k: isize| (k + offset) as usize;
            let down = k == -edits || (k != edits && reach[at(k - 1)] < reach[at(k + 1)]);
            let mut x = if down { reach[at(k + 1)] } else { reach[at(k - 1)] + 1 };
            while x < n && x - k < m && a[x as usize] == b[(x - k) as usize] {
                x += 1;
            }
            reach[at(k)] = x;
            if x >= n && x - k >= m {
                return Some(trace(&steps, n, m, offset));
            }
        }
    }
    None
}

/// Walks the script back from its end and gathers runs of edits.
fn trace(
    steps: &[Vec<isize>],
    mut x: isize,
    mut y: isize,
    offset: isize,
) -> Vec<(Range<usize>, Range<usize>)> {
    let mut parts: Vec<(Range<usize>, Range<usize>)> = Vec::new();
    for (edits, reach) in steps.iter().enumerate().skip(1).rev() {
        let edits = edits as isize;
        let k = x - y;
        let at = |k: isize| (k + offset) as usize;
        let down = k == -edits || (k != edits && reach[at(k - 1)] < reach[at(k + 1)]);
        let before = if down { k + 1 } else { k - 1 };
        let from = (reach[at(before)], reach[at(before)] - before);
        let to = if down { (from.0, from.1 + 1) } else { (from.0 + 1, from.1) };
        let (old, new) = (from.0 as usize..to.0 as usize, from.1 as usize..to.1 as usize);
        match parts.last_mut() {
            Some(later) if later.0.start == old.end && later.1.start == new.end => {
                later.0.start = old.start;
                later.1.start = new.start;
            }
            _ => parts.push((old, new)),
        }
        (x, y) = from;
    }
    parts.reverse();
    parts
}
