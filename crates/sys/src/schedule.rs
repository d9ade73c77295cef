//! When the calling thread gets a processor.

use std::io;

/// How a thread stands beside others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rank {
    /// It gets its share.
    Ordinary,
    /// It runs only where nobody else wants to, and whoever wakes takes its place at once.
    Idle,
}

/// Gives the calling thread a rank. Its nice value stays.
///
/// # Errors
/// Back from [`Rank::Idle`] to [`Rank::Ordinary`] takes `CAP_SYS_NICE` or a limit on nice values that
/// allows the thread's own.
pub fn take_rank(rank: Rank) -> io::Result<()> {
    let policy = match rank {
        Rank::Ordinary => libc::SCHED_OTHER,
        Rank::Idle => libc::SCHED_IDLE,
    };
    let parameters = libc::sched_param { sched_priority: 0 };
    // SAFETY: the call reads `parameters`; 0 is the calling thread.
    match unsafe { libc::sched_setscheduler(0, policy, &raw const parameters) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_takes_its_rank_alone() {
        // SAFETY: the call has no memory to touch; 0 is the calling thread.
        let policy = || unsafe { libc::sched_getscheduler(0) };
        let before = policy();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                take_rank(Rank::Idle).unwrap();
                assert_eq!(policy(), libc::SCHED_IDLE);
                if take_rank(Rank::Ordinary).is_ok() {
                    assert_eq!(policy(), libc::SCHED_OTHER);
                }
            });
        });
        assert_eq!(policy(), before);
    }
}
