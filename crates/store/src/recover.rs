//! Making a store, and opening one: the newest valid superblock, then the journal after it.
//!
//! Replay happens in memory and writes nothing. After a crash its result becomes durable by one
//! checkpoint with a new salt, before anything new is committed: what the broken tail of the old
//! journal may still hold can never be taken for valid again. After a clean close the journal
//! simply goes on, with a session number of its own: what a later session left continues no
//! other.

use crate::branch::{BranchInner, Catalog};
use crate::changed::Changed;
use crate::checkpoint::{self, Durable};
use crate::device::{AlignedBuf, Device};
use crate::dirty::DirtySet;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::format::block::{BlockAddr, BlockRun};
use crate::format::catalog::{PREFIX_RECLAIM, decode_reclaim, key_number};
use crate::format::codec::Malformed;
use crate::format::ids::{BranchId, ForkPointId, Generation, ReclaimId, Sequence};
use crate::format::layout::{
    BLOCK_BYTES, FIRST_RING_BLOCK, FIRST_RING_BLOCKS, FIRST_SEGMENT_BLOCK, GROWN_RING_BLOCKS,
    SUPERBLOCK_COPIES, SUPERBLOCK_SLOTS,
};
use crate::format::superblock::{self, Superblock, SuperblockFault};
use crate::health::Health;
use crate::injected_bug::{InjectedBug, injected};
use crate::journal::Record;
use crate::journal::group::Link;
use crate::journal::{Journal, Replayed, Ring, replay};
use crate::options::Options;
use crate::pins::Pins;
use crate::reclaim_queue::ReclaimQueue;
use crate::refs::Refs;
use crate::shortage::Shortage;
use crate::signal::Signal;
use crate::space::{Purpose, Space, TableImage};
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use crate::sync::{Mutex, RwLock, lock, read, write};
use crate::tree::{self, Cursor, Nodes, Root};
use crate::txn::{DataRun, Op, RunData};
use std::collections::BTreeMap;
use std::sync::Arc;
use tine_sys::lineage::Process;

/// Lays an empty store out on a device, and opens it.
pub(crate) fn create(device: Arc<dyn Device>, options: &Options) -> Result<Arc<Engine>> {
    let failed = |e| Error::io("making room for the store", e);
    let fresh_number = || options.environment.fresh_number();
    device.set_len(FIRST_SEGMENT_BLOCK.offset()).map_err(failed)?;
    let ring = BlockRun::new(FIRST_RING_BLOCK, FIRST_RING_BLOCKS);
    device.allocate(ring.bytes()).map_err(failed)?;
    checkpoint::zero(&*device, ring)?;
    for slot in SUPERBLOCK_SLOTS {
        // Else the slot of the second checkpoint would ask for room, perhaps of a disk that is
        // full.
        checkpoint::zero(&*device, BlockRun::new(slot, SUPERBLOCK_COPIES))?;
    }
    let superblock = Superblock {
        uuid: u128::from(fresh_number()) << 64 | u128::from(fresh_number()),
        checkpoint: 0,
        generation: Generation(1),
        salt: fresh_number(),
        ring_block: ring.start,
        ring_blocks: ring.blocks,
        replay_block: 0,
        replay_sequence: Sequence(0),
        replay_chain: 0,
        table_block: BlockAddr(0),
        table_bytes: 0,
        segments: 0,
        table_sum: 0,
        system: None,
        next_branch: BranchId(1),
        next_fork_point: ForkPointId(1),
        next_reclaim: ReclaimId(1),
    };
    let space = Space::empty(Arc::clone(&device));
    let engine = assemble(device, options, superblock, space, None)?;
    // The first checkpoint is what makes it a store.
    engine.checkpoint()?;
    Ok(engine)
}

/// Opens the store on a device.
pub(crate) fn open(device: Arc<dyn Device>, options: &Options) -> Result<Arc<Engine>> {
    let superblock = newest_superblock(&*device)?;
    let space = Space::load(Arc::clone(&device), &TableImage::of(&superblock))?;
    let Replayed { records, mut ring, durable, clean } = replay(&*device, &superblock)?;
    ring.link.session = options.environment.fresh_number() as u32;
    let engine = assemble(device, options, superblock, space, clean.then_some((ring, durable)))?;
    let closed = matches!(records.last(), Some(Record::Close));
    engine.replay(records)?;
    if !clean {
        let mut durable = lock(&engine.durable);
        let ring = Ring::of(&durable.superblock);
        let fresh = options.environment.fresh_number();
        let salt = if injected(InjectedBug::SaltKept) { ring.link.salt } else { fresh };
        let ring = Ring { link: Link { salt, ..ring.link }, ..ring };
        engine.checkpoint_with_ring(&mut durable, ring)?;
    }
    if !closed {
        engine.space.mark_holes_for_trim();
    }
    Ok(engine)
}

