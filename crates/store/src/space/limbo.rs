//! Freed blocks on their way back to use.

use super::BlockRun;
use std::collections::VecDeque;

/// What a freed run waits for, besides readers that predate the free.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wait {
    Readers,
    /// The next checkpoint, which is not being written yet.
    NextCheckpoint,
    /// The checkpoint that is being written.
    ThisCheckpoint,
}

/// A run, and the epoch in which it was freed.
type Freed = (BlockRun, u64);

#[derive(Debug, Default)]
pub(crate) struct Limbo {
    next: VecDeque<Freed>,
    this: VecDeque<Freed>,
    /// In order of their epochs.
    readers: VecDeque<Freed>,
    blocks: u64,
}

/// Appends a run, joined with the last where it follows that. Neighbours never lie in two segments: heads lie between.
fn append(queue: &mut VecDeque<Freed>, (run, epoch): Freed) {
    match queue.back_mut() {
        Some((last, freed)) if last.0 + last.1 == run.0 && *freed == epoch => last.1 += run.1,
        _ => queue.push_back((run, epoch)),
    }
}

impl Limbo {
    pub fn push(&mut self, run: BlockRun, epoch: u64, wait: Wait) {
        self.blocks += run.1;
        match wait {
            Wait::Readers => append(&mut self.readers, (run, epoch)),
            Wait::NextCheckpoint => append(&mut self.next, (run, epoch)),
            Wait::ThisCheckpoint => append(&mut self.this, (run, epoch)),
        }
    }

    /// A checkpoint begins: it covers all that was freed so far.
    pub fn cut(&mut self) {
        self.this.append(&mut self.next);
    }

    /// The checkpoint is durable.
    pub fn settle(&mut self, epoch: u64) {
        for (run, _) in self.this.drain(..) {
            append(&mut self.readers, (run, epoch));
        }
    }

    /// Runs freed before the oldest reader began.
    pub fn drain(&mut self, oldest_reader: u64) -> Vec<BlockRun> {
        let mut runs = Vec::new();
        while self.readers.front().is_some_and(|(_, epoch)| *epoch < oldest_reader) {
            if let Some((run, _)) = self.readers.pop_front() {
                self.blocks -= run.1;
                runs.push(run);
            }
        }
        runs
    }

    pub fn blocks(&self) -> u64 {
        self.blocks
    }
}
