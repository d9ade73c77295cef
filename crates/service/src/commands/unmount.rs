//! Taking mounts off: as the system does it, so that nothing in use is lost, or by force.
//!
//! The mount of a branch is the connection of a process that serves it, and one place or many where
//! the kernel shows it. Without force the place goes where nothing uses it; what else keeps the
//! connection is named in the error. With force the connection ends, wherever the mount is shown,
//! after the kernel has handed over what it keeps.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use tine_sys::fuse_device;

use crate::client::{Access, Client, Connection};
use crate::commands::flush::flush_at;
use crate::commands::inspect::find_mount;
use crate::machine::busy;
use crate::machine::{cleanup, in_use, mount_table};
use crate::protocol::mounts::{Abort, AwaitDetached, Identify, ListMounts, Mount, MountedBranch};
use crate::protocol::{Code, Error, Hint, Result, Wanted};

/// How long a mount may take to hand over its last data.
const DETACH: Duration = Duration::from_secs(60);
/// How long after an unmount something may keep the mount that is about to end.
const GRACE: Duration = Duration::from_secs(2);
/// How many links the kernel follows in one path (path_resolution(7)).
const LINKS_MAX: usize = 40;
/// How long the holder is asked to wait at a time.
const WAIT_MS: u64 = 100;

/// Takes the mount of the branch `name` off its directory. With `force`, although it is in use, and
/// everywhere: programs that work in it get errors from then on.
///
/// # Errors
/// `not-mounted`; `branch-busy` while a program uses it, or a copy of it in another mount
/// namespace. With `force`, `no-space` or `io` when the last writes could not be stored; it is off
/// nevertheless.
pub fn unmount(client: &Client, name: &str, force: bool) -> Result<()> {
    unmount_where(client, name, force, |_| true)
}

fn unmount_where(
    client: &Client,
    name: &str,
    force: bool,
    wanted: impl Fn(&Mount) -> bool,
) -> Result<()> {
    // On a store that can only be read nothing is mounted, and that is the error to tell.
    let mut access = client.reach_to_read()?;
    let mount = match &mut access {
        Access::Local(_) => None,
        // Nothing of the branch is read: what is damaged in it keeps no mount.
        Access::Remote(holder) => find_mount(holder, name)?.filter(wanted),
    };
    if mount.is_none() {
        access.ask(Identify { name: name.into() })?;
    }
    match (mount, &mut access) {
        (Some(mount), Access::Remote(holder)) if force => end(holder, name, &mount),
        (Some(mount), Access::Remote(holder)) => take_off(holder, name, &mount),
        _ => {
            access.leave()?;
            let what = format!("branch {name} is not mounted");
            Err(Error::new(Code::NotMounted, what).hint(Hint::ListMounts))
        }
    }
}

/// The same for a branch, or a directory on which one is mounted. A branch of the name comes first;
/// the directory may be that of a branch of another store. Returns the name of the branch.
///
/// # Errors
/// As [`unmount`].
pub fn unmount_any(client: &Client, name_or_directory: &Path, force: bool) -> Result<String> {
    // Before anything else, since other commands take dead mounts off.
    let place = place(name_or_directory);
    let entries = mount_table::ours();
    let entries = entries.map_err(|why| Error::io("cannot read the table of mounts", why))?;
    // The last one is on top.
    let entry = entries.into_iter().rfind(|entry| Some(&entry.directory) == place.as_ref());
    let by_name = match name_or_directory.to_str() {
        Some(name) => unmount(client, name, force).map(|()| name.to_owned()),
        None => Err(Error::new(Code::NameInvalid, "no branch has such a name")),
    };
    let is_unknown = |error: &Error| {
        matches!(error.code, Code::BranchNotFound | Code::NameInvalid | Code::StoreNotFound)
    };
    match (by_name, entry) {
        (Err(error), Some(entry)) if is_unknown(&error) => unmount_entry(client, &entry, force),
        (Err(error), None) if is_unknown(&error) && name_or_directory.is_dir() => {
            // It may be off that directory and kept elsewhere.
            if let Some(branch) = place.and_then(|place| listed_at(client, &place)) {
                return unmount(client, &branch, force).map(|()| branch);
            }
            let what = format!("no branch is mounted at {}", name_or_directory.display());
            Err(Error::new(Code::NotMounted, what).hint(Hint::ListMounts))
        }
        (done, _) => done,
    }
}

/// The branch that is listed as mounted at a directory.
fn listed_at(client: &Client, directory: &Path) -> Option<String> {
    // The error to tell is that nothing is there.
    let mounts = client.reach_to_read().and_then(|mut access| access.ask(ListMounts)).ok()?;
    let is_it =
        |row: &MountedBranch| row.mount.private_to.is_none() && row.mount.directory == directory;
    mounts.into_iter().find(is_it).map(|row| row.branch)
}

fn unmount_entry(client: &Client, entry: &mount_table::Entry, force: bool) -> Result<String> {
    let done = || Ok(entry.branch.clone());
    cleanup::detach_one(&entry.directory);
    if mount_table::ours().is_ok_and(|entries| !entries.contains(entry)) {
        return done();
    }
    let of_store = client.with_store(&entry.store)?;
    let is_it = |mount: &Mount| mount.device.as_ref() == Some(&entry.device);
    match unmount_where(&of_store, &entry.branch, force, is_it) {
        // The holder of a store that is gone, or that another has replaced, cannot be asked.
        Err(error)
            if matches!(
                error.code,
                Code::StoreNotFound | Code::NotMounted | Code::BranchNotFound
            ) =>
        {
            match force {
                true => fuse_device::unmount(&entry.directory).map_err(failed)?,
                false => fuse_device::unmount_unused(&entry.directory).map_err(failed)?,
            }
            done()
        }
        unmounted => unmounted.map(|()| entry.branch.clone()),
    }
}

