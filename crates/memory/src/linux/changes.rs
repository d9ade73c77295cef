//! Incremental saves: what changed in live memory since the save before.
//!
//! The kernel records which pages are written, so a save looks at those and at no others. It reads them
//! while writers go on, and again those that were written meanwhile, until few are left. It reads the few
//! while it keeps every writer out, which makes all of it one moment. (Pre-copy, as virtual machines are
//! moved between hosts: Clark et al., *Live Migration of Virtual Machines*, NSDI 2005.)
//!
//! A page that was written but holds what it held is found out by its hash. So is every page that changed
//! before the record began: at the first save after a snapshot, and at the one after it failed.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use xxhash_rust::xxh3::xxh3_128;

use crate::linux::error::{Error, Result};
use crate::linux::live::{Live, Shared};
use crate::linux::page::{PAGE, pages_of, push_run, union};
use crate::linux::probe;
use crate::linux::sink::PageSink;
use crate::linux::snapshot::saving;
use crate::linux::sys::{self, Mapping, Query};

/// Pages read at a time.
const CHUNK_PAGES: usize = 64;
/// So few pages are read while writers are kept out; it takes less time than finding them.
const FEW_PAGES: usize = 64;
/// Writers that outrun the reader so many times are kept out while it reads what is left.
const ROUNDS_MAX: usize = 8;

/// The share of the pages, one in so many, beyond which moving all of them out and back costs less than copying
/// those that were written.
const BULK: usize = 8;

/// In place of a hash: the sink may hold anything. A page with this hash by chance is as likely as two
/// different pages with one hash.
const UNKNOWN: u128 = u128::MAX;

/// Stands for no save: the kernel's record does not go back to it.
pub(crate) const NO_RECORD: u64 = 0;

/// What a save handed over, page by page, so that the next can tell what changed.
///
/// It keeps a 128-bit hash (XXH3) for each page, 4 MiB for a gigabyte. Empty, it stands for zeros. A
/// baseline belongs to one memory and one sink, and begins empty with each.
#[derive(Clone, Debug, Default)]
pub struct Baseline {
    hashes: Hashes,
    /// The save since which the kernel's record tells what was written.
    recorded_since: u64,
    /// Whether the last save handed over more than [`BULK`] of the pages.
    bulky: bool,
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
pub(crate) struct Hashes {
    all: Vec<u128>,
    /// The pages whose hashes the save in progress has replaced.
    replaced: Vec<usize>,
}

impl Live {
    /// Hands the pages that changed since `baseline` to `sink`, has it commit them, and brings the baseline
    /// up to date. What is handed over is one moment of all writers, who go on meanwhile.
    ///
    /// The first save, with an empty baseline, is one of a [`snapshot`](Live::snapshot). The second and any
    /// after a snapshot compare every page. From then on, a save costs what was written since the one before,
    /// and takes memory for a copy of it. While an eighth of the pages or more change between saves, each is
    /// one of a snapshot. If a save fails, the next one hands over again what it may have handed over, even
    /// where that is by then as it was before.
    ///
    /// While a buffer in the memory is registered with io_uring, pages stay in place, and each save compares every page:
    /// the kernel does not record what I/O writes there. I/O in flight may be saved in part.
    ///
    /// # Errors
    /// Those of [`snapshot`](Live::snapshot), and [`Error::Os`] where the sink fails.
    pub fn save_changes(&self, sink: &mut impl PageSink, baseline: &mut Baseline) -> Result<Saved> {
        let shared = &*self.0;
        let is_first = baseline.hashes.all.len() != pages_of(shared.len);
        let pinned = shared.may_be_pinned();
        let moves = (is_first || baseline.bulky) && !pinned;
        let saved = if moves || probe::require_tracking().is_err() {
            let snapshot = self.snapshot()?;
            let pause = snapshot.pause();
            Saved { bytes: snapshot.save_changes(sink, baseline)?, pause }
        } else {
            if pinned {
                baseline.recorded_since = NO_RECORD;
            }
            Self::save_recorded(shared, sink, baseline)?
        };
        baseline.bulky = !is_first && saved.bytes > (shared.len / BULK) as u64;
        Ok(saved)
    }

