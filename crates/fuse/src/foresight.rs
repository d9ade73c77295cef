//! Which write is the last before a flush: a program that commits writes one run of pages and flushes the
//! file, again and again.
//!
//! The kernel hands over the pages when the flush begins, waits for the answer, and only then asks
//! for the flush itself. Who knows the habit flushes as soon as the pages are there, while
//! the kernel still wakes the program and makes its request. Where the clock has ticked since the last
//! flush there is one more request between the two, which carries the times of the file; then that is
//! the last.
//!
//! A wrong guess costs one flush of the disk, and ends the habit.

use std::sync::{Mutex, MutexGuard};

use tine_fs::Time;

/// Files whose habits are kept; two that meet in one place forget each other's.
const FILES: usize = 64;

/// What the files of a mount were last seen doing.
#[derive(Debug)]
pub(crate) struct Foresight(Mutex<[Habit; FILES]>);

#[derive(Clone, Copy, Debug, Default)]
struct Habit {
    node: u64,
    /// Writes since the last flush.
    writes: u32,
    /// Before the last flush there was one write.
    single: bool,
    /// The time of change that the kernel told last.
    told: Time,
}

impl Default for Foresight {
    fn default() -> Foresight {
        Foresight(Mutex::new([Habit::default(); FILES]))
    }
}

impl Foresight {
    /// Notes a write; `true`: a flush follows at once, since the kernel told the time `now` already.
    pub fn written(&self, node: u64, now: Time) -> bool {
        self.with(node, |habit| {
            habit.writes += 1;
            habit.single &= habit.writes == 1;
            habit.single && habit.told >= now
        })
    }

    /// Notes that the kernel tells when a file was changed; `true`: a flush follows at once.
    pub fn told(&self, node: u64, time: Time) -> bool {
        self.with(node, |habit| {
            habit.told = time;
            habit.single && habit.writes == 1
        })
    }

    /// Notes a flush.
    pub fn flushed(&self, node: u64) {
        self.with(node, |habit| {
            habit.single = habit.writes == 1;
            habit.writes = 0;
        });
    }

    fn with<T>(&self, node: u64, change: impl FnOnce(&mut Habit) -> T) -> T {
        let mut habits = self.habits();
        let habit = &mut habits[node as usize % FILES];
        if habit.node != node {
            *habit = Habit { node, ..Habit::default() };
        }
        change(habit)
    }

    fn habits(&self) -> MutexGuard<'_, [Habit; FILES]> {
        self.0.lock().unwrap_or_else(|poison| poison.into_inner())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: u64 = 7;

    fn at(nanos: u32) -> Time {
        Time { secs: 1, nanos }
    }

    #[test]
    fn one_write_before_each_flush_is_a_habit() {
        let foresight = Foresight::default();
        foresight.told(FILE, at(4));
        assert!(!foresight.written(FILE, at(4)), "nothing is known yet");
        foresight.flushed(FILE);
        assert!(foresight.written(FILE, at(4)));
        foresight.flushed(FILE);
        assert!(foresight.written(FILE, at(4)));
    }

    #[test]
    fn after_a_tick_the_times_come_last() {
        let foresight = Foresight::default();
        foresight.written(FILE, at(4));
        foresight.told(FILE, at(4));
        foresight.flushed(FILE);
        assert!(!foresight.written(FILE, at(8)), "the new time is still to be told");
        assert!(foresight.told(FILE, at(8)));
        foresight.flushed(FILE);
        assert!(!foresight.told(FILE, at(12)), "nothing was written");
    }

    #[test]
    fn a_second_write_ends_the_habit() {
        let foresight = Foresight::default();
        foresight.told(FILE, at(4));
        foresight.written(FILE, at(4));
        foresight.flushed(FILE);
        assert!(foresight.written(FILE, at(4)));
        assert!(!foresight.written(FILE, at(4)));
        foresight.flushed(FILE);
        assert!(!foresight.written(FILE, at(4)), "there were two before that flush");
    }

    #[test]
    fn files_that_share_a_place_are_told_apart() {
        let foresight = Foresight::default();
        foresight.told(FILE, at(4));
        foresight.written(FILE, at(4));
        foresight.flushed(FILE);
        assert!(!foresight.written(FILE + FILES as u64, at(4)));
        assert!(!foresight.written(FILE, at(4)));
    }
}
