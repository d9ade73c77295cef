//! Space state at a checkpoint: bitmaps into their slots, then the segment table that names them.

use super::bits::Bits;
use super::segment::{Segment, read_bitmap};
use super::{Space, State};
use crate::device::{AlignedBuf, Device};
use crate::error::{Error, Result};
use crate::format::block::{BlockAddr, BlockRun};
use crate::format::layout::{BLOCK_BYTES, SEGMENTS_MAX, segment_start};
use crate::format::segments::{self, ENTRY_BYTES};
use crate::format::{checksum, superblock::Superblock};
use crate::sync::lock;
use std::sync::Arc;

/// Where a segment table was written.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct TableImage {
    pub block: BlockAddr,
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
        (self.bytes > 0).then(|| BlockRun::new(self.block, self.bytes.div_ceil(BLOCK_BYTES as u64)))
    }

    fn read(&self, device: &dyn Device) -> Result<Vec<segments::SegmentEntry>> {
        if self.segments > SEGMENTS_MAX || self.bytes != self.segments * ENTRY_BYTES as u64 {
            return Err(Error::damaged("the superblock names a segment table of impossible size"));
        }
        if self.bytes == 0 {
            return Ok(Vec::new());
        }
        let blocks = self.bytes.div_ceil(BLOCK_BYTES as u64);
        let end = self.block.checked_add(blocks).and_then(BlockAddr::checked_offset);
        let len = device.len().map_err(|e| Error::io("measuring the store", e))?;
        if end.is_none_or(|end| end > len) {
            return Err(Error::damaged_at(self.block, "the segment table lies outside the file"));
        }
        let mut buf = AlignedBuf::zeroed(blocks as usize * BLOCK_BYTES);
        device
            .read_at(self.block.offset(), &mut buf)
            .map_err(|e| Error::io("reading the segment table", e))?;
        let bytes = &buf[..self.bytes as usize];
        if checksum(bytes) != self.sum {
            return Err(Error::damaged_at(self.block, "the segment table fails its checksum"));
        }
        segments::decode(bytes, self.segments).map_err(|m| Error::damaged_at(self.block, m.0))
    }

    /// All bitmaps that the table names, for the checker.
    pub fn bitmaps(&self, device: &dyn Device) -> Result<Vec<Bits>> {
        let entries = self.read(device)?;
        let segments = (0..).map(segment_start).zip(&entries);
        segments.map(|(start, entry)| read_bitmap(device, start, entry)).collect()
    }
}

impl Space {
    /// The space that a superblock's segment table describes. Bitmaps are read when needed.
    pub fn load(device: Arc<dyn Device>, table: &TableImage) -> Result<Space> {
        let entries = table.read(&*device)?;
        let len = device.len().map_err(|e| Error::io("measuring the store", e))?;
        if len < segment_start(entries.len() as u64).offset() {
            return Err(Error::damaged_at(
                BlockAddr(len / BLOCK_BYTES as u64),
                "the file is shorter than its segments",
            ));
        }
        let segments = (0..).map(segment_start).zip(entries);
        let segments = segments.map(|(start, entry)| Segment::stored(start, entry)).collect();
        Ok(Space::with_segments(device, segments))
    }

    /// A checkpoint begins: images change from here on without touching what it will write.
    pub fn cut(&self) {
        let mut state = lock(&self.state);
        state.cut = true;
        state.reserve.cut();
        state.segments.iter_mut().for_each(Segment::begin_cut);
        state.limbo.cut();
    }