/// The valid superblock with the highest number.
pub(crate) fn newest_superblock(device: &dyn Device) -> Result<Superblock> {
    let none = || Error::damaged("no superblock passes its checksum");
    let newest = valid_superblocks(device)?.into_iter().next().ok_or_else(none)?;
    check_ring(device, check_numbers(newest)?)
}

/// The superblocks that pass their checksums, newest first.
pub(crate) fn valid_superblocks(device: &dyn Device) -> Result<Vec<Superblock>> {
    let mut valid: Vec<Superblock> = Vec::new();
    let mut newer_format = None;
    let mut torn = false;
    for slot in SUPERBLOCK_SLOTS {
        let mut copies = AlignedBuf::zeroed(SUPERBLOCK_COPIES as usize * BLOCK_BYTES);
        device
            .read_at(slot.offset(), &mut copies)
            .map_err(|e| Error::io("reading the superblock", e))?;
        for copy in copies.chunks_exact(BLOCK_BYTES) {
            match Superblock::decode(copy) {
                Ok(found) => valid.push(found),
                Err(SuperblockFault::NotOurs) => {}
                Err(SuperblockFault::Newer(version)) => newer_format = Some(version),
                Err(SuperblockFault::Torn(_)) => torn = true,
            }
        }
    }
    valid.sort_by_key(|superblock| std::cmp::Reverse(superblock.checkpoint));
    valid.dedup();
    match newer_format {
        Some(found) => Err(Error::Version { found, known: superblock::known() }),
        None if valid.is_empty() && !torn => {
            Err(Error::NotAStore { what: "the file".into(), why: "it has no superblock".into() })
        }
        None => Ok(valid),
    }
}

/// Counters begin near zero: one this large was never reached, and leaves room to count on.
fn check_numbers(sb: Superblock) -> Result<Superblock> {
    const NUMBER_MAX: u64 = 1 << 62;
    let counters = [
        sb.checkpoint,
        sb.generation.0,
        sb.replay_sequence.0,
        sb.next_branch.0,
        sb.next_fork_point.0,
        sb.next_reclaim.0,
    ];
    match counters.iter().all(|number| *number < NUMBER_MAX) {
        true => Ok(sb),
        false => Err(Error::damaged("the superblock holds an impossible number")),
    }
}

fn check_ring(device: &dyn Device, sb: Superblock) -> Result<Superblock> {
    let len = device.len().map_err(|e| Error::io("measuring the store", e))?;
    let end = sb.ring_block.checked_add(sb.ring_blocks);
    if !(2..=GROWN_RING_BLOCKS).contains(&sb.ring_blocks)
        || end.and_then(BlockAddr::checked_offset).is_none_or(|end| end > len)
        || sb.replay_block > sb.ring_blocks
    {
        return Err(Error::damaged_at(
            sb.ring_block,
            "the journal has an impossible size, or lies outside the file: it was cut short",
        ));
    }
    Ok(sb)
}

fn assemble(
    device: Arc<dyn Device>,
    options: &Options,
    superblock: Superblock,
    space: Space,
    closed: Option<(Ring, Sequence)>,
) -> Result<Arc<Engine>> {
    let nodes = Arc::new(Nodes::new(Arc::clone(&device), options.cache_bytes));
    let system = superblock.system.map(|(ptr, level)| Root {
        link: tree::Link::Disk(ptr),
        level,
        entries: 0,
        bytes: 0,
    });
    let reclaim = load_reclaim(&nodes, system.as_ref())?;
    let clean = closed.is_some();
    let (ring, durable) =
        closed.unwrap_or_else(|| (Ring::of(&superblock), superblock.replay_sequence));
    Ok(Arc::new(Engine {
        process: Process::current(),
        nodes: Arc::clone(&nodes),
        space,
        refs: Refs::new(Arc::clone(&nodes), system.clone()),
        dirty: DirtySet::new(Arc::clone(&device)),
        journal: Journal::new(Arc::clone(&device), ring, durable, clean),
        catalog: Mutex::new(Catalog::new(
            nodes,
            system,
            superblock.next_branch,
            superblock.next_fork_point,
        )),
        reclaim: ReclaimQueue::load(reclaim, superblock.next_reclaim),
        pins: Arc::new(Pins::default()),
        health: Health::default(),
        generation: AtomicU64::new(superblock.generation.0),
        cut_lock: RwLock::new(()),
        durable: Mutex::new(Durable { superblock, when: options.environment.elapsed() }),
        outgrown: AtomicBool::new(false),
        growing: Mutex::default(),
        changed: Changed::default(),
        signal: Signal::default(),
        shortage: Shortage::default(),
        options: options.clone(),
        device,
    }))
}

