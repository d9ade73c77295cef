//! Frozen pages: what a region held when they were moved away, as plain memory that is never
//! written.

use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::watch::watch_for_touches;
use crate::error::Result;
use crate::image::Image;
use crate::page::{HUGE, PAGE, zeroed_words};
use crate::private_pages::{Zeros, for_each_private_run};
use crate::sys::{Mapping, Query, ScanRun, scan_into};

/// A chain of this many levels is settled before it grows: each level costs every fault a look-up.
pub(crate) const DEPTH_MAX: usize = 8;

/// Pages whose bits lie in one word.
const WORD: usize = u64::BITS as usize;
/// Words of the pages that one page table maps, which are looked up together.
const TABLE_WORDS: usize = HUGE / PAGE / WORD;
/// Runs that a look-up finds at most: as many as a word can hold if written pages and zeros
/// alternate. They lie on the stack of a signal handler, so there must be few.
const RUNS_MAX: usize = WORD;

/// The private pages of a region at one moment, over those of earlier moments that it had not
/// touched.
#[derive(Debug)]
pub(crate) struct Frozen {
    mapping: Mapping,
    image: Image,
    below: Option<Arc<Frozen>>,
    /// The address from which the pages were moved.
    origin: usize,
    /// A bit for each page: it is here. Bits are looked up when they are first needed, for a whole
    /// page table at once if its pages lie in few runs.
    here: Box<[AtomicU64]>,
    /// A bit for each word of `here`: it has been looked up.
    known: Box<[AtomicU64]>,
}

/// What has a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    /// A frozen mapping, with the page's address there.
    Frozen(usize),
    /// The image, since no frozen mapping has it.
    Image,
}

impl Frozen {
    /// Takes pages of a mapping of `image` that have been moved here from `origin`.
    pub fn new(mapping: Mapping, image: Image, below: Option<Arc<Frozen>>, origin: usize) -> Self {
        let words = (mapping.len() / PAGE).div_ceil(WORD);
        let (here, known) = (zeroed_words(words), zeroed_words(words.div_ceil(WORD)));
        Self { mapping, image, below, origin, here, known }
    }

    /// Makes sure that the kernel adds no page, as it does when it locks memory or makes huge
    /// pages. Over the image alone it could only be the image's page, but over other frozen pages
    /// it would hide them.
    pub fn forbid_new_pages(&self) -> Result<()> {
        match &self.below {
            None => Ok(()),
            Some(_) => watch_for_touches(&self.mapping, self.image.layout()),
        }
    }

    /// Returns `true` if the pages were moved here from a mapping that starts at `address`.
    pub fn is_from(&self, address: usize) -> bool {
        self.origin == address
    }

    /// The mapping.
    pub fn mapping(&self) -> &Mapping {
        &self.mapping
    }

    /// How many levels there are, including this one.
    pub fn depth(&self) -> usize {
        self.levels().count()
    }

    /// The levels, newest first.
    pub fn levels(&self) -> impl Iterator<Item = &Frozen> {
        std::iter::successors(Some(self), |level| level.below.as_deref())
    }

    /// Where this mapping shows a page, if only the image lies below it: the private page, or else
    /// the image's.
    pub fn lone_address(&self, page: usize) -> Option<usize> {
        self.below.is_none().then_some(self.mapping.start() + page * PAGE)
    }

    /// What has the page at the start of `pages`, and the end of the run that it has, at most the
    /// end of its 64 pages. Safe in a signal handler.
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

    /// Calls `each` for each run of pages that this level has, in order.
    pub fn runs(
        &self,
        pages: Range<usize>,
        each: impl FnMut(Range<usize>) -> Result<()>,
    ) -> Result<()> {
        for_each_private_run(&self.mapping, pages, self.zeros(), each)
    }

    /// Which pages of zeros belong to this level, and hide what lies below.
    fn zeros(&self) -> Zeros<'_> {
        match self.below {
            Some(_) => Zeros::All,
            None => Zeros::Over(self.image.layout()),
        }
    }

    /// Which of 64 pages are here. A page that has been moved on may be included or not: the caller
    /// then finds it present at its new place.
    fn word(&self, word: usize) -> io::Result<u64> {
        if self.known[word / WORD].load(Ordering::Acquire) & 1 << (word % WORD) == 0 {
            self.look_up(word)?;
        }
        Ok(self.here[word].load(Ordering::Relaxed))
    }

    /// Looks up a word, and the following ones as far as one request covers them.
    fn look_up(&self, first: usize) -> io::Result<()> {
        let base = self.mapping.start();
        let table = (first / TABLE_WORDS + 1) * TABLE_WORDS;
        let end = (base + table * WORD * PAGE).min(self.mapping.addresses().end);
        let mut runs = [ScanRun::default(); RUNS_MAX];
        let filled = scan_into(base + first * WORD * PAGE..end, Query::Private, &mut runs)?;
        let runs = &runs[..filled];
        // If there was no room for more runs, the word of the last one may be incomplete. It is
        // never the first word: that many runs do not fit into it together with one more.
        let words = match runs.last() {
            Some(last) if filled == RUNS_MAX => {
                ((last.addresses().end - base) / PAGE / WORD).max(first + 1)
            }
            _ => ((end - base) / PAGE).div_ceil(WORD),
        };
        let mut here = [0_u64; TABLE_WORDS];
        for run in runs {
            self.zeros().of_run(run, base, |pages| {
                pages.for_each(|page| here[page / WORD - first] |= 1 << (page % WORD));
            });
        }
        for word in first..words {
            self.here[word].store(here[word - first], Ordering::Relaxed);
            self.known[word / WORD].fetch_or(1 << (word % WORD), Ordering::Release);
        }
        Ok(())
    }
}
