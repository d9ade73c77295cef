//! Loads: how fast one or several threads read, write or flush blocks of a file.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

pub const BLOCK: usize = 4096;

/// A generator of places (xorshift, Marsaglia 2003): the same seed gives the same places.
pub struct Places(u64);

impl Places {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// A number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

/// Bytes that cannot be compressed.
pub fn noise(bytes: usize, seed: u64) -> Vec<u8> {
    let mut places = Places::new(seed);
    (0..bytes.div_ceil(8)).flat_map(|_| places.below(u64::MAX).to_le_bytes()).take(bytes).collect()
}

/// Makes a file of this size, durable.
pub fn make_file(path: &Path, bytes: u64) -> Result<()> {
    make_file_by(path, bytes, 1 << 20)
}

/// The same, written `step` bytes at a time. A file system with large folios caches what is written
/// in single pages in single pages.
pub fn make_file_by(path: &Path, bytes: u64, step: usize) -> Result<()> {
    let file = File::create(path).with_context(|| format!("make {}", path.display()))?;
    let chunk = noise(step, 1);
    let mut at = 0;
    while at < bytes {
        let length = chunk.len().min((bytes - at) as usize);
        file.write_all_at(&chunk[..length], at)?;
        at += length as u64;
    }
    Ok(file.sync_all()?)
}

pub fn open(path: &Path) -> Result<File> {
    let file = OpenOptions::new().read(true).write(true).open(path);
    file.with_context(|| format!("open {}", path.display()))
}

/// Blocks read per second at random places.
pub fn reads_per_second(file: &File, duration: Duration, seed: u64) -> Result<f64> {
    let mut buffer = [0; BLOCK];
    let blocks = file.metadata()?.len() / BLOCK as u64;
    per_second(duration, seed, blocks, |at| Ok(file.read_exact_at(&mut buffer, at)?))
}

/// Blocks written per second at random places into the page cache.
pub fn writes_per_second(file: &File, duration: Duration, seed: u64) -> Result<f64> {
    let buffer = noise(BLOCK, seed);
    let blocks = file.metadata()?.len() / BLOCK as u64;
    per_second(duration, seed, blocks, |at| Ok(file.write_all_at(&buffer, at)?))
}

/// Blocks written and flushed per second at random places.
pub fn flushed_writes_per_second(file: &File, duration: Duration, seed: u64) -> Result<f64> {
    let buffer = noise(BLOCK, seed);
    let blocks = file.metadata()?.len() / BLOCK as u64;
    per_second(duration, seed, blocks, |at| {
        file.write_all_at(&buffer, at)?;
        Ok(file.sync_data()?)
    })
}

/// The sum of the same in one thread for each file.
pub fn flushed_writes_of_jobs(files: &[File], duration: Duration, seed: u64) -> Result<f64> {
    std::thread::scope(|scope| {
        let jobs: Vec<_> = (seed..)
            .zip(files)
            .map(|(seed, file)| {
                scope.spawn(move || flushed_writes_per_second(file, duration, seed))
            })
            .collect();
        jobs.into_iter().map(|job| job.join().expect("a job does not panic")).sum()
    })
}

fn per_second(
    duration: Duration,
    seed: u64,
    blocks: u64,
    mut operation: impl FnMut(u64) -> Result<()>,
) -> Result<f64> {
    let mut places = Places::new(seed);
    let (start, mut count) = (Instant::now(), 0_u64);
    while start.elapsed() < duration {
        operation(places.below(blocks) * BLOCK as u64)?;
        count += 1;
    }
    Ok(count as f64 / start.elapsed().as_secs_f64())
}
