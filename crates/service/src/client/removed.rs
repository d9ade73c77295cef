//! A store whose file was taken from its path while a holder serves it: removed, moved away, or
//! replaced by another. What was mounted goes on, and if the file has no other name, all of it is
//! gone with the last mount. So every command that comes upon it says so.

use std::io;
use std::path::Path;

use super::connection::Connection;
use super::found::{Found, Purpose, Removed};
use super::warnings::Warnings;
use crate::protocol::identity::Identity;
use crate::protocol::mounts::{ListMounts, MountedBranch};
use crate::protocol::{Code, Error, Hint, Result};

/// Compares the file that a holder has open, `held`, with the one at the path of the store.
pub fn compare(
    store: &Path,
    warnings: &Warnings,
    mut holder: Connection,
    held: Identity,
) -> Result<Found> {
    let here = match std::fs::metadata(store) {
        Ok(meta) if Identity::of(&meta) == held => return Ok(Found::Holder(holder)),
        Ok(_) => true,
        Err(error) if error.kind() == io::ErrorKind::NotFound => false,
        // What is there is not known.
        Err(_) => return Ok(Found::Holder(holder)),
    };
    // One that has no mounts is about to end, or has ended meanwhile.
    let mounts = holder.ask(ListMounts).unwrap_or_default();
    let Some(mounted) = mounts.into_iter().next() else { return Ok(Found::Nothing) };
    if !here {
        return Ok(Found::OfRemoved(Removed { holder, mounted }));
    }
    // It has nothing to say about what stands there now.
    warnings.add(replaced(store, &mounted));
    Ok(Found::Nothing)
}

/// The holder of a removed store, for what can still be done with it.
pub fn use_of(
    store: &Path,
    warnings: &Warnings,
    removed: Removed,
    purpose: Purpose,
) -> Result<Connection> {
    let Removed { holder, mounted } = removed;
    let store = store.display();
    let (branch, directory) = (mounted.branch, mounted.mount.directory);
    let what = format!(
        "the store is no longer at {store}: it was removed or moved, and is still served, with \
             branch {branch} mounted at {}",
        directory.display()
    );
    let told = Error::new(Code::StoreNotFound, what).hint(Hint::SaveRemoved { branch });
    match purpose {
        Purpose::Change => Err(told),
        Purpose::Look => {
            warnings.add(told);
            Ok(holder)
        }
    }
}

fn replaced(store: &Path, mounted: &MountedBranch) -> Error {
    let (branch, directory) = (&mounted.branch, &mounted.mount.directory);
    let what = format!(
        "another store has taken the place of one that is still served: its branch {branch} is \
             mounted at {}, and what is written there is not in {}",
        directory.display(),
        store.display()
    );
    Error::new(Code::StoreNotFound, what).hint(Hint::SaveReplaced { directory: directory.clone() })
}
