//! A checkpoint makes everything up to one point of the journal part of the trees on disk.
//!
//! It takes the cut lock alone for an instant (the *cut*): clones the roots, which freezes the
//! nodes after them, and swaps the gathered changes of counts, space and catalog. Then writers go
//! on, and copy what is frozen, while it writes exactly what the cut reaches: data, nodes bottom-up
//! to fresh blocks, the system tree with the new counts, bitmaps; flush; superblock; flush. Only
//! then is anything released that the cut freed.

mod durable;
mod nodes;

pub(crate) use durable::Durable;

use crate::branch::Frozen;
use crate::device::{AlignedBuf, Device};
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::format::block::BlockRun;
use crate::format::catalog as format;
use crate::format::ids::{ForkPointId, Generation, ReclaimId, Sequence};
use crate::format::layout::{BLOCK_BYTES, GROWN_RING_BLOCKS, SUPERBLOCK_COPIES, SUPERBLOCK_SLOTS};
use crate::format::superblock::Superblock;
use crate::injected_bug::{InjectedBug, injected};
use crate::journal::Ring;
use crate::refs;
use crate::space::{SharedTree, TableImage, TrimPolicy};
use crate::sync::{lock, read, write};
use crate::tree::{Link, Node, Root, Tree};
use nodes::{NodeWriter, SystemPolicy};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// A ring that fills within this time is grown.
const RING_LASTS_MIN: Duration = Duration::from_secs(5);
/// A grown ring takes at most one in this many of the bytes that find room.
const RING_SHARE: u64 = 8;
/// Chunks of 1 MiB given back to the host at a time.
const PUNCH_CHUNKS_MAX: usize = 16;

/// What the cut froze.
struct Cut {
    /// Number of the first journal record that the checkpoint does not cover.
    number: Sequence,
    generation: Generation,
    catalog: Frozen,
    reclaim: Vec<(ReclaimId, Option<Root>)>,
    next_reclaim: ReclaimId,
}

impl Engine {
    /// Writes a checkpoint. A failure ends all writing: the disk keeps the checkpoint before, and
    /// the journal after it.
    pub(crate) fn checkpoint(&self) -> Result<()> {
        let outgrown = {
            let mut durable = lock(&self.durable);
            self.health.check()?;
            let fill = self.journal.fill();
            let small = fill.ring_blocks < GROWN_RING_BLOCKS;
            let lasted = self.options.environment.elapsed().saturating_sub(durable.when);
            let written = self.write_checkpoint(&mut durable, None);
            self.health.guard(written)?;
            small && fill.used_blocks > fill.ring_blocks / 3 && lasted < RING_LASTS_MIN
        };
        if self.options.background {
            // A committer that got here does not wait for what can be done later.
            if outgrown {
                self.outgrown.store(true, Ordering::Release);
                self.signal.wake();
            }
            return Ok(());
        }
        if outgrown {
            self.grow_ring()?;
        }
        self.punch_space()?;
        self.mark_space_for_trim(TrimPolicy::Busy);
        Ok(())
    }

    /// A checkpoint that begins a new journal with `ring`: nothing is committed meanwhile.
    pub(crate) fn checkpoint_with_ring(&self, durable: &mut Durable, ring: Ring) -> Result<()> {
        let written = self.write_checkpoint(durable, Some(ring));
        self.health.guard(written)
    }

    /// Moves the journal to a ring of a whole segment. Zeros, and what changed until then, are
    /// written while commits go on; then commits wait while a small checkpoint switches over.
    pub(crate) fn grow_ring(&self) -> Result<()> {
        let _growing = lock(&self.growing);
        if self.journal.fill().ring_blocks >= GROWN_RING_BLOCKS {
            return Ok(());
        }
        // A small disk is not for the journal.
        let ring_bytes = GROWN_RING_BLOCKS * BLOCK_BYTES as u64;
        if !self.has_room_for(ring_bytes * RING_SHARE)? {
            return Ok(());
        }
        let place = match self.space.allocate_segment() {
            Ok(run) => run,
            // The small ring serves; there just is no room for a larger one.
            Err(Error::NoSpace { .. }) => return Ok(()),
            Err(error) => return self.health.guard(Err(error)),
        };
        let zeroed = zero(&*self.device, place);
        self.health.guard(zeroed)?;
        let mut durable = lock(&self.durable);
        self.health.check()?;
        let written = self.write_checkpoint(&mut durable, None);
        self.health.guard(written)?;
        self.space.mark_allocated(place);
        let ring =
            Ring { block: place.start, blocks: place.blocks, ..Ring::of(&durable.superblock) };
        self.checkpoint_with_ring(&mut durable, ring)
    }

