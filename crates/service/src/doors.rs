//! Commands that touch a mount: making one, taking one off, and handing over what it still keeps.
//!
//! All of it happens in the command's process. The holder serves the mounts, so it must never wait for one.

use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::mount::UnmountFlags;
use tine_fuse::MountOptions;
use tine_sys::fuse_device;
use tine_sys::ids::{IdMap, Ids};

use crate::client::Reach;
use crate::request::{Mount, Request};
use crate::response::{Inspected, OneBranch, Response};
use crate::time::micros;
use crate::{Client, Code, Connection, Error, Result, flush, mount_table, runtime, servers};

/// How long a mount may take to hand over its last data.
const DETACH_MS: u64 = 60_000;

/// The most files that the holder is told one by one to have written back.
const FILES_NAMED_MAX: usize = 100_000;

/// How to mount.
#[derive(Clone, Copy, Debug, Default)]
pub struct How {
    /// Refuse writes; a snapshot is always mounted so.
    pub read_only: bool,
    /// Let other users in.
    pub allow_other: bool,
    /// Heed set-id bits and file capabilities; only root may ask for it.
    pub suid: bool,
    /// Heed device nodes; only root may ask for it.
    pub dev: bool,
}

/// Mounts the branch `name` on `directory`.
///
/// # Errors
/// `branch-busy` when it is mounted already, `not-permitted` and `unsupported` where FUSE is not to be had.
pub fn mount(client: &Client, name: &str, directory: &Path, how: How) -> Result<Response> {
    // First, because it may be a holder's death that left the directory in its way.
    let mut holder = client.hold()?;
    let directory = mount_point(directory)?;
    let inspected = inspect(&mut holder, name)?;
    let read_only = how.read_only || inspected.sealed;
    let mut options = MountOptions::new(mount_table::source(client.store(), name));
    options.read_only = read_only;
    options.ids = IdMap::of_this_process();
    (options.suid, options.dev) = (how.suid, how.dev);
    options.allow_other |= how.allow_other;
    let mount = Mount { directory: directory.clone(), private_to: None, read_only };
    let attached = attach(&mut holder, name, mount, &options);
    // The first look completes the mount, and tells whether it answers.
    let looked = attached.and_then(|response| match fs::metadata(&directory) {
        Ok(_) => Ok(response),
        Err(error) => Err(Error::path("enter", &directory, error)),
    });
    if looked.is_err() {
        // The error to tell is why it failed; an empty mount must not stay in the way.
        let _ = fuse_device::unmount(&directory);
    }
    looked
}

/// Mounts a branch where only this process sees it, in a namespace whose users are called outside as `ids` says.
pub(crate) fn mount_here(
    client: &Client,
    holder: &mut Connection,
    name: &str,
    mount: Mount,
    ids: IdMap,
) -> Result<Response> {
    let mut options = MountOptions::new(mount_table::source(client.store(), name));
    options.read_only = mount.read_only;
    options.ids = ids;
    attach(holder, name, mount, &options)
}

/// Mounts, and hands the device to the holder.
fn attach(
    holder: &mut Connection,
    name: &str,
    mount: Mount,
    options: &MountOptions,
) -> Result<Response> {
    let device = tine_fuse::mount_at(&mount.directory, options).map_err(not_mounted)?;
    let ranges = |ids: &Ids| -> Vec<_> {
        ids.ranges().iter().map(|range| (range.inside, range.outside, range.count)).collect()
    };
    let (users, groups) = (ranges(&options.ids.users), ranges(&options.ids.groups));
    let attach = Request::Attach { name: name.into(), mount, users, groups };
    holder.call_with(attach, &[device.as_fd()], &mut |_| {})
}

/// The error of a namespace that the system does not let this user make.
pub(crate) fn not_permitted(error: tine_sys::Error) -> Error {
    let hint = error.advice().map(str::to_owned);
    let error = Error::new(Code::NotPermitted, error.to_string());
    hint.into_iter().fold(error, Error::hint)
}

/// What is known of a branch that is not in use.
pub(crate) fn inspect(holder: &mut Connection, name: &str) -> Result<Inspected> {
    match holder.call(Request::Inspect { name: name.into() })? {
        Response::Inspected(inspected) => match &inspected.mount {
            None => Ok(inspected),
            Some(mount) => Err(busy(name, mount)),
        },
        _ => Err(unexpected()),
    }
}

fn busy(name: &str, mount: &Mount) -> Error {
    let what = format!("branch {name} is in use at {}", mount.directory.display());
    Error::new(Code::BranchBusy, what)
        .hint(format!("make a branch of it: `tine branch NEW --from {name}`"))
}

/// The error of tine-fuse as the contract has it.
fn not_mounted(error: tine_fuse::Error) -> Error {
    let hint = error.advice().map(str::to_owned);
    let code = match &error {
        tine_fuse::Error::System(system) => match Errno::from_raw_os_error(system.errno()) {
            Errno::PERM | Errno::ACCESS => Code::NotPermitted,
            _ => Code::Unsupported,
        },
        _ => Code::Unsupported,
    };
    let error = Error::new(code, error.to_string());
    match hint {
        Some(hint) => error.hint(hint),
        None => error,
    }
}

