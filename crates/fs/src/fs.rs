//! The file tree of one branch: opening it, and what concerns it as a whole.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use tine_store::{BLOCK_BYTES, Branch, ReadTxn, Store};

use crate::eviction_queue::EvictionQueue;
use crate::header::Header;
use crate::inode::{Inode, Link};
use crate::name_hash::Seed;
use crate::open_inodes::OpenInodes;
use crate::time::{self, Moment};
use crate::{
    Attr, Error, Ino, Kind, NAME_BYTES_MAX, NewRoot, ROOT, Result, blob, bucket, key, numbers, path,
};

/// The file tree of one open branch; cheap to clone, shared by threads.
#[derive(Clone)]
pub struct Fs(Arc<Inner>);

struct Inner {
    store: Store,
    branch: Branch,
    seed: Seed,
    /// The reserved inode numbers that are not given yet.
    inos: Mutex<Range<u64>>,
    open_inodes: OpenInodes,
    eviction_queue: EvictionQueue,
}

/// Space and limits of the file system, as `statfs(2)` tells them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    /// Bytes of one block.
    pub block_bytes: u32,
    /// Blocks of the whole store.
    pub blocks: u64,
    /// Blocks that are free.
    pub blocks_free: u64,
    /// The longest name.
    pub name_bytes_max: u32,
}

impl Fs {
    /// Makes an empty file tree in a branch that has none.
    pub fn format(branch: &Branch, root: &NewRoot) -> Result<()> {
        let mut txn = branch.write()?;
        if txn.get(key::HEADER)?.is_some() {
            return Err(Error::Invalid("the branch holds a file tree already"));
        }
        let Moment { now, birth } = time::moment();
        let header = Header { seed: Seed::random() };
        let attr = Attr {
            ino: ROOT,
            size: 0,
            blocks_512: 0,
            atime: now,
            mtime: now,
            ctime: now,
            crtime: birth,
            kind: Kind::Directory,
            mode: root.mode & 0o7777,
            nlink: 2,
            uid: root.uid,
            gid: root.gid,
            rdev: 0,
        };
        let inode =
            Inode { attr, home: Some(Link { parent: ROOT, position: 0 }), capability: false };
        txn.put(key::HEADER, &header.encode())?;
        txn.put(&key::of(key::INODE, ROOT), &inode.encode())?;
        Ok(txn.commit()?)
    }

    /// Opens the file tree of a branch, and evicts the files that cannot be reached any more: those
    /// that were unlinked while in use when a crash or a fork ended that use. A snapshot opens too;
    /// every change of it is refused.
    ///
    /// A branch has one open tree at a time, with its clones: a second one would evict what the
    /// first has in use. To look into a branch that is open elsewhere, fork it and open the fork.
    pub fn open(store: &Store, branch: Branch) -> Result<Fs> {
        let header = Header::read(&branch)?;
        let fs = Fs(Arc::new(Inner {
            store: store.clone(),
            branch,
            seed: header.seed,
            inos: Mutex::new(0..0),
            open_inodes: OpenInodes::new(),
            eviction_queue: EvictionQueue::default(),
        }));
        if !fs.branch().sealed() {
            fs.evict_orphans()?;
        }
        Ok(fs)
    }

    /// The branch underneath.
    pub fn branch(&self) -> &Branch {
        &self.0.branch
    }

    pub(crate) fn open_inodes(&self) -> &OpenInodes {
        &self.0.open_inodes
    }

    pub(crate) fn eviction_queue(&self) -> &EvictionQueue {
        &self.0.eviction_queue
    }

    pub(crate) fn seed(&self) -> Seed {
        self.0.seed
    }

    /// The bucket that a name of a directory belongs to.
    pub(crate) fn place(&self, dir: Ino, name: &[u8]) -> bucket::Place {
        bucket::Place::of(dir, self.0.seed, name)
    }

