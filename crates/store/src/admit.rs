//! Before a change: the store takes writes, memory is within its bounds, and there is room for all
//! that the next checkpoint will write.
//!
//! On a full host a change that finds no room may get some: a checkpoint frees what was replaced
//! since the last one, and makes promises void that were too large. So what was deleted can be used
//! at once, and deletes can go on for ever.

use crate::changed::Pledge;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::format::layout::{NODE_BLOCKS, NODE_BYTES};
use crate::space::Purpose;
use crate::sync::{RwLockReadGuard, lock, read};
use std::time::Duration;

/// Journal bytes that may wait in memory before a committer writes them out.
const PENDING_BYTES_MAX: usize = 2 << 20;
/// Changed nodes in memory before a checkpoint is due, however small the cache is. Committers wait
/// for one when there are four times as many.
const CHANGED_NODES_DUE_MIN: u64 = 4096;
/// Steps of reclaiming between two checkpoints while a change waits for room.
const RECLAIM_STEPS: usize = 64;
/// Steps of reclaiming before more is given up for a change.
const GIVEN_STEPS_MAX: usize = 4096;
/// How long, and how often, a change waits for readers of what was given up for it before it asks
/// for more.
const WAIT: Duration = Duration::from_millis(1);
const WAITS_MAX: u32 = 20;
/// How often a change looks for room: what one checkpoint freed others may have taken.
pub(crate) const TRIES_MAX: usize = 4;

/// How often one change asked for room, and waited since.
#[derive(Debug, Default)]
pub(crate) struct Asking {
    times: u32,
    waits: u32,
}

/// A change that may be made: no checkpoint cuts before this is dropped.
#[derive(Debug)]
pub(crate) struct Admitted<'a> {
    _no_cut: RwLockReadGuard<'a, ()>,
    _pledge: Pledge<'a>,
}

impl Engine {
    /// Admits a change of any kind that makes up to `nodes`.
    ///
    /// # Errors
    /// [`Error::NoSpace`], [`Error::Poisoned`], and those of a checkpoint.
    pub(crate) fn admit(&self, nodes: u64, purpose: Purpose) -> Result<Admitted<'_>> {
        self.health.check()?;
        if self.journal.pending_bytes() > PENDING_BYTES_MAX {
            self.write_journal()?;
        }
        let changed = self.changed.nodes();
        if changed > 4 * self.changed_nodes_due() {
            self.checkpoint()?;
        } else if changed > self.changed_nodes_due() {
            self.signal.wake();
        }
        let pledge = self.changed.pledge(nodes);
        let (mut tries, mut asking) = (0, Asking::default());
        loop {
            let (freed, given) = (self.space.freed_blocks(), self.shortage.given());
            let no_cut = read(&self.cut_lock);
            if self.space.reserve_ready(self.blocks_to_write(), purpose) {
                return Ok(Admitted { _no_cut: no_cut, _pledge: pledge });
            }
            // The cut lock is released while the host is asked for room. A checkpoint may cut
            // meanwhile and void the promise, so the loop looks again.
            drop(no_cut);
            match self.space.reserve(self.blocks_to_write(), purpose) {
                Err(error @ Error::NoSpace { .. }) => {
                    tries += 1;
                    if tries == TRIES_MAX || !self.make_room(freed)? {
                        if !self.give_way(given, &mut asking)? {
                            return Err(error);
                        }
                        tries = 0;
                    }
                }
                reserved => reserved?,
            }
        }
    }

    /// What the next checkpoint has to write as of now.
    fn blocks_to_write(&self) -> u64 {
        self.changed.nodes_to_write(self.refs.changes()) * NODE_BLOCKS
    }

    /// Frees what waits to be free, as far as readers allow. Returns `true` if room came free since
    /// `freed` blocks were counted. It may take a checkpoint, so it is for a full host only.
    pub(crate) fn make_room(&self, freed: u64) -> Result<bool> {
        self.health.check()?;
        let mut some = self.release_preallocations();
        for _ in 0..RECLAIM_STEPS {
            let ready = self.space.reserve_ready(self.blocks_to_write(), Purpose::Release);
            // What cannot be taken apart stays, and hides nothing from the caller.
            if !ready || self.reclaim.is_empty() || !self.reclaim_step().unwrap_or(false) {
                break;
            }
            some = true;
        }
        if self.space.waits_for_checkpoint() {
            self.checkpoint()?;
            return Ok(true);
        }
        // One may be about to let go of what it freed.
        drop(lock(&self.durable));
        self.space.drain(&self.pins.advance());
        Ok(some || self.space.freed_blocks() != freed)
    }

    /// Makes room for a change that found none, at the cost of what is kept only while there is
    /// room: first what was given up already is taken apart, then more is. Returns `true` if the
    /// change should try again. `given` was counted before it looked for room, and it asked so
    /// often before.
    pub(crate) fn give_way(&self, given: u64, asking: &mut Asking) -> Result<bool> {
        if !self.shortage.may_ask() {
            return Ok(false);
        }
        let freed = self.space.freed_blocks();
        let mut some = false;
        for _ in 0..GIVEN_STEPS_MAX {
            if self.reclaim.is_empty() {
                break;
            }
            self.prepare_reclaim()?;
            // What cannot be taken apart stays.
            let _ = self.reclaim_step();
            some = true;
        }
        // That others gave back what they had ready is no progress: they take it again.
        if some {
            self.make_room(freed)?;
            return Ok(true);
        }
        // What was given up may be held by a reader that is about to end: a comparison, say.
        if asking.times > 0 && asking.waits < WAITS_MAX && self.space.blocks_in_limbo() > 0 {
            asking.waits += 1;
            std::thread::sleep(WAIT);
            return Ok(true);
        }
        let gave = self.shortage.ask(given, asking.times);
        *asking = Asking { times: asking.times + 1, waits: 0 };
        Ok(gave)
    }

    /// Releases the preallocations of all branches. Returns `true` if there were any.
    pub(crate) fn release_preallocations(&self) -> bool {
        let mut some = false;
        for branch in lock(&self.catalog).loaded() {
            let mut preallocation = lock(&branch.preallocation);
            if !preallocation.is_empty() {
                self.space.release_preallocation(&mut preallocation);
                some = true;
            }
        }
        some
    }

    /// Returns `true` if a checkpoint should not wait: the journal or the memory fills.
    pub(crate) fn must_checkpoint(&self) -> bool {
        let fill = self.journal.fill();
        fill.used_blocks > fill.ring_blocks / 2 || self.needs_checkpoint()
    }

    pub(crate) fn needs_checkpoint(&self) -> bool {
        self.changed.nodes() > self.changed_nodes_due()
    }

    /// Changed nodes before a checkpoint is due: they and their copies fill half of the cache's
    /// size.
    fn changed_nodes_due(&self) -> u64 {
        ((self.options.cache_bytes / NODE_BYTES / 4) as u64).max(CHANGED_NODES_DUE_MIN)
    }

    /// Before steps of reclaiming, which change counts: what the next checkpoint writes of them has
    /// its room.
    pub(crate) fn prepare_reclaim(&self) -> Result<()> {
        if self.needs_checkpoint() {
            self.signal.wake();
        }
        self.health.check()?;
        if self.space.reserve_ready(self.blocks_to_write(), Purpose::Release) {
            return Ok(());
        }
        match self.space.reserve(self.blocks_to_write(), Purpose::Release) {
            Err(Error::NoSpace { .. }) => self.checkpoint(),
            reserved => reserved,
        }
    }
}