fn load_reclaim(nodes: &Nodes, system: Option<&Root>) -> Result<BTreeMap<ReclaimId, Root>> {
    let mut items = BTreeMap::new();
    let Some(system) = system else { return Ok(items) };
    let bad = |m: Malformed| Error::damaged(m.0);
    let mut cursor = Cursor::seek(nodes, system, &[PREFIX_RECLAIM])?;
    while let Some((key, value)) = cursor.next(nodes)?
        && key.first() == Some(&PREFIX_RECLAIM)
    {
        items.insert(
            ReclaimId(key_number(&key).map_err(bad)?),
            Root::on_disk(&decode_reclaim(&value).map_err(bad)?),
        );
    }
    Ok(items)
}

fn inconsistent(what: &str) -> Error {
    Error::damaged(format!("the journal {what}"))
}

impl Engine {
    fn replay(&self, records: Vec<Record>) -> Result<()> {
        for record in &records {
            for run in record.runs() {
                if matches!(run.data, RunData::OnDevice) {
                    self.space.claim(run.blocks())?;
                }
            }
        }
        for record in records {
            self.replay_one(record)?;
        }
        Ok(())
    }

    fn replay_branch(&self, id: BranchId) -> Result<Arc<BranchInner>> {
        lock(&self.catalog)
            .branch(id)?
            .ok_or_else(|| inconsistent("names a branch that does not exist"))
    }

    fn replay_one(&self, record: Record) -> Result<()> {
        let _no_cut = read(&self.cut_lock);
        match record {
            Record::Commit { branch, ops } => {
                let branch = self.replay_branch(branch)?;
                let ops = ops
                    .into_iter()
                    .map(|op| self.allocate_replayed_op(&branch, op))
                    .collect::<Result<Vec<_>>>()?;
                let mut state = write(&branch.state);
                let share_gen = state.meta.share_gen;
                self.apply(&mut state.root, share_gen, &ops)?;
                state.fork_point = None;
                branch.dirty.store(true, Ordering::Release);
            }
            Record::Create { branch, meta } => {
                self.do_create(&mut lock(&self.catalog), branch, meta);
            }
            Record::Fork { from, branch, meta } => {
                let source = self.replay_branch(from)?;
                let mut catalog = lock(&self.catalog);
                let mut state = write(&source.state);
                self.do_fork(&mut catalog, &source, &mut state, branch, meta)?;
            }
            Record::Delete { branch } => {
                let branch = self.replay_branch(branch)?;
                self.do_delete(&mut lock(&self.catalog), &branch)?;
            }
            Record::Rename { branch, name } => {
                let branch = self.replay_branch(branch)?;
                self.do_rename(&mut lock(&self.catalog), &branch, &name);
            }
            Record::Reset { branch, to } => {
                let branch = self.replay_branch(branch)?;
                let mut catalog = lock(&self.catalog);
                let mut state = write(&branch.state);
                match to {
                    None => {
                        let own = state.meta.fork_point;
                        let own = own.ok_or_else(|| inconsistent("resets to no fork point"))?;
                        self.do_reset(&mut catalog, &branch, &mut state, own)?;
                    }
                    Some(to) if to.source == branch.id => {
                        return Err(inconsistent("resets a branch to itself"));
                    }
                    Some(to) => {
                        let source = catalog.branch(to.source)?;
                        let source = source.ok_or_else(|| {
                            inconsistent("resets to a branch that does not exist")
                        })?;
                        let mut from = write(&source.state);
                        let from = (&*source, &mut *from);
                        let reset = (&*branch, &mut *state);
                        self.do_reset_to(&mut catalog, reset, from, to.fork_point)?;
                    }
                }
            }
            Record::Close => {}
        }
        Ok(())
    }

    /// Gives the data inside a replayed operation its blocks.
    fn allocate_replayed_op(&self, branch: &BranchInner, op: Op) -> Result<Op> {
        let Op::Map { map, block, runs } = op else { return Ok(op) };
        let placed = runs.into_iter().map(|run: DataRun| self.allocate_replayed_run(branch, run));
        let runs = placed.collect::<Result<Vec<_>>>()?.into_iter().flatten().collect();
        Ok(Op::Map { map, block, runs })
    }

    /// Gives a replayed run its blocks, or claims those it names.
    pub(crate) fn allocate_replayed_run(
        &self,
        branch: &BranchInner,
        run: DataRun,
    ) -> Result<Vec<DataRun>> {
        let RunData::Replayed(bytes) = &run.data else { return Ok(vec![run]) };
        let blocks = (bytes.len() / BLOCK_BYTES) as u64;
        let places =
            self.space.allocate(&mut lock(&branch.preallocation), blocks, Purpose::Release)?;
        let mut rest: &[u8] = bytes;
        let mut runs = Vec::with_capacity(places.len());
        for place in places {
            let (mine, others) = rest.split_at(place.blocks as usize * BLOCK_BYTES);
            rest = others;
            runs.push(self.place_run(place.start, mine, true)?);
        }
        Ok(runs)
    }
}
