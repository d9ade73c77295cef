//! A store whose file was taken from its path while a holder serves it: removed, moved away, or
//! replaced by another. What was mounted goes on, and if the file has no other name, all of it is
//! gone with the last mount. So every command that comes upon it says so.

use std::io;

use super::{Client, Found, Purpose};
use crate::client::Connection;
use crate::protocol::identity::Identity;
use crate::protocol::mounts::{ListMounts, MountedBranch};
use crate::protocol::{Code, Error, Hint, Result};

/// The holder of a store whose file is not at its path.
pub struct Removed {
    holder: Connection,
    mounted: MountedBranch,
}

impl Client {
    /// What a holder of the file `held` is to the store at the path.
    pub(super) fn beside(&self, mut holder: Connection, held: Identity) -> Result<Found> {
        let here = match std::fs::metadata(&self.store) {
            Ok(meta) if Identity::of(&meta) == held => return Ok(Found::Holder(holder)),
            Ok(_) => true,
            Err(error) if error.kind() == io::ErrorKind::NotFound => false,
            // What is there cannot be told.
            Err(_) => return Ok(Found::Holder(holder)),
        };
        // One that has no mounts is about to end, or has ended meanwhile.
        let mounts = holder.ask(ListMounts).unwrap_or_default();
        let Some(mounted) = mounts.into_iter().next() else { return Ok(Found::Nothing) };
        if !here {
            return Ok(Found::OfRemoved(Removed { holder, mounted }));
        }
        // It has nothing to say about what stands there now.
        self.warnings.add(self.replaced(&mounted));
        Ok(Found::Nothing)
    }

    /// The holder of a removed store, for what can still be done with it.
    pub(super) fn use_of(&self, removed: Removed, purpose: Purpose) -> Result<Connection> {
        let Removed { holder, mounted } = removed;
        let store = self.store.display();
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
                self.warnings.add(told);
                Ok(holder)
            }
        }
    }

    fn replaced(&self, mounted: &MountedBranch) -> Error {
        let (branch, directory) = (&mounted.branch, &mounted.mount.directory);
        let what = format!(
            "another store has taken the place of one that is still served: its branch {branch} is \
             mounted at {}, and what is written there is not in {}",
            directory.display(),
            self.store.display()
        );
        Error::new(Code::StoreNotFound, what)
            .hint(Hint::SaveReplaced { directory: directory.clone() })
    }
}
