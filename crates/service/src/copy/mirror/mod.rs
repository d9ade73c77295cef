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
mod pass;
#[cfg(test)]
mod tests;
mod walk;

use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex};

use tine_fs::Fs;

use super::file_errors::Failures;
use super::job::CopyJob;
use super::outside::{Outside, Told};
use super::seen::Filesystems;
use super::verify::{self, Prints};
use super::work_queue;
use crate::protocol::{Error, Result};
use moves::Moves;
use pass::{Counts, Mirror};
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
