//! Commands that fork, seal and compare branches, with what their mounts still keep.

use std::time::Duration;

use crate::client::Client;
use crate::commands::flush::flush;
use crate::protocol::branches::{Created, Fork, Root, Snapshot};
use crate::protocol::changes::{Change, Diff};
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

/// Compares, with what the mounts of both sides still keep.
///
/// # Errors
/// `branch-not-found`; `unsupported` for a branch that has no fork point to be compared with.
pub fn diff(client: &Client, name: &str, other: Option<&str>) -> Result<Vec<Change>> {
    let mut access = client.reach_to_read()?;
    for side in [Some(name), other].into_iter().flatten() {
        flush(&mut access, side)?;
    }
    let changes = access.ask(Diff { name: name.into(), other: other.map(str::to_owned) })?;
    access.leave()?;
    Ok(changes)
}
