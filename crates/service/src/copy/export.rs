//! A branch into an empty directory of the host, without FUSE.
//!
//! The branch is forked first and the fork is copied: one moment of it, whatever goes on meanwhile.
//! An ordinary user cannot give files away, so the copy then belongs to that user, to the group it
//! had where that is one of the user's, and has no set-id bits where owner or group is another, as
//! with `cp -a`. All that is written goes through [`super::beneath`].

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::{FileType, Timespec, Timestamps, ftruncate};
use tine_fs::{Attr, Fs, Ino, Kind, ROOT};

use super::beneath::{Directory, Made, Name};
use super::file_errors::{Failures, FileError};
use super::fingerprint::Meta;
use super::job::CopyJob;
use super::throttle::{CHUNK_BYTES, Throttle};
use super::work_queue::{self, Stack};
use super::{host, ids, verify, verify_export};
use crate::protocol::{Error, Progress, Result};

/// What an export has copied.
pub struct Copied {
    /// Things that are not directories.
    pub files: u64,
    /// Bytes of data written.
    pub bytes: u64,
}

/// Copies the branch of the job, which must not change meanwhile, into the empty directory
/// `target`.
pub fn export(job: CopyJob<'_>, target: OwnedFd) -> Result<Copied> {
    let CopyJob { store, branch, path, throttle, progress } = job;
    let fs = Fs::open(store, branch.clone())?;
    let target = Directory::target(target);
    let opened =
        |directory: &Directory| directory.again().map_err(|e| Error::path("open", path, e));
    let export = Export {
        fs: fs.clone(),
        target: opened(&target)?,
        privileged: ids::may_give_away(),
        throttle,
        progress,
        links: Mutex::default(),
        shut: Mutex::default(),
        failures: Failures::new(path),
        files: AtomicU64::new(0),
        bytes: AtomicU64::new(0),
    };
    let directory = opened(&target)?;
    let top = Node { parent: None, directory, ino: ROOT, path: Vec::new() };
    work_queue::work(Task::Directory(Arc::new(top)), |task, stack| export.step(task, stack))?;
    let Export { privileged, shut, failures, files, bytes, .. } = export;
    failures.into_result("export into")?;
    target.sync().map_err(|error| Error::path("write out", path, error))?;
    progress.begin_verifying();
    let read = host::open_directory(target.as_fd(), b".");
    let read = read.map_err(|error| Error::path("open", path, error))?;
    verify_export::verify(&fs, &Arc::new(read), privileged, throttle, progress)?;
    shut_out(&target, shut.into_inner().unwrap_or_else(PoisonError::into_inner))
        .map_err(|error| Error::path("complete", path, error))?;
    Ok(Copied { files: files.into_inner(), bytes: bytes.into_inner() })
}

/// Sets the permission bits that would have kept their owner from reading the copy back; what is
/// deepest first, since each is reached through those above it.
fn shut_out(target: &Directory, mut shut: Vec<(Vec<u8>, u32)>) -> io::Result<()> {
    shut.sort_by_key(|(path, _)| std::cmp::Reverse(path.len()));
    shut.into_iter().try_for_each(|(path, mode)| target.at(&path)?.set_mode(mode))
}

/// A directory of the copy. Its attributes are set when the last that lives below it is done: a
/// read-only directory could not be filled, and filling it moves its times.
struct Node {
    parent: Option<Arc<Node>>,
    directory: Directory,
    ino: Ino,
    path: Vec<u8>,
}

/// A tree may be deeper than a stack.
impl Drop for Node {
    fn drop(&mut self) {
        let mut above = self.parent.take();
        while let Some(mut node) = above.and_then(Arc::into_inner) {
            above = node.parent.take();
        }
    }
}

enum Task {
    Directory(Arc<Node>),
    File { node: Arc<Node>, name: Vec<u8>, attr: Attr },
}

