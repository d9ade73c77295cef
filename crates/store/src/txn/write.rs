//! Changing a branch: operations gather in a transaction and are applied together at its commit.

use super::batch::Batch;
use super::op::{DataRun, Op, RunData, last_batch};
use super::raw::{end_of_map, formerly, stored, stored_map};
use super::read::{ReadTxn, Run};
use crate::admit::{Asking, TRIES_MAX};
use crate::branch::BranchInner;
use crate::commit::Commit;
use crate::engine::Engine;
use crate::error::{Error, Result, limit};
use crate::format::block::{BlockAddr, BlockRun};
use crate::format::block_checksum;
use crate::format::layout::{BLOCK_BYTES, KEY_BYTES_MAX, STAGE_BYTES_MAX, VALUE_BYTES_MAX};
use crate::open_store::Shared;
use crate::space::{Preallocation, Purpose};
use crate::sync::atomic::Ordering;
use crate::sync::{MutexGuard, lock, read};
use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

/// Data below this waits in memory for the next flush; larger runs are written at once.
const BUFFERED_BYTES_MAX: usize = 32 << 10;

/// Changes that are searched one by one; more are worth an index.
const SCANNED_MAX: usize = 16;

/// Data blocks that have their place in the store but no name yet. Dropping them gives the place
/// back.
#[derive(Debug)]
pub struct Staged {
    engine: Arc<Engine>,
    runs: Vec<DataRun>,
}

impl Staged {
    pub(crate) fn new(
        engine: &Arc<Engine>,
        branch: &BranchInner,
        data: &[u8],
        purpose: Purpose,
    ) -> Result<Staged> {
        if !data.len().is_multiple_of(BLOCK_BYTES) {
            return Err(Error::PartBlock { len: data.len() });
        }
        limit("staged data", data.len(), STAGE_BYTES_MAX)?;
        engine.health.check()?;
        let blocks = (data.len() / BLOCK_BYTES) as u64;
        let places = engine.places(branch, blocks, purpose)?;
        // From here on, dropping `staged` frees whatever it holds.
        let mut staged =
            Staged { engine: Arc::clone(engine), runs: Vec::with_capacity(places.len()) };
        let mut rest = data;
        for place in places {
            let (mine, others) = rest.split_at(place.blocks as usize * BLOCK_BYTES);
            rest = others;
            staged.runs.push(staged.engine.place_run(
                place.start,
                mine,
                data.len() < BUFFERED_BYTES_MAX,
            )?);
        }
        Ok(staged)
    }

    /// Length in blocks.
    pub fn blocks(&self) -> u64 {
        self.runs.iter().map(|run| run.sums.len() as u64).sum()
    }

    fn into_runs(mut self) -> Vec<DataRun> {
        std::mem::take(&mut self.runs)
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        // A child's copy is its parent's.
        let mine = if self.engine.here().is_ok() { self.runs.as_slice() } else { &[] };
        mine.iter().for_each(|run| self.engine.free_staged(run));
    }
}

impl Engine {
    /// Blocks for data of a branch. On a full host it waits for those that come free.
    fn places(&self, branch: &BranchInner, blocks: u64, purpose: Purpose) -> Result<Vec<BlockRun>> {
        let allocate = || {
            let mut preallocation = lock(&branch.preallocation);
            // A deleted branch gives back what it has here, and takes nothing any more.
            if branch.deleted.load(Ordering::Acquire) {
                return None;
            }
            Some(match purpose {
                // What is kept for such changes is too little for a preallocation to hold some of
                // it back.
                Purpose::Release => {
                    self.space.allocate(&mut Preallocation::default(), blocks, purpose)
                }
                _ => self.space.allocate(&mut preallocation, blocks, purpose),
            })
        };
        let (mut tries, mut asking) = (0, Asking::default());
        loop {
            let (freed, given) = (self.space.freed_blocks(), self.shortage.given());
            tries += 1;
            match allocate() {
                None => {
                    let name = read(&branch.state).meta.name.clone();
                    return Err(Error::BranchNotFound { name });
                }
                Some(Err(Error::NoSpace { .. }))
                    if tries < TRIES_MAX && self.make_room(freed)? => {}
                Some(Err(Error::NoSpace { .. })) if self.give_way(given, &mut asking)? => tries = 0,
                Some(places) => return places,
            }
        }
    }

    /// Puts data at its place: into memory when `buffered`, else onto the device.
    pub(crate) fn place_run(
        &self,
        addr: BlockAddr,
        data: &[u8],
        buffered: bool,
    ) -> Result<DataRun> {
        let sums = data.chunks_exact(BLOCK_BYTES).map(block_checksum).collect();
        let data = if buffered {
            RunData::Dirty(self.dirty.insert(addr, data))
        } else {
            let written = self.device.write_at(addr.offset(), data);
            self.health.guard(written.map_err(|e| Error::io("writing file data", e)))?;
            RunData::OnDevice
        };
        Ok(DataRun { addr, sums, data })
    }
}

