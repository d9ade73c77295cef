//! What the handles of a store share.

use crate::engine::Engine;
use crate::error::Result;
use crate::sync::{Mutex, PoisonError, lock};
use std::sync::Arc;
use std::thread::JoinHandle;

/// What the handles of a store share; the store closes with the last.
#[derive(Debug)]
pub(crate) struct Shared {
    engine: Arc<Engine>,
    background: Mutex<Vec<JoinHandle<()>>>,
}

impl Shared {
    pub fn new(engine: Arc<Engine>, background: Vec<JoinHandle<()>>) -> Arc<Shared> {
        Arc::new(Shared { engine, background: Mutex::new(background) })
    }

    /// The engine. A child of `fork(2)` is refused: in its copy, locks are held by threads that it
    /// lacks.
    pub fn engine(&self) -> Result<&Arc<Engine>> {
        self.engine.here()?;
        Ok(&self.engine)
    }

    /// Stops the workers, makes all durable and marks the journal as closed.
    pub fn shut(&self) -> Result<()> {
        let engine = self.engine()?;
        engine.signal.stop();
        for worker in lock(&self.background).drain(..) {
            // A worker that panicked left the store as a crash would; what follows is still right.
            let _ = worker.join();
        }
        engine.close()
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        if self.engine.here().is_err() {
            // The threads of these handles run in the parent.
            let absent = self.background.get_mut().unwrap_or_else(PoisonError::into_inner);
            std::mem::forget(std::mem::take(absent));
            return;
        }
        // There is no caller to tell of an error; what was acknowledged is in the journal already.
        let _ = self.shut();
    }
}
