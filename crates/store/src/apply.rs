//! Operations applied to a branch's tree: by a commit, and when the journal is replayed.

use crate::engine::Engine;
use crate::error::Result;
use crate::format::extent::Extent;
use crate::sync::atomic::Ordering;
use crate::tree::{self, NewRun, Node, Root, ShadowPolicy, Tree};
use crate::txn::{Batch, Op, extent_pieces, refuse_values_in_maps};
use std::sync::Arc;

/// Changes of a batch that are applied together.
const CHANGES_MAX: usize = 16384;

/// A branch's tree open for changes.
pub(crate) struct BranchPolicy<'a> {
    engine: &'a Engine,
    birth: u64,
    share_gen: u64,
}

impl ShadowPolicy for BranchPolicy<'_> {
    fn birth(&self) -> u64 {
        self.birth
    }
    fn share_gen(&self) -> u64 {
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
        let run = (extent.addr, extent.blocks());
        if extent.birth > self.share_gen && !extent.shared {
            self.engine.free_data(run, extent.birth);
            return Ok(());
        }
        self.engine.refs.release_runs(&[run], |_, run| self.engine.free_data(run, extent.birth))
    }
}

impl Engine {
    /// Applies operations to a branch's tree. An error leaves the content as it was, or else the
    /// store takes no more writes.
    pub(crate) fn apply(&self, root: &mut Root, share_gen: u64, ops: &[Op]) -> Result<()> {
        let policy = BranchPolicy {
            engine: self,
            birth: self.generation.load(Ordering::Acquire),
            share_gen,
        };
        refuse_values_in_maps(&self.nodes, root, ops)?;
        let mut tree = Tree { nodes: &self.nodes, policy: &policy, root };
        if ops.len() > 1 || matches!(ops, [Op::Batch(batch)] if batch.len() > 1) {
            // What can fail is tried for all before anything changes.
            for op in ops {
                match op {
                    Op::Batch(batch) => shadow_batch(&mut tree, batch)?,
                    Op::Map { map, block, .. } | Op::Unmap { map, block, .. } => {
                        tree.shadow_path(&tree::map_key(map, *block))?;
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
            Op::Unmap { map, block, blocks } => tree.unmap(map, *block, *blocks, &mut dropped),
            Op::Map { map, block, runs } => {
                let blocks = runs.iter().map(|run| run.sums.len() as u64).sum();
                tree.unmap(map, *block, blocks, &mut dropped)?;
                runs.iter()
                    .for_each(|run| self.space.mark_allocated((run.addr, run.sums.len() as u64)));
                let mut at = *block;
                for (addr, sums) in runs.iter().flat_map(extent_pieces) {
                    let blocks = sums.len() as u64;
                    tree.map(map, at, &NewRun { addr, sums, shared: false, birth: policy.birth })?;
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
        tree: &mut Tree<'_, BranchPolicy<'_>>,
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
}

/// Shadows the paths of a batch's changes.
fn shadow_batch<O: ShadowPolicy>(tree: &mut Tree<'_, O>, batch: &Batch) -> Result<()> {
    let changes: Vec<_> = batch.changes().collect();
    tree.shadow_paths(&changes)
}
