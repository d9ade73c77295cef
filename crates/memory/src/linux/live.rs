//! Live memory: several writers, and snapshots that do not stop them for long.
//!
//! The memory is split into shards, each owned by whoever writes there. A shard's bytes can be reached
//! only through its guard, and a snapshot is cut while it holds the guards of all shards: that no
//! writer runs during the cut is a matter of types. The cut moves page tables, which takes
//! microseconds; afterwards writers fault their pages back in as they touch them, and saving the
//! snapshot moves the rest.

use std::ops::{Deref, DerefMut, Range};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::available_parallelism;
use std::time::Instant;

use crate::linux::error::{Error, Result};
use crate::linux::image::check_range;
use crate::linux::page::{PAGE, pages_touched};
use crate::linux::region::Region;
use crate::linux::snapshot::Snapshot;
use crate::linux::space::Space;
use crate::linux::sys;
use crate::linux::usage::Stats;
use crate::linux::window::{CopyAhead, Window};

/// Memory that is written through [`Shard`]s and saved by [`Snapshot`]s.
#[derive(Debug)]
pub struct Live(pub(crate) Arc<Shared>);

/// What shards, snapshots and the owner share.
#[derive(Debug)]
pub(crate) struct Shared {
    /// Held while the memory is cut or settled, by nobody who then waits for a gate.
    space: Mutex<Space>,
    /// The mapping's first address, which never changes.
    pub start: usize,
    pub len: usize,
    gates: Vec<Gate>,
    /// Held by whoever prepares and makes a cut.
    turn: Mutex<()>,
    /// Set while a cut takes the gates one by one, with the turnstile held: without it a busy writer could
    /// take its gate again and again, and all others would wait for it.
    cutting: AtomicBool,
    turnstile: Mutex<()>,
}

/// The right to make the next cut.
#[derive(Debug)]
pub(crate) struct Turn<'a> {
    _held: MutexGuard<'a, ()>,
}

/// All gates: while they are held, nobody reads or writes the memory.
#[derive(Debug)]
pub(crate) struct Halt<'a> {
    _gates: Vec<MutexGuard<'a, ()>>,
    _turnstile: MutexGuard<'a, ()>,
}

/// The lock of a shard.
#[derive(Debug)]
struct Gate {
    range: Range<usize>,
    lock: Mutex<()>,
}

/// One writer's part of live memory.
#[derive(Debug)]
pub struct Shard {
    shared: Arc<Shared>,
    index: usize,
}

/// Access to a shard; a snapshot waits until it is dropped. Dereferences to the shard's bytes.
#[derive(Debug)]
pub struct Guard<'a> {
    bytes: &'a mut [u8],
    shared: &'a Shared,
    offset: usize,
    _held: MutexGuard<'a, ()>,
}

impl Live {
    /// Takes a region, and splits it into `shards` parts of equal whole pages; the last takes the
    /// rest.
    ///
    /// Copies run ahead of need only where each shard's writer and one more thread have a processor each,
    /// unless [`set_copy_ahead`](Self::set_copy_ahead) says otherwise: elsewhere writers would wait for them.
    ///
    /// # Errors
    /// [`Error::Unsupported`] where the system has no windows, and [`Error::Shards`] unless there is a page
    /// for each. The region goes either way: [`Probe`](crate::Probe) tells before.
    pub fn new(mut region: Region, shards: usize) -> Result<(Self, Vec<Shard>)> {
        Window::require()?;
        let pages = region.space.pages().end;
        if shards == 0 || shards > pages {
            return Err(Error::Shards { shards, pages });
        }
        region.settle()?;
        let (len, Region { mut space, .. }) = (region.len(), region);
        // Where that cannot be asked, there may be as many as one likes.
        if available_parallelism().is_ok_and(|processors| processors.get() <= shards) {
            space.copy_ahead = CopyAhead::OFF;
        }
        let each = pages / shards * PAGE;
        let starts: Vec<usize> = (0..shards).map(|n| n * each).chain([len]).collect();
        let gates: Vec<Gate> = starts
            .windows(2)
            .map(|ends| Gate { range: ends[0]..ends[1], lock: Mutex::new(()) })
            .collect();
        let start = space.mapping.start();
        let shared = Arc::new(Shared {
            space: Mutex::new(space),
            start,
            len,
            gates,
            turn: Mutex::new(()),
            cutting: AtomicBool::new(false),
            turnstile: Mutex::new(()),
        });
        let shards =
            (0..shared.gates.len()).map(|index| Shard { shared: shared.clone(), index }).collect();
        Ok((Self(shared), shards))
    }

