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

#[derive(Debug, Default)]
pub(crate) struct Limbo {
    next: Vec<(BlockRun, u64)>,
    this: Vec<(BlockRun, u64)>,
    /// In order of their epochs.
    readers: VecDeque<(BlockRun, u64)>,
    blocks: u64,
}

impl Limbo {
    pub fn push(&mut self, run: BlockRun, epoch: u64, wait: Wait) {
        self.blocks += run.1;
        match wait {
            Wait::Readers => self.readers.push_back((run, epoch)),
            Wait::NextCheckpoint => self.next.push((run, epoch)),
            Wait::ThisCheckpoint => self.this.push((run, epoch)),
        }
    }

    /// A checkpoint begins: it covers all that was freed so far.
    pub fn cut(&mut self) {
        self.this.append(&mut self.next);
    }

    /// The checkpoint is durable.
    pub fn settle(&mut self, epoch: u64) {
        self.readers.extend(self.this.drain(..).map(|(run, _)| (run, epoch)));
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