    fn save_recorded(
        shared: &Shared,
        sink: &mut impl PageSink,
        baseline: &mut Baseline,
    ) -> Result<Saved> {
        let recorded_since = baseline.recorded_since;
        baseline.update(shared.len, |hashes| {
            let mut changes = Changes::new(shared, hashes)?;
            let (save, pause) = changes.collect(recorded_since)?;
            Ok((Saved { bytes: changes.hand_to(sink)?, pause }, save))
        })
    }
}

impl Baseline {
    /// Has the hashes of memory brought up to date, and takes note of the save that did. If it fails, what
    /// it took as changed counts as changed still: the sink may have it or not.
    pub(crate) fn update<T>(
        &mut self,
        len: usize,
        save: impl FnOnce(&mut Hashes) -> Result<(T, u64)>,
    ) -> Result<T> {
        if self.hashes.all.len() != pages_of(len) {
            self.hashes.all = vec![xxh3_128(&[0; PAGE]); pages_of(len)];
        }
        // What a save before left here it did not finish: its sink panicked.
        self.hashes.forget_replaced();
        match save(&mut self.hashes) {
            Ok((saved, since)) => {
                self.hashes.replaced.clear();
                self.recorded_since = since;
                Ok(saved)
            }
            Err(error) => {
                self.hashes.forget_replaced();
                Err(error)
            }
        }
    }
}

impl Hashes {
    /// Counts what the save in progress has replaced as changed still.
    fn forget_replaced(&mut self) {
        self.replaced.drain(..).for_each(|page| self.all[page] = UNKNOWN);
    }

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
            let before = std::mem::replace(&mut self.all[page], hash);
            if before != hash {
                self.replaced.push(page);
                push_run(&mut runs, page..page + 1);
            }
        }
        runs
    }
}

/// Copies of the pages that changed.
struct Changes<'a> {
    shared: &'a Shared,
    hashes: &'a mut Hashes,
    /// As long as the memory itself; it holds the pages of `runs`.
    copies: Mapping,
    runs: Vec<Range<usize>>,
}

impl<'a> Changes<'a> {
    fn new(shared: &'a Shared, hashes: &'a mut Hashes) -> Result<Self> {
        let copies = Mapping::zeroed(pages_of(shared.len) * PAGE, 1)?;
        Ok(Self { shared, hashes, copies, runs: Vec::new() })
    }

    /// Copies what changed since a save, as it is at one moment; says which save this is, and how long
    /// writers were kept out.
    fn collect(&mut self, since: u64) -> Result<(u64, Duration)> {
        static SAVES: AtomicU64 = AtomicU64::new(1);
        let shared = self.shared;
        let turn = shared.turn();
        let written = self.written_since(since)?;
        let mut count = self.take(&written)?;
        for _ in 1..ROUNDS_MAX {
            if count <= FEW_PAGES {
                break;
            }
            // What has been protected is forgotten by the kernel, so it has to be taken, however much it is.
            let written = shared.with_space(|space| space.runs(Query::UnprotectedThenProtect))?;
            let before = std::mem::replace(&mut count, self.take(&written)?);
            if count > before {
                break;
            }
        }
        let halt = shared.halt(&turn);
        let begun = Instant::now();
        let written = shared.with_space(|space| {
            let written = space.written(&[])?;
            written.protect().map(|()| written.all())
        })?;
        self.take(&written)?;
        let save = SAVES.fetch_add(1, Ordering::Relaxed);
        shared.with_space(|space| space.recorded_since = save);
        let pause = begun.elapsed();
        drop(halt);
        Ok((save, pause))
    }

    /// Hands the copies to a sink, and has it commit them; returns their bytes.
    fn hand_to(&self, sink: &mut impl PageSink) -> Result<u64> {
        let mut bytes = 0;
        for pages in &self.runs {
            let run = pages.start * PAGE..(pages.end * PAGE).min(self.shared.len);
            sink.write_at(&self.copies.bytes()[run.clone()], run.start as u64).map_err(saving)?;
            bytes += run.len() as u64;
        }
        sink.commit().map_err(saving)?;
        Ok(bytes)
    }

    /// What was written since a save, if the record goes back to it, or else all there is. The record begins
    /// anew.
    fn written_since(&self, save: u64) -> Result<Vec<Range<usize>>> {
        self.shared.with_space(|space| {
            space.settle()?;
            if !space.is_tracked() {
                space.track()?;
            }
            let known = save != NO_RECORD && save == space.recorded_since;
            // From here on, the record is of a save that has not come about yet.
            space.recorded_since = NO_RECORD;
            let written = space.runs(Query::UnprotectedThenProtect)?;
            #[allow(clippy::single_range_in_vec_init)] // One run of all pages.
            Ok(if known { written } else { vec![0..pages_of(self.shared.len)] })
        })
    }

    /// Copies those of some pages that differ from what is known of them; returns how many there were to look at.
    fn take(&mut self, written: &[Range<usize>]) -> Result<usize> {
        let mut chunk = vec![0; CHUNK_PAGES * PAGE];
        let mut changed = Vec::new();
        for run in written {
            for first in run.clone().step_by(CHUNK_PAGES) {
                let bytes =
                    first * PAGE..(run.end.min(first + CHUNK_PAGES) * PAGE).min(self.shared.len);
                let chunk = &mut chunk[..bytes.len()];
                // By the kernel: writers may be writing it.
                sys::read_racing(self.shared.start + bytes.start, chunk)
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
        Ok(written.iter().map(Range::len).sum())
    }
}