    /// Writes the bitmaps and the table of the cut; frees the table before it.
    pub fn write_cut(&self, old: &TableImage) -> Result<TableImage> {
        if let Some(run) = old.run() {
            self.free_at_checkpoint(run);
        }
        // Taking room for the table may add a segment, and that a block to the table.
        let mut run = BlockRun::new(BlockAddr(0), 0);
        let mut state = lock(&self.state);
        while table_blocks(&state) != run.blocks {
            let wanted = table_blocks(&state).max(1);
            drop(state);
            if run.blocks > 0 {
                self.free_at_checkpoint(run);
            }
            run = BlockRun::new(self.allocate_run(wanted)?, wanted);
            state = lock(&self.state);
        }
        // A segment added from here on holds nothing of the cut.
        let count = state.segments.len();
        drop(state);
        let entries = self.write_bitmaps(count)?;
        let bytes = segments::encode(&entries);
        let mut buf = AlignedBuf::zeroed(run.blocks as usize * BLOCK_BYTES);
        buf[..bytes.len()].copy_from_slice(&bytes);
        self.device
            .write_at(run.start.offset(), &buf)
            .map_err(|e| Error::io("writing the segment table", e))?;
        Ok(TableImage {
            block: run.start,
            bytes: bytes.len() as u64,
            segments: entries.len() as u64,
            sum: checksum(&bytes),
        })
    }

    /// Writes the bitmaps of the cut, a few at a time, so that no thread waits long for space
    /// meanwhile.
    fn write_bitmaps(&self, count: usize) -> Result<Vec<segments::SegmentEntry>> {
        const STEP: usize = 64;
        let mut entries = Vec::with_capacity(count);
        for first in (0..count).step_by(STEP) {
            let mut images = Vec::new();
            let mut state = lock(&self.state);
            for segment in &mut state.segments[first..count.min(first + STEP)] {
                if segment.writing {
                    let block = segment.next_bitmap();
                    images.push((block, segment.record_cut(&*self.device)?));
                }
                segment.entry.holes = segment.holes;
                entries.push(segment.entry);
            }
            drop(state);
            for (block, image) in images {
                self.device
                    .write_at(block.offset(), &image)
                    .map_err(|e| Error::io("writing a segment's bitmap", e))?;
            }
        }
        Ok(entries)
    }

    /// The checkpoint is durable: what it freed may be used again, readers permitting.
    pub fn finish_checkpoint(&self) {
        let mut state = lock(&self.state);
        state.cut = false;
        state.reserve.writing = 0;
        state.segments.iter_mut().for_each(Segment::end_cut);
        state.limbo.finish_checkpoint();
    }
}

