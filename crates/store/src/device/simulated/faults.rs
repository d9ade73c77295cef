//! What a simulated disk does wrong, besides losing its power.

use std::collections::HashMap;

use crate::device::BLOCK;
use crate::device::dice::Dice;
use crate::device::image::{Block, Image, zeros};

/// What is wrong with a disk; nothing by default.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    /// The number of a sync, counted from one, and what happens then.
    pub sync: Option<(u64, SyncFault)>,
    /// There is no more room from this change on: what fills holes fails.
    pub full_from: Option<usize>,
    /// Every write fails.
    pub writes_fail: bool,
    /// A block, and what reads of it return.
    pub reads: Vec<(u64, ReadFault)>,
    /// One block in this many is read wrong, in a way that the seed decides: (seed, one in).
    pub random_reads: Option<(u64, u64)>,
}

/// How a sync goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyncFault {
    /// It fails; what it should have kept may be lost, also to later syncs that work.
    Once,
    /// It fails, and so do all later ones.
    ForGood,
    /// It claims to have worked and keeps nothing; so do all later ones. No store survives such a
    /// disk, which shows that a test can fail.
    Skipped,
}

/// What a read returns in place of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadFault {
    /// The block with one bit changed.
    Rotten {
        /// Which bit, from the block's start.
        bit: usize,
    },
    /// What the block held before it was last written.
    Stale,
    /// Another block.
    Misdirected {
        /// Its number.
        block: u64,
    },
}

impl Faults {
    pub(super) fn sync_fault(&self, number: u64) -> Option<SyncFault> {
        let (first, fault) = self.sync?;
        let hit = if fault == SyncFault::Once { number == first } else { number >= first };
        hit.then_some(fault)
    }
}

/// Reads that go wrong.
#[derive(Debug)]
pub(super) struct Rotten {
    fixed: HashMap<u64, ReadFault>,
    random: Option<(Dice, u64)>,
    /// What blocks held before they were last written.
    older: HashMap<u64, Block>,
}

impl Rotten {
    pub fn new(faults: &Faults) -> Rotten {
        Rotten {
            fixed: faults.reads.iter().copied().collect(),
            random: faults.random_reads.map(|(seed, one_in)| (Dice(seed), one_in)),
            older: HashMap::new(),
        }
    }

    /// A block is about to be written.
    pub fn overwritten(&mut self, now: &Image, block: u64) {
        self.older.insert(block, now.get(block).cloned().unwrap_or_else(zeros));
    }

    /// Makes of what was read what a bad disk returns.
    pub fn spoil(&mut self, now: &Image, block: u64, bytes: &mut [u8]) {
        let Some(fault) = self.fixed.get(&block).copied().or_else(|| self.chance(now)) else {
            return;
        };
        match fault {
            ReadFault::Rotten { bit } => bytes[bit / 8] ^= 1 << (bit % 8),
            ReadFault::Stale => {
                if let Some(older) = self.older.get(&block) {
                    bytes.copy_from_slice(&older[..]);
                }
            }
            ReadFault::Misdirected { block } => now.read(block * BLOCK as u64, bytes),
        }
    }

    fn chance(&mut self, now: &Image) -> Option<ReadFault> {
        let (dice, one_in) = self.random.as_mut()?;
        let hit = dice.roll(*one_in) == 0;
        hit.then(|| match dice.roll(3) {
            0 => ReadFault::Rotten { bit: dice.roll(BLOCK as u64 * 8) as usize },
            1 => ReadFault::Stale,
            _ => ReadFault::Misdirected { block: dice.roll((now.len() / BLOCK as u64).max(1)) },
        })
    }
}
