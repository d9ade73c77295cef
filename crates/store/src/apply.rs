//! Operations applied to a branch's tree: by a commit, and when the journal is replayed.

use crate::engine::Engine;
use crate::error::Result;
use crate::format::extent::Extent;
use crate::format::ids::Generation;
use crate::tree::{self, NewRun, Node, Root, ShadowPolicy, Tree};
use crate::txn::{Batch, Op, extent_pieces, refuse_values_in_maps};
use std::ops::Range;
use std::sync::Arc;

/// Changes of a batch that are applied together.
const CHANGES_MAX: usize = 16384;

/// A branch's tree open for changes.
pub(crate) struct BranchPolicy<'a> {
    engine: &'a Engine,
    birth: Generation,
    share_gen: Generation,
}

impl ShadowPolicy for BranchPolicy<'_> {
    fn birth(&self) -> Generation {
        self.birth
    }
    fn share_gen(&self) -> Generation {
        self.share_gen
    }
    fn superseded(&self, node: &Arc<Node>) -> Result<()> {
        self.engine.changed.node();
        if node.birth > self.share_gen || !self.engine.refs.supersede(node)? {
            self.engine.free_node(node);
        }
        Ok(())
    }
    fn grew(&self) {
        self.engine.changed.node();
    }
}

impl BranchPolicy<'_> {
    /// A branch's entry no longer names these blocks.
    fn dropped(&self, extent: &Extent) -> Result<()> {
        let run = extent.run();
        if extent.birth > self.share_gen && !extent.shared {
            self.engine.free_data(run, extent.birth);
            return Ok(());
        }
        self.engine.refs.release_runs(&[run], |_, run| self.engine.free_data(run, extent.birth))
    }
}

/// Blocks of one map, to be mapped from `to_block` of another on.
struct Sharing<'a> {
    from: &'a [u8],
    blocks: Range<u64>,
    to: &'a [u8],
    to_block: u64,
}

impl Engine {
    /// Applies operations to a branch's tree. An error leaves the content as it was, or else the
    /// store takes no more writes.
    pub(crate) fn apply(&self, root: &mut Root, share_gen: Generation, ops: &[Op]) -> Result<()> {
        let policy = BranchPolicy { engine: self, birth: self.generation(), share_gen };
        refuse_values_in_maps(&self.nodes, root, ops)?;
        let mut tree = Tree { nodes: &self.nodes, policy: &policy, root };
        if ops.len() > 1 || matches!(ops, [Op::Batch(batch)] if batch.len() > 1) {
            // What can fail is tried for all before anything changes.
            for op in ops {
                match op {
                    Op::Batch(batch) => shadow_batch(&mut tree, batch)?,
                    Op::Map { map, block: first, .. }
                    | Op::Unmap { map, blocks: Range { start: first, .. } } => {
                        tree.shadow_path(&tree::map_key(map, *first))?;
                    }
                    Op::Share { to, to_block, .. } => {
                        tree.shadow_path(&tree::map_key(to, *to_block))?
                    }
                }
            }
        }
        for (done, op) in ops.iter().enumerate() {
            let applied = self.apply_one(&mut tree, &policy, op);
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
        tree: &mut Tree<'_, BranchPolicy<'_>>,
        policy: &BranchPolicy<'_>,
        op: &Op,
    ) -> Result<()> {
        let mut dropped = |extent: &Extent| policy.dropped(extent);
        match op {
            Op::Batch(batch) => {
                let changes: Vec<_> = batch.changes().collect();
                changes.chunks(CHANGES_MAX).try_for_each(|some| tree.apply(some, &mut dropped))
            }
            Op::Unmap { map, blocks } => tree.unmap(map, blocks.clone(), &mut dropped),
            Op::Map { map, block, runs } => {
                let blocks: u64 = runs.iter().map(|run| run.sums.len() as u64).sum();
                tree.unmap(map, *block..block.saturating_add(blocks), &mut dropped)?;
                runs.iter().for_each(|run| self.space.mark_allocated(run.blocks()));
                let mut at = *block;
                for (addr, sums) in runs.iter().flat_map(extent_pieces) {
                    let blocks = sums.len() as u64;
                    tree.map(map, at, &NewRun { addr, sums, shared: false, birth: policy.birth })?;
                    at += blocks;
                }
                Ok(())
            }
            Op::Share { from, blocks, to, to_block } => {
                let target = *to_block..to_block.saturating_add(blocks.end - blocks.start);
                tree.unmap(to, target, &mut dropped)?;
                let sharing = Sharing { from, blocks: blocks.clone(), to, to_block: *to_block };
                self.share_blocks(tree, &sharing)
            }
        }
    }

    fn share_blocks(
        &self,
        tree: &mut Tree<'_, BranchPolicy<'_>>,
        sharing: &Sharing<'_>,
    ) -> Result<()> {
        let Range { start: mut at, end } = sharing.blocks;
        // A few at a time, as the source may be long.
        while at < end {
            let found: Vec<_> = tree::map_runs(&self.nodes, tree.root, sharing.from, at..end)?
                .take(64)
                .collect::<Result<_>>()?;
            let Some(last) = found.last() else { break };
            at = last.blocks().end;
            for mapped in &found {
                self.share_one(tree, mapped, sharing)?;
            }
        }
        Ok(())
    }

    /// Marks one entry of the source as shared and names what is shared of it a second time.
    fn share_one(
        &self,
        tree: &mut Tree<'_, BranchPolicy<'_>>,
        mapped: &tree::Mapped,
        sharing: &Sharing<'_>,
    ) -> Result<()> {
        let (block, extent) = (mapped.block, &mapped.extent);
        if !extent.shared {
            let marked = Extent { shared: true, ..extent.clone() };
            tree.put(&tree::map_key(sharing.from, block), &marked.encode())?;
        }
        let first = sharing.blocks.start.max(block);
        let end = sharing.blocks.end.min(mapped.blocks().end);
        let piece = extent.slice(first - block..end - block);
        self.refs.share_run(piece.run());
        let run = NewRun { addr: piece.addr, sums: piece.sums, shared: true, birth: piece.birth };
        tree.map(sharing.to, sharing.to_block + (first - sharing.blocks.start), &run)
    }
}

/// Shadows the paths of a batch's changes.
fn shadow_batch<O: ShadowPolicy>(tree: &mut Tree<'_, O>, batch: &Batch) -> Result<()> {
    let changes: Vec<_> = batch.changes().collect();
    tree.shadow_paths(&changes)
}
