//! Small data that has its address but was not written there yet. A rewrite of the same file block
//! before the next flush costs no write at all; an fsync of a little carries it inside the journal.

use crate::device::{AlignedBuf, Device};
use crate::error::{Error, Result};
use crate::format::block::{BlockAddr, BlockRun};
use crate::format::layout::BLOCK_BYTES;
use crate::sync::atomic::{AtomicU8, Ordering};
use crate::sync::{Condvar, Mutex, lock, wait};
use std::collections::BTreeMap;
use std::sync::Arc;

/// At most this much is written in one call to the device.
const WRITE_BYTES_MAX: usize = 1 << 20;

/// How far the data is on its way to the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Progress {
    Fresh,
    Issued,
    Written,
    Failed,
    /// Its blocks may belong to other data by now: it is never written, and records that refer to
    /// it carry its bytes.
    Forgotten,
}

/// A run of blocks in memory.
#[derive(Debug)]
pub(crate) struct DirtyData {
    pub addr: BlockAddr,
    bytes: AlignedBuf,
    progress: AtomicProgress,
    /// Checkpoint cuts before it was made: an older one may be named by the disk.
    cuts: u64,
}

/// A [`Progress`] that several threads may change.
#[derive(Debug)]
struct AtomicProgress(AtomicU8);

impl AtomicProgress {
    fn fresh() -> AtomicProgress {
        AtomicProgress(AtomicU8::new(Progress::Fresh as u8))
    }

    fn is(&self, progress: Progress) -> bool {
        self.0.load(Ordering::Acquire) == progress as u8
    }

    fn set(&self, progress: Progress) {
        self.0.store(progress as u8, Ordering::Release);
    }

    /// Moves from `from` to `to`. Returns `false` if it was elsewhere.
    fn turns(&self, from: Progress, to: Progress) -> bool {
        let turned =
            self.0.compare_exchange(from as u8, to as u8, Ordering::AcqRel, Ordering::Acquire);
        turned.is_ok()
    }
}

impl DirtyData {
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Returns `true` if the blocks lie on the device, though perhaps not flushed.
    pub fn on_device(&self) -> bool {
        self.progress.is(Progress::Written)
    }

    /// What a journal record would carry of it.
    pub fn inline_bytes(&self) -> usize {
        if self.on_device() { 0 } else { self.bytes.len() }
    }

    fn run(&self) -> BlockRun {
        BlockRun { start: self.addr, blocks: (self.bytes.len() / BLOCK_BYTES) as u64 }
    }
}

#[derive(Debug)]
pub(crate) struct DirtySet {
    device: Arc<dyn Device>,
    state: Mutex<State>,
    written: Condvar,
}

#[derive(Debug, Default)]
struct State {
    by_addr: BTreeMap<BlockAddr, Arc<DirtyData>>,
    bytes: usize,
    cuts: u64,
}

impl DirtySet {
    pub fn new(device: Arc<dyn Device>) -> DirtySet {
        DirtySet { device, state: Mutex::default(), written: Condvar::new() }
    }

    /// Keeps `data` for the blocks from `addr` on.
    pub fn insert(&self, addr: BlockAddr, data: &[u8]) -> Arc<DirtyData> {
        let bytes = AlignedBuf::from_slice(data);
        let mut state = lock(&self.state);
        let progress = AtomicProgress::fresh();
        let dirty = Arc::new(DirtyData { addr, bytes, progress, cuts: state.cuts });
        state.bytes += data.len();
        state.by_addr.insert(addr, Arc::clone(&dirty));
        dirty
    }

    pub fn bytes(&self) -> usize {
        lock(&self.state).bytes
    }

    /// Drops exactly this run if only memory has it. Returns `true` if it did.
    pub fn forget(&self, run: BlockRun) -> bool {
        let mut state = lock(&self.state);
        let held = state.by_addr.get(&run.start).filter(|d| d.run() == run && d.cuts == state.cuts);
        let forgotten =
            held.is_some_and(|d| d.progress.turns(Progress::Fresh, Progress::Forgotten));
        if forgotten && let Some(gone) = state.by_addr.remove(&run.start) {
            state.bytes -= gone.bytes.len();
        }
        forgotten
    }

    /// Fills `out` with blocks from `addr` on: from memory where they are, else from the device.
    pub fn read(&self, addr: BlockAddr, out: &mut [u8]) -> Result<()> {
        let end = addr + (out.len() / BLOCK_BYTES) as u64;
        let held: Vec<Arc<DirtyData>> = {
            let state = lock(&self.state);
            if state.by_addr.is_empty() {
                Vec::new()
            } else {
                let first = state.by_addr.range(..=addr).next_back().map_or(addr, |(a, _)| *a);
                let overlaps =
                    state.by_addr.range(first..end).filter(|(_, d)| d.run().end() > addr);
                overlaps.map(|(_, d)| Arc::clone(d)).collect()
            }
        };
        let covered: u64 = held.iter().map(|d| d.run().end().min(end) - d.addr.max(addr)).sum();
        if covered < end - addr {
            let offset = addr.checked_offset().filter(|o| *o < i64::MAX as u64 / 2);
            let offset =
                offset.ok_or_else(|| Error::damaged_at(addr, "an extent leads out of the file"))?;
            self.device.read_at(offset, out).map_err(|e| Error::io("reading file data", e))?;
        }
        for dirty in held {
            let (from, to) = (dirty.addr.max(addr), dirty.run().end().min(end));
            let source = (from - dirty.addr) as usize * BLOCK_BYTES
                ..(to - dirty.addr) as usize * BLOCK_BYTES;
            let target = (from - addr) as usize * BLOCK_BYTES..(to - addr) as usize * BLOCK_BYTES;
            out[target].copy_from_slice(&dirty.bytes[source]);
        }
        Ok(())
    }

