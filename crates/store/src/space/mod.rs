//! Which blocks are in use. Kept outside the cloned trees, so that allocating never recurses.
//!
//! Two bitmaps a segment: `busy` says what may not be handed out, `image` what the next checkpoint
//! records as used. A freed block leaves the image at once, but stays busy (in *limbo*) until the
//! checkpoint that recorded its freeing is durable and no reader that predates the free is left.

mod available;
mod bits;
mod limbo;
mod persist;
mod preallocation;
mod refill;
mod reserve;
mod segment;
mod span;
mod trim;

pub(crate) use bits::Bits;
pub(crate) use limbo::Freed;
pub(crate) use persist::TableImage;
pub(crate) use preallocation::Preallocation;
pub(crate) use reserve::{Purpose, SharedTree};
pub(crate) use span::Span;
pub(crate) use trim::TrimPolicy;

use crate::device::Device;
use crate::error::{Error, Result};
use crate::format::block::{BlockAddr, BlockRun};
use crate::format::layout::{
    CHUNK_BLOCKS, NODE_BLOCKS, PlaceInSegment, SEGMENT_BLOCKS, SEGMENT_HEAD_BLOCKS, SEGMENTS_MAX,
    segment_of,
};
use crate::injected_bug::{InjectedBug, injected};
use crate::pins::{Epoch, Readers};
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::{Mutex, lock};
use limbo::{Limbo, Wait};
use reserve::Reserve;
use segment::{Author, Segment};
use std::sync::Arc;

/// Bitmaps that are read to find room before the host is asked for more.
const BITMAPS_READ_FIRST: usize = 16;

/// What a segment can hold: all of it after its head.
const USABLE: Span = Span { at: SEGMENT_HEAD_BLOCKS, blocks: SEGMENT_BLOCKS - SEGMENT_HEAD_BLOCKS };

#[derive(Debug)]
pub(crate) struct Space {
    device: Arc<dyn Device>,
    state: Mutex<State>,
    /// Blocks that became free in this session.
    freed_blocks: AtomicU64,
}

#[derive(Debug)]
struct State {
    segments: Vec<Segment>,
    limbo: Limbo,
    nodes: Preallocation,
    /// Free blocks in chunks that the host really holds.
    ready: u64,
    /// Of these, those in pairs: only they are room for nodes, and can be promised.
    room: u64,
    /// What they are promised to.
    reserve: Reserve,
    /// Where the search for free runs goes on.
    cursor: usize,
    /// A checkpoint is being written: images as of its cut are kept.
    cut: bool,
}

/// Totals for `usage`.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct SpaceTotals {
    pub used_blocks: u64,
    pub free_blocks: u64,
}

impl Space {
    /// The space of an empty store.
    pub fn empty(device: Arc<dyn Device>) -> Space {
        Space::with_segments(device, Vec::new())
    }

    fn with_segments(device: Arc<dyn Device>, segments: Vec<Segment>) -> Space {
        let ready = segments.iter().map(Segment::ready).sum();
        let room = segments.iter().map(Segment::room).sum();
        let state = State {
            segments,
            limbo: Limbo::default(),
            nodes: Preallocation::default(),
            ready,
            room,
            reserve: Reserve::default(),
            cursor: 0,
            cut: false,
        };
        Space { device, state: Mutex::new(state), freed_blocks: AtomicU64::new(0) }
    }

    /// Blocks for data, in as few runs as there are; taken from `preallocation` first. No
    /// checkpoint records them before they are named.
    pub fn allocate(
        &self,
        preallocation: &mut Preallocation,
        blocks: u64,
        purpose: Purpose,
    ) -> Result<Vec<BlockRun>> {
        let mut state = lock(&self.state);
        let mut runs: Vec<BlockRun> = Vec::new();
        let mut missing = blocks;
        while missing > 0 {
            if preallocation.is_empty()
                && let Err(error) = self.refill(&mut state, preallocation, missing, Some(purpose))
            {
                runs.into_iter().for_each(|run| state.release(run));
                return Err(error);
            }
            let run = preallocation.take(missing);
            missing -= run.blocks;
            match runs.last_mut() {
                Some(last) if last.end() == run.start => last.blocks += run.blocks,
                _ => runs.push(run),
            }
        }
        Ok(runs)
    }

    /// These blocks have a name: the next checkpoint records them as used.
    pub fn mark_allocated(&self, run: BlockRun) {
        lock(&self.state).set_image(&*self.device, run, true, Author::Writer);
    }

