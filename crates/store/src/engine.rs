//! The parts of a store, tied together: how a commit goes through them.
//!
//! Locks are taken in this order: checkpoint, epoch, catalog, a branch's state, counts, space; the
//! journal's, the dirty set's and the cache's are leaves. A commit holds the epoch shared, so that a
//! checkpoint, which takes it alone for an instant, sees every commit whole or not at all.

use crate::branch::{Catalog, Core};
use crate::changed::Changed;
use crate::checkpoint::Durable;
use crate::device::Device;
use crate::dirty::DirtySet;
use crate::error::{Error, Result};
use crate::format::extent::Extent;
use crate::format::layout::{NODE_BLOCKS, NODE_BYTES};
use crate::format::record::Record;
use crate::health::Health;
use crate::journal::{Flush, Journal};
use crate::options::Options;
use crate::pins::{Pin, Pins};
use crate::reclaim::Reclaim;
use crate::refs::Refs;
use crate::signal::Signal;
use crate::space::{BlockRun, Freed, Purpose, Space};
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use crate::sync::{Mutex, PoisonError, RwLock, lock, write};
use crate::tree::{self, NewRun, Node, Nodes, Owner, Root, Tree};
use crate::txn::{Batch, DataRun, Op, RunData, extent_pieces, refuse_values_in_maps};
use std::sync::Arc;
use std::thread::JoinHandle;
use tine_sys::lineage::Process;

/// Changes of a batch that are applied together.
const CHANGES_MAX: usize = 16384;

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
    pub reclaim: Reclaim,
    pub pins: Arc<Pins>,
    pub health: Health,
    /// Advanced by every fork; what is made carries the generation of its birth.
    pub generation: AtomicU64,
    /// Shared by commits, taken alone by a checkpoint's cut.
    pub epoch: RwLock<()>,
    /// The last durable checkpoint; held while the next one is written.
    pub durable: Mutex<Durable>,
    /// The journal's ring is too small for what is written.
    pub outgrown: AtomicBool,
    /// Held while a larger one is prepared.
    pub growing: Mutex<()>,
    /// What the next checkpoint has to write.
    pub changed: Changed,
    pub signal: Signal,
    pub options: Options,
}

/// What the handles of a store share; the store closes with the last.
#[derive(Debug)]
pub(crate) struct Shared {
    engine: Arc<Engine>,
    background: Mutex<Vec<JoinHandle<()>>>,
}

impl Shared {
    pub fn new(engine: Arc<Engine>, background: Vec<JoinHandle<()>>) -> Arc<Shared> {
        Arc::new(Shared { engine, background: Mutex::new(background) })
    }

    /// The engine. A child of `fork(2)` is refused: in its copy, locks are held by threads that it lacks.
    pub fn engine(&self) -> Result<&Arc<Engine>> {
        self.engine.here()?;
        Ok(&self.engine)
    }

    /// Stops the workers, makes all durable and marks the journal as closed.
    pub fn shut(&self) -> Result<()> {
        let engine = self.engine()?;
        engine.signal.stop();
        for worker in lock(&self.background).drain(..) {
            // A worker that panicked left the store as a crash would; what follows is still right.
            let _ = worker.join();
        }
        engine.close()
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        if self.engine.here().is_err() {
            // The threads of these handles run in the parent.
            let absent = self.background.get_mut().unwrap_or_else(PoisonError::into_inner);
            std::mem::forget(std::mem::take(absent));
            return;
        }
        // There is no caller to tell of an error; what was acknowledged is in the journal already.
        let _ = self.shut();
    }
}

/// A branch's tree open for changes.
pub(crate) struct BranchOwner<'a> {
    engine: &'a Engine,
    birth: u64,
    share_gen: u64,
}

impl Owner for BranchOwner<'_> {
    fn birth(&self) -> u64 {
        self.birth
    }
    fn share_gen(&self) -> u64 {
        self.share_gen
    }
    fn superseded(&self, node: &Arc<Node>) -> Result<()> {
        self.engine.changed.node();
        if node.birth > self.share_gen || !self.engine.refs.supersede(node)? {
            self.engine.bury(node);
        }
        Ok(())
    }
    fn grew(&self) {
        self.engine.changed.node();
    }
}

