//! Orphans that are no longer in use and are still to be evicted, see `orphan`.

use std::sync::{Mutex, PoisonError};

use crate::Ino;

#[derive(Default)]
pub(crate) struct EvictionQueue(Mutex<Vec<Ino>>);

impl EvictionQueue {
    pub fn add(&self, ino: Ino) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(ino);
    }

    /// Takes the inodes that were added last, at most `count_max`.
    pub fn take(&self, count_max: usize) -> Vec<Ino> {
        let mut inos = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let rest = inos.len().saturating_sub(count_max);
        inos.split_off(rest)
    }

    pub fn len(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}
