//! The one place where time and chance come in.

use std::hash::{BuildHasher, RandomState};
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};

use crate::Time;

/// The time that files are stamped with: the coarse clock that the kernel stamps its own files with, so
/// that stamps of the two compare.
pub(crate) fn now() -> Time {
    let now = clock_gettime(ClockId::RealtimeCoarse);
    Time { secs: now.tv_sec, nanos: now.tv_nsec as u32 }
}

/// The time of birth, as fine as the machine can tell: with the number of the inode it identifies a file
/// across branches, see [`crate::diff`].
pub(crate) fn birth() -> Time {
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => Time { secs: since.as_secs() as i64, nanos: since.subsec_nanos() },
        Err(_) => now(),
    }
}

/// A number that nobody can foresee.
pub(crate) fn seed() -> u64 {
    RandomState::new().hash_one(0u64)
}
