//! A private view of the mounts, for one command and its children.
//!
//! Root needs only a mount namespace. An ordinary user also needs a user namespace, inside of which
//! it may mount FUSE file systems. User and group have the same numbers there as outside. When the
//! last process of the namespace exits, the kernel removes its mounts, so there is nothing to clean
//! up.

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

/// Moves the calling process into a new mount namespace, in which it may mount FUSE.
///
/// The process must have only one thread. Mounts made afterwards are invisible outside, and the
/// device file of a FUSE mount must be opened after this call, not before. Returns the map from
/// users and groups of this process to those outside of all user namespaces that it could see
/// before.
///
/// # Errors
/// If the kernel refuses, because of more than one thread or because user namespaces are disabled.
/// The advice says which setting of the machine decides.
pub fn enter_private_mounts() -> Result<IdMap> {
    let mut ids = IdMap::of_this_process();
    let (uid, gid) = (geteuid(), getegid());
    if unshare(UnshareFlags::NEWNS).is_err() {
        unshare(UnshareFlags::NEWUSER | UnshareFlags::NEWNS).map_err(|why| refused(why.into()))?;
        // Without privilege over the parent namespace, groups must be given up before a group is
        // mapped.
        write("/proc/self/setgroups", "deny")?;
        write("/proc/self/uid_map", &format!("{uid} {uid} 1", uid = uid.as_raw()))?;
        write("/proc/self/gid_map", &format!("{gid} {gid} 1", gid = gid.as_raw()))?;
        ids = IdMap::of_this_process().within(&ids);
    }
    // If the system shares its mounts, what is unmounted outside is unmounted here too. Nothing of
    // this namespace is visible outside.
    hide_mounts()
        .map_err(|why| Error::new("cannot make the mounts of this process private", why))?;
    Ok(ids)
}

/// Makes the mounts of this namespace invisible outside. A mount that is removed outside is still
/// removed here too.
fn hide_mounts() -> io::Result<()> {
    match mount_change("/", HIDDEN) {
        // The kernel changes a mount only by its root, and a chroot may be below that.
        Err(Errno::INVAL) => hide_mounts_from_chroot(),
        done => Ok(done?),
    }
}

const HIDDEN: MountPropagationFlags =
    MountPropagationFlags::DOWNSTREAM.union(MountPropagationFlags::REC);

/// Leaves the chroot for the duration of the change: it does not confine a process that may mount.
fn hide_mounts_from_chroot() -> io::Result<()> {
    let directory =
        |path| open(path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
    let (root, current) = (directory("/")?, directory(".")?);
    // With the root set below it, the old root is an ordinary directory, whose parent can be
    // reached.
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
