//! Bringing a checkpoint's changes of counts into the system tree.

use super::RangeDeltas;
use crate::error::{Error, Result};
use crate::format::catalog::{PREFIX_COUNT, decode_count, encode_count, key_number, number_key};
use crate::tree::{Cursor, Nodes, Root, ShadowPolicy, Tree};

/// A range with its count.
type Counted = (u64, u64, i64);

/// Adds `deltas` to the counts stored in `tree`.
pub(crate) fn apply<O: ShadowPolicy>(tree: &mut Tree<'_, O>, deltas: &RangeDeltas) -> Result<()> {
    for (start, end, delta) in deltas.iter() {
        let stored = overlapping(tree.nodes, tree.root, start, end)?;
        for (from, _, _) in &stored {
            tree.remove(&number_key(PREFIX_COUNT, *from))?;
        }
        for (from, to, count) in summed(&stored, start, end, delta) {
            if count < 1 {
                return Err(Error::damaged(from, format!("its reference count became {count}")));
            }
            let count = u32::try_from(count)
                .map_err(|_| Error::damaged(from, "its reference count overflows"))?;
            if count > 1 {
                tree.put(&number_key(PREFIX_COUNT, from), &encode_count(to - from, count))?;
            }
        }
    }
    Ok(())
}

/// Stored ranges that overlap or touch `[start, end)`, in order.
fn overlapping(nodes: &Nodes, root: &Root, start: u64, end: u64) -> Result<Vec<Counted>> {
    let mut cursor = Cursor::seek_floor(nodes, root, &number_key(PREFIX_COUNT, start))?;
    let mut found = Vec::new();
    while let Some((key, value)) = cursor.next(nodes)? {
        match key.first() {
            Some(&PREFIX_COUNT) => {}
            first if first < Some(&PREFIX_COUNT) => continue,
            _ => break,
        }
        let from = key_number(&key).map_err(|m| Error::damaged(start, m.0))?;
        let (blocks, count) = decode_count(&value).map_err(|m| Error::damaged(start, m.0))?;
        if from > end {
            break;
        }
        if from + blocks >= start {
            found.push((from, from + blocks, i64::from(count)));
        }
    }
    Ok(found)
}

/// The stored ranges with `delta` added on `[start, end)`; neighbours of equal count are joined.
fn summed(stored: &[Counted], start: u64, end: u64, delta: i64) -> Vec<Counted> {
    let mut pieces: Vec<Counted> = Vec::new();
    let mut push = |from: u64, to: u64, count: i64| {
        if from >= to {
            return;
        }
        match pieces.last_mut() {
            Some(last) if last.1 == from && last.2 == count => last.1 = to,
            _ => pieces.push((from, to, count)),
        }
    };
    let mut at = start;
    for &(from, to, count) in stored {
        push(from, to.min(start), count);
        push(at, from.clamp(at, end), 1 + delta);
        push(from.max(start), to.min(end), count + delta);
        push(from.max(end), to, count);
        at = at.max(to.min(end));
    }
    push(at, end, 1 + delta);
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delta_splits_the_ranges_it_cuts_and_joins_equal_ones() {
        let stored = [(0, 10, 3), (20, 30, 2)];
        assert_eq!(
            summed(&stored, 5, 25, 1),
            [(0, 5, 3), (5, 10, 4), (10, 20, 2), (20, 25, 3), (25, 30, 2)]
        );
        assert_eq!(summed(&stored, 10, 20, 2), [(0, 20, 3), (20, 30, 2)]);
        assert_eq!(summed(&[], 4, 6, 1), [(4, 6, 2)]);
        assert_eq!(summed(&[(4, 6, 2)], 4, 6, -1), [(4, 6, 1)]);
    }
}
