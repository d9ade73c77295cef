//! Snapshots: what live memory held at a cut, to be read and saved at leisure.

use std::io::Write;
use std::ops::{Deref, Range};
use std::sync::Arc;
use std::time::Duration;

use crate::linux::changes::{Baseline, NO_RECORD};
use crate::linux::error::{Error, Result};
use crate::linux::live::Shared;
use crate::linux::page::{PAGE, pages_touched};
use crate::linux::sink::PageSink;
use crate::linux::window::{Frozen, Taking};

/// Bytes saved at a time, after which their pages go back to the writers.
const CHUNK: usize = 64 * PAGE;

/// A consistent copy of live memory. Dereferences to its bytes, which never change.
///
/// Saving it gives each page back as soon as it is written out; dropping it gives all of them back.
#[derive(Debug)]
pub struct Snapshot {
    shared: Arc<Shared>,
    frozen: Arc<Frozen>,
    len: usize,
    pause: Duration,
}

impl Snapshot {
    pub(crate) fn new(shared: Arc<Shared>, frozen: Arc<Frozen>, pause: Duration) -> Self {
        let len = shared.len;
        Self { shared, frozen, len, pause }
    }

    /// How long the cut kept writers out.
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

    /// Hands the pages that differ from `baseline` to `sink`, has it commit them, and makes `baseline` that
    /// of this snapshot. Reads every page. Returns the bytes handed over.
    pub(crate) fn save_changes(
        self,
        sink: &mut impl PageSink,
        baseline: &mut Baseline,
    ) -> Result<u64> {
        baseline.update(self.len, |hashes| {
            let mut saved = 0;
            for start in (0..self.len).step_by(CHUNK) {
                let chunk = start..(start + CHUNK).min(self.len);
                for pages in hashes.update(start / PAGE, &self[chunk.clone()]) {
                    let run = pages.start * PAGE..(pages.end * PAGE).min(self.len);
                    sink.write_at(&self[run.clone()], run.start as u64).map_err(saving)?;
                    saved += run.len() as u64;
                }
                self.give_back(chunk)?;
            }
            sink.commit().map_err(saving)?;
            Ok((saved, NO_RECORD))
        })
    }

    /// Gives pages back to the writers, who have copied the ones that they could not wait for.
    fn give_back(&self, bytes: Range<usize>) -> Result<()> {
        let pages = pages_touched(&bytes);
        // Under the lock: once another snapshot is cut, these pages must not go back any more.
        self.shared.with_space(|space| match &space.window {
            Some(window)
                if Arc::ptr_eq(window.frozen(), &self.frozen) && space.mapping.is_here() =>
            {
                window.settle(pages.clone(), Taking::Move)
            }
            _ => Ok(()),
        })?;
        // SAFETY: these bytes are not read again: `self` is consumed by whoever calls this.
        unsafe { self.frozen.mapping().release(pages.start * PAGE..pages.end * PAGE) }?;
        // A writer that lost this processor in the middle of a write gets it back now, and not after a slice
        // of the scheduler or, where it only looks at its clock, a tick.
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
        self.shared.with_space(|space| {
            let Some(window) = &space.window else { return };
            if Arc::ptr_eq(window.frozen(), &self.frozen)
                && window.settle(space.pages(), Taking::Move).is_ok()
            {
                // A window that stays open costs time, not content.
                let _ = space.close_window();
            }
        });
    }
}

pub(crate) fn saving(error: std::io::Error) -> Error {
    Error::os("save a snapshot", error)
}
