//! Wakes the background workers.

use crate::sync::{Condvar, Mutex, lock, wait_timeout};
use std::time::Duration;

#[derive(Debug, Default)]
pub(crate) struct Signal {
    state: Mutex<State>,
    condvar: Condvar,
}

#[derive(Debug, Default, Clone, Copy)]
struct State {
    stop: bool,
    urgent: u64,
    changed: bool,
}

/// Why a worker woke.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Woken {
    Stop,
    /// Asked for.
    Urgent,
    Timeout,
}

impl Signal {
    /// There is work that should not wait.
    pub fn wake(&self) {
        lock(&self.state).urgent += 1;
        self.condvar.notify_all();
    }

    /// Something changed since the last checkpoint.
    pub fn changed(&self) {
        lock(&self.state).changed = true;
    }

    /// A checkpoint takes in all that changed.
    pub fn take_changed(&self) {
        lock(&self.state).changed = false;
    }

    pub fn has_changed(&self) -> bool {
        lock(&self.state).changed
    }

    pub fn stop(&self) {
        lock(&self.state).stop = true;
        self.condvar.notify_all();
    }

    /// Sleeps until woken; `seen` remembers the calls that this worker answered.
    pub fn wait(&self, seen: &mut u64, limit: Duration) -> Woken {
        let mut state = lock(&self.state);
        if !state.stop && state.urgent == *seen {
            state = wait_timeout(&self.condvar, state, limit);
        }
        let woken = match () {
            () if state.stop => Woken::Stop,
            () if state.urgent != *seen => Woken::Urgent,
            () => Woken::Timeout,
        };
        *seen = state.urgent;
        woken
    }

    pub fn stopped(&self) -> bool {
        lock(&self.state).stop
    }
}
