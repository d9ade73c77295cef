//! One segment of 64 MiB: its bitmaps, loaded when first needed.

use super::bits::Bits;
use super::span::Span;
use crate::device::{AlignedBuf, Device};
use crate::error::{Error, Result};
use crate::format::block::BlockAddr;
use crate::format::checksum;
use crate::format::chunks::Chunks;
use crate::format::layout::{
    BLOCK_BYTES, CHUNK_BLOCKS, NODE_BLOCKS, SEGMENT_BLOCKS, SEGMENT_HEAD_BLOCKS,
};
use crate::format::segments::SegmentEntry;
use std::ops::RangeInclusive;

/// On whose behalf an image changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Author {
    /// A commit, or the reclaim worker: counts from the next checkpoint on.
    Writer,
    /// The checkpoint being written: counts in it.
    Checkpoint,
}

#[derive(Debug)]
pub(crate) struct Segment {
    /// Its first block.
    pub start: BlockAddr,
    /// What the segment table says.
    pub entry: SegmentEntry,
    bits: Option<Pair>,
    /// Blocks that are not busy.
    pub free: u16,
    /// Free blocks on the host in pairs of an even and an odd place, as nodes need them: this many
    /// pairs.
    pairs: u64,
    /// Chunks for whose free blocks the host need not hold space.
    pub holes: Chunks,
    /// Holes that the durable checkpoint names, and the one being written does not take back.
    recorded: Chunks,
    /// Holes that the host may hold space for nevertheless: it goes once they are recorded.
    marked: Chunks,
    /// Of these, those that the host is known to hold space for.
    leaving: Chunks,
    /// Holes that are being punched. They are not taken back into use meanwhile.
    going: Chunks,
    /// No free run on the host is longer than this.
    longest: u64,
    /// No run of such pairs.
    longest_pairs: u64,
    /// And none in holes than this.
    longest_hole: u64,
    /// A chunk may be idle: something was freed since none was.
    freed: bool,
    /// The image changed since the last cut.
    pub dirty: bool,
    /// The checkpoint being written has to write the bitmap.
    pub writing: bool,
    /// A change was missed, as the bitmap could not be read.
    missed: bool,
    /// The image as of the cut, if it changed since.
    cut: Option<Bits>,
}

#[derive(Debug)]
struct Pair {
    busy: Bits,
    image: Bits,
}

/// Shorter free runs stay on the host next to used blocks: without them its file would be in too
/// many pieces.
const RUN_BLOCKS_MIN: u64 = 16;
const EMPTY_FREE: u16 = (SEGMENT_BLOCKS - SEGMENT_HEAD_BLOCKS) as u16;

impl Segment {
    /// An empty segment of which the host holds nothing.
    pub fn fresh(start: BlockAddr) -> Segment {
        let entry = SegmentEntry { slot: None, free: EMPTY_FREE, holes: Chunks::ALL, sum: 0 };
        let mut segment = Segment::stored(start, entry);
        segment.bits = Some(Pair { busy: empty_bits(), image: empty_bits() });
        segment
    }

    /// A segment as the table describes it.
    pub fn stored(start: BlockAddr, entry: SegmentEntry) -> Segment {
        Segment {
            start,
            entry,
            bits: None,
            free: entry.free,
            pairs: 0,
            holes: entry.holes,
            recorded: entry.holes,
            marked: Chunks::NONE,
            leaving: Chunks::NONE,
            going: Chunks::NONE,
            longest: SEGMENT_BLOCKS,
            longest_pairs: SEGMENT_BLOCKS,
            longest_hole: SEGMENT_BLOCKS,
            freed: false,
            dirty: false,
            writing: false,
            missed: false,
            cut: None,
        }
    }

    /// Free blocks on the host. Before the bitmap is loaded, no more than there are.
    pub fn ready(&self) -> u64 {
        let free = u64::from(self.free);
        match &self.bits {
            _ if self.holes.is_empty() => free,
            Some(bits) => free - bits.busy.zeros_in(self.holes),
            None => free.saturating_sub(self.holes.count() * CHUNK_BLOCKS),
        }
    }

