//! Copying what is whole in a damaged store into a new one, and saying what was lost.
//!
//! The damaged store is only read. Its journal is brought in first, over it in memory; where that fails, the last
//! checkpoint counts, and the report says so. Then each branch is copied, entry by entry, past damaged nodes and
//! blocks: as a fork of a branch that was copied before where it was one, so that what they share is copied once. A
//! branch's fork point in the new store is the state of the branch that its copy was forked from.

mod copy;
mod salvage;

use crate::check::{Finding, Severity};
use crate::device::{Device, FileDevice, Overlay};
use crate::error::{Error, Result};
use crate::format::catalog::{BranchMeta, PREFIX_BRANCH, decode_branch, key_number};
use crate::options::Options;
use crate::recover::valid_superblocks;
use crate::store::{Store, open_error};
use crate::tree::{Link, Nodes, Root};
use copy::Copier;
use salvage::Salvage;
use std::path::Path;
use std::sync::Arc;

/// Findings of a report at most: a store full of damage is as damaged with a thousand as with a million.
const FINDINGS_MAX: usize = 1000;

/// What a repair copied, and what it could not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RepairReport {
    /// What was lost; empty when everything was copied.
    pub lost: Vec<Finding>,
    /// Branches and snapshots in the new store.
    pub branches: u64,
    /// Entries copied; those that a branch shares with the one it was forked from count once.
    pub entries: u64,
    /// Blocks of data copied, counted likewise.
    pub blocks: u64,
}

impl RepairReport {
    fn lose(&mut self, what: impl Into<String>, place: impl Into<String>) {
        if self.lost.len() < FINDINGS_MAX {
            let (what, place) = (what.into(), place.into());
            self.lost.push(Finding { severity: Severity::Error, what, place });
        }
    }
}

/// Copies what is whole in the store at `from` into a new store at `to`.
///
/// # Errors
/// Of the damaged store: [`Error::StoreNotFound`], [`Error::Locked`], [`Error::NotAStore`], [`Error::Version`], and
/// [`Error::Damaged`] where not even one superblock is left. Of the new one: those of [`Store::create`], and of
/// writing into it; it is removed then.
pub fn repair(from: &Path, to: &Path, options: &Options) -> Result<RepairReport> {
    let source = FileDevice::open(from, options.direct).map_err(|e| open_error(from, e))?;
    let target = Store::create(to, options)?;
    let repaired =
        repair_onto(Arc::new(source), &target).and_then(|report| target.close().map(|()| report));
    if repaired.is_err() {
        // The error that matters is the one above.
        let _ = std::fs::remove_file(to);
    }
    repaired
}

/// Copies what is whole in the store on a device into an empty store, and makes it durable.
///
/// # Errors
/// As [`repair`].
pub fn repair_onto(source: Arc<dyn Device>, target: &Store) -> Result<RepairReport> {
    let mut report = RepairReport::default();
    let device = with_journal(&source, &mut report)?;
    let nodes = Nodes::new(Arc::clone(&device), 16 << 20);
    let branches = branches(&nodes, &*device, &mut report)?;
    let mut copier = Copier::new(&nodes, &*device, target, report);
    for (id, meta, root) in branches {
        copier.branch(id, meta, root)?;
    }
    target.checkpoint()?;
    Ok(copier.report)
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
) -> Result<Vec<(u64, BranchMeta, Root)>> {
    let mut found = Vec::new();
    for superblock in valid_superblocks(device)? {
        let Some((ptr, level)) = superblock.system else { continue };
        let root = Root { link: Link::Disk(ptr), level, entries: 0, bytes: 0 };
        let mut salvage = Salvage::of(nodes, &root);
        for (key, value) in salvage.by_ref().filter(|(key, _)| key.first() == Some(&PREFIX_BRANCH))
        {
            match (key_number(&key), decode_branch(&value)) {
                (Ok(id), Ok((meta, root))) => found.push((id, meta, Root::on_disk(&root))),
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
