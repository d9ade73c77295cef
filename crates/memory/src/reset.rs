//! Going back to the image, again and again.
//!
//! To find the pages to drop, every mapped page is looked at, which takes 10 ms for a gigabyte that
//! has been read throughout. Each dropped page then costs a fault. A region that is kept warm lets
//! the kernel record writes instead, and copies the image's content back into the pages that were
//! written, so that the next round finds them in place.

use std::ops::Range;

use crate::error::Result;
use crate::page::{PAGE, difference, union};
use crate::region::Region;
use crate::sys;

/// Idle warm pages are dropped when they outnumber those in use by this factor.
const IDLE_TIMES: usize = 4;
/// Pages compared at a time.
const CHUNK_PAGES: usize = 256;
/// Up to this many idle pages are not worth dropping.
const IDLE_MIN: usize = 64;

impl Region {
    /// Goes back to the image that the region was made from, or last sealed to. Every byte written
    /// since is lost. The length does not change.
    ///
    /// A fork of a written region goes back to where that region would have gone. To go back to the
    /// moment of the fork, fork by [`ForkMode::Layer`](crate::ForkMode::Layer), or fork an image.
    pub fn reset(&mut self) -> Result<()> {
        let pinned = self.may_be_pinned();
        if !self.written && self.cow.window.is_none() && self.origin.is_none() {
            return Ok(());
        }
        // If this fails in the middle, the region is neither what it was nor the image.
        self.written = true;
        if pinned {
            return self.reset_in_place();
        }
        if let Some(origin) = self.origin.clone() {
            self.cow.close_window()?;
            self.cow.untrack()?;
            self.warm.restart();
            self.return_to(&origin)?;
            self.origin = None;
            if self.warm.wanted {
                self.cow.track()?;
            }
        } else if self.cow.is_tracked() {
            self.restore()?;
        } else {
            self.cow.close_window()?;
            let runs = self.cow.private_runs()?;
            self.discard(&runs)?;
            self.image().layout().clone().patch(&mut self.cow.mapping)?;
            if self.warm.wanted {
                self.cow.track()?;
            }
        }
        self.written = false;
        Ok(())
    }

    /// Makes resets cheap for a region that is written and reset in a loop: the kernel records its
    /// writes, and pages that are written often stay in place.
    ///
    /// It takes some milliseconds for each mapped gigabyte, once. From then on, pages of the image
    /// that are read for the first time are mapped one at a time.
    ///
    /// # Errors
    /// [`Unsupported`](crate::Error::Unsupported) if the kernel does not record writes. The region
    /// works as before.
    pub fn keep_warm(&mut self) -> Result<()> {
        self.settle()?;
        if !self.cow.is_tracked() {
            self.warm.restart();
            self.cow.track()?;
        }
        self.warm.wanted = true;
        Ok(())
    }

    /// Copies the content back, page by page where it differs: I/O may reach the pages where they
    /// are.
    fn reset_in_place(&mut self) -> Result<()> {
        self.settle()?;
        let written = self.cow.private_runs()?;
        self.copy_back(&written)?;
        let Some(origin) = self.origin.clone() else {
            self.written = false;
            return Ok(());
        };
        let mut old = vec![0; CHUNK_PAGES * PAGE];
        for start in self.cow.pages().step_by(CHUNK_PAGES) {
            let end = self.cow.pages().end.min(start + CHUNK_PAGES);
            let old = &mut old[..(end - start) * PAGE];
            origin.layout().read_pages(start, old)?;
            let bytes = &mut self.cow.mapping.bytes_mut()[start * PAGE..end * PAGE];
            for (page, old) in bytes.chunks_mut(PAGE).zip(old.chunks(PAGE)) {
                if page != old {
                    page.copy_from_slice(old);
                }
            }
        }
        Ok(())
    }

    /// Copies the image's content back into the pages that were written.
    fn restore(&mut self) -> Result<()> {
        let found = self.cow.written(&self.warm.pages)?;
        self.copy_back(&found.private)?;
        found.protect()?;
        let written = found.private;

        let idle = difference(&self.warm.pages, &written);
        let pages = |runs: &[Range<usize>]| runs.iter().map(Range::len).sum::<usize>();
        // Patches are the region's own pages from the start, so a region of a patched image keeps
        // them.
        let crowded = pages(&idle) > IDLE_MIN + IDLE_TIMES * pages(&written);
        if crowded && self.image().layout().patches().is_empty() {
            let base = self.cow.mapping.start();
            for run in &idle {
                // A protected page would leave a mark behind that later looks like a page.
                sys::unprotect(base + run.start * PAGE..base + run.end * PAGE)?;
            }
            self.discard(&idle)?;
            self.warm.pages = written;
        } else {
            self.warm.pages = union(&idle, &written);
        }
        Ok(())
    }

    /// Copies the image's content into pages without moving them: I/O may reach them where they
    /// are.
    fn copy_back(&mut self, runs: &[Range<usize>]) -> Result<()> {
        let layout = self.image().layout().clone();
        runs.iter().try_for_each(|run| {
            let bytes = run.start * PAGE..run.end * PAGE;
            layout.read_pages(run.start, &mut self.cow.mapping.bytes_mut()[bytes])
        })
    }

    /// Drops pages, so that the image's show again.
    fn discard(&mut self, runs: &[Range<usize>]) -> Result<()> {
        runs.iter().try_for_each(|run| self.cow.mapping.discard(run.start * PAGE..run.end * PAGE))
    }
}
