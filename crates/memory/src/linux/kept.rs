//! Kept regions: memory whose changes are committed to a sink.
//!
//! A commit hands over exactly the runs of pages that were written since the last one. Where the
//! kernel records writes, finding them costs as much as there are; elsewhere the region's own pages
//! are compared by hash with what was committed.

use std::collections::HashMap;
use std::ops::{Deref, DerefMut, Range};

use xxhash_rust::xxh3::xxh3_128;

use crate::linux::error::{Error, Result};
use crate::linux::fork::ForkMode;
use crate::linux::image::Image;
use crate::linux::page::{PAGE, push_run, union};
use crate::linux::region::Region;
use crate::linux::sink::{PageSink, PageSource};

/// Bytes read at a time from a source.
const CHUNK: usize = 1 << 20;

/// A region that begins as a source's content, and whose changes go to a sink. Dereferences to its
/// bytes.
#[derive(Debug)]
pub struct Kept<S: PageSink> {
    region: Region,
    sink: S,
    /// Runs of pages that a failed commit still owes.
    owed: Vec<Range<usize>>,
    changes: Changes,
}

/// How changed pages are told.
#[derive(Debug)]
enum Changes {
    /// The kernel protects committed pages, and records when they are written.
    Recorded,
    /// The hashes of the pages that were committed.
    Hashed(HashMap<usize, u128>),
}

/// What a commit handed over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Committed {
    /// Runs of pages.
    pub runs: usize,
    /// Bytes.
    pub bytes: u64,
}

impl<S: PageSink> Kept<S> {
    /// Loads a source, whose changes are to go to `sink`.
    pub fn open(source: &impl PageSource, sink: S) -> Result<Self> {
        let failed = |e| Error::os("load a kept region", e);
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
        let changes = match region.space.track() {
            Ok(()) => Changes::Recorded,
            Err(Error::Unsupported { .. }) => Changes::Hashed(HashMap::new()),
            Err(error) => return Err(error),
        };
        Ok(Self { region, sink, owed: Vec::new(), changes })
    }

    /// Hands what was written since the last commit to the sink, and has it commit. What a failed
    /// commit did not deliver, the next one does.
    pub fn commit(&mut self) -> Result<Committed> {
        let failed = |e| Error::os("commit a kept region", e);
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

    /// A writable copy, apart from the sink. What was written is copied now, so that commits of this
    /// region go on recording.
    pub fn fork(&mut self) -> Result<Region> {
        self.region.fork_by(ForkMode::Eager)
    }

    /// The sink.
    pub fn sink(&mut self) -> &mut S {
        &mut self.sink
    }

    /// The region, to be looked at.
    pub fn region(&self) -> &Region {
        &self.region
    }

    /// Adds what was written since it was last asked to what is owed.
    fn find_changes(&mut self) -> Result<()> {
        match &mut self.changes {
            Changes::Recorded => {
                if !self.region.space.is_tracked() {
                    // In a child of `fork(2)` the record is lost: any page of its own may have been written.
                    self.owed = union(&self.owed, &self.region.space.private_runs()?);
                    self.region.space.track()?;
                }
                if self.region.may_be_pinned() {
                    // What I/O writes there is not recorded.
                    self.owed = union(&self.owed, &self.region.space.private_runs()?);
                }
                let written = self.region.space.written(&[])?;
                // Before they are protected, which makes the kernel forget them.
                self.owed = union(&self.owed, &written.own);
                written.protect()
            }
            Changes::Hashed(hashes) => {
                let mut runs = Vec::new();
                for page in self.region.space.private_runs()?.into_iter().flatten() {
                    let bytes = &self.region.space.mapping.bytes()[page * PAGE..][..PAGE];
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

impl<S: PageSink> Deref for Kept<S> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.region
    }
}

impl<S: PageSink> DerefMut for Kept<S> {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.region
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exercise(hashed: bool) {
        let source = vec![7_u8; 50 * PAGE + 9];
        let mut kept = Kept::open(&source, source.clone()).unwrap();
        if hashed {
            kept.region.space.untrack().unwrap();
            kept.changes = Changes::Hashed(HashMap::new());
        }
        assert_eq!(kept.commit().unwrap(), Committed::default());
        kept[3 * PAGE] = 1;
        kept[4 * PAGE] = 1;
        kept[50 * PAGE + 8] = 1;
        let expected = Committed { runs: 2, bytes: 2 * PAGE as u64 + 9 };
        assert_eq!(kept.commit().unwrap(), expected);
        assert!(kept.sink[..] == kept.region[..]);
        assert_eq!(kept.commit().unwrap(), Committed::default(), "nothing was written since");
        kept[3 * PAGE] = 2;
        assert_eq!(kept.commit().unwrap(), Committed { runs: 1, bytes: PAGE as u64 });
        assert!(kept.sink[..] == kept.region[..]);
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
        let mut kept = Kept::open(&vec![0; 10 * PAGE], Failing(vec![], true)).unwrap();
        kept[0] = 1;
        assert!(kept.commit().is_err());
        kept[5 * PAGE] = 1;
        kept.sink.1 = false;
        assert_eq!(kept.commit().unwrap(), Committed { runs: 2, bytes: 2 * PAGE as u64 });
    }

    #[test]
    fn a_plain_file_holds_what_was_committed_and_is_loaded_again() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(20 * PAGE as u64).unwrap();
        let mut kept = Kept::open(&file, file.try_clone().unwrap()).unwrap();
        kept[9 * PAGE..10 * PAGE].fill(3);
        let mut fork = kept.fork().unwrap();
        fork[9 * PAGE] = 4;
        kept.commit().unwrap();
        let again = Kept::open(&file, Vec::new()).unwrap();
        assert!(again[..] == kept[..] && fork[9 * PAGE] == 4);
    }
}
