//! The parts of a store, and the order of their locks.
//!
//! Locks are taken in this order: checkpoint, cut, catalog, a branch's state, counts, space; the
//! journal's, the dirty set's and the cache's are leaves. A commit holds the cut lock shared, so
//! that a checkpoint, which takes it alone for an instant, sees every commit whole or not at all.
//!
//! What goes through several parts is in files next to this one: `commit` and `apply`, `free`,
//! `durability`, `admit`, `checkpoint`, `reclaim`, `recover`.

use crate::branch::Catalog;
use crate::changed::Changed;
use crate::checkpoint::Durable;
use crate::device::Device;
use crate::dirty::DirtySet;
use crate::error::{Error, Result};
use crate::format::ids::Generation;
use crate::health::Health;
use crate::journal::Journal;
use crate::options::Options;
use crate::pins::{Pin, Pins};
use crate::reclaim_queue::ReclaimQueue;
use crate::refs::Refs;
use crate::shortage::Shortage;
use crate::signal::Signal;
use crate::space::Space;
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use crate::sync::{Mutex, RwLock};
use crate::tree::Nodes;
use std::sync::Arc;
use tine_sys::lineage::Process;

#[derive(Debug)]
pub(crate) struct Engine {
    /// The process whose threads and locks these are.
    pub process: Process,
    pub device: Arc<dyn Device>,
    pub nodes: Arc<Nodes>,
    pub space: Space,
    pub refs: Refs,
    pub dirty: DirtySet,
    pub journal: Journal,
    pub catalog: Mutex<Catalog>,
    pub reclaim: ReclaimQueue,
    pub pins: Arc<Pins>,
    pub health: Health,
    /// Advanced by every fork; what is made carries the generation of its birth.
    pub generation: AtomicU64,
    /// Held shared by commits, and alone by a checkpoint's cut.
    pub cut_lock: RwLock<()>,
    /// The last durable checkpoint; held while the next one is written.
    pub durable: Mutex<Durable>,
    /// The journal's ring is too small for what is written.
    pub outgrown: AtomicBool,
    /// Held while a larger one is prepared.
    pub growing: Mutex<()>,
    /// What the next checkpoint has to write.
    pub changed: Changed,
    pub signal: Signal,
    /// Asked for room before a change fails for want of it.
    pub shortage: Shortage,
    pub options: Options,
}

impl Engine {
    /// Refuses a process that was forked from the one that opened the store.
    pub(crate) fn here(&self) -> Result<()> {
        if self.process.is_current() { Ok(()) } else { Err(Error::NotInherited) }
    }

    /// The generation in which what is made now is born.
    pub(crate) fn generation(&self) -> Generation {
        Generation(self.generation.load(Ordering::Acquire))
    }

    /// Pins what the store holds; whatever the caller reads must not change before it is pinned.
    pub(crate) fn pin(&self) -> Pin {
        self.pins.pin(self.generation())
    }

    /// Something that the next checkpoint has to write changed.
    pub(crate) fn changed(&self) {
        self.signal.changed();
    }
}
