//! The gates of a shared region: one lock for each shard, all of which a snapshot closes.
//!
//! A shard's bytes are reached only while its gate is held, so no writer runs while all gates are.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard};

use crate::cow_mapping::CowMapping;
use crate::error::{Error, Result};
use crate::sys;

/// A mapping whose bytes are reached through gates. Shards, snapshots and the region share it.
#[derive(Debug)]
pub(crate) struct GatedMapping {
    /// Held while a snapshot is taken or pages are settled. Its holder never waits for a gate.
    cow: Mutex<CowMapping>,
    /// The mapping's first address, which never changes.
    pub start: usize,
    pub len: usize,
    gates: Vec<Gate>,
    /// Held while a snapshot or an incremental save is prepared and taken.
    turn: Mutex<()>,
    /// Set while the gates are closed one by one, with the turnstile held. Without it a busy writer
    /// could take its gate again and again, and all other writers would wait for it.
    closing: AtomicBool,
    turnstile: Mutex<()>,
}

/// The right to close the gates next.
#[derive(Debug)]
pub(crate) struct Turn<'a> {
    _held: MutexGuard<'a, ()>,
}

/// All gates. While they are held, no thread reads or writes the memory.
#[derive(Debug)]
pub(crate) struct ClosedGates<'a> {
    _gates: Vec<MutexGuard<'a, ()>>,
    _turnstile: MutexGuard<'a, ()>,
}

/// The lock of a shard, and the bytes that it guards.
#[derive(Debug)]
struct Gate {
    range: Range<usize>,
    lock: Mutex<()>,
}

impl GatedMapping {
    /// Puts gates in front of a mapping of `len` bytes, one for each range.
    pub fn new(cow: CowMapping, len: usize, ranges: impl Iterator<Item = Range<usize>>) -> Self {
        Self {
            start: cow.mapping.start(),
            cow: Mutex::new(cow),
            len,
            gates: ranges.map(|range| Gate { range, lock: Mutex::new(()) }).collect(),
            turn: Mutex::new(()),
            closing: AtomicBool::new(false),
            turnstile: Mutex::new(()),
        }
    }

    /// The bytes behind a gate.
    pub fn range(&self, index: usize) -> Range<usize> {
        self.gates[index].range.clone()
    }

    /// Waits until a gate is open, and holds it.
    pub fn pass(&self, index: usize) -> MutexGuard<'_, ()> {
        if self.closing.load(Ordering::Relaxed) {
            drop(lock(&self.turnstile));
        }
        lock(&self.gates[index].lock)
    }

    /// Calls `then` while no other thread takes a snapshot or settles pages.
    pub fn with_cow<R>(&self, then: impl FnOnce(&mut CowMapping) -> R) -> R {
        then(&mut lock(&self.cow))
    }

    /// Returns `true` if I/O may reach pages past the page tables, where the kernel does not record
    /// the writes.
    pub fn may_be_pinned(&self) -> bool {
        sys::may_be_pinned(&(self.start..self.start + self.len))
    }

    /// Fails if I/O may reach pages past the page tables.
    pub fn require_unpinned(&self) -> Result<()> {
        if self.may_be_pinned() { Err(Error::Pinned) } else { Ok(()) }
    }

    /// Waits for the right to close the gates.
    pub fn turn(&self) -> Turn<'_> {
        Turn { _held: lock(&self.turn) }
    }

    /// Waits until every guard is dropped, and keeps every writer out from then on.
    pub fn close(&self, _: &Turn<'_>) -> ClosedGates<'_> {
        let turnstile = lock(&self.turnstile);
        self.closing.store(true, Ordering::Relaxed);
        let gates = self.gates.iter().map(|gate| lock(&gate.lock)).collect();
        // A writer that still sees the flag waits at the turnstile, at the latest until the gates
        // open again.
        self.closing.store(false, Ordering::Relaxed);
        ClosedGates { _gates: gates, _turnstile: turnstile }
    }
}

/// Takes a lock, poisoned or not: a panic leaves nothing half done in what these locks protect.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|e| e.into_inner())
}
