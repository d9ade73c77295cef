//! Freed blocks on their way back to use.
//!
//! A reader holds back what it may see: what was freed after it began, unless that was made after
//! it began too. So one that stays for hours keeps its snapshot, and nothing of what was written
//! and freed since.

use crate::format::block::BlockRun;
use crate::format::ids::Generation;
use crate::pins::{Epoch, Readers, Since};
use std::collections::{BTreeMap, VecDeque};

/// A freed run of blocks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Freed {
    pub run: BlockRun,
    /// The readers' epoch in which it was freed.
    pub epoch: Epoch,
    /// The generation in which it was made; `None` if no reader can know it.
    pub birth: Option<Generation>,
}

impl Freed {
    fn is_held_by(&self, reader: &Since) -> bool {
        let visible = self.birth.is_some_and(|birth| reader.generation >= birth);
        visible && reader.epoch <= self.epoch
    }
}

/// What a freed run waits for, besides readers.
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
    next: VecDeque<Freed>,
    this: VecDeque<Freed>,
    /// To be looked at when there is time.
    readers: VecDeque<Freed>,
    /// By a reader that holds them.
    held: BTreeMap<Since, VecDeque<Freed>>,
    blocks: u64,
}

/// Appends a run, joined with the last where it follows that. Neighbours never lie in two segments:
/// heads lie between.
fn append(queue: &mut VecDeque<Freed>, freed: Freed) {
    match queue.back_mut() {
        Some(last)
            if last.run.end() == freed.run.start
                && (last.epoch, last.birth) == (freed.epoch, freed.birth) =>
        {
            last.run.blocks += freed.run.blocks;
        }
        _ => queue.push_back(freed),
    }
}

impl Limbo {
    pub fn push(&mut self, freed: Freed, wait: Wait) {
        self.blocks += freed.run.blocks;
        match wait {
            Wait::Readers => append(&mut self.readers, freed),
            Wait::NextCheckpoint => append(&mut self.next, freed),
            Wait::ThisCheckpoint => append(&mut self.this, freed),
        }
    }

    /// A checkpoint begins: it covers all that was freed so far.
    pub fn cut(&mut self) {
        self.this.append(&mut self.next);
    }

    /// The checkpoint is durable.
    pub fn finish_checkpoint(&mut self) {
        self.readers.append(&mut self.this);
    }

    /// Runs that no reader holds. What was freed since waits for those who began since.
    pub fn drain(&mut self, readers: &Readers) -> Vec<BlockRun> {
        let mut waiting = std::mem::take(&mut self.readers);
        let gone: Vec<Since> =
            self.held.keys().filter(|held| !readers.since.contains(held)).copied().collect();
        for reader in gone {
            waiting.extend(self.held.remove(&reader).unwrap_or_default());
        }
        let mut runs = Vec::new();
        for freed in waiting {
            if freed.epoch >= readers.before {
                append(&mut self.readers, freed);
                continue;
            }
            match readers.since.iter().find(|reader| freed.is_held_by(reader)) {
                Some(reader) => append(self.held.entry(*reader).or_default(), freed),
                None => {
                    self.blocks -= freed.run.blocks;
                    runs.push(freed.run);
                }
            }
        }
        runs
    }

    pub fn blocks(&self) -> u64 {
        self.blocks
    }

    /// Runs that the next checkpoint makes free, as far as none of `readers` holds them.
    pub fn to_come<'a>(&'a self, readers: &'a [Since]) -> impl Iterator<Item = BlockRun> + 'a {
        let queues = self.next.iter().chain(&self.this).chain(&self.readers);
        let held = |freed: &Freed| readers.iter().any(|reader| freed.is_held_by(reader));
        queues.filter(move |freed| !held(freed)).map(|freed| freed.run)
    }

