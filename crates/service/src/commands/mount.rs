//! Commands that touch a mount: making one, taking one off, and handing over what it still keeps.
//!
//! All of it happens in the command's process. The holder serves the mounts, so it must never wait
//! for one.

use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::process::geteuid;
use serde::Serialize;
use tine_fuse::MountOptions;
use tine_sys::fuse_device;
use tine_sys::ids::{IdMap, Ids, Range};

use crate::client::{Access, Client, Connection};
use crate::commands::unmount::release;
use crate::machine::busy;
use crate::machine::mount_table;
use crate::protocol::mounts::{
    Attach, AwaitDetached, IdRange, Inspect, Inspected, Mount, Negotiation,
};
use crate::protocol::{Code, Error, Hint, Result, Wanted};

/// How a branch is mounted.
#[derive(Clone, Copy, Debug, Default)]
pub struct MountFlags {
    /// Refuse writes; a snapshot is always mounted so.
    pub read_only: bool,
    /// Let other users in.
    pub allow_other: bool,
    /// Honour set-id bits and file capabilities; only root may ask for it.
    pub suid: bool,
    /// Honour device nodes; only root may ask for it.
    pub dev: bool,
}

/// A branch that was mounted.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[allow(missing_docs)]
pub struct Mounted {
    pub branch: String,
    pub directory: PathBuf,
}

/// Mounts the branch `name` on `directory`.
///
/// # Errors
/// `branch-busy` when it is mounted already, `not-permitted` and `unsupported` where FUSE is not to
/// be had.
pub fn mount(client: &Client, name: &str, directory: &Path, flags: MountFlags) -> Result<Mounted> {
    // First, because it may be a holder's death that left the directory in its way.
    let mut holder = client.hold().map_err(|error| no_holder(name, error))?;
    let directory = mount_point(directory)?;
    let inspected = inspect_unused(&mut holder, name)?;
    // A point by its serial: what it is called by its age is another one tomorrow.
    let name = inspected.name.as_str();
    let read_only = flags.read_only || inspected.sealed;
    let mount = Mount {
        directory,
        private_to: None,
        run: None,
        read_only,
        allow_other: flags.allow_other,
        device: None,
    };
    let mut options = options_of(client, name, &mount);
    options.ids = IdMap::of_this_process();
    (options.suid, options.dev) = (flags.suid, flags.dev);
    let directory = mount.directory.clone();
    attach(&mut holder, name, mount, &options)?;
    Ok(Mounted { branch: name.into(), directory })
}

/// Mounts a branch where only this process sees it, in a namespace whose users are called outside
/// as `ids` says; `run` is the process that waits for its end.
pub(crate) fn mount_here(
    client: &Client,
    holder: &mut Connection,
    name: &str,
    mount: Here<'_>,
    ids: IdMap,
) -> Result<()> {
    let mount = Mount {
        directory: mount.directory.to_owned(),
        private_to: Some(std::process::id()),
        run: mount.run,
        read_only: mount.read_only,
        // Others are kept out by the namespace; root's command may become another user in it.
        allow_other: geteuid().is_root(),
        device: None,
    };
    let mut options = options_of(client, name, &mount);
    options.subtype = mount_table::PRIVATE;
    options.ids = ids;
    attach(holder, name, mount, &options)
}

/// A mount that only this process sees.
pub(crate) struct Here<'a> {
    pub directory: &'a Path,
    pub read_only: bool,
    /// The process that waits for the end of the command that it is for.
    pub run: Option<u32>,
}

fn options_of(client: &Client, name: &str, mount: &Mount) -> MountOptions {
    let mut options = MountOptions::new(mount_table::source(client.store(), name));
    options.read_only = mount.read_only;
    options.allow_other = mount.allow_other;
    options
}

/// Mounts, and hands the device to the holder.
fn attach(
    holder: &mut Connection,
    name: &str,
    mut mount: Mount,
    options: &MountOptions,
) -> Result<()> {
    let directory = mount.directory.clone();
    let device = tine_fuse::mount_at(&directory, options).map_err(not_mounted)?;
    // Whatever else is mounted there is none of ours to take off.
    let number = tine_sys::mountinfo::device_number(&directory);
    mount.device = number.map_err(|error| Error::io("cannot read the table of mounts", error))?;
    let range = |range: &Range| IdRange {
        inside: range.inside,
        outside: range.outside,
        count: range.count,
    };
    let ranges = |ids: &Ids| -> Vec<IdRange> { ids.ranges().iter().map(range).collect() };
    let (users, groups) = (ranges(&options.ids.users), ranges(&options.ids.groups));
    let negotiated = device
        .negotiated
        .map(|agreed| Negotiation { minor: agreed.minor, capabilities: agreed.capabilities });
    let attach = Attach { name: name.into(), mount, users, groups, negotiated };
    let attached = holder.ask_with(attach, &[device.descriptor.as_fd()]);
    drop(device);
    // The first look completes the mount, and tells whether it answers.
    let looked = attached.and_then(|()| match fs::metadata(&directory) {
        Ok(_) => Ok(()),
        Err(error) => Err(Error::path("enter", &directory, error)),
    });
    if looked.is_err() {
        // The error to tell is why it failed; an empty mount must not stay in the way.
        let _ = fuse_device::unmount(&directory);
    }
    looked
}

/// The error of a mount that no process can serve, with what to do instead where the store can only
/// be read: the holder keeps its socket next to the store.
fn no_holder(name: &str, error: Error) -> Error {
    match error.hint {
        Some(Hint::ReadOrCopyStore) => {
            let what = format!("cannot mount branch {name}: {}", error.message);
            Error::new(error.code, what).hint(Hint::ExportInstead { branch: name.into() })
        }
        _ => error,
    }
}

/// The error of a namespace that the system does not let this user make.
pub(crate) fn not_permitted(error: tine_sys::Error) -> Error {
    let hint = error.advice().map(str::to_owned);
    let error = Error::new(Code::NotPermitted, error.to_string());
    hint.into_iter().fold(error, Error::hint)
}

/// What is known of a branch that is not in use.
pub(crate) fn inspect_unused(holder: &mut Connection, name: &str) -> Result<Inspected> {
    let mut inspected = holder.ask(Inspect { name: name.into() })?;
    if let Some(mount) = &inspected.mount {
        if !release(holder, name)? {
            return Err(busy::busy(&inspected.name, mount, Wanted::Entered));
        }
        inspected = holder.ask(Inspect { name: name.into() })?;
    }
    Ok(inspected)
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
fn mount_point(directory: &Path) -> Result<PathBuf> {
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
    let mounts =
        mount_table::ours().map_err(|error| Error::io("cannot read the table of mounts", error))?;
    if let Some(mount) = mounts.iter().find(|mount| mount.directory == path) {
        let what = what(&format!("branch {} is mounted there already", mount.branch));
        return Err(Error { code: Code::BranchBusy, ..what }
            .hint(Hint::UnmountDirectory { directory: path }));
    }
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

/// Serves as the body of a mount in the foreground: returns when the branch is no longer mounted.
///
/// # Errors
/// When the holder goes away.
pub fn await_unmounted(client: &Client, name: &str) -> Result<()> {
    let mut access = client.reach_to_read()?;
    while let Access::Remote(holder) = &mut access {
        if holder.ask(AwaitDetached { name: name.into(), timeout_ms: 1000 })? {
            break;
        }
    }
    access.leave()
}
