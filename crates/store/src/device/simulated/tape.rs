//! What was done to a device, in order; and what a power cut at any moment of it may leave.
//!
//! A change that a finished sync covers is there after the cut. Of the others, and of the one in
//! flight, any subset of their 512-byte sectors may be: a sector ends as the disk held it, or as
//! any write since the sync left it.

use std::ops::Range;
use std::sync::Arc;

use crate::device::dice::Dice;
use crate::device::image::{Block, Image, zeros};
use crate::device::{BLOCK, MemoryDevice};

/// The part of a block that a disk writes in one piece.
const SECTOR: usize = 512;

#[derive(Clone, Debug)]
pub(super) enum Change {
    Write {
        block: u64,
        blocks: Vec<Block>,
    },
    Punch {
        blocks: Range<u64>,
    },
    Allocate {
        blocks: Range<u64>,
    },
    Len {
        bytes: u64,
    },
    /// All changes with lower numbers are durable.
    Sync {
        upto: usize,
    },
    /// What became of the changes before is unknown, and no later sync keeps them.
    FailedSync,
}

/// The record of a device: how it was at first, and each change since.
#[derive(Clone, Debug)]
pub struct Tape {
    start: Image,
    changes: Vec<Arc<Change>>,
}

impl Tape {
    pub(super) fn begin(start: Image) -> Tape {
        Tape { start, changes: Vec::new() }
    }

    pub(super) fn push(&mut self, change: Change) {
        self.changes.push(Arc::new(change));
    }

    /// How many changes it holds.
    pub fn changes(&self) -> usize {
        self.changes.len()
    }

    /// Goes through the tape from its beginning.
    pub fn replay(&self) -> Replay<'_> {
        Replay { tape: self, durable: self.start.clone(), unsynced: Vec::new(), at: 0 }
    }
}

/// A tape under way. The power can be cut wherever it stands.
#[derive(Debug)]
pub struct Replay<'a> {
    tape: &'a Tape,
    /// What is there for certain.
    durable: Image,
    /// Changes since, by number.
    unsynced: Vec<usize>,
    at: usize,
}

impl Replay<'_> {
    /// Goes on until `at` changes are complete.
    pub fn advance_to(&mut self, at: usize, seed: u64) {
        while self.at < at.min(self.tape.changes.len()) {
            match &*self.tape.changes[self.at] {
                Change::Sync { upto } => {
                    let done = self.unsynced.partition_point(|number| number < upto);
                    for number in self.unsynced.drain(..done) {
                        apply(&mut self.durable, &self.tape.changes[number]);
                    }
                }
                Change::FailedSync => {
                    let left = survivors(&self.durable, self.pending(false), &mut Dice(seed));
                    self.durable = left;
                    self.unsynced.clear();
                }
                _ => self.unsynced.push(self.at),
            }
            self.at += 1;
        }
    }

    /// The disk after a power cut here, while the next change was in flight.
    pub fn cut_power(&self, seed: u64) -> MemoryDevice {
        MemoryDevice::holding(survivors(&self.durable, self.pending(true), &mut Dice(seed)))
    }

    /// The disk with everything that was done to it.
    pub fn all(&self) -> MemoryDevice {
        let mut image = self.durable.clone();
        self.pending(false).into_iter().for_each(|change| apply(&mut image, change));
        MemoryDevice::holding(image)
    }

    fn pending(&self, in_flight: bool) -> Vec<&Change> {
        let next = in_flight.then(|| self.tape.changes.get(self.at)).flatten();
        let unsynced = self.unsynced.iter().map(|number| &self.tape.changes[*number]);
        unsynced.chain(next).map(|change| &**change).collect()
    }
}

fn apply(image: &mut Image, change: &Change) {
    match change {
        Change::Write { block, blocks } => {
            for (bytes, block) in blocks.iter().zip(*block..) {
                image.put(block, Some(Arc::clone(bytes)));
            }
            image.grow((block + blocks.len() as u64) * BLOCK as u64);
        }
        Change::Punch { blocks } => image.punch(blocks.clone()),
        Change::Allocate { blocks } => {
            image.allocate(blocks.clone());
            image.grow(blocks.end * BLOCK as u64);
        }
        Change::Len { bytes } => image.set_len(*bytes),
        Change::Sync { .. } | Change::FailedSync => {}
    }
}

