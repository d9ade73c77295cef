//! The pool: the memory that merged images are made of.

use std::collections::HashMap;
use std::ops::Range;

use xxhash_rust::xxh3::xxh3_128;

use crate::linux::error::Result;
use crate::linux::page::{PAGE, push_run};
use crate::linux::sys::{Mapping, Memfd, Sealed};

/// Pages stored once each, and copies of some for those that keep them apart.
pub(super) struct Pool {
    memory: Memfd,
    view: Mapping,
    /// The hash of each page of the pool.
    pages: Vec<u128>,
    by_hash: HashMap<u128, usize>,
    /// Pages at the end of the pool that have not been written yet.
    waiting: Vec<u8>,
}

impl Pool {
    /// An empty pool, for so many distinct pages at most, and for so many with those that are stored again.
    pub fn new(distinct_max: usize, pages_max: usize) -> Result<Self> {
        let memory = Memfd::new(pages_max.max(1) * PAGE)?;
        let view = Mapping::of_open(&memory, distinct_max.max(1) * PAGE)?;
        let (pages, by_hash, waiting) = (Vec::new(), HashMap::new(), Vec::new());
        Ok(Self { memory, view, pages, by_hash, waiting })
    }

    /// The pool's page that holds these bytes. Of several, `next`, so that runs stay whole.
    pub fn place(&mut self, bytes: &[u8], next: Option<usize>) -> usize {
        let hash = xxh3_128(bytes);
        if let Some(next) = next
            && self.pages.get(next) == Some(&hash)
            && self.page(next) == bytes
        {
            return next;
        }
        if let Some(&page) = self.by_hash.get(&hash)
            && self.page(page) == bytes
        {
            return page;
        }
        let page = self.pages.len();
        self.pages.push(hash);
        self.by_hash.entry(hash).or_insert(page);
        self.waiting.extend_from_slice(bytes);
        page
    }

    /// The distinct pages so far.
    pub fn len(&self) -> usize {
        self.pages.len()
    }

    /// Stores pages again, at a place of the pool where there are none.
    pub fn copy(&self, pages: Range<usize>, to: usize) -> Result<()> {
        let bytes = &self.view.bytes()[pages.start * PAGE..pages.end * PAGE];
        self.memory.write_at(bytes, to * PAGE)
    }

    fn page(&self, page: usize) -> &[u8] {
        let written = self.pages.len() - self.waiting.len() / PAGE;
        match page.checked_sub(written) {
            None => &self.view.bytes()[page * PAGE..][..PAGE],
            Some(waiting) => &self.waiting[waiting * PAGE..][..PAGE],
        }
    }

    /// Writes what was placed since the last time.
    pub fn write(&mut self) -> Result<()> {
        let written = self.pages.len() * PAGE - self.waiting.len();
        self.memory.write_at(&self.waiting, written)?;
        self.waiting.clear();
        Ok(())
    }

    /// Seals the pool, without the pages that `is_used` denies.
    pub fn seal(self, is_used: impl Fn(usize) -> bool) -> Result<Sealed> {
        let mut unused: Vec<Range<usize>> = Vec::new();
        for page in (0..self.pages.len()).filter(|page| !is_used(*page)) {
            push_run(&mut unused, page * PAGE..(page + 1) * PAGE);
        }
        unused.into_iter().try_for_each(|run| self.memory.punch(run))?;
        // Nothing may map memory that is sealed.
        drop(self.view);
        self.memory.seal()
    }
}
