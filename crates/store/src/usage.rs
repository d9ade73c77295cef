//! What a store and its branches cost.

use crate::admit::{Asking, TRIES_MAX};
use crate::branch::BranchInner;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::format::extent::Extent;
use crate::format::layout::{BLOCK_BYTES, NODE_BLOCKS, NODE_BYTES};
use crate::sync::{lock, read};
use crate::tree::{Body, Bounds, Node, Root};

/// What the store takes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StoreUsage {
    /// Bytes that the host has allocated for the file.
    pub file_bytes: u64,
    /// Bytes of blocks in use besides the metadata.
    pub data_bytes: u64,
    /// Bytes of journal, superblocks and bitmaps.
    pub metadata_bytes: u64,
    /// Bytes of blocks that are free inside the file's size.
    pub free_bytes: u64,
    /// Bytes that the host could still set aside for the file to grow.
    pub host_free_bytes: u64,
    /// Bytes referenced by deleted branches that were not taken apart yet: at most this comes free.
    pub reclaim_pending_bytes: u64,
    /// Branches and snapshots.
    pub branches: u64,
}

/// Room for data.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StoreSpace {
    /// Bytes in use, for whatever.
    pub used_bytes: u64,
    /// Bytes of data that can still be written: in the file, and with what the host has free. Never
    /// more than that.
    pub available_bytes: u64,
}

/// What a branch costs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BranchUsage {
    /// Bytes that it references: all blocks that it holds alone, and of what it shares the content,
    /// without the tree's nodes. So it is never less than `exclusive_bytes`.
    pub referenced_bytes: u64,
    /// Bytes that deleting it would free, its fork point aside.
    pub exclusive_bytes: u64,
    /// Bytes that only its fork point keeps.
    pub pinned_by_fork_point_bytes: u64,
}

/// What only one root reaches.
#[derive(Default)]
struct PrivatePart {
    /// Of the tree's nodes, as they lie on the disk.
    node_bytes: u64,
    /// Of the records in these nodes that name no data.
    record_bytes: u64,
    /// Of blocks of data.
    data_bytes: u64,
}

impl PrivatePart {
    /// Bytes that come free with it.
    fn bytes(&self) -> u64 {
        self.node_bytes + self.data_bytes
    }
}

impl Engine {
    pub(crate) fn store_usage(&self) -> Result<StoreUsage> {
        let totals = self.space.totals();
        let block = BLOCK_BYTES as u64;
        let file_bytes =
            self.device.allocated_bytes().map_err(|e| Error::io("measuring the store", e))?;
        let ring_blocks = self.journal.fill().ring_blocks;
        Ok(StoreUsage {
            file_bytes,
            data_bytes: totals.used_blocks * block,
            metadata_bytes: (ring_blocks + 4) * block,
            free_bytes: totals.free_blocks * block,
            host_free_bytes: self
                .device
                .host_free_bytes()
                .map_err(|e| Error::io("measuring the host", e))?,
            reclaim_pending_bytes: self.reclaim.pending_bytes(),
            branches: lock(&self.catalog).all()?.len() as u64,
        })
    }

    pub(crate) fn store_space(&self) -> Result<StoreSpace> {
        let block = BLOCK_BYTES as u64;
        let used_blocks = self.space.totals().used_blocks + self.journal.fill().ring_blocks + 4;
        let available_blocks = self.space.available(self.host_free_blocks()?, &self.pins.active());
        Ok(StoreSpace {
            used_bytes: used_blocks * block,
            available_bytes: available_blocks * block,
        })
    }

    pub(crate) fn room_bytes(&self) -> Result<u64> {
        Ok(self.space.available(self.host_free_blocks()?, &[]) * BLOCK_BYTES as u64)
    }

    pub(crate) fn has_room_for(&self, bytes: u64) -> Result<bool> {
        let blocks = bytes.div_ceil(BLOCK_BYTES as u64);
        Ok(self.space.ready_for_data() >= blocks
            || self.space.available(self.host_free_blocks()?, &[]) >= blocks)
    }

    /// As [`Engine::has_room_for`], after branches and trees that were deleted have given back as
    /// much as it takes.
    pub(crate) fn finds_room_for(&self, bytes: u64) -> Result<bool> {
        let mut asking = Asking::default();
        loop {
            let given = self.shortage.given();
            for _ in 0..TRIES_MAX {
                let freed = self.space.freed_blocks();
                if self.has_room_for(bytes)? {
                    return Ok(true);
                }
                if self.reclaim.is_empty() || !self.make_room(freed)? {
                    break;
                }
            }
            if self.has_room_for(bytes)? || !self.give_way(given, &mut asking)? {
                return self.has_room_for(bytes);
            }
        }
    }

    fn host_free_blocks(&self) -> Result<u64> {
        let bytes = self.device.host_free_bytes();
        Ok(bytes.map_err(|e| Error::io("measuring the host", e))? / BLOCK_BYTES as u64)
    }

    pub(crate) fn branch_usage(&self, branch: &BranchInner) -> Result<BranchUsage> {
        let (root, _pin) = {
            let state = read(&branch.state);
            (state.root.clone(), self.pin())
        };
        let fork_point = self.fork_point_root(branch)?;
        let private = self.private_part(&root)?;
        // What a root counts is content, which for small records is less than the nodes they lie
        // in.
        let shared = root.bytes.saturating_sub(private.data_bytes + private.record_bytes);
        Ok(BranchUsage {
            referenced_bytes: shared + private.bytes(),
            exclusive_bytes: private.bytes(),
            pinned_by_fork_point_bytes: match &fork_point {
                Some((fork_point, _pin)) => self.private_part(fork_point)?.bytes(),
                None => 0,
            },
        })
    }

    /// What is reached only through this root, walked.
    fn private_part(&self, root: &Root) -> Result<PrivatePart> {
        let mut part = PrivatePart::default();
        let top = self.nodes.load(&root.link, root.level)?;
        if self.refs.count_of(&root.link)? == 1 {
            self.add_private(&top, Bounds::ALL, &mut part)?;
        }
        Ok(part)
    }

    /// Adds a node that only one pointer names, and what it leads to.
    fn add_private(&self, node: &Node, bounds: Bounds<'_>, part: &mut PrivatePart) -> Result<()> {
        part.node_bytes += if node.place.get().is_some() {
            NODE_BLOCKS * BLOCK_BYTES as u64
        } else {
            NODE_BYTES as u64
        };
        match &node.body {
            Body::Inner { keys, children } => {
                for (at, child) in children.iter().enumerate() {
                    if self.refs.count_of(&child.link)? > 1 {
                        continue;
                    }
                    let bounds = bounds.of_child(keys, at);
                    let child = self.nodes.load(&child.link, node.level - 1)?;
                    bounds.admit(&child)?;
                    self.add_private(&child, bounds, part)?;
                }
            }
            Body::Leaf(entries) => {
                part.record_bytes += entries.plain_bytes();
                for extent in entries.extents() {
                    part.data_bytes += self.exclusive_blocks(&extent?)? * BLOCK_BYTES as u64;
                }
            }
        }
        Ok(())
    }

    fn exclusive_blocks(&self, extent: &Extent) -> Result<u64> {
        let (mut at, end) = (extent.addr, extent.run().end());
        let mut exclusive = 0;
        while at < end {
            let (count, until) = self.refs.count_of_block(at)?;
            let until = until.min(end);
            if count == 1 {
                exclusive += until - at;
            }
            at = until;
        }
        Ok(exclusive)
    }
}
