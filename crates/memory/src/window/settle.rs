//! Filling the pages that have not been touched yet, so that the window can end.
//!
//! Levels are taken newest first, and only missing pages are filled, so that a page comes from the
//! newest level that has it. If nothing else needs the frozen page and the target is demand-zero
//! memory, the page itself is moved. Else it is copied.

use std::ops::Range;
use std::sync::Arc;

use super::fill::fill_missing;
use super::frozen::Frozen;
use super::state::{Counters, Window};
use crate::error::{Error, Result};
use crate::page::PAGE;
use crate::sys;

/// How frozen pages reach the window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transfer {
    /// Copied, since others read them.
    Copy,
    /// Moved where possible, since nothing else needs them.
    Move,
}

impl Window {
    /// Fills every missing page of `pages` that some frozen level has.
    pub fn settle(&self, pages: Range<usize>, transfer: Transfer) -> Result<()> {
        let mut settled = 0;
        for level in self.frozen().levels() {
            level.runs(pages.clone(), |run| {
                settled += self.settle_run(run, level, transfer)?;
                Ok(())
            })?;
        }
        Counters::add(&self.counters.settled, settled);
        Ok(())
    }

    /// Settles everything. Moves pages if this window is the last that needs them and they were its
    /// own before: a page that was given to a pipe (`vmsplice`) is still there, and must not show
    /// what a fork writes.
    pub fn settle_all(&self) -> Result<()> {
        let alone = Arc::strong_count(self.frozen()) == 1
            && self.frozen().depth() == 1
            && self.frozen().is_from(self.addresses.start);
        let transfer = if alone { Transfer::Move } else { Transfer::Copy };
        self.settle(0..self.addresses.len() / PAGE, transfer)
    }

    fn settle_run(&self, run: Range<usize>, level: &Frozen, transfer: Transfer) -> Result<usize> {
        let source = level.mapping().start() + run.start * PAGE;
        let failed = |e| Error::os("settle pages of a region", e);
        if transfer == Transfer::Copy || !self.is_anonymous(&run) {
            return self.copy_run(run, source).map_err(failed);
        }
        // SAFETY: the frozen pages are mapped, are what the region held, and nothing else needs
        // them.
        let moved = fill_missing(&self.span(&run), source, |target, source| unsafe {
            match sys::move_pages(target.clone(), source) {
                // Pinned by I/O in flight, or shared with a child process: copy instead of moving.
                sys::Fill::Refused(libc::EBUSY) => sys::copy(first_page(&target), source),
                // Between mappings of different kinds, such as a locked one and one that is not.
                sys::Fill::Refused(libc::EINVAL) => sys::copy(target, source),
                answer => answer,
            }
        });
        moved.map_err(failed)
    }

    fn is_anonymous(&self, pages: &Range<usize>) -> bool {
        let segments = self.image.layout().segments();
        let at = segments.partition_point(|segment| segment.pages.end <= pages.start);
        segments[at..]
            .iter()
            .take_while(|segment| segment.pages.start < pages.end)
            .all(|segment| segment.backing.is_zero())
    }
}

fn first_page(addresses: &Range<usize>) -> Range<usize> {
    addresses.start..addresses.start + PAGE
}
