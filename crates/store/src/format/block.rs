//! Addresses and runs of blocks in the store's file.

use std::fmt;
use std::ops::{Add, AddAssign, Range, Sub};

/// The unit of addresses, of file data and of checksums, in bytes.
pub const BLOCK_BYTES: usize = 4096;

/// The address of a block: its number, counted in blocks of 4 KiB from the start of the file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct BlockAddr(pub u64);

impl BlockAddr {
    pub const MAX: BlockAddr = BlockAddr(u64::MAX);

    /// Where the block begins in the file, in bytes.
    pub const fn offset(self) -> u64 {
        self.0 * BLOCK_BYTES as u64
    }

    /// As [`BlockAddr::offset`], for an address that was read and may lead anywhere: `None` if it
    /// leads beyond any file.
    pub fn checked_offset(self) -> Option<u64> {
        self.0.checked_mul(BLOCK_BYTES as u64)
    }

    pub fn checked_add(self, blocks: u64) -> Option<BlockAddr> {
        self.0.checked_add(blocks).map(BlockAddr)
    }

    pub fn saturating_add(self, blocks: u64) -> BlockAddr {
        BlockAddr(self.0.saturating_add(blocks))
    }
}

/// The address this many blocks on.
impl Add<u64> for BlockAddr {
    type Output = BlockAddr;

    fn add(self, blocks: u64) -> BlockAddr {
        BlockAddr(self.0 + blocks)
    }
}

impl AddAssign<u64> for BlockAddr {
    fn add_assign(&mut self, blocks: u64) {
        self.0 += blocks;
    }
}

/// The number of blocks from one address to a later one.
impl Sub for BlockAddr {
    type Output = u64;

    fn sub(self, earlier: BlockAddr) -> u64 {
        self.0 - earlier.0
    }
}

impl fmt::Display for BlockAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Blocks one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BlockRun {
    pub start: BlockAddr,
    pub blocks: u64,
}

impl BlockRun {
    pub const fn new(start: BlockAddr, blocks: u64) -> BlockRun {
        BlockRun { start, blocks }
    }

    /// Where the blocks lie in the file, in bytes.
    pub fn bytes(self) -> Range<u64> {
        self.start.offset()..self.end().offset()
    }

    /// The address after the last block.
    pub fn end(self) -> BlockAddr {
        self.start + self.blocks
    }
}
