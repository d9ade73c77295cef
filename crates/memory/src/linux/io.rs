//! Window-safe I/O: files read into a region and written from it while it settles.
//!
//! While a window is open, a system call that is given an untouched page of the region fails with
//! EFAULT: the kernel delivers no signal for its own accesses. These calls fill the pages first.

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;

use crate::linux::error::{Error, Result};
use crate::linux::image::check_bounds;
use crate::linux::page::pages_touched;
use crate::linux::region::Region;

impl Region {
    /// Makes sure that system calls may use a range of bytes as a buffer.
    pub fn settle_range(&self, range: Range<usize>) -> Result<()> {
        check_bounds("settle a region", range.start, range.len(), self.len)?;
        match &self.space.window {
            Some(window) => window.fill(pages_touched(&range)),
            None => Ok(()),
        }
    }

    /// Fills a range of the region from an offset of a file.
    pub fn read_at_into(&mut self, range: Range<usize>, file: &File, offset: u64) -> Result<()> {
        self.settle_range(range.clone())?;
        file.read_exact_at(&mut self[range], offset)
            .map_err(|e| Error::os("read a file into a region", e))
    }

    /// Writes a range of the region to an offset of a file.
    pub fn write_from(&self, range: Range<usize>, file: &File, offset: u64) -> Result<()> {
        self.settle_range(range.clone())?;
        file.write_all_at(&self[range], offset)
            .map_err(|e| Error::os("write a region to a file", e))
    }
}
