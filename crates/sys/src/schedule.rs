//! The scheduling policy of the calling thread.

use std::io;

/// A scheduling policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SchedPolicy {
    /// `SCHED_OTHER`: the thread gets its share of the processors.
    Normal,
    /// `SCHED_IDLE`: the thread runs only on processors that are idle, and another thread that
    /// wakes up preempts it at once.
    Idle,
}

/// Sets the policy of the calling thread. Its nice value does not change.
///
/// # Errors
/// To change from [`SchedPolicy::Idle`] to [`SchedPolicy::Normal`], a thread needs `CAP_SYS_NICE`,
/// or a limit on nice values that allows its present one.
pub fn set_sched_policy(policy: SchedPolicy) -> io::Result<()> {
    let policy = match policy {
        SchedPolicy::Normal => libc::SCHED_OTHER,
        SchedPolicy::Idle => libc::SCHED_IDLE,
    };
    let parameters = libc::sched_param { sched_priority: 0 };
    // SAFETY: the call only reads `parameters`. 0 is the calling thread.
    match unsafe { libc::sched_setscheduler(0, policy, &raw const parameters) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_policy_of_a_thread_is_its_own() {
        // SAFETY: the call touches no memory. 0 is the calling thread.
        let policy = || unsafe { libc::sched_getscheduler(0) };
        let before = policy();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                set_sched_policy(SchedPolicy::Idle).unwrap();
                assert_eq!(policy(), libc::SCHED_IDLE);
                if set_sched_policy(SchedPolicy::Normal).is_ok() {
                    assert_eq!(policy(), libc::SCHED_OTHER);
                }
            });
        });
        assert_eq!(policy(), before);
    }
}
