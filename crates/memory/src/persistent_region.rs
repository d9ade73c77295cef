//! Persistent regions: memory whose changes are committed to a sink.
//!
//! A commit hands over exactly the runs of pages that were written since the last one. Where the
//! kernel records writes, the cost of finding them grows with their number alone. Elsewhere the
//! region's private pages are compared by hash with what was committed.

use std::collections::HashMap;
use std::ops::{Deref, DerefMut, Range};

use xxhash_rust::xxh3::xxh3_128;

use crate::error::{Error, Result};
use crate::fork::ForkMode;
use crate::image::Image;
use crate::page::{PAGE, push_run, union};
use crate::region::Region;
use crate::sink::{PageSink, PageSource};

/// Bytes read at a time from a source.
const CHUNK: usize = 1 << 20;

/// A region that begins as a source's content, and whose changes go to a sink. Dereferences to its
/// bytes.
#[derive(Debug)]
pub struct PersistentRegion<S: PageSink> {
    region: Region,
    sink: S,
    /// Runs of pages that the next commit has to hand over.
    owed: Vec<Range<usize>>,
    detection: Detection,
}

/// How changed pages are found.
#[derive(Debug)]
enum Detection {
    /// The kernel protects committed pages, and records when they are written.
    Recorded,
    /// The hashes of the pages that were committed.
    Hashed(HashMap<usize, u128>),
}

/// What a commit handed over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Committed {
    /// Runs of pages handed over.
    pub runs: usize,
    /// Bytes handed over.
    pub bytes: u64,
}

impl<S: PageSink> PersistentRegion<S> {
    /// Loads a source. What changes from then on goes to `sink`.
    pub fn open(source: &impl PageSource, sink: S) -> Result<Self> {
        let failed = |e| Error::os("load a persistent region", e);
        let len = source.len().map_err(failed)?;
        let len = usize::try_from(len)
            .map_err(|_| Error::Length { bytes: len, reason: "it exceeds the address space" })?;
        let builder = Image::builder(len)?;
        let mut chunk = vec![0; CHUNK];
        for offset in (0..len).step_by(CHUNK) {
            let chunk = &mut chunk[..CHUNK.min(len - offset)];
            source.read_at(chunk, offset as u64).map_err(failed)?;
            builder.write_nonzero(chunk, offset)?;
        }
        let mut region = builder.seal()?.fork()?;
        let detection = match region.cow.track() {
            Ok(()) => Detection::Recorded,
            Err(Error::Unsupported { .. }) => Detection::Hashed(HashMap::new()),
            Err(error) => return Err(error),
        };
        Ok(Self { region, sink, owed: Vec::new(), detection })
    }

    /// Hands what was written since the last commit to the sink, and has it commit. What a failed
    /// commit did not deliver, the next one delivers.
    pub fn commit(&mut self) -> Result<Committed> {
        let failed = |e| Error::os("commit a persistent region", e);
        self.find_changes()?;
        let mut committed = Committed::default();
        for run in &self.owed {
            let bytes = run.start * PAGE..(run.end * PAGE).min(self.region.len());
            self.sink.write_at(&self.region[bytes.clone()], bytes.start as u64).map_err(failed)?;
            committed.runs += 1;
            committed.bytes += bytes.len() as u64;
        }
        self.sink.commit().map_err(failed)?;
        self.owed.clear();
        Ok(committed)
    }

    /// Makes a writable copy that has no sink. What was written is copied now, so that the kernel
    /// goes on recording the writes to this region.
    pub fn fork(&mut self) -> Result<Region> {
        self.region.fork_by(ForkMode::Eager)
    }

    /// The sink.
    pub fn sink(&mut self) -> &mut S {
        &mut self.sink
    }

    /// The region, to be read.
    pub fn region(&self) -> &Region {
        &self.region
    }

