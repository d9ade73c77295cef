//! What a holder or a command that died left behind: mounts that answer nothing but `ENOTCONN`, and
//! the empty directories that they were on.
//!
//! A mount that answers is left alone, whatever it is called: the holder of a store that stood at
//! the same path before may still serve it.

use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use rustix::fs::statfs;
use rustix::io::Errno;
use tine_sys::fuse_device;

use crate::machine::{mount_table, runtime, server_place};

/// How long a mount may take to answer. One that is served by a process that hangs is not dead.
const PATIENCE: Duration = Duration::from_secs(2);

/// Takes the dead mounts of the store off their directories, and removes the directories that were
/// made for them.
///
/// A mount that cannot be taken off stays dead and does no harm, so that is no error of the command
/// that finds it.
pub fn detach(store: &Path) {
    detach_where(|entry| entry.store == store);
    for place in runtime::branches(store).unwrap_or_default() {
        server_place::remove_unless_recorded(&place);
    }
}

/// Takes a dead mount off one directory, if a mount of ours is on it.
pub fn detach_one(directory: &Path) {
    detach_where(|entry| entry.directory == directory);
}

fn detach_where(wanted: impl Fn(&mount_table::Entry) -> bool) {
    let entries = mount_table::ours().unwrap_or_default();
    for entry in entries.into_iter().filter(|entry| wanted(entry)) {
        if is_dead(entry.directory.clone()) {
            let _ = fuse_device::unmount(&entry.directory);
        }
    }
}

/// Returns `true` if no process serves the mount any more.
fn is_dead(directory: PathBuf) -> bool {
    let (said, answer) = mpsc::channel();
    // In a thread of its own: a mount whose server hangs blocks the thread that asks.
    let ask = move || {
        let gone = matches!(
            statfs(&directory),
            Err(Errno::NOTCONN | Errno::CONNABORTED | Errno::CONNREFUSED)
        );
        let _ = said.send(gone);
    };
    let asked = thread::Builder::new().name("look".into()).spawn(ask).is_ok();
    asked && answer.recv_timeout(PATIENCE).unwrap_or(false)
}