fn table_blocks(state: &State) -> u64 {
    (state.segments.len() as u64 * ENTRY_BYTES as u64).div_ceil(BLOCK_BYTES as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::MemoryDevice;
    use crate::format::layout::{SEGMENT_BLOCKS, SEGMENT_HEAD_BLOCKS};
    use crate::pins::{Epoch, Readers};
    use crate::space::Purpose;

    const ENTRY: u64 = ENTRY_BYTES as u64;

    fn checkpoint(space: &Space, table: &TableImage) -> TableImage {
        space.cut();
        let table = space.write_cut(table).unwrap();
        space.finish_checkpoint();
        space.drain(&Readers { before: Epoch(u64::MAX), since: Vec::new() });
        table
    }

    fn used(space: &Space) -> u64 {
        space.totals().used_blocks
    }

    #[test]
    fn a_table_of_many_segments_is_read_as_it_was_written_and_takes_the_place_of_the_one_before() {
        let disk = Arc::new(MemoryDevice::new());
        let space = Space::empty(disk.clone());
        for index in [0, 63, 64, 127, 129] {
            space.claim(BlockRun::new(segment_start(index) + 5 + index, 3)).unwrap();
        }
        let mut table = TableImage::default();
        for life in 0..3 {
            table = checkpoint(&space, &table);
            assert_eq!((table.segments, table.bytes), (130, 130 * ENTRY));
            assert_eq!(table.run(), Some(BlockRun::new(table.block, 2)));
            // In use are 15 blocks, the table, and the one before until the checkpoint after this
            // one.
            assert_eq!(used(&space), 15 + 2, "life {life}");
            let bitmaps = table.bitmaps(&*disk).unwrap();
            let taken: Vec<_> = bitmaps.iter().map(|b| SEGMENT_BLOCKS - b.zeros()).collect();
            assert_eq!(taken.iter().sum::<u64>(), 130 * SEGMENT_HEAD_BLOCKS + 15 + 2);
            assert_eq!((taken[63], taken[64], taken[65]), (5, 5, 2));
            let loaded = Space::load(disk.clone(), &table).unwrap();
            assert_eq!((used(&loaded), used(&space)), (17, 17));
            assert!((5 + 64..8 + 64).all(|at| bitmaps[64].get(at)));
        }
        assert_eq!(TableImage::default().run(), None);
        assert_eq!(TableImage::default().bitmaps(&*disk).unwrap(), []);
    }

    #[test]
    fn a_table_that_needs_one_more_segment_than_there_was_lists_that_too() {
        let disk = Arc::new(MemoryDevice::new());
        let space = Space::empty(disk.clone());
        let usable = SEGMENT_BLOCKS - SEGMENT_HEAD_BLOCKS;
        // The last segments that one block of the table takes, and nothing free in any.
        for index in 0..BLOCK_BYTES as u64 / ENTRY {
            space.claim(BlockRun::new(segment_start(index) + SEGMENT_HEAD_BLOCKS, usable)).unwrap();
        }
        let table = checkpoint(&space, &TableImage::default());
        assert_eq!((table.segments, table.run().map(|run| run.blocks)), (129, Some(2)));
        assert_eq!(used(&Space::load(disk, &table).unwrap()), 128 * usable + 2);
        assert_eq!(used(&space), 128 * usable + 2);
    }

    #[test]
    fn what_was_handed_out_and_not_named_is_free_in_the_life_after() {
        let disk = Arc::new(MemoryDevice::new());
        let space = Space::empty(disk.clone());
        let run = space
            .allocate(&mut super::super::Preallocation::default(), 100, Purpose::Data)
            .unwrap()[0];
        space.mark_allocated(BlockRun { blocks: 60, ..run });
        space.cut();
        space.mark_allocated(BlockRun::new(run.start + 60, 10));
        let table = space.write_cut(&TableImage::default()).unwrap();
        space.finish_checkpoint();
        let named = |table: &TableImage| used(&Space::load(disk.clone(), table).unwrap());
        assert_eq!(named(&table), 61);
        assert_eq!(named(&checkpoint(&space, &table)), 71);
    }

    #[test]
    fn a_table_of_impossible_size_or_place_or_a_wrong_one_is_refused() {
        let disk = Arc::new(MemoryDevice::new());
        let space = Space::empty(disk.clone());
        space.claim(BlockRun::new(segment_start(0) + 5, 1)).unwrap();
        let table = checkpoint(&space, &TableImage::default());
        let end = segment_start(1);
        let last = BlockAddr(end.0 - 1);
        // At the very end of the file is a place as good as any.
        let mut bytes = vec![0; BLOCK_BYTES];
        disk.read_at(table.block.offset(), &mut bytes).unwrap();
        disk.write_at(last.offset(), &bytes).unwrap();
        let load = |table: TableImage| Space::load(disk.clone(), &table).map(|space| used(&space));
        assert_eq!(load(TableImage { block: last, ..table }).unwrap(), 2);
        let refused = |table: TableImage| {
            assert!(load(table).is_err(), "{table:?}");
            assert!(table.bitmaps(&*disk).is_err(), "{table:?}");
        };
        refused(TableImage { block: end, ..table });
        refused(TableImage { block: BlockAddr::MAX, ..table });
        refused(TableImage { block: BlockAddr(u64::MAX / BLOCK_BYTES as u64), ..table });
        refused(TableImage { sum: table.sum + 1, ..table });
        refused(TableImage { bytes: 2 * ENTRY, ..table });
        refused(TableImage { segments: 2, ..table });
        let many = SEGMENTS_MAX + 1;
        refused(TableImage { segments: many, bytes: many * ENTRY, ..table });
        refused(TableImage { segments: u64::MAX / 8, ..table });
        disk.set_len(last.offset()).unwrap();
        let error = load(table).unwrap_err();
        assert!(matches!(error, Error::Damaged { block, .. } if block == Some(last.0)), "{error}");
    }
}
