//! Owners as a branch keeps them and as this process sees them, which differ in a user namespace.

use std::sync::LazyLock;

use rustix::process::{getegid, geteuid};
use tine_fs::rename_owners;
use tine_sys::ids::IdMap;

use super::fingerprint::Meta;

/// What copies, never changes its namespace.
static HERE: LazyLock<IdMap> = LazyLock::new(IdMap::of_this_process);

/// A user as a branch keeps it. One that the namespace does not know stays the overflow user.
pub fn kept_user(uid: u32) -> u32 {
    HERE.users.outside(uid).unwrap_or(uid)
}

/// A group as a branch keeps it.
pub fn kept_group(gid: u32) -> u32 {
    HERE.groups.outside(gid).unwrap_or(gid)
}

/// User and group of this process, as a branch keeps them.
pub fn owner() -> (u32, u32) {
    (kept_user(geteuid().as_raw()), kept_group(getegid().as_raw()))
}

/// Returns `true` if this process can give files to any owner that there is.
pub fn may_give_away() -> bool {
    geteuid().is_root() && HERE.users.only().is_none()
}

/// An entry of the host, with its owners as a branch keeps them.
pub fn kept(mut meta: Meta) -> Meta {
    (meta.uid, meta.gid) = (kept_user(meta.uid), kept_group(meta.gid));
    for (name, value) in &mut meta.xattrs {
        rename_owners(name, value, &kept_user, &kept_group);
    }
    meta
}

/// A file of a branch, with its owners as this process has to call them.
pub fn shown(mut meta: Meta) -> Meta {
    // A number that no namespace has is refused by the host, which is the error to tell.
    let user = |id| HERE.users.inside(id).unwrap_or(u32::MAX - 1);
    let group = |id| HERE.groups.inside(id).unwrap_or(u32::MAX - 1);
    (meta.uid, meta.gid) = (user(meta.uid), group(meta.gid));
    for (name, value) in &mut meta.xattrs {
        rename_owners(name, value, &user, &group);
    }
    meta
}