    /// A place for a node of the checkpoint that is being written.
    pub fn allocate_node(&self) -> Result<BlockAddr> {
        let mut state = lock(&self.state);
        loop {
            if state.nodes.left() >= NODE_BLOCKS {
                let run = state.nodes.take(NODE_BLOCKS);
                state.set_image(&*self.device, run, true, Author::Checkpoint);
                state.reserve.writing = state.reserve.writing.saturating_sub(NODE_BLOCKS);
                return Ok(run.start);
            }
            state.release_nodes();
            let mut preallocation = std::mem::take(&mut state.nodes);
            let filled = self.refill_nodes(&mut state, &mut preallocation);
            state.nodes = preallocation;
            filled?;
        }
    }

    /// The start of a run of `blocks` for the checkpoint that is being written (segment table,
    /// ring).
    pub fn allocate_run(&self, blocks: u64) -> Result<BlockAddr> {
        let mut state = lock(&self.state);
        state.release_nodes();
        let mut preallocation = Preallocation::default();
        self.refill(&mut state, &mut preallocation, blocks, None)?;
        if preallocation.left() < blocks {
            state.release_rest(&mut preallocation);
            return Err(Error::NoSpace { what: format!("a run of {blocks} blocks") });
        }
        let run = preallocation.take(blocks);
        state.release_rest(&mut preallocation);
        state.set_image(&*self.device, run, true, Author::Checkpoint);
        Ok(run.start)
    }

    /// A whole fresh segment for the ring, without its head. No checkpoint records it before it is
    /// named.
    pub fn allocate_segment(&self) -> Result<BlockRun> {
        let mut state = lock(&self.state);
        self.grow(&mut state)?;
        let index = state.segments.len() - 1;
        self.open_chunks(&mut state, index, USABLE)?;
        let run = USABLE.in_file(state.segments[index].start);
        state.take_busy(&*self.device, run)?;
        Ok(run)
    }

    /// Makes sure that the next checkpoint can write `node_blocks`, whatever happens on the host,
    /// and that what is kept for others than `purpose` is there in addition.
    pub fn reserve(&self, node_blocks: u64, purpose: Purpose) -> Result<()> {
        let mut state = lock(&self.state);
        let wanted = state.reserve.writing + node_blocks + state.reserve.beyond(purpose);
        if state.room < wanted {
            state.release_nodes();
        }
        // Some bitmaps are read before the host is asked, all before the answer is no.
        let mut reads = BITMAPS_READ_FIRST;
        while state.room < wanted {
            if reads > 0 && state.learn_of_room(&*self.device, CHUNK_BLOCKS)? {
                reads -= 1;
                continue;
            }
            reads = 0;
            let readied = self.ready_chunk(&mut state);
            if state.room < wanted
                && readied.is_err()
                && !state.learn_of_room(&*self.device, NODE_BLOCKS)?
            {
                return readied;
            }
        }
        state.reserve.changed = state.reserve.changed.max(node_blocks);
        Ok(())
    }

    /// As [`Space::reserve`], but does not ask the host. Returns `true` if the room is there.
    pub fn reserve_ready(&self, node_blocks: u64, purpose: Purpose) -> bool {
        let mut state = lock(&self.state);
        let wanted = state.reserve.writing + node_blocks + state.reserve.beyond(purpose);
        let ready = state.room >= wanted;
        if ready {
            state.reserve.changed = state.reserve.changed.max(node_blocks);
        }
        ready
    }

    /// Keeps room to delete a tree of which others share all nodes.
    pub fn expect_release(&self, tree: SharedTree) {
        let used = self.totals().used_blocks;
        lock(&self.state).reserve.expect_release(tree, used);
    }

    /// Returns `true` if a checkpoint would free something, or void a promise.
    pub fn waits_for_checkpoint(&self) -> bool {
        let state = lock(&self.state);
        state.limbo.waits_for_checkpoint() || state.reserve.writing + state.reserve.changed > 0
    }

    /// Freed blocks that wait for readers or a checkpoint.
    pub fn blocks_in_limbo(&self) -> u64 {
        lock(&self.state).limbo.blocks()
    }

    /// Frees blocks that only memory named: they wait for readers alone.
    pub fn free_after_readers(&self, freed: Freed) {
        self.free(freed, Wait::Readers);
    }

    /// Frees blocks that the disk may name: they wait for the next checkpoint too.
    pub fn free_after_checkpoint(&self, freed: Freed) {
        if injected(InjectedBug::ReuseEarly) {
            return self.free_after_readers(freed);
        }
        self.free(freed, Wait::NextCheckpoint);
    }

    fn free(&self, freed: Freed, wait: Wait) {
        let mut state = lock(&self.state);
        state.set_image(&*self.device, freed.run, false, Author::Writer);
        state.limbo.push(freed, wait);
    }

