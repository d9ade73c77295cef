//! The copy read back: every fingerprint must be that of what was read first.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use tine_fs::{Attr, Fs, Ino, Kind, ROOT, Seek};

use super::fingerprint::{Fingerprint, Meta};
use super::throttle::{CHUNK_BYTES, Throttle};
use super::work_queue::{self, Stack};
use super::{BLOCK_BYTES, host};
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

    /// Takes one out; a second name of the same file finds none.
    pub fn take(&self, ino: Ino) -> Option<u128> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&ino)
    }
}

/// Reads a whole branch and compares it.
pub fn branch(fs: &Fs, prints: Prints, throttle: Throttle<'_>, progress: &Progress) -> Result<()> {
    let top = (ROOT, Vec::new());
    work_queue::work(top, |(ino, path), stack| {
        progress.go_on()?;
        let attr = fs.getattr(ino)?;
        let Some(expected) = prints.take(ino) else {
            return match attr.nlink > 1 && attr.kind != Kind::Directory {
                true => Ok(()),
                false => Err(differs(&path)),
            };
        };
        let mut print = Fingerprint::new(&meta(fs, &attr)?);
        match attr.kind {
            Kind::Directory => directory(fs, ino, &path, &mut print, stack)?,
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
        match print.finish() == expected {
            true => Ok(()),
            false => Err(differs(&path)),
        }
    })
}

fn directory(
    fs: &Fs,
    ino: Ino,
    path: &[u8],
    print: &mut Fingerprint,
    stack: &Stack<(Ino, Vec<u8>)>,
) -> Result<()> {
    fs.readdir(ino, 0, &mut |entry| {
        if entry.name != b"." && entry.name != b".." {
            print.name(entry.name, entry.ino);
            stack.push((entry.ino, host::join(path, entry.name)));
        }
        true
    })?;
    Ok(())
}

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
