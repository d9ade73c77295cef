//! What the kernel keeps of a mount's files, and how it is made to write that back.
//!
//! `syncfs` does not do it. On FUSE it starts the writing and does not wait, lest a server that hangs could hang
//! the machine; and it does not even start all of it: while 48 requests of the background are under way
//! (`CONGESTION_THRESHOLD`), the kernel passes over what else is dirty (Linux 6.18; of 600 MiB in one file it had
//! submitted 180 when it returned). What does, in every version of the kernel, is to close a descriptor of the
//! file, any descriptor, though it was opened just before and for reading: that writes back whatever the kernel
//! has of the file, whoever wrote it, and waits for the end. It takes 2.5 µs where there is nothing.
//!
//! So the files that the kernel knows, which are all that it can have data of, are opened and closed one
//! after another by a process that is not their server. For those that it cannot reach (it may not open
//! them, or does not see the mount at its path), the server makes the kernel invalidate the file, before
//! which it is written back as well; that costs its cached pages, so it comes second. The process, the
//! *visitor*, proves that it saw this mount and not another by a name that only the two know, which
//! arrives here as a lookup.

use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard};

use tine_fs::{Ino, Located};

use crate::notify::inval_inode;
use crate::server::Server;
use crate::{Error, Result};

/// The most visitors that are expected at a time; those that never came make room for later ones.
const VISITORS_MAX: usize = 64;

/// The files of a mount as far as the kernel may have data of them that the store lacks.
pub struct KernelCache(pub(crate) Arc<Server>);

impl KernelCache {
    /// A name that the process which opens and closes the files looks up in the mounted root. No file has
    /// it.
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

    /// Makes the kernel write back and forget what it keeps of `files`, or of all files if the visitor
    /// never came. Afterwards the store has everything that was written to them before.
    ///
    /// # Errors
    /// When the store did not take it, as on a full disk, and those of [`KernelCache::files`].
    pub fn write_back(&self, visitor: &str, files: &[Ino]) -> Result<()> {
        let all: Vec<Ino>;
        let files = match self.0.visitors().came(visitor) {
            true => files,
            false => {
                let known = self.files().map_err(|why| Error::NotTaken(why.to_string()))?;
                all = known.iter().map(|file| file.ino).collect();
                &all
            }
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

/// The names that are expected to be looked up in the root of a mount.
#[derive(Debug, Default)]
pub(crate) struct Visitors(Mutex<VecDeque<Visitor>>);

#[derive(Debug)]
struct Visitor {
    name: String,
    came: bool,
}

impl Visitors {
    fn expect(&self) -> String {
        let name = format!(".tine-visitor-{:016x}", RandomState::new().hash_one(0));
        let mut visitors = self.visitors();
        visitors.truncate(VISITORS_MAX - 1);
        visitors.push_front(Visitor { name: name.clone(), came: false });
        name
    }

    /// Notes that a name was looked up. Returns `true` if it is a visitor's.
    pub fn meet(&self, name: &[u8]) -> bool {
        let mut visitors = self.visitors();
        let visitor = visitors.iter_mut().find(|visitor| visitor.name.as_bytes() == name);
        visitor.map(|visitor| visitor.came = true).is_some()
    }

    /// Ends the wait for a visitor. Returns `true` if it came.
    fn came(&self, name: &str) -> bool {
        let mut visitors = self.visitors();
        let place = visitors.iter().position(|visitor| visitor.name == name);
        place.and_then(|place| visitors.remove(place)).is_some_and(|visitor| visitor.came)
    }

    fn visitors(&self) -> MutexGuard<'_, VecDeque<Visitor>> {
        self.0.lock().unwrap_or_else(|poison| poison.into_inner())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_visitor_that_was_expected_and_looked_up_has_come() {
        let visitors = Visitors::default();
        let (first, second) = (visitors.expect(), visitors.expect());
        assert!(!visitors.meet(b"file"));
        assert!(visitors.meet(second.as_bytes()));
        assert!(!visitors.came(&first));
        assert!(visitors.came(&second));
        assert!(!visitors.came(&second), "it has gone");
        assert!(!visitors.came("file"));
    }

    #[test]
    fn visitors_that_never_come_are_forgotten() {
        let visitors = Visitors::default();
        let first = visitors.expect();
        (0..VISITORS_MAX).for_each(|_| drop(visitors.expect()));
        assert!(!visitors.meet(first.as_bytes()));
        assert_eq!(visitors.visitors().len(), VISITORS_MAX);
    }
}
