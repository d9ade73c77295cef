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
mod run;
mod segment;
mod trim;

pub(crate) use bits::Bits;
pub(crate) use limbo::Freed;
pub(crate) use persist::TableImage;
pub(crate) use preallocation::Preallocation;
pub(crate) use reserve::{Purpose, Shared};
pub(crate) use run::BlockRun;
pub(crate) use trim::TrimPolicy;

use crate::device::Device;
use crate::error::{Error, Result};
use crate::format::layout::{
    CHUNK_BLOCKS, NODE_BLOCKS, SEGMENT_BLOCKS, SEGMENT_HEAD_BLOCKS, SEGMENTS_MAX, segment_of,
    segment_start,
};
use crate::injected_bug::{InjectedBug, injected};
use crate::pins::Readers;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::{Mutex, lock};
use limbo::{Limbo, Wait};
use reserve::Reserve;
use segment::{Author, Segment};
use std::sync::Arc;

/// Bitmaps that are read to find room before the host is asked for more.
const BITMAPS_READ_FIRST: usize = 16;

#[derive(Debug)]
pub(crate) struct Space {
    device: Arc<dyn Device>,
    state: Mutex<State>,
    /// Blocks that became free in this life.
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
            missing -= run.1;
            match runs.last_mut() {
                Some(last) if last.0 + last.1 == run.0 => last.1 += run.1,
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
    pub fn allocate_node(&self) -> Result<u64> {
        let mut state = lock(&self.state);
        loop {
            if state.nodes.left() >= NODE_BLOCKS {
                let run = state.nodes.take(NODE_BLOCKS);
                state.set_image(&*self.device, run, true, Author::Checkpoint);
                state.reserve.writing = state.reserve.writing.saturating_sub(NODE_BLOCKS);
                return Ok(run.0);
            }
            state.release_nodes();
            let mut preallocation = std::mem::take(&mut state.nodes);
            let filled = self.refill_nodes(&mut state, &mut preallocation);
            state.nodes = preallocation;
            filled?;
        }
    }

    /// A run of `blocks` for the checkpoint that is being written (segment table, ring).
    pub fn allocate_run(&self, blocks: u64) -> Result<u64> {
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
        Ok(run.0)
    }

    /// A whole fresh segment for the ring, without its head. No checkpoint records it before it is
    /// named.
    pub fn allocate_segment(&self) -> Result<u64> {
        let mut state = lock(&self.state);
        self.grow(&mut state)?;
        let index = state.segments.len() - 1;
        let (at, blocks) = (SEGMENT_HEAD_BLOCKS, SEGMENT_BLOCKS - SEGMENT_HEAD_BLOCKS);
        self.open_chunks(&mut state, index, (at, blocks))?;
        let start = segment_start(index as u64) + at;
        state.take_busy(&*self.device, (start, blocks))?;
        Ok(start)
    }

    /// Makes sure that the next checkpoint can write `node_blocks`, whatever happens on the host,
    /// and that what is kept for others than `purpose` is there beside it.
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
    pub fn expect_release(&self, shared: Shared) {
        let used = self.totals().used_blocks;
        lock(&self.state).reserve.expect_release(shared, used);
    }

    /// Returns `true` if a checkpoint would free something, or void a promise.
    pub fn waits_for_checkpoint(&self) -> bool {
        let state = lock(&self.state);
        state.limbo.waits_for_checkpoint() || state.reserve.writing + state.reserve.changed > 0
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
        let freed = Freed { run, epoch: 0, birth: None };
        state.limbo.push(freed, Wait::ThisCheckpoint);
    }

    /// Claims blocks that the journal names, before anything is allocated.
    pub fn claim(&self, run: BlockRun) -> Result<()> {
        let mut state = lock(&self.state);
        let inside =
            segment_of(run.0).is_some_and(|(s, _)| s < SEGMENTS_MAX) && run.1 <= SEGMENT_BLOCKS;
        let end = run.0.saturating_add(run.1).saturating_sub(1);
        let (Some((first, at)), Some((last, _)), true) =
            (segment_of(run.0), segment_of(end), inside)
        else {
            return Err(Error::damaged(run.0, "the journal names blocks outside the store"));
        };
        if first != last || at < SEGMENT_HEAD_BLOCKS {
            return Err(Error::damaged(run.0, "the journal names blocks across a segment's edge"));
        }
        while state.segments.len() as u64 <= first {
            self.grow(&mut state)?;
        }
        self.take_back(&mut state, first as usize, (at, run.1))?;
        state.take_busy(&*self.device, run)?;
        state.set_image(&*self.device, run, true, Author::Writer);
        Ok(())
    }

    /// Returns `true` if the block is recorded as used: it was named, and not freed since.
    pub fn is_recorded(&self, block: u64) -> Result<bool> {
        let mut state = lock(&self.state);
        let Some((index, at)) = segment_of(block) else { return Ok(false) };
        if index >= state.segments.len() as u64 {
            return Ok(false);
        }
        state.adjust(index as usize, |segment| segment.is_recorded(&*self.device, index, at))
    }

    /// Gives blocks back that were handed out and never used.
    pub fn release_preallocation(&self, preallocation: &mut Preallocation) {
        lock(&self.state).release_rest(preallocation);
    }

    /// Releases what waited for readers alone, as far as those that are left allow.
    pub fn drain(&self, readers: &Readers) {
        let mut state = lock(&self.state);
        for run in state.limbo.drain(readers) {
            self.freed_blocks.fetch_add(run.1, Ordering::Relaxed);
            state.release(run);
        }
    }

    /// Blocks that became free so far in this life.
    pub fn freed_blocks(&self) -> u64 {
        self.freed_blocks.load(Ordering::Relaxed)
    }

    pub fn totals(&self) -> SpaceTotals {
        let state = lock(&self.state);
        let free: u64 = state.segments.iter().map(|s| u64::from(s.free)).sum();
        let usable = state.segments.len() as u64 * (SEGMENT_BLOCKS - SEGMENT_HEAD_BLOCKS);
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
    fn find_hole(&mut self, device: &dyn Device, wanted: u64) -> Result<Option<(usize, BlockRun)>> {
        for index in 0..self.segments.len() {
            let found = self.adjust(index, |s| s.find_hole(device, index as u64, wanted))?;
            if let Some(run) = found.filter(|run| run.1 >= wanted) {
                return Ok(Some((index, run)));
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
            let found = self.adjust(index, |segment| segment.find(device, index as u64, wanted))?;
            if let Some((at, len)) = found {
                let run = (segment_start(index as u64) + at, len.min(wanted));
                if len >= wanted {
                    self.cursor = index;
                    return Ok(Some(run));
                }
                if longest.is_none_or(|l| l.1 < run.1) {
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
            let found = self.adjust(index, |s| s.find_pairs(device, index as u64, wanted))?;
            if let Some((at, len)) = found {
                let run = (segment_start(index as u64) + at, len.min(wanted));
                if len >= wanted {
                    return Ok(Some(run));
                }
                if longest.is_none_or(|l| l.1 < run.1) {
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
        let segments = (0..).zip(&self.segments);
        let mut singles =
            segments.filter_map(|(index, s)| Some((segment_start(index) + s.find_single()?, 1)));
        singles.next()
    }

    /// Reads a bitmap that may show more room than is known of, of a segment with at least
    /// `free_min` free blocks. Returns `false` if there is none.
    fn learn_of_room(&mut self, device: &dyn Device, free_min: u64) -> Result<bool> {
        let unread = |s: &Segment| s.may_show_more() && s.ready() >= free_min;
        let Some(index) = self.segments.iter().position(unread) else { return Ok(false) };
        self.adjust(index, |segment| segment.load(device, index as u64))?;
        Ok(true)
    }

    /// Returns `true` if this much room is left without a run.
    fn leaves(&self, run: BlockRun, floor: u64) -> bool {
        if self.room >= floor + run.1 + NODE_BLOCKS {
            return true;
        }
        let taken = segment_of(run.0).map_or(0, |(index, at)| {
            self.segments.get(index as usize).map_or(0, |s| s.room_taken_by((at, run.1)))
        });
        self.room >= floor + taken
    }

    /// As much of a run from its start as leaves so much room.
    fn part_that_leaves(&self, run: BlockRun, floor: u64) -> Option<BlockRun> {
        let most = run.1.min(self.room.saturating_sub(floor) + NODE_BLOCKS);
        // Only what a run begins and ends with counts differently.
        let least = most.saturating_sub(2 * NODE_BLOCKS).max(1);
        (least..=most).rev().map(|len| (run.0, len)).find(|part| self.leaves(*part, floor))
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
        let Some((index, at)) = segment_of(run.0) else {
            return Err(Error::damaged(run.0, "a block in front of the segments was allocated"));
        };
        self.adjust(index as usize, |segment| segment.take(device, index, at, run.1))
    }

    /// Records a run as used or free.
    fn set_image(&mut self, device: &dyn Device, run: BlockRun, used: bool, author: Author) {
        let cut = self.cut;
        let Some((index, at)) = segment_of(run.0) else { return };
        if index < self.segments.len() as u64 {
            // A bitmap that is read on the way shows how much is ready.
            self.adjust(index as usize, |segment| {
                segment.set_image(device, index, (at, run.1), used, author, cut);
            });
        }
    }

    fn release(&mut self, run: BlockRun) {
        // A corrupt or forged tree may name blocks past the last segment.
        if let Some((index, at)) = segment_of(run.0)
            && index < self.segments.len() as u64
        {
            self.adjust(index as usize, |segment| segment.release(at, run.1));
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
