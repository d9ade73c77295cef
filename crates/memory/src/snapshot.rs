//! Snapshots: what a shared region held at one moment, to be read and saved while writers go on.

use std::io::Write;
use std::ops::{Deref, Range};
use std::sync::Arc;
use std::time::Duration;

use crate::error::Result;
use crate::gates::GatedMapping;
use crate::page::{PAGE, pages_touched};
use crate::sink::saving;
use crate::window::{Frozen, Transfer};

/// Bytes saved at a time, after which their pages go back to the writers.
pub(crate) const CHUNK: usize = 64 * PAGE;

/// A consistent copy of a shared region. Dereferences to its bytes, which never change.
///
/// Saving it gives each page back as soon as it is written out; dropping it gives all of them back.
#[derive(Debug)]
pub struct Snapshot {
    shared: Arc<GatedMapping>,
    frozen: Arc<Frozen>,
    pub(crate) len: usize,
    pause: Duration,
}

impl Snapshot {
    pub(crate) fn new(shared: Arc<GatedMapping>, frozen: Arc<Frozen>, pause: Duration) -> Self {
        let len = shared.len;
        Self { shared, frozen, len, pause }
    }

    /// How long taking the snapshot kept writers out.
    pub fn pause(&self) -> Duration {
        self.pause
    }

    /// Writes the whole content out, and gives it back to the writers as it goes.
    pub fn write_to(self, mut out: impl Write) -> Result<()> {
        for start in (0..self.len).step_by(CHUNK) {
            let chunk = start..(start + CHUNK).min(self.len);
            out.write_all(&self[chunk.clone()]).map_err(saving)?;
            self.give_back(chunk)?;
        }
        out.flush().map_err(saving)
    }

    /// Gives pages back to the writers, which have copied those that they needed before. The bytes
    /// must not be read again.
    pub(crate) fn give_back(&self, bytes: Range<usize>) -> Result<()> {
        let pages = pages_touched(&bytes);
        // Under the lock: once another snapshot is taken, these pages must not go back any more.
        self.shared.with_cow(|cow| match &cow.window {
            Some(window) if Arc::ptr_eq(window.frozen(), &self.frozen) && cow.mapping.is_here() => {
                window.settle(pages.clone(), Transfer::Move)
            }
            _ => Ok(()),
        })?;
        // SAFETY: these bytes are not read again: every caller consumes the snapshot as it goes.
        unsafe { self.frozen.mapping().release(pages.start * PAGE..pages.end * PAGE) }?;
        // A writer that lost this processor in the middle of a write gets it back now. It would
        // else wait for the end of this thread's time slice, or for the next tick of the scheduler.
        std::thread::yield_now();
        Ok(())
    }
}

impl Deref for Snapshot {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.frozen.mapping().bytes()[..self.len]
    }
}

impl Drop for Snapshot {
    fn drop(&mut self) {
        // What could not be given back is copied when it is touched, or by the next snapshot.
        self.shared.with_cow(|cow| {
            let Some(window) = &cow.window else { return };
            if Arc::ptr_eq(window.frozen(), &self.frozen)
                && window.settle(cow.pages(), Transfer::Move).is_ok()
            {
                // A window that stays open costs time, not content.
                let _ = cow.close_window();
            }
        });
    }
}
