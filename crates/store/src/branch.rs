//! One branch: a tree behind a lock, its kept fork point, and its single writer.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use crate::{BLOCK_BYTES, BranchUsage, Error, ReadTxn, Result, STAGE_BYTES_MAX, Store, WriteTxn};

pub(crate) type Block = Arc<[u8]>;
pub(crate) type Tree = BTreeMap<Vec<u8>, Entry>;

#[derive(Clone)]
pub(crate) enum Entry {
    Bytes(Vec<u8>),
    Block(Block),
}

pub(crate) struct Cell {
    pub id: u64,
    pub name: Mutex<String>,
    pub parent: Option<u64>,
    pub sealed: bool,
    pub created: SystemTime,
    pub tree: Mutex<Arc<Tree>>,
    pub base: Option<Arc<Tree>>,
    pub writer: Mutex<()>,
    pub deleted: AtomicBool,
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A branch of an open store; cheap to clone.
#[derive(Clone)]
pub struct Branch {
    pub(crate) store: Store,
    pub(crate) cell: Arc<Cell>,
}

/// Data that has its place and is not yet part of any branch.
pub struct Staged {
    pub(crate) blocks: Vec<Block>,
}

impl Branch {
    /// The number of the branch, never used again.
    pub fn id(&self) -> u64 {
        self.cell.id
    }

    /// The name of the branch at this moment.
    pub fn name(&self) -> String {
        lock(&self.cell.name).clone()
    }

    /// Whether this is a snapshot.
    pub fn sealed(&self) -> bool {
        self.cell.sealed
    }

    fn alive(&self) -> Result<()> {
        match self.cell.deleted.load(Ordering::Acquire) {
            true => Err(Error::BranchNotFound { name: self.name() }),
            false => Ok(()),
        }
    }

    /// A consistent snapshot of the branch.
    pub fn read(&self) -> Result<ReadTxn> {
        self.alive()?;
        Ok(ReadTxn { tree: lock(&self.cell.tree).clone() })
    }

    /// The kept fork point.
    pub fn base(&self) -> Result<Option<ReadTxn>> {
        Ok(self.cell.base.clone().map(|tree| ReadTxn { tree }))
    }

    /// Takes whole blocks of data, to be mapped by a transaction later.
    pub fn stage(&self, data: &[u8]) -> Result<Staged> {
        if data.len() > STAGE_BYTES_MAX || !data.len().is_multiple_of(BLOCK_BYTES) {
            return Err(Error::TooLarge {
                what: "staged data",
                bytes: data.len(),
                bytes_max: STAGE_BYTES_MAX,
            });
        }
        Ok(Staged { blocks: data.chunks(BLOCK_BYTES).map(Block::from).collect() })
    }

    /// Begins the one write transaction of this branch; waits for the one before.
    pub fn write(&self) -> Result<WriteTxn<'_>> {
        let guard = lock(&self.cell.writer);
        self.alive()?;
        if self.cell.sealed {
            return Err(Error::Sealed { name: self.name() });
        }
        Ok(WriteTxn::new(self, guard, self.read()?))
    }

    /// Makes every commit so far durable.
    pub fn sync(&self) -> Result<()> {
        self.store.sync()
    }

    /// What the branch holds and what it holds alone.
    pub fn usage(&self) -> Result<BranchUsage> {
        Ok(self.store.branch_usage(&self.cell))
    }
}