    /// Frees blocks on behalf of the checkpoint that is being written. No reader of a branch knows
    /// them.
    pub fn free_at_checkpoint(&self, run: BlockRun) {
        let mut state = lock(&self.state);
        state.set_image(&*self.device, run, false, Author::Checkpoint);
        let freed = Freed { run, epoch: Epoch(0), birth: None };
        state.limbo.push(freed, Wait::ThisCheckpoint);
    }

    /// Claims blocks that the journal names, before anything is allocated.
    pub fn claim(&self, run: BlockRun) -> Result<()> {
        let mut state = lock(&self.state);
        let place = segment_of(run.start)
            .filter(|place| place.segment < SEGMENTS_MAX && run.blocks <= SEGMENT_BLOCKS);
        let Some(PlaceInSegment { segment, at }) = place else {
            let what = "the journal names blocks outside the store";
            return Err(Error::damaged_at(run.start, what));
        };
        let span = Span { at, blocks: run.blocks };
        if at < SEGMENT_HEAD_BLOCKS || span.end() > SEGMENT_BLOCKS {
            let what = "the journal names blocks across a segment's edge";
            return Err(Error::damaged_at(run.start, what));
        }
        while state.segments.len() as u64 <= segment {
            self.grow(&mut state)?;
        }
        self.take_back(&mut state, segment as usize, span)?;
        state.take_busy(&*self.device, run)?;
        state.set_image(&*self.device, run, true, Author::Writer);
        Ok(())
    }

    /// Returns `true` if the block is recorded as used: it was named, and not freed since.
    pub fn is_recorded(&self, block: BlockAddr) -> Result<bool> {
        let mut state = lock(&self.state);
        let Some((index, at)) = state.locate(block) else { return Ok(false) };
        state.adjust(index, |segment| segment.is_recorded(&*self.device, at))
    }

    /// Gives blocks back that were handed out and never used.
    pub fn release_preallocation(&self, preallocation: &mut Preallocation) {
        lock(&self.state).release_rest(preallocation);
    }

    /// Releases what waited for readers alone, as far as those that are left allow.
    pub fn drain(&self, readers: &Readers) {
        let mut state = lock(&self.state);
        for run in state.limbo.drain(readers) {
            self.freed_blocks.fetch_add(run.blocks, Ordering::Relaxed);
            state.release(run);
        }
    }

    /// Blocks that became free so far in this session.
    pub fn freed_blocks(&self) -> u64 {
        self.freed_blocks.load(Ordering::Relaxed)
    }

    pub fn totals(&self) -> SpaceTotals {
        let state = lock(&self.state);
        let free: u64 = state.segments.iter().map(|s| u64::from(s.free)).sum();
        let usable = state.segments.len() as u64 * USABLE.blocks;
        let waiting = state.limbo.blocks();
        SpaceTotals {
            used_blocks: usable.saturating_sub(free + waiting),
            free_blocks: free + waiting,
        }
    }
}

impl State {
    /// Blocks on the host that data leaves alone.
    fn promised(&self) -> u64 {
        self.reserve.floor(Purpose::Data)
    }

    /// The first run of `wanted` free blocks in holes: its segment, and its place there.
    fn find_hole(&mut self, device: &dyn Device, wanted: u64) -> Result<Option<(usize, Span)>> {
        for index in 0..self.segments.len() {
            let found = self.adjust(index, |segment| segment.find_hole(device, wanted))?;
            if let Some(span) = found.filter(|span| span.blocks >= wanted) {
                return Ok(Some((index, span)));
            }
        }
        Ok(None)
    }

    /// The first free run of `wanted` blocks on the host; when `exact` is off, the longest.
    fn find(&mut self, device: &dyn Device, wanted: u64, exact: bool) -> Result<Option<BlockRun>> {
        let count = self.segments.len();
        let mut longest: Option<BlockRun> = None;
        for step in 0..count {
            let index = (self.cursor + step) % count;
            if !self.segments[index].may_hold(if exact { wanted } else { 1 }) {
                continue;
            }
            let found = self.adjust(index, |segment| segment.find(device, wanted))?;
            if let Some(span) = found {
                let part = Span { blocks: span.blocks.min(wanted), ..span };
                let run = part.in_file(self.segments[index].start);
                if span.blocks >= wanted {
                    self.cursor = index;
                    return Ok(Some(run));
                }
                if longest.is_none_or(|longest| longest.blocks < run.blocks) {
                    longest = Some(run);
                }
            }
        }
        Ok(longest.filter(|_| !exact))
    }