/// The absolute path of a directory that can be mounted on.
fn mount_point(directory: &Path) -> Result<std::path::PathBuf> {
    let what = |why: &str| {
        let what = format!("cannot mount on {}: {why}", directory.display());
        Error::new(Code::Io, what)
    };
    let path = fs::canonicalize(directory).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => {
            what("there is no such directory").hint("make it first: `mkdir -p`")
        }
        _ => Error::path("mount on", directory, error),
    })?;
    let mut entries = fs::read_dir(&path).map_err(|error| match error.kind() {
        io::ErrorKind::NotADirectory => what("it is not a directory").hint("name a directory"),
        _ => Error::path("mount on", directory, error),
    })?;
    match entries.next() {
        None => Ok(path),
        Some(_) => Err(what("it is not empty, and the mount would hide what is in it")
            .hint("name an empty directory")),
    }
}

/// Takes the mount of the branch `name` off its directory; with `force`, although it is in use.
///
/// # Errors
/// `not-mounted`, or `branch-busy` while a program uses it.
pub fn unmount(client: &Client, name: &str, force: bool) -> Result<Response> {
    let mut reach = client.reach()?;
    reach.call(Request::Usage { name: Some(name.into()) })?;
    let Some(mount) = find(&mut reach, name)? else {
        reach.leave()?;
        let what = format!("branch {name} is not mounted");
        return Err(Error::new(Code::NotMounted, what).hint("`tine list` shows what is"));
    };
    detach(&mount, name, force)?;
    let name = name.to_owned();
    reach.call(Request::AwaitDetached { name: name.clone(), timeout_ms: DETACH_MS })?;
    Ok(Response::Branch(OneBranch { branch: name }))
}

/// Where a branch is mounted.
pub(crate) fn find(reach: &mut Reach, name: &str) -> Result<Option<Mount>> {
    // In this process nothing is mounted.
    let Reach::There(holder) = reach else { return Ok(None) };
    match holder.call(Request::Mounts)? {
        Response::Mounts(mounts) => {
            Ok(mounts.into_iter().find(|(branch, _)| branch == name).map(|(_, mount)| mount))
        }
        _ => Err(unexpected()),
    }
}

fn detach(mount: &Mount, name: &str, force: bool) -> Result<()> {
    if let Some(pid) = mount.private_to {
        let what = format!("branch {name} is in use by a command (process {pid}) alone");
        return Err(Error::new(Code::BranchBusy, what)
            .hint("its mount ends with that command: wait for it, or end it"));
    }
    let directory = &mount.directory;
    let failed = |error: tine_sys::Error| {
        let hint = error.advice().map(str::to_owned);
        let error = Error::new(Code::Io, error.to_string());
        hint.into_iter().fold(error, Error::hint)
    };
    if force {
        return fuse_device::unmount(directory).map_err(failed);
    }
    match rustix::mount::unmount(directory, UnmountFlags::NOFOLLOW) {
        Ok(()) => Ok(()),
        Err(Errno::BUSY) if runtime::is_for_a_server(directory) => Err(runtime::serving(name)),
        Err(Errno::BUSY) => {
            let what = format!("branch {name} is in use at {}", directory.display());
            Err(Error::new(Code::BranchBusy, what)
                .hint("leave that directory and end the programs that use it (`fuser -vm` names them), or add --force"))
        }
        // An ordinary user goes through the helper, which only detaches.
        Err(Errno::PERM) => fuse_device::unmount(directory).map_err(failed),
        Err(error) => Err(Error::path("unmount", directory, error)),
    }
}

/// Takes the mounts of branches that are about to change under them off their directories.
///
/// # Errors
/// When a mount cannot be taken off.
pub fn detach_by_force(client: &Client, names: &[String]) -> Result<()> {
    for name in names {
        servers::stop_if_running(client, name)?;
    }
    let mut reach = client.reach()?;
    for name in names {
        if let Some(mount) = find(&mut reach, name)?
            && mount.private_to.is_none()
        {
            let taken_off = fuse_device::unmount_by_force(&mount.directory);
            taken_off.map_err(|error| Error::new(Code::Io, error.to_string()))?;
        }
    }
    reach.leave()
}