    fn write_checkpoint(&self, durable: &mut Durable, new_ring: Option<Ring>) -> Result<()> {
        let alone = write(&self.cut_lock);
        let cut = self.cut()?;
        // With a new ring, no commit may reach the old one any more.
        let _alone = new_ring.is_some().then_some(alone);
        let mark = self.journal.replay_mark(cut.number, &self.dirty)?;
        self.dirty.write_all()?;

        let mut writer = NodeWriter::new(self);
        let system = self.write_system(&cut, durable.system(&self.nodes)?, &mut writer)?;
        writer.finish()?;
        let table = self.space.write_cut(&TableImage::of(&durable.superblock))?;
        let flushed =
            if injected(InjectedBug::CheckpointUnflushed) { Ok(()) } else { self.device.sync() };
        flushed.map_err(|e| Error::io("flushing a checkpoint to disk", e))?;

        let old = &durable.superblock;
        let (ring_block, ring_blocks, replay_block, salt, chain) = match &new_ring {
            Some(ring) => (ring.block, ring.blocks, 0, ring.link.salt, 0),
            None => (old.ring_block, old.ring_blocks, mark.head, mark.link.salt, mark.link.chain),
        };
        let superblock = Superblock {
            uuid: old.uuid,
            checkpoint: old.checkpoint + 1,
            generation: cut.generation,
            salt,
            ring_block,
            ring_blocks,
            replay_block,
            replay_sequence: cut.number,
            replay_chain: chain,
            table_block: table.block,
            table_bytes: table.bytes,
            segments: table.segments,
            table_sum: table.sum,
            system: system.link.ptr().map(|ptr| (ptr, system.level)),
            next_branch: cut.catalog.next_branch,
            next_fork_point: cut.catalog.next_fork_point,
            next_reclaim: cut.next_reclaim,
        };
        write_superblock(&*self.device, &superblock)?;
        match new_ring {
            Some(_) => self.journal.replace(Ring::of(&superblock)),
            None => self.journal.release(cut.number, &mark),
        }
        *durable = Durable { superblock, when: self.options.environment.elapsed() };
        self.finish_checkpoint(cut, system)
    }

    /// Freezes the state. The cut lock is held alone.
    fn cut(&self) -> Result<Cut> {
        let catalog = lock(&self.catalog).cut();
        let (reclaim, next_reclaim) = self.reclaim.cut();
        self.refs.cut();
        self.space.cut();
        self.dirty.cut();
        self.signal.take_changed();
        self.changed.cut();
        Ok(Cut {
            number: self.journal.cut(),
            // What is made from here on, readers that began before can't see.
            generation: Generation(self.generation.fetch_add(1, Ordering::AcqRel) + 1),
            catalog,
            reclaim,
            next_reclaim,
        })
    }

    /// Writes all trees of the cut, and the system tree that names them.
    fn write_system(
        &self,
        cut: &Cut,
        old: Option<Root>,
        writer: &mut NodeWriter<'_>,
    ) -> Result<Root> {
        let fresh = || Root {
            link: Link::Mem(Arc::new(Node::empty(Generation(1)))),
            level: 0,
            entries: 0,
            bytes: 0,
        };
        let mut root = old.unwrap_or_else(fresh);
        let policy = SystemPolicy::new(cut.generation);
        let mut tree = Tree { nodes: &self.nodes, policy: &policy, root: &mut root };
        for (branch, meta, branch_root) in &cut.catalog.branches {
            let key = format::number_key(format::PREFIX_BRANCH, branch.id.0);
            tree.put(&key, &format::encode_branch(meta, &writer.write(branch_root)?))?;
        }
        for id in &cut.catalog.deleted {
            tree.remove(&format::number_key(format::PREFIX_BRANCH, id.0))?;
        }
        for (name, id) in &cut.catalog.names {
            match id {
                Some(id) => tree.put(&format::name_key(name), &id.0.to_be_bytes())?,
                None => drop(tree.remove(&format::name_key(name))?),
            }
        }
        for (id, fork_point) in &cut.catalog.fork_points {
            let key = format::number_key(format::PREFIX_FORK_POINT, id.0);
            match fork_point {
                Some(fork_point) => tree.put(
                    &key,
                    &format::encode_fork_point(fork_point.users, &writer.write(&fork_point.root)?),
                )?,
                None => drop(tree.remove(&key)?),
            }
        }
        for (id, root) in &cut.reclaim {
            let key = format::number_key(format::PREFIX_RECLAIM, id.0);
            match root {
                Some(root) => tree.put(&key, &format::encode_reclaim(&writer.write(root)?))?,
                None => drop(tree.remove(&key)?),
            }
        }
        refs::apply(&mut tree, &self.refs.frozen())?;
        for ptr in policy.superseded_nodes() {
            self.space.free_at_checkpoint(ptr.run());
        }
        let placed = writer.write(&root)?;
        self.changed.set_system_bytes(root.bytes);
        Ok(Root::on_disk(&placed))
    }