    pub(crate) fn snapshot(&self) -> Result<ReadTxn> {
        Ok(self.0.branch.read()?)
    }

    /// A number for a new inode. It is not given again, even if the inode is not made.
    pub(crate) fn new_ino(&self) -> Result<Ino> {
        let mut inos = self.0.inos.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(ino) = inos.next() {
                return Ok(Ino::new(ino));
            }
            let mut txn = self.0.branch.write()?;
            let header = Header::decode(&self.0.branch, txn.get(key::HEADER)?)?;
            // The same again, or its first of this version.
            txn.put(key::HEADER, &header.encode())?;
            let commit = txn.commit_numbered()?.ok_or(Error::DamagedTree { what: "the header" })?;
            let reserved = numbers::reserved_by(commit);
            // What came from another store may be in the way, or what a forged tree has.
            if numbers::are_free(&self.snapshot()?, &reserved)? {
                *inos = reserved;
            }
        }
    }

    /// The attributes of a file.
    pub fn getattr(&self, ino: Ino) -> Result<Attr> {
        Ok(inode(&self.snapshot()?, ino)?.attr)
    }

    /// Counts one more user of an inode: an open file, or a kernel that knows it.
    pub fn opened(&self, ino: Ino) {
        self.0.open_inodes.opened(ino);
    }

    /// Counts one user less. After the last one, a file without a name is evicted.
    pub fn released(&self, ino: Ino) -> Result<()> {
        if self.0.open_inodes.released(ino) { self.evict(ino) } else { Ok(()) }
    }

    /// Makes every finished operation on a file durable, and on all others with it.
    pub fn fsync(&self, ino: Ino) -> Result<()> {
        inode(&self.snapshot()?, ino)?;
        Ok(self.0.branch.sync()?)
    }

    /// Returns `true` if every finished operation is durable already.
    pub fn is_durable(&self) -> bool {
        self.0.branch.is_durable()
    }

    /// Makes every finished operation durable.
    pub fn sync(&self) -> Result<()> {
        self.evict_queued()?;
        Ok(self.0.branch.sync()?)
    }

    /// Space and limits of the store that the branch is in.
    pub fn statfs(&self) -> Result<Stat> {
        if !self.0.branch.sealed() {
            self.evict_queued()?;
        }
        let space = self.0.store.space()?;
        let blocks_free = space.available_bytes / BLOCK_BYTES as u64;
        let used = space.used_bytes.div_ceil(BLOCK_BYTES as u64);
        Ok(Stat {
            block_bytes: BLOCK_BYTES as u32,
            blocks: used.saturating_add(blocks_free),
            blocks_free,
            name_bytes_max: NAME_BYTES_MAX as u32,
        })
    }

    /// How many bytes of data the store has room for.
    pub fn room_bytes(&self) -> Result<u64> {
        Ok(self.0.store.room_bytes()?)
    }

    /// Returns `true` if the store has room for `bytes` of data.
    pub fn has_room_for(&self, bytes: u64) -> Result<bool> {
        Ok(self.0.store.has_room_for(bytes)?)
    }

    /// Records the host directory that the tree was taken from.
    pub fn set_origin(&self, path: &[u8]) -> Result<()> {
        let mut txn = self.0.branch.write()?;
        blob::put(&mut txn, key::ORIGIN, path)?;
        Ok(txn.commit()?)
    }

    /// The host directory that the tree was taken from, if it was.
    pub fn origin(&self) -> Result<Option<Vec<u8>>> {
        origin(&self.snapshot()?)
    }
}

/// The host directory that the tree of a snapshot was taken from, if it was.
pub fn origin(txn: &ReadTxn) -> Result<Option<Vec<u8>>> {
    blob::get(txn, key::ORIGIN)
}

/// An inode that has to be there.
pub(crate) fn inode(txn: &ReadTxn, ino: Ino) -> Result<Inode> {
    path::inode(txn, ino)?.ok_or(Error::NoInode { ino })
}