    /// Room for nodes in it, in blocks. Before the bitmap is loaded, no more than there is.
    pub fn room(&self) -> u64 {
        match &self.bits {
            Some(_) => 2 * self.pairs,
            None => {
                let holes = self.holes.count() * CHUNK_BLOCKS;
                // In the worst case one block of each pair is used.
                (2 * self.ready()).saturating_sub(SEGMENT_BLOCKS - holes)
            }
        }
    }

    /// Whether the bitmap may show more room than is known of.
    pub fn may_show_more(&self) -> bool {
        self.bits.is_none() && self.ready() >= NODE_BLOCKS
    }

    fn recount_pairs(&mut self) {
        let all = Span { at: 0, blocks: SEGMENT_BLOCKS };
        self.pairs = self.bits.as_ref().map_or(0, |bits| bits.busy.pairs_near(all, self.holes));
        self.longest_pairs = SEGMENT_BLOCKS;
    }

    /// Free blocks in chunks that are marked to go to the host and have not gone.
    pub fn leaving(&self) -> u64 {
        match &self.bits {
            Some(bits) if !self.leaving.is_empty() => bits.busy.zeros_in(self.leaving),
            _ => 0,
        }
    }

    /// The first chunk with such blocks.
    pub fn first_leaving(&self) -> Option<u64> {
        self.bits.as_ref().and_then(|_| self.leaving.first())
    }

    /// The host holds no space for the chunk after all.
    pub fn has_left(&mut self, chunk: u64) {
        self.leaving.remove(chunk);
    }

    pub fn may_hold(&self, blocks: u64) -> bool {
        self.ready() >= blocks && self.longest >= blocks
    }

    pub fn load(&mut self, device: &dyn Device) -> Result<()> {
        if self.bits.is_none() {
            let image = read_bitmap(device, self.start, &self.entry)?;
            self.free = image.zeros() as u16;
            self.bits = Some(Pair { busy: image.clone(), image });
            self.recount_pairs();
            self.freed = true;
        }
        Ok(())
    }

    /// The first run of `wanted` free blocks on the host, or the longest there is.
    pub fn find(&mut self, device: &dyn Device, wanted: u64) -> Result<Option<Span>> {
        self.load(device)?;
        let found = self.bits.as_ref().and_then(|b| b.busy.find_zeros(self.holes, wanted));
        let len = found.map_or(0, |span| span.blocks);
        if len < wanted {
            self.longest = len;
        }
        Ok(found)
    }

    /// The first run of `wanted` free blocks on the host that stand in pairs, or the longest there
    /// is.
    pub fn find_pairs(&mut self, device: &dyn Device, wanted: u64) -> Result<Option<Span>> {
        self.load(device)?;
        let found = self.bits.as_ref().and_then(|b| b.busy.find_pairs(self.holes, wanted));
        let len = found.map_or(0, |span| span.blocks);
        if len < wanted {
            self.longest_pairs = len;
        }
        Ok(found)
    }

    pub fn may_hold_pairs(&self, blocks: u64) -> bool {
        (self.room() >= blocks || self.may_show_more()) && self.longest_pairs >= blocks
    }

    /// A free block on the host that stands in no pair.
    pub fn find_single(&self) -> Option<u64> {
        if self.bits.is_none() || self.ready() == self.room() {
            return None;
        }
        self.bits.as_ref().and_then(|bits| bits.busy.find_single(self.holes))
    }

    /// How much less room for nodes there is without a free run on the host.
    pub fn room_taken_by(&self, span: Span) -> u64 {
        self.bits.as_ref().map_or(span.blocks, |bits| 2 * bits.busy.pairs_touched(span))
    }

    /// The first run of `wanted` free blocks that the host holds nothing for, or the longest there
    /// is.
    pub fn find_hole(&mut self, device: &dyn Device, wanted: u64) -> Result<Option<Span>> {
        if self.holes.is_empty() || self.longest_hole < wanted {
            return Ok(None);
        }
        self.load(device)?;
        let skip = !self.holes | self.going;
        let found = self.bits.as_ref().and_then(|b| b.busy.find_zeros(skip, wanted));
        let len = found.map_or(0, |span| span.blocks);
        if len < wanted {
            self.longest_hole = len;
        }
        Ok(found)
    }