    /// A checkpoint cuts here: what it froze may name everything held now.
    pub fn cut(&self) {
        lock(&self.state).cuts += 1;
    }

    /// Writes out all that is held; returns when all of it is on the device (not flushed).
    pub fn write_all(&self) -> Result<()> {
        let held: Vec<_> = lock(&self.state).by_addr.values().cloned().collect();
        self.write_out(&held)
    }

    /// Waits until these are on the device, not flushed; writes those that no other thread is
    /// writing.
    pub fn write_out(&self, wanted: &[Arc<DirtyData>]) -> Result<()> {
        let mut ours: Vec<Arc<DirtyData>> = {
            let _state = lock(&self.state);
            wanted
                .iter()
                .filter(|d| d.progress.turns(Progress::Fresh, Progress::Issued))
                .cloned()
                .collect()
        };
        ours.sort_by_key(|d| d.addr);
        let mut rest = ours.as_slice();
        while let Some(first) = rest.first() {
            let (mut count, mut bytes) = (1, first.bytes.len());
            while let Some(next) = rest.get(count)
                && rest[count - 1].run().end() == next.addr
                && bytes + next.bytes.len() <= WRITE_BYTES_MAX
            {
                bytes += next.bytes.len();
                count += 1;
            }
            self.write_run(&rest[..count], bytes)?;
            rest = &rest[count..];
        }
        let mut state = lock(&self.state);
        while wanted.iter().any(|d| d.progress.is(Progress::Issued)) {
            state = wait(&self.written, state);
        }
        if wanted.iter().any(|d| d.progress.is(Progress::Failed)) {
            return Err(Error::Poisoned { why: "file data could not be written".into() });
        }
        Ok(())
    }

    fn write_run(&self, run: &[Arc<DirtyData>], bytes: usize) -> Result<()> {
        let offset = run[0].addr.offset();
        let result = if let [single] = run {
            self.device.write_at(offset, &single.bytes)
        } else {
            let mut joined = AlignedBuf::zeroed(bytes);
            let mut at = 0;
            for dirty in run {
                joined[at..at + dirty.bytes.len()].copy_from_slice(&dirty.bytes);
                at += dirty.bytes.len();
            }
            self.device.write_at(offset, &joined)
        };
        let mut state = lock(&self.state);
        for dirty in run {
            // After a failed write the store is poisoned; the data stays readable in memory.
            dirty.progress.set(if result.is_ok() { Progress::Written } else { Progress::Failed });
            if result.is_ok()
                && state.by_addr.get(&dirty.addr).is_some_and(|d| Arc::ptr_eq(d, dirty))
            {
                state.by_addr.remove(&dirty.addr);
                state.bytes -= dirty.bytes.len();
            }
        }
        drop(state);
        self.written.notify_all();
        result.map_err(|e| Error::io("writing file data", e))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::MemoryDevice;

    #[test]
    fn what_was_forgotten_is_never_written_over_what_has_its_blocks_now() {
        let device: Arc<dyn Device> = Arc::new(MemoryDevice::new());
        let dirty = DirtySet::new(Arc::clone(&device));
        let addr = BlockAddr(7);
        // A journal record may still know the older data, and write it out when its turn comes.
        let older = dirty.insert(addr, &[1; BLOCK_BYTES]);
        assert!(dirty.forget(BlockRun::new(addr, 1)));
        let newer = dirty.insert(addr, &[2; BLOCK_BYTES]);
        dirty.write_out(std::slice::from_ref(&newer)).unwrap();
        dirty.write_out(std::slice::from_ref(&older)).unwrap();
        let mut found = [0; BLOCK_BYTES];
        dirty.read(addr, &mut found).unwrap();
        assert_eq!(found, [2; BLOCK_BYTES]);
        assert_eq!((older.inline_bytes(), newer.inline_bytes()), (BLOCK_BYTES, 0));
    }

    #[test]
    fn what_is_written_or_may_be_named_by_a_checkpoint_is_not_forgotten() {
        let dirty = DirtySet::new(Arc::new(MemoryDevice::new()));
        let forget = |addr, blocks| dirty.forget(BlockRun::new(BlockAddr(addr), blocks));
        dirty.insert(BlockAddr(1), &[1; 2 * BLOCK_BYTES]);
        assert!(!forget(1, 1) && !forget(2, 1), "only a whole run");
        dirty.cut();
        assert!(!forget(1, 2));
        dirty.insert(BlockAddr(9), &[1; BLOCK_BYTES]);
        dirty.write_all().unwrap();
        assert!(!forget(9, 1));
    }
}
