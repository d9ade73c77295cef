//! Predicts which write is the last before a flush: a program that commits writes one run of pages
//! and flushes the file, again and again.
//!
//! The kernel hands over the pages when the flush begins, waits for the answer, and only then asks
//! for the flush itself. A server that predicts it flushes as soon as the pages are there, while
//! the kernel still wakes the program and makes its request. Where the clock has ticked since the
//! last flush, one more request lies between the two, a SETATTR with the times of the file; then
//! that is the last.
//!
//! A wrong prediction costs one flush of the disk, and forgets the pattern.

use std::sync::{Mutex, MutexGuard};

use tine_fs::{Ino, Time};

use crate::lock::lock;

/// Files that are watched; two that share a slot displace each other.
const SLOTS: usize = 64;

/// The last requests to the files of a mount.
#[derive(Debug)]
pub(crate) struct FlushPredictor(Mutex<[Option<History>; SLOTS]>);

#[derive(Clone, Copy, Debug)]
struct History {
    ino: Ino,
    /// Writes since the last flush.
    writes: u32,
    /// There was one write before the last flush, and at most one since.
    single: bool,
    /// The last time of change that the kernel sent.
    mtime: Time,
}

impl Default for FlushPredictor {
    fn default() -> FlushPredictor {
        FlushPredictor(Mutex::new([None; SLOTS]))
    }
}

impl FlushPredictor {
    /// Notes a write of cached pages. Returns `true` if a flush should follow at once, which needs
    /// that the kernel has sent the time `now` already.
    pub fn on_write(&self, ino: Ino, now: Time) -> bool {
        self.with(ino, |history| {
            history.writes += 1;
            history.single &= history.writes == 1;
            history.single && history.mtime >= now
        })
    }

    /// Notes a time of change that the kernel sends. Returns `true` if a flush should follow at
    /// once.
    pub fn on_setattr(&self, ino: Ino, mtime: Time) -> bool {
        self.with(ino, |history| {
            history.mtime = mtime;
            history.single && history.writes == 1
        })
    }

    /// Notes a flush.
    pub fn on_fsync(&self, ino: Ino) {
        self.with(ino, |history| {
            history.single = history.writes == 1;
            history.writes = 0;
        });
    }

    fn with<T>(&self, ino: Ino, change: impl FnOnce(&mut History) -> T) -> T {
        let mut slots = self.slots();
        let slot = &mut slots[ino.shard(SLOTS)];
        let new = History { ino, writes: 0, single: false, mtime: Time::default() };
        change(match slot {
            Some(history) if history.ino == ino => history,
            _ => slot.insert(new),
        })
    }

    fn slots(&self) -> MutexGuard<'_, [Option<History>; SLOTS]> {
        lock(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: Ino = Ino::new(7);
    /// Shares a slot with `FILE`.
    const OTHER: Ino = Ino::new(7 + SLOTS as u64);

    fn at(nanos: u32) -> Time {
        Time { secs: 1, nanos }
    }

    #[test]
    fn one_write_before_each_flush_is_a_pattern() {
        let predictor = FlushPredictor::default();
        predictor.on_setattr(FILE, at(4));
        assert!(!predictor.on_write(FILE, at(4)), "nothing is known yet");
        predictor.on_fsync(FILE);
        assert!(predictor.on_write(FILE, at(4)));
        predictor.on_fsync(FILE);
        assert!(predictor.on_write(FILE, at(4)));
    }

    #[test]
    fn after_a_tick_the_times_come_last() {
        let predictor = FlushPredictor::default();
        predictor.on_write(FILE, at(4));
        predictor.on_setattr(FILE, at(4));
        predictor.on_fsync(FILE);
        assert!(!predictor.on_write(FILE, at(8)), "the new time is still to be sent");
        assert!(predictor.on_setattr(FILE, at(8)));
        predictor.on_fsync(FILE);
        assert!(!predictor.on_setattr(FILE, at(12)), "nothing was written");
    }

    #[test]
    fn a_second_write_ends_the_pattern() {
        let predictor = FlushPredictor::default();
        predictor.on_setattr(FILE, at(4));
        predictor.on_write(FILE, at(4));
        predictor.on_fsync(FILE);
        assert!(predictor.on_write(FILE, at(4)));
        assert!(!predictor.on_write(FILE, at(4)));
        predictor.on_fsync(FILE);
        assert!(!predictor.on_write(FILE, at(4)), "there were two before that flush");
    }

    #[test]
    fn files_that_share_a_slot_are_told_apart() {
        let predictor = FlushPredictor::default();
        predictor.on_setattr(FILE, at(4));
        predictor.on_write(FILE, at(4));
        predictor.on_fsync(FILE);
        assert!(!predictor.on_write(OTHER, at(4)));
        assert!(!predictor.on_write(FILE, at(4)));
    }
}
