//! Snapshots: what live memory held at a cut, to be read and saved at leisure.

use std::io::Write;
use std::ops::{Deref, Range};
use std::sync::Arc;
use std::time::Duration;

use xxhash_rust::xxh3::xxh3_128;

use crate::error::{Error, Result};
use crate::live::Shared;
use crate::page::{PAGE, pages_touched, push_run};
use crate::sink::PageSink;
use crate::window::{Frozen, Taking};

/// Bytes saved at a time, after which their pages go back to the writers.
const CHUNK: usize = 64 * PAGE;

/// A consistent copy of live memory. Dereferences to its bytes, which never change.
///
/// Saving it gives each page back as soon as it is written out; dropping it gives all of them back.
#[derive(Debug)]
pub struct Snapshot {
    shared: Arc<Shared>,
    frozen: Arc<Frozen>,
    len: usize,
    /// Shards that nobody wrote since the snapshot before.
    unwritten: Vec<Range<usize>>,
    /// Which snapshot of its memory this is.
    number: u64,
    pause: Duration,
}

/// The circumstances of a snapshot.
pub(crate) struct Cut {
    pub len: usize,
    pub unwritten: Vec<Range<usize>>,
    pub number: u64,
    pub pause: Duration,
}

/// What a snapshot held, page by page, so that the next can tell what changed.
///
/// It keeps a 128-bit hash (XXH3) for each page, 4 MiB for a gigabyte.
#[derive(Clone, Debug, Default)]
pub struct Baseline {
    hashes: Vec<u128>,
    /// The snapshot that it is of.
    number: u64,
}

impl Snapshot {
    pub(crate) fn new(shared: Arc<Shared>, frozen: Arc<Frozen>, cut: Cut) -> Self {
        let Cut { len, unwritten, number, pause } = cut;
        Self { shared, frozen, len, unwritten, number, pause }
    }

    /// How long the cut kept writers out.
    pub fn pause(&self) -> Duration {
        self.pause
    }

    /// Writes the whole content out, and gives it back to the writers as it goes.
    pub fn write_to(self, mut out: impl Write) -> Result<()> {
        for start in (0..self.len).step_by(CHUNK) {
            let chunk = start..(start + CHUNK).min(self.len);
            out.write_all(&self[chunk.clone()]).map_err(saving)?;
            self.give_back(chunk)?;
        }
        out.flush().map_err(saving)
    }

    /// Hands the pages that differ from `baseline` to `sink`, commits it, and makes `baseline` that
    /// of this snapshot. An empty baseline stands for zeros. Returns the bytes handed over.
    ///
    /// Shards that nobody wrote since are not even read, if the baseline is of the snapshot just before
    /// this one. If the sink fails, the baseline is as it was.
    pub fn save_changes(self, sink: &mut impl PageSink, baseline: &mut Baseline) -> Result<u64> {
        let zero = xxh3_128(&[0; PAGE]);
        let count = self.len.div_ceil(PAGE);
        let follows = baseline.hashes.len() == count && baseline.number + 1 == self.number;
        let mut hashes = baseline.hashes.clone();
        hashes.resize(count, zero);
        let mut saved = 0;
        for start in (0..self.len).step_by(CHUNK) {
            let chunk = start..(start + CHUNK).min(self.len);
            if !(follows && self.is_unwritten(&chunk)) {
                for run in self.changed(chunk.clone(), &mut hashes) {
                    sink.write_at(&self[run.clone()], run.start as u64).map_err(saving)?;
                    saved += run.len() as u64;
                }
            }
            self.give_back(chunk)?;
        }
        sink.commit().map_err(saving)?;
        *baseline = Baseline { hashes, number: self.number };
        Ok(saved)
    }

    /// The runs of a chunk whose hashes are not those given, which are brought up to date.
    fn changed(&self, chunk: Range<usize>, hashes: &mut [u128]) -> Vec<Range<usize>> {
        let mut runs = Vec::new();
        for (index, page) in self[chunk.clone()].chunks(PAGE).enumerate() {
            let start = chunk.start + index * PAGE;
            let hash = match <&[u8; PAGE]>::try_from(page) {
                Ok(page) => xxh3_128(page),
                Err(_) => {
                    let mut whole = [0; PAGE];
                    whole[..page.len()].copy_from_slice(page);
                    xxh3_128(&whole)
                }
            };
            if std::mem::replace(&mut hashes[start / PAGE], hash) != hash {
                push_run(&mut runs, start..start + page.len());
            }
        }
        runs
    }

    fn is_unwritten(&self, chunk: &Range<usize>) -> bool {
        self.unwritten.iter().any(|range| range.start <= chunk.start && chunk.end <= range.end)
    }

    /// Gives pages back to the writers, who have copied the ones that they could not wait for.
    fn give_back(&self, bytes: Range<usize>) -> Result<()> {
        let pages = pages_touched(&bytes);
        // Under the lock: once another snapshot is cut, these pages must not go back any more.
        self.shared.with_space(|space| match &space.window {
            Some(window) if Arc::ptr_eq(window.frozen(), &self.frozen) => {
                window.settle(pages.clone(), Taking::Move)
            }
            _ => Ok(()),
        })?;
        // SAFETY: these bytes are not read again: `self` is consumed by whoever calls this.
        unsafe { self.frozen.mapping().release(pages.start * PAGE..pages.end * PAGE) }
    }
}

impl Deref for Snapshot {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.frozen.mapping().bytes()[..self.len]
    }
}

impl Drop for Snapshot {
    fn drop(&mut self) {
        // What could not be given back is copied when it is touched, or by the next snapshot.
        self.shared.with_space(|space| {
            let Some(window) = &space.window else { return };
            if Arc::ptr_eq(window.frozen(), &self.frozen)
                && window.settle(space.pages(), Taking::Move).is_ok()
            {
                // A window that stays open costs time, not content.
                let _ = space.close_window();
            }
        });
    }
}

fn saving(error: std::io::Error) -> Error {
    Error::os("save a snapshot", error)
}
