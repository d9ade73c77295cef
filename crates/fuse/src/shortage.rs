//! Having writers learn of a full disk soon.
//!
//! The kernel takes what programs write into its cache, and writes it back when it sees fit. By itself it tells only the
//! next `fsync` that there was no room; who calls none goes on writing, gigabytes perhaps. Two things are done about it:
//!
//! * While room gets short, the kernel may keep less and less that it has not written back (where this process may say so;
//!   elsewhere its own limit for FUSE holds, 1 % of the memory). So little is on its way when the disk is full. It is told
//!   before the first write, and as long as it could keep more than there is room for: what it has taken, it has taken, and
//!   writers would wait until that is refused instead of being told.
//! * While the disk is full, the kernel is told that it no longer knows the attributes of any file. Before a write to its
//!   cache it needs the mode, and asks by GETATTR with the file's handle; the error of that is the error of the write.
//!   What else needs only the size, as a read at the end of a file and `lseek`, is not asked for, since the kernel
//!   keeps the size itself. `stat` and `open` ask without a handle, and get their answer; then the kernel is told once
//!   more. When there is room again, the next write asks, and is answered.
//!
//! What the kernel has taken all the same, as when others fill the disk at a stroke, is refused fast: writers that wait
//! for it are told by their next write.
//!
//! Not in time would be attributes that expire at once: then reads at the end of a file ask by the handle as well.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use crate::tuning::Limits;

/// How often somebody looks whether others filled the disk.
pub(crate) const LOOK_EVERY: Duration = Duration::from_secs(1);
/// With less room than this beyond what the kernel may keep by itself, it keeps less: more than is written between two looks.
const SHORT_BYTES: u64 = 4 << 30;
/// For so long after data was refused, more is refused at the first sight of no room: to try hard takes a checkpoint.
const REFUSED_FOR: Duration = Duration::from_millis(100);
/// What it may keep in any case, so that writes go on in pieces of some size,
const KEPT_BYTES_MIN: u64 = 8 << 20;
/// and one in so many of the bytes that find room besides.
const KEPT_SHARE: u64 = 4;
/// While room is short, somebody looks each time that so much was written.
const LOOK_BYTES: u64 = 8 << 20;
/// The first minor version of the protocol whose kernels (Linux 5.18) ask before a write, but not before a read.
const MINOR_THAT_ASKS: u32 = 36;

/// How short of room a mount is.
#[derive(Debug, Default)]
pub(crate) struct Shortage {
    /// The kernel asks before writes, and by that for nothing else.
    asks: AtomicBool,
    /// No data finds room.
    full: AtomicBool,
    /// It is, and the kernel has not been told of all files.
    untold: AtomicBool,
    /// Room is short: the kernel may keep less than usual.
    short: AtomicBool,
    /// Written since somebody looked.
    written_bytes: AtomicU64,
    /// When data was last refused after trying hard.
    refused_at: Mutex<Option<Instant>>,
    limits: Mutex<Option<Limits>>,
    /// What it may keep while room is not short.
    kept_bytes_by_itself: AtomicU64,
    /// What the kernel may keep while room is short.
    kept_bytes: AtomicU64,
}

impl Shortage {
    /// What the kernel speaks.
    pub fn speaks(&self, minor: u32) {
        self.asks.store(minor >= MINOR_THAT_ASKS, Ordering::Relaxed);
    }

    /// The limits of the mount, which this process may change.
    pub fn limit_by(&self, limits: Limits) {
        self.kept_bytes_by_itself.store(limits.kept_by_itself(), Ordering::Relaxed);
        *self.limits.lock().unwrap_or_else(|poison| poison.into_inner()) = Some(limits);
    }

    /// Whether the kernel has to ask before writes.
    pub fn is_full(&self) -> bool {
        self.full.load(Ordering::Relaxed)
    }

    /// Data found no room: who writes next to the same file is asked for at once, others after a look.
    pub fn refused(&self) {
        *self.refused_at() = Some(Instant::now());
        self.written_bytes.store(LOOK_BYTES, Ordering::Relaxed);
        if self.asks.load(Ordering::Relaxed) && !self.full.swap(true, Ordering::Relaxed) {
            self.untold.store(true, Ordering::Relaxed);
        }
    }

