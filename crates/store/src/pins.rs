//! Readers pin the moment at which they began, so that nothing they may reach is reused.

use crate::format::ids::Generation;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::{Mutex, lock};
use std::collections::BTreeMap;
use std::sync::Arc;
use tine_sys::lineage::Process;

/// The time between two counts of the readers. A freed block is stamped with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Epoch(pub u64);

/// When a reader began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Since {
    /// It may reach what is freed in this epoch or later
    pub epoch: Epoch,
    /// and was made in this generation of the store or earlier.
    pub generation: Generation,
}

/// All readers who began before an epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Readers {
    pub before: Epoch,
    pub since: Vec<Since>,
}

#[derive(Debug, Default)]
pub(crate) struct Pins {
    process: Process,
    epoch: AtomicU64,
    active: Mutex<BTreeMap<Since, usize>>,
}

/// Held by a reader for as long as it may read.
#[derive(Debug)]
pub(crate) struct Pin {
    pins: Arc<Pins>,
    since: Since,
}

impl Pins {
    /// The epoch that a block freed now is stamped with.
    pub fn epoch(&self) -> Epoch {
        Epoch(self.epoch.load(Ordering::Acquire))
    }

    /// Pins all that was made up to `generation`.
    pub fn pin(self: &Arc<Pins>, generation: Generation) -> Pin {
        let mut active = lock(&self.active);
        let since = Since { epoch: self.epoch(), generation };
        *active.entry(since).or_default() += 1;
        Pin { pins: Arc::clone(self), since }
    }

    /// Whether a reader may see what was made in the generation `birth`; a writer counts as a
    /// reader until it commits.
    pub fn may_see(&self, birth: Generation) -> bool {
        lock(&self.active).keys().any(|since| since.generation >= birth)
    }

    /// Who reads now.
    pub fn active(&self) -> Vec<Since> {
        lock(&self.active).keys().copied().collect()
    }

    /// Begins a new epoch; who began in an older one and is still there.
    pub fn advance(&self) -> Readers {
        let active = lock(&self.active);
        let now = Epoch(self.epoch.fetch_add(1, Ordering::AcqRel) + 1);
        Readers { before: now, since: active.keys().copied().collect() }
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        // In a child of `fork(2)` the lock may be held for ever, and no reader counts.
        if !self.pins.process.is_current() {
            return;
        }
        let mut active = lock(&self.pins.active);
        if let Some(count) = active.get_mut(&self.since) {
            *count -= 1;
            if *count == 0 {
                active.remove(&self.since);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_counts_from_its_pin_to_its_end_for_what_was_made_before() {
        let pins = Arc::new(Pins::default());
        let reader = pins.pin(Generation(3));
        assert!(
            pins.may_see(Generation(2))
                && pins.may_see(Generation(3))
                && !pins.may_see(Generation(4))
        );
        assert_eq!(pins.advance().since, [Since { epoch: Epoch(0), generation: Generation(3) }]);
        let later = pins.pin(Generation(4));
        drop(reader);
        assert!(pins.may_see(Generation(4)));
        let readers = Readers {
            before: Epoch(2),
            since: vec![Since { epoch: Epoch(1), generation: Generation(4) }],
        };
        assert_eq!(pins.advance(), readers);
        drop(later);
        assert!(!pins.may_see(Generation(0)) && pins.advance().since.is_empty());
    }
}
