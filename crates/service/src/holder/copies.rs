//! Copies under a reserved name: a branch is complete when it gets its own, and a copy out is of one moment.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Instant;

use crate::copy::{self, CopyJob};
use crate::holder::context::Context;
use crate::holder::{durable, names};
use crate::protocol::answers::{Exported, Imported};
use crate::protocol::time::elapsed_us;
use crate::protocol::{Progress, Result};

/// Copies the directory `source`, which is at `path`, into the new branch `name`.
pub fn import(
    context: &Context,
    name: &str,
    path: &Path,
    source: OwnedFd,
    progress: &Progress,
) -> Result<Imported> {
    let (store, start) = (&context.store, Instant::now());
    names::must_be_free(store, name)?;
    let hidden = names::reserve(store)?;
    let pace = copy::Pace(&|| !context.is_idle());
    let job = CopyJob { store, branch: &hidden, path, pace, progress };
    let result = copy::import(job, source).and_then(|copied| {
        store.rename(&hidden.name(), name)?;
        Ok(copied)
    });
    let copied = match result {
        Ok(copied) => copied,
        Err(error) => {
            // The first error is the one to tell; what stays is swept by the next command.
            let _ = store.delete(&hidden.name());
            let _ = store.sync();
            return Err(error);
        }
    };
    durable::make(store, format_args!("the branch {name:?} is imported"))?;
    Ok(Imported {
        branch: name.into(),
        files: copied.files,
        directories: copied.directories,
        bytes: copied.bytes,
        elapsed_us: elapsed_us(start),
        outside_links: copied.told.links,
        outside_links_count: copied.told.count,
        warnings: copied.told.warnings,
    })
}

/// Copies one moment of the branch `name` into the empty directory `target`, which is at `path`.
pub fn export(
    context: &Context,
    name: &str,
    path: &Path,
    target: OwnedFd,
    progress: &Progress,
) -> Result<Exported> {
    let (store, start) = (&context.store, Instant::now());
    let fork = names::reserve_fork(store, name)?;
    let pace = copy::Pace(&|| !context.is_idle());
    let job = CopyJob { store, branch: &fork, path, pace, progress };
    let result = copy::export(job, target);
    let deleted = store.delete(&fork.name());
    let copied = result?;
    deleted?;
    let (files, bytes) = (copied.files, copied.bytes);
    Ok(Exported { branch: name.into(), files, bytes, elapsed_us: elapsed_us(start) })
}
