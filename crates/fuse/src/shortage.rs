//! Letting writers learn of a full disk soon.
//!
//! The kernel takes what programs write into its cache, and writes it back when it sees fit. By
//! itself it tells only the next `fsync` that there was no room; a program that calls none goes on
//! writing, gigabytes perhaps. Two things are done about it:
//!
//! * While room gets short, the kernel may keep less and less that it has not written back (where
//!   this process may set that; elsewhere the kernel's limit for FUSE holds, 1 % of the memory). So
//!   little is on its way when the disk is full. The limit is set before the first write, and as
//!   long as the kernel could keep more than there is room for: what it has taken it does not give
//!   back, and writers would wait until that is refused instead of getting an error.
//! * While the disk is full, the kernel is asked to forget the attributes of every file. Before a
//!   write to its cache it needs the mode, and asks by GETATTR with the file's handle; the error of
//!   that is the error of the write. A read at the end of a file and `lseek` need only the size,
//!   which the kernel keeps itself. `stat` and `open` ask without a handle, and get their answer;
//!   then the kernel is asked to forget once more. When there is room again, the next write asks,
//!   and is answered.
//!
//! What the kernel has taken all the same, as when other programs fill the disk at a stroke, is
//! refused fast: writers that wait for it get the error at their next write.
//!
//! Attributes that expire at once would not do: then reads at the end of a file ask by handle as
//! well.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use crate::lock::lock;
use crate::tuning::Limits;

/// How often the room is checked, since other programs may fill the disk.
pub(crate) const CHECK_EVERY: Duration = Duration::from_secs(1);
/// Room is short below this, beyond what the kernel may keep by itself: more than is written
/// between two checks.
const SHORT_BYTES: u64 = 4 << 30;
/// For this long after data was refused, more is refused as soon as there seems to be no room.
/// Trying harder takes a checkpoint.
const REFUSE_FOR: Duration = Duration::from_millis(100);
/// While room is short, the kernel may keep this in any case, so that writes go on in pieces of
/// some size,
const KEPT_BYTES_MIN: u64 = 8 << 20;
/// and in addition one in this many of the bytes for which there is space.
const KEPT_SHARE: u64 = 4;
/// While room is short, it is checked each time that this much was written.
const CHECK_BYTES: u64 = 8 << 20;
/// The first minor version of the protocol whose kernels (Linux 5.18) ask before a write, but not
/// before a read.
const MINOR_THAT_ASKS: u32 = 36;

/// How short of room a mount is.
#[derive(Debug, Default)]
pub(crate) struct Shortage {
    /// The kernel asks before writes, and asks that way for nothing else.
    kernel_asks: AtomicBool,
    /// No data finds room.
    full: AtomicBool,
    /// The disk is full, and the kernel has not been notified about all files.
    untold: AtomicBool,
    /// The kernel may keep less than usual.
    short: AtomicBool,
    written_bytes_since_check: AtomicU64,
    /// When data was last refused after trying hard.
    refused_at: Mutex<Option<Instant>>,
    limits: Mutex<Option<Limits>>,
    /// What the kernel may keep while room is not short.
    kept_bytes_by_itself: AtomicU64,
    /// What the kernel may keep now; 0 while room is not short, or where it could not be set.
    kept_bytes: AtomicU64,
}

impl Shortage {
    /// Notes the minor version of the protocol that the kernel speaks.
    pub fn set_protocol_minor(&self, minor: u32) {
        self.kernel_asks.store(minor >= MINOR_THAT_ASKS, Ordering::Relaxed);
    }

    /// Takes the limits of the mount, which this process may change.
    pub fn set_limits(&self, limits: Limits) {
        self.kept_bytes_by_itself.store(limits.dirty_bytes_max(), Ordering::Relaxed);
        *lock(&self.limits) = Some(limits);
    }

    /// Returns `true` if no data finds room, so that the kernel has to ask before writes.
    pub fn is_full(&self) -> bool {
        self.full.load(Ordering::Relaxed)
    }

    /// Notes that data found no room. The next write to the same file is asked for at once, and
    /// those to others after the next check.
    pub fn on_no_space(&self) {
        *self.refused_at() = Some(Instant::now());
        self.written_bytes_since_check.store(CHECK_BYTES, Ordering::Relaxed);
        if self.kernel_asks.load(Ordering::Relaxed) && !self.full.swap(true, Ordering::Relaxed) {
            self.untold.store(true, Ordering::Relaxed);
        }
    }

