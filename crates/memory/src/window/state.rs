//! What a window consists of.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::frozen::Frozen;
use super::policy::Clusters;
use crate::image::Image;
use crate::page::PAGE;

/// A mapping that is watched while its pages are elsewhere.
#[derive(Debug)]
pub(crate) struct Window {
    pub(super) addresses: Range<usize>,
    pub(super) image: Image,
    pub(super) frozen: Arc<Frozen>,
    pub(super) clusters: Clusters,
    pub counters: Counters,
}

/// What happened in a window.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub faults: AtomicU64,
    pub copied: AtomicU64,
    pub copied_ahead: AtomicU64,
    pub settled: AtomicU64,
}

impl Window {
    /// What the window's pages are filled from.
    pub fn frozen(&self) -> &Arc<Frozen> {
        &self.frozen
    }

    /// The addresses of pages.
    pub(super) fn span(&self, pages: &Range<usize>) -> Range<usize> {
        self.addresses.start + pages.start * PAGE..self.addresses.start + pages.end * PAGE
    }
}

impl Counters {
    pub(super) fn add(counter: &AtomicU64, amount: usize) {
        counter.fetch_add(amount as u64, Ordering::Relaxed);
    }
}
