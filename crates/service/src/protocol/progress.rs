//! How far a long request is, and whether it is to stop.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

use crate::protocol::{Code, Error, Result};

/// How far a long request is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProgressUpdate {
    /// Bytes done.
    pub bytes: u64,
    /// Bytes known of so far.
    pub bytes_found: u64,
    /// Things done.
    pub files: u64,
    /// Whether the copy is being read back.
    pub verifying: bool,
}

/// Shared between the threads that work and the one that tells.
#[derive(Debug, Default)]
pub struct Progress {
    bytes: AtomicU64,
    bytes_found: AtomicU64,
    files: AtomicU64,
    verifying: AtomicBool,
    cancelled: AtomicBool,
}

impl Progress {
    /// More data is to be copied.
    pub fn found(&self, bytes: u64) {
        self.bytes_found.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Data has been copied.
    pub fn copied(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// A file is complete.
    pub fn file_done(&self) {
        self.files.fetch_add(1, Ordering::Relaxed);
    }

    /// From here on the copy is read back.
    pub fn begin_verifying(&self) {
        self.bytes_found.store(self.bytes.swap(0, Ordering::Relaxed), Ordering::Relaxed);
        self.files.store(0, Ordering::Relaxed);
        self.verifying.store(true, Ordering::Relaxed);
    }

    /// Makes every worker stop at its next step.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }

    /// An error once [`Progress::cancel`] was called.
    pub fn go_on(&self) -> Result<()> {
        if self.cancelled.load(Ordering::Relaxed) {
            return Err(Error::new(Code::Interrupted, "stopped before it was complete")
                .hint("what it had begun is undone"));
        }
        Ok(())
    }

    /// How far it is.
    pub fn step(&self) -> ProgressUpdate {
        ProgressUpdate {
            bytes: self.bytes.load(Ordering::Relaxed),
            bytes_found: self.bytes_found.load(Ordering::Relaxed),
            files: self.files.load(Ordering::Relaxed),
            verifying: self.verifying.load(Ordering::Relaxed),
        }
    }
}