/// The absolute path of a directory, or of what a link of the name leads to, found without asking
/// what is mounted there.
fn place(directory: &Path) -> Option<PathBuf> {
    let mut directory = directory.to_owned();
    for _link in 0..LINKS_MAX {
        let absolute = std::path::absolute(&directory).ok()?;
        let (Some(parent), Some(name)) = (absolute.parent(), absolute.file_name()) else {
            return Some(absolute);
        };
        let parent = parent.canonicalize().ok()?;
        let place = parent.join(name);
        match std::fs::read_link(&place) {
            Ok(target) => directory = parent.join(target),
            Err(_) => return Some(place),
        }
    }
    None
}

fn failed(error: tine_sys::Error) -> Error {
    let hint = error.advice().map(str::to_owned);
    let code = match Errno::from_raw_os_error(error.errno()) {
        Errno::BUSY => Code::BranchBusy,
        _ => Code::Io,
    };
    let error = Error::new(code, error.to_string());
    hint.into_iter().fold(error, Error::hint)
}

/// Takes a mount off where nothing works in it, and waits for its end.
fn take_off(holder: &mut Connection, name: &str, mount: &Mount) -> Result<()> {
    let busy = || busy::busy(name, mount, Wanted::Unmounted);
    if mount.private_to.is_some() {
        return Err(busy());
    }
    let stored = if mount.read_only { Ok(()) } else { store_all(holder, name, mount) };
    if in_use::is_in_place(mount) {
        match fuse_device::unmount_unused(&mount.directory) {
            Err(error) if error.errno() == Errno::BUSY.raw_os_error() => return Err(busy()),
            done => done.map_err(failed)?,
        }
    }
    let since = Instant::now();
    while !has_ended(holder, name, mount)? {
        if since.elapsed() < GRACE {
            continue;
        }
        if release(holder, name)? {
            break;
        }
        // What is nowhere to be seen may be the kernel, which still writes.
        if since.elapsed() >= DETACH || !is_unseen(mount) {
            let error = busy();
            if !has_ended(holder, name, mount)? {
                return Err(error);
            }
            break;
        }
    }
    stored.map_err(|error| not_stored(name, error))
}

/// Has the kernel hand over what it keeps of a mount: of what cannot be stored it tells only while
/// the mount is there.
fn store_all(holder: &mut Connection, name: &str, mount: &Mount) -> Result<()> {
    let way = in_use::way_in(mount).unwrap_or_else(|| mount.directory.clone());
    match flush_at(holder, name, &way) {
        // It tells each error once, however old. There may be room by now for all that it still
        // has.
        Err(error) if error.code == Code::NoSpace => flush_at(holder, name, &way),
        flushed => flushed,
    }
}

/// The error of a mount that is off, but whose last writes are lost.
fn not_stored(name: &str, error: Error) -> Error {
    let why = &error.message;
    let what =
        format!("branch {name} is unmounted, but its last writes could not be stored: {why}");
    Error { message: what, ..error }
}

fn is_unseen(mount: &Mount) -> bool {
    mount.device.is_some() && in_use::look_at(mount).is_empty()
}

/// Waits a moment for the end of a mount. Returns `true` if it has ended.
fn has_ended(holder: &mut Connection, name: &str, mount: &Mount) -> Result<bool> {
    if holder.ask(AwaitDetached { name: name.into(), timeout_ms: WAIT_MS })? {
        return Ok(true);
    }
    // Another command may have mounted the branch again.
    let now = find_mount(holder, name)?;
    Ok(now.is_none_or(|now| now.device != mount.device))
}

/// Ends the mount of a branch that is left in nothing but copies which came along as commands were
/// run in other branches, and which nothing uses. Returns `true` if it is not mounted then. Such a
/// copy was not asked for and must keep nothing.
pub(crate) fn release(holder: &mut Connection, name: &str) -> Result<bool> {
    let Some(mount) = find_mount(holder, name)? else { return Ok(true) };
    let out_of_sight = mount.private_to.is_none() && in_use::places(&mount).is_empty();
    if !out_of_sight || !in_use::look_at(&mount).is_unasked_for() {
        return Ok(false);
    }
    end(holder, name, &mount)?;
    Ok(true)
}

/// Ends a mount wherever it is, with all finished writes.
fn end(holder: &mut Connection, name: &str, mount: &Mount) -> Result<()> {
    // Open before it is off its directory, so that there is a way to it afterwards.
    let root = in_use::way_in(mount).and_then(|path| File::open(path).ok());
    match detach(mount) {
        // An ordinary user's command may not take its own branch off. What is left of it is seen in
        // that command's namespace alone, and goes with it.
        Err(_) if mount.private_to.is_some() => {}
        detached => detached?,
    }
    let way = match &root {
        Some(root) => PathBuf::from(format!("/proc/self/fd/{}", root.as_raw_fd())),
        None => mount.directory.clone(),
    };
    let flushed = if mount.read_only { Ok(()) } else { flush_at(holder, name, &way) };
    drop(root);
    let ended = find_mount(holder, name)?.is_none_or(|now| now.device != mount.device);
    if ended {
        return Ok(());
    }
    let aborted = holder.ask(Abort { name: name.into() });
    flushed.and(aborted).map_err(|error| not_stored(name, error))
}

/// Takes a mount off every directory where this process sees it, although it is in use.
pub(crate) fn detach(mount: &Mount) -> Result<()> {
    for place in in_use::places(mount) {
        fuse_device::unmount(&place).map_err(failed)?;
    }
    Ok(())
}
