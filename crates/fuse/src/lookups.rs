//! How many lookups the kernel has of each inode.
//!
//! Every answer that names an inode counts one lookup; FORGET gives lookups back. As long as any is
//! left the kernel may hold the inode open, since files are opened without a request, so the file
//! must live on without a name. Each inode with a lookup therefore counts as one use in the file
//! system.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Mutex;

use tine_fs::{Fs, Ino, ROOT};

use crate::lock::lock;

/// Independent parts of the table, so that threads seldom wait for one another.
const SHARDS: usize = 16;

/// The table of lookups.
#[derive(Default)]
pub(crate) struct Lookups {
    shards: [Mutex<HashMap<Ino, u64>>; SHARDS],
}

impl Lookups {
    /// Counts a lookup of `ino`.
    pub fn count(&self, fs: &Fs, ino: Ino) {
        self.count_with(ino, || fs.opened(ino));
    }

    /// Counts the first lookup of a file that was made with a use already counted.
    pub fn count_in_use(&self, ino: Ino) {
        self.count_with(ino, || ());
    }

    fn count_with(&self, ino: Ino, first: impl FnOnce()) {
        if ino == ROOT {
            return;
        }
        let mut shard = self.shard(ino);
        match shard.entry(ino) {
            Entry::Occupied(mut lookups) => *lookups.get_mut() += 1,
            Entry::Vacant(vacant) => {
                vacant.insert(1);
                // Under the lock, so that no other thread gives the use back before it is counted.
                first();
            }
        }
    }

    /// Gives `lookups` of `ino` back. Returns `true` if that were all, and with them the use of the
    /// file.
    ///
    /// # Errors
    /// When a file without a name could not be evicted. It is reclaimed when the branch is opened
    /// next.
    pub fn forget(&self, fs: &Fs, ino: Ino, lookups: u64) -> tine_fs::Result<bool> {
        {
            let mut shard = self.shard(ino);
            let Entry::Occupied(mut left) = shard.entry(ino) else {
                return Ok(false);
            };
            *left.get_mut() = left.get().saturating_sub(lookups);
            if *left.get() > 0 {
                return Ok(false);
            }
            left.remove();
        }
        fs.released(ino)?;
        Ok(true)
    }

    /// Gives every lookup back, as the kernel does silently when a mount ends.
    ///
    /// # Errors
    /// The first of those of [`Lookups::forget`]; the other files are released all the same.
    pub fn forget_all(&self, fs: &Fs) -> tine_fs::Result<()> {
        let mut outcome = Ok(());
        for shard in &self.shards {
            let known = std::mem::take(&mut *lock(shard));
            for ino in known.into_keys() {
                outcome = outcome.and(fs.released(ino));
            }
        }
        outcome
    }

    /// The inodes with a lookup.
    pub fn known(&self) -> Vec<Ino> {
        let shards = self.shards.iter();
        let locked = shards.map(|shard| lock(shard));
        locked.flat_map(|shard| shard.keys().copied().collect::<Vec<_>>()).collect()
    }

    fn shard(&self, ino: Ino) -> std::sync::MutexGuard<'_, HashMap<Ino, u64>> {
        lock(&self.shards[ino.shard(SHARDS)])
    }
}