struct Export<'a> {
    fs: Fs,
    target: Directory,
    privileged: bool,
    throttle: Throttle<'a>,
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
                let result = Name::new(&name)
                    .and_then(|name| node.directory.made_file(name))
                    .map_err(FileError::from)
                    .and_then(|file| self.file(file, &path, &attr));
                self.failures.note(&path, result)?;
                node
            }
        };
        self.leave(node)
    }

    /// Completes every directory below which no task is left.
    fn leave(&self, node: Arc<Node>) -> Result<()> {
        let mut done = Arc::into_inner(node);
        while let Some(mut node) = done {
            let result = self.finish_directory(&node);
            self.failures.note(&node.path, result)?;
            done = node.parent.take().and_then(Arc::into_inner);
        }
        Ok(())
    }

    fn finish_directory(&self, node: &Node) -> Result<(), FileError> {
        let meta = verify::meta(&self.fs, &self.fs.getattr(node.ino)?)?;
        Ok(self.set_meta(&node.directory.at(b"")?, &node.path, &meta)?)
    }

    fn directory(&self, node: &Arc<Node>, stack: &Stack<Task>) -> Result<(), FileError> {
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
    ) -> Result<(), FileError> {
        let path = host::join(&node.path, name);
        let single = Name::new(name)?;
        if attr.kind == Kind::Directory {
            let directory = node.directory.make_directory(single)?;
            let child = Node { parent: Some(node.clone()), directory, ino: attr.ino, path };
            stack.push(Task::Directory(Arc::new(child)));
            return Ok(());
        }
        self.files.fetch_add(1, Ordering::Relaxed);
        let made = if attr.nlink > 1 {
            let mut links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(first) = links.get(&attr.ino) {
                return Ok(node.directory.link(single, &self.target, first)?);
            }
            let made = self.make(&node.directory, single, attr)?;
            links.insert(attr.ino, path.clone());
            made
        } else {
            self.make(&node.directory, single, attr)?
        };
        match made {
            New::File(file) if attr.size as usize <= CHUNK_BYTES => self.file(file, &path, attr),
            New::File(_) => {
                self.progress.found(attr.size);
                stack.push(Task::File { node: node.clone(), name: name.to_vec(), attr: *attr });
                Ok(())
            }
            New::Other(made) => {
                let meta = verify::meta(&self.fs, attr)?;
                Ok(self.set_meta(&made, &path, &meta)?)
            }
        }
    }

    fn make(&self, directory: &Directory, name: Name<'_>, attr: &Attr) -> Result<New, FileError> {
        let kind = match attr.kind {
            Kind::Symlink => {
                let target = self.fs.readlink(attr.ino)?;
                return Ok(New::Other(directory.make_symlink(name, &target)?));
            }
            Kind::File | Kind::Directory => return Ok(New::File(directory.make_file(name)?)),
            Kind::CharDevice => FileType::CharacterDevice,
            Kind::BlockDevice => FileType::BlockDevice,
            Kind::Fifo => FileType::Fifo,
            Kind::Socket => FileType::Socket,
        };
        Ok(New::Other(directory.make_node(name, kind, host::device_pair(attr.rdev))?))
    }

    fn file(&self, file: OwnedFd, path: &[u8], attr: &Attr) -> Result<(), FileError> {
        ftruncate(&file, attr.size)?;
        let mut failed = None;
        let read = verify::read_data(&self.fs, attr, self.throttle, |offset, bytes| {
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
        self.set_meta(&Made::from(file), path, &meta)?;
        self.progress.file_done();
        Ok(())
    }

    /// Sets owner, extended attributes, permission bits and times, in the order in which none
    /// undoes another.
    fn set_meta(&self, made: &Made, path: &[u8], meta: &Meta) -> io::Result<()> {
        let seen = ids::shown(meta.clone());
        let owned = match self.privileged {
            true => made.set_owner(seen.uid, seen.gid).map(|()| true)?,
            false => made.offer_to(seen.uid, seen.gid)?,
        };
        for (xattr, value) in &seen.xattrs {
            made.set_xattr(xattr, value)?;
        }
        if meta.kind != Kind::Symlink {
            let last = verify_export::mode(meta, owned);
            let mode = last | verify_export::needed(meta.kind, self.privileged);
            made.set_mode(mode)?;
            if last != mode {
                let mut shut = self.shut.lock().unwrap_or_else(PoisonError::into_inner);
                shut.push((path.to_vec(), last));
            }
        }
        let time = |time: tine_fs::Time| Timespec { tv_sec: time.secs, tv_nsec: time.nanos.into() };
        let times =
            Timestamps { last_access: time(meta.atime), last_modification: time(meta.mtime) };
        made.set_times(&times)
    }
}

/// Something new in the copy, without its content and attributes.
enum New {
    File(OwnedFd),
    Other(Made),
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
