//! What a commit consists of.

use super::batch::Batch;
use crate::dirty::DirtyData;
use crate::format::block::{BlockAddr, BlockRun};
use crate::format::layout::EXTENT_BLOCKS_MAX;
use std::ops::Range;
use std::sync::Arc;

#[derive(Debug)]
pub(crate) enum Op {
    /// Puts and deletes.
    Batch(Batch),
    Map {
        map: Box<[u8]>,
        block: u64,
        runs: Vec<DataRun>,
    },
    Unmap {
        map: Box<[u8]>,
        blocks: Range<u64>,
    },
    /// Maps blocks of one map from `to_block` of another on.
    Share {
        from: Box<[u8]>,
        blocks: Range<u64>,
        to: Box<[u8]>,
        to_block: u64,
    },
}

/// A run of data blocks with their checksums.
#[derive(Debug)]
pub(crate) struct DataRun {
    pub addr: BlockAddr,
    pub sums: Arc<[u32]>,
    pub data: RunData,
}

impl DataRun {
    /// Where its blocks lie, unless it was replayed.
    pub fn blocks(&self) -> BlockRun {
        BlockRun { start: self.addr, blocks: self.sums.len() as u64 }
    }
}

/// Where the data of a run is.
#[derive(Debug)]
pub(crate) enum RunData {
    /// Written to its blocks.
    OnDevice,
    /// In memory, perhaps written meanwhile.
    Dirty(Arc<DirtyData>),
    /// Found inside a journal record; has no blocks yet.
    Replayed(Box<[u8]>),
}

/// The batch at the end of `ops`, which takes puts and deletes in.
pub(crate) fn last_batch(ops: &mut Vec<Op>) -> &mut Batch {
    if !matches!(ops.last(), Some(Op::Batch(_))) {
        ops.push(Op::Batch(Batch::default()));
    }
    match ops.last_mut() {
        Some(Op::Batch(batch)) => batch,
        _ => unreachable!("a batch was just put at the end"),
    }
}

/// A run as long as one extent entry can be.
pub(crate) fn extent_pieces(run: &DataRun) -> impl Iterator<Item = (BlockAddr, Vec<u32>)> {
    let step = EXTENT_BLOCKS_MAX as usize;
    run.sums
        .chunks(step)
        .enumerate()
        .map(move |(i, sums)| (run.addr + (i * step) as u64, sums.to_vec()))
}
