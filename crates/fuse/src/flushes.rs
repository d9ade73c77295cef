//! Requests to flush that arrive while one is being served: its thread serves them too, one after another.
//!
//! The store flushes for all commits at once, so the first of those that waited pays for the rest, and
//! nobody has to be woken for them.

use std::sync::{Mutex, MutexGuard};

/// The flushes of one mount.
#[derive(Debug, Default)]
pub(crate) struct Flushes(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Somebody serves a flush, and will look for more.
    served: bool,
    /// Messages that wait for that.
    waiting: Vec<Vec<u8>>,
}

impl Flushes {
    /// The right to serve flushes, until [`Flushes::next`] has no more; `false`: somebody else has it.
    pub fn begin(&self) -> bool {
        !std::mem::replace(&mut self.state().served, true)
    }

    /// Leaves a message to whoever serves another; `false`: nobody does, and the caller shall,
    /// see [`Flushes::begin`].
    pub fn leave(&self, message: &[u8]) -> bool {
        let mut state = self.state();
        if state.served {
            state.waiting.push(message.to_vec());
        }
        std::mem::replace(&mut state.served, true)
    }

    /// The messages that were left meanwhile. After `None` nobody serves flushes.
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
        let flushes = Flushes::default();
        assert!(!flushes.leave(b"a"), "the first is the caller's own");
        assert!(flushes.leave(b"b"));
        assert!(flushes.leave(b"c"));
        assert_eq!(flushes.next(), Some(vec![b"b".to_vec(), b"c".to_vec()]));
        assert!(flushes.leave(b"d"), "it is still at it");
        assert_eq!(flushes.next(), Some(vec![b"d".to_vec()]));
        assert_eq!(flushes.next(), None);
        assert!(!flushes.leave(b"e"));
    }
}
