//! The bytes on disk: pure encoders and decoders, no I/O. `docs/format.md` draws them.

pub(crate) mod block;
pub(crate) mod catalog;
pub(crate) mod change;
pub(crate) mod chunks;
pub(crate) mod codec;
pub(crate) mod extent;
pub(crate) mod ids;
pub(crate) mod layout;
pub(crate) mod pointer;
pub(crate) mod segments;
pub(crate) mod superblock;
pub(crate) mod table_key;

/// XXH3-128 of `bytes`: the checksum of nodes, groups, superblocks and bitmaps.
pub(crate) fn checksum(bytes: &[u8]) -> u128 {
    xxhash_rust::xxh3::xxh3_128(bytes)
}

/// The checksum of one data block: the low 32 bits of its XXH3-64.
pub(crate) fn block_checksum(block: &[u8]) -> u32 {
    xxhash_rust::xxh3::xxh3_64(block) as u32
}