    /// Returns `true` if data was refused so recently that more would be, unless there is room.
    pub fn refused_recently(&self) -> bool {
        self.refused_at().is_some_and(|when| when.elapsed() < REFUSE_FOR)
    }

    fn refused_at(&self) -> MutexGuard<'_, Option<Instant>> {
        lock(&self.refused_at)
    }

    /// Notes that data finds room again.
    pub fn on_room(&self) {
        self.full.store(false, Ordering::Relaxed);
    }

    /// Notes how many bytes were written.
    pub fn on_write(&self, bytes: u64) {
        if self.short.load(Ordering::Relaxed) {
            self.written_bytes_since_check.fetch_add(bytes, Ordering::Relaxed);
        }
    }

    /// Returns `true` if [`Shortage::check`] should be called before its time.
    pub fn wants_check(&self) -> bool {
        self.written_bytes_since_check.load(Ordering::Relaxed) >= CHECK_BYTES
    }

    /// Takes how much data finds space. Returns `true` if the kernel is to be notified of all files
    /// that it has to ask before it takes writes.
    pub fn check(&self, room_bytes: u64) -> bool {
        self.written_bytes_since_check.store(0, Ordering::Relaxed);
        self.limit_kept_bytes(room_bytes);
        let full = room_bytes == 0 && self.kernel_asks.load(Ordering::Relaxed);
        let untold = self.untold.swap(false, Ordering::Relaxed);
        let was_full = self.full.swap(full, Ordering::Relaxed);
        full && (untold || !was_full)
    }

    fn limit_kept_bytes(&self, room_bytes: u64) {
        let limits = lock(&self.limits);
        let short = room_bytes < SHORT_BYTES + self.kept_bytes_by_itself.load(Ordering::Relaxed);
        let was_short = self.short.swap(short, Ordering::Relaxed);
        let Some(limits) = limits.as_ref() else { return };
        let wanted = KEPT_BYTES_MIN + room_bytes / KEPT_SHARE;
        let now = self.kept_bytes.load(Ordering::Relaxed);
        // What cannot be set now is tried again at the next check.
        if short && (!was_short || wanted.abs_diff(now) > now / 8) {
            let set = if limits.tighten(wanted) { wanted } else { 0 };
            self.kept_bytes.store(set, Ordering::Relaxed);
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
        assert!(!shortage.check(0), "this kernel would ask before reads too");
        shortage.set_protocol_minor(MINOR_THAT_ASKS);
        assert!(!shortage.check(1 << 20) && !shortage.is_full());
        assert!(shortage.check(0) && !shortage.check(0) && shortage.is_full());
        shortage.on_room();
        assert!(!shortage.is_full() && shortage.check(0));
        shortage.on_room();
        shortage.on_no_space();
        assert!(shortage.is_full() && shortage.check(0) && !shortage.check(0));
        assert!(!shortage.check(1 << 20) && !shortage.is_full(), "there is room after all");
    }

    #[test]
    fn while_room_is_short_it_is_checked_after_some_writes_and_at_once_when_one_is_refused() {
        let shortage = Shortage::default();
        shortage.check(SHORT_BYTES);
        shortage.on_write(CHECK_BYTES);
        assert!(!shortage.wants_check(), "room is not short");
        shortage.check(SHORT_BYTES - 1);
        shortage.on_write(CHECK_BYTES - 1);
        assert!(!shortage.wants_check());
        shortage.on_write(1);
        assert!(shortage.wants_check());
        shortage.check(SHORT_BYTES);
        assert!(!shortage.wants_check());
        assert!(!shortage.refused_recently());
        shortage.on_no_space();
        assert!(shortage.wants_check() && shortage.refused_recently());
    }

    #[test]
    fn room_is_short_as_long_as_the_kernel_could_keep_more_by_itself() {
        let shortage = Shortage::default();
        shortage.kept_bytes_by_itself.store(1 << 30, Ordering::Relaxed);
        shortage.check(SHORT_BYTES + (1 << 30) - 1);
        assert!(shortage.short.load(Ordering::Relaxed));
        shortage.check(SHORT_BYTES + (1 << 30));
        assert!(!shortage.short.load(Ordering::Relaxed));
    }
}