/// Which sectors of unsynced writes survive.
enum Rule {
    /// Each sector by itself, one in this many.
    Sectors(u64),
    /// All sectors but one in this many.
    Torn(u64),
    /// Whole blocks, by turns of a coin.
    Blocks,
    /// Whole changes, by turns of a coin.
    Changes,
    /// All changes but this one.
    AllBut(usize),
    /// This change alone.
    Only(usize),
    All,
    Nothing,
}

impl Rule {
    fn draw(dice: &mut Dice, changes: usize) -> Rule {
        let any = |dice: &mut Dice| dice.roll(changes.max(1) as u64) as usize;
        match dice.roll(10) {
            0 => Rule::Nothing,
            1 => Rule::All,
            2 => Rule::Only(any(dice)),
            3 | 4 => Rule::AllBut(any(dice)),
            5 => Rule::Changes,
            6 => Rule::Blocks,
            7 => Rule::Sectors(2),
            8 => Rule::Sectors(2 + dice.roll(20)),
            _ => Rule::Torn(2 + dice.roll(40)),
        }
    }

    fn keeps_change(&self, number: usize, dice: &mut Dice) -> bool {
        match self {
            Rule::Nothing => false,
            Rule::Only(one) => number == *one,
            Rule::AllBut(one) => number != *one,
            Rule::Changes => dice.roll(2) == 0,
            _ => true,
        }
    }

    fn keeps_block(&self, dice: &mut Dice) -> bool {
        !matches!(self, Rule::Blocks) || dice.roll(2) == 0
    }

    fn keeps_sector(&self, dice: &mut Dice) -> bool {
        match self {
            Rule::Sectors(one_in) => dice.roll(*one_in) == 0,
            Rule::Torn(one_in) => dice.roll(*one_in) != 0,
            _ => true,
        }
    }
}

fn survivors(durable: &Image, pending: Vec<&Change>, dice: &mut Dice) -> Image {
    let mut image = durable.clone();
    let rule = Rule::draw(dice, pending.len());
    // The length is one of those that the file had; what lies after it is lost.
    let mut lens = vec![durable.len()];
    for (number, change) in pending.into_iter().enumerate() {
        let before = image.len();
        let kept = rule.keeps_change(number, dice);
        match change {
            Change::Write { block, blocks } if kept => {
                for (bytes, block) in blocks.iter().zip(*block..) {
                    if rule.keeps_block(dice) {
                        tear(&mut image, block, bytes, &rule, dice);
                    }
                }
                image.grow((block + blocks.len() as u64) * BLOCK as u64);
            }
            Change::Punch { blocks } if kept => {
                for block in blocks.clone() {
                    if rule.keeps_block(dice) {
                        image.put(block, None);
                    }
                }
            }
            change if kept => apply(&mut image, change),
            _ => {}
        }
        if image.len() != before {
            lens.push(image.len());
        }
    }
    if !matches!(rule, Rule::All) {
        let len = lens[dice.roll(lens.len() as u64) as usize];
        if len < image.len() {
            image.set_len(len);
        }
    }
    image
}

