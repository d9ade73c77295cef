//! Filling the page that a thread has touched, in the signal handler of that thread.
//!
//! Nothing here allocates, locks or panics. If two threads fill a page at the same time, the second
//! one finds it present and returns to the access, which succeeds.

use std::ops::Range;

use super::copier::{self, Request};
use super::fill::CONTINUE_PAGES;
use super::frozen::Owner;
use super::policy::Cluster;
use super::registry::{self, Found};
use super::state::{Counters, Window};
use crate::page::PAGE;
use crate::sys::Fault;

/// Resolves a fault. Returns `false` if it is not about a window.
pub(super) fn on_fault(fault: Fault) -> bool {
    registry::with(fault.address, |found| match found {
        Found::Nothing => false,
        Found::Closed => {
            // The watch ends in a moment, unless the thread that ends it waits for this processor.
            std::thread::yield_now();
            true
        }
        Found::Open(window) => {
            let page = (fault.address - window.addresses.start) / PAGE;
            window.resolve(page, fault.is_write)
        }
    })
}

impl Window {
    fn resolve(&self, page: usize, is_write: bool) -> bool {
        Counters::add(&self.counters.faults, 1);
        let cluster = self.clusters.on_fault(page);
        if is_write && cluster.whole.len() == 1 {
            // A lone frozen mapping shows either its private page or the image's. A page that is
            // written has to be a copy of that, so there is no need to look up which it is.
            if let Some(source) = self.frozen.lone_address(page) {
                return self.copy_now(cluster.whole, source);
            }
        }
        let block = page..(page / CONTINUE_PAGES + 1) * CONTINUE_PAGES;
        let block = block.start..block.end.min(self.addresses.len() / PAGE);
        let Ok((owner, end)) = self.frozen.owner(block) else { return false };
        match owner {
            Owner::Frozen(source) => self.copy_cluster(&cluster, end, source),
            Owner::Image => self.share(page..end),
        }
    }

    /// Copies the page and a few after it, and lets the background thread copy more.
    fn copy_cluster(&self, cluster: &Cluster, end: usize, source: usize) -> bool {
        let now = cluster.now.start..cluster.now.end.min(end);
        let ahead = cluster.whole.len() > now.len();
        let copied = self.copy_now(now, source);
        if copied && ahead {
            let end = cluster.whole.end.min(self.addresses.len() / PAGE);
            copier::ask(Request { window: self.addresses.start, pages: cluster.whole.start..end });
        }
        copied
    }

    /// Copies the page that is needed, first, and those after it.
    fn copy_now(&self, pages: Range<usize>, source: usize) -> bool {
        let Ok(copied) = self.copy_run(pages, source) else { return false };
        Counters::add(&self.counters.copied, copied.min(1));
        Counters::add(&self.counters.copied_ahead, copied.saturating_sub(1));
        true
    }
}
