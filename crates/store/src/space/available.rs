//! How much data can still be written: what `df` shows. It is never more than what can be had.
//!
//! A free block counts once: inside the file where the host holds room for it, or among what the
//! host has free. What is promised to others than data does not count.

use super::{Purpose, Space, State};
use crate::format::block::{BlockAddr, BlockRun};
use crate::format::layout::{BLOCK_BYTES, CHUNK_BLOCKS, STAGE_BYTES_MAX, segment_of};
use crate::pins::Since;
use crate::sync::lock;

/// A write of this size finds room as long as any is reported: a caller that learns in time that
/// there is none must not find that smaller ones still fit. It is as much as doors hand over at a
/// time.
const LAST_WRITE_BLOCKS: u64 = (STAGE_BYTES_MAX / BLOCK_BYTES) as u64;
/// Nodes that name data take room too: checksums, entries, and what nodes leave unused. What is
/// free inside the file may lie in pieces, each with an entry of its own; so one block in this many
/// is for nodes,
const NODES_SHARE_INSIDE: u64 = 16;
/// and where the host gives whole chunks, one in this many.
const NODES_SHARE_OF_CHUNKS: u64 = 64;

impl Space {
    /// Blocks that data finds ready, without asking the host and without a checkpoint.
    pub fn ready_for_data(&self) -> u64 {
        let state = lock(&self.state);
        state.told(0, 0)
    }

    /// Blocks that data can still take on a host with this many free ones. `readers`: hold what
    /// they may see.
    pub fn available(&self, host_free_blocks: u64, readers: &[Since]) -> u64 {
        let state = lock(&self.state);
        // The host is asked for whole chunks, and needs some room for itself to hold one.
        let host = (host_free_blocks / CHUNK_BLOCKS).saturating_sub(1) * CHUNK_BLOCKS;
        let soon: u64 = state.limbo.to_come(readers).map(|run| state.on_host(run)).sum::<u64>()
            + state.leaving();
        state.told(soon, host)
    }
}

impl State {
    /// What may be reported as free for data: of the blocks that are ready, of others inside the
    /// file, and of the host's.
    fn told(&self, others: u64, host: u64) -> u64 {
        let promised = self.reserve.floor(Purpose::Data);
        // Single blocks are of use to data alone.
        let singles = if self.room >= promised { self.ready - self.room } else { 0 };
        let inside = self.room + singles + others;
        let inside = inside - inside.div_ceil(NODES_SHARE_INSIDE);
        let host = host - host.div_ceil(NODES_SHARE_OF_CHUNKS);
        inside.saturating_add(host).saturating_sub(promised + LAST_WRITE_BLOCKS)
    }

    /// Blocks of a run that are ready once they are free.
    fn on_host(&self, run: BlockRun) -> u64 {
        let ready = |block: BlockAddr| {
            self.locate(block)
                .is_some_and(|(index, at)| !self.segments[index].is_hole(at / CHUNK_BLOCKS))
        };
        // All blocks of a chunk are alike.
        let (mut at, end, mut count) = (run.start, run.start.saturating_add(run.blocks), 0);
        while at < end {
            let within = segment_of(at).map_or(0, |place| place.at % CHUNK_BLOCKS);
            let next = (at + (CHUNK_BLOCKS - within)).min(end);
            if ready(at) {
                count += next - at;
            }
            at = next;
        }
        count
    }

    /// Free blocks that the host still holds room for, though they are marked to go to it.
    fn leaving(&self) -> u64 {
        self.segments.iter().map(super::Segment::leaving).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::{Device, MemoryDevice};
    use crate::format::ids::Generation;
    use crate::pins::Epoch;
    use crate::space::{Freed, Preallocation, TableImage, TrimPolicy};
    use std::sync::Arc;

    fn available(disk: &MemoryDevice, space: &Space) -> u64 {
        space.available(disk.host_free_bytes().unwrap() / BLOCK_BYTES as u64, &[])
    }

    /// Blocks that data really gets.
    fn taken(space: &Space) -> u64 {
        let mut preallocation = Preallocation::default();
        (0..).find(|_| space.allocate(&mut preallocation, 1, Purpose::Data).is_err()).unwrap()
    }

    #[test]
    fn what_is_free_counts_once_wherever_it_is_and_can_be_had() {
        let disk = Arc::new(MemoryDevice::with_capacity(40 * CHUNK_BLOCKS * BLOCK_BYTES as u64));
        let space = Space::empty(disk.clone());
        let empty = available(&disk, &space);
        let whole = 40 * CHUNK_BLOCKS;
        assert!(empty <= whole && empty > whole * 8 / 10, "{empty} of {whole}");
        let run = space
            .allocate(&mut Preallocation::default(), 20 * CHUNK_BLOCKS, Purpose::Data)
            .unwrap()[0];
        space.mark_allocated(run);
        space.cut();
        let table = space.write_cut(&TableImage::default()).unwrap();
        space.finish_checkpoint();
        let half = available(&disk, &space);
        assert!(half <= empty - 20 * CHUNK_BLOCKS / 2, "{half} of {empty}");
        // What was freed counts before the checkpoint that lets it go, while it goes to the host,
        // and there.
        space.free_after_checkpoint(Freed { run, epoch: Epoch(0), birth: Some(Generation(0)) });
        let close =
            |now: u64| assert!(now <= empty && now + 2 * CHUNK_BLOCKS > empty, "{now}, {empty}");
        close(available(&disk, &space));
        let reader = Since { epoch: Epoch(0), generation: Generation(0) };
        assert_eq!(space.available(0, &[reader]), 0, "a reader holds it");
        space.cut();
        space.write_cut(&table).unwrap();
        space.finish_checkpoint();
        close(available(&disk, &space));
        space.drain(&crate::pins::Readers { before: Epoch(u64::MAX), since: Vec::new() });
        close(available(&disk, &space));
        assert!(space.mark_for_trim(100, TrimPolicy::LongIdle) > 10);
        close(available(&disk, &space));
        let told = available(&disk, &space);
        // Another program takes what the host has: what was marked is taken into use again.
        disk.set_capacity(Some(disk.allocated_bytes().unwrap()));
        let told_full = available(&disk, &space);
        assert!(told_full < told);
        let got = taken(&space);
        assert!(got >= told_full && got < told_full + 4 * CHUNK_BLOCKS, "{got} of {told_full}");
        assert_eq!(available(&disk, &space), 0);
    }
}
