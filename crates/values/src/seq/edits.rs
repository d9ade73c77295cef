//! The edit script between two sequences: aligned by shared subtrees, then item by item within what
//! is left.
//!
//! Within a gap between shared subtrees, common ends are removed and the rest is compared by the
//! greedy algorithm of Myers (*An O(ND) Difference Algorithm and Its Variations*, Algorithmica 1,
//! 1986). If more than [`EDITS_MAX`] items differ, the whole gap becomes one edit.

use alloc::vec::Vec;
use core::ops::Range;

use crate::engine::align::{Run, gaps};
use crate::engine::node::Node;
use crate::engine::shape::TreeShape;

/// Items that may differ within one gap before the gap becomes one edit. This limits time and
/// memory for each gap.
const EDITS_MAX: usize = 64;

/// Items of the old sequence, and those of the new one in their place. One of them may be empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Edit {
    pub(crate) old: Range<usize>,
    pub(crate) new: Range<usize>,
}

/// The edits from one tree to another, in order. No edit touches the next.
pub(crate) fn edits<K: TreeShape<Mark = usize, Item: Eq>>(
    old: &Node<K>,
    new: &Node<K>,
) -> Vec<Edit> {
    let mut all: Vec<Edit> = Vec::new();
    for gap in gaps(old, new) {
        for edit in compare(&gap.ours, &gap.theirs) {
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

/// The edits of one gap, counted from its start. Common ends are found first, then what differs
/// between them.
fn compare<K: TreeShape<Item: Eq>>(old: &Run<'_, K>, new: &Run<'_, K>) -> Vec<Edit> {
    let (long, wide) = (old.len(), new.len());
    let front = common(old.leaves(), new.leaves(), front_of);
    let back = common(old.leaves().rev(), new.leaves().rev(), back_of).min(long.min(wide) - front);
    let (a, b) = (old.between(front..long - back), new.between(front..wide - back));
    if a.is_empty() && b.is_empty() {
        return Vec::new();
    }
    let whole = || [(0..a.len(), 0..b.len())].into();
    let found = if a.is_empty() || b.is_empty() { None } else { shortest(&a, &b) };
    let shift = |range: Range<usize>| range.start + front..range.end + front;
    let parts: Vec<(Range<usize>, Range<usize>)> = found.unwrap_or_else(whole);
    parts.into_iter().map(|(old, new)| Edit { old: shift(old), new: shift(new) }).collect()
}

/// How many items two series of slices have in common at the end at which `split` looks. `split`
/// returns the length of the common part of two slices, and what is left of both beyond the shorter
/// one.
fn common<'a, T: Eq + 'a>(
    mut a: impl Iterator<Item = &'a [T]>,
    mut b: impl Iterator<Item = &'a [T]>,
    split: impl Fn(&'a [T], &'a [T]) -> (usize, &'a [T], &'a [T]),
) -> usize {
    let (mut x, mut y): (&[T], &[T]) = (&[], &[]);
    let mut count = 0;
    loop {
        if x.is_empty() {
            let Some(next) = a.next() else { return count };
            x = next;
        } else if y.is_empty() {
            let Some(next) = b.next() else { return count };
            y = next;
        } else {
            let (same, left, also) = split(x, y);
            count += same;
            if same < x.len().min(y.len()) {
                return count;
            }
            (x, y) = (left, also);
        }
    }
}

fn front_of<'a, T: Eq>(x: &'a [T], y: &'a [T]) -> (usize, &'a [T], &'a [T]) {
    let count = x.len().min(y.len());
    let ((a, x), (b, y)) = (x.split_at(count), y.split_at(count));
    // Whole slices compare faster than items. Only the first ones that differ are looked at again.
    let same = if a == b { count } else { a.iter().zip(b).take_while(|(a, b)| a == b).count() };
    (same, x, y)
}

fn back_of<'a, T: Eq>(x: &'a [T], y: &'a [T]) -> (usize, &'a [T], &'a [T]) {
    let count = x.len().min(y.len());
    let ((x, a), (y, b)) = (x.split_at(x.len() - count), y.split_at(y.len() - count));
    let pairs = || a.iter().rev().zip(b.iter().rev());
    let same = if a == b { count } else { pairs().take_while(|(a, b)| a == b).count() };
    (same, x, y)
}

/// The shortest edit script, unless it is longer than [`EDITS_MAX`].
fn shortest<T: Eq>(a: &[&T], b: &[&T]) -> Option<Vec<(Range<usize>, Range<usize>)>> {
    let (n, m) = (a.len() as isize, b.len() as isize);
    if n.abs_diff(m) > EDITS_MAX {
        return None;
    }
    let offset = EDITS_MAX as isize + 1;
    // `reach[k]` is how far into `a` the best script on diagonal k (position in `a` minus position
    // in `b`) has come.
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

/// Follows the script back from its end and gathers runs of edits.
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
