//! Requests of one kind that arrive while one is being served: its thread serves them too.
//!
//! Flushes are coalesced, since the store flushes for all commits at once: the first of those that
//! waited pays for the rest, and no thread is woken for them. Seeks are coalesced, since each may
//! wait for writes of the kernel that other threads serve: not all threads may wait at once.
//!
//! The store coalesces flushes once more, below, for those of several branches.

use std::sync::{Mutex, MutexGuard};

use crate::lock::lock;

/// The requests of one kind on one mount.
#[derive(Debug, Default)]
pub(crate) struct Coalescer(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// A thread, the leader, serves requests of this kind and will look for more.
    led: bool,
    /// Messages for the leader.
    waiting: Vec<Vec<u8>>,
}

impl Coalescer {
    /// Makes the caller the leader, until [`Coalescer::take_waiting`] returns `None`. Returns
    /// `false` if there is a leader already.
    pub fn try_lead(&self) -> bool {
        !std::mem::replace(&mut self.state().led, true)
    }

    /// Leaves a message to the leader. Returns `false` if there was none: the caller is the leader
    /// now, and serves the message itself.
    pub fn join(&self, message: &[u8]) -> bool {
        let mut state = self.state();
        if state.led {
            state.waiting.push(message.to_vec());
        }
        std::mem::replace(&mut state.led, true)
    }

    /// The messages that were left to the leader. After `None` the caller no longer leads.
    pub fn take_waiting(&self) -> Option<Vec<Vec<u8>>> {
        let mut state = self.state();
        state.led = !state.waiting.is_empty();
        state.led.then(|| std::mem::take(&mut state.waiting))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_leader_serves_what_joins_meanwhile() {
        let coalescer = Coalescer::default();
        assert!(!coalescer.join(b"a"), "the first is the leader's own");
        assert!(coalescer.join(b"b"));
        assert!(coalescer.join(b"c"));
        assert_eq!(coalescer.take_waiting(), Some(vec![b"b".to_vec(), b"c".to_vec()]));
        assert!(coalescer.join(b"d"), "it still leads");
        assert_eq!(coalescer.take_waiting(), Some(vec![b"d".to_vec()]));
        assert_eq!(coalescer.take_waiting(), None);
        assert!(!coalescer.join(b"e"));
    }

    #[test]
    fn only_one_leads() {
        let coalescer = Coalescer::default();
        assert!(coalescer.try_lead());
        assert!(!coalescer.try_lead());
        assert_eq!(coalescer.take_waiting(), None);
        assert!(coalescer.try_lead());
    }
}