    /// As [`State::find`], of blocks in pairs.
    fn find_pairs(
        &mut self,
        device: &dyn Device,
        wanted: u64,
        exact: bool,
    ) -> Result<Option<BlockRun>> {
        let count = self.segments.len();
        let mut longest: Option<BlockRun> = None;
        for step in 0..count {
            let index = (self.cursor + step) % count;
            if !self.segments[index].may_hold_pairs(if exact { wanted } else { NODE_BLOCKS }) {
                continue;
            }
            let found = self.adjust(index, |segment| segment.find_pairs(device, wanted))?;
            if let Some(span) = found {
                let part = Span { blocks: span.blocks.min(wanted), ..span };
                let run = part.in_file(self.segments[index].start);
                if span.blocks >= wanted {
                    return Ok(Some(run));
                }
                if longest.is_none_or(|longest| longest.blocks < run.blocks) {
                    longest = Some(run);
                }
            }
        }
        Ok(longest.filter(|_| !exact))
    }

    /// A free block that is of no use to nodes.
    fn find_single(&self) -> Option<BlockRun> {
        if self.ready == self.room {
            return None;
        }
        self.segments
            .iter()
            .find_map(|segment| Some(BlockRun::new(segment.start + segment.find_single()?, 1)))
    }

    /// Reads a bitmap that may show more room than is known of, of a segment with at least
    /// `free_min` free blocks. Returns `false` if there is none.
    fn learn_of_room(&mut self, device: &dyn Device, free_min: u64) -> Result<bool> {
        let unread = |s: &Segment| s.may_show_more() && s.ready() >= free_min;
        let Some(index) = self.segments.iter().position(unread) else { return Ok(false) };
        self.adjust(index, |segment| segment.load(device))?;
        Ok(true)
    }

    /// Returns `true` if this much room is left without a run.
    fn leaves(&self, run: BlockRun, floor: u64) -> bool {
        if self.room >= floor + run.blocks + NODE_BLOCKS {
            return true;
        }
        let taken = self.locate(run.start).map_or(0, |(index, at)| {
            self.segments[index].room_taken_by(Span { at, blocks: run.blocks })
        });
        self.room >= floor + taken
    }

    /// As much of a run from its start as leaves so much room.
    fn part_that_leaves(&self, run: BlockRun, floor: u64) -> Option<BlockRun> {
        let most = run.blocks.min(self.room.saturating_sub(floor) + NODE_BLOCKS);
        // Only what a run begins and ends with counts differently.
        let least = most.saturating_sub(2 * NODE_BLOCKS).max(1);
        let mut parts = (least..=most).rev().map(|blocks| BlockRun { blocks, ..run });
        parts.find(|part| self.leaves(*part, floor))
    }

    /// The index of a block's segment, and the block's place there. A damaged or forged tree may
    /// name blocks outside of all segments: `None`.
    fn locate(&self, block: BlockAddr) -> Option<(usize, u64)> {
        let PlaceInSegment { segment, at } = segment_of(block)?;
        (segment < self.segments.len() as u64).then_some((segment as usize, at))
    }

    /// Changes a segment, and keeps count of what is ready.
    fn adjust<T>(&mut self, index: usize, change: impl FnOnce(&mut Segment) -> T) -> T {
        let before = (self.segments[index].ready(), self.segments[index].room());
        let result = change(&mut self.segments[index]);
        self.ready = self.ready + self.segments[index].ready() - before.0;
        self.room = self.room + self.segments[index].room() - before.1;
        result
    }

    fn take_busy(&mut self, device: &dyn Device, run: BlockRun) -> Result<()> {
        let Some((index, at)) = self.locate(run.start) else {
            return Err(Error::damaged_at(run.start, "a block outside the segments was allocated"));
        };
        self.adjust(index, |segment| segment.take(device, Span { at, blocks: run.blocks }))
    }

    /// Records a run as used or free.
    fn set_image(&mut self, device: &dyn Device, run: BlockRun, used: bool, author: Author) {
        let cut = self.cut;
        let Some((index, at)) = self.locate(run.start) else { return };
        // A bitmap that is read on the way shows how much is ready.
        self.adjust(index, |segment| {
            segment.set_image(device, Span { at, blocks: run.blocks }, used, author, cut);
        });
    }

    fn release(&mut self, run: BlockRun) {
        if let Some((index, at)) = self.locate(run.start) {
            self.adjust(index, |segment| segment.release(Span { at, blocks: run.blocks }));
        }
    }

    /// Releases the rest of the preallocation for nodes.
    fn release_nodes(&mut self) {
        let mut preallocation = std::mem::take(&mut self.nodes);
        self.release_rest(&mut preallocation);
        self.nodes = preallocation;
    }

    fn release_rest(&mut self, preallocation: &mut Preallocation) {
        if let Some(run) = preallocation.empty() {
            self.release(run);
        }
    }
}

#[cfg(test)]
mod tests;