/// Makes the mount of a branch hand over every write that has finished; returns how long it took.
///
/// # Errors
/// When the mount does not take its data back, as on a full disk.
pub fn flush(reach: &mut Reach, name: &str) -> Result<Duration> {
    let Some(mount) = find(reach, name)? else { return Ok(Duration::ZERO) };
    if mount.read_only {
        return Ok(Duration::ZERO);
    }
    let start = Instant::now();
    let path = mount.reachable_path();
    // Of a page that could not be written back the kernel tells whoever asks first, however long ago it was; it has forgotten
    // the page since. What counts is whether all that it still has can be written.
    let flushed = flush_through(reach, name, &path);
    match flushed.or_else(|_| flush_through(reach, name, &path)) {
        Ok(()) => Ok(start.elapsed()),
        // It ended between the question and the flush, and handed over everything as it did.
        Err(_) if find(reach, name)?.is_none() => Ok(start.elapsed()),
        Err(error) => Err(error.hint("--no-flush takes what has been handed over so far")),
    }
}

fn flush_through(reach: &mut Reach, name: &str, path: &Path) -> Result<()> {
    let Response::Kept(kept) = reach.call(Request::Kept { name: name.into() })? else {
        return Err(unexpected());
    };
    let left = flush::flush(path, &kept)?;
    // A visitor has to be asked for, too, when nothing was left: it may have seen another mount.
    let (name, visitor) = (name.to_owned(), kept.visitor);
    let files = (left.len() <= FILES_NAMED_MAX).then_some(left);
    reach.call(Request::WriteBack { name, visitor, files }).map(drop)
}

/// Forks `from`, with what its mount still keeps unless `flush` is off.
///
/// # Errors
/// `branch-not-found`, `branch-exists`, `name-invalid`, and those of [`flush`].
pub fn branch(client: &Client, fork: Fork) -> Result<Response> {
    let mut reach = client.reach()?;
    let from = match fork.from {
        Some(from) => from,
        None => match reach.call(Request::Root)? {
            Response::Branch(OneBranch { branch }) => branch,
            _ => return Err(unexpected()),
        },
    };
    let flushed = if fork.flush { flush(&mut reach, &from)? } else { Duration::ZERO };
    let request = Request::Branch { new: fork.new, from, count: fork.count, ttl_s: fork.ttl_s };
    finish_created(reach, request, flushed)
}

/// What [`branch`] makes.
#[derive(Clone, Debug)]
pub struct Fork {
    /// The name, or the stem of the names.
    pub new: String,
    /// The branch to fork; the only one without a parent if absent.
    pub from: Option<String>,
    /// How many.
    pub count: Option<u32>,
    /// Seconds until it may be deleted.
    pub ttl_s: Option<u64>,
    /// Whether a mount of `from` hands over its writes first.
    pub flush: bool,
}

/// Seals what `from` holds, with what its mount still keeps.
///
/// # Errors
/// As [`branch`].
pub fn snapshot(client: &Client, from: &str, new: &str) -> Result<Response> {
    let mut reach = client.reach()?;
    let flushed = flush(&mut reach, from)?;
    let request = Request::Snapshot { from: from.into(), new: new.into() };
    finish_created(reach, request, flushed)
}

/// Puts a branch back to its fork point, or to what `to` holds, with what the mount of that still keeps.
///
/// # Errors
/// `branch-not-found`; `branch-busy` for one that is mounted, unless by force; those of [`flush`].
pub fn reset(client: &Client, name: String, to: Option<String>, force: bool) -> Result<Response> {
    if force {
        detach_by_force(client, std::slice::from_ref(&name))?;
    }
    let mut reach = client.reach()?;
    if let Some(to) = &to {
        flush(&mut reach, to)?;
    }
    let response = reach.call(Request::Reset { name, to, force })?;
    reach.leave()?;
    Ok(response)
}

fn finish_created(mut reach: Reach, request: Request, flushed: Duration) -> Result<Response> {
    let mut response = reach.call(request)?;
    if let Response::Created(list) = &mut response {
        list.created.iter_mut().for_each(|one| one.flush_us = micros(flushed));
    }
    reach.leave()?;
    Ok(response)
}

/// Compares, with what the mounts of both sides still keep.
///
/// # Errors
/// `branch-not-found`; `unsupported` for a branch that has no fork point to be compared with.
pub fn diff(client: &Client, name: &str, other: Option<&str>) -> Result<Response> {
    let mut reach = client.reach_to_read()?;
    for side in [Some(name), other].into_iter().flatten() {
        flush(&mut reach, side)?;
    }
    let response =
        reach.call(Request::Diff { name: name.into(), other: other.map(str::to_owned) })?;
    reach.leave()?;
    Ok(response)
}

/// Serves as the body of a mount in the foreground: returns when the branch is no longer mounted.
///
/// # Errors
/// When the holder goes away.
pub fn await_unmounted(client: &Client, name: &str) -> Result<()> {
    let mut holder = client.hold()?;
    loop {
        let wait = Request::AwaitDetached { name: name.into(), timeout_ms: 1000 };
        match holder.call(wait) {
            Err(error) if error.code == Code::BranchBusy => {}
            done => return done.map(drop),
        }
    }
}

/// The two ends speak different languages.
pub(crate) fn unexpected() -> Error {
    Error::new(Code::Io, "the holder gave an answer to another question")
        .hint("this is a defect of tine")
}
