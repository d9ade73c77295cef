//! Commands that fork, seal and compare branches, with what their mounts still keep.

use std::time::Duration;

use crate::client::Client;
use crate::commands::flush::flush;
use crate::machine::in_use;
use crate::protocol::branches::{BranchRow, Created, Fork, List, Root, Snapshot};
use crate::protocol::changes::{Change, Diff};
use crate::protocol::mounts::{ListMounts, MountedBranch};
use crate::protocol::time::micros;
use crate::protocol::{Hint, Result};

/// What [`fork`] makes.
#[derive(Clone, Debug)]
pub struct NewBranches {
    /// The name, or with a count the stem of the names.
    pub new: String,
    /// The branch to fork; the only one without a parent if absent.
    pub from: Option<String>,
    /// As in [`Fork::count`].
    pub count: Option<u32>,
    /// Seconds until it may be deleted.
    pub ttl_s: Option<u64>,
    /// Whether a mount of `from` hands over its writes first.
    pub flush: bool,
}

/// Forks a branch, with what its mount still keeps unless `flush` is off.
///
/// # Errors
/// `branch-not-found`, `branch-exists`, `name-invalid`, and those of a flush.
pub fn fork(client: &Client, branches: NewBranches) -> Result<Vec<Created>> {
    let NewBranches { new, from, count, ttl_s, flush: flushes } = branches;
    let mut access = client.reach()?;
    let from = match from {
        Some(from) => from,
        None => access.ask(Root)?,
    };
    let flushed = match flushes {
        true => flush(&mut access, &from).map_err(|error| error.hint(Hint::ForkWithoutFlush))?,
        false => Duration::ZERO,
    };
    let mut created = access.ask(Fork { new, from, count, ttl_s })?;
    created.iter_mut().for_each(|one| one.flush_us = micros(flushed));
    access.leave()?;
    Ok(created)
}

/// Seals what `from` holds, with what its mount still keeps.
///
/// # Errors
/// As [`fork`].
pub fn snapshot(client: &Client, from: &str, new: &str) -> Result<Created> {
    let mut access = client.reach()?;
    let flushed = flush(&mut access, from)?;
    let created = access.ask(Snapshot { from: from.into(), new: new.into() })?;
    access.leave()?;
    Ok(Created { flush_us: micros(flushed), ..created })
}

/// Every branch; of a mount that is off its directory, what keeps it.
///
/// # Errors
/// Those of reaching the store and of reading it.
pub fn list(client: &Client) -> Result<Vec<BranchRow>> {
    let mut rows = client.ask(List)?;
    if rows.iter().all(|row| row.mounted_at.is_none()) {
        return Ok(rows);
    }
    let mut access = client.reach_to_read()?;
    let mounts = access.ask(ListMounts)?;
    access.leave()?;
    for MountedBranch { branch, mount } in mounts {
        if mount.private_to.is_some() || !in_use::places(&mount).is_empty() {
            continue;
        }
        if let Some(row) = rows.iter_mut().find(|row| row.name == branch) {
            row.taken_off = row.mounted_at.take();
            row.kept_by = Some(in_use::look_at(&mount).words());
        }
    }
    Ok(rows)
}

/// Compares, with what the mounts of both sides still keep.
///
/// # Errors
/// `branch-not-found`; `unsupported` for a branch that has no fork point to be compared with.
pub fn diff(client: &Client, name: &str, other: Option<&str>) -> Result<Vec<Change>> {
    let mut access = client.reach_to_read()?;
    for side in [Some(name), other].into_iter().flatten() {
        flush(&mut access, side)?;
    }
    let (name, other) = (name.to_owned(), other.map(str::to_owned));
    let changes = access.ask(Diff { name, other, paths: Vec::new() })?;
    access.leave()?;
    Ok(changes)
}
