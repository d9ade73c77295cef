//! Incremental saves: what changed in a shared region since the save before.
//!
//! The kernel records which pages are written, so a save looks at those and at no others. It reads
//! them while writers go on, then again those that were written meanwhile, until few are left. It
//! reads the last few while it keeps every writer out, so that all of it is one moment. (Pre-copy,
//! as virtual machines are moved between hosts: Clark et al., *Live Migration of Virtual Machines*,
//! NSDI 2005.)
//!
//! A hash tells a page that was written from one that changed. It also finds the pages that changed
//! before the record began: at the first save after a snapshot, and at the one after a failed save.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use xxhash_rust::xxh3::xxh3_128;

use crate::cow_mapping::SaveId;
use crate::error::{Error, Result};
use crate::gates::GatedMapping;
use crate::page::{PAGE, pages_of, push_run, union};
use crate::probe;
use crate::shared_region::SharedRegion;
use crate::sink::{PageSink, saving};
use crate::snapshot::{CHUNK, Snapshot};
use crate::sys::{self, Mapping, Query};

/// Pages read at a time.
const CHUNK_PAGES: usize = 64;
/// When no more pages than this are left, they are read while writers are kept out: that takes less
/// time than finding them.
const FEW_PAGES: usize = 64;
/// Rounds of reading while writers go on. After the last one, what is left is read while they are
/// kept out.
const ROUNDS_MAX: usize = 8;

/// If more than one page in this many was written, moving all pages out and back costs less than
/// copying those that were written.
const BULK: usize = 8;

/// In place of a hash: the sink may hold anything. That a page has this hash by chance is as likely
/// as that two different pages have the same one.
const UNKNOWN: u128 = u128::MAX;

/// What a save handed over, page by page, so that the next can tell what changed.
///
/// It holds a 128-bit hash (XXH3) for each page, 4 MiB for a gigabyte. An empty one stands for
/// zeros. A baseline belongs to one region and one sink, and begins empty with each.
#[derive(Clone, Debug, Default)]
pub struct Baseline {
    hashes: Hashes,
    /// The save since which the kernel's record tells what was written, if it goes back to one.
    recorded_since: Option<SaveId>,
    /// The last save handed over more than one page in [`BULK`].
    bulky: bool,
}

/// What an incremental save did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Saved {
    /// Bytes handed to the sink, in whole pages except for the last one.
    pub bytes: u64,
    /// How long writers were kept out.
    pub pause: Duration,
}

/// A hash for each page.
#[derive(Clone, Debug, Default)]
struct Hashes {
    all: Vec<u128>,
    /// The pages whose hashes the save in progress has replaced.
    replaced: Vec<usize>,
}

impl SharedRegion {
    /// Hands the pages that changed since `baseline` to `sink`, has it commit them, and brings the
    /// baseline up to date. What is handed over is one moment of all writers, which go on
    /// meanwhile.
    ///
    /// The first save, with an empty baseline, takes a [`snapshot`](SharedRegion::snapshot). The
    /// second save, and the first after a snapshot, compares every page. From then on, a save costs
    /// what was written since the one before, and takes memory for a copy of it. While an eighth of
    /// the pages or more change between saves, each save takes a snapshot. If a save fails, the
    /// next one hands over again what the failed one may have handed over, even if it has changed
    /// back since.
    ///
    /// While a buffer in the memory is registered with io_uring, pages stay in place, and each save
    /// compares every page: the kernel does not record what I/O writes there. I/O in flight may be
    /// saved in part.
    ///
    /// # Errors
    /// Those of [`snapshot`](SharedRegion::snapshot), and [`Error::Os`] where the sink fails.
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
                baseline.recorded_since = None;
            }
            Self::save_recorded(shared, sink, baseline)?
        };
        baseline.bulky = !is_first && saved.bytes > (shared.len / BULK) as u64;
        Ok(saved)
    }

    fn save_recorded(
        shared: &GatedMapping,
        sink: &mut impl PageSink,
        baseline: &mut Baseline,
    ) -> Result<Saved> {
        let recorded_since = baseline.recorded_since;
        baseline.update(shared.len, |hashes| {
            let mut changed = ChangedCopies::new(shared, hashes)?;
            let (save, pause) = changed.collect(recorded_since)?;
            Ok((Saved { bytes: changed.hand_to(sink)?, pause }, Some(save)))
        })
    }
}

impl Snapshot {
    /// Hands the pages that differ from `baseline` to `sink`, has it commit them, and makes
    /// `baseline` that of this snapshot. Reads every page. Returns the bytes handed over.
    fn save_changes(self, sink: &mut impl PageSink, baseline: &mut Baseline) -> Result<u64> {
        baseline.update(self.len, |hashes| {
            let mut saved = 0;
            for start in (0..self.len).step_by(CHUNK) {
                let chunk = start..(start + CHUNK).min(self.len);
                for pages in hashes.update(start / PAGE, &self[chunk.clone()]) {
                    let run = pages.start * PAGE..(pages.end * PAGE).min(self.len);
                    sink.write_at(&self[run.clone()], run.start as u64).map_err(saving)?;
                    saved += run.len() as u64;
                }
                self.give_back(chunk)?;
            }
            sink.commit().map_err(saving)?;
            Ok((saved, None))
        })
    }
}

