//! A private view of the mounts, for one command and its children.
//!
//! Root needs only a mount namespace. An ordinary user also needs a user namespace, inside of which
//! it may mount FUSE file systems: user and group keep their numbers there, so that the command
//! sees itself as who it is. When the last process of the namespace exits, the kernel removes its
//! mounts; there is nothing to clean up.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;

use rustix::fs::{AtFlags, CWD, Mode, OFlags, StatxFlags, open, statx};
use rustix::io::Errno;
use rustix::mount::{MountPropagationFlags, mount_change};
use rustix::process::{chdir, chroot, fchdir, getegid, geteuid};
use rustix::thread::{UnshareFlags, unshare_unsafe};

use crate::ids::IdMap;
use crate::{Error, Result};

/// Moves the calling process into a mount namespace of its own, in which it may mount FUSE.
///
/// The process must have one thread only. Mounts made afterwards are invisible outside, and the
/// device file of a FUSE mount must be opened after this call, not before. Returns what users and groups are
/// called outside of all user namespaces that this process could look out of before.
///
/// # Errors
/// When the kernel refuses: more than one thread, or user namespaces disabled; the advice says which
/// setting of the machine decides.
pub fn enter_private_mounts() -> Result<IdMap> {
    let mut ids = IdMap::of_this_process();
    let (uid, gid) = (geteuid(), getegid());
    if unshare(UnshareFlags::NEWNS).is_err() {
        unshare(UnshareFlags::NEWUSER | UnshareFlags::NEWNS).map_err(|why| refused(why.into()))?;
        // Without privilege over the parent namespace, groups must be given up before a group is mapped.
        write("/proc/self/setgroups", "deny")?;
        write("/proc/self/uid_map", &format!("{uid} {uid} 1", uid = uid.as_raw()))?;
        write("/proc/self/gid_map", &format!("{gid} {gid} 1", gid = gid.as_raw()))?;
        ids = IdMap::of_this_process().within(&ids);
    }
    // What is unmounted outside goes here too, where the system shares its mounts; nothing gets out.
    hide_mounts()
        .map_err(|why| Error::new("cannot make the mounts of this process private", why))?;
    Ok(ids)
}

/// Lets no mount of this namespace be seen outside. A mount that is removed outside still goes here too.
fn hide_mounts() -> io::Result<()> {
    match mount_change("/", HIDDEN) {
        // The kernel changes a mount by its root only, which a chroot may be below.
        Err(Errno::INVAL) => hide_mounts_from_chroot(),
        done => Ok(done?),
    }
}

const HIDDEN: MountPropagationFlags =
    MountPropagationFlags::DOWNSTREAM.union(MountPropagationFlags::REC);

/// Leaves the chroot for as long as the change takes: it is no limit to a process that may mount.
fn hide_mounts_from_chroot() -> io::Result<()> {
    let directory =
        |path| open(path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
    let (root, current) = (directory("/")?, directory(".")?);
    // With a root below it, the old root is a directory like any other: its parent can be reached.
    chroot("/proc")?;
    let hidden = climb_from(&root).and_then(|()| Ok(mount_change(".", HIDDEN)?));
    fchdir(&root)?;
    chroot(".")?;
    fchdir(&current)?;
    hidden
}

/// Makes the root of the mount namespace the current directory.
fn climb_from(directory: &OwnedFd) -> io::Result<()> {
    fchdir(directory)?;
    let place = || {
        let wanted = StatxFlags::BASIC_STATS | StatxFlags::MNT_ID;
        statx(CWD, ".", AtFlags::empty(), wanted).map(|at| (at.stx_mnt_id, at.stx_ino))
    };
    let mut here = place()?;
    loop {
        chdir("..")?;
        let above = place()?;
        if above == here {
            return Ok(());
        }
        here = above;
    }
}

fn unshare(flags: UnshareFlags) -> rustix::io::Result<()> {
    // SAFETY: the flags never contain FILES, the one that could surprise holders of descriptors;
    // namespaces of mounts and users touch no memory of this process.
    unsafe { unshare_unsafe(flags) }
}

fn write(path: &str, text: &str) -> Result<()> {
    fs::write(path, text).map_err(|why| {
        Error::new(format!("cannot map the user into its namespace through {path}"), why)
    })
}

fn refused(why: io::Error) -> Error {
    let advice = match why.raw_os_error() {
        Some(libc::EINVAL) => {
            "the process has more than one thread; this is a defect of the caller"
        }
        Some(libc::ENOSPC) => "raise the limit in /proc/sys/user/max_user_namespaces",
        Some(libc::ENOSYS) => "the kernel is built without user namespaces; run as root",
        _ if reads_as("/proc/sys/kernel/unprivileged_userns_clone", "0") => {
            "user namespaces are off: sysctl kernel.unprivileged_userns_clone=1, or run as root"
        }
        _ if reads_as("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1") => {
            "AppArmor restricts user namespaces: \
             sysctl kernel.apparmor_restrict_unprivileged_userns=0, or run as root"
        }
        _ if reads_as("/proc/sys/user/max_user_namespaces", "0") => {
            "user namespaces are off: sysctl user.max_user_namespaces=10000, or run as root"
        }
        _ => "a container or security module forbids user namespaces here; run as root",
    };
    Error::new("cannot make a user namespace", why).hint(advice)
}

fn reads_as(path: &str, value: &str) -> bool {
    fs::read_to_string(path).is_ok_and(|text| text.trim() == value)
}
