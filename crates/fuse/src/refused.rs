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
use std::time::Duration;

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
    woken: bool,
    stopped: bool,
}

/// What there is to do next.
#[derive(Debug, PartialEq)]
pub(crate) enum Next {
    Range(Refused),
    Nothing,
    /// The mount has ended.
    Stop,
}

impl Refusals {
    /// Adds a range; only after its write was answered.
    pub fn push(&self, refused: Refused) {
        self.waiting().ranges.push_back(refused);
        self.changed.notify_one();
    }

    /// Waits for the next range, to be woken, or for so long.
    pub fn next(&self, patience: Duration) -> Next {
        let mut waiting = self.waiting();
        if waiting.ranges.is_empty() && !waiting.stopped && !waiting.woken {
            let waited = self.changed.wait_timeout(waiting, patience);
            waiting = waited.unwrap_or_else(|poison| poison.into_inner()).0;
        }
        waiting.woken = false;
        match waiting.stopped {
            true => Next::Stop,
            false => waiting.ranges.pop_front().map_or(Next::Nothing, Next::Range),
        }
    }

    /// Has whoever waits go on.
    pub fn wake(&self) {
        self.waiting().woken = true;
        self.changed.notify_one();
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_come_in_their_order_and_the_end_comes_before_them() {
        let refusals = Refusals::default();
        let range = |ino| Refused { ino, offset: 0, bytes: 1 };
        refusals.push(range(1));
        refusals.push(range(2));
        let next = || refusals.next(Duration::ZERO);
        assert_eq!(next(), Next::Range(range(1)));
        assert_eq!((next(), next()), (Next::Range(range(2)), Next::Nothing));
        refusals.wake();
        assert_eq!(refusals.next(Duration::from_secs(3600)), Next::Nothing);
        refusals.push(range(3));
        refusals.stop();
        assert_eq!(next(), Next::Stop);
    }
}
