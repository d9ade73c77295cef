//! Bringing a checkpoint's changes of counts into the system tree.

use super::RangeDeltas;
use crate::error::{Error, Result};
use crate::format::block::BlockAddr;
use crate::format::catalog::{PREFIX_COUNT, decode_count, encode_count, key_number, number_key};
use crate::tree::{Cursor, Nodes, Root, ShadowPolicy, Tree};
use std::ops::Range;

/// A range of blocks with its count.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Counted {
    blocks: Range<BlockAddr>,
    count: i64,
}

/// Adds `deltas` to the counts stored in `tree`.
pub(crate) fn apply<O: ShadowPolicy>(tree: &mut Tree<'_, O>, deltas: &RangeDeltas) -> Result<()> {
    for (range, delta) in deltas.iter() {
        let stored = overlapping(tree.nodes, tree.root, &range)?;
        for Counted { blocks, .. } in &stored {
            tree.remove(&number_key(PREFIX_COUNT, blocks.start.0))?;
        }
        for Counted { blocks, count } in summed(&stored, &range, delta) {
            let Range { start, end } = blocks;
            if count < 1 {
                return Err(Error::damaged_at(
                    start,
                    format!("its reference count became {count}"),
                ));
            }
            let count = u32::try_from(count)
                .map_err(|_| Error::damaged_at(start, "its reference count overflows"))?;
            if count > 1 {
                tree.put(&number_key(PREFIX_COUNT, start.0), &encode_count(end - start, count))?;
            }
        }
    }
    Ok(())
}

/// Stored ranges that overlap or touch `range`, in order.
fn overlapping(nodes: &Nodes, root: &Root, range: &Range<BlockAddr>) -> Result<Vec<Counted>> {
    let Range { start, end } = *range;
    let mut cursor = Cursor::seek_floor(nodes, root, &number_key(PREFIX_COUNT, start.0))?;
    let mut found = Vec::new();
    while let Some((key, value)) = cursor.next(nodes)? {
        match key.first() {
            Some(&PREFIX_COUNT) => {}
            first if first < Some(&PREFIX_COUNT) => continue,
            _ => break,
        }
        let from = key_number(&key).map_err(|m| Error::damaged_at(start, m.0))?;
        let from = BlockAddr(from);
        let (blocks, count) = decode_count(&value).map_err(|m| Error::damaged_at(start, m.0))?;
        if from > end {
            break;
        }
        if from + blocks >= start {
            found.push(Counted { blocks: from..from + blocks, count: i64::from(count) });
        }
    }
    Ok(found)
}

/// The stored ranges with `delta` added on `range`; neighbours of equal count are joined.
fn summed(stored: &[Counted], range: &Range<BlockAddr>, delta: i64) -> Vec<Counted> {
    let mut pieces: Vec<Counted> = Vec::new();
    let mut push = |from: BlockAddr, to: BlockAddr, count: i64| {
        if from >= to {
            return;
        }
        match pieces.last_mut() {
            Some(last) if last.blocks.end == from && last.count == count => last.blocks.end = to,
            _ => pieces.push(Counted { blocks: from..to, count }),
        }
    };
    let Range { start, end } = *range;
    let mut at = start;
    for &Counted { blocks: Range { start: from, end: to }, count } in stored {
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
        let blocks = |from, to| BlockAddr(from)..BlockAddr(to);
        let counted = |(from, to, count)| Counted { blocks: blocks(from, to), count };
        let stored = [(0, 10, 3), (20, 30, 2)].map(counted);
        let split = [(0, 5, 3), (5, 10, 4), (10, 20, 2), (20, 25, 3), (25, 30, 2)];
        assert_eq!(summed(&stored, &blocks(5, 25), 1), split.map(counted));
        let joined = [(0, 20, 3), (20, 30, 2)];
        assert_eq!(summed(&stored, &blocks(10, 20), 2), joined.map(counted));
        assert_eq!(summed(&[], &blocks(4, 6), 1), [counted((4, 6, 2))]);
        assert_eq!(summed(&[counted((4, 6, 2))], &blocks(4, 6), -1), [counted((4, 6, 1))]);
    }
}
