//! Incremental saves: what changed in live memory since the save before.
//!
//! The kernel records which pages are written, so a save looks at those and at no others. It reads them
//! while writers go on, and again those that were written meanwhile, until few are left. It reads the few
//! while it keeps every writer out, which makes all of it one moment. (Pre-copy, as virtual machines are
//! moved between hosts: Clark et al., *Live Migration of Virtual Machines*, NSDI 2005.)
//!
//! A page that was written but holds what it held is found out by its hash. So is every page that changed
//! before the record began: at the first save after a snapshot, and at the one after it failed.

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use xxhash_rust::xxh3::xxh3_128;

use crate::linux::error::{Error, Result};
use crate::linux::live::{Live, Shared};
use crate::linux::page::{PAGE, pages_of, push_run, union};
use crate::linux::probe;
use crate::linux::sink::PageSink;
use crate::linux::snapshot::saving;
use crate::linux::sys::{Mapping, Query};

/// Pages read at a time.
const CHUNK_PAGES: usize = 64;
/// So few pages are read while writers are kept out; it takes less time than finding them.
const FEW_PAGES: usize = 64;
/// Writers that outrun the reader so many times are kept out while it reads what is left.
const ROUNDS_MAX: usize = 8;

/// What a save handed over, page by page, so that the next can tell what changed.
///
/// It keeps a 128-bit hash (XXH3) for each page, 4 MiB for a gigabyte. Empty, it stands for zeros.
#[derive(Clone, Debug, Default)]
pub struct Baseline {
    hashes: Hashes,
    /// The save since which the kernel's record tells what was written; 0 for none.
    recorded_since: u64,
}

/// What an incremental save did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Saved {
    /// Bytes handed to the sink, in whole pages but for the last.
    pub bytes: u64,
    /// How long writers were kept out.
    pub pause: Duration,
}

/// A hash for each page.
#[derive(Clone, Debug, Default)]
pub(crate) struct Hashes(Vec<u128>);

impl Live {
    /// Hands the pages that changed since `baseline` to `sink`, has it commit them, and brings the baseline
    /// up to date. What is handed over is one moment of all writers, who go on meanwhile.
    ///
    /// The first save, with an empty baseline, is one of a [`snapshot`](Live::snapshot). The second and any
    /// after a snapshot compare every page. From then on, a save costs what was written since the one before,
    /// and takes memory for a copy of it. If the sink fails, the baseline is as it was.
    ///
    /// # Errors
    /// Those of [`snapshot`](Live::snapshot), and [`Error::Os`] where the sink fails.
    pub fn save_changes(&self, sink: &mut impl PageSink, baseline: &mut Baseline) -> Result<Saved> {
        let shared = &*self.0;
        if baseline.hashes.0.len() != pages_of(shared.len) || probe::require_tracking().is_err() {
            let snapshot = self.snapshot()?;
            let pause = snapshot.pause();
            return Ok(Saved { bytes: snapshot.save_changes(sink, baseline)?, pause });
        }
        let (changes, save, pause) = Changes::collect(shared, baseline)?;
        let mut bytes = 0;
        for pages in &changes.runs {
            let run = pages.start * PAGE..(pages.end * PAGE).min(shared.len);
            sink.write_at(&changes.copies.bytes()[run.clone()], run.start as u64)
                .map_err(saving)?;
            bytes += run.len() as u64;
        }
        sink.commit().map_err(saving)?;
        *baseline = Baseline { hashes: changes.hashes, recorded_since: save };
        Ok(Saved { bytes, pause })
    }
}

impl Baseline {
    pub(crate) fn by_hash(hashes: Hashes) -> Self {
        Self { hashes, recorded_since: 0 }
    }

    /// The hashes, or those of zeros if they are of other memory.
    pub(crate) fn hashes_of(&self, len: usize) -> Hashes {
        if self.hashes.0.len() == pages_of(len) {
            return self.hashes.clone();
        }
        Hashes(vec![xxh3_128(&[0; PAGE]); pages_of(len)])
    }
}

