//! The files that an export made, read back from the host and compared with the branch.
//!
//! Times are not compared: the host's file system may keep them less finely.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{Dir, readlinkat};
use tine_fs::{Fs, Ino, Kind, ROOT, Time};

use super::file_errors::{Failures, FileError};
use super::fingerprint::{Fingerprint, Meta};
use super::seen::Seen;
use super::throttle::Throttle;
use super::work_queue::{self, Stack};
use super::{host, verify};
use crate::protocol::Result;
use crate::protocol::progress::Progress;

struct Task {
    parent: Arc<OwnedFd>,
    name: Vec<u8>,
    ino: Ino,
    path: Vec<u8>,
}

/// Compares the tree below `target` with the whole branch.
pub fn verify(
    fs: &Fs,
    target: &Arc<OwnedFd>,
    privileged: bool,
    throttle: Throttle<'_>,
    progress: &Progress,
) -> Result<()> {
    let failures = Failures::new(Path::new("."));
    let top = Task { parent: target.clone(), name: b".".to_vec(), ino: ROOT, path: Vec::new() };
    work_queue::work(top, |task, stack| {
        progress.go_on()?;
        let compared = compare(fs, &task, privileged, throttle, progress, stack);
        failures.note(&task.path, compared)
    })?;
    failures.into_result("read back")
}

fn compare(
    fs: &Fs,
    task: &Task,
    privileged: bool,
    throttle: Throttle<'_>,
    progress: &Progress,
    stack: &Stack<Task>,
) -> Result<(), FileError> {
    let Task { parent, name, ino, path } = task;
    let attr = fs.getattr(*ino)?;
    let seen = Seen::at(parent.as_fd(), name)?;
    let mut ours = Fingerprint::new(&comparable(verify::meta(fs, &attr)?, privileged));
    let meta = host::meta(parent.as_fd(), name, &seen)?;
    let mut theirs = Fingerprint::new(&comparable(meta, privileged));
    match attr.kind {
        Kind::Directory => {
            fs.readdir(*ino, 0, &mut |entry| {
                if entry.name != b"." && entry.name != b".." {
                    ours.name(entry.name, entry.ino);
                }
                true
            })?;
            directory(fs, task, &mut theirs, stack)?;
        }
        Kind::Symlink => {
            ours.content(0, &fs.readlink(*ino)?);
            theirs.content(0, readlinkat(&**parent, name.as_slice(), Vec::new())?.to_bytes());
        }
        Kind::File => {
            verify::read_data(fs, &attr, throttle, |offset, bytes| {
                progress.copied(bytes.len() as u64);
                ours.content(offset, bytes);
                progress.go_on()
            })?;
            let file = host::open_file(parent.as_fd(), name)?;
            host::read_data(&file, seen.size, throttle, |offset, bytes| {
                theirs.content(offset, bytes);
                Ok::<(), FileError>(progress.go_on()?)
            })?;
        }
        _ => {}
    }
    match ours.finish() == theirs.finish() {
        true => Ok(()),
        false => Err(verify::differs(path).into()),
    }
}

fn directory(
    fs: &Fs,
    task: &Task,
    print: &mut Fingerprint,
    stack: &Stack<Task>,
) -> Result<(), FileError> {
    let directory = Arc::new(host::open_directory(task.parent.as_fd(), &task.name)?);
    for entry in Dir::read_from(&*directory)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name == b"." || name == b".." {
            continue;
        }
        let path = host::join(&task.path, name);
        let ino = match fs.lookup(task.ino, name) {
            Err(tine_fs::Error::NoEntry { .. }) => return Err(verify::differs(&path).into()),
            attr => attr?.ino,
        };
        print.name(name, ino);
        stack.push(Task { parent: directory.clone(), name: name.to_vec(), ino, path });
    }
    Ok(())
}

/// The permission bits that an export gives: set-id bits only where they speak for the owner and
/// the group they had.
pub fn mode(meta: &Meta, owned: bool) -> u32 {
    match owned {
        true => meta.mode,
        false => meta.mode & 0o1777,
    }
}

/// The permission bits that a copy has until it has been read back, which its owner must be able to
/// do.
pub fn needed(kind: Kind, privileged: bool) -> u32 {
    match kind {
        _ if privileged => 0,
        Kind::File => 0o400,
        Kind::Directory => 0o500,
        _ => 0,
    }
}

fn comparable(mut meta: Meta, privileged: bool) -> Meta {
    meta.mode = match meta.kind {
        Kind::Symlink => 0,
        kind => meta.mode | needed(kind, privileged),
    };
    if !privileged {
        (meta.uid, meta.gid) = (0, 0);
        // Set-id bits do not speak for another owner; the host, too, takes them without a word.
        meta.mode &= 0o1777;
    }
    (meta.atime, meta.mtime) = (Time::default(), Time::default());
    meta
}
