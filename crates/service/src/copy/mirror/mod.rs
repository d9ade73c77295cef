//! A branch made equal to a directory of the host.
//!
//! Of every file a branch has a record of what it was on the host. What is still as its record
//! says is not read again, and what is read again and found equal keeps its place in the store. A
//! new branch has no records, so the first time everything is read.
//!
//! A file is known again by its file system, its number and its birth, wherever it has moved. The
//! walk goes down once, on several threads. A name that leads to another file than before is moved
//! out of the way; a file that is known from elsewhere in the tree is moved or linked to its new
//! place. What has no place at the end is removed, and then the directories get their times. What
//! changes meanwhile is looked at again, and named if it does not hold still.

mod content;
mod file;
mod moves;
#[cfg(test)]
mod tests;
mod walk;

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};

use tine_fs::{Fs, HostRecord, Imported, Ino};

use super::file_errors::Failures;
use super::fingerprint::Meta;
use super::job::CopyJob;
use super::outside::{Outside, Told};
use super::seen::Filesystems;
use super::throttle::Throttle;
use super::verify::{self, Prints};
use super::work_queue;
use crate::protocol::{Error, Progress, Result};
use moves::Moves;
use walk::Task;

/// How often what changed while it was read is read again.
const PASSES: usize = 3;

/// What was found and read.
pub struct Mirrored {
    /// Things that are not directories.
    pub files: u64,
    /// Directories, without the root.
    pub directories: u64,
    /// Regular files that were read.
    pub read: u64,
    /// Bytes of data read.
    pub bytes: u64,
    /// What leads out of the directory.
    pub told: Told,
}

/// Makes the branch of the job, which holds a file tree and which nothing else writes, equal to
/// the directory `source`.
///
/// # Errors
/// `base-changed` or `not-permitted` with the names of the files that could not be read, and those
/// of the store. The branch is then in between.
pub fn mirror(job: CopyJob<'_>, source: OwnedFd, verb: &str) -> Result<Mirrored> {
    let CopyJob { store, branch, path, throttle, progress } = job;
    let source = Arc::new(source);
    let fs = Fs::open(store, branch.clone())?;
    let prints = Prints::default();
    let outside = Outside::new(source.clone());
    let filesystems = Filesystems::default();
    let moves = Moves::default();
    let (mut read, mut bytes) = (0, 0);
    for pass in 1.. {
        let mirror = Mirror {
            fs: &fs,
            throttle,
            progress,
            filesystems: &filesystems,
            prints: &prints,
            outside: &outside,
            failures: Failures::new(path),
            counts: Counts::default(),
            links: Mutex::default(),
            moves: &moves,
            finished: Mutex::default(),
        };
        let again = source.try_clone().map_err(|error| Error::path("open", path, error))?;
        work_queue::work(Task::top(again), |task, stack| mirror.step(task, stack))?;
        let again = pass < PASSES && mirror.failures.are_changes_only();
        moves.remove_gone(&fs)?;
        if !again {
            moves.clear_shelf(&fs)?;
        }
        mirror.finish_all()?;
        let Mirror { failures, counts, .. } = mirror;
        read += counts.read.into_inner();
        bytes += counts.bytes.into_inner();
        if again {
            continue;
        }
        failures.into_result(verb)?;
        fs.sync()?;
        progress.begin_verifying();
        verify::those(&fs, prints, throttle, progress)?;
        let (files, directories) = (counts.files.into_inner(), counts.directories.into_inner());
        return Ok(Mirrored { files, directories, read, bytes, told: outside.told(path) });
    }
    unreachable!("the last pass returns")
}

#[derive(Default)]
struct Counts {
    files: AtomicU64,
    directories: AtomicU64,
    read: AtomicU64,
    bytes: AtomicU64,
}

/// One pass over the directory.
struct Mirror<'a> {
    fs: &'a Fs,
    throttle: Throttle<'a>,
    progress: &'a Progress,
    filesystems: &'a Filesystems,
    prints: &'a Prints,
    outside: &'a Outside,
    failures: Failures,
    counts: Counts,
    /// The inode in the branch of every file with several names that was met, by its device and
    /// number on the host.
    links: Mutex<HashMap<((u32, u32), u64), Ino>>,
    moves: &'a Moves,
    finished: Mutex<Vec<Finished>>,
}

/// A file whose attributes are set when nothing more is moved.
struct Finished {
    ino: Ino,
    imported: Imported,
    print: u128,
}

impl Mirror<'_> {
    /// Gives an inode its attributes and remembers its fingerprint; later, if moving others could
    /// still change its times.
    fn finish(
        &self,
        ino: Ino,
        imported: Imported,
        print: u128,
        later: bool,
    ) -> tine_fs::Result<()> {
        if later {
            let finished = Finished { ino, imported, print };
            self.finished.lock().unwrap_or_else(PoisonError::into_inner).push(finished);
            return Ok(());
        }
        self.fs.set_imported(ino, &imported)?;
        self.prints.keep(ino, print);
        Ok(())
    }

    fn finish_all(&self) -> Result<()> {
        let mut finished = self.finished.lock().unwrap_or_else(PoisonError::into_inner);
        for Finished { ino, imported, print } in finished.drain(..) {
            match self.fs.set_imported(ino, &imported) {
                // It went away again while the rest was read: its directory is named.
                Err(tine_fs::Error::NoInode { .. }) => self.prints.forget(ino),
                done => {
                    done?;
                    self.prints.keep(ino, print);
                }
            }
        }
        Ok(())
    }
}

/// What a branch keeps of a file and its record.
fn imported(meta: Meta, record: HostRecord) -> Imported {
    let Meta { kind, mode, uid, gid, rdev, atime, size, xattrs, .. } = meta;
    Imported { kind, mode, uid, gid, rdev, size, atime, xattrs, record }
}

/// Returns `true` if nothing of a file has changed since it was recorded.
fn is_unchanged(known: &HostRecord, now: &HostRecord) -> bool {
    known.settled && HostRecord { settled: now.settled, ..*known } == *now
}
