//! How fast a copy goes: as fast as the disk lets it while it is alone, slower while others use the
//! store.
//!
//! A flush waits for the transfers that the disk has already taken, so a copy during work in
//! mounted branches keeps its transfers short. Its threads take processors that are idle, and leave
//! them at once to others that wake. Where others want all of them all the time, that would starve
//! the copy, so for some of the time it takes the share of the lowest priority.

use std::cell::Cell;
use std::time::{Duration, Instant};

use rustix::process::{geteuid, setpriority_process};
use rustix::thread::gettid;
use tine_sys::schedule::{SchedPolicy, set_sched_policy};

/// Bytes that one thread has in flight at a time.
pub const CHUNK_BYTES: usize = 1 << 20;

/// The same while others work: measured, the longest transfers that leave a flush near its
/// undisturbed time.
const CHUNK_BYTES_BESIDE: usize = 1 << 16;

/// The lowest priority there is.
const NICE: i32 = 19;

/// A chunk that takes longer is taken for a sign that the thread gets no processor.
const STARVED: Duration = Duration::from_millis(50);

/// For how long the thread then takes its share.
const FED: Duration = Duration::from_secs(4);

/// Asks, each time, whether others use the store.
#[derive(Clone, Copy)]
pub struct Throttle<'a>(pub &'a (dyn Fn() -> bool + Sync));

impl Throttle<'_> {
    /// How many bytes to move next. Every thread of a copy asks before each chunk, so that here is
    /// also where it sees whether it starves.
    pub fn chunk_bytes(&self) -> usize {
        WORKER
            .with(|worker| worker.set(worker.get().map(|worker| worker.at_chunk(Instant::now()))));
        if (self.0)() { CHUNK_BYTES_BESIDE } else { CHUNK_BYTES }
    }
}

thread_local! {
    static WORKER: Cell<Option<Worker>> = const { Cell::new(None) };
}

/// A thread of a copy that changes between the policies.
#[derive(Clone, Copy)]
struct Worker {
    policy: SchedPolicy,
    /// The chunk before, or the change of policy.
    since: Instant,
}

impl Worker {
    fn at_chunk(self, now: Instant) -> Worker {
        let passed = now.duration_since(self.since);
        match self.policy {
            SchedPolicy::Idle if passed > STARVED => self.change(SchedPolicy::Normal, now),
            SchedPolicy::Idle => Worker { since: now, ..self },
            SchedPolicy::Normal if passed > FED => self.change(SchedPolicy::Idle, now),
            SchedPolicy::Normal => self,
        }
    }

    fn change(self, policy: SchedPolicy, now: Instant) -> Worker {
        // A refusal costs speed, and nothing else.
        let _ = set_sched_policy(policy);
        Worker { policy, since: now }
    }
}

/// Gives the calling thread the lowest priority, for as long as it lives.
pub fn give_way() {
    // Linux takes the number of a thread here. A refusal costs speed, and nothing else.
    let _ = setpriority_process(Some(gettid()), NICE);
    // A thread that may not come back from the idle policy does not go there.
    if geteuid().is_root() && set_sched_policy(SchedPolicy::Idle).is_ok() {
        WORKER.set(Some(Worker { policy: SchedPolicy::Idle, since: Instant::now() }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_starved_thread_takes_its_share_for_a_while() {
        let start = Instant::now();
        let worker = Worker { policy: SchedPolicy::Idle, since: start };
        let busy = worker.at_chunk(start + STARVED);
        assert_eq!(busy.policy, SchedPolicy::Idle);
        let starved = busy.at_chunk(start + STARVED * 3);
        assert_eq!(starved.policy, SchedPolicy::Normal);
        assert_eq!(starved.at_chunk(start + FED).policy, SchedPolicy::Normal);
        assert_eq!(starved.at_chunk(start + STARVED * 4 + FED).policy, SchedPolicy::Idle);
    }
}
