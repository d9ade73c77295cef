//! Filling the page that a thread has touched, in the signal handler of that thread.
//!
//! Nothing here allocates, locks or panics. A page that another thread fills at the same time is
//! simply there: whoever comes second finds it present and returns to the access, which succeeds.

use std::ops::Range;

use super::copier::Request;
use super::frozen::Owner;
use super::policy::Cluster;
use super::registry::{self, Found};
use super::{Counters, Window, copier};
use crate::linux::error::{Error, Result};
use crate::linux::page::PAGE;
use crate::linux::sys::{self, Fault, Fill};

/// Pages of the image that are mapped at a touch: they are shared, so only a table entry each.
const CONTINUE_PAGES: usize = 16;

/// Resolves a fault; `false` if it is not about a window.
pub(super) fn on_fault(fault: Fault) -> bool {
    registry::with(fault.address, |found| match found {
        Found::Nothing => false,
        Found::Closed => {
            // The watching ends in a moment, unless whoever ends it waits for this processor.
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
            // Where a lone frozen mapping has no page of its own it shows the image's, and a page that
            // is written has to be a copy of either: there is no need to ask which.
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

    /// Copies the page and a few after it, and asks for more to be copied in the background.
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

    /// Maps pages of the image, shared, or zeros where it has none.
    fn share(&self, pages: Range<usize>) -> bool {
        let segments = self.image.layout().segments();
        let at = segments.partition_point(|segment| segment.pages.end <= pages.start);
        let Some(segment) = segments.get(at) else { return false };
        let one = pages.start..pages.start + 1;
        let answer = if segment.backing.is_zero() {
            retry(|| sys::zero(self.span(&one)))
        } else {
            let end = pages.end.min(segment.pages.end);
            let many = retry(|| sys::continue_pages(self.span(&(pages.start..end))));
            // What a request for several was refused for may concern another than the first, such as that they lie
            // in two mappings, one of which is locked.
            let first = match many {
                Fill::Refused(_) => retry(|| sys::continue_pages(self.span(&one))),
                other => other,
            };
            match first {
                // The image has a short hole here, which nobody has read yet.
                Fill::Refused(libc::EFAULT) => retry(|| sys::zero(self.span(&one))),
                other => other,
            }
        };
        matches!(answer, Fill::Filled(_) | Fill::Present)
    }

    /// Fills every missing page, so that the kernel itself can use them.
    pub fn fill(&self, pages: Range<usize>) -> Result<()> {
        let failed = |e| Error::os("settle pages of a region", e);
        let mut at = pages.start;
        while at < pages.end {
            let (owner, end) = self.frozen.owner(at..pages.end).map_err(failed)?;
            let run = at..end;
            match owner {
                Owner::Frozen(source) => self.copy_run(run, source).map(|_| ()),
                Owner::Image => run.clone().try_for_each(|page| match self.share(page..page + 1) {
                    true => Ok(()),
                    false => Err(std::io::Error::from_raw_os_error(libc::EFAULT)),
                }),
            }
            .map_err(failed)?;
            at = end;
        }
        Ok(())
    }

    /// Copies pages that are frozen and not there yet; returns how many.
    pub(super) fn copy_missing(&self, pages: Range<usize>) -> std::io::Result<usize> {
        let (mut at, mut copied) = (pages.start, 0);
        while at < pages.end {
            let (owner, end) = self.frozen.owner(at..pages.end)?;
            if let Owner::Frozen(source) = owner {
                copied += self.copy_run(at..end, source)?;
            }
            at = end;
        }
        Ok(copied)
    }

    /// Copies the pages of a run that are not there yet; returns how many.
    pub(super) fn copy_run(&self, pages: Range<usize>, source: usize) -> std::io::Result<usize> {
        // SAFETY: the frozen pages are mapped while the window is, and are what the region held.
        fill_missing(&self.span(&pages), source, |target, source| unsafe {
            sys::copy(target, source)
        })
    }
}

/// Fills what is missing of `target` from `source` on, stepping over pages that are there. Returns
/// pages filled.
pub(crate) fn fill_missing(
    target: &Range<usize>,
    source: usize,
    fill: impl Fn(Range<usize>, usize) -> Fill,
) -> std::io::Result<usize> {
    let (mut at, mut filled) = (target.start, 0);
    let mut end = target.end;
    while at < target.end {
        match retry(|| fill(at..end, source + (at - target.start))) {
            Fill::Filled(bytes) => {
                filled += bytes / PAGE;
                at += bytes;
            }
            Fill::Present => at += PAGE,
            // A request may not cross from one mapping into the next: try the first half.
            Fill::Refused(libc::ENOENT | libc::EINVAL) if end - at > PAGE => {
                end = at + (end - at) / 2 / PAGE * PAGE;
                continue;
            }
            Fill::Again => return Err(std::io::Error::from_raw_os_error(libc::EAGAIN)),
            Fill::Refused(error) => return Err(std::io::Error::from_raw_os_error(error)),
        }
        if at >= end {
            end = target.end;
        }
    }
    Ok(filled)
}

/// Repeats a request while the kernel is busy with the page or the address space. That is brief, unless
/// whoever it is busy for waits for this processor: so it is given up after a while.
fn retry(request: impl Fn() -> Fill) -> Fill {
    const SPINS: usize = 100;
    let mut spins = 0;
    loop {
        match request() {
            Fill::Again if spins < SPINS => {
                spins += 1;
                std::hint::spin_loop();
            }
            Fill::Again => std::thread::yield_now(),
            answer => return answer,
        }
    }
}
