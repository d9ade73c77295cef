//! Cached data that the store did not take, which the kernel is made to forget.
//!
//! When a page cannot be written back, the kernel tells the next `fsync` so, and goes on showing the page as
//! if it had been written. A database that recovers from that error would read in the cache what is on no
//! disk, and build on it. So the pages are dropped, and what is read then is what the store has.
//!
//! Pages of what was written directly are dropped as well, before that is answered: see `cached`.
//!
//! Dropping pages waits for those that are being written, which somebody has to serve meanwhile. Hence a
//! thread of its own, fed through this queue.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::Duration;

use tine_fs::Ino;

use crate::reply::{NOTICE_BYTES, notice};

/// A range of a file that was written back in vain, or directly.
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
    /// Each with the answer that is due afterwards, if one is.
    ranges: VecDeque<(Refused, Option<Vec<u8>>)>,
    woken: bool,
    stopped: bool,
}

/// What there is to do next.
#[derive(Debug, PartialEq)]
pub(crate) enum Next {
    /// Drop it, and send the answer that is due afterwards, if one is.
    Range(Refused, Option<Vec<u8>>),
    Nothing,
    /// The mount has ended.
    Stop,
}

impl Refusals {
    /// Adds a range; only after its write was answered.
    pub fn push(&self, refused: Refused) {
        self.add(refused, None);
    }

    /// Adds a range that has to be dropped before an answer is sent.
    pub fn push_before(&self, refused: Refused, answer: &[u8]) {
        self.add(refused, Some(answer.to_vec()));
    }

    fn add(&self, refused: Refused, answer: Option<Vec<u8>>) {
        self.waiting().ranges.push_back((refused, answer));
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
            false => waiting
                .ranges
                .pop_front()
                .map_or(Next::Nothing, |(refused, answer)| Next::Range(refused, answer)),
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
        assert_eq!(next(), Next::Range(range(1), None));
        assert_eq!((next(), next()), (Next::Range(range(2), None), Next::Nothing));
        refusals.wake();
        assert_eq!(refusals.next(Duration::from_secs(3600)), Next::Nothing);
        refusals.push(range(3));
        refusals.stop();
        assert_eq!(next(), Next::Stop);
    }
}