    /// Marks a run busy.
    pub fn take(&mut self, device: &dyn Device, span: Span) -> Result<()> {
        self.load(device)?;
        self.free -= self.set_busy(span, true) as u16;
        Ok(())
    }

    /// Frees a busy run.
    pub fn release(&mut self, span: Span) {
        self.longest = SEGMENT_BLOCKS;
        self.longest_pairs = SEGMENT_BLOCKS;
        self.longest_hole = SEGMENT_BLOCKS;
        self.freed = true;
        self.free += self.set_busy(span, false) as u16;
    }

    /// Marks a run busy or free, and keeps count of pairs. Returns how many blocks changed.
    fn set_busy(&mut self, span: Span, value: bool) -> u64 {
        let Some(bits) = &mut self.bits else { return 0 };
        let before = bits.busy.pairs_near(span, self.holes);
        let changed = bits.busy.set(span, value);
        self.pairs = self.pairs + bits.busy.pairs_near(span, self.holes) - before;
        changed
    }

    /// Records a run as used or free. `cut`: a checkpoint is being written.
    pub fn set_image(
        &mut self,
        device: &dyn Device,
        span: Span,
        used: bool,
        author: Author,
        cut: bool,
    ) {
        // The bitmap was loaded when the run was taken; for a run freed without that it is loaded
        // here, and if that fails no checkpoint can record the change.
        let loaded = self.load(device).is_ok();
        self.missed |= !loaded;
        match author {
            Author::Checkpoint => self.writing = true,
            Author::Writer => self.dirty = true,
        }
        let Some(bits) = self.bits.as_mut().filter(|_| loaded) else { return };
        match (author, &mut self.cut) {
            (Author::Checkpoint, Some(frozen)) => {
                frozen.set(span, used);
            }
            (Author::Writer, none @ None) if cut => *none = Some(bits.image.clone()),
            _ => {}
        }
        bits.image.set(span, used);
    }

    /// Returns `true` if the image has the block as used.
    pub fn is_recorded(&mut self, device: &dyn Device, at: u64) -> Result<bool> {
        self.load(device)?;
        Ok(self.bits.as_ref().is_some_and(|bits| bits.image.get(at)))
    }

    pub fn begin_cut(&mut self) {
        self.writing = self.dirty;
        self.dirty = false;
        self.cut = None;
    }

    /// The checkpoint is durable.
    pub fn end_cut(&mut self) {
        self.writing = false;
        self.cut = None;
        // What was taken into use since it was written is no hole any more.
        self.recorded = self.entry.holes & self.holes;
    }

    /// The slot of the bitmap that is written next.
    pub fn next_slot(&self) -> u8 {
        1 - self.entry.slot.unwrap_or(1)
    }

    /// The block of that slot.
    pub fn next_bitmap(&self) -> BlockAddr {
        self.start + u64::from(self.next_slot())
    }

    /// The block that holds the bitmap as of the cut; the table's entry names it from here on.
    pub fn record_cut(&mut self, device: &dyn Device) -> Result<AlignedBuf> {
        let slot = self.next_slot();
        self.load(device)?;
        let bits = match (&self.cut, &self.bits) {
            (Some(cut), _) if !self.missed => cut,
            (None, Some(bits)) if !self.missed => &bits.image,
            _ => {
                let what = "a segment's bitmap could not be read when it changed";
                return Err(Error::damaged_at(self.start, what));
            }
        };
        let bytes = bits.to_bytes();
        self.entry.slot = Some(slot);
        self.entry.free = bits.zeros() as u16;
        self.entry.sum = checksum(&bytes);
        let mut block = AlignedBuf::zeroed(BLOCK_BYTES);
        block[..bytes.len()].copy_from_slice(&bytes);
        Ok(block)
    }

    /// The host holds space for these chunks now.
    pub fn mark_on_host(&mut self, chunks: RangeInclusive<u64>) {
        for mask in [&mut self.holes, &mut self.recorded, &mut self.marked, &mut self.leaving] {
            chunks.clone().for_each(|chunk| mask.remove(chunk));
        }
        self.longest = SEGMENT_BLOCKS;
        self.freed = true;
        self.recount_pairs();
    }

