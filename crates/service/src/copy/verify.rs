//! The copy read back: every fingerprint must be that of what was read first.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use tine_fs::{Attr, Fs, Ino, Kind, Seek};

use super::fingerprint::{Fingerprint, Meta};
use super::throttle::{CHUNK_BYTES, Throttle};
use super::{BLOCK_BYTES, work_queue};
use crate::protocol::progress::Progress;
use crate::protocol::{Code, Error, Hint, Result};

/// The fingerprints of what was read, by inode of the branch.
#[derive(Default)]
pub struct Prints(Mutex<HashMap<Ino, u128>>);

impl Prints {
    /// Remembers one.
    pub fn keep(&self, ino: Ino, print: u128) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(ino, print);
    }

    /// Forgets the one of a file that went away again.
    pub fn forget(&self, ino: Ino) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&ino);
    }
}

/// Reads what has a fingerprint, and compares it. Directories have one of the names in them, so
/// that nothing can be missing.
pub fn those(fs: &Fs, prints: Prints, throttle: Throttle<'_>, progress: &Progress) -> Result<()> {
    let prints = prints.0.into_inner().unwrap_or_else(PoisonError::into_inner);
    let mut sorted: Vec<(Ino, u128)> = prints.into_iter().collect();
    sorted.sort_unstable_by_key(|(ino, _)| std::cmp::Reverse(*ino));
    work_queue::work(None, |print: Option<(Ino, u128)>, stack| {
        let Some((ino, expected)) = print else {
            sorted.iter().for_each(|print| stack.push(Some(*print)));
            return Ok(());
        };
        progress.go_on()?;
        match print_of(fs, ino, throttle, progress)? == expected {
            true => Ok(()),
            false => Err(differs(&path_of(fs, ino))),
        }
    })
}

fn print_of(fs: &Fs, ino: Ino, throttle: Throttle<'_>, progress: &Progress) -> Result<u128> {
    let attr = fs.getattr(ino)?;
    let mut print = Fingerprint::new(&meta(fs, &attr)?);
    match attr.kind {
        Kind::Directory => fs.readdir(ino, 0, &mut |entry| {
            if entry.name != b"." && entry.name != b".." {
                print.name(entry.name, entry.ino);
            }
            true
        })?,
        Kind::Symlink => print.content(0, &fs.readlink(ino)?),
        Kind::File => read_data(fs, &attr, throttle, |offset, bytes| {
            progress.go_on()?;
            progress.copied(bytes.len() as u64);
            print.content(offset, bytes);
            Ok(())
        })?,
        _ => {}
    }
    if attr.kind != Kind::Directory {
        progress.file_done();
    }
    Ok(print.finish())
}

/// A path of an inode, as far as its names lead up; for messages.
fn path_of(fs: &Fs, mut ino: Ino) -> Vec<u8> {
    let mut names = Vec::new();
    while let Ok(Some((parent, name))) = fs.first_name(ino)
        && names.len() < NAMED_MAX
    {
        names.push(name);
        ino = parent;
    }
    names.reverse();
    names.join(&b'/')
}

/// Names of a path that are shown.
const NAMED_MAX: usize = 1000;

/// The error for a copy that is not like its source.
pub fn differs(path: &[u8]) -> Error {
    let path = String::from_utf8_lossy(path);
    let what = format!("the copy of {path:?} reads back differently from what was read");
    Error::new(Code::StoreDamaged, what).hint(Hint::CheckDiskAndStore)
}

/// What a copy keeps of a file in a branch.
pub fn meta(fs: &Fs, attr: &Attr) -> Result<Meta> {
    let mut xattrs = Vec::new();
    for name in fs.listxattr(attr.ino)? {
        let value = fs.getxattr(attr.ino, &name)?;
        xattrs.push((name, value));
    }
    xattrs.sort();
    Ok(Meta {
        kind: attr.kind,
        mode: attr.mode,
        uid: attr.uid,
        gid: attr.gid,
        rdev: attr.rdev,
        atime: attr.atime,
        mtime: attr.mtime,
        size: if attr.kind == Kind::File { attr.size } else { 0 },
        xattrs,
    })
}

/// Visits the data of a file in a branch in chunks that begin on block boundaries, without its
/// holes.
pub fn read_data(
    fs: &Fs,
    attr: &Attr,
    throttle: Throttle<'_>,
    mut visit: impl FnMut(u64, &[u8]) -> Result<()>,
) -> Result<()> {
    let mut buffer = vec![0; CHUNK_BYTES.min(attr.size as usize)];
    let mut offset = 0;
    while offset < attr.size {
        let start = match fs.seek(attr.ino, offset, Seek::Data) {
            Err(tine_fs::Error::NoOffset { .. }) => return Ok(()),
            start => start? / BLOCK_BYTES * BLOCK_BYTES,
        };
        offset = offset.max(start);
        let end = fs.seek(attr.ino, offset, Seek::Hole)?.min(attr.size);
        while offset < end {
            let want = buffer.len().min(throttle.chunk_bytes()).min((end - offset) as usize);
            let got = fs.read(attr.ino, offset, &mut buffer[..want])?;
            if got == 0 {
                return Err(tine_fs::Error::NoOffset { ino: attr.ino, offset }.into());
            }
            visit(offset, &buffer[..got])?;
            offset += got as u64;
        }
    }
    Ok(())
}