    /// Whether data was refused so short a while ago that it would be once more, unless room is told of.
    pub fn refused_of_late(&self) -> bool {
        self.refused_at().is_some_and(|when| when.elapsed() < REFUSED_FOR)
    }

    fn refused_at(&self) -> MutexGuard<'_, Option<Instant>> {
        self.refused_at.lock().unwrap_or_else(|poison| poison.into_inner())
    }

    /// Data found room again.
    pub fn has_room(&self) {
        self.full.store(false, Ordering::Relaxed);
    }

    /// So many bytes were written.
    pub fn wrote(&self, bytes: u64) {
        if self.short.load(Ordering::Relaxed) {
            self.written_bytes.fetch_add(bytes, Ordering::Relaxed);
        }
    }

    /// Whether somebody should look at what room there is.
    pub fn wants_a_look(&self) -> bool {
        self.written_bytes.load(Ordering::Relaxed) >= LOOK_BYTES
    }

    /// There is room for so much data; whether the kernel is to be told of all files that it has to ask.
    pub fn look(&self, room_bytes: u64) -> bool {
        self.written_bytes.store(0, Ordering::Relaxed);
        self.limit(room_bytes);
        let full = room_bytes == 0 && self.asks.load(Ordering::Relaxed);
        let untold = self.untold.swap(false, Ordering::Relaxed);
        let was_full = self.full.swap(full, Ordering::Relaxed);
        full && (untold || !was_full)
    }

    fn limit(&self, room_bytes: u64) {
        let limits = self.limits.lock().unwrap_or_else(|poison| poison.into_inner());
        let short = room_bytes < SHORT_BYTES + self.kept_bytes_by_itself.load(Ordering::Relaxed);
        let was_short = self.short.swap(short, Ordering::Relaxed);
        let Some(limits) = limits.as_ref() else { return };
        let kept = KEPT_BYTES_MIN + room_bytes / KEPT_SHARE;
        let kept_now = self.kept_bytes.load(Ordering::Relaxed);
        // What cannot be set now is tried again at the next look.
        if short && (!was_short || kept.abs_diff(kept_now) > kept_now / 8) {
            let kept_now = if limits.tighten(kept) { kept } else { 0 };
            self.kept_bytes.store(kept_now, Ordering::Relaxed);
        } else if was_short && !short {
            limits.lift();
            self.kept_bytes.store(0, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_is_told_once_when_the_disk_fills_and_once_more_after_there_was_room() {
        let shortage = Shortage::default();
        assert!(!shortage.look(0), "this kernel would ask before reads too");
        shortage.speaks(MINOR_THAT_ASKS);
        assert!(!shortage.look(1 << 20) && !shortage.is_full());
        assert!(shortage.look(0) && !shortage.look(0) && shortage.is_full());
        shortage.has_room();
        assert!(!shortage.is_full() && shortage.look(0));
        shortage.has_room();
        shortage.refused();
        assert!(shortage.is_full() && shortage.look(0) && !shortage.look(0));
        assert!(!shortage.look(1 << 20) && !shortage.is_full(), "there is room after all");
    }

    #[test]
    fn while_room_is_short_somebody_looks_after_some_writes_and_at_once_when_one_is_refused() {
        let shortage = Shortage::default();
        shortage.look(SHORT_BYTES);
        shortage.wrote(LOOK_BYTES);
        assert!(!shortage.wants_a_look(), "room is not short");
        shortage.look(SHORT_BYTES - 1);
        shortage.wrote(LOOK_BYTES - 1);
        assert!(!shortage.wants_a_look());
        shortage.wrote(1);
        assert!(shortage.wants_a_look());
        shortage.look(SHORT_BYTES);
        assert!(!shortage.wants_a_look());
        assert!(!shortage.refused_of_late());
        shortage.refused();
        assert!(shortage.wants_a_look() && shortage.refused_of_late());
    }

    #[test]
    fn room_is_short_as_long_as_the_kernel_could_keep_more_by_itself() {
        let shortage = Shortage::default();
        shortage.kept_bytes_by_itself.store(1 << 30, Ordering::Relaxed);
        shortage.look(SHORT_BYTES + (1 << 30) - 1);
        assert!(shortage.short.load(Ordering::Relaxed));
        shortage.look(SHORT_BYTES + (1 << 30));
        assert!(!shortage.short.load(Ordering::Relaxed));
    }
}
