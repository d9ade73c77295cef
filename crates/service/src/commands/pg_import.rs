//! The data of a running PostgreSQL server, taken into a new branch through its base-backup
//! protocol.
//!
//! The branch is mounted for this process alone while it is filled, so that nothing stays behind,
//! however that ends. It gets its name when it is complete.

use std::path::{Path, PathBuf};
use std::time::Instant;

use rustix::mount::UnmountFlags;
use serde::Serialize;
use tine_sys::fuse_device;
use tine_sys::namespace::enter_private_mounts;

use crate::client::{Client, Connection};
use crate::commands::mount;
use crate::machine::{mount_table, runtime};
use crate::postgres::{Backup, Reached, Source};
use crate::protocol::copies::{Publish, Reserve};
use crate::protocol::mounts::{AwaitDetached, Inspect};
use crate::protocol::time::elapsed_us;
use crate::protocol::{Code, Error, Progress, Result};

/// How long the mount may take to hand over the last data.
const DETACH_MS: u64 = 600_000;

/// A server's data in a branch.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ImportedServer {
    /// The new branch.
    pub branch: String,
    /// Bytes that the server sent.
    pub bytes: u64,
    /// How long it took.
    pub elapsed_us: u64,
    /// What may come as a surprise later.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// Copies the server behind `uri` into the new branch `name`. The process must have one thread
/// only; `begin` is called when it may have more.
///
/// # Errors
/// `branch-exists`, `name-invalid`; `not-permitted` when the server refuses the login or
/// replication; `unsupported` for a version that is not installed; `interrupted` once `progress` is
/// cancelled. Then there is no branch.
pub fn import(
    client: &Client,
    uri: &str,
    name: &str,
    progress: &Progress,
    begin: &mut dyn FnMut() -> Result<()>,
) -> Result<ImportedServer> {
    let start = Instant::now();
    // What the caller has for it is read before anything of this process changes.
    let source = Source::of_caller(uri)?;
    let mut holder = client.hold()?;
    let hidden = holder.ask(Reserve { name: name.into() })?;
    // The reservation goes with the connection, so that nothing is made when there is nothing to
    // fill it with.
    let source = source.reach()?;
    let place = place(client, &mut holder, &hidden)?;
    let directory = runtime::mount_in(&place);
    runtime::make(&directory)?;
    let result = enter_and_fill(client, &mut holder, &hidden, &directory, &source, progress, begin);
    if result.is_err() {
        // It is not there if it failed before it was made; otherwise the directory is not free yet.
        let _ = fuse_device::unmount(&directory);
    }
    let _ = std::fs::remove_dir(&directory);
    let _ = std::fs::remove_dir(&place);
    let _ = place.parent().map(std::fs::remove_dir);
    let Backup { bytes, warnings, .. } = result?;
    holder.ask(Publish { hidden, name: name.into() })?;
    let elapsed_us = elapsed_us(start);
    Ok(ImportedServer { branch: name.into(), bytes, elapsed_us, warnings })
}

/// Takes the copies of other branches' mounts out of this process's own table: they would keep
/// these branches in use for as long as the copy takes.
fn leave_other_mounts() {
    for mount in mount_table::ours().unwrap_or_default() {
        // As an ordinary user it cannot be done; then the system does it as they are unmounted.
        let _ = rustix::mount::unmount(&mount.directory, UnmountFlags::DETACH);
    }
}

fn place(client: &Client, holder: &mut Connection, hidden: &str) -> Result<PathBuf> {
    let inspected = holder.ask(Inspect { name: hidden.into() })?;
    runtime::of_branch(client.store(), inspected.id)
}

fn enter_and_fill(
    client: &Client,
    holder: &mut Connection,
    hidden: &str,
    directory: &Path,
    source: &Reached,
    progress: &Progress,
    begin: &mut dyn FnMut() -> Result<()>,
) -> Result<Backup> {
    let ids = enter_private_mounts().map_err(mount::not_permitted)?;
    leave_other_mounts();
    let mount = mount::Here { directory, read_only: false, run: None };
    mount::mount_here(client, holder, hidden, mount, ids)?;
    begin()?;
    let backup = source.copy_into(directory, progress)?;
    progress.go_on()?;
    rustix::mount::unmount(directory, UnmountFlags::empty())
        .map_err(|error| Error::path("unmount", directory, error))?;
    match holder.ask(AwaitDetached { name: hidden.into(), timeout_ms: DETACH_MS })? {
        true => Ok(backup),
        false => Err(Error::new(Code::BranchBusy, format!("branch {hidden} is still mounted"))),
    }
}
