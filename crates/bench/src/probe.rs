//! The bare-fdatasync probe: what one flush costs on this machine at this moment.
//!
//! A virtual disk may take 0.1 ms or 4 ms for the same flush, for minutes at a time. A figure of
//! durable work means little without a probe taken at the same time.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::time::Instant;

use anyhow::{Context, Result};

use crate::samples::Samples;

const FLUSHES: usize = 32;
const BLOCK_BYTES: usize = 4096;
const FILE_BLOCKS: u64 = 256;

/// A file that is written in advance. One block at a time is overwritten and flushed.
pub struct Probe {
    file: File,
    next: u64,
}

impl Probe {
    /// Makes the probe's unnamed file in the directory for temporary files.
    pub fn new() -> Result<Self> {
        let file = tempfile::tempfile().context("make a file for the fdatasync probe")?;
        file.write_all_at(&vec![1; BLOCK_BYTES * FILE_BLOCKS as usize], 0)?;
        file.sync_all()?;
        Ok(Self { file, next: 0 })
    }

    /// Measures several times the seconds of one 4 KiB overwrite and fdatasync.
    pub fn measure(&mut self) -> Result<Samples> {
        let mut samples = Vec::with_capacity(FLUSHES);
        for _ in 0..FLUSHES {
            self.next = (self.next + 1) % FILE_BLOCKS;
            let start = Instant::now();
            self.file.write_all_at(&[self.next as u8; BLOCK_BYTES], self.next * 4096)?;
            self.file.sync_data()?;
            samples.push(start.elapsed().as_secs_f64());
        }
        Ok(Samples::new(samples))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_gives_one_positive_time_a_flush() {
        let samples = Probe::new().unwrap().measure().unwrap();
        assert!(samples.median() > 0.0 && samples.interval().0 > 0.0);
    }
}
