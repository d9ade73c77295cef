//! Cached data that the store did not take, which the kernel is made to forget.
//!
//! When a page cannot be written back, the kernel tells the next `fsync` so, and goes on showing the page as
//! if it had been written. A database that recovers from that error would read in the cache what is on no
//! disk, and build on it. So the pages are dropped, and what is read then is what the store has.
//!
//! Dropping pages waits for those that are being written, which somebody has to serve meanwhile. Hence a
//! thread of its own, fed through this queue.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard};

use tine_fs::Ino;

use crate::reply::{NOTICE_BYTES, notice};

/// A range of a file that was written back in vain.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Refused {
    pub ino: Ino,
    pub offset: u64,
    pub bytes: u64,
}

impl Refused {
    /// The message that makes the kernel drop it.
    pub fn notice(&self) -> [u8; NOTICE_BYTES] {
        // The kernel's offsets are signed, and no file is longer than they say.
        notice(self.ino, self.offset as i64, self.bytes as i64)
    }
}

/// What is to be dropped.
#[derive(Debug, Default)]
pub(crate) struct Refusals {
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    ranges: VecDeque<Refused>,
    stopped: bool,
}

impl Refusals {
    /// Adds a range; only after its write was answered.
    pub fn push(&self, refused: Refused) {
        self.waiting().ranges.push_back(refused);
        self.changed.notify_one();
    }

    /// The next range, as soon as there is one; `None` at the end of the mount.
    pub fn next(&self) -> Option<Refused> {
        let mut waiting = self.waiting();
        loop {
            if waiting.stopped {
                return None;
            }
            if let Some(refused) = waiting.ranges.pop_front() {
                return Some(refused);
            }
            waiting = self.changed.wait(waiting).unwrap_or_else(|poison| poison.into_inner());
        }
    }

    /// Ends the queue.
    pub fn stop(&self) {
        self.waiting().stopped = true;
        self.changed.notify_all();
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(|poison| poison.into_inner())
    }
}
