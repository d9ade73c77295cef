//! What the kernel keeps of a mount's files, and how it is made to write that back.
//!
//! `syncfs` does not do it. On FUSE it starts the writing and does not wait, lest a server that
//! hangs could hang the machine; and it does not even start all of it: while 48 requests of the
//! background are under way (`CONGESTION_THRESHOLD`), the kernel passes over what else is dirty
//! (Linux 6.18; of 600 MiB in one file it had submitted 180 when it returned). What does, in every
//! version of the kernel, is to close a descriptor of the file, any descriptor, though it was
//! opened just before and for reading: that writes back whatever the kernel has of the file,
//! whichever process wrote it, and waits for the end. It takes 2.5 µs where there is nothing.
//!
//! So the files that the kernel knows, which are all that it can have data of, are opened and
//! closed one after another by a process that is not their server. For those that it cannot reach
//! (it may not open them, or does not see the mount at its path), the server makes the kernel
//! invalidate the file, before which it is written back as well; that costs its cached pages, so it
//! comes second. The process, the *visitor*, proves that it saw this mount and not another by a
//! name that only the two know, which arrives here as a lookup.

use std::sync::Arc;

use tine_fs::{Ino, Located};

use crate::notify::inval_inode;
use crate::server::Server;
use crate::{Error, Result};

/// The files of a mount as far as the kernel may have data of them that the store lacks.
pub struct KernelCache(pub(crate) Arc<Server>);

impl KernelCache {
    /// A name that the process which opens and closes the files looks up in the mounted root. No
    /// file has it.
    pub fn expect_visitor(&self) -> String {
        self.0.visitors().expect()
    }

    /// The files that the kernel knows, with their paths.
    ///
    /// # Errors
    /// Those of the store.
    pub fn files(&self) -> tine_fs::Result<Vec<Located>> {
        self.0.known_files()
    }

    /// Makes the kernel write back and forget what it keeps of `files`, or of all files if the
    /// visitor never came. Afterwards the store has everything that was written to them before.
    ///
    /// # Errors
    /// When the store did not take it, as on a full disk, and those of [`KernelCache::files`].
    pub fn write_back(&self, visitor: &str, files: &[Ino]) -> Result<()> {
        let all: Vec<Ino>;
        let files = if self.0.visitors().came(visitor) {
            files
        } else {
            let known = self.files().map_err(|why| Error::NotTaken(why.to_string()))?;
            all = known.iter().map(|file| file.ino).collect();
            &all
        };
        let failed_before = self.0.failed_writebacks();
        for &ino in files {
            // After the end of the mount the kernel keeps nothing.
            if self.0.notify(&inval_inode(ino, 0, 0)).is_err() {
                return Ok(());
            }
        }
        match self.0.failed_writebacks() - failed_before {
            0 => Ok(()),
            writes => Err(Error::NotTaken(format!("{writes} writes failed"))),
        }
    }
}
