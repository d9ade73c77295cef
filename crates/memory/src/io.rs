//! I/O that is safe while a window is open: reading files into a region and writing them from it.
//!
//! While a window is open, a system call that is given an untouched page of the region fails with
//! EFAULT, because the kernel delivers no signal for its own accesses. These calls fill the pages
//! first.

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;

use crate::error::{Error, Result};
use crate::image::check_range;
use crate::page::pages_touched;
use crate::region::Region;

impl Region {
    /// Fills the missing pages of a range, so that system calls may use it as a buffer.
    pub fn settle_range(&self, range: Range<usize>) -> Result<()> {
        self.fill(&range, "settle a range of a region")
    }

    /// Fills a range of the region from an offset of a file.
    ///
    /// # Errors
    /// [`Error::Bounds`] for a range outside the region, and [`Error::Os`] if the file cannot be
    /// read or ends before the range is full. The region then holds what was read so far.
    pub fn read_at_into(&mut self, range: Range<usize>, file: &File, offset: u64) -> Result<()> {
        const WHAT: &str = "read a file into a region";
        self.fill(&range, WHAT)?;
        file.read_exact_at(&mut self[range], offset).map_err(|e| Error::os(WHAT, e))
    }

    /// Writes a range of the region to an offset of a file.
    pub fn write_from(&self, range: Range<usize>, file: &File, offset: u64) -> Result<()> {
        const WHAT: &str = "write a region to a file";
        self.fill(&range, WHAT)?;
        file.write_all_at(&self[range], offset).map_err(|e| Error::os(WHAT, e))
    }

    fn fill(&self, range: &Range<usize>, what: &'static str) -> Result<()> {
        check_range(what, range, self.len)?;
        match &self.cow.window {
            Some(window) => window.fill(pages_touched(range)),
            None => Ok(()),
        }
    }
}