impl BranchOwner<'_> {
    /// A branch's entry no longer names these blocks.
    fn dropped(&self, extent: &Extent) -> Result<()> {
        let run = (extent.addr, extent.blocks());
        if extent.birth > self.share_gen && !extent.shared {
            self.engine.free_data(run, extent.birth);
            return Ok(());
        }
        self.engine.refs.release_runs(&[run], |_, run| self.engine.free_data(run, extent.birth))
    }
}

impl Engine {
    /// Refuses a process that was forked from the one that opened the store.
    pub(crate) fn here(&self) -> Result<()> {
        if self.process.is_current() { Ok(()) } else { Err(Error::NotInherited) }
    }

    /// Keeps the data that waits in memory within its bound.
    pub(crate) fn limit_dirty(&self) -> Result<()> {
        if self.dirty.bytes() > self.options.dirty_bytes {
            self.health.guard(self.dirty.write_all())?;
        }
        Ok(())
    }

    /// Nodes that the operations may make: those on their paths, and what the new entries fill. Reads
    /// what they need into the cache, before anyone waits for them.
    pub(crate) fn reach(&self, root: &Root, ops: &[Op]) -> Result<u64> {
        let mut nodes = 0;
        for op in ops {
            nodes += match op {
                Op::Batch(batch) => {
                    let changes: Vec<_> = batch.changes().collect();
                    let (inner, leaves) = tree::paths(&self.nodes, root, &changes)?;
                    self.nodes.prefetch(leaves.iter())?;
                    inner + leaves.len() as u64
                }
                // A path for each end of what it covers.
                _ => 2 * (u64::from(root.level) + 1),
            };
        }
        let entry_bytes: u64 = ops.iter().map(entry_bytes_max).sum();
        // Nodes that a split leaves are about half full.
        Ok(nodes + entry_bytes.div_ceil(NODE_BYTES as u64 / 2))
    }

    /// Applies and logs a transaction that began after `resets` of the branch and may make so many nodes.
    pub(crate) fn commit(
        &self,
        core: &Core,
        resets: u64,
        ops: Vec<Op>,
        (nodes, purpose): (u64, Purpose),
    ) -> Result<()> {
        let frees = ops.iter().all(|op| match op {
            Op::Batch(batch) => batch.only_deletes(),
            Op::Unmap { .. } => true,
            _ => false,
        });
        let _admitted = match self.admit(nodes, if frees { Purpose::Release } else { purpose }) {
            Ok(admitted) => admitted,
            Err(error) => {
                self.discard(&ops);
                return Err(error);
            }
        };
        let mut state = write(&core.state);
        let share_gen = state.meta.share_gen;
        let applied = core
            .is_as_begun(&state, resets)
            .and_then(|()| self.apply(&mut state.root, share_gen, &ops));
        if let Err(error) = applied {
            self.discard(&ops);
            return Err(error);
        }
        state.cut = None;
        if !core.dirty.swap(true, Ordering::AcqRel) {
            self.changed.records(1);
            self.signal.changed();
        }
        let number = self.journal.append(Record::Commit { branch: core.id, ops });
        core.written.store(number + 1, Ordering::Release);
        Ok(())
    }

    /// Frees the blocks of a transaction that will not be committed.
    pub(crate) fn discard(&self, ops: &[Op]) {
        for op in ops {
            if let Op::Map { runs, .. } = op {
                runs.iter().for_each(|run| self.free_staged(run));
            }
        }
    }

    /// Frees blocks that were staged and never named: what lies on the device already nothing there refers to.
    pub(crate) fn free_staged(&self, run: &DataRun) {
        let blocks = (run.addr, run.sums.len() as u64);
        let written = match &run.data {
            RunData::OnDevice => true,
            RunData::Dirty(data) => data.on_device(),
            RunData::Replayed(_) => false,
        };
        match written {
            true => self.space.free_unnamed(self.freed(blocks, Freed::UNSEEN)),
            false => self.free_unseen(blocks),
        }
    }

