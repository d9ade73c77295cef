//! Going back to the image, again and again.
//!
//! Finding the pages to drop means looking at every page that is mapped, 10 ms for a gigabyte that has
//! been read throughout, and dropping them means faults to get them back. A region that is kept warm
//! lets the kernel record writes instead, and copies the image's content back into the pages that
//! were written: the next round finds them in place.

use std::ops::Range;

use crate::linux::error::Result;
use crate::linux::page::{PAGE, difference, union};
use crate::linux::region::Region;
use crate::linux::sys;

/// Idle warm pages are dropped when they outnumber those in use so many times.
const IDLE_TIMES: usize = 4;
/// Pages compared at a time.
const CHUNK_PAGES: usize = 256;
/// Idle pages that are not worth dropping.
const IDLE_MIN: usize = 64;

/// The pages that a region keeps as its own though they hold the image's content.
#[derive(Debug, Default)]
pub(crate) struct Warm {
    wanted: bool,
    pages: Vec<Range<usize>>,
}

impl Warm {
    /// Forgets the pages, which are gone or elsewhere.
    pub fn restart(&mut self) {
        self.pages.clear();
    }

    /// The same wish, for a region that takes this one's place.
    pub fn wish(&self) -> Self {
        Self { wanted: self.wanted, pages: Vec::new() }
    }
}

impl Region {
    /// Goes back to the image that the region was made from, or last sealed to: every byte written since is forgotten.
    /// The length stays.
    ///
    /// A fork of a written region goes back to where that one would have gone. To go back to the moment of the fork, fork
    /// by [`ForkMode::Layer`](crate::ForkMode::Layer), or fork an image.
    pub fn reset(&mut self) -> Result<()> {
        let pinned = self.may_be_pinned();
        if !self.written && self.space.window.is_none() && self.origin.is_none() {
            return Ok(());
        }
        // Should it stop in the middle, the region is neither what it was nor the image.
        self.written = true;
        if pinned {
            return self.reset_in_place();
        }
        if let Some(origin) = self.origin.clone() {
            self.space.close_window()?;
            self.space.untrack()?;
            self.warm.restart();
            self.return_to(&origin)?;
            self.origin = None;
            if self.warm.wanted {
                self.space.track()?;
            }
        } else if self.space.is_tracked() {
            self.restore()?;
        } else {
            self.space.close_window()?;
            let runs = self.space.private_runs()?;
            self.discard(&runs)?;
            self.image().layout().clone().patch(&mut self.space.mapping)?;
            if self.warm.wanted {
                self.space.track()?;
            }
        }
        self.written = false;
        Ok(())
    }

    /// Makes resets cheap for a region that is written and reset in a loop: the kernel records its
    /// writes, and pages that are written often stay in place.
    ///
    /// Takes some milliseconds a mapped gigabyte once. In return, pages of the image that are read for
    /// the first time are mapped one at a time.
    ///
    /// # Errors
    /// [`Unsupported`](crate::Error::Unsupported) where the kernel does not record writes; the region
    /// works as before.
    pub fn keep_warm(&mut self) -> Result<()> {
        self.settle()?;
        if !self.space.is_tracked() {
            self.warm.restart();
            self.space.track()?;
        }
        self.warm.wanted = true;
        Ok(())
    }

    /// Copies back what is to come back, page by page, wherever it differs: I/O may reach the pages where they are.
    fn reset_in_place(&mut self) -> Result<()> {
        self.settle()?;
        let written = self.space.private_runs()?;
        self.copy_back(&written)?;
        let Some(origin) = self.origin.clone() else {
            self.written = false;
            return Ok(());
        };
        let mut old = vec![0; CHUNK_PAGES * PAGE];
        for start in self.space.pages().step_by(CHUNK_PAGES) {
            let end = self.space.pages().end.min(start + CHUNK_PAGES);
            let old = &mut old[..(end - start) * PAGE];
            origin.layout().read_pages(start, old)?;
            let bytes = &mut self.space.mapping.bytes_mut()[start * PAGE..end * PAGE];
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
        let found = self.space.written(&self.warm.pages)?;
        self.copy_back(&found.own)?;
        found.protect()?;
        let written = found.own;

        let idle = difference(&self.warm.pages, &written);
        let pages = |runs: &[Range<usize>]| runs.iter().map(Range::len).sum::<usize>();
        // Patches are pages of the region by right, so a region of a patched image keeps them all.
        let crowded = pages(&idle) > IDLE_MIN + IDLE_TIMES * pages(&written);
        if crowded && self.image().layout().patches().is_empty() {
            let base = self.space.mapping.start();
            for run in &idle {
                // A protected page would leave a mark behind that looks like a page.
                sys::unprotect(base + run.start * PAGE..base + run.end * PAGE)?;
            }
            self.discard(&idle)?;
            self.warm.pages = written;
        } else {
            self.warm.pages = union(&idle, &written);
        }
        Ok(())
    }

    /// Copies the image's content into pages, which stay where they are: I/O may reach them there.
    fn copy_back(&mut self, runs: &[Range<usize>]) -> Result<()> {
        let layout = self.image().layout().clone();
        runs.iter().try_for_each(|run| {
            let bytes = run.start * PAGE..run.end * PAGE;
            layout.read_pages(run.start, &mut self.space.mapping.bytes_mut()[bytes])
        })
    }

    /// Drops pages; the image's show again.
    fn discard(&mut self, runs: &[Range<usize>]) -> Result<()> {
        runs.iter().try_for_each(|run| self.space.mapping.discard(run.start * PAGE..run.end * PAGE))
    }
}
