//! What a store and its branches cost.

use crate::branch::Core;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::format::extent::Extent;
use crate::format::layout::{BLOCK_BYTES, NODE_BLOCKS, NODE_BYTES};
use crate::sync::{lock, read};
use crate::tree::{Body, Link, Root};

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

/// What a branch costs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BranchUsage {
    /// Bytes that it references, shared ones included.
    pub referenced_bytes: u64,
    /// Bytes that deleting it would free, its fork point aside.
    pub exclusive_bytes: u64,
    /// Bytes that only its fork point keeps.
    pub pinned_by_base_bytes: u64,
}

impl Engine {
    pub(crate) fn store_usage(&self) -> Result<StoreUsage> {
        let totals = self.space.totals();
        let block = BLOCK_BYTES as u64;
        let file_bytes =
            self.device.allocated_bytes().map_err(|e| Error::io("measuring the store", e))?;
        let (_, ring_blocks) = self.journal.fill();
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

    pub(crate) fn branch_usage(&self, core: &Core) -> Result<BranchUsage> {
        let (root, _pin) = {
            let state = read(&core.state);
            (state.root.clone(), self.pin())
        };
        let base = self.base_root(core)?;
        Ok(BranchUsage {
            referenced_bytes: root.bytes,
            exclusive_bytes: self.exclusive_bytes(&root)?,
            pinned_by_base_bytes: match &base {
                Some((base, _pin)) => self.exclusive_bytes(base)?,
                None => 0,
            },
        })
    }

    /// Bytes reached only through this root: its private part, walked.
    fn exclusive_bytes(&self, root: &Root) -> Result<u64> {
        self.exclusive_below(&root.link, root.level)
    }

    fn exclusive_below(&self, link: &Link, level: u8) -> Result<u64> {
        if self.refs.count_of(link)? > 1 {
            return Ok(0);
        }
        let node = self.nodes.load(link, level)?;
        let mut bytes = if node.place.get().is_some() {
            NODE_BLOCKS * BLOCK_BYTES as u64
        } else {
            NODE_BYTES as u64
        };
        match &node.body {
            Body::Inner { children, .. } => {
                for child in children {
                    bytes += self.exclusive_below(&child.link, level - 1)?;
                }
            }
            Body::Leaf(entries) => {
                for extent in entries.extents() {
                    bytes += self.exclusive_blocks(&extent?)? * BLOCK_BYTES as u64;
                }
            }
        }
        Ok(bytes)
    }

    fn exclusive_blocks(&self, extent: &Extent) -> Result<u64> {
        let (mut at, end) = (extent.addr, extent.addr + extent.blocks());
        let mut exclusive = 0;
        while at < end {
            let (count, until) = self.refs.count_of_run(at)?;
            let until = until.min(end);
            if count == 1 {
                exclusive += until - at;
            }
            at = until;
        }
        Ok(exclusive)
    }
}
