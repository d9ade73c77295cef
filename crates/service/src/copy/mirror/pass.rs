//! One pass over a directory, and what it leaves to be done at its end.

use std::collections::HashMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, PoisonError};

use tine_fs::{Fs, HostRecord, Imported, Ino};

use super::moves::Moves;
use crate::copy::file_errors::Failures;
use crate::copy::fingerprint::Meta;
use crate::copy::outside::Outside;
use crate::copy::seen::Filesystems;
use crate::copy::throttle::Throttle;
use crate::copy::verify::Prints;
use crate::protocol::{Progress, Result};

#[derive(Default)]
pub struct Counts {
    pub files: AtomicU64,
    pub directories: AtomicU64,
    pub read: AtomicU64,
    pub bytes: AtomicU64,
}

/// A file of the host: its device and its number.
type OnHost = ((u32, u32), u64);

/// One pass over the directory.
pub struct Mirror<'a> {
    pub fs: &'a Fs,
    pub throttle: Throttle<'a>,
    pub progress: &'a Progress,
    pub filesystems: &'a Filesystems,
    pub prints: &'a Prints,
    pub outside: &'a Outside,
    pub failures: Failures,
    pub counts: Counts,
    /// The inode in the branch of every file with several names that was met, by its device and
    /// number on the host.
    pub links: Mutex<HashMap<OnHost, Ino>>,
    pub moves: &'a Moves,
    pub finished: Mutex<Vec<Finished>>,
}

/// A file whose attributes are set when nothing more is moved.
pub struct Finished {
    pub ino: Ino,
    pub imported: Imported,
    pub print: u128,
    /// Only what was moved out of the way may have changed them.
    pub if_displaced: bool,
}

impl Mirror<'_> {
    /// Gives an inode its attributes and remembers its fingerprint; later, if moving others could
    /// still change its times.
    pub fn finish(
        &self,
        ino: Ino,
        imported: Imported,
        print: u128,
        later: bool,
    ) -> tine_fs::Result<()> {
        if later {
            self.finish_later(Finished { ino, imported, print, if_displaced: false });
            return Ok(());
        }
        self.fs.set_imported(ino, &imported)?;
        self.prints.keep(ino, print);
        Ok(())
    }

    pub fn finish_later(&self, finished: Finished) {
        self.finished.lock().unwrap_or_else(PoisonError::into_inner).push(finished);
    }

    pub fn finish_all(&self) -> Result<()> {
        let mut finished = self.finished.lock().unwrap_or_else(PoisonError::into_inner);
        for Finished { ino, imported, print, if_displaced } in finished.drain(..) {
            if if_displaced && !self.moves.displaced_some() {
                continue;
            }
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
pub fn imported(meta: Meta, record: HostRecord) -> Imported {
    let Meta { kind, mode, uid, gid, rdev, atime, size, xattrs, .. } = meta;
    Imported { kind, mode, uid, gid, rdev, size, atime, xattrs, record }
}

/// Returns `true` if nothing of a file has changed since it was recorded.
pub fn is_unchanged(known: &HostRecord, now: &HostRecord) -> bool {
    known.settled && HostRecord { settled: now.settled, ..*known } == *now
}
