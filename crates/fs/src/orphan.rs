//! Inodes without a name: kept while somebody uses them, then reclaimed.
//!
//! An orphan is recorded in the branch by the transaction that takes its last name, so that no crash loses it.
//! Small ones whose last user has gone wait a little, and go together with the next name that is removed or
//! when enough have gathered: removing many files then costs one transaction each, not two.

use std::ops::Bound;
use std::sync::{Mutex, PoisonError};

use crate::edit::Edit;
use crate::fs::Fs;
use crate::inode::Inode;
use crate::{Error, Ino, Kind, Result, key};

/// The most blocks of an orphan that goes inside the transaction of another operation.
const SMALL_BLOCKS: u64 = 256;
/// The most runs of data that one transaction lets go.
const RUNS_PER_STEP: usize = 4096;
/// How many small orphans wait at most.
const PENDING_MAX: usize = 64;
/// How many of them go with another operation.
const PENDING_PER_EDIT: usize = 8;

/// Orphans that nobody uses any more and that are still there.
#[derive(Default)]
pub(crate) struct Pending(Mutex<Vec<Ino>>);

impl Pending {
    pub fn add(&self, ino: Ino) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(ino);
    }

    fn take(&self, at_most: usize) -> Vec<Ino> {
        let mut inos = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let rest = inos.len().saturating_sub(at_most);
        inos.split_off(rest)
    }

    fn len(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

impl Fs {
    /// Lets an inode without a name go, now that nobody uses it.
    pub(crate) fn let_go(&self, ino: Ino) -> Result<()> {
        let blocks = match crate::path::inode(&self.snapshot()?, ino)? {
            Some(inode) if inode.attr.nlink == 0 => inode.blocks(),
            _ => return Ok(()),
        };
        self.pending().add(ino);
        if blocks > SMALL_BLOCKS || self.pending().len() >= PENDING_MAX {
            self.reclaim_pending()?;
        }
        Ok(())
    }

    /// Reclaims every inode that waits for it.
    pub(crate) fn reclaim_pending(&self) -> Result<()> {
        let inos = self.pending().take(usize::MAX);
        self.reclaim_all(&inos)
    }

    /// Reclaims every orphan of the branch; nobody may use any.
    pub(crate) fn reclaim_orphans(&self) -> Result<()> {
        let inos = orphans(&self.snapshot()?).collect::<Result<Vec<_>>>()?;
        self.reclaim_all(&inos)
    }

    /// Reclaims orphans, the large ones step by step. What fails stays an orphan, for the next opening of the tree.
    fn reclaim_all(&self, inos: &[Ino]) -> Result<()> {
        for group in inos.chunks(PENDING_MAX) {
            for &ino in group {
                while self.shrink(ino)? {}
            }
            let mut edit = self.removal()?;
            for &ino in group {
                edit.reclaim_orphan(ino)?;
            }
            edit.commit()?;
        }
        Ok(())
    }

    /// Cuts the data of an orphan, from its end, by what one transaction may let go; whether there was so much.
    fn shrink(&self, ino: Ino) -> Result<bool> {
        let mut edit = self.removal()?;
        let map = key::of(key::DATA, ino);
        let orphan = edit.inode(ino).is_ok_and(|inode| inode.attr.nlink == 0);
        let mut runs = edit.view().extents(&map, 0);
        let Some(run) = runs.nth(RUNS_PER_STEP).filter(|_| orphan).transpose()? else {
            return Ok(false);
        };
        edit.txn.unmap(&map, 0, run.block)?;
        edit.commit()?;
        Ok(true)
    }
}

/// The orphans of a branch.
pub(crate) fn orphans(txn: &tine_store::ReadTxn) -> impl Iterator<Item = Result<Ino>> + use<> {
    let (first, last) = ([key::ORPHAN], [key::ORPHAN + 1]);
    txn.range(Bound::Included(&first), Bound::Excluded(&last)).map(|entry| {
        let damaged = Error::Damaged { ino: 0, what: "the list of orphans" };
        key::parse(&entry?.0).map(|(_, ino, _)| ino).ok_or(damaged)
    })
}

impl Edit<'_> {
    /// Whether an inode is small enough to go in the transaction that takes its last name.
    pub fn goes_at_once(&self, inode: &Inode) -> bool {
        inode.blocks() <= SMALL_BLOCKS
    }

    /// Takes along a few of the orphans that wait.
    pub fn reclaim_some_pending(&mut self) -> Result<()> {
        for ino in self.fs.pending().take(PENDING_PER_EDIT) {
            match self.inode(ino) {
                Ok(inode) if !self.goes_at_once(&inode) => self.fs.pending().add(ino),
                _ => self.reclaim_orphan(ino)?,
            }
        }
        Ok(())
    }

    /// Reclaims an orphan, if it still is one.
    fn reclaim_orphan(&mut self, ino: Ino) -> Result<()> {
        match self.inode(ino) {
            Ok(inode) if inode.attr.nlink == 0 => self.reclaim(&inode),
            Ok(_) => Ok(()),
            Err(Error::NoInode { .. }) => Ok(self.txn.delete(&key::of(key::ORPHAN, ino))?),
            Err(error) => Err(error),
        }
    }

    /// Removes everything that belongs to an inode.
    pub fn reclaim(&mut self, inode: &Inode) -> Result<()> {
        let ino = inode.attr.ino;
        self.erase(ino)?;
        self.txn.delete(&key::of(key::ORPHAN, ino))?;
        if inode.attr.kind == Kind::File && inode.blocks() > 0 {
            self.txn.unmap(&key::of(key::DATA, ino), 0, u64::MAX)?;
        }
        if inode.attr.kind == Kind::Symlink {
            crate::blob::delete(&mut self.txn, &key::of(key::TARGET, ino))?;
        }
        crate::blob::delete(&mut self.txn, &key::of(key::XATTR, ino))
    }
}