    pub fn is_hole(&self, chunk: u64) -> bool {
        self.holes.contains(chunk)
    }

    /// Chunks on the host without a busy block. Chunk 0 holds the bitmaps.
    pub fn idle_chunks(&mut self) -> Vec<u64> {
        if !self.freed {
            return Vec::new();
        }
        let idle = |chunk: &u64| {
            !self.is_hole(*chunk)
                && self.bits.as_ref().is_some_and(|bits| bits.busy.chunk_is_clear(*chunk))
        };
        let chunks: Vec<u64> = (1..64).filter(idle).collect();
        self.freed = !chunks.is_empty();
        chunks
    }

    /// Chunks on the host whose free runs are worth giving back although blocks next to them are
    /// busy.
    pub fn thin_chunks(&self) -> Vec<u64> {
        const FREE_BLOCKS_MIN: u64 = CHUNK_BLOCKS / 8;
        let Some(bits) = &self.bits else { return Vec::new() };
        let worth = |chunk: &u64| {
            let spans = bits.busy.zeros_of_chunks(Chunks::one(*chunk), RUN_BLOCKS_MIN);
            spans.iter().map(|span| span.blocks).sum::<u64>() >= FREE_BLOCKS_MIN
        };
        (!self.holes).iter().filter(worth).collect()
    }

    /// From now on the free blocks of a chunk do not count as ready.
    pub fn mark_for_trim(&mut self, chunk: u64) {
        self.holes.insert(chunk);
        self.marked.insert(chunk);
        self.leaving.insert(chunk);
        self.longest_hole = SEGMENT_BLOCKS;
        self.recount_pairs();
    }

    /// The host may hold space for any hole: an earlier session may have ended before it was
    /// punched.
    pub fn mark_holes_for_trim(&mut self) {
        self.marked = self.holes;
    }

    /// Up to `chunks_max` marked chunks that are recorded, and their free runs.
    /// [`Segment::punched`] ends what begins here.
    pub fn begin_punching(
        &mut self,
        device: &dyn Device,
        chunks_max: usize,
    ) -> Result<(Chunks, Vec<Span>)> {
        let ripe = self.marked & self.recorded;
        let mut chosen = Chunks::NONE;
        ripe.iter().take(chunks_max).for_each(|chunk| chosen.insert(chunk));
        if chosen.is_empty() {
            return Ok((chosen, Vec::new()));
        }
        let spans = match &self.bits {
            Some(bits) => bits.busy.zeros_of_chunks(chosen, RUN_BLOCKS_MIN),
            None => read_bitmap(device, self.start, &self.entry)?
                .zeros_of_chunks(chosen, RUN_BLOCKS_MIN),
        };
        self.marked &= !chosen;
        self.leaving &= !chosen;
        self.going |= chosen;
        Ok((chosen, spans))
    }

    pub fn punched(&mut self, chunks: Chunks) {
        self.going &= !chunks;
        self.longest_hole = SEGMENT_BLOCKS;
    }
}

fn empty_bits() -> Bits {
    let mut bits = Bits::clear();
    bits.set(Span { at: 0, blocks: SEGMENT_HEAD_BLOCKS }, true);
    bits
}

/// Reads the bitmap that the table's entry of a segment names, and verifies it.
pub(crate) fn read_bitmap(
    device: &dyn Device,
    segment: BlockAddr,
    entry: &SegmentEntry,
) -> Result<Bits> {
    let Some(slot) = entry.slot else { return Ok(empty_bits()) };
    let block = segment + u64::from(slot);
    let mut buf = AlignedBuf::zeroed(BLOCK_BYTES);
    device
        .read_at(block.offset(), &mut buf)
        .map_err(|e| Error::io("reading a segment's bitmap", e))?;
    let bytes = &buf[..Bits::BYTES];
    if checksum(bytes) != entry.sum {
        return Err(Error::damaged_at(block, "a segment's bitmap fails its checksum"));
    }
    Ok(Bits::from_bytes(bytes))
}

#[cfg(test)]
mod tests;
