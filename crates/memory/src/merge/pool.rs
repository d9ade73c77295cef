//! The pool: the memory that merged images are made of.

use std::collections::HashMap;
use std::ops::Range;

use xxhash_rust::xxh3::xxh3_128;

use crate::error::Result;
use crate::page::{PAGE, push_run};
use crate::sys::{Mapping, Memfd, Sealed};

/// Distinct pages, each stored once, and copies of some that are stored apart.
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
    /// Makes an empty pool, with room for `distinct_max` distinct pages, and for `pages_max` pages
    /// with those that are stored again.
    pub fn new(distinct_max: usize, pages_max: usize) -> Result<Self> {
        let memory = Memfd::new(pages_max.max(1) * PAGE)?;
        let view = Mapping::of_open(&memory, distinct_max.max(1) * PAGE)?;
        let (pages, by_hash, waiting) = (Vec::new(), HashMap::new(), Vec::new());
        Ok(Self { memory, view, pages, by_hash, waiting })
    }

    /// Finds or adds the pool's page that holds these bytes. Prefers `next`, so that runs stay
    /// whole.
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

    /// How many distinct pages there are so far.
    pub fn len(&self) -> usize {
        self.pages.len()
    }

    /// Stores pages again, at an unused place of the pool.
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

    /// Writes what was placed since the last call.
    pub fn write(&mut self) -> Result<()> {
        let written = self.pages.len() * PAGE - self.waiting.len();
        self.memory.write_at(&self.waiting, written)?;
        self.waiting.clear();
        Ok(())
    }

    /// Seals the pool, without the pages for which `is_used` returns `false`.
    pub fn seal(self, is_used: impl Fn(usize) -> bool) -> Result<Sealed> {
        let mut unused: Vec<Range<usize>> = Vec::new();
        for page in (0..self.pages.len()).filter(|page| !is_used(*page)) {
            push_run(&mut unused, page * PAGE..(page + 1) * PAGE);
        }
        unused.into_iter().try_for_each(|run| self.memory.punch(run))?;
        // Sealing fails while the memory is mapped writable.
        drop(self.view);
        self.memory.seal()
    }
}
