//! The ring of blocks that holds the journal.

use super::group::{self, Encoded, Link};
use crate::device::{AlignedBuf, Device};
use crate::error::{Error, Result};
use crate::format::block::BlockAddr;
use crate::format::ids::Sequence;
use crate::format::layout::BLOCK_BYTES;
use crate::format::superblock::Superblock;

/// A place in the ring, and what the group there must carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark {
    pub head: u64,
    pub link: Link,
}

#[derive(Debug)]
pub(crate) struct Ring {
    /// First block and number of blocks.
    pub block: BlockAddr,
    pub blocks: u64,
    /// Where the next group goes, and where replay would begin; blocks from the ring's start.
    pub head: u64,
    pub tail: u64,
    pub link: Link,
    /// Where the checkpoint being written cuts, once known.
    pub mark: Option<Mark>,
    /// Records below this were dropped from memory unwritten: nothing may be written after them
    /// until the checkpoint that covers them is durable.
    pub covered: Option<Sequence>,
}

impl Ring {
    /// The ring as a superblock describes it.
    pub fn of(sb: &Superblock) -> Ring {
        let link = Link {
            salt: sb.salt,
            session: 0,
            sequence: sb.replay_sequence,
            chain: sb.replay_chain,
        };
        Ring {
            block: sb.ring_block,
            blocks: sb.ring_blocks,
            head: sb.replay_block,
            tail: sb.replay_block,
            link,
            mark: None,
            covered: None,
        }
    }

    pub fn used(&self) -> u64 {
        (self.head + self.blocks - self.tail) % self.blocks
    }

    /// Writes a group at the head. Returns `false` if there is no room.
    pub fn write(
        &mut self,
        device: &dyn Device,
        group: &Encoded,
        durable: Sequence,
    ) -> Result<bool> {
        let needed = group.blocks();
        let wraps = self.head + needed > self.blocks;
        let taken = if wraps { self.blocks - self.head + needed } else { needed };
        // One block stays free, so that a full ring doesn't look like an empty one.
        if taken + self.used() + 1 > self.blocks {
            return Ok(false);
        }
        if wraps && self.head < self.blocks {
            let wrap = group::encode_wrap(&self.link, durable);
            self.put(device, &wrap)?;
            self.link.chain = wrap.sum;
            self.head = 0;
            // The group was chained to what came before the wrap.
            self.append(device, &group::rechain(group, &self.link))?;
            return Ok(true);
        }
        if wraps {
            self.head = 0;
        }
        self.append(device, group)?;
        Ok(true)
    }

    /// Writes a group that is chained to the one before, and moves after it.
    fn append(&mut self, device: &dyn Device, group: &Encoded) -> Result<()> {
        self.put(device, group)?;
        self.head += group.blocks();
        self.link.chain = group.sum;
        self.link.sequence = self.link.sequence + group.records;
        Ok(())
    }

    fn put(&self, device: &dyn Device, group: &Encoded) -> Result<()> {
        let mut buf = AlignedBuf::zeroed(group.blocks() as usize * BLOCK_BYTES);
        buf[..group.bytes.len()].copy_from_slice(&group.bytes);
        device
            .write_at((self.block + self.head).offset(), &buf)
            .map_err(|e| Error::io("writing the journal", e))
    }
}
