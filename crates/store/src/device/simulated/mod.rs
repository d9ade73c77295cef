//! A disk that can do all that disks do, for tests: it records what is done to it, so that the
//! power can be cut afterwards at every moment of the record, and it fails, rots and fills when it
//! is asked to.
//!
//! One seed decides all chance, so one seed replays one run.

mod faults;
mod tape;

pub use faults::{Faults, ReadFault, SyncFault};
pub use tape::{Replay, Tape};

use std::io;
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::image::{Block, Image, block_of, blocks_of};
use super::{BLOCK, Device, MemoryDevice, range_of, whole_blocks};
use faults::Rotten;
use tape::Change;

/// A device in memory with a record and with faults.
#[derive(Debug)]
pub struct SimulatedDevice {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    now: Image,
    tape: Tape,
    faults: Faults,
    syncs: u64,
    rotten: Rotten,
}

impl SimulatedDevice {
    /// A device with the contents of another, durable so far.
    pub fn over(disk: &MemoryDevice) -> SimulatedDevice {
        SimulatedDevice::with_faults(disk, Faults::default())
    }

    /// A device with the contents of another, that fails as `faults` say.
    pub fn with_faults(disk: &MemoryDevice, faults: Faults) -> SimulatedDevice {
        let now = disk.image();
        let state = State {
            tape: Tape::begin(now.clone()),
            rotten: Rotten::new(&faults),
            now,
            faults,
            syncs: 0,
        };
        SimulatedDevice { state: Mutex::new(state) }
    }

    /// What has been done to the device so far.
    pub fn tape(&self) -> Tape {
        self.state().tape.clone()
    }

    /// How many changes there were: writes, holes, lengths and syncs.
    pub fn changes(&self) -> usize {
        self.state().tape.changes()
    }

    /// The contents as reads see them, durable or not.
    pub fn contents(&self) -> MemoryDevice {
        MemoryDevice::holding(self.state().now.clone())
    }

    /// Other faults from now on. What counts from the beginning goes on counting.
    pub fn set_faults(&self, faults: Faults) {
        let mut state = self.state();
        state.rotten = Rotten::new(&faults);
        state.faults = faults;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Refuses what needs room for the holes in `blocks` on a disk that is full.
    fn room_for(&self, blocks: std::ops::Range<u64>) -> io::Result<()> {
        let full = self.faults.full_from.is_some_and(|from| self.tape.changes() >= from);
        if full && self.now.present_in(blocks.clone()) < blocks.end - blocks.start {
            return Err(rustix::io::Errno::NOSPC.into());
        }
        Ok(())
    }
}

impl Device for SimulatedDevice {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        range_of(offset, buf)?;
        let mut state = self.state();
        let state = &mut *state;
        state.now.read(offset, buf);
        for (part, block) in buf.chunks_mut(BLOCK).zip(offset / BLOCK as u64..) {
            state.rotten.spoil(&state.now, block, part);
        }
        Ok(())
    }

    fn write_at(&self, offset: u64, buf: &[u8]) -> io::Result<()> {
        let range = range_of(offset, buf)?;
        let mut state = self.state();
        if state.faults.writes_fail {
            return Err(rustix::io::Errno::IO.into());
        }
        state.room_for(blocks_of(&range))?;
        let (whole, _) = buf.as_chunks::<BLOCK>();
        let blocks: Vec<Block> = whole.iter().map(block_of).collect();
        for (bytes, block) in blocks.iter().zip(offset / BLOCK as u64..) {
            let state = &mut *state;
            state.rotten.overwritten(&state.now, block);
            state.now.put(block, Some(bytes.clone()));
        }
        state.now.grow(range.end);
        state.tape.push(Change::Write { block: offset / BLOCK as u64, blocks });
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        // What is written while the sync runs is not part of it.
        let upto = self.changes();
        crate::sync::yield_now();
        let mut state = self.state();
        state.syncs += 1;
        match state.faults.sync_fault(state.syncs) {
            None => state.tape.push(Change::Sync { upto }),
            Some(SyncFault::Skipped) => {}
            Some(SyncFault::Once | SyncFault::ForGood) => {
                state.tape.push(Change::FailedSync);
                return Err(rustix::io::Errno::IO.into());
            }
        }
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.state().now.len())
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        whole_blocks(&(0..bytes))?;
        let mut state = self.state();
        state.now.set_len(bytes);
        state.tape.push(Change::Len { bytes });
        Ok(())
    }

    fn allocate(&self, range: Range<u64>) -> io::Result<()> {
        whole_blocks(&range)?;
        let mut state = self.state();
        state.room_for(blocks_of(&range))?;
        state.now.allocate(blocks_of(&range));
        state.now.grow(range.end);
        state.tape.push(Change::Allocate { blocks: blocks_of(&range) });
        Ok(())
    }

    fn punch(&self, range: Range<u64>) -> io::Result<()> {
        whole_blocks(&range)?;
        let mut state = self.state();
        state.now.punch(blocks_of(&range));
        state.tape.push(Change::Punch { blocks: blocks_of(&range) });
        Ok(())
    }

    fn allocated_bytes(&self) -> io::Result<u64> {
        Ok(self.state().now.present() * BLOCK as u64)
    }

    /// As much as a file can hold, until the disk is full.
    fn host_free_bytes(&self) -> io::Result<u64> {
        let state = self.state();
        let full = state.faults.full_from.is_some_and(|from| state.tape.changes() >= from);
        Ok(if full { 0 } else { i64::MAX as u64 })
    }
}
