//! Pages that the kernel has to drop, because they are not what the store has.
//!
//! When a page cannot be written back, the kernel tells the next `fsync` so, and goes on showing
//! the page as if it had been written. A database that recovers from that error would read in the
//! cache what is on no disk, and build on it. So the pages of a failed write-back are dropped; what
//! is read then comes from the store.
//!
//! Pages that a direct write replaced are dropped as well, before the write is answered: see
//! `cached`.
//!
//! Dropping pages waits for those that are being written back, which the worker threads serve. A
//! worker must not wait for itself, so a thread of its own drops them, fed through this queue.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::Duration;

use crate::lock::lock;
use crate::notify::FileRange;

/// The ranges that are still to be dropped.
#[derive(Debug, Default)]
pub(crate) struct InvalidationQueue {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Each with the answer to send afterwards, if one waits for it.
    ranges: VecDeque<(FileRange, Option<Vec<u8>>)>,
    woken: bool,
    stopped: bool,
}

/// What the thread that drops pages does next.
#[derive(Debug, PartialEq)]
pub(crate) enum Next {
    /// Drop the range, then send the answer, if there is one.
    Range(FileRange, Option<Vec<u8>>),
    /// Nothing is queued: time has passed, or [`InvalidationQueue::wake`] was called.
    Nothing,
    /// The mount has ended.
    Stop,
}

impl InvalidationQueue {
    /// Queues a range. Called after its write was answered.
    pub fn push(&self, range: FileRange) {
        self.add(range, None);
    }

    /// Queues a range that has to be dropped before `answer` is sent.
    pub fn push_before(&self, range: FileRange, answer: &[u8]) {
        self.add(range, Some(answer.to_vec()));
    }

    fn add(&self, range: FileRange, answer: Option<Vec<u8>>) {
        self.state().ranges.push_back((range, answer));
        self.changed.notify_one();
    }

    /// Waits for the next range, for [`InvalidationQueue::wake`], or until `timeout` has passed.
    pub fn next(&self, timeout: Duration) -> Next {
        let mut state = self.state();
        if state.ranges.is_empty() && !state.stopped && !state.woken {
            let waited = self.changed.wait_timeout(state, timeout);
            state = waited.unwrap_or_else(|poison| poison.into_inner()).0;
        }
        state.woken = false;
        if state.stopped {
            return Next::Stop;
        }
        let first = state.ranges.pop_front();
        first.map_or(Next::Nothing, |(range, answer)| Next::Range(range, answer))
    }

    /// Makes [`InvalidationQueue::next`] return at once.
    pub fn wake(&self) {
        self.state().woken = true;
        self.changed.notify_one();
    }

    /// Makes [`InvalidationQueue::next`] return [`Next::Stop`] from now on.
    pub fn stop(&self) {
        self.state().stopped = true;
        self.changed.notify_all();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_come_in_their_order_and_the_end_comes_before_them() {
        let queue = InvalidationQueue::default();
        let range = |offset| FileRange { ino: tine_fs::ROOT, offset, bytes: 1 };
        queue.push(range(1));
        queue.push(range(2));
        let next = || queue.next(Duration::ZERO);
        assert_eq!(next(), Next::Range(range(1), None));
        assert_eq!((next(), next()), (Next::Range(range(2), None), Next::Nothing));
        queue.wake();
        assert_eq!(queue.next(Duration::from_secs(3600)), Next::Nothing);
        queue.push(range(3));
        queue.stop();
        assert_eq!(next(), Next::Stop);
    }
}
