//! Branches that a command is filling. They go with its connection, unless they were published.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::holder::context::Context;

/// The reserved branches of one connection.
pub struct Reserved<'a> {
    context: &'a Context,
    /// The name that each was made under, and its number: once it is published, or gone, the name
    /// may be that of a branch which another command fills.
    branches: Mutex<Vec<(String, u64)>>,
}

impl Reserved<'_> {
    pub fn new(context: &Context) -> Reserved<'_> {
        Reserved { context, branches: Mutex::default() }
    }

    /// Deletes the branch with the connection, unless it has another name by then.
    pub fn add(&self, branch: &tine_store::Branch) {
        self.branches().push((branch.name(), branch.id()));
    }

    fn branches(&self) -> MutexGuard<'_, Vec<(String, u64)>> {
        self.branches.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Reserved<'_> {
    fn drop(&mut self) {
        let branches: Vec<_> = self.branches().drain(..).collect();
        for (name, id) in branches {
            if self.context.store.branch(&name).is_ok_and(|branch| branch.id() == id) {
                self.context.mounts.abort(&name);
                // What cannot be deleted now is swept by the next process that opens the store.
                let _ = self.context.store.delete(&name).map(|()| self.context.store.sync());
            }
        }
    }
}