    /// Adds what was written since the last call to what is owed.
    fn find_changes(&mut self) -> Result<()> {
        match &mut self.detection {
            Detection::Recorded => {
                if !self.region.cow.is_tracked() {
                    // A child of `fork(2)` has no record: any private page may have been written.
                    self.owed = union(&self.owed, &self.region.cow.private_runs()?);
                    self.region.cow.track()?;
                }
                if self.region.may_be_pinned() {
                    // What I/O writes there is not recorded.
                    self.owed = union(&self.owed, &self.region.cow.private_runs()?);
                }
                let written = self.region.cow.written(&[])?;
                // Before they are protected, after which the kernel no longer reports them.
                self.owed = union(&self.owed, &written.private);
                written.protect()
            }
            Detection::Hashed(hashes) => {
                let mut runs = Vec::new();
                for page in self.region.cow.private_runs()?.into_iter().flatten() {
                    let bytes = &self.region.cow.mapping.bytes()[page * PAGE..][..PAGE];
                    let hash = xxh3_128(bytes);
                    if hashes.insert(page, hash) != Some(hash) {
                        push_run(&mut runs, page..page + 1);
                    }
                }
                self.owed = union(&self.owed, &runs);
                Ok(())
            }
        }
    }
}

impl<S: PageSink> Deref for PersistentRegion<S> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.region
    }
}

impl<S: PageSink> DerefMut for PersistentRegion<S> {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.region
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exercise(hashed: bool) {
        let source = vec![7_u8; 50 * PAGE + 9];
        let mut persistent = PersistentRegion::open(&source, source.clone()).unwrap();
        if hashed {
            persistent.region.cow.untrack().unwrap();
            persistent.detection = Detection::Hashed(HashMap::new());
        }
        assert_eq!(persistent.commit().unwrap(), Committed::default());
        persistent[3 * PAGE] = 1;
        persistent[4 * PAGE] = 1;
        persistent[50 * PAGE + 8] = 1;
        let expected = Committed { runs: 2, bytes: 2 * PAGE as u64 + 9 };
        assert_eq!(persistent.commit().unwrap(), expected);
        assert!(persistent.sink[..] == persistent.region[..]);
        assert_eq!(persistent.commit().unwrap(), Committed::default(), "nothing was written since");
        persistent[3 * PAGE] = 2;
        assert_eq!(persistent.commit().unwrap(), Committed { runs: 1, bytes: PAGE as u64 });
        assert!(persistent.sink[..] == persistent.region[..]);
    }

    #[test]
    fn a_commit_hands_over_exactly_the_runs_that_were_written() {
        exercise(false);
    }

    #[test]
    fn a_commit_without_recording_hands_over_the_same_by_hash() {
        exercise(true);
    }

    struct Failing(Vec<u8>, bool);

    impl PageSink for Failing {
        fn write_at(&mut self, bytes: &[u8], offset: u64) -> std::io::Result<()> {
            self.0.write_at(bytes, offset)
        }

        fn commit(&mut self) -> std::io::Result<()> {
            if self.1 { Err(std::io::ErrorKind::StorageFull.into()) } else { Ok(()) }
        }
    }

    #[test]
    fn what_a_failed_commit_owes_the_next_one_delivers() {
        let mut persistent =
            PersistentRegion::open(&vec![0; 10 * PAGE], Failing(vec![], true)).unwrap();
        persistent[0] = 1;
        assert!(persistent.commit().is_err());
        persistent[5 * PAGE] = 1;
        persistent.sink.1 = false;
        assert_eq!(persistent.commit().unwrap(), Committed { runs: 2, bytes: 2 * PAGE as u64 });
    }

    #[test]
    fn a_plain_file_holds_what_was_committed_and_is_loaded_again() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(20 * PAGE as u64).unwrap();
        let mut persistent = PersistentRegion::open(&file, file.try_clone().unwrap()).unwrap();
        persistent[9 * PAGE..10 * PAGE].fill(3);
        let mut fork = persistent.fork().unwrap();
        fork[9 * PAGE] = 4;
        persistent.commit().unwrap();
        let again = PersistentRegion::open(&file, Vec::new()).unwrap();
        assert!(again[..] == persistent[..] && fork[9 * PAGE] == 4);
    }
}
