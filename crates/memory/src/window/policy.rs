//! Copy-ahead: how many pages are copied when one is needed.
//!
//! After Ha and Kim, *Coverage-based copy-on-write* (Electronics 11(3), 2022): where neighbours
//! turn out to be needed, more are copied at a time. Each 2 MiB has its own cluster size, 1 to 16
//! pages. A fault next to pages that faulted before doubles it, and an isolated one halves it. The
//! thread that faults copies only the first few pages itself. A background thread copies the rest.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::page::{HUGE, PAGE, zeroed_words};

/// Pages of a granule. A cluster never crosses one.
const GRANULE: usize = 16;
/// Pages that share a cluster size.
const UNIT: usize = HUGE / PAGE;
/// The position of the size (as a power of two) in a unit's word, above one bit for each granule.
const SIZE_SHIFT: u32 = 32;
const SIZE_MAX: u64 = 4;

/// How copies run ahead of need while a snapshot or lazy fork settles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CopyAhead {
    /// Pages of the largest cluster, 1 to 16. With 1, no page is copied before it is needed.
    pub cluster_pages_max: usize,
    /// The most pages that the faulting thread copies itself. The background thread copies the
    /// rest.
    pub inline_pages_max: usize,
}

impl Default for CopyAhead {
    fn default() -> Self {
        Self { cluster_pages_max: GRANULE, inline_pages_max: 4 }
    }
}

impl CopyAhead {
    /// One page at a time.
    pub const OFF: Self = Self { cluster_pages_max: 1, inline_pages_max: 1 };
}

/// The cluster sizes of a window.
#[derive(Debug)]
pub(super) struct Clusters {
    units: Box<[AtomicU64]>,
    policy: CopyAhead,
}

/// What to copy for a fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cluster {
    /// The page itself and the few after it.
    pub now: Range<usize>,
    /// All of them.
    pub whole: Range<usize>,
}

impl Clusters {
    pub fn new(pages: usize, policy: CopyAhead) -> Self {
        Self { units: zeroed_words(pages.div_ceil(UNIT)), policy }
    }

    /// Records a fault and says what to copy. Safe in a signal handler.
    pub fn on_fault(&self, page: usize) -> Cluster {
        let unit = &self.units[page / UNIT];
        let granule = page % UNIT / GRANULE;
        let before = unit.load(Ordering::Relaxed);
        let touched = |granule: usize| before >> granule & 1 == 1;
        let hit = touched(granule)
            || page.is_multiple_of(GRANULE) && granule > 0 && touched(granule - 1)
            || page % GRANULE == GRANULE - 1
                && granule + 1 < UNIT / GRANULE
                && touched(granule + 1);
        let size = before >> SIZE_SHIFT;
        let size = if hit { (size + 1).min(SIZE_MAX) } else { size.saturating_sub(1) };
        let bits = before & ((1 << SIZE_SHIFT) - 1) | 1 << granule;
        // If a race loses this fault, it loses a hint and nothing more.
        unit.store(size << SIZE_SHIFT | bits, Ordering::Relaxed);

        let pages = (1_usize << size).min(self.policy.cluster_pages_max.max(1));
        let start = page / pages * pages;
        let whole = start..start + pages;
        let inline = self.policy.inline_pages_max.max(1);
        Cluster { now: page..whole.end.min(page + inline), whole }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_side_by_side_grow_the_cluster_to_sixteen_pages() {
        let clusters = Clusters::new(UNIT, CopyAhead::default());
        let mut page = 0;
        let mut faults = 0;
        while page < UNIT {
            page = clusters.on_fault(page).whole.end;
            faults += 1;
        }
        assert!(faults < UNIT / GRANULE + 8, "{faults} faults for {UNIT} pages");
        assert_eq!(clusters.on_fault(100).whole, 96..112);
    }

    #[test]
    fn lone_faults_keep_the_cluster_at_one_page() {
        let clusters = Clusters::new(UNIT, CopyAhead::default());
        for granule in 0..UNIT / GRANULE {
            let page = granule * GRANULE + 7;
            assert_eq!(clusters.on_fault(page).whole, page..page + 1);
        }
    }

    #[test]
    fn the_faulting_thread_copies_few_pages_and_never_more_than_the_policy_says() {
        let clusters = Clusters::new(UNIT, CopyAhead { cluster_pages_max: 8, inline_pages_max: 2 });
        for page in 0..40 {
            let cluster = clusters.on_fault(page);
            assert!(cluster.now.len() <= 2 && cluster.whole.len() <= 8);
            assert!(cluster.now.start == page && cluster.whole.contains(&page));
        }
        let off = Clusters::new(UNIT, CopyAhead::OFF);
        for page in 0..40 {
            assert_eq!(off.on_fault(page).whole, page..page + 1);
        }
    }
}
