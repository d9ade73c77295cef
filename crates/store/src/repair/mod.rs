//! Copying what is whole in a damaged store into a new one, and saying what was lost.
//!
//! The damaged store is only read. Its journal is brought in first, over it in memory; where that
//! fails, the last checkpoint counts, and the report says so. Then each branch is copied, entry by
//! entry, past damaged nodes and blocks: as a fork of a branch that was copied before where it was
//! one, so that what they share is copied once. A branch's fork point in the new store is the state
//! of the branch that its copy was forked from.

mod copy;
mod report;
mod salvage;

pub use report::{Loss, RepairReport};

use crate::branch::Branch;
use crate::device::{Device, FileDevice, Overlay};
use crate::error::{Error, Result};
use crate::format::catalog::{BranchMeta, PREFIX_BRANCH, decode_branch, key_number};
use crate::format::ids::BranchId;
use crate::options::Options;
use crate::recover::valid_superblocks;
use crate::store::{Store, open_error};
use crate::sync::write;
use crate::tree::{Link, Nodes, Root};
use copy::Copier;
use salvage::Salvage;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// A repair of which the copying is done: what the branches of the new store hold can still be
/// changed, before they become what they were, snapshots as well.
///
/// The new store is removed unless the repair is finished.
pub struct Repair {
    target: Store,
    /// The file of the new store, until it is complete.
    unfinished: Option<PathBuf>,
    copied: Vec<(BranchMeta, Branch)>,
    report: RepairReport,
}

impl Repair {
    /// Copies what is whole in the store at `from`, of the branches with the names that are
    /// `wanted`, into a new store at `to`. The one is read and never written, and no process writes
    /// it meanwhile.
    ///
    /// # Errors
    /// As [`repair`].
    pub fn begin(
        from: &Path,
        to: &Path,
        options: &Options,
        wanted: impl Fn(&str) -> bool,
    ) -> Result<Repair> {
        let source = FileDevice::open_read_only(from, options.direct);
        let source = source.map_err(|e| open_error(from, e))?;
        let target = Store::create(to, options)?;
        let mut repair = Repair::of(target);
        repair.unfinished = Some(to.into());
        repair.copy(Arc::new(source), wanted)?;
        Ok(repair)
    }

    /// As [`Repair::begin`], from a device into an empty store.
    ///
    /// # Errors
    /// As [`repair`].
    pub fn onto(source: Arc<dyn Device>, target: &Store) -> Result<Repair> {
        let mut repair = Repair::of(target.clone());
        repair.copy(source, |_| true)?;
        Ok(repair)
    }

    fn of(target: Store) -> Repair {
        let (copied, report) = (Vec::new(), RepairReport::default());
        Repair { target, unfinished: None, copied, report }
    }

    fn copy(&mut self, source: Arc<dyn Device>, wanted: impl Fn(&str) -> bool) -> Result<()> {
        let mut report = RepairReport::default();
        let device = with_journal(&source, &mut report)?;
        let nodes = Nodes::new(Arc::clone(&device), 16 << 20);
        let branches = branches(&nodes, &*device, &mut report)?;
        let mut copier = Copier::new(&nodes, &*device, &self.target, report);
        for (id, meta, root) in branches.into_iter().filter(|(_, meta, _)| wanted(&meta.name)) {
            copier.branch(id, meta, root)?;
        }
        self.copied = copier.copied.into_iter().map(|one| (one.meta, one.branch)).collect();
        self.report = copier.report;
        Ok(())
    }

    /// The branches of the new store, none of them sealed yet.
    pub fn branches(&self) -> impl Iterator<Item = &Branch> {
        self.copied.iter().map(|(_, branch)| branch)
    }

    /// What could not be copied.
    pub fn lost(&self) -> &[Loss] {
        &self.report.lost
    }

    /// Seals what was sealed, makes all durable and closes the new store.
    ///
    /// # Errors
    /// Those of writing the new store.
    pub fn finish(mut self) -> Result<RepairReport> {
        for (meta, branch) in self.copied.drain(..) {
            let mut state = write(&branch.inner.state);
            state.meta.sealed = meta.sealed;
            state.meta.created = meta.created;
            state.meta.expires = meta.expires;
            branch.inner.dirty.store(true, Ordering::Release);
        }
        // Nothing but the checkpoint records this: no journal can bring it back.
        self.target.checkpoint()?;
        self.unfinished = None;
        Ok(std::mem::take(&mut self.report))
    }
}

impl Drop for Repair {
    fn drop(&mut self) {
        if let Some(path) = self.unfinished.take() {
            // The error that matters is the one that left it unfinished.
            let _ = std::fs::remove_file(path);
        }
    }
}

/// Copies what is whole in the store at `from` into a new store at `to`.
///
/// # Errors
/// Of the damaged store: [`Error::StoreNotFound`], [`Error::Locked`] while a process writes it,
/// [`Error::NotAStore`], [`Error::Version`], and [`Error::Damaged`] where not even one superblock
/// is left. Of the new one: those of [`Store::create`], and of writing into it; it is removed then.
pub fn repair(from: &Path, to: &Path, options: &Options) -> Result<RepairReport> {
    Repair::begin(from, to, options, |_| true)?.finish()
}

/// Copies what is whole in the store on a device into an empty store, and makes it durable.
///
/// # Errors
/// As [`repair`].
pub fn repair_onto(source: Arc<dyn Device>, target: &Store) -> Result<RepairReport> {
    Repair::onto(source, target)?.finish()
}

/// The source with its journal brought in, in memory; or as it is, where that fails.
fn with_journal(source: &Arc<dyn Device>, report: &mut RepairReport) -> Result<Arc<dyn Device>> {
    let overlay = || -> Result<Arc<dyn Device>> {
        let over = Overlay::over(Arc::clone(source));
        Ok(Arc::new(over.map_err(|e| Error::io("measuring the store", e))?))
    };
    let options = Options { background: false, ..Options::default() };
    let device = overlay()?;
    let opened = Store::open_on(Arc::clone(&device), &options);
    match opened.and_then(|store| store.checkpoint()) {
        Ok(()) => Ok(device),
        Err(error @ (Error::NotAStore { .. } | Error::Version { .. })) => Err(error),
        Err(error) => {
            let what = format!("what was committed since the last checkpoint is lost: {error}");
            report.lose(what, "journal");
            overlay()
        }
    }
}

/// The branches that can be found, oldest first.
fn branches(
    nodes: &Nodes,
    device: &dyn Device,
    report: &mut RepairReport,
) -> Result<Vec<(BranchId, BranchMeta, Root)>> {
    let mut found = Vec::new();
    for superblock in valid_superblocks(device)? {
        let Some((ptr, level)) = superblock.system else { continue };
        let root = Root { link: Link::Disk(ptr), level, entries: 0, bytes: 0 };
        let mut salvage = Salvage::of(nodes, &root);
        for (key, value) in salvage.by_ref().filter(|(key, _)| key.first() == Some(&PREFIX_BRANCH))
        {
            match (key_number(&key), decode_branch(&value)) {
                (Ok(id), Ok((meta, root))) => {
                    found.push((BranchId(id), meta, Root::on_disk(&root)))
                }
                (_, Err(m)) | (Err(m), _) => report.lose(m.0, "the list of branches"),
            }
        }
        for lost in &salvage.lost {
            let what = format!("branches may be missing: {}", lost.why);
            report.lose(what, "the list of branches");
        }
        if !found.is_empty() || salvage.lost.is_empty() {
            return Ok(found);
        }
        report.lose("the checkpoint before the last one is used", "superblock");
    }
    Ok(found)
}
