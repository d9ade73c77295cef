//! Frozen pages: what a region held at a cut, as plain memory that no one writes.

use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::Result;
use crate::page::{PAGE, zeroed_words};
use crate::sys::{Mapping, Query, Run, scan, scan_into};

/// Levels of a chain beyond which it is settled before it grows: each costs a look-up a fault.
pub(crate) const DEPTH_MAX: usize = 8;

/// Pages that are looked up in the page tables together.
const WORD: usize = u64::BITS as usize;

/// The private pages of a region at a cut, over those of earlier cuts that it had not touched.
#[derive(Debug)]
pub(crate) struct Frozen {
    mapping: Mapping,
    below: Option<Arc<Frozen>>,
    /// A bit a page: it is here. Looked up 64 pages at a time, when first asked.
    here: Box<[AtomicU64]>,
    /// A bit for each word of `here`: it has been looked up.
    known: Box<[AtomicU64]>,
}

/// Who has a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    /// A frozen mapping; the page's address there.
    Frozen(usize),
    /// No frozen mapping: the image.
    Image,
}

impl Frozen {
    pub fn new(mapping: Mapping, below: Option<Arc<Frozen>>) -> Self {
        let words = (mapping.len() / PAGE).div_ceil(WORD);
        let (here, known) = (zeroed_words(words), zeroed_words(words.div_ceil(WORD)));
        Self { mapping, below, here, known }
    }

    /// The mapping itself.
    pub fn mapping(&self) -> &Mapping {
        &self.mapping
    }

    /// Levels, this one included.
    pub fn depth(&self) -> usize {
        self.levels().count()
    }

    /// The levels, newest first.
    pub fn levels(&self) -> impl Iterator<Item = &Frozen> {
        std::iter::successors(Some(self), |level| level.below.as_deref())
    }

    /// Who has the page at the start of `pages`, and how far the same one goes on, at most to the end
    /// of its 64 pages. Safe in a signal handler.
    pub fn owner(&self, pages: Range<usize>) -> io::Result<(Owner, usize)> {
        let word = pages.start / WORD;
        let offset = (pages.start % WORD) as u32;
        let mut end = pages.end.min((word + 1) * WORD);
        for level in self.levels() {
            let here = level.word(word)? >> offset;
            if here & 1 == 1 {
                let run = here.trailing_ones() as usize;
                let source = level.mapping.start() + pages.start * PAGE;
                return Ok((Owner::Frozen(source), end.min(pages.start + run)));
            }
            end = end.min(pages.start + here.trailing_zeros() as usize);
        }
        Ok((Owner::Image, end))
    }

    /// Gives each run of pages that this level has, in order.
    pub fn runs(
        &self,
        pages: Range<usize>,
        mut each: impl FnMut(Range<usize>) -> Result<()>,
    ) -> Result<()> {
        let base = self.mapping.start();
        scan(base + pages.start * PAGE..base + pages.end * PAGE, Query::Private, |run| {
            let run = run.addresses();
            each((run.start - base) / PAGE..(run.end - base) / PAGE)
        })
    }

    /// Which of 64 pages are here. Once a page has been moved on from here it may be given or not:
    /// whoever asks finds it present where it went.
    fn word(&self, word: usize) -> io::Result<u64> {
        let (index, bit) = (word / WORD, 1 << (word % WORD));
        if self.known[index].load(Ordering::Acquire) & bit != 0 {
            return Ok(self.here[word].load(Ordering::Relaxed));
        }
        let base = self.mapping.start() + word * WORD * PAGE;
        let end = (base + WORD * PAGE).min(self.mapping.addresses().end);
        // Alternate pages make the most runs.
        let mut runs = [Run::default(); WORD / 2];
        let filled = scan_into(base..end, Query::Private, &mut runs)?;
        let mut here = 0;
        for run in &runs[..filled] {
            let run = run.addresses();
            for page in (run.start - base) / PAGE..(run.end - base) / PAGE {
                here |= 1 << page;
            }
        }
        self.here[word].store(here, Ordering::Relaxed);
        self.known[index].fetch_or(bit, Ordering::Release);
        Ok(here)
    }
}
