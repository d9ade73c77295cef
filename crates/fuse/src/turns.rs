//! Requests of one kind that arrive while one is being served: its thread serves them too, one after another.
//!
//! Flushes take turns, since the store flushes for all commits at once: the first of those that waited pays
//! for the rest, and nobody has to be woken for them. Seeks do, since each may wait for writes of the
//! kernel, which the other threads serve: not all of them may wait.

use std::sync::{Mutex, MutexGuard};

/// The turns of one kind of request on one mount.
#[derive(Debug, Default)]
pub(crate) struct Turns(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Somebody serves one, and will look for more.
    served: bool,
    /// Messages that wait for that.
    waiting: Vec<Vec<u8>>,
}

impl Turns {
    /// The right to serve, until [`Turns::next`] has no more; `false`: somebody else has it.
    pub fn begin(&self) -> bool {
        !std::mem::replace(&mut self.state().served, true)
    }

    /// Leaves a message to whoever serves another; `false`: nobody does, and the caller shall,
    /// see [`Turns::begin`].
    pub fn leave(&self, message: &[u8]) -> bool {
        let mut state = self.state();
        if state.served {
            state.waiting.push(message.to_vec());
        }
        std::mem::replace(&mut state.served, true)
    }

    /// The messages that were left meanwhile. After `None` nobody serves.
    pub fn next(&self) -> Option<Vec<Vec<u8>>> {
        let mut state = self.state();
        state.served = !state.waiting.is_empty();
        state.served.then(|| std::mem::take(&mut state.waiting))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(|poison| poison.into_inner())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_meanwhile_is_served_by_the_first() {
        let turns = Turns::default();
        assert!(!turns.leave(b"a"), "the first is the caller's own");
        assert!(turns.leave(b"b"));
        assert!(turns.leave(b"c"));
        assert_eq!(turns.next(), Some(vec![b"b".to_vec(), b"c".to_vec()]));
        assert!(turns.leave(b"d"), "it is still at it");
        assert_eq!(turns.next(), Some(vec![b"d".to_vec()]));
        assert_eq!(turns.next(), None);
        assert!(!turns.leave(b"e"));
    }
}
