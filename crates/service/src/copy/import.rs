//! A directory of the host into a new branch, and into one that has it already.

use std::os::fd::OwnedFd;

use tine_fs::{Fs, NewRoot};

use super::ids;
use super::job::CopyJob;
use super::mirror::{Mirrored, mirror};
use super::seen::Seen;
use crate::protocol::{Error, Result};

/// Copies the directory `source` into the empty branch of the job. The copy is read back.
///
/// # Errors
/// Those of [`mirror`]. The branch is then incomplete.
pub fn import(job: CopyJob<'_>, source: OwnedFd) -> Result<Mirrored> {
    let seen = Seen::open(&source).map_err(|error| Error::path("read", job.path, error))?;
    let (uid, gid) = (ids::kept_user(seen.uid), ids::kept_group(seen.gid));
    Fs::format(job.branch, &NewRoot { mode: seen.mode & 0o7777, uid, gid })?;
    Fs::open(job.store, job.branch.clone())?.set_origin(job.path.as_os_str().as_encoded_bytes())?;
    mirror(job, source, "import")
}

/// Makes the branch of the job, an earlier import of the directory `source`, equal to it again.
/// Only what changed is read, and read back.
///
/// # Errors
/// Those of [`mirror`]. The branch is then in between.
pub fn refresh(job: CopyJob<'_>, source: OwnedFd) -> Result<Mirrored> {
    mirror(job, source, "refresh")
}
