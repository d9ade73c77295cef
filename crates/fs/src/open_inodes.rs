//! What is true of an inode only while the tree is open: how many use it, and who changes its data.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::Ino;

const SHARDS: usize = 64;

/// The inodes that are in use or being changed; everything else takes no memory.
pub(crate) struct LiveTable {
    shards: [Mutex<HashMap<Ino, Live>>; SHARDS],
}

#[derive(Default)]
struct Live {
    users: u64,
    /// It has no name any more: the last user lets it go.
    unlinked: bool,
    content: Arc<RwLock<()>>,
}

impl LiveTable {
    pub fn new() -> LiveTable {
        LiveTable { shards: std::array::from_fn(|_| Mutex::default()) }
    }

    fn shard(&self, ino: Ino) -> MutexGuard<'_, HashMap<Ino, Live>> {
        let shard = &self.shards[ino as usize % SHARDS];
        shard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts one user more.
    pub fn opened(&self, ino: Ino) {
        self.shard(ino).entry(ino).or_default().users += 1;
    }

    /// Counts one user less; whether the inode is now to be let go.
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

    /// Marks an inode as one without a name, or with one again; whether anybody uses it.
    pub fn set_unlinked(&self, ino: Ino, unlinked: bool) -> bool {
        match self.shard(ino).get_mut(&ino) {
            Some(live) if live.users > 0 => {
                live.unlinked = unlinked;
                true
            }
            _ => false,
        }
    }

    /// The lock over the data of an inode. Writers of whole blocks share it, for the transaction orders them; who keeps
    /// a part of a block, or moves the end of the file, has it alone.
    pub fn content(&self, ino: Ino) -> Content<'_> {
        let lock = self.shard(ino).entry(ino).or_default().content.clone();
        Content { table: self, ino, lock }
    }
}

pub(crate) struct Content<'a> {
    table: &'a LiveTable,
    ino: Ino,
    lock: Arc<RwLock<()>>,
}

impl Content<'_> {
    pub fn shared(&self) -> RwLockReadGuard<'_, ()> {
        self.lock.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn alone(&self) -> RwLockWriteGuard<'_, ()> {
        self.lock.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Content<'_> {
    fn drop(&mut self) {
        let mut shard = self.table.shard(self.ino);
        // Two are left when nobody else holds the lock: ours and the table's.
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

    fn known(table: &LiveTable) -> usize {
        table.shards.iter().map(|shard| shard.lock().unwrap().len()).sum()
    }

    #[test]
    fn an_inode_that_nobody_uses_takes_no_memory() {
        let table = LiveTable::new();
        table.opened(7);
        {
            let (seven, eight) = (table.content(7), table.content(8));
            let _guards = (seven.alone(), eight.shared());
            assert_eq!(known(&table), 2);
        }
        assert_eq!(known(&table), 1);
        assert!(!table.released(7));
        assert_eq!(known(&table), 0);
    }

    #[test]
    fn only_the_last_user_lets_an_unlinked_inode_go() {
        let table = LiveTable::new();
        assert!(!table.set_unlinked(7, true));
        table.opened(7);
        table.opened(7);
        assert!(table.set_unlinked(7, true));
        assert!(!table.released(7));
        assert!(table.released(7));
        assert!(!table.released(7));
    }

    #[test]
    fn a_lock_outlives_the_last_release_of_its_inode() {
        let table = LiveTable::new();
        table.opened(7);
        let first = table.content(7);
        assert!(!table.released(7));
        let second = table.content(7);
        let _alone = first.alone();
        assert!(second.lock.try_read().is_err());
    }
}
