//! What a look finds: paths of a branch resolved, entries and bytes read. It works on a fork, one
//! moment of the branch.

use std::collections::VecDeque;
use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::time::{Duration, UNIX_EPOCH};

use tine_fs::{Attr, Fs, Ino, Kind, ROOT};
use tine_store::Store;

use crate::holder::call::{Call, Execute};
use crate::holder::{find, names};
use crate::protocol::look::{EntryRow, ListDirectory, ReadFile};
use crate::protocol::shown::shown;
use crate::protocol::time::rfc3339;
use crate::protocol::{Code, Error, Hint, RawBytes, Result};

/// As many links as the kernel follows in one path.
const LINKS_MAX: usize = 40;
/// Bytes read at a time.
const CHUNK_BYTES: usize = 1 << 20;

impl Execute for ListDirectory {
    fn execute(self, call: &mut Call<'_>) -> Result<Vec<EntryRow>> {
        let (name, RawBytes(path)) = (&self.name, &self.path);
        in_a_fork(&call.context.store, name, |fs| {
            let found = resolve(fs, path).map_err(|error| not_found(name, path, error))?;
            if found.kind != Kind::Directory {
                let own = path.rsplit(|&byte| byte == b'/').find(|part| !part.is_empty());
                return Ok(vec![row(fs, own.unwrap_or(path), &found)?]);
            }
            entries(fs, found.ino)
        })
    }
}

fn entries(fs: &Fs, directory: Ino) -> Result<Vec<EntryRow>> {
    let mut named: Vec<(Vec<u8>, Attr)> = Vec::new();
    fs.readdir_plus(directory, 0, &mut |entry, attr| {
        if entry.name != b"." && entry.name != b".." {
            named.push((entry.name.to_vec(), *attr));
        }
        true
    })?;
    named.sort_by(|a, b| a.0.cmp(&b.0));
    named.iter().map(|(name, attr)| row(fs, name, attr)).collect()
}

impl Execute for ReadFile {
    fn execute(self, call: &mut Call<'_>) -> Result<()> {
        let to = call.descriptor()?;
        read(&call.context.store, &self.name, &self.path.0, to)
    }
}

/// Writes the bytes of the file at `path` to `to`.
fn read(store: &Store, name: &str, path: &[u8], to: OwnedFd) -> Result<()> {
    let mut to = File::from(to);
    in_a_fork(store, name, |fs| {
        let found = resolve(fs, path).map_err(|error| not_found(name, path, error))?;
        if found.kind != Kind::File {
            let why = Error::new(Code::Io, format!("it is a {}", kind(found.kind)));
            return Err(not_found(name, path, why));
        }
        let mut chunk = vec![0; CHUNK_BYTES];
        let mut offset = 0;
        loop {
            let count = fs.read(found.ino, offset, &mut chunk)?;
            if count == 0 {
                return Ok(());
            }
            to.write_all(&chunk[..count])
                .map_err(|error| Error::io("cannot hand on the bytes", error))?;
            offset += count as u64;
        }
    })
}

fn in_a_fork<T>(store: &Store, name: &str, look: impl FnOnce(&Fs) -> Result<T>) -> Result<T> {
    let fork = names::reserve_fork(store, &find::find(store, name)?.stored)?;
    let result = Fs::open(store, fork.clone()).map_err(Error::from).and_then(|fs| look(&fs));
    let deleted = store.delete(&fork.name());
    let found = result?;
    deleted?;
    Ok(found)
}

/// What a path leads to, from the root of the branch. Links are followed as long as they stay
/// inside.
fn resolve(fs: &Fs, path: &[u8]) -> Result<Attr> {
    let mut above: Vec<Ino> = vec![ROOT];
    let mut rest: VecDeque<Vec<u8>> = parts(path).collect();
    let mut links = 0;
    while let Some(part) = rest.pop_front() {
        let directory = above.last().copied().unwrap_or(ROOT);
        if part == b".." {
            if above.pop().is_none_or(|_| above.is_empty()) {
                return Err(Error::new(Code::Io, "it leads out of the branch"));
            }
            continue;
        }
        let found = fs.lookup(directory, &part)?;
        if found.kind != Kind::Symlink {
            above.push(found.ino);
            continue;
        }
        let target = fs.readlink(found.ino)?;
        links += 1;
        if target.starts_with(b"/") {
            let target = shown(&target);
            return Err(Error::new(
                Code::Io,
                format!("a link leads out of the branch, to {target}"),
            ));
        }
        if links > LINKS_MAX {
            return Err(Error::new(Code::Io, "too many links on the way"));
        }
        for part in parts(&target).collect::<Vec<_>>().into_iter().rev() {
            rest.push_front(part);
        }
    }
    Ok(fs.getattr(above.last().copied().unwrap_or(ROOT))?)
}

fn parts(path: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    let parts = path.split(|&byte| byte == b'/').filter(|part| !matches!(part, [] | [b'.']));
    parts.map(<[u8]>::to_vec)
}

fn not_found(branch: &str, path: &[u8], error: Error) -> Error {
    let path = shown(path);
    Error::new(error.code, format!("cannot read {path} of branch {branch}: {}", error.message))
        .hint(Hint::ListDirectory { branch: branch.into() })
}

fn row(fs: &Fs, name: &[u8], attr: &Attr) -> Result<EntryRow> {
    let target = match attr.kind {
        Kind::Symlink => Some(fs.readlink(attr.ino)?),
        _ => None,
    };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok(EntryRow {
        name: text(name),
        name_bytes: RawBytes::unless_text(name),
        kind: kind(attr.kind).into(),
        mode: format!("{:04o}", attr.mode),
        uid: attr.uid,
        gid: attr.gid,
        bytes: if attr.kind == Kind::Directory { 0 } else { attr.size },
        modified: modified(attr),
        target: target.as_deref().map(text),
        target_bytes: target.as_deref().and_then(RawBytes::unless_text),
    })
}

fn modified(attr: &Attr) -> String {
    let seconds = Duration::from_secs(attr.mtime.secs.unsigned_abs());
    let second = match attr.mtime.secs < 0 {
        true => UNIX_EPOCH.checked_sub(seconds),
        false => UNIX_EPOCH.checked_add(seconds),
    };
    let nanos = Duration::from_nanos(attr.mtime.nanos.into());
    rfc3339(second.and_then(|second| second.checked_add(nanos)).unwrap_or(UNIX_EPOCH))
}

fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::File => "file",
        Kind::Directory => "directory",
        Kind::Symlink => "symlink",
        Kind::Fifo => "fifo",
        Kind::Socket => "socket",
        Kind::CharDevice => "character-device",
        Kind::BlockDevice => "block-device",
    }
}
