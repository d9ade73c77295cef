//! Owners of files as the user namespace of the mount numbers them.
//!
//! The kernel sends and takes owners by the numbers of the namespace in which the mount was made;
//! the branch keeps those outside of it. A file whose owner has no number in the namespace is shown
//! as owned by the overflow user, and the kernel refuses to change it.

use tine_fs::{Attr, rename_owners};
use tine_sys::ids::IdMap;

/// No namespace has a number for it: the kernel shows the owner as the overflow user (65534).
const UNKNOWN: u32 = u32::MAX - 1;

/// The attributes of a file with the numbers of the namespace. Where it has one group only, every
/// file is shown as of that group: the kernel would refuse to change a file of another.
pub(crate) fn as_mounted(map: &IdMap, attr: Attr) -> Attr {
    Attr {
        uid: map.users.inside(attr.uid).unwrap_or(UNKNOWN),
        gid: map.groups.inside(attr.gid).or(map.groups.only()).unwrap_or(UNKNOWN),
        ..attr
    }
}

/// The number that the branch keeps for a user of the namespace.
pub(crate) fn user(map: &IdMap, inside: u32) -> u32 {
    map.users.outside(inside).unwrap_or(inside)
}

/// The number that the branch keeps for a group of the namespace.
pub(crate) fn group(map: &IdMap, inside: u32) -> u32 {
    map.groups.outside(inside).unwrap_or(inside)
}

/// Puts the numbers of the namespace into an extended attribute that names users.
pub(crate) fn xattr_as_mounted(map: &IdMap, name: &[u8], value: &mut [u8]) {
    let user = |id| map.users.inside(id).unwrap_or(UNKNOWN);
    let group = |id| map.groups.inside(id).unwrap_or(UNKNOWN);
    rename_owners(name, value, &user, &group);
}

/// Puts the numbers of the branch into an extended attribute that names users.
pub(crate) fn xattr_as_stored(map: &IdMap, name: &[u8], value: &mut [u8]) {
    rename_owners(name, value, &|id| user(map, id), &|id| group(map, id));
}
