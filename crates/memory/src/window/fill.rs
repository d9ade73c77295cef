//! Filling missing pages of a window. Safe in a signal handler.

use std::io;
use std::ops::Range;

use super::frozen::Owner;
use super::state::Window;
use crate::error::{Error, Result};
use crate::page::PAGE;
use crate::sys::{self, Fill};

/// Pages of the image that are mapped at a touch. They are shared, so each costs only a table
/// entry.
pub(super) const CONTINUE_PAGES: usize = 16;

impl Window {
    /// Maps pages of the image, shared, or zeros where it has none. Returns `false` if it cannot.
    pub(super) fn share(&self, pages: Range<usize>) -> bool {
        let segments = self.image.layout().segments();
        let at = segments.partition_point(|segment| segment.pages.end <= pages.start);
        let Some(segment) = segments.get(at) else { return false };
        let one = pages.start..pages.start + 1;
        let answer = if segment.backing.is_zero() {
            retry(|| sys::zero(self.span(&one)))
        } else {
            let end = pages.end.min(segment.pages.end);
            let many = retry(|| sys::continue_pages(self.span(&(pages.start..end))));
            // A request for several pages may be refused because of another page than the first:
            // they may lie in two mappings, one of which is locked.
            let first = match many {
                Fill::Refused(_) => retry(|| sys::continue_pages(self.span(&one))),
                other => other,
            };
            match first {
                // The image has a short hole here, which has not been read yet.
                Fill::Refused(libc::EFAULT) => retry(|| sys::zero(self.span(&one))),
                other => other,
            }
        };
        matches!(answer, Fill::Filled(_) | Fill::Present)
    }

    /// Fills every missing page of `pages`, so that the kernel itself can use them.
    pub fn fill(&self, pages: Range<usize>) -> Result<()> {
        let failed = |e| Error::os("settle pages of a region", e);
        let mut at = pages.start;
        while at < pages.end {
            let (owner, end) = self.frozen.owner(at..pages.end).map_err(failed)?;
            let run = at..end;
            match owner {
                Owner::Frozen(source) => self.copy_run(run, source).map(|_| ()),
                Owner::Image => run.clone().try_for_each(|page| {
                    let shared = self.share(page..page + 1);
                    shared.then_some(()).ok_or(io::Error::from_raw_os_error(libc::EFAULT))
                }),
            }
            .map_err(failed)?;
            at = end;
        }
        Ok(())
    }

    /// Copies the frozen pages of `pages` that are not there yet. Returns how many.
    pub(super) fn copy_missing(&self, pages: Range<usize>) -> io::Result<usize> {
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

    /// Copies the pages of a run that are not there yet. Returns how many.
    pub(super) fn copy_run(&self, pages: Range<usize>, source: usize) -> io::Result<usize> {
        // SAFETY: the frozen pages are mapped while the window is, and are what the region held.
        fill_missing(&self.span(&pages), source, |target, source| unsafe {
            sys::copy(target, source)
        })
    }
}

/// Fills the missing pages of `target` from `source` on, and skips pages that are there. Returns
/// how many it filled.
pub(crate) fn fill_missing(
    target: &Range<usize>,
    source: usize,
    fill: impl Fn(Range<usize>, usize) -> Fill,
) -> io::Result<usize> {
    let (mut at, mut filled) = (target.start, 0);
    let mut end = target.end;
    while at < target.end {
        match retry(|| fill(at..end, source + (at - target.start))) {
            Fill::Filled(bytes) => {
                filled += bytes / PAGE;
                at += bytes;
            }
            Fill::Present => at += PAGE,
            // A request must not cross from one mapping into the next: try the first half.
            Fill::Refused(libc::ENOENT | libc::EINVAL) if end - at > PAGE => {
                end = at + (end - at) / 2 / PAGE * PAGE;
                continue;
            }
            Fill::Again => return Err(io::Error::from_raw_os_error(libc::EAGAIN)),
            Fill::Refused(error) => return Err(io::Error::from_raw_os_error(error)),
        }
        if at >= end {
            end = target.end;
        }
    }
    Ok(filled)
}

/// Repeats a request while the kernel is busy with the page or the address space. That is brief,
/// unless the thread that keeps it busy waits for this processor: so this thread yields after a
/// while.
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