impl Baseline {
    /// Lets `save` bring the hashes up to date, and records which save did. If it fails, the pages
    /// that it replaced still count as changed: the sink may have them or not.
    fn update<T>(
        &mut self,
        len: usize,
        save: impl FnOnce(&mut Hashes) -> Result<(T, Option<SaveId>)>,
    ) -> Result<T> {
        if self.hashes.all.len() != pages_of(len) {
            self.hashes.all = vec![xxh3_128(&[0; PAGE]); pages_of(len)];
        }
        // What is left here is of a save that did not finish, since its sink panicked.
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
    /// Counts the pages that the save in progress has replaced as changed.
    fn forget_replaced(&mut self) {
        self.replaced.drain(..).for_each(|page| self.all[page] = UNKNOWN);
    }

    /// Takes the content of pages from `first` on, the last of which may be short. Returns the runs
    /// that differ.
    fn update(&mut self, first: usize, bytes: &[u8]) -> Vec<Range<usize>> {
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
struct ChangedCopies<'a> {
    shared: &'a GatedMapping,
    hashes: &'a mut Hashes,
    /// As long as the region. It holds the pages of `runs`.
    copies: Mapping,
    runs: Vec<Range<usize>>,
}

impl<'a> ChangedCopies<'a> {
    fn new(shared: &'a GatedMapping, hashes: &'a mut Hashes) -> Result<Self> {
        let copies = Mapping::zeroed(pages_of(shared.len) * PAGE, 1)?;
        Ok(Self { shared, hashes, copies, runs: Vec::new() })
    }

    /// Copies what changed since a save, as it is at one moment. Returns the id of this save, and
    /// for how long writers were kept out.
    fn collect(&mut self, since: Option<SaveId>) -> Result<(SaveId, Duration)> {
        static SAVES: AtomicU64 = AtomicU64::new(0);
        let shared = self.shared;
        let turn = shared.turn();
        let written = self.written_since(since)?;
        let mut count = self.take(&written)?;
        for _ in 1..ROUNDS_MAX {
            if count <= FEW_PAGES {
                break;
            }
            // The kernel forgets a write when it protects the page again, so every page that it
            // names here has to be copied, however many there are.
            let written = shared.with_cow(|cow| cow.runs(Query::UnprotectedThenProtect))?;
            let before = std::mem::replace(&mut count, self.take(&written)?);
            if count > before {
                break;
            }
        }
        let closed = shared.close(&turn);
        let begun = Instant::now();
        let written = shared.with_cow(|cow| {
            let written = cow.written(&[])?;
            written.protect().map(|()| written.all())
        })?;
        self.take(&written)?;
        let save = SaveId(SAVES.fetch_add(1, Ordering::Relaxed));
        shared.with_cow(|cow| cow.recorded_since = Some(save));
        let pause = begun.elapsed();
        drop(closed);
        Ok((save, pause))
    }

    /// Hands the copies to a sink, and has it commit them. Returns their bytes.
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

    /// Returns what was written since a save if the record goes back to it, and else all pages. A
    /// new record begins.
    fn written_since(&self, save: Option<SaveId>) -> Result<Vec<Range<usize>>> {
        self.shared.with_cow(|cow| {
            cow.settle()?;
            if !cow.is_tracked() {
                cow.track()?;
            }
            let known = save.is_some() && save == cow.recorded_since;
            // From here on, the record belongs to a save that is not done yet.
            cow.recorded_since = None;
            let written = cow.runs(Query::UnprotectedThenProtect)?;
            #[allow(clippy::single_range_in_vec_init)] // One run of all pages.
            Ok(if known { written } else { vec![0..pages_of(self.shared.len)] })
        })
    }

    /// Copies those of the `written` pages that differ from their hashes. Returns how many pages it
    /// looked at.
    fn take(&mut self, written: &[Range<usize>]) -> Result<usize> {
        let mut chunk = vec![0; CHUNK_PAGES * PAGE];
        let mut changed = Vec::new();
        for run in written {
            for first in run.clone().step_by(CHUNK_PAGES) {
                let bytes =
                    first * PAGE..(run.end.min(first + CHUNK_PAGES) * PAGE).min(self.shared.len);
                let chunk = &mut chunk[..bytes.len()];
                // The kernel reads it: writers may be writing it.
                sys::read_racing(self.shared.start + bytes.start, chunk)
                    .map_err(|e| Error::os("read a shared region", e))?;
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
