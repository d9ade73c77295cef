//! Points in time, and the clock that stamps files.

use std::sync::LazyLock;

use rustix::time::{ClockId, Timespec, clock_getres, clock_gettime};

const NANOS_A_SECOND: i64 = 1_000_000_000;

/// A point in time: seconds since 1970 (negative before) and nanoseconds into that second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time {
    /// Whole seconds, rounded down.
    pub secs: i64,
    /// 0 to 999,999,999.
    pub nanos: u32,
}

impl Time {
    /// The time that changes are stamped with now: that of the kernel's coarse clock.
    pub fn now() -> Time {
        now()
    }
}

/// The time of a change.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    /// The time that files are stamped with: by the coarse clock with which the kernel stamps its
    /// own files, so that stamps of the two compare.
    pub now: Time,
    /// The time of birth of a file that is made at this moment, as fine as the machine can tell:
    /// with the number of the inode it identifies a file across branches, see [`crate::diff()`]. It
    /// is two ticks behind the fine clock, as late as the coarse one can be on virtual machines,
    /// and never later than `now`.
    pub birth: Time,
}

/// This moment.
pub(crate) fn moment() -> Moment {
    let now = now();
    // It does not change while the system runs.
    static TICK: LazyLock<Timespec> = LazyLock::new(|| clock_getres(ClockId::RealtimeCoarse));
    let fine = clock_gettime(ClockId::Realtime);
    let nanos = fine.tv_nsec - 2 * TICK.tv_nsec;
    let behind = Time {
        secs: fine.tv_sec - 2 * TICK.tv_sec + nanos.div_euclid(NANOS_A_SECOND),
        nanos: nanos.rem_euclid(NANOS_A_SECOND) as u32,
    };
    // The coarse clock is behind if its tick is late, or the thread was interrupted between the
    // two.
    Moment { now, birth: behind.min(now) }
}

fn now() -> Time {
    let now = clock_gettime(ClockId::RealtimeCoarse);
    Time { secs: now.tv_sec, nanos: now.tv_nsec as u32 }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_birth_is_later_than_the_stamp_of_its_moment_and_few_are_alike() {
        let mut births = BTreeSet::new();
        let mut fine = 0;
        for _ in 0..20_000 {
            let Moment { now, birth } = moment();
            assert!(birth <= now, "{birth:?} {now:?}");
            assert!(birth.secs >= now.secs - 1, "{birth:?} {now:?}");
            births.insert(birth);
            fine += usize::from(birth < now);
        }
        assert!(births.len() > fine / 2, "{} of {fine}", births.len());
    }
}