    /// What the memory holds now, once every guard is dropped and before another is given.
    ///
    /// If the snapshot before has not been saved or dropped, its pages are copied first, while
    /// writers go on.
    ///
    /// # Errors
    /// [`Error::Pinned`] while I/O may reach pages past the page tables; those of the system calls that it takes.
    pub fn snapshot(&self) -> Result<Snapshot> {
        let shared = &*self.0;
        shared.require_unpinned()?;
        let turn = shared.turn();
        shared.with_space(|space| {
            space.settle()?;
            space.untrack()
        })?;
        let halt = shared.halt(&turn);
        let begun = Instant::now();
        // SAFETY: the shards' bytes are reached through guards alone, and every lock that a guard
        // holds is held here.
        let frozen = shared.with_space(|space| unsafe { space.freeze() })?;
        let pause = begun.elapsed();
        drop(halt);
        drop(turn);
        Ok(Snapshot::new(self.0.clone(), frozen, pause))
    }

    /// Fills whatever still waits in a snapshot, whose pages are copied if it still exists.
    pub fn settle(&self) -> Result<()> {
        lock(&self.0.space).settle()
    }

    /// Chooses how copies run ahead of need from the next snapshot on.
    pub fn set_copy_ahead(&self, policy: CopyAhead) {
        lock(&self.0.space).copy_ahead = policy;
    }

    /// What has happened so far.
    pub fn stats(&self) -> Stats {
        lock(&self.0.space).stats()
    }

    /// Bytes.
    #[allow(clippy::len_without_is_empty)] // A region has at least one byte.
    pub fn len(&self) -> usize {
        self.0.len
    }
}

impl Shard {
    /// Access to the shard's bytes. Waits while a snapshot is being cut.
    ///
    /// A thread that holds one shard's guard must drop it before it asks for another's: a snapshot that
    /// is being cut would wait for the one, and the thread for the snapshot.
    pub fn guard(&mut self) -> Guard<'_> {
        let gate = &self.shared.gates[self.index];
        if self.shared.cutting.load(Ordering::Relaxed) {
            drop(lock(&self.shared.turnstile));
        }
        let held = lock(&gate.lock);
        let start = self.shared.start + gate.range.start;
        // SAFETY: the mapping lives as long as `shared`. Ranges of shards are disjoint, the shard is
        // borrowed exclusively, and a snapshot touches the mapping only while it holds the lock.
        let bytes = unsafe { std::slice::from_raw_parts_mut(start as *mut u8, gate.range.len()) };
        Guard { bytes, shared: &self.shared, offset: gate.range.start, _held: held }
    }

    /// Where the shard lies in the memory.
    pub fn range(&self) -> Range<usize> {
        self.shared.gates[self.index].range.clone()
    }
}

impl Guard<'_> {
    /// Makes sure that system calls may use a part of the shard as a buffer, by filling the pages of
    /// it that still wait in a snapshot.
    ///
    /// # Errors
    /// [`Error::Bounds`] for a range outside the shard.
    pub fn settle(&self, range: Range<usize>) -> Result<()> {
        check_range("settle a part of a shard", &range, self.bytes.len())?;
        let range = self.offset + range.start..self.offset + range.end;
        self.shared.settle(pages_touched(&range))
    }
}

impl Deref for Guard<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.bytes
    }
}

impl DerefMut for Guard<'_> {
    fn deref_mut(&mut self) -> &mut [u8] {
        self.bytes
    }
}

impl Shared {
    /// Looks at the space while nobody cuts or settles it.
    pub fn with_space<R>(&self, then: impl FnOnce(&mut Space) -> R) -> R {
        then(&mut lock(&self.space))
    }

    /// Whether I/O may reach pages past the page tables, unseen by the kernel's record of writes.
    pub fn may_be_pinned(&self) -> bool {
        sys::may_be_pinned(&(self.start..self.start + self.len))
    }

    fn require_unpinned(&self) -> Result<()> {
        if self.may_be_pinned() { Err(Error::Pinned) } else { Ok(()) }
    }

    /// The right to make the next cut, once whoever has it is done.
    pub fn turn(&self) -> Turn<'_> {
        Turn { _held: lock(&self.turn) }
    }

    /// Keeps every writer out, once all guards are dropped.
    pub fn halt(&self, _: &Turn<'_>) -> Halt<'_> {
        let turnstile = lock(&self.turnstile);
        self.cutting.store(true, Ordering::Relaxed);
        let gates = self.gates.iter().map(|gate| lock(&gate.lock)).collect();
        // Whoever still sees the flag waits at the turnstile, until the halt ends at the latest.
        self.cutting.store(false, Ordering::Relaxed);
        Halt { _gates: gates, _turnstile: turnstile }
    }

    fn settle(&self, pages: Range<usize>) -> Result<()> {
        match &lock(&self.space).window {
            Some(window) => window.fill(pages),
            None => Ok(()),
        }
    }
}

/// A lock whose holder panicked protects nothing that a panic could have left half done.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|e| e.into_inner())
}
