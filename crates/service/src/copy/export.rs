//! A branch into an empty directory of the host, without FUSE.
//!
//! The branch is forked first and the fork is copied: one moment of it, whatever goes on meanwhile.
//! An ordinary user cannot give files away, so the copy then belongs to that user and has no
//! set-id bits where the owner is another, as with `cp`.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, Timespec, Timestamps, Uid, XattrFlags, chmodat, chownat,
    ftruncate, linkat, lsetxattr, makedev, mkdirat, mknodat, openat, symlinkat, syncfs, utimensat,
};
use rustix::process::geteuid;
use tine_fs::{Attr, Fs, Ino, Kind, ROOT};
use tine_store::Store;

use super::crew::{self, Stack};
use super::fingerprint::Meta;
use super::pace::{CHUNK_BYTES, Pace};
use super::trouble::{Failures, Trouble};
use super::{exported, host, verify};
use crate::names;
use crate::progress::Progress;
use crate::response::Exported;
use crate::time::elapsed_us;
use crate::{Error, Result};

/// Copies the branch `name` into the empty directory `target`, which is at `path`.
pub fn export(
    store: &Store,
    name: &str,
    target: OwnedFd,
    path: &Path,
    pace: Pace<'_>,
    progress: &Progress,
) -> Result<Exported> {
    let start = Instant::now();
    let fork = names::reserve_fork(store, name)?;
    let result = copy(store, fork.clone(), target, path, pace, progress);
    let deleted = store.delete(&fork.name());
    let (files, bytes) = result?;
    deleted?;
    Ok(Exported { branch: name.into(), files, bytes, elapsed_us: elapsed_us(start) })
}

fn copy(
    store: &Store,
    fork: tine_store::Branch,
    target: OwnedFd,
    path: &Path,
    pace: Pace<'_>,
    progress: &Progress,
) -> Result<(u64, u64)> {
    let fs = Fs::open(store, fork)?;
    let target = Arc::new(target);
    let export = Export {
        fs: fs.clone(),
        target: target.clone(),
        privileged: geteuid().is_root(),
        pace,
        progress,
        links: Mutex::default(),
        shut: Mutex::default(),
        failures: Failures::new(path),
        files: AtomicU64::new(0),
        bytes: AtomicU64::new(0),
    };
    let top = Node {
        parent: None,
        directory: host::open_directory(target.as_fd(), b".")
            .map_err(|error| Error::path("open", path, error))?,
        ino: ROOT,
        path: Vec::new(),
    };
    crew::work(Task::Directory(Arc::new(top)), |task, stack| export.step(task, stack))?;
    let Export { privileged, shut, failures, files, bytes, .. } = export;
    failures.into_result("export into")?;
    syncfs(&*target).map_err(|error| Error::path("write out", path, error))?;
    progress.begin_verifying();
    exported::verify(&fs, &target, privileged, pace, progress)?;
    shut_out(&target, shut.into_inner().unwrap_or_else(PoisonError::into_inner))
        .map_err(|error| Error::path("complete", path, error))?;
    Ok((files.into_inner(), bytes.into_inner()))
}

/// Sets the permission bits that would have kept their owner from reading the copy back; what is
/// deepest first, since each is reached through those above it.
fn shut_out(target: &OwnedFd, mut shut: Vec<(Vec<u8>, u32)>) -> io::Result<()> {
    shut.sort_by_key(|(path, _)| std::cmp::Reverse(path.len()));
    for (path, mode) in shut {
        let path = if path.is_empty() { b"." } else { path.as_slice() };
        chmodat(target, path, Mode::from_raw_mode(mode), AtFlags::empty())?;
    }
    Ok(())
}

/// A directory of the copy. Its attributes are set when the last that lives below it is done: a
/// read-only directory could not be filled, and filling it moves its times.
struct Node {
    parent: Option<Arc<Node>>,
    directory: OwnedFd,
    ino: Ino,
    path: Vec<u8>,
}

enum Task {
    Directory(Arc<Node>),
    File { node: Arc<Node>, name: Vec<u8>, attr: Attr },
}

struct Export<'a> {
    fs: Fs,
    target: Arc<OwnedFd>,
    privileged: bool,
    pace: Pace<'a>,
    progress: &'a Progress,
    /// The first path of every file with several names.
    links: Mutex<HashMap<Ino, Vec<u8>>>,
    /// Paths whose permission bits shut their owner out, and these bits: set when all is read back.
    shut: Mutex<Vec<(Vec<u8>, u32)>>,
    failures: Failures,
    files: AtomicU64,
    bytes: AtomicU64,
}

