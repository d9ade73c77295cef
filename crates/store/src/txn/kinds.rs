//! Values and maps keep apart: a transaction that maps, unmaps or shares blocks under whose keys
//! values lie is refused before it changes anything.

use super::batch::Batch;
use super::op::Op;
use crate::error::{Error, Result};
use crate::tree::{Nodes, Root, map_key, values_in_map};
use std::ops::Range;

/// Refuses the operations, to be applied to the tree of `root` in their order, if one of maps would
/// meet a value.
pub(crate) fn refuse_values_in_maps(nodes: &Nodes, root: &Root, ops: &[Op]) -> Result<()> {
    for (at, op) in ops.iter().enumerate() {
        let meets = |map: &[u8], blocks: Range<u64>| {
            refuse_values(nodes, root, &ops[..at], &Mapping { map, blocks })
        };
        match op {
            Op::Batch(_) => {}
            Op::Map { map, block, runs } => {
                let blocks: u64 = runs.iter().map(|run| run.sums.len() as u64).sum();
                meets(map, *block..block.saturating_add(blocks))?;
            }
            Op::Unmap { map, blocks } => meets(map, blocks.clone())?,
            Op::Share { from, blocks, to, to_block } => {
                let count = blocks.end - blocks.start;
                meets(from, blocks.clone())?;
                meets(to, *to_block..to_block.saturating_add(count))?;
            }
        }
    }
    Ok(())
}

/// Some blocks of a map.
struct Mapping<'a> {
    map: &'a [u8],
    blocks: Range<u64>,
}

/// Refuses values in some blocks of a map, as the operations in `before` leave them.
fn refuse_values(nodes: &Nodes, root: &Root, before: &[Op], mapping: &Mapping<'_>) -> Result<()> {
    let Mapping { map, blocks } = mapping;
    let batches = || before.iter().filter_map(batch);
    let refused = |key: &[u8]| Err(Error::wrong_kind(key, "an inline value", "an extent"));
    let made_of = |key: &[u8]| batches().rev().find_map(|batch| batch.change_of(key));
    for batch in batches() {
        let (start, end) = (map_key(map, blocks.start), map_key(map, blocks.end));
        for change in batch.changes_from(&start).take_while(|change| change.key < end.as_slice()) {
            let of_map = change.key.len() == start.len();
            if of_map && made_of(change.key).is_some_and(|last| last.value.is_some()) {
                return refused(change.key);
            }
        }
    }
    values_in_map(nodes, root, map, blocks.clone(), |key| match made_of(key) {
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
