//! Decides if a thread may leave the queue unattended for the time of a flush.
//!
//! A program that works alone waits for its flush and asks for nothing meanwhile: another thread at
//! the queue would only take the processor from it. Where several programs work, or a flush takes
//! long, another thread has to attend the queue.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

/// With a mean of the last flushes up to this, the queue may be left unattended for the next.
const SHORT: Duration = Duration::from_micros(250);

/// The mean goes back about this many flushes.
const MEAN_FLUSHES: u64 = 16;

/// After a request had to wait for a flush, the queue is attended during this many flushes.
const ATTENDED_FLUSHES: u32 = 64;

/// What the last flushes of a mount taught.
#[derive(Debug, Default)]
pub(crate) struct FlushPolicy {
    /// The flushes during which the queue has to be attended.
    attended: AtomicU32,
    /// What a flush takes of late, in nanoseconds.
    mean_ns: AtomicU64,
}

impl FlushPolicy {
    /// Returns `true` if the queue may be left unattended during the next flush.
    pub fn may_leave_queue(&self) -> bool {
        let one_less = |attended: u32| attended.checked_sub(1);
        self.attended.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less).is_err()
            && self.mean_ns.load(Ordering::Relaxed) <= SHORT.as_nanos() as u64
    }

    /// Notes how long a flush took.
    pub fn on_flush(&self, took: Duration) {
        let mean = self.mean_ns.load(Ordering::Relaxed);
        // The flush of another thread may be lost here, which a mean can bear.
        let mean = mean - mean / MEAN_FLUSHES + took.as_nanos() as u64 / MEAN_FLUSHES;
        self.mean_ns.store(mean, Ordering::Relaxed);
    }

    /// Notes that a request waited while the queue was unattended.
    pub fn on_delayed_request(&self) {
        self.attended.store(ATTENDED_FLUSHES, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_queue_is_left_again_some_flushes_after_a_request_was_delayed() {
        let policy = FlushPolicy::default();
        assert!(policy.may_leave_queue());
        policy.on_delayed_request();
        for _ in 0..ATTENDED_FLUSHES {
            assert!(!policy.may_leave_queue());
        }
        assert!(policy.may_leave_queue());
    }

    #[test]
    fn on_a_slow_disk_the_queue_is_attended() {
        let policy = FlushPolicy::default();
        policy.on_flush(SHORT);
        assert!(policy.may_leave_queue());
        policy.on_flush(Duration::from_millis(1));
        assert!(policy.may_leave_queue(), "one slow flush changes nothing");
        for _ in 0..MEAN_FLUSHES {
            policy.on_flush(Duration::from_millis(1));
        }
        assert!(!policy.may_leave_queue());
    }
}
