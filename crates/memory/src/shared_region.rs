//! Shared regions: memory with several writers, and snapshots that do not stop them for long.
//!
//! The memory is split into shards, each with one writer. A shard's bytes can be reached only
//! through its guard, and a snapshot is taken while it holds the guards of all shards, so the types
//! prove that no writer runs at that moment. Taking it moves page tables, which takes microseconds.
//! Afterwards writers fault their pages back in as they touch them, and saving the snapshot moves
//! the rest.

use std::ops::{Deref, DerefMut, Range};
use std::sync::{Arc, MutexGuard};
use std::thread::available_parallelism;
use std::time::Instant;

use crate::error::{Error, Result};
use crate::gates::GatedMapping;
use crate::image::check_range;
use crate::page::{PAGE, pages_touched};
use crate::region::Region;
use crate::snapshot::Snapshot;
use crate::usage::Stats;
use crate::window::{CopyAhead, Window};

/// Memory that is written through [`Shard`]s and saved by [`Snapshot`]s.
#[derive(Debug)]
pub struct SharedRegion(pub(crate) Arc<GatedMapping>);

/// One writer's part of a shared region.
#[derive(Debug)]
pub struct Shard {
    shared: Arc<GatedMapping>,
    index: usize,
}

/// Access to a shard. A snapshot waits until it is dropped. Dereferences to the shard's bytes.
#[derive(Debug)]
pub struct Guard<'a> {
    bytes: &'a mut [u8],
    shared: &'a GatedMapping,
    offset: usize,
    _held: MutexGuard<'a, ()>,
}

impl SharedRegion {
    /// Takes a region, and splits it into `shards` parts of equal whole pages. The last one also
    /// has the remainder.
    ///
    /// Copies run ahead of need only where each shard's writer and one more thread have a processor
    /// each, unless [`set_copy_ahead`](Self::set_copy_ahead) says otherwise: elsewhere writers
    /// would wait for them.
    ///
    /// # Errors
    /// [`Error::Unsupported`] where the system has no windows, and [`Error::Shards`] unless there
    /// is a page for each shard. The region is dropped in either case; ask [`Probe`](crate::Probe)
    /// first to avoid that.
    pub fn new(mut region: Region, shards: usize) -> Result<(Self, Vec<Shard>)> {
        Window::require()?;
        let pages = region.cow.pages().end;
        if shards == 0 || shards > pages {
            return Err(Error::Shards { shards, pages });
        }
        region.settle()?;
        let (len, Region { mut cow, .. }) = (region.len(), region);
        // Where the number of processors is unknown, assume that there are enough.
        if available_parallelism().is_ok_and(|processors| processors.get() <= shards) {
            cow.copy_ahead = CopyAhead::OFF;
        }
        let each = pages / shards * PAGE;
        let ranges = (0..shards).map(|n| {
            let is_last = n + 1 == shards;
            n * each..if is_last { len } else { (n + 1) * each }
        });
        let shared = Arc::new(GatedMapping::new(cow, len, ranges));
        let shards = (0..shards).map(|index| Shard { shared: shared.clone(), index }).collect();
        Ok((Self(shared), shards))
    }

    /// Takes a snapshot of what the memory holds now. Waits until every guard is dropped, and hands
    /// out no other guard before it is done.
    ///
    /// If the snapshot before has not been saved or dropped, its pages are copied first, while
    /// writers go on.
    ///
    /// # Errors
    /// [`Error::Pinned`] while I/O may reach pages past the page tables, and the errors of the
    /// system calls that it makes.
    pub fn snapshot(&self) -> Result<Snapshot> {
        let shared = &*self.0;
        shared.require_unpinned()?;
        let turn = shared.turn();
        shared.with_cow(|cow| {
            cow.settle()?;
            cow.untrack()
        })?;
        let closed = shared.close(&turn);
        let begun = Instant::now();
        // SAFETY: the shards' bytes are reached through guards alone, and every lock that a guard
        // holds is held here.
        let frozen = shared.with_cow(|cow| unsafe { cow.freeze() })?;
        let pause = begun.elapsed();
        drop(closed);
        drop(turn);
        Ok(Snapshot::new(self.0.clone(), frozen, pause))
    }

    /// Fills the pages that still wait in a snapshot. They are copied if the snapshot still exists.
    pub fn settle(&self) -> Result<()> {
        self.0.with_cow(|cow| cow.settle())
    }

    /// Chooses how copies run ahead of need from the next snapshot on.
    pub fn set_copy_ahead(&self, policy: CopyAhead) {
        self.0.with_cow(|cow| cow.copy_ahead = policy);
    }

    /// What has happened so far.
    pub fn stats(&self) -> Stats {
        self.0.with_cow(|cow| cow.stats())
    }

    /// The length in bytes, at least one.
    #[allow(clippy::len_without_is_empty)] // A region has at least one byte.
    pub fn len(&self) -> usize {
        self.0.len
    }
}

impl Shard {
    /// Gives access to the shard's bytes. Waits while a snapshot is being taken.
    ///
    /// A thread that holds one shard's guard must drop it before it asks for another's: a snapshot
    /// that is being taken would wait for the first, and the thread for the snapshot.
    pub fn guard(&mut self) -> Guard<'_> {
        let held = self.shared.pass(self.index);
        let range = self.shared.range(self.index);
        let start = self.shared.start + range.start;
        // SAFETY: the mapping lives as long as `shared`. Ranges of shards are disjoint, the shard
        // is borrowed exclusively, and a snapshot touches the mapping only while it holds the lock.
        let bytes = unsafe { std::slice::from_raw_parts_mut(start as *mut u8, range.len()) };
        Guard { bytes, shared: &self.shared, offset: range.start, _held: held }
    }

    /// Where the shard lies in the memory.
    pub fn range(&self) -> Range<usize> {
        self.shared.range(self.index)
    }
}

impl Guard<'_> {
    /// Fills the pages of a part of the shard that still wait in a snapshot, so that system calls
    /// may use the part as a buffer.
    ///
    /// # Errors
    /// [`Error::Bounds`] for a range outside the shard.
    pub fn settle(&self, range: Range<usize>) -> Result<()> {
        check_range("settle a part of a shard", &range, self.bytes.len())?;
        let range = self.offset + range.start..self.offset + range.end;
        self.shared.with_cow(|cow| match &cow.window {
            Some(window) => window.fill(pages_touched(&range)),
            None => Ok(()),
        })
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
