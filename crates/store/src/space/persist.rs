//! Space state at a checkpoint: bitmaps into their slots, then the segment table that names them.

use super::bits::Bits;
use super::segment::{Segment, read_bitmap};
use super::{BlockRun, Space, State};
use crate::device::{AlignedBuf, Device};
use crate::error::{Error, Result};
use crate::format::layout::{BLOCK_BYTES, SEGMENTS_MAX, segment_start};
use crate::format::segments::{self, ENTRY_BYTES};
use crate::format::{checksum, superblock::Superblock};
use crate::sync::lock;
use std::sync::Arc;

/// Where a segment table was written.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct TableImage {
    pub block: u64,
    pub bytes: u64,
    pub segments: u64,
    pub sum: u128,
}

impl TableImage {
    pub fn of(sb: &Superblock) -> TableImage {
        TableImage {
            block: sb.table_block,
            bytes: sb.table_bytes,
            segments: sb.segments,
            sum: sb.table_sum,
        }
    }

    pub fn run(&self) -> Option<BlockRun> {
        (self.bytes > 0).then_some((self.block, self.bytes.div_ceil(BLOCK_BYTES as u64)))
    }

    fn read(&self, device: &dyn Device) -> Result<Vec<segments::SegmentEntry>> {
        if self.segments > SEGMENTS_MAX || self.bytes != self.segments * ENTRY_BYTES as u64 {
            return Err(Error::damaged(
                0,
                "the superblock names a segment table of impossible size",
            ));
        }
        if self.bytes == 0 {
            return Ok(Vec::new());
        }
        let blocks = self.bytes.div_ceil(BLOCK_BYTES as u64);
        let end = self.block.checked_add(blocks).and_then(|e| e.checked_mul(BLOCK_BYTES as u64));
        let len = device.len().map_err(|e| Error::io("measuring the store", e))?;
        if end.is_none_or(|end| end > len) {
            return Err(Error::damaged(self.block, "the segment table lies outside the file"));
        }
        let mut buf = AlignedBuf::zeroed(blocks as usize * BLOCK_BYTES);
        device
            .read_at(self.block * BLOCK_BYTES as u64, &mut buf)
            .map_err(|e| Error::io("reading the segment table", e))?;
        let bytes = &buf[..self.bytes as usize];
        if checksum(bytes) != self.sum {
            return Err(Error::damaged(self.block, "the segment table fails its checksum"));
        }
        segments::decode(bytes, self.segments).map_err(|m| Error::damaged(self.block, m.0))
    }

    /// All bitmaps that the table names, for the checker.
    pub fn bitmaps(&self, device: &dyn Device) -> Result<Vec<Bits>> {
        let entries = self.read(device)?;
        entries.iter().enumerate().map(|(i, entry)| read_bitmap(device, i as u64, entry)).collect()
    }
}

impl Space {
    /// The space that a superblock's segment table describes. Bitmaps are read when needed.
    pub fn load(device: Arc<dyn Device>, table: &TableImage) -> Result<Space> {
        let entries = table.read(&*device)?;
        let len = device.len().map_err(|e| Error::io("measuring the store", e))?;
        if len < segment_start(entries.len() as u64) * BLOCK_BYTES as u64 {
            return Err(Error::damaged(
                len / BLOCK_BYTES as u64,
                "the file is shorter than its segments",
            ));
        }
        Ok(Space::with_segments(device, entries.into_iter().map(Segment::stored).collect()))
    }

    /// A checkpoint begins: images change from here on without touching what it will write.
    pub fn cut(&self) {
        let mut state = lock(&self.state);
        state.cut = true;
        state.segments.iter_mut().for_each(Segment::begin_cut);
        state.limbo.cut();
    }

    /// Writes the bitmaps and the table of the cut; frees the table before it.
    pub fn write_cut(&self, old: &TableImage) -> Result<TableImage> {
        if let Some(run) = old.run() {
            self.free_at_checkpoint(run);
        }
        // Taking room for the table may add a segment, and that a block to the table.
        let mut block = 0;
        let mut blocks = 0;
        let mut state = lock(&self.state);
        while table_blocks(&state) != blocks {
            let wanted = table_blocks(&state).max(1);
            drop(state);
            if blocks > 0 {
                self.free_at_checkpoint((block, blocks));
            }
            (block, blocks) = (self.allocate_run(wanted)?, wanted);
            state = lock(&self.state);
        }
        // A segment added from here on holds nothing of the cut.
        let count = state.segments.len();
        drop(state);
        let entries = self.write_bitmaps(count)?;
        let bytes = segments::encode(&entries);
        let mut buf = AlignedBuf::zeroed(blocks as usize * BLOCK_BYTES);
        buf[..bytes.len()].copy_from_slice(&bytes);
        self.device
            .write_at(block * BLOCK_BYTES as u64, &buf)
            .map_err(|e| Error::io("writing the segment table", e))?;
        Ok(TableImage {
            block,
            bytes: bytes.len() as u64,
            segments: entries.len() as u64,
            sum: checksum(&bytes),
        })
    }

    /// Writes the bitmaps of the cut, a few at a time, so that nobody waits long for space meanwhile.
    fn write_bitmaps(&self, count: usize) -> Result<Vec<segments::SegmentEntry>> {
        const STEP: usize = 64;
        let mut entries = Vec::with_capacity(count);
        for first in (0..count).step_by(STEP) {
            let mut images = Vec::new();
            let mut state = lock(&self.state);
            for index in first..count.min(first + STEP) {
                let segment = &mut state.segments[index];
                if segment.writing {
                    let block = segment_start(index as u64) + u64::from(segment.next_slot());
                    images.push((block, segment.record_cut(&*self.device, index as u64)?));
                }
                segment.entry.holes = segment.holes;
                entries.push(segment.entry);
            }
            drop(state);
            for (block, image) in images {
                self.device
                    .write_at(block * BLOCK_BYTES as u64, &image)
                    .map_err(|e| Error::io("writing a segment's bitmap", e))?;
            }
        }
        Ok(entries)
    }

    /// The checkpoint is durable: what it freed may be used again, readers permitting.
    pub fn settle_cut(&self) {
        let mut state = lock(&self.state);
        state.cut = false;
        state.writing = 0;
        state.segments.iter_mut().for_each(Segment::end_cut);
        state.limbo.settle();
    }
}

fn table_blocks(state: &State) -> u64 {
    (state.segments.len() as u64 * ENTRY_BYTES as u64).div_ceil(BLOCK_BYTES as u64)
}
