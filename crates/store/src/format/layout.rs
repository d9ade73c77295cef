//! Sizes and places that the format fixes.

use super::block::BlockAddr;

pub use super::block::BLOCK_BYTES;

/// Longest key, in bytes.
pub const KEY_BYTES_MAX: usize = 512;
/// Longest inline value, in bytes: with its key it stays below a third of a node.
pub const VALUE_BYTES_MAX: usize = 2000;
/// Longest buffer that one [`Branch::stage`](crate::Branch::stage) call takes, in bytes.
pub const STAGE_BYTES_MAX: usize = 1 << 20;

/// The only format version so far.
pub(crate) const FORMAT_VERSION: u32 = 1;

/// A tree node is two blocks. A node must hold at least four of the largest entries' worth of
/// progress: two (key, value) pairs after a split, so 2 * (512 + 2000) < 8192.
pub(crate) const NODE_BYTES: usize = 8192;
pub(crate) const NODE_BLOCKS: u64 = (NODE_BYTES / BLOCK_BYTES) as u64;

/// Blocks named by one extent entry; its checksums take 1 KiB of the node.
pub(crate) const EXTENT_BLOCKS_MAX: u64 = 256;

/// Each superblock slot holds [`SUPERBLOCK_COPIES`], in neighbouring blocks.
pub(crate) const SUPERBLOCK_SLOTS: [BlockAddr; 2] = [BlockAddr(0), BlockAddr(256)];
pub(crate) const SUPERBLOCK_COPIES: u64 = 2;
/// The first journal ring: 6 MiB between the superblocks and the first segment.
pub(crate) const FIRST_RING_BLOCK: BlockAddr = BlockAddr(512);
pub(crate) const FIRST_RING_BLOCKS: u64 = 1536;
/// Segments begin after the first ring.
pub(crate) const FIRST_SEGMENT_BLOCK: BlockAddr = BlockAddr(FIRST_RING_BLOCK.0 + FIRST_RING_BLOCKS);
/// 64 MiB.
pub(crate) const SEGMENT_BLOCKS: u64 = 16384;
/// The two bitmap slots at the head of each segment.
pub(crate) const SEGMENT_HEAD_BLOCKS: u64 = 2;
/// Host space is taken and given back in chunks of 1 MiB, 64 to a segment.
pub(crate) const CHUNK_BLOCKS: u64 = 256;
/// The grown ring fills one segment after its head.
pub(crate) const GROWN_RING_BLOCKS: u64 = SEGMENT_BLOCKS - SEGMENT_HEAD_BLOCKS;
/// Limits what a hostile segment table can make us allocate: 16 Mi segments are 1 PiB.
pub(crate) const SEGMENTS_MAX: u64 = 1 << 24;

const _: () = assert!(SEGMENT_BLOCKS / CHUNK_BLOCKS == 64);
const _: () = assert!(2 * (KEY_BYTES_MAX + VALUE_BYTES_MAX) < NODE_BYTES);

/// First block of a segment.
pub(crate) fn segment_start(index: u64) -> BlockAddr {
    FIRST_SEGMENT_BLOCK + index * SEGMENT_BLOCKS
}

/// Where a block lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PlaceInSegment {
    /// The number of the segment, from 0 on.
    pub segment: u64,
    /// The block in it, counted from the segment's first.
    pub at: u64,
}

/// `None` for a block in front of the first segment.
pub(crate) fn segment_of(block: BlockAddr) -> Option<PlaceInSegment> {
    let offset = block.0.checked_sub(FIRST_SEGMENT_BLOCK.0)?;
    Some(PlaceInSegment { segment: offset / SEGMENT_BLOCKS, at: offset % SEGMENT_BLOCKS })
}
