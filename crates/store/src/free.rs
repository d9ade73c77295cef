//! Freeing nodes and data blocks: when they may be used again depends on who may still read them,
//! and on whether the disk names them.

use crate::engine::Engine;
use crate::format::block::BlockRun;
use crate::format::ids::Generation;
use crate::space::Freed;
use crate::tree::Node;
use crate::txn::{DataRun, Op, RunData};

impl Engine {
    /// The last pointer to a node is gone.
    pub(crate) fn free_node(&self, node: &Node) {
        if let Some(ptr) = self.refs.free_node(node) {
            self.space.free_after_checkpoint(self.freed(ptr.run(), Some(node.birth)));
        }
    }

    /// Blocks that are freed now and were made in the generation `birth`; `None` if no reader can
    /// know them.
    pub(crate) fn freed(&self, run: BlockRun, birth: Option<Generation>) -> Freed {
        Freed { run, epoch: self.pins.epoch(), birth }
    }

    /// The last name of data blocks is gone.
    ///
    /// Data that was not written yet is dropped, unless a reader may still reach it by its old
    /// name. The writer has given up its own view, and a reader that begins now sees the new state,
    /// as the branch's state is held.
    pub(crate) fn free_data(&self, run: BlockRun, birth: Generation) {
        if self.pins.may_see(birth) {
            self.space.free_after_checkpoint(self.freed(run, Some(birth)));
        } else {
            self.free_unread(run);
        }
    }

    /// Frees data blocks that no reader can know.
    pub(crate) fn free_unread(&self, run: BlockRun) {
        let freed = self.freed(run, None);
        if self.dirty.forget(run) {
            self.space.free_after_readers(freed);
        } else {
            self.space.free_after_checkpoint(freed);
        }
    }

    /// Frees the blocks of a transaction that will not be committed.
    pub(crate) fn discard(&self, ops: &[Op]) {
        for op in ops {
            if let Op::Map { runs, .. } = op {
                runs.iter().for_each(|run| self.free_staged(run));
            }
        }
    }

    /// Frees blocks that were staged and never named. Nothing on the device refers to them.
    pub(crate) fn free_staged(&self, run: &DataRun) {
        let blocks = run.blocks();
        let written = match &run.data {
            RunData::OnDevice => true,
            RunData::Dirty(data) => data.on_device(),
            RunData::Replayed(_) => false,
        };
        match written {
            true => self.space.free_after_readers(self.freed(blocks, None)),
            false => self.free_unread(blocks),
        }
    }
}
