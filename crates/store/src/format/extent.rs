//! The value of an extent entry: a run of data blocks with a checksum each.

use super::block::{BlockAddr, BlockRun};
use super::codec::{Decoded, Malformed, Reader, Writer};
use super::ids::Generation;
use super::layout::EXTENT_BLOCKS_MAX;
use std::ops::Range;

/// First byte of a tree value: what kind it is.
pub(crate) const TAG_BYTES: u8 = 0;
pub(crate) const TAG_EXTENT: u8 = 1;

/// Blocks shared *inside* the branch: the generation shortcut never applies.
const FLAG_SHARED: u8 = 1;
const HEADER_BYTES: usize = 1 + 8 + 8 + 1 + 2;

/// A run of data blocks, at most 256, named by one tree entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Extent {
    pub addr: BlockAddr,
    pub birth: Generation,
    pub shared: bool,
    pub sums: Vec<u32>,
}

impl Extent {
    pub fn blocks(&self) -> u64 {
        self.sums.len() as u64
    }

    /// Where its blocks lie.
    pub fn run(&self) -> BlockRun {
        BlockRun { start: self.addr, blocks: self.blocks() }
    }

    /// Some blocks of this extent, counted from its first, as an extent of their own.
    pub fn slice(&self, blocks: Range<u64>) -> Extent {
        Extent {
            addr: self.addr + blocks.start,
            birth: self.birth,
            shared: self.shared,
            sums: self.sums[blocks.start as usize..blocks.end as usize].to_vec(),
        }
    }

    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer(Vec::with_capacity(HEADER_BYTES + self.sums.len() * 4));
        w.u8(TAG_EXTENT).u64(self.addr.0).u64(self.birth.0).u8(if self.shared {
            FLAG_SHARED
        } else {
            0
        });
        w.u16(self.sums.len() as u16);
        for sum in &self.sums {
            w.u32(*sum);
        }
        w.0
    }

    /// `value` includes the tag.
    pub fn decode(value: &[u8]) -> Decoded<Extent> {
        let mut r = Reader(value);
        if r.u8()? != TAG_EXTENT {
            return Err(Malformed("an extent entry has another tag"));
        }
        let (addr, birth, flags, blocks) =
            (BlockAddr(r.address()?), r.number()?, r.u8()?, r.u16()?);
        if blocks == 0 || u64::from(blocks) > EXTENT_BLOCKS_MAX {
            return Err(Malformed("an extent is out of range"));
        }
        let sums = r.raw(usize::from(blocks) * 4)?;
        let sums = sums.chunks_exact(4).map(|c| u32::from_le_bytes([c[0], c[1], c[2], c[3]]));
        Ok(Extent {
            addr,
            birth: Generation(birth),
            shared: flags & FLAG_SHARED != 0,
            sums: sums.collect(),
        })
    }

    /// Address of an encoded extent; `None` for a value of another kind.
    pub fn peek_addr(value: &[u8]) -> Option<BlockAddr> {
        match value {
            [TAG_EXTENT, rest @ ..] if rest.len() >= HEADER_BYTES - 1 => {
                rest.first_chunk().map(|addr| BlockAddr(u64::from_le_bytes(*addr)))
            }
            _ => None,
        }
    }

    /// Number of blocks of an encoded extent, without its checksums; 0 for a value of another kind.
    pub fn peek_blocks(value: &[u8]) -> u64 {
        match value {
            [TAG_EXTENT, rest @ ..] if rest.len() >= HEADER_BYTES - 1 => {
                u64::from(u16::from_le_bytes([rest[17], rest[18]]))
            }
            _ => 0,
        }
    }
}
