//! A branch in memory.

use crate::error::{Error, Result};
use crate::format::catalog::BranchMeta;
use crate::space::Arena;
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use crate::sync::{Mutex, RwLock};
use crate::tree::Root;
use std::sync::Arc;

/// A branch in memory, one for all its handles.
#[derive(Debug)]
pub(crate) struct Core {
    pub id: u64,
    pub state: RwLock<State>,
    /// Held by the one write transaction.
    pub writer: Mutex<()>,
    pub arena: Mutex<Arena>,
    /// Number behind its last journal record.
    pub written: AtomicU64,
    /// Changed since the last cut.
    pub dirty: AtomicBool,
    /// Set with the state held, so that who holds it too knows that it stays as it is.
    pub deleted: AtomicBool,
}

#[derive(Debug)]
pub(crate) struct State {
    pub meta: BranchMeta,
    pub root: Root,
    /// Times that it was reset since it was loaded. What began before one of them must not be committed on top of it.
    pub resets: u64,
    /// The fork point that names the present root, until the next commit.
    pub cut: Option<u64>,
}

impl Core {
    pub fn new(id: u64, meta: BranchMeta, root: Root) -> Arc<Core> {
        Arc::new(Core {
            id,
            state: RwLock::new(State { meta, root, resets: 0, cut: None }),
            writer: Mutex::new(()),
            arena: Mutex::default(),
            written: AtomicU64::new(0),
            dirty: AtomicBool::new(false),
            deleted: AtomicBool::new(false),
        })
    }

    /// Refuses a branch that was deleted. Called with the state held, the answer stays right.
    pub fn exists(&self, state: &State) -> Result<()> {
        match self.deleted.load(Ordering::Acquire) {
            true => Err(Error::BranchNotFound { name: state.meta.name.clone() }),
            false => Ok(()),
        }
    }

    /// Refuses a transaction that began when the branch had been reset `resets` times, if it is gone or was reset since.
    pub fn is_as_begun(&self, state: &State, resets: u64) -> Result<()> {
        self.exists(state)?;
        match state.resets == resets {
            true => Ok(()),
            false => Err(Error::BranchReset { name: state.meta.name.clone() }),
        }
    }
}
