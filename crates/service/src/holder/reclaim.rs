//! What deleted branches held, given back to the host although the command that deleted them is
//! over.
//!
//! An open store frees it in the background, but a command has the store open for milliseconds.
//! What takes not much longer is freed before the command ends. For the rest it starts the holder,
//! which stays until nothing is left; should that be cut short, the next command goes on.

use std::time::{Duration, Instant};

use tine_store::Store;

use crate::protocol::Result;

/// How long a command goes on freeing after it has done what it was asked.
const AT_ONCE: Duration = Duration::from_millis(50);
/// Nodes taken apart between two looks at the clock.
const STEPS: usize = 64;
/// A store that frees nothing for this time is stuck at something it cannot read.
const STUCK: Duration = Duration::from_secs(60);
/// For no longer than this the queue looks empty while the store's worker takes its last node
/// apart.
const BETWEEN_NODES: Duration = Duration::from_secs(1);

/// Frees what can be freed at once. Returns `true` if there is more. With `expected` there was
/// something to free, which the store may have begun with by itself.
///
/// # Errors
/// Those of the store.
pub fn begin(store: &Store, expected: bool) -> Result<bool> {
    if !expected && !store.reclaim_some(1)? {
        return Ok(false);
    }
    let since = Instant::now();
    while store.reclaim_some(STEPS)? {
        if since.elapsed() >= AT_ONCE {
            return Ok(true);
        }
    }
    store.reclaim_all()?;
    // The queue is empty for a moment while the store's own worker takes its last node apart.
    Ok(store.reclaim_some(1)?)
}

/// Frees for a moment what deleted branches held: what it shared with others counts as theirs alone
/// only when it is freed. For a look into a branch, which makes a fork and deletes it, the moment
/// suffices.
pub fn before_counting(store: &Store) {
    let since = Instant::now();
    // What cannot be freed shows in the figures, and in a check.
    while store.reclaim_some(STEPS).unwrap_or(false) && since.elapsed() < AT_ONCE {}
}

/// Follows how a store frees in the background.
#[derive(Debug)]
pub struct Reclaim {
    left_bytes: u64,
    since: Instant,
    /// When there was last something that can be taken apart.
    waited: Instant,
}

impl Reclaim {
    pub fn new() -> Reclaim {
        let now = Instant::now();
        Reclaim { left_bytes: 0, since: now, waited: now }
    }

    /// Returns `true` if there is more to free, and it gets less. Errors show at the next command;
    /// what cannot be freed because of them is not waited for.
    pub fn goes_on(&mut self, store: &Store) -> bool {
        let left_bytes = store.usage().map_or(0, |usage| usage.reclaim_pending_bytes);
        if left_bytes != self.left_bytes {
            (self.left_bytes, self.since) = (left_bytes, Instant::now());
        }
        if store.has_more_to_reclaim() {
            self.waited = Instant::now();
        }
        left_bytes > 0 && self.since.elapsed() < STUCK && self.waited.elapsed() < BETWEEN_NODES
    }
}