    /// The checkpoint is durable: releases what it freed, and memory that the disk stands for now.
    fn finish_checkpoint(&self, cut: Cut, system: Root) -> Result<()> {
        // The old system tree is not read any more when its blocks come free.
        self.refs.finish_checkpoint(system.clone());
        lock(&self.catalog).finish_checkpoint(system);
        self.space.finish_checkpoint();
        self.reclaim.finish_checkpoint();
        let Cut { catalog, reclaim, .. } = cut;
        drop(reclaim);
        for (branch, _, root) in catalog.branches {
            drop(root);
            // They are dropped after the lock is released.
            let _gone = write(&branch.state).root.link.demote();
        }
        self.release_preallocations();
        let mut catalog = lock(&self.catalog);
        let mut shared = SharedTree::default();
        // Before the first fork no tree shares anything.
        if catalog.next_fork_point > ForkPointId(1) {
            let trees = catalog.loaded().map(|branch| {
                let root = &read(&branch.state).root;
                SharedTree { entries: root.entries, data_bytes: root.bytes }
            });
            shared = trees.fold(shared, SharedTree::larger);
        }
        catalog.forget_idle();
        drop(catalog);
        self.space.expect_release(shared);
        self.space.drain(&self.pins.advance());
        Ok(())
    }

    /// Marks some unused space for trim; it goes to the host once the next checkpoint has recorded
    /// it. Returns `true` if there was any.
    pub(crate) fn mark_space_for_trim(&self, policy: TrimPolicy) -> bool {
        self.space.drain(&self.pins.advance());
        let some = self.space.mark_for_trim(PUNCH_CHUNKS_MAX, policy) > 0;
        if some {
            self.changed();
        }
        some
    }

    /// Gives some of what was marked and recorded to the host. Returns `true` if there was any.
    pub(crate) fn punch_space(&self) -> Result<bool> {
        let punched = self.space.punch(PUNCH_CHUNKS_MAX);
        Ok(self.health.guard(punched)? > 0)
    }

    /// Gives all unused space to the host, except what the policy keeps.
    pub(crate) fn trim_space(&self, policy: TrimPolicy) -> Result<()> {
        let mut some = false;
        while self.mark_space_for_trim(policy) {
            some = true;
        }
        if some {
            self.checkpoint()?;
        }
        while self.punch_space()? {}
        Ok(())
    }
}

/// Writes both copies into the slot of the checkpoint's number, and flushes.
pub(crate) fn write_superblock(device: &dyn Device, superblock: &Superblock) -> Result<()> {
    let slot = SUPERBLOCK_SLOTS[(superblock.checkpoint % 2) as usize];
    let copies = AlignedBuf::from_slice(&superblock.encode().repeat(SUPERBLOCK_COPIES as usize));
    device
        .write_at(slot.offset(), &copies)
        .and_then(|()| device.sync())
        .map_err(|e| Error::io("writing the superblock", e))
}

/// Fills blocks with zeros, so that later writes there need no room and change no metadata of the
/// host.
pub(crate) fn zero(device: &dyn Device, run: BlockRun) -> Result<()> {
    const STEP: u64 = 256;
    let zeros = AlignedBuf::zeroed((STEP * BLOCK_BYTES as u64) as usize);
    for done in (0..run.blocks).step_by(STEP as usize) {
        let len = STEP.min(run.blocks - done) as usize * BLOCK_BYTES;
        device
            .write_at((run.start + done).offset(), &zeros[..len])
            .map_err(|e| Error::io("preparing room in the store", e))?;
    }
    Ok(())
}
