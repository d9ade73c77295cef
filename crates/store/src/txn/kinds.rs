//! Values and maps keep apart: a transaction that maps, unmaps or shares blocks under whose keys
//! values lie is refused before it changes anything.

use super::batch::Batch;
use super::op::Op;
use crate::error::{Error, Result};
use crate::tree::{Nodes, Root, map_key, values_in_map};

/// Refuses the operations, to be applied to the tree of `root` in their order, if one of maps would
/// meet a value.
pub(crate) fn refuse_values_in_maps(nodes: &Nodes, root: &Root, ops: &[Op]) -> Result<()> {
    for (at, op) in ops.iter().enumerate() {
        let meets = |map: &[u8], block: u64, blocks: u64| {
            let end = block.saturating_add(blocks);
            refuse_values(nodes, root, &ops[..at], &MapSpan { map, block, end })
        };
        match op {
            Op::Batch(_) => {}
            Op::Map { map, block, runs } => {
                meets(map, *block, runs.iter().map(|run| run.sums.len() as u64).sum())?;
            }
            Op::Unmap { map, block, blocks } => meets(map, *block, *blocks)?,
            Op::Share { from, from_block, to, to_block, blocks } => {
                meets(from, *from_block, *blocks)?;
                meets(to, *to_block, *blocks)?;
            }
        }
    }
    Ok(())
}

/// Blocks `[block, end)` of a map.
struct MapSpan<'a> {
    map: &'a [u8],
    block: u64,
    end: u64,
}

/// Refuses values in a span of a map, as the operations in `before` leave them.
fn refuse_values(nodes: &Nodes, root: &Root, before: &[Op], span: &MapSpan<'_>) -> Result<()> {
    let MapSpan { map, block, end } = *span;
    let batches = || before.iter().filter_map(batch);
    let refused = |key: &[u8]| Err(Error::wrong_kind(key, "an inline value", "an extent"));
    let made_of = |key: &[u8]| batches().rev().find_map(|batch| batch.change_of(key));
    for batch in batches() {
        let (start, end) = (map_key(map, block), map_key(map, end));
        for change in batch.changes_from(&start).take_while(|change| change.key < end.as_slice()) {
            let of_map = change.key.len() == start.len();
            if of_map && made_of(change.key).is_some_and(|last| last.value.is_some()) {
                return refused(change.key);
            }
        }
    }
    values_in_map(nodes, root, map, block, end, |key| match made_of(key) {
        Some(_) => Ok(()),
        None => refused(key),
    })
}

fn batch(op: &Op) -> Option<&Batch> {
    match op {
        Op::Batch(batch) => Some(batch),
        _ => None,
    }
}
