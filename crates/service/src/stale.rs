//! What a holder or a command that died left behind: mounts that answer nothing but `ENOTCONN`, and the
//! empty directories that they were on.
//!
//! Only the process that has the store open may tidy up: then no other holder can be alive.

use std::path::Path;

use tine_sys::fuse_device;

use crate::{mount_table, runtime, servers};

/// Takes the dead mounts of the store off their directories, and removes the directories that were made for them.
///
/// A mount that cannot be taken off stays dead and harms nobody else, so that is no error of the
/// command that happens to come by.
pub fn detach(store: &Path) {
    detach_where(|entry| entry.store == store);
    for place in runtime::branches(store).unwrap_or_default() {
        servers::remove_unless_recorded(&place);
    }
}

/// Takes a dead mount off one directory, if a mount of ours is on it.
pub fn detach_one(directory: &Path) {
    detach_where(|entry| entry.directory == directory);
}

fn detach_where(dead: impl Fn(&mount_table::Entry) -> bool) {
    let entries = mount_table::ours().unwrap_or_default();
    for entry in entries.iter().filter(|entry| dead(entry)) {
        let _ = fuse_device::unmount(&entry.directory);
    }
}
