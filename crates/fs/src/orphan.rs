//! Inodes without a name: kept while they are in use, then evicted.
//!
//! An orphan is recorded in the branch by the transaction that removes its last name, so that no
//! crash loses it. Small ones whose last user has gone are queued, and evicted together with the
//! next name that is removed or when enough have gathered: removing many files then costs one
//! transaction each, not two.

use std::ops::Bound;

use crate::fs::Fs;
use crate::inode::Inode;
use crate::tree_txn::TreeTxn;
use crate::{Error, Ino, Kind, Result, key};

/// The most blocks of an orphan that is evicted by the transaction of another operation.
const SMALL_BLOCKS: u64 = 256;
/// The most runs of data that one transaction unmaps.
const RUNS_PER_STEP: usize = 4096;
/// The most orphans that are queued.
const QUEUED_MAX: usize = 64;
/// The most queued orphans that another operation evicts.
const QUEUED_PER_REMOVAL: usize = 8;

impl Fs {
    /// Evicts an inode without a name or user, now or a little later.
    pub(crate) fn evict(&self, ino: Ino) -> Result<()> {
        let blocks = match crate::path::inode(&self.snapshot()?, ino)? {
            Some(inode) if inode.attr.nlink == 0 => inode.blocks(),
            _ => return Ok(()),
        };
        self.eviction_queue().add(ino);
        if blocks > SMALL_BLOCKS || self.eviction_queue().len() >= QUEUED_MAX {
            self.evict_queued()?;
        }
        Ok(())
    }

    /// Evicts every queued inode.
    pub(crate) fn evict_queued(&self) -> Result<()> {
        let inos = self.eviction_queue().take(usize::MAX);
        self.evict_all(&inos)
    }

    /// Evicts every orphan of the branch. None may be in use.
    pub(crate) fn evict_orphans(&self) -> Result<()> {
        let inos = orphans(&self.snapshot()?).collect::<Result<Vec<_>>>()?;
        self.evict_all(&inos)
    }

    /// Evicts orphans, the large ones step by step. One that fails stays an orphan until the tree
    /// is opened again.
    fn evict_all(&self, inos: &[Ino]) -> Result<()> {
        for group in inos.chunks(QUEUED_MAX) {
            for &ino in group {
                while self.shrink(ino)? {}
            }
            let mut tree = self.begin_removal()?;
            for &ino in group {
                tree.evict_orphan(ino)?;
            }
            tree.commit()?;
        }
        Ok(())
    }

    /// Unmaps as much data of an orphan as one transaction may. Returns `false` if the rest is no
    /// more than that.
    fn shrink(&self, ino: Ino) -> Result<bool> {
        let mut tree = self.begin_removal()?;
        let map = key::of(key::DATA, ino);
        let orphan = tree.inode(ino).is_ok_and(|inode| inode.attr.nlink == 0);
        let mut runs = tree.view().extents(&map, 0);
        let Some(run) = runs.nth(RUNS_PER_STEP).filter(|_| orphan).transpose()? else {
            return Ok(false);
        };
        tree.txn.unmap(&map, 0..run.block)?;
        tree.commit()?;
        Ok(true)
    }
}

/// The orphans of a branch.
pub(crate) fn orphans(txn: &tine_store::ReadTxn) -> impl Iterator<Item = Result<Ino>> + use<> {
    let (first, last) = ([key::ORPHAN], [key::ORPHAN + 1]);
    txn.range(Bound::Included(&first), Bound::Excluded(&last)).map(|entry| {
        let damaged = Error::DamagedTree { what: "the list of orphans" };
        key::parse(&entry?.0).map(|(_, ino, _)| ino).ok_or(damaged)
    })
}

impl TreeTxn<'_> {
    /// Returns `true` if the transaction that removes the last name of an inode may evict it as
    /// well.
    pub fn is_small(&self, inode: &Inode) -> bool {
        inode.blocks() <= SMALL_BLOCKS
    }

    /// Evicts a few of the queued orphans.
    pub fn evict_some_queued(&mut self) -> Result<()> {
        for ino in self.fs.eviction_queue().take(QUEUED_PER_REMOVAL) {
            match self.inode(ino) {
                Ok(inode) if !self.is_small(&inode) => self.fs.eviction_queue().add(ino),
                _ => self.evict_orphan(ino)?,
            }
        }
        Ok(())
    }

    /// Evicts an inode, if it still is an orphan.
    fn evict_orphan(&mut self, ino: Ino) -> Result<()> {
        match self.inode(ino) {
            Ok(inode) if inode.attr.nlink == 0 => self.delete_everything(&inode),
            Ok(_) => Ok(()),
            Err(Error::NoInode { .. }) => Ok(self.txn.delete(&key::of(key::ORPHAN, ino))?),
            Err(error) => Err(error),
        }
    }

    /// Removes everything that belongs to an inode.
    pub fn delete_everything(&mut self, inode: &Inode) -> Result<()> {
        let ino = inode.attr.ino;
        self.delete_inode(ino)?;
        self.txn.delete(&key::of(key::ORPHAN, ino))?;
        self.txn.delete(&key::of(key::HOST, ino))?;
        if inode.attr.kind == Kind::File && inode.blocks() > 0 {
            self.txn.unmap(&key::of(key::DATA, ino), 0..u64::MAX)?;
        }
        if inode.attr.kind == Kind::Symlink {
            crate::blob::delete(&mut self.txn, &key::of(key::TARGET, ino))?;
        }
        crate::blob::delete(&mut self.txn, &key::of(key::XATTR, ino))
    }
}
