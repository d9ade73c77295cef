//! What the way to a store brings to light, and is no reason to fail.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::protocol::Error;

/// The warnings of one command, shared by all its ways to a store.
#[derive(Clone, Debug, Default)]
pub struct Warnings(Arc<Mutex<Told>>);

#[derive(Debug, Default)]
struct Told {
    waiting: Vec<Error>,
    all: Vec<Error>,
}

impl Warnings {
    /// Adds a warning, unless it was given before.
    pub fn add(&self, warning: Error) {
        let mut told = self.told();
        if !told.all.contains(&warning) {
            told.all.push(warning.clone());
            told.waiting.push(warning);
        }
    }

    /// Those that were added since.
    pub fn take(&self) -> Vec<Error> {
        std::mem::take(&mut self.told().waiting)
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
