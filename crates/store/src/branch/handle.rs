//! The handle of a branch: reading, staging and changing it.

use super::inner::{BranchInner, BranchState};
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::open_store::Shared;
use crate::space::Purpose;
use crate::sync::{lock, read};
use crate::txn::{ReadTxn, Staged, WriteTxn};
use crate::usage::BranchUsage;
use std::sync::Arc;

/// A handle of a branch; cheap to clone.
#[derive(Debug, Clone)]
pub struct Branch {
    pub(crate) shared: Arc<Shared>,
    pub(crate) inner: Arc<BranchInner>,
}

impl Branch {
    /// The branch's number.
    pub fn id(&self) -> u64 {
        self.inner.id.0
    }

    /// The branch's name now. A child of `fork(2)` has no branch, and this is empty.
    pub fn name(&self) -> String {
        match self.shared.engine() {
            Ok(_) => read(&self.inner.state).meta.name.clone(),
            Err(_) => String::new(),
        }
    }

    /// Whether it is a snapshot, or this is a child of `fork(2)`, which cannot write either.
    pub fn sealed(&self) -> bool {
        self.shared.engine().is_err() || read(&self.inner.state).meta.sealed
    }

    /// A consistent snapshot of what is committed now.
    ///
    /// # Errors
    /// [`Error::BranchNotFound`] when the branch was deleted.
    pub fn read(&self) -> Result<ReadTxn> {
        let engine = self.shared.engine()?;
        let state = read(&self.inner.state);
        self.inner.exists(&state)?;
        Ok(self.view(engine, &state))
    }

    /// A snapshot of the state, which is held.
    fn view(&self, engine: &Engine, state: &BranchState) -> ReadTxn {
        ReadTxn::new(Arc::clone(&self.shared), state.root.clone(), engine.pin())
    }

    /// The state at which the branch was forked; `None` for one that was made empty.
    ///
    /// # Errors
    /// Damage and I/O errors.
    pub fn fork_point(&self) -> Result<Option<ReadTxn>> {
        let fork_point = self.shared.engine()?.fork_point_root(&self.inner)?;
        Ok(fork_point.map(|(root, pin)| ReadTxn::new(Arc::clone(&self.shared), root, pin)))
    }

    /// Takes blocks for `data` (a multiple of 4096 bytes, at most 1 MiB) and puts it there; call it
    /// outside any transaction, from as many threads as you like.
    ///
    /// # Errors
    /// [`Error::NoSpace`], [`Error::TooLarge`], [`Error::BranchNotFound`] when the branch was
    /// deleted; I/O errors.
    pub fn stage(&self, data: &[u8]) -> Result<Staged> {
        self.stage_for(data, Purpose::Data)
    }

    /// As [`Branch::stage`], for a change that [gives back](WriteTxn::gives_back) more than this
    /// takes.
    ///
    /// # Errors
    /// As [`Branch::stage`].
    pub fn stage_giving_back(&self, data: &[u8]) -> Result<Staged> {
        self.stage_for(data, Purpose::Release)
    }

    fn stage_for(&self, data: &[u8], purpose: Purpose) -> Result<Staged> {
        let engine = self.shared.engine()?;
        engine.limit_dirty()?;
        Staged::new(engine, &self.inner, data, purpose)
    }

    /// Begins a change; waits for the branch's other writer. It has to be committed before the
    /// branch is reset or deleted, and does not keep it from that.
    ///
    /// # Errors
    /// [`Error::Sealed`], [`Error::BranchNotFound`], [`Error::Poisoned`].
    pub fn write(&self) -> Result<WriteTxn<'_>> {
        let engine = self.shared.engine()?;
        engine.health.check()?;
        let writer = lock(&self.inner.writer);
        let state = read(&self.inner.state);
        self.inner.exists(&state)?;
        if state.meta.sealed {
            return Err(Error::Sealed { name: state.meta.name.clone() });
        }
        let view = self.view(engine, &state);
        Ok(WriteTxn::new(&self.shared, &self.inner, view, state.resets, writer))
    }

    /// Returns when all that was committed to the branch so far is durable.
    ///
    /// # Errors
    /// [`Error::Poisoned`] and I/O errors: then nothing can be said of what was not durable yet.
    pub fn sync(&self) -> Result<()> {
        self.shared.engine()?.sync_to(self.inner.written())
    }

    /// Whether [`Branch::sync`] would have nothing to do; not so in a child of `fork(2)`.
    pub fn is_durable(&self) -> bool {
        self.shared.engine().is_ok_and(|engine| engine.journal.durable() >= self.inner.written())
    }

    /// What the branch references, and what deleting it would free. Costs a walk of its private
    /// part.
    ///
    /// # Errors
    /// Damage and I/O errors.
    pub fn usage(&self) -> Result<BranchUsage> {
        self.shared.engine()?.branch_usage(&self.inner)
    }
}
