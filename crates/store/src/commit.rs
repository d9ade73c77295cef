//! How a commit goes through the parts: admitted, applied to the branch's tree in memory, then
//! appended to the journal.

use crate::branch::BranchInner;
use crate::engine::Engine;
use crate::error::Result;
use crate::format::ids::Sequence;
use crate::format::layout::NODE_BYTES;
use crate::journal::Record;
use crate::space::Purpose;
use crate::sync::atomic::Ordering;
use crate::sync::write;
use crate::tree::{self, Root};
use crate::txn::Op;

/// A transaction that is ready to be committed.
pub(crate) struct Commit<'a> {
    pub branch: &'a BranchInner,
    /// How often the branch had been reset when the transaction began.
    pub resets: u64,
    pub ops: Vec<Op>,
    pub nodes_max: u64,
    pub purpose: Purpose,
}

impl Engine {
    /// Nodes that the operations may make: those on their paths, and what the new entries fill.
    /// Reads what they need into the cache, before anyone waits for them.
    pub(crate) fn estimate_and_prefetch(&self, root: &Root, ops: &[Op]) -> Result<u64> {
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

    /// Applies and logs a transaction. Returns the number of its journal record.
    pub(crate) fn commit(&self, commit: Commit<'_>) -> Result<Sequence> {
        let Commit { branch, resets, ops, nodes_max, purpose } = commit;
        let frees = ops.iter().all(|op| match op {
            Op::Batch(batch) => batch.only_deletes(),
            Op::Unmap { .. } => true,
            _ => false,
        });
        let purpose = if frees { Purpose::Release } else { purpose };
        let _admitted = match self.admit(nodes_max, purpose) {
            Ok(admitted) => admitted,
            Err(error) => {
                self.discard(&ops);
                return Err(error);
            }
        };
        let mut state = write(&branch.state);
        let share_gen = state.meta.share_gen;
        let applied = branch
            .is_as_begun(&state, resets)
            .and_then(|()| self.apply(&mut state.root, share_gen, &ops));
        if let Err(error) = applied {
            self.discard(&ops);
            return Err(error);
        }
        state.fork_point = None;
        if !branch.dirty.swap(true, Ordering::AcqRel) {
            self.changed.records(1);
            self.signal.changed();
        }
        let number = self.journal.append(Record::Commit { branch: branch.id, ops });
        branch.written.store((number + 1).0, Ordering::Release);
        Ok(number)
    }
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
        Op::Share { blocks, .. } => EXTENT_BYTES * 2 + (blocks.end - blocks.start).min(1 << 20) * 8,
    }
}
