//! A branch in memory.

use crate::error::{Error, Result};
use crate::format::catalog::BranchMeta;
use crate::format::ids::{BranchId, ForkPointId, Sequence};
use crate::space::Preallocation;
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use crate::sync::{Mutex, RwLock};
use crate::tree::Root;
use std::sync::Arc;

/// A branch in memory, one for all its handles.
#[derive(Debug)]
pub(crate) struct BranchInner {
    pub id: BranchId,
    pub state: RwLock<BranchState>,
    /// Held by the one write transaction.
    pub writer: Mutex<()>,
    pub preallocation: Mutex<Preallocation>,
    /// Number after its last journal record.
    pub written: AtomicU64,
    /// Changed since the last cut.
    pub dirty: AtomicBool,
    /// Set with the state held, so it stays as it is while the state is held.
    pub deleted: AtomicBool,
}

#[derive(Debug)]
pub(crate) struct BranchState {
    pub meta: BranchMeta,
    pub root: Root,
    /// Times that it was reset since it was loaded. What began before one of them must not be
    /// committed on top of it.
    pub resets: u64,
    /// The fork point that names the present root, until the next commit.
    pub fork_point: Option<ForkPointId>,
}

impl BranchInner {
    pub fn new(id: BranchId, meta: BranchMeta, root: Root) -> Arc<BranchInner> {
        Arc::new(BranchInner {
            id,
            state: RwLock::new(BranchState { meta, root, resets: 0, fork_point: None }),
            writer: Mutex::new(()),
            preallocation: Mutex::default(),
            written: AtomicU64::new(0),
            dirty: AtomicBool::new(false),
            deleted: AtomicBool::new(false),
        })
    }

    /// The number after its last journal record.
    pub fn written(&self) -> Sequence {
        Sequence(self.written.load(Ordering::Acquire))
    }

    /// Refuses a branch that was deleted. Called with the state held, the answer stays right.
    pub fn exists(&self, state: &BranchState) -> Result<()> {
        match self.deleted.load(Ordering::Acquire) {
            true => Err(Error::BranchNotFound { name: state.meta.name.clone() }),
            false => Ok(()),
        }
    }

    /// Refuses a transaction that began when the branch had been reset `resets` times, if it is
    /// gone or was reset since.
    pub fn is_as_begun(&self, state: &BranchState, resets: u64) -> Result<()> {
        self.exists(state)?;
        match state.resets == resets {
            true => Ok(()),
            false => Err(Error::BranchReset { name: state.meta.name.clone() }),
        }
    }
}