    /// Applies operations to a branch's tree. An error leaves the content as it was, or else the
    /// store takes no more writes.
    pub(crate) fn apply(&self, root: &mut Root, share_gen: u64, ops: &[Op]) -> Result<()> {
        let owner =
            BranchOwner { engine: self, birth: self.generation.load(Ordering::Acquire), share_gen };
        refuse_values_in_maps(&self.nodes, root, ops)?;
        let mut tree = Tree { nodes: &self.nodes, owner: &owner, root };
        if ops.len() > 1 || matches!(ops, [Op::Batch(batch)] if batch.len() > 1) {
            // What can fail is tried for all before anything changes.
            for op in ops {
                match op {
                    Op::Batch(batch) => own_batch(&mut tree, batch)?,
                    Op::Map { map, block, .. } | Op::Unmap { map, block, .. } => {
                        tree.own_path(&tree::map_key(map, *block))?;
                    }
                    Op::Share { to, to_block, .. } => {
                        tree.own_path(&tree::map_key(to, *to_block))?
                    }
                }
            }
        }
        for (done, op) in ops.iter().enumerate() {
            let applied = self.apply_one(&mut tree, &owner, op);
            let single = matches!(op, Op::Batch(batch) if batch.len() == 1);
            if done > 0 || !single {
                self.health.guard(applied)?;
            } else {
                applied?;
            }
        }
        Ok(())
    }

    fn apply_one(
        &self,
        tree: &mut Tree<'_, BranchOwner<'_>>,
        owner: &BranchOwner<'_>,
        op: &Op,
    ) -> Result<()> {
        let mut dropped = |extent: &Extent| owner.dropped(extent);
        match op {
            Op::Batch(batch) => {
                let changes: Vec<_> = batch.changes().collect();
                changes.chunks(CHANGES_MAX).try_for_each(|some| tree.apply(some, &mut dropped))
            }
            Op::Unmap { map, block, blocks } => tree.unmap(map, *block, *blocks, &mut dropped),
            Op::Map { map, block, runs } => {
                let blocks = runs.iter().map(|run| run.sums.len() as u64).sum();
                tree.unmap(map, *block, blocks, &mut dropped)?;
                runs.iter().for_each(|run| self.space.name((run.addr, run.sums.len() as u64)));
                let mut at = *block;
                for (addr, sums) in runs.iter().flat_map(extent_pieces) {
                    let blocks = sums.len() as u64;
                    tree.map(map, at, &NewRun { addr, sums, shared: false, birth: owner.birth })?;
                    at += blocks;
                }
                Ok(())
            }
            Op::Share { from, from_block, to, to_block, blocks } => {
                let span = (*from_block, from_block.saturating_add(*blocks));
                tree.unmap(to, *to_block, *blocks, &mut dropped)?;
                let mut at = span.0;
                // A few at a time, as the source may be long.
                while at < span.1 {
                    let found: Vec<_> = tree::map_runs(&self.nodes, tree.root, from, at, span.1)?
                        .take(64)
                        .collect::<Result<_>>()?;
                    let Some(last) = found.last() else { break };
                    at = last.block + last.extent.blocks();
                    for mapped in &found {
                        self.share_one(tree, mapped, (from, span), (to, *to_block))?;
                    }
                }
                Ok(())
            }
        }
    }

    /// Marks one entry of the source as shared and names its part of the span a second time.
    fn share_one(
        &self,
        tree: &mut Tree<'_, BranchOwner<'_>>,
        mapped: &tree::Mapped,
        (from, span): (&[u8], (u64, u64)),
        (to, to_block): (&[u8], u64),
    ) -> Result<()> {
        let (block, extent) = (mapped.block, &mapped.extent);
        if !extent.shared {
            let marked = Extent { shared: true, ..extent.clone() };
            tree.put(&tree::map_key(from, block), &marked.encode())?;
        }
        let (first, last) = (span.0.max(block), span.1.min(block + extent.blocks()));
        let piece = extent.slice(first - block, last - block);
        self.refs.share_run((piece.addr, piece.blocks()));
        let run = NewRun { addr: piece.addr, sums: piece.sums, shared: true, birth: piece.birth };
        tree.map(to, to_block + (first - span.0), &run)
    }

    /// Pins what the store holds; whatever the caller reads must not change before it is pinned.
    pub(crate) fn pin(&self) -> Pin {
        self.pins.pin(self.generation.load(Ordering::Acquire))
    }

