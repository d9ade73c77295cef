//! Runs of blocks inside one segment.

use crate::format::block::{BlockAddr, BlockRun};
use crate::format::layout::CHUNK_BLOCKS;
use std::ops::RangeInclusive;

/// Blocks one after the other inside one segment, counted from its first block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    pub at: u64,
    pub blocks: u64,
}

impl Span {
    /// The first block of a chunk.
    pub fn start_of(chunk: u64) -> Span {
        Span { at: chunk * CHUNK_BLOCKS, blocks: 1 }
    }

    pub fn end(self) -> u64 {
        self.at + self.blocks
    }

    /// The chunks that it lies in.
    pub fn chunks(self) -> RangeInclusive<u64> {
        self.at / CHUNK_BLOCKS..=(self.end() - 1) / CHUNK_BLOCKS
    }

    /// The same blocks in the file, of the segment that begins at `segment`.
    pub fn in_file(self, segment: BlockAddr) -> BlockRun {
        BlockRun { start: segment + self.at, blocks: self.blocks }
    }
}
