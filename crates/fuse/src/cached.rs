//! Files of which the kernel may have pages in its cache.
//!
//! After a direct write the kernel drops the pages that it has of the same bytes, but only where it
//! waited for the end of the write: one that was submitted asynchronously leaves a page that was
//! read meanwhile, stale for as long as it is cached. So the server has it dropped before it
//! answers the write. Programs that do direct I/O alone need not pay for that message: only files
//! that were read or written through the cache are noted here.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard};

use tine_fs::Ino;

use crate::lock::lock;

/// Independent parts, so that threads seldom wait for one another.
const SHARDS: usize = 16;

/// The files that were read or written through the kernel's cache since the kernel got to know
/// them.
#[derive(Debug, Default)]
pub(crate) struct CachedFiles {
    shards: [Mutex<HashSet<Ino>>; SHARDS],
}

impl CachedFiles {
    /// Notes a file. Called before it is read, so that a later write finds the note.
    pub fn insert(&self, ino: Ino) {
        self.shard(ino).insert(ino);
    }

    pub fn contains(&self, ino: Ino) -> bool {
        self.shard(ino).contains(&ino)
    }

    /// Drops the note of a file that the kernel has forgotten.
    pub fn forget(&self, ino: Ino) {
        self.shard(ino).remove(&ino);
    }

    fn shard(&self, ino: Ino) -> MutexGuard<'_, HashSet<Ino>> {
        lock(&self.shards[ino.shard(SHARDS)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_noted_until_the_kernel_forgets_it() {
        let cached = CachedFiles::default();
        let (one, other) = (Ino::new(3), Ino::new(3 + SHARDS as u64));
        cached.insert(one);
        cached.insert(one);
        assert!(cached.contains(one) && !cached.contains(other));
        cached.forget(one);
        assert!(!cached.contains(one));
    }
}
