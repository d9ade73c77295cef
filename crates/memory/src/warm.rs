//! The pages that a warm region keeps in place over its resets.

use std::ops::Range;

/// The pages that a region keeps as its own although they hold the image's content.
#[derive(Debug, Default)]
pub(crate) struct Warm {
    /// Set if resets are to keep pages in place.
    pub wanted: bool,
    pub pages: Vec<Range<usize>>,
}

impl Warm {
    /// Forgets the pages, which are gone or elsewhere.
    pub fn restart(&mut self) {
        self.pages.clear();
    }

    /// Returns the same policy without pages, for a region that takes this one's place.
    pub fn same_policy(&self) -> Self {
        Self { wanted: self.wanted, pages: Vec::new() }
    }
}
