//! The superblock: where everything else begins.

use super::block::BlockAddr;
use super::checksum;
use super::codec::{Decoded, Malformed, Reader, Writer};
use super::ids::{BranchId, ForkPointId, Generation, ReclaimId, Sequence};
use super::layout::{BLOCK_BYTES, FORMAT_VERSION};
use super::pointer::Ptr;

const MAGIC: &[u8; 8] = b"tine\xF0\x9F\x8C\xB1";

/// The state of one durable checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Superblock {
    pub uuid: u128,
    /// Number of the checkpoint; the valid superblock with the highest one counts.
    pub checkpoint: u64,
    /// The store-wide generation.
    pub generation: Generation,
    /// Written into every journal group since; fresh after every recovery.
    pub salt: u64,
    pub ring_block: BlockAddr,
    pub ring_blocks: u64,
    /// Where replay begins, in blocks from the ring's start.
    pub replay_block: u64,
    /// Number of the first record to replay.
    pub replay_sequence: Sequence,
    /// Checksum of the group in front of it.
    pub replay_chain: u128,
    /// Segment table: first block, length in bytes, number of segments, checksum.
    pub table_block: BlockAddr,
    pub table_bytes: u64,
    pub segments: u64,
    pub table_sum: u128,
    /// Root of the system tree, and its level.
    pub system: Option<(Ptr, u8)>,
    pub next_branch: BranchId,
    pub next_fork_point: ForkPointId,
    pub next_reclaim: ReclaimId,
}

/// Feature: the host may hold no space for free blocks in chunks with used ones either. A version
/// that does not know it would hand out used blocks of such chunks.
const THIN_CHUNKS: u64 = 1;

/// Feature bits: a store with others is refused.
const FEATURES_KNOWN: u64 = THIN_CHUNKS;

/// What this version of tine opens.
pub(crate) fn known() -> String {
    named(FORMAT_VERSION, FEATURES_KNOWN)
}

fn named(version: u32, features: u64) -> String {
    format!("{version} with features {features:#x}")
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum SuperblockFault {
    NotOurs,
    Newer(String),
    Torn(&'static str),
}

impl From<Malformed> for SuperblockFault {
    fn from(m: Malformed) -> Self {
        SuperblockFault::Torn(m.0)
    }
}

impl Superblock {
    /// One block of 4096 bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::default();
        w.raw(MAGIC).u32(FORMAT_VERSION).u32(0).u64(FEATURES_KNOWN).u64(0);
        w.u128(self.uuid).u64(self.checkpoint).u64(self.generation.0).u64(self.salt);
        w.u64(self.ring_block.0).u64(self.ring_blocks).u64(self.replay_block);
        w.u64(self.replay_sequence.0).u128(self.replay_chain);
        w.u64(self.table_block.0).u64(self.table_bytes).u64(self.segments).u128(self.table_sum);
        match &self.system {
            Some((ptr, level)) => {
                w.u8(1).u8(*level);
                ptr.encode(&mut w);
            }
            None => {
                w.u8(0);
            }
        }
        w.u64(self.next_branch.0).u64(self.next_fork_point.0).u64(self.next_reclaim.0);
        let mut block = w.0;
        block.resize(BLOCK_BYTES - 16, 0);
        let sum = checksum(&block);
        block.extend_from_slice(&sum.to_le_bytes());
        block
    }

    pub fn decode(block: &[u8]) -> Result<Superblock, SuperblockFault> {
        if block.len() != BLOCK_BYTES || &block[..8] != MAGIC {
            return Err(SuperblockFault::NotOurs);
        }
        let (body, sum) = block.split_at(BLOCK_BYTES - 16);
        if checksum(body).to_le_bytes() != sum {
            return Err(SuperblockFault::Torn("checksum"));
        }
        let mut r = Reader(&body[8..]);
        let version = r.u32()?;
        let _ = r.u32()?;
        // A reader may ignore features of the second kind, but opening a store writes.
        let (reading, writing) = (r.u64()?, r.u64()?);
        if version != FORMAT_VERSION || (reading | writing) & !FEATURES_KNOWN != 0 {
            return Err(SuperblockFault::Newer(named(version, reading | writing)));
        }
        Ok(Self::fields(&mut r)?)
    }

    fn fields(r: &mut Reader) -> Decoded<Superblock> {
        Ok(Superblock {
            uuid: r.u128()?,
            checkpoint: r.u64()?,
            generation: Generation(r.u64()?),
            salt: r.u64()?,
            ring_block: BlockAddr(r.u64()?),
            ring_blocks: r.u64()?,
            replay_block: r.u64()?,
            replay_sequence: Sequence(r.u64()?),
            replay_chain: r.u128()?,
            table_block: BlockAddr(r.u64()?),
            table_bytes: r.u64()?,
            segments: r.u64()?,
            table_sum: r.u128()?,
            system: match r.u8()? {
                0 => None,
                _ => {
                    let level = r.u8()?;
                    Some((Ptr::decode(r)?, level))
                }
            },
            next_branch: BranchId(r.u64()?),
            next_fork_point: ForkPointId(r.u64()?),
            next_reclaim: ReclaimId(r.u64()?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A superblock with one bit set, and the checksum to go with it.
    fn with_bit(at: usize, bit: u8) -> Vec<u8> {
        let mut block = vec![0; BLOCK_BYTES];
        block[..8].copy_from_slice(MAGIC);
        block[8..12].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
        block[at] |= bit;
        let sum = checksum(&block[..BLOCK_BYTES - 16]);
        block[BLOCK_BYTES - 16..].copy_from_slice(&sum.to_le_bytes());
        block
    }

    #[test]
    fn unknown_features_of_either_kind_are_refused_by_number() {
        for (at, bit) in [(16, 2), (23, 0x80), (24, 2)] {
            let refused = Superblock::decode(&with_bit(at, bit)).unwrap_err();
            assert!(matches!(refused, SuperblockFault::Newer(_)), "{at}: {refused:?}");
        }
        assert!(Superblock::decode(&with_bit(16, 1)).is_ok());
        assert!(Superblock::decode(&with_bit(16, 0)).is_ok());
    }
}