/// By key its value, or that it is gone.
type Index = BTreeMap<Box<[u8]>, Option<Box<[u8]>>>;

/// An atomic change of one branch. Other writers of the branch wait until it is committed or
/// dropped; readers don't. Dropping it changes nothing.
#[derive(Debug)]
pub struct WriteTxn<'b> {
    pub(crate) shared: &'b Arc<Shared>,
    branch: &'b Arc<BranchInner>,
    /// Let go before the commit, so that the path can change in place.
    view: Option<ReadTxn>,
    /// How often the branch had been reset when `view` was taken.
    resets: u64,
    ops: Vec<Op>,
    /// What the operations make of each key. Built by the first lookup among many operations.
    index: OnceCell<Index>,
    purpose: Purpose,
    _writer: MutexGuard<'b, ()>,
}

impl<'b> WriteTxn<'b> {
    pub(crate) fn new(
        shared: &'b Arc<Shared>,
        branch: &'b Arc<BranchInner>,
        view: ReadTxn,
        resets: u64,
        writer: MutexGuard<'b, ()>,
    ) -> WriteTxn<'b> {
        WriteTxn {
            shared,
            branch,
            view: Some(view),
            resets,
            ops: Vec::new(),
            index: OnceCell::new(),
            purpose: Purpose::Growth,
            _writer: writer,
        }
    }

    /// Says that the change lets go of more than it takes: on a full host it may use the room that
    /// is kept for such changes. One that only deletes and unmaps may do so without saying.
    pub fn gives_back(&mut self) {
        self.purpose = Purpose::Release;
    }

    /// The inline value of `key`, as this transaction's own changes leave it.
    ///
    /// # Errors
    /// As [`ReadTxn::get`].
    pub fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        self.shared.engine()?;
        match self.pending_change(&stored(key)) {
            Some(value) => Ok(value.map(<[u8]>::to_vec)),
            None => self.view().get(key),
        }
    }

    /// What this transaction made of what lies under a key of the tree, if anything.
    pub(crate) fn pending_change(&self, key: &[u8]) -> Option<Option<&[u8]>> {
        let batches = || {
            self.ops.iter().filter_map(|op| match op {
                Op::Batch(batch) => Some(batch),
                _ => None,
            })
        };
        if batches().map(Batch::len).sum::<usize>() <= SCANNED_MAX {
            let mut changes = batches().rev().flat_map(|batch| batch.changes().rev());
            return changes.find(|change| change.key == key).map(|change| change.value);
        }
        let index = self.index.get_or_init(|| {
            let changes = batches().flat_map(Batch::changes);
            changes.map(|change| (change.key.into(), change.value.map(Box::from))).collect()
        });
        index.get(key).map(|value| value.as_deref())
    }

    /// The branch as it was when this transaction began.
    pub fn view(&self) -> &ReadTxn {
        self.view.as_ref().expect("a transaction has its view until its commit")
    }

    /// Puts an inline value.
    ///
    /// # Errors
    /// [`Error::TooLarge`] for a key above 512 bytes, 511 if it begins with `T` and a byte of 0 to
    /// 64, or a value above 2000.
    pub fn put(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        self.shared.engine()?;
        let place = stored(key);
        limit("a key", key.len(), KEY_BYTES_MAX - (place.len() - key.len()))?;
        self.put_at(&place, value)?;
        if let Some(place) = formerly(key) {
            self.delete_at(place);
        }
        Ok(())
    }

    /// Puts a value under a key of the tree that is short enough.
    pub(crate) fn put_at(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        limit("a value", value.len(), VALUE_BYTES_MAX)?;
        last_batch(&mut self.ops).put(key, value);
        if let Some(index) = self.index.get_mut() {
            index.insert(key.into(), Some(value.into()));
        }
        Ok(())
    }

    /// Deletes a key, if it is there.
    ///
    /// # Errors
    /// [`Error::TooLarge`] as of [`WriteTxn::put`].
    pub fn delete(&mut self, key: &[u8]) -> Result<()> {
        self.shared.engine()?;
        let place = stored(key);
        limit("a key", key.len(), KEY_BYTES_MAX - (place.len() - key.len()))?;
        self.delete_at(&place);
        if let Some(place) = formerly(key) {
            self.delete_at(place);
        }
        Ok(())
    }

    /// Deletes what lies under a key of the tree that is short enough.
    pub(crate) fn delete_at(&mut self, key: &[u8]) {
        last_batch(&mut self.ops).delete(key);
        if let Some(index) = self.index.get_mut() {
            index.insert(key.into(), None);
        }
    }

    /// Maps staged blocks from `block` of a map on; what was mapped there is dropped.
    ///
    /// # Errors
    /// [`Error::TooLarge`] for a map prefix above 504 bytes, 503 if it is or begins as a key that
    /// has 511, or a run beyond the last block number; [`Error::OtherStore`] for blocks of another
    /// store.
    pub fn map(&mut self, map: &[u8], block: u64, staged: Staged) -> Result<()> {
        self.shared.engine()?;
        if !Arc::ptr_eq(&staged.engine, self.shared.engine()?) {
            return Err(Error::OtherStore { what: "staged blocks" });
        }
        let prefix = prefix(map)?;
        within_map(map, Run { block, blocks: staged.blocks() })?;
        self.ops.push(Op::Map { map: prefix, block, runs: staged.into_runs() });
        Ok(())
    }

    /// Drops what is mapped at these blocks of a map. A range may reach beyond the map's end, so
    /// that `first..u64::MAX` is all from `first` on.
    ///
    /// # Errors
    /// [`Error::TooLarge`] for a map prefix above 504 bytes.
    pub fn unmap(&mut self, map: &[u8], blocks: Range<u64>) -> Result<()> {
        self.shared.engine()?;
        let end = blocks.end.min(end_of_map(map)).max(blocks.start);
        self.ops.push(Op::Unmap { map: prefix(map)?, blocks: blocks.start..end });
        Ok(())
    }

    /// Maps blocks of the map `from` also from `to_block` of the map `to` on, holes included,
    /// without copying data. Two maps, or parts of one that don't overlap.
    ///
    /// # Errors
    /// [`Error::TooLarge`] for a map prefix above 504 bytes, or for parts of one map that overlap.
    pub fn share(
        &mut self,
        from: &[u8],
        blocks: Range<u64>,
        to: &[u8],
        to_block: u64,
    ) -> Result<()> {
        self.shared.engine()?;
        let (source, target) = (prefix(from)?, prefix(to)?);
        let count = blocks.end.saturating_sub(blocks.start);
        if from == to && blocks.start.abs_diff(to_block) < count {
            let distance = blocks.start.abs_diff(to_block) as usize;
            return Err(Error::TooLarge {
                what: "a share from a map to itself",
                len: count as usize,
                unit: "blocks",
                limit: distance,
            });
        }
        within_map(to, Run { block: to_block, blocks: count })?;
        within_map(from, Run { block: blocks.start, blocks: count })?;
        let blocks = blocks.start..blocks.start + count;
        self.ops.push(Op::Share { from: source, blocks, to: target, to_block });
        Ok(())
    }

    /// Applies the operations, in their order, as one step. Visible at once; durable after
    /// [`Branch::sync`](crate::Branch::sync), or within a second or two by itself.
    ///
    /// # Errors
    /// Before anything changed: [`Error::NoSpace`]; [`Error::WrongKind`] where blocks are mapped,
    /// unmapped or shared under whose keys values lie; [`Error::BranchReset`] and
    /// [`Error::BranchNotFound`], when the branch was reset or deleted since the transaction began.
    /// Damage met on the way.
    pub fn commit(self) -> Result<()> {
        self.commit_numbered().map(drop)
    }

    /// As [`WriteTxn::commit`]. Returns the number of the commit, which no other commit in the
    /// history of the store has; `None` if there was nothing to commit. Numbers grow.
    ///
    /// # Errors
    /// As [`WriteTxn::commit`].
    pub fn commit_numbered(mut self) -> Result<Option<u64>> {
        let engine = self.shared.engine()?;
        if self.ops.is_empty() {
            // What it read may be what its caller decides by.
            self.branch.is_as_begun(&read(&self.branch.state), self.resets)?;
            return Ok(None);
        }
        for op in &mut self.ops {
            if let Op::Batch(batch) = op {
                batch.sort();
            }
        }
        // An error drops the transaction, and with it what it staged.
        let nodes_max = engine.estimate_and_prefetch(&self.view().root, &self.ops)?;
        self.view = None;
        let number = engine.commit(Commit {
            branch: self.branch,
            resets: self.resets,
            ops: std::mem::take(&mut self.ops),
            nodes_max,
            purpose: self.purpose,
        })?;
        Ok(Some(number.0))
    }
}

impl Drop for WriteTxn<'_> {
    fn drop(&mut self) {
        // What a child's copy staged is its parent's.
        if let Ok(engine) = self.shared.engine() {
            engine.discard(&std::mem::take(&mut self.ops));
        }
    }
}

/// What the keys of a map begin with in the tree.
fn prefix(map: &[u8]) -> Result<Box<[u8]>> {
    let prefix = stored_map(map);
    limit("a map prefix", map.len(), KEY_BYTES_MAX - 8 - (prefix.len() - map.len()))?;
    Ok(prefix.into())
}

/// Block numbers, and the one after the last, fit the map.
fn within_map(map: &[u8], run: Run) -> Result<()> {
    match end_of_map(map).checked_sub(run.block) {
        Some(room) if run.blocks <= room => Ok(()),
        room => Err(Error::TooLarge {
            what: "a run up to the end of its map",
            len: run.blocks as usize,
            unit: "blocks",
            limit: room.unwrap_or(0) as usize,
        }),
    }
}
