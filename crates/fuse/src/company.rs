//! Whether anybody would miss a thread that leaves the queue alone for the time of a flush.
//!
//! A program that works alone waits for its flush and asks for nothing meanwhile: calling another thread
//! to the queue would only take the processor from it. Beside others, or where a flush takes long,
//! somebody has to be there.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

/// Up to this mean of the last flushes the queue may be left alone for the next.
const SHORT: Duration = Duration::from_micros(250);

/// The mean goes back about so many flushes.
const REMEMBERED_FLUSHES: u64 = 16;

/// After somebody was kept waiting, so many flushes are served with another thread at the queue.
const CAREFUL_FLUSHES: u32 = 64;

/// What the last flushes of a mount taught.
#[derive(Debug, Default)]
pub(crate) struct Company {
    /// Flushes for which another thread has to be at the queue.
    careful: AtomicU32,
    /// What a flush takes of late, in nanoseconds.
    mean: AtomicU64,
}

impl Company {
    /// Whether the queue may be left alone for the next flush.
    pub fn is_absent(&self) -> bool {
        let one_less = |careful: u32| careful.checked_sub(1);
        self.careful.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less).is_err()
            && self.mean.load(Ordering::Relaxed) <= SHORT.as_nanos() as u64
    }

    /// Notes how long a flush took.
    pub fn flushed(&self, took: Duration) {
        let mean = self.mean.load(Ordering::Relaxed);
        // Another thread's flush may be lost here, which a mean can bear.
        let mean = mean - mean / REMEMBERED_FLUSHES + took.as_nanos() as u64 / REMEMBERED_FLUSHES;
        self.mean.store(mean, Ordering::Relaxed);
    }

    /// Notes that a request waited for the end of somebody else's flush.
    pub fn kept_waiting(&self) {
        self.careful.store(CAREFUL_FLUSHES, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_queue_is_left_alone_again_some_flushes_after_somebody_waited() {
        let company = Company::default();
        assert!(company.is_absent());
        company.kept_waiting();
        for _ in 0..CAREFUL_FLUSHES {
            assert!(!company.is_absent());
        }
        assert!(company.is_absent());
    }

    #[test]
    fn a_slow_disk_wants_somebody_at_the_queue() {
        let company = Company::default();
        company.flushed(SHORT);
        assert!(company.is_absent());
        company.flushed(Duration::from_millis(1));
        assert!(company.is_absent(), "once is no habit");
        for _ in 0..REMEMBERED_FLUSHES {
            company.flushed(Duration::from_millis(1));
        }
        assert!(!company.is_absent());
    }
}
