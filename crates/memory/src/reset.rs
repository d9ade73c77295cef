//! Going back to the image, again and again.
//!
//! Finding the pages to drop means looking at every page that is mapped, 10 ms for a gigabyte that has
//! been read throughout, and dropping them means faults to get them back. A region that is kept warm
//! lets the kernel record writes instead, and copies the image's content back into the pages that
//! were written: the next round finds them in place.

use std::ops::Range;

use crate::error::Result;
use crate::page::{PAGE, push_run};
use crate::region::Region;
use crate::sys::{self, Query};

/// Idle warm pages are dropped when they outnumber those in use so many times.
const IDLE_TIMES: usize = 4;
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
    /// Goes back to the image: every byte written since is forgotten. The length stays.
    ///
    /// A fork of a written region goes back to the image below, not to the moment of the fork: seal
    /// before forking to make that moment an image.
    pub fn reset(&mut self) -> Result<()> {
        if !self.written && self.space.window.is_none() {
            return Ok(());
        }
        if self.space.tracked {
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
        if !self.space.tracked {
            self.space.track()?;
        }
        self.warm.wanted = true;
        Ok(())
    }

    /// Copies the image's content back into the pages that were written.
    fn restore(&mut self) -> Result<()> {
        let written = self.space.written_runs(Query::Unprotected)?;
        let layout = self.image().layout().clone();
        for run in &written {
            let bytes = run.start * PAGE..run.end * PAGE;
            layout.read_pages(run.start, &mut self.space.mapping.bytes_mut()[bytes])?;
        }
        self.space.runs(Query::UnprotectedThenProtect)?;

        let idle = difference(&self.warm.pages, &written);
        let pages = |runs: &[Range<usize>]| runs.iter().map(Range::len).sum::<usize>();
        // Patches are pages of the region by right, so a region of a patched image keeps them all.
        let crowded = pages(&idle) > IDLE_MIN + IDLE_TIMES * pages(&written);
        if crowded && layout.patches().is_empty() {
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

    /// Drops pages; the image's show again.
    fn discard(&mut self, runs: &[Range<usize>]) -> Result<()> {
        runs.iter().try_for_each(|run| self.space.mapping.discard(run.start * PAGE..run.end * PAGE))
    }
}

/// The pages of `a` that are not in `b`; both ascend.
fn difference(a: &[Range<usize>], b: &[Range<usize>]) -> Vec<Range<usize>> {
    let mut rest = Vec::new();
    let mut b = b.iter().peekable();
    for run in a {
        let mut at = run.start;
        while at < run.end {
            while b.next_if(|cut| cut.end <= at).is_some() {}
            let end = b.peek().map_or(run.end, |cut| cut.start.clamp(at, run.end));
            if at < end {
                rest.push(at..end);
            }
            at = b.peek().map_or(run.end, |cut| cut.end.max(end));
        }
    }
    rest
}

/// The pages of both, which ascend.
pub(crate) fn union(a: &[Range<usize>], b: &[Range<usize>]) -> Vec<Range<usize>> {
    let mut all: Vec<Range<usize>> = a.iter().chain(b).cloned().collect();
    all.sort_unstable_by_key(|run| run.start);
    let mut joined = Vec::with_capacity(all.len());
    all.into_iter().for_each(|run| push_run(&mut joined, run));
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[allow(clippy::single_range_in_vec_init)]
    fn runs_are_subtracted_and_united_page_by_page() {
        let a = [0..4, 6..9, 12..20];
        let b = [1..2, 3..7, 15..16, 19..30];
        assert_eq!(difference(&a, &b), [0..1, 2..3, 7..9, 12..15, 16..19]);
        assert_eq!(difference(&a, &[]), a);
        assert_eq!(difference(&a, &[0..100]), []);
        assert_eq!(union(&a, &b), [0..9, 12..30]);
    }
}
