//! Making a mount hand over every write that has finished.
//!
//! Closing a descriptor of a file makes the kernel write back all that it keeps of it, from all
//! writers, and wait for the end (see tine-fuse's `kernel_cache`, which also says why `syncfs` is
//! not enough). So each file that the kernel knows is opened and closed here. No descriptor of a
//! writer has to be found: it may be in a table of its own, in another namespace, in no process at
//! all.

use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::{
    AtFlags, CWD, Mode, OFlags, ResolveFlags, StatxFlags, openat, openat2, statat, statx, syncfs,
};
use rustix::io::Errno;
use tine_sys::descriptors;

use crate::client::{Access, Connection};
use crate::commands::inspect::find_mount;
use crate::machine::in_use;
use crate::protocol::mounts::{CachedFile, CachedFiles, ListCached, WriteBack};
use crate::protocol::{Error, RawBytes, Result};

/// The most files that the holder is asked to have written back one by one.
const FILES_NAMED_MAX: usize = 100_000;

/// Makes the mount of a branch hand over every write that has finished. Returns how long it took.
///
/// # Errors
/// When the mount does not take its data back, as on a full disk.
pub fn flush(reach: &mut Access, name: &str) -> Result<Duration> {
    // In this process nothing is mounted.
    let Access::Remote(holder) = reach else { return Ok(Duration::ZERO) };
    let Some(mount) = find_mount(holder, name)? else { return Ok(Duration::ZERO) };
    if mount.read_only {
        return Ok(Duration::ZERO);
    }
    let start = Instant::now();
    // Only a path leads into a mount. Where there is none, the holder has the kernel write back all
    // of it.
    let path = in_use::way_in(&mount).unwrap_or_else(|| mount.directory.clone());
    // The kernel reports a page that could not be written back once, to the first flush, however
    // long ago it was; it has forgotten the page since. What counts is whether all that it still
    // has can be written.
    let flushed = flush_at(holder, name, &path);
    match flushed.or_else(|_| flush_at(holder, name, &path)) {
        Ok(()) => Ok(start.elapsed()),
        // It ended between the question and the flush, and handed over everything as it did.
        Err(_) if find_mount(holder, name)?.is_none() => Ok(start.elapsed()),
        Err(error) => Err(error),
    }
}

/// The same by a path into the mount; what it does not lead to, the holder has the kernel write
/// back.
///
/// # Errors
/// As [`flush`].
pub(crate) fn flush_at(holder: &mut Connection, name: &str, path: &Path) -> Result<()> {
    let cached = holder.ask(ListCached { name: name.into() })?;
    let left = close_files(path, &cached)?;
    // A visitor has to be asked for, too, when nothing was left: it may have seen another mount.
    let (name, visitor) = (name.to_owned(), cached.visitor);
    let files = (left.len() <= FILES_NAMED_MAX).then_some(left);
    holder.ask(WriteBack { name, visitor, files })
}

/// Hands over the finished writes of the mount whose root is at `root`; gives the inodes of those
/// files that could not be reached this way.
///
/// # Errors
/// When the mount does not take its data, as on a full disk.
fn close_files(root: &Path, cached: &CachedFiles) -> Result<Vec<u64>> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let Ok(directory) = openat(CWD, root, flags, Mode::empty()) else {
        return Ok(cached.files.iter().map(|file| file.ino).collect());
    };
    // Not to be found: what counts is that the mount is asked.
    let _ = statat(&directory, cached.visitor.as_str(), AtFlags::SYMLINK_NOFOLLOW);
    // Starts much of the writing at once, so that the waits below overlap; that some of it starts
    // only there is no error.
    let _ = File::open(root).map(|directory| syncfs(&directory));
    let mut left = Vec::new();
    let mut failed = None;
    for CachedFile { ino, path } in &cached.files {
        let path = path.as_ref().map(|RawBytes(path)| Path::new(OsStr::from_bytes(path)));
        let opened = path.and_then(|path| open(directory.as_fd(), path, *ino));
        match (opened, path) {
            (Some(file), Some(path)) => {
                // The others have to get their errors, too: the kernel reports each once.
                let closed = descriptors::close(file);
                let error = closed.map_err(|error| Error::path("flush", &root.join(path), error));
                failed = failed.or(error.err());
            }
            _ => left.push(*ino),
        }
    }
    failed.map_or(Ok(left), Err)
}

/// Opens a file of the mount; `None` where this user may not, or where another file or mount is in
/// its place.
fn open(root: BorrowedFd<'_>, path: &Path, ino: u64) -> Option<OwnedFd> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
    // Without it, the holder of a lease on the file would have to be waited for.
    let flags = OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    let open = |access| openat2(root, path, flags | access, Mode::empty(), resolve);
    let opened = match open(OFlags::RDONLY) {
        Err(Errno::ACCESS) => open(OFlags::WRONLY),
        opened => opened,
    };
    // What the kernel remembers does: asking the mount would take longer than all else here.
    let about = |file: &OwnedFd| {
        statx(file, "", AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC, StatxFlags::INO)
    };
    opened.ok().filter(|file| about(file).is_ok_and(|about| about.stx_ino == ino))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn what_is_not_the_file_that_is_meant_is_left_to_the_holder() {
        let directory = tempfile::tempdir().unwrap();
        let name = b"caf\xe9";
        let file = directory.path().join(OsStr::from_bytes(name));
        fs::write(&file, "x").unwrap();
        std::os::unix::fs::symlink(&file, directory.path().join("link")).unwrap();
        let ino = fs::metadata(&file).unwrap().ino();
        let entry = |ino, path: &[u8]| CachedFile { ino, path: Some(RawBytes(path.to_vec())) };
        let files = vec![
            entry(ino, name),
            entry(2, name),
            entry(3, b"gone"),
            entry(4, b"link"),
            CachedFile { ino: 5, path: None },
        ];
        let cached = CachedFiles { visitor: "nobody".into(), files };
        assert_eq!(close_files(directory.path(), &cached).unwrap(), [2, 3, 4, 5]);
        assert_eq!(
            close_files(&directory.path().join("nowhere"), &cached).unwrap(),
            [ino, 2, 3, 4, 5]
        );
    }
}