impl Hashes {
    /// Takes the content of pages from `first` on, the last perhaps cut short, and says which differ.
    pub(crate) fn update(&mut self, first: usize, bytes: &[u8]) -> Vec<Range<usize>> {
        let mut runs = Vec::new();
        for (index, page) in bytes.chunks(PAGE).enumerate() {
            let hash = match <&[u8; PAGE]>::try_from(page) {
                Ok(page) => xxh3_128(page),
                Err(_) => {
                    let mut whole = [0; PAGE];
                    whole[..page.len()].copy_from_slice(page);
                    xxh3_128(&whole)
                }
            };
            let page = first + index;
            if std::mem::replace(&mut self.0[page], hash) != hash {
                push_run(&mut runs, page..page + 1);
            }
        }
        runs
    }
}

/// Copies of the pages that changed.
struct Changes<'a> {
    shared: &'a Shared,
    hashes: Hashes,
    /// As long as the memory itself; it holds the pages of `runs`.
    copies: Mapping,
    runs: Vec<Range<usize>>,
    /// The memory, read by the kernel: writers may be writing it.
    memory: File,
}

impl<'a> Changes<'a> {
    /// Copies what changed since the baseline, as it is at one moment; says which save that was, and how long
    /// writers were kept out.
    fn collect(shared: &'a Shared, baseline: &Baseline) -> Result<(Self, u64, Duration)> {
        static SAVES: AtomicU64 = AtomicU64::new(1);
        let turn = shared.turn();
        let hashes = baseline.hashes.clone();
        let memory = File::open("/proc/self/mem").map_err(|e| Error::os("read live memory", e))?;
        let copies = Mapping::zeroed(pages_of(shared.len) * PAGE, 1)?;
        let mut changes = Self { shared, hashes, copies, runs: Vec::new(), memory };

        let mut written = changes.written_since(baseline.recorded_since)?;
        let mut fewest = usize::MAX;
        for _ in 0..ROUNDS_MAX {
            let count = written.iter().map(Range::len).sum();
            changes.take(&written)?;
            if count <= FEW_PAGES || count > fewest {
                break;
            }
            fewest = count;
            written = shared.with_space(|space| space.runs(Query::UnprotectedThenProtect))?;
        }
        let halt = shared.halt(&turn);
        let begun = Instant::now();
        let written = shared.with_space(|space| space.runs(Query::UnprotectedThenProtect))?;
        changes.take(&written)?;
        let save = SAVES.fetch_add(1, Ordering::Relaxed);
        shared.with_space(|space| space.recorded_since = save);
        let pause = begun.elapsed();
        drop(halt);
        Ok((changes, save, pause))
    }

    /// What was written since a save, if the record goes back to it, or else all there is. The record begins
    /// anew.
    fn written_since(&self, save: u64) -> Result<Vec<Range<usize>>> {
        self.shared.with_space(|space| {
            space.settle()?;
            if !space.tracked {
                space.track()?;
            }
            let known = save != 0 && save == space.recorded_since;
            // From here on, the record is of a save that has not come about yet.
            space.recorded_since = 0;
            let written = space.runs(Query::UnprotectedThenProtect)?;
            #[allow(clippy::single_range_in_vec_init)] // One run of all pages.
            Ok(if known { written } else { vec![0..pages_of(self.shared.len)] })
        })
    }

    /// Copies those of some pages that differ from what is known of them.
    fn take(&mut self, written: &[Range<usize>]) -> Result<()> {
        let mut chunk = vec![0; CHUNK_PAGES * PAGE];
        let mut changed = Vec::new();
        for run in written {
            for first in run.clone().step_by(CHUNK_PAGES) {
                let bytes =
                    first * PAGE..(run.end.min(first + CHUNK_PAGES) * PAGE).min(self.shared.len);
                let chunk = &mut chunk[..bytes.len()];
                self.memory
                    .read_exact_at(chunk, (self.shared.start + bytes.start) as u64)
                    .map_err(|e| Error::os("read live memory", e))?;
                for pages in self.hashes.update(first, chunk) {
                    let run = pages.start * PAGE..(pages.end * PAGE).min(bytes.end);
                    let from = run.start - bytes.start..run.end - bytes.start;
                    self.copies.bytes_mut()[run].copy_from_slice(&chunk[from]);
                    push_run(&mut changed, pages);
                }
            }
        }
        self.runs = union(&self.runs, &changed);
        Ok(())
    }
}
