//! Free space on its way back to the host: marked, recorded, punched, in this order.
//!
//! The free blocks of a *marked* chunk no longer count as ready. The next checkpoint records the
//! chunk as a hole, and only when that is durable does the host get it. So no later session counts
//! on room that others may have taken by then. A crash in between leaves room on the host behind a
//! recorded hole: a recovery marks all holes once more, and to punch an empty one changes nothing.
//! A marked chunk can be taken back into use like any other hole.

use super::{Space, State, USABLE};
use crate::error::{Error, Result};
use crate::format::block::BlockRun;
use crate::format::layout::CHUNK_BLOCKS;
use crate::sync::lock;

/// Free chunks kept on the host for reuse; more are given back.
const IDLE_CHUNKS_MAX: usize = 4;
/// A store at rest keeps one free block in this many used ones ready for reuse.
const REUSE_SHARE: u64 = 16;

/// What is kept ready on the host for the next writes; the rest can go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TrimPolicy {
    /// While others write: a few whole chunks, and what is free next to used blocks.
    Busy,
    /// At rest: a share of what is used.
    Idle,
    /// At rest for long: what checkpoints and deletes need.
    LongIdle,
}

impl TrimPolicy {
    /// Free blocks for this many used ones that stay ready, in addition to what is promised.
    fn for_reuse(self, used: u64) -> u64 {
        match self {
            TrimPolicy::LongIdle => 0,
            _ => (used / REUSE_SHARE).max(IDLE_CHUNKS_MAX as u64 * CHUNK_BLOCKS),
        }
    }
}

impl Space {
    /// Marks chunks without any busy block; of a store at rest also the larger free runs in others.
    /// Returns how many chunks.
    pub fn mark_for_trim(&self, chunks_max: usize, policy: TrimPolicy) -> usize {
        let mut state = lock(&self.state);
        let mut idle = Vec::new();
        for (index, segment) in state.segments.iter_mut().enumerate() {
            idle.extend(segment.idle_chunks().into_iter().map(|chunk| (index, chunk)));
        }
        let promised = state.promised().div_ceil(CHUNK_BLOCKS) as usize;
        let kept =
            if policy == TrimPolicy::LongIdle { promised } else { promised.max(IDLE_CHUNKS_MAX) };
        let surplus = idle.len().saturating_sub(kept).min(chunks_max);
        let mut chosen = idle.split_off(idle.len() - surplus);
        if chosen.is_empty() && policy != TrimPolicy::Busy {
            chosen = state.thin_chunks(chunks_max, policy);
        }
        for (index, chunk) in &chosen {
            state.adjust(*index, |segment| segment.mark_for_trim(*chunk));
        }
        chosen.len()
    }

    /// Marks all holes once more.
    pub fn mark_holes_for_trim(&self) {
        lock(&self.state).segments.iter_mut().for_each(|segment| segment.mark_holes_for_trim());
    }

    /// Gives marked chunks that a durable checkpoint recorded to the host, without holding the
    /// lock. Returns how many.
    pub fn punch(&self, chunks_max: usize) -> Result<usize> {
        let (mut going, mut runs) = (Vec::new(), Vec::new());
        let mut state = lock(&self.state);
        let mut left = chunks_max;
        for (index, segment) in state.segments.iter_mut().enumerate() {
            let (chunks, free) = segment.begin_punching(&*self.device, left)?;
            left -= chunks.count() as usize;
            going.extend((!chunks.is_empty()).then_some((index, chunks)));
            runs.extend(free.into_iter().map(|span| span.in_file(segment.start)));
        }
        drop(state);
        runs.into_iter().try_for_each(|run| self.punch_run(run))?;
        let mut state = lock(&self.state);
        for (index, chunks) in going {
            state.segments[index].punched(chunks);
        }
        Ok(chunks_max - left)
    }

    fn punch_run(&self, run: BlockRun) -> Result<()> {
        self.device.punch(run.bytes()).map_err(|e| Error::io("giving space back to the host", e))
    }
}

impl State {
    /// Chunks whose free runs can go, so that enough stays ready for what is to be written.
    fn thin_chunks(&self, chunks_max: usize, policy: TrimPolicy) -> Vec<(usize, u64)> {
        let free: u64 = self.segments.iter().map(|s| u64::from(s.free)).sum();
        let usable = self.segments.len() as u64 * USABLE.blocks;
        let reuse = policy.for_reuse(usable - free);
        let mut surplus = self.room.saturating_sub(self.promised() + reuse);
        let mut chosen = Vec::new();
        for (index, segment) in self.segments.iter().enumerate() {
            for thin in segment.thin_chunks() {
                // All that is free in a chunk is ready no more.
                if surplus < CHUNK_BLOCKS || chosen.len() == chunks_max {
                    return chosen;
                }
                surplus -= CHUNK_BLOCKS;
                chosen.push((index, thin));
            }
        }
        chosen
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_at_rest_keeps_a_sixteenth_and_four_chunks_at_least_and_in_the_end_nothing() {
        let kept = [0, 16_384, 160_000].map(|used| TrimPolicy::Idle.for_reuse(used));
        assert_eq!(kept, [1024, 1024, 10_000]);
        assert_eq!(TrimPolicy::LongIdle.for_reuse(160_000), 0);
    }
}