/// Puts those sectors of a block that survive.
fn tear(image: &mut Image, block: u64, bytes: &Block, rule: &Rule, dice: &mut Dice) {
    if !matches!(rule, Rule::Sectors(_) | Rule::Torn(_)) {
        image.put(block, Some(Arc::clone(bytes)));
        return;
    }
    let mut torn = image.get(block).cloned().unwrap_or_else(zeros);
    for sector in 0..BLOCK / SECTOR {
        if rule.keeps_sector(dice) {
            let at = sector * SECTOR..(sector + 1) * SECTOR;
            Arc::make_mut(&mut torn)[at.clone()].copy_from_slice(&bytes[at]);
        }
    }
    image.put(block, Some(torn));
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::super::{Faults, ReadFault, SimulatedDevice, SyncFault};
    use super::*;
    use crate::device::Device;

    const B: u64 = BLOCK as u64;

    fn put(device: &SimulatedDevice, block: u64, byte: u8) {
        device.write_at(block * B, &[byte; BLOCK]).unwrap();
    }

    fn sectors(disk: &MemoryDevice, block: u64) -> Vec<u8> {
        let mut bytes = [0; BLOCK];
        disk.read_at(block * B, &mut bytes).unwrap();
        for sector in bytes.chunks(SECTOR) {
            assert!(sector.iter().all(|b| *b == sector[0]), "a sector is torn");
        }
        bytes.chunks(SECTOR).map(|sector| sector[0]).collect()
    }

    #[test]
    fn a_cut_keeps_what_was_synced_and_any_sectors_of_the_rest() {
        let device = SimulatedDevice::over(&MemoryDevice::new());
        (0..8).for_each(|block| put(&device, block, 1));
        device.sync().unwrap();
        put(&device, 0, 2);
        put(&device, 0, 3);
        put(&device, 9, 4);
        let tape = device.tape();
        let mut replay = tape.replay();
        replay.advance_to(tape.changes(), 0);
        let (mut firsts, mut lens, mut torn) = (HashSet::new(), HashSet::new(), false);
        for seed in 0..500 {
            let disk = replay.cut_power(seed);
            let first = sectors(&disk, 0);
            assert!(first.iter().all(|b| [1, 2, 3].contains(b)));
            assert_eq!(sectors(&disk, 5), [1; 8], "what was synced stays");
            torn |= first.iter().any(|b| *b != first[0]);
            firsts.insert(first[0]);
            lens.insert(disk.len().unwrap() / B);
        }
        assert!(torn && firsts.len() == 3, "any version of a sector may be left: {firsts:?}");
        assert_eq!(lens, HashSet::from([8, 10]));
    }

    #[test]
    fn a_cut_at_an_earlier_moment_knows_nothing_of_what_came_later() {
        let device = SimulatedDevice::over(&MemoryDevice::new());
        (1..=4).for_each(|byte| put(&device, 0, byte));
        let tape = device.tape();
        let mut replay = tape.replay();
        replay.advance_to(1, 0);
        let left: HashSet<u8> =
            (0..200).map(|seed| sectors(&replay.cut_power(seed), 0)[0]).collect();
        assert_eq!(left, HashSet::from([0, 1, 2]), "the second write is in flight");
    }

    #[test]
    fn a_failed_sync_loses_what_later_syncs_do_not_bring_back() {
        let faults = Faults { sync: Some((1, SyncFault::Once)), ..Faults::default() };
        let device = SimulatedDevice::with_faults(&MemoryDevice::new(), faults);
        put(&device, 0, 1);
        assert!(device.sync().is_err());
        put(&device, 1, 2);
        device.sync().unwrap();
        let tape = device.tape();
        let left: HashSet<u8> = (0..100)
            .map(|seed| {
                let mut replay = tape.replay();
                replay.advance_to(tape.changes(), seed);
                let disk = replay.cut_power(seed);
                assert_eq!(sectors(&disk, 1), [2; 8]);
                sectors(&disk, 0)[0]
            })
            .collect();
        assert_eq!(left, HashSet::from([0, 1]));
    }

    #[test]
    fn reads_rot_go_stale_and_go_astray_as_they_are_told() {
        let device = SimulatedDevice::over(&MemoryDevice::new());
        device.set_faults(Faults {
            reads: vec![
                (0, ReadFault::Rotten { bit: 9 }),
                (1, ReadFault::Stale),
                (2, ReadFault::Misdirected { block: 3 }),
            ],
            ..Faults::default()
        });
        (0..4).for_each(|block| put(&device, block, 10 + block as u8));
        put(&device, 1, 99);
        let mut bytes = [0; 4 * BLOCK];
        device.read_at(0, &mut bytes).unwrap();
        assert_eq!((bytes[0], bytes[1], bytes[2]), (10, 8, 10));
        assert_eq!((bytes[BLOCK], bytes[2 * BLOCK], bytes[3 * BLOCK]), (11, 13, 13));
    }

    #[test]
    fn a_full_disk_refuses_what_needs_room_and_takes_the_rest() {
        let faults = Faults { full_from: Some(2), ..Faults::default() };
        let device = SimulatedDevice::with_faults(&MemoryDevice::new(), faults);
        put(&device, 0, 1);
        device.allocate(B..3 * B).unwrap();
        put(&device, 2, 1);
        let full = device.write_at(2 * B, &[1; 2 * BLOCK]).unwrap_err();
        assert_eq!(full.kind(), std::io::ErrorKind::StorageFull);
    }
}
