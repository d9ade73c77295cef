//! Whose a file is, as the user namespace of the mount calls it.
//!
//! The kernel tells and asks for owners by the numbers of the namespace in which the mount was made; the branch
//! keeps those outside of it. What the namespace has no number for belongs to nobody there, and the
//! kernel then refuses to change the file.

use tine_fs::{Attr, rename_owners};
use tine_sys::ids::IdMap;

/// No namespace has a number for it: the kernel shows the owner as nobody (65534).
const UNKNOWN: u32 = u32::MAX - 1;

/// The attributes of a file as the namespace has them. Where it has one group only, every file is shown as of
/// that: the kernel would refuse to change a file of another.
pub(crate) fn shown(map: &IdMap, attr: Attr) -> Attr {
    Attr {
        uid: map.users.inside(attr.uid).unwrap_or(UNKNOWN),
        gid: map.groups.inside(attr.gid).or(map.groups.only()).unwrap_or(UNKNOWN),
        ..attr
    }
}

/// What a user of the namespace is called in the branch.
pub(crate) fn user(map: &IdMap, inside: u32) -> u32 {
    map.users.outside(inside).unwrap_or(inside)
}

/// What a group of the namespace is called in the branch.
pub(crate) fn group(map: &IdMap, inside: u32) -> u32 {
    map.groups.outside(inside).unwrap_or(inside)
}

/// Puts the numbers of the namespace into an extended attribute that names users.
pub(crate) fn show_in_xattr(map: &IdMap, name: &[u8], value: &mut [u8]) {
    let user = |id| map.users.inside(id).unwrap_or(UNKNOWN);
    let group = |id| map.groups.inside(id).unwrap_or(UNKNOWN);
    rename_owners(name, value, &user, &group);
}

/// Puts the numbers of the branch into it.
pub(crate) fn keep_in_xattr(map: &IdMap, name: &[u8], value: &mut [u8]) {
    rename_owners(name, value, &|id| user(map, id), &|id| group(map, id));
}