    /// Whether the next checkpoint would let something go that no reader holds.
    pub fn waits_for_checkpoint(&self) -> bool {
        !self.next.is_empty() || !self.this.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::block::BlockAddr;

    fn freed(at: u64, epoch: Epoch, birth: Generation) -> Freed {
        Freed { run: BlockRun::new(BlockAddr(at), 1), epoch, birth: Some(birth) }
    }

    fn drain(limbo: &mut Limbo, before: Epoch, since: &[Since]) -> Vec<u64> {
        let runs = limbo.drain(&Readers { before, since: since.to_vec() });
        runs.iter().map(|run| run.start.0).collect()
    }

    #[test]
    fn a_reader_holds_what_it_may_see_and_nothing_made_or_freed_outside_its_time() {
        let mut limbo = Limbo::default();
        let reader = Since { epoch: Epoch(5), generation: Generation(10) };
        limbo.push(freed(1, Epoch(4), Generation(10)), Wait::Readers); // freed before it began
        limbo.push(freed(3, Epoch(5), Generation(10)), Wait::Readers);
        limbo.push(freed(5, Epoch(9), Generation(2)), Wait::Readers);
        limbo.push(freed(7, Epoch(9), Generation(11)), Wait::Readers); // made after it began
        assert_eq!(drain(&mut limbo, Epoch(10), &[reader]), [1, 7]);
        assert_eq!((drain(&mut limbo, Epoch(10), &[reader]).len(), limbo.blocks()), (0, 2));
        // Another, that began before the last was freed, takes its place.
        let other = Since { epoch: Epoch(9), generation: Generation(10) };
        assert_eq!(drain(&mut limbo, Epoch(11), &[other]), [3]);
        assert_eq!(drain(&mut limbo, Epoch(11), &[]), [5]);
        assert_eq!(limbo.blocks(), 0);
    }

    #[test]
    fn what_was_freed_since_the_readers_were_counted_waits_for_the_next_count() {
        let mut limbo = Limbo::default();
        limbo.push(freed(1, Epoch(10), Generation(3)), Wait::Readers);
        assert!(drain(&mut limbo, Epoch(10), &[]).is_empty());
        assert_eq!(drain(&mut limbo, Epoch(11), &[]), [1]);
    }

    #[test]
    fn what_the_disk_may_name_waits_for_the_checkpoint_that_was_begun_after_it() {
        let mut limbo = Limbo::default();
        limbo.push(freed(1, Epoch(0), Generation(0)), Wait::NextCheckpoint);
        limbo.finish_checkpoint();
        assert!(drain(&mut limbo, Epoch(1), &[]).is_empty());
        limbo.cut();
        limbo.push(freed(3, Epoch(0), Generation(0)), Wait::NextCheckpoint);
        assert!(drain(&mut limbo, Epoch(1), &[]).is_empty());
        limbo.finish_checkpoint();
        assert_eq!((drain(&mut limbo, Epoch(1), &[]), limbo.blocks()), (vec![1], 1));
    }

    #[test]
    fn what_a_checkpoint_frees_waits_for_that_checkpoint_alone() {
        let mut limbo = Limbo::default();
        limbo.cut();
        limbo
            .push(Freed { birth: None, ..freed(1, Epoch(0), Generation(0)) }, Wait::ThisCheckpoint);
        assert!(drain(&mut limbo, Epoch(1), &[]).is_empty());
        limbo.finish_checkpoint();
        let reader = Since { epoch: Epoch(0), generation: Generation(99) };
        assert_eq!(drain(&mut limbo, Epoch(1), &[reader]), [1], "no reader can know it");
        assert_eq!(limbo.blocks(), 0);
    }

    #[test]
    fn neighbours_that_wait_for_the_same_are_one_run_and_others_are_not() {
        let mut limbo = Limbo::default();
        // At 4 a gap, at 6 freed later, at 8 made later; what follows the last lies in front of it.
        let freed = [
            (1, 2, 3),
            (2, 2, 3),
            (4, 2, 3),
            (5, 2, 3),
            (6, 3, 3),
            (7, 3, 3),
            (8, 3, 4),
            (7, 3, 4),
        ];
        for (at, epoch, birth) in freed {
            let freed = super::tests::freed(at, Epoch(epoch), Generation(birth));
            limbo.push(freed, Wait::Readers);
        }
        let runs = limbo.drain(&Readers { before: Epoch(9), since: Vec::new() });
        let expected = [(1, 2), (4, 2), (6, 2), (8, 1), (7, 1)];
        assert_eq!(runs, expected.map(|(at, blocks)| BlockRun::new(BlockAddr(at), blocks)));
        assert_eq!(limbo.blocks(), 0);
    }
}