    /// The last pointer to a node is gone.
    pub(crate) fn bury(&self, node: &Node) {
        if let Some(ptr) = self.refs.bury(node) {
            self.space.free_named(self.freed((ptr.addr, NODE_BLOCKS), node.birth));
        }
    }

    /// Blocks that are freed now, and were made in the generation `birth`.
    pub(crate) fn freed(&self, run: BlockRun, birth: u64) -> Freed {
        Freed { run, epoch: self.pins.epoch(), birth }
    }

    /// The last name of data blocks is gone.
    ///
    /// What was not written yet need not be, unless somebody still reads by the older name: then the
    /// bytes must stay, and they are written like any others. The writer gave up its own view, and who
    /// begins to read now sees the new state, as the branch's is held.
    pub(crate) fn free_data(&self, run: BlockRun, birth: u64) {
        if self.pins.may_see(birth) {
            self.space.free_named(self.freed(run, birth));
        } else {
            self.free_unseen(run);
        }
    }

    /// Frees data blocks that no reader can know.
    pub(crate) fn free_unseen(&self, run: BlockRun) {
        let freed = self.freed(run, Freed::UNSEEN);
        if self.dirty.forget(run.0, run.1) {
            self.space.free_unnamed(freed);
        } else {
            self.space.free_named(freed);
        }
    }

    /// Something that the next checkpoint has to write changed.
    pub(crate) fn changed(&self) {
        self.signal.changed();
    }

    /// Returns when all records below `number` are durable.
    pub(crate) fn sync_to(&self, number: u64) -> Result<()> {
        self.until_done(|| self.journal.flush(number, &self.dirty))
    }

    /// Returns when all records are on the device, though perhaps not flushed.
    pub(crate) fn write_journal(&self) -> Result<()> {
        self.until_done(|| self.journal.write(&self.dirty))
    }

    /// Checkpoints as long as the ring is full.
    fn until_done(&self, flush: impl Fn() -> Result<Flush>) -> Result<()> {
        self.health.check()?;
        loop {
            let flushed = flush();
            // Unnamed blocks freed since become usable again.
            self.space.drain(&self.pins.advance());
            if self.health.guard(flushed)? == Flush::Done {
                let (used, blocks) = self.journal.fill();
                if used > blocks / 2 {
                    self.signal.wake();
                }
                return Ok(());
            }
            self.checkpoint()?;
        }
    }

    /// Gives a replayed run its blocks, or claims those it names.
    pub(crate) fn settle_run(&self, core: &Core, run: DataRun) -> Result<Vec<DataRun>> {
        let RunData::Replayed(bytes) = &run.data else { return Ok(vec![run]) };
        let blocks = (bytes.len() / crate::format::layout::BLOCK_BYTES) as u64;
        let places = self.space.allocate(&mut lock(&core.arena), blocks, Purpose::Release)?;
        let mut rest: &[u8] = bytes;
        let mut runs = Vec::with_capacity(places.len());
        for (addr, blocks) in places {
            let (mine, others) =
                rest.split_at(blocks as usize * crate::format::layout::BLOCK_BYTES);
            rest = others;
            runs.push(self.place_run(addr, mine, true)?);
        }
        Ok(runs)
    }
}

/// Shadows the paths of a batch's changes.
fn own_batch<O: Owner>(tree: &mut Tree<'_, O>, batch: &Batch) -> Result<()> {
    let changes: Vec<_> = batch.changes().collect();
    tree.own_paths(&changes)
}

/// Bytes of tree entries that an operation may add.
fn entry_bytes_max(op: &Op) -> u64 {
    /// An extent entry with all its checksums and a fair key.
    const EXTENT_BYTES: u64 = 1200;
    match op {
        Op::Batch(batch) if batch.only_deletes() => 0,
        Op::Batch(batch) => batch.encoded().0.len() as u64,
        Op::Map { runs, .. } => {
            let blocks: u64 = runs.iter().map(|run| run.sums.len() as u64).sum();
            blocks * 4 + (runs.len() as u64 + blocks / 256 + 1) * EXTENT_BYTES
        }
        // The ends of the span cut two entries.
        Op::Unmap { .. } => EXTENT_BYTES,
        Op::Share { blocks, .. } => EXTENT_BYTES * 2 + blocks.min(&(1 << 20)) * 8,
    }
}
