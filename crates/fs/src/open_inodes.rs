//! Inodes that are in use or being changed: how many users each has, and the lock over its data.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::Ino;

const SHARDS: usize = 64;

/// The inodes that are in use or being changed. All others take no memory.
pub(crate) struct OpenInodes {
    shards: [Mutex<HashMap<Ino, OpenInode>>; SHARDS],
}

#[derive(Default)]
struct OpenInode {
    users: u64,
    /// It has no name any more, and is evicted after its last use.
    unlinked: bool,
    content: Arc<RwLock<()>>,
}

impl OpenInodes {
    pub fn new() -> OpenInodes {
        OpenInodes { shards: std::array::from_fn(|_| Mutex::default()) }
    }

    fn shard(&self, ino: Ino) -> MutexGuard<'_, HashMap<Ino, OpenInode>> {
        let shard = &self.shards[ino.shard(SHARDS)];
        shard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts one user more.
    pub fn opened(&self, ino: Ino) {
        self.shard(ino).entry(ino).or_default().users += 1;
    }

    /// Counts one user less. Returns `true` if the inode is to be evicted now.
    pub fn released(&self, ino: Ino) -> bool {
        let mut shard = self.shard(ino);
        let Some(live) = shard.get_mut(&ino) else { return false };
        live.users = live.users.saturating_sub(1);
        if live.users > 0 {
            return false;
        }
        let unlinked = live.unlinked;
        if Arc::strong_count(&live.content) == 1 {
            shard.remove(&ino);
        }
        unlinked
    }

    /// Marks an inode as one without a name, or with one again. Returns `true` if it is in use.
    pub fn set_unlinked(&self, ino: Ino, unlinked: bool) -> bool {
        match self.shard(ino).get_mut(&ino) {
            Some(live) if live.users > 0 => {
                live.unlinked = unlinked;
                true
            }
            _ => false,
        }
    }

    /// The lock over the data of an inode. Writers of whole blocks share it, since the transaction
    /// orders them; a change that keeps a part of a block, or moves the end of the file, takes it
    /// exclusively.
    pub fn content(&self, ino: Ino) -> Content<'_> {
        let lock = self.shard(ino).entry(ino).or_default().content.clone();
        Content { table: self, ino, lock }
    }
}

/// Keeps the data of an inode locked.
pub(crate) enum ContentGuard<'a> {
    Shared { _guard: RwLockReadGuard<'a, ()> },
    Exclusive { _guard: RwLockWriteGuard<'a, ()> },
}

pub(crate) struct Content<'a> {
    table: &'a OpenInodes,
    ino: Ino,
    lock: Arc<RwLock<()>>,
}

impl Content<'_> {
    /// Locks it for a write of whole blocks, or of parts of blocks.
    pub fn lock_for_write(&self, whole_blocks: bool) -> ContentGuard<'_> {
        if whole_blocks {
            ContentGuard::Shared { _guard: self.shared() }
        } else {
            ContentGuard::Exclusive { _guard: self.exclusive() }
        }
    }

    fn shared(&self) -> RwLockReadGuard<'_, ()> {
        self.lock.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn exclusive(&self) -> RwLockWriteGuard<'_, ()> {
        self.lock.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Content<'_> {
    fn drop(&mut self) {
        let mut shard = self.table.shard(self.ino);
        // Two references are left when no other thread has the lock: this one and the table's.
        if Arc::strong_count(&self.lock) == 2
            && shard.get(&self.ino).is_some_and(|live| live.users == 0)
        {
            shard.remove(&self.ino);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(table: &OpenInodes) -> usize {
        table.shards.iter().map(|shard| shard.lock().unwrap().len()).sum()
    }

    #[test]
    fn an_inode_that_is_not_in_use_takes_no_memory() {
        let table = OpenInodes::new();
        table.opened(Ino::new(7));
        {
            let (seven, eight) = (table.content(Ino::new(7)), table.content(Ino::new(8)));
            let _guards = (seven.exclusive(), eight.shared());
            assert_eq!(known(&table), 2);
        }
        assert_eq!(known(&table), 1);
        assert!(!table.released(Ino::new(7)));
        assert_eq!(known(&table), 0);
    }

    #[test]
    fn an_unlinked_inode_is_evicted_after_its_last_use() {
        let table = OpenInodes::new();
        assert!(!table.set_unlinked(Ino::new(7), true));
        table.opened(Ino::new(7));
        table.opened(Ino::new(7));
        assert!(table.set_unlinked(Ino::new(7), true));
        assert!(!table.released(Ino::new(7)));
        assert!(table.released(Ino::new(7)));
        assert!(!table.released(Ino::new(7)));
    }

    #[test]
    fn a_lock_outlives_the_last_release_of_its_inode() {
        let table = OpenInodes::new();
        table.opened(Ino::new(7));
        let first = table.content(Ino::new(7));
        assert!(!table.released(Ino::new(7)));
        let second = table.content(Ino::new(7));
        let _exclusive = first.exclusive();
        assert!(second.lock.try_read().is_err());
    }
}
