//! Readers pin the epoch in which they began, so that nothing they may reach is reused.

use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::{Mutex, lock};
use std::collections::BTreeMap;
use std::sync::Arc;

#[derive(Debug, Default)]
pub(crate) struct Pins {
    epoch: AtomicU64,
    active: Mutex<BTreeMap<u64, usize>>,
}

/// Held by a reader for as long as it may read.
#[derive(Debug)]
pub(crate) struct Pin {
    pins: Arc<Pins>,
    epoch: u64,
}

impl Pins {
    /// The epoch that a block freed now is stamped with.
    pub fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    pub fn pin(self: &Arc<Pins>) -> Pin {
        let mut active = lock(&self.active);
        let epoch = self.epoch();
        *active.entry(epoch).or_default() += 1;
        Pin { pins: Arc::clone(self), epoch }
    }

    /// How many readers there are; a writer counts as one until it commits.
    pub fn readers(&self) -> usize {
        lock(&self.active).values().sum()
    }

    /// Begins a new epoch; what was freed before the returned one has no reader left.
    pub fn advance(&self) -> u64 {
        let active = lock(&self.active);
        let now = self.epoch.fetch_add(1, Ordering::AcqRel) + 1;
        active.keys().next().copied().unwrap_or(now)
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        let mut active = lock(&self.pins.active);
        if let Some(count) = active.get_mut(&self.epoch) {
            *count -= 1;
            if *count == 0 {
                active.remove(&self.epoch);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_freed_under_a_reader_waits_for_it() {
        let pins = Arc::new(Pins::default());
        let reader = pins.pin();
        let freed = pins.epoch();
        assert!(pins.advance() <= freed);
        drop(reader);
        assert!(pins.advance() > freed);
        let later = pins.pin();
        assert!(pins.advance() > freed, "a reader that began later holds nothing back");
        drop(later);
    }
}