impl Export<'_> {
    fn step(&self, task: Task, stack: &Stack<Task>) -> Result<()> {
        self.progress.go_on()?;
        let node = match task {
            Task::Directory(node) => {
                let result = self.directory(&node, stack);
                self.failures.note(&node.path, result)?;
                node
            }
            Task::File { node, name, attr } => {
                let path = host::join(&node.path, &name);
                let result = self.file(&node.directory, &name, &path, &attr);
                self.failures.note(&path, result)?;
                node
            }
        };
        self.leave(node)
    }

    /// Completes every directory that nobody works below any more.
    fn leave(&self, node: Arc<Node>) -> Result<()> {
        let mut done = Arc::into_inner(node);
        while let Some(node) = done {
            let result = self.finish_directory(&node);
            self.failures.note(&node.path, result)?;
            done = node.parent.and_then(Arc::into_inner);
        }
        Ok(())
    }

    fn finish_directory(&self, node: &Node) -> Result<(), Trouble> {
        let meta = verify::meta(&self.fs, &self.fs.getattr(node.ino)?)?;
        Ok(self.set_meta(node.directory.as_fd(), b".", &node.path, &meta)?)
    }

    fn directory(&self, node: &Arc<Node>, stack: &Stack<Task>) -> Result<(), Trouble> {
        let mut entries = Vec::new();
        self.fs.readdir_plus(node.ino, 0, &mut |entry, attr| {
            if entry.name != b"." && entry.name != b".." {
                entries.push((entry.name.to_vec(), *attr));
            }
            true
        })?;
        for (name, attr) in entries {
            self.progress.go_on()?;
            let path = host::join(&node.path, &name);
            let result = self.entry(node, &name, &attr, stack);
            self.failures.note(&path, result)?;
        }
        Ok(())
    }

    fn entry(
        &self,
        node: &Arc<Node>,
        name: &[u8],
        attr: &Attr,
        stack: &Stack<Task>,
    ) -> Result<(), Trouble> {
        let path = host::join(&node.path, name);
        if attr.kind == Kind::Directory {
            mkdirat(&node.directory, name, Mode::RWXU)?;
            let directory = host::open_directory(node.directory.as_fd(), name)?;
            let child = Node { parent: Some(node.clone()), directory, ino: attr.ino, path };
            stack.push(Task::Directory(Arc::new(child)));
            return Ok(());
        }
        self.files.fetch_add(1, Ordering::Relaxed);
        if attr.nlink > 1 {
            let mut links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(first) = links.get(&attr.ino) {
                let none = AtFlags::empty();
                linkat(&*self.target, first.as_slice(), &node.directory, name, none)?;
                return Ok(());
            }
            self.make(&node.directory, name, attr)?;
            links.insert(attr.ino, path.clone());
        } else {
            self.make(&node.directory, name, attr)?;
        }
        if attr.kind != Kind::File {
            let meta = verify::meta(&self.fs, attr)?;
            self.set_meta(node.directory.as_fd(), name, &path, &meta)?;
        } else if attr.size as usize <= CHUNK_BYTES {
            self.file(&node.directory, name, &path, attr)?;
        } else {
            self.progress.found(attr.size);
            stack.push(Task::File { node: node.clone(), name: name.to_vec(), attr: *attr });
        }
        Ok(())
    }

    fn make(&self, directory: &OwnedFd, name: &[u8], attr: &Attr) -> Result<(), Trouble> {
        let (major, minor) = host::device_pair(attr.rdev);
        let kind = match attr.kind {
            Kind::Symlink => {
                let target = self.fs.readlink(attr.ino)?;
                return Ok(symlinkat(target.as_slice(), directory, name)?);
            }
            Kind::CharDevice => FileType::CharacterDevice,
            Kind::BlockDevice => FileType::BlockDevice,
            Kind::Fifo => FileType::Fifo,
            Kind::Socket => FileType::Socket,
            Kind::File | Kind::Directory => FileType::RegularFile,
        };
        let device = makedev(major, minor);
        Ok(mknodat(directory, name, kind, Mode::RUSR | Mode::WUSR, device)?)
    }

    fn file(
        &self,
        directory: &OwnedFd,
        name: &[u8],
        path: &[u8],
        attr: &Attr,
    ) -> Result<(), Trouble> {
        let flags = OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = openat(directory, name, flags, Mode::empty())?;
        ftruncate(&file, attr.size)?;
        let mut failed = None;
        let read = verify::read_data(&self.fs, attr, self.pace, |offset, bytes| {
            self.progress.go_on()?;
            if failed.is_none() {
                failed = write_full(file.as_fd(), offset, bytes).err();
            }
            self.bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
            self.progress.copied(bytes.len() as u64);
            Ok(())
        });
        if let Some(error) = failed {
            return Err(error.into());
        }
        read?;
        let meta = verify::meta(&self.fs, attr)?;
        self.set_meta(directory.as_fd(), name, path, &meta)?;
        self.progress.file_done();
        Ok(())
    }

    /// Sets owner, extended attributes, permission bits and times, in the order in which none undoes another.
    fn set_meta(
        &self,
        directory: BorrowedFd<'_>,
        name: &[u8],
        path: &[u8],
        meta: &Meta,
    ) -> io::Result<()> {
        let (uid, gid) = (Uid::from_raw(meta.uid), Gid::from_raw(meta.gid));
        let nofollow = AtFlags::SYMLINK_NOFOLLOW;
        if self.privileged {
            chownat(directory, name, Some(uid), Some(gid), nofollow)?;
        }
        let through_proc = host::through_proc(directory, name)?;
        for (xattr, value) in &meta.xattrs {
            lsetxattr(&through_proc, xattr.as_slice(), value, XattrFlags::empty())?;
        }
        if meta.kind != Kind::Symlink {
            let mode = exported::readable_mode(meta, self.privileged);
            chmodat(directory, name, Mode::from_raw_mode(mode), AtFlags::empty())?;
            let last = exported::mode(meta, self.privileged);
            if last != mode {
                let mut shut = self.shut.lock().unwrap_or_else(PoisonError::into_inner);
                shut.push((path.to_vec(), last));
            }
        }
        let time = |time: tine_fs::Time| Timespec { tv_sec: time.secs, tv_nsec: time.nanos.into() };
        let times =
            Timestamps { last_access: time(meta.atime), last_modification: time(meta.mtime) };
        Ok(utimensat(directory, name, &times, nofollow)?)
    }
}

fn write_full(file: BorrowedFd<'_>, offset: u64, bytes: &[u8]) -> io::Result<()> {
    let mut done = 0;
    while done < bytes.len() {
        match rustix::io::pwrite(file, &bytes[done..], offset + done as u64) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => done += written,
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
