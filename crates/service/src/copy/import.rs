//! A directory of the host into a new branch.
//!
//! The copy grows under a reserved name and gets its own only when it has been read back and found
//! equal. What cannot be read, or changes while it is read, is named; all of it, not only the
//! first.

use std::collections::HashMap;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::{Dir, Stat, fstat, readlinkat};
use tine_fs::{Caller, Fs, Ino, Kind, NewRoot, ROOT, SetAttr, SetTime, XattrMode};

use super::file_errors::{Failures, FileError};
use super::fingerprint::{Fingerprint, Meta};
use super::job::CopyJob;
use super::outside::{Outside, Told};
use super::throttle::{CHUNK_BYTES, Throttle};
use super::verify::{self, Prints};
use super::work_queue::{self, Stack};
use super::{host, ids, live_server};
use crate::protocol::{Code, Error, Hint, Progress, Result};

/// What an import has copied.
pub struct Copied {
    /// Things that are not directories.
    pub files: u64,
    /// Directories, without the root.
    pub directories: u64,
    /// Bytes of data read.
    pub bytes: u64,
    /// What leads out of the directory.
    pub told: Told,
}

/// Copies the directory `source` into the empty branch of the job.
pub fn import(job: CopyJob<'_>, source: OwnedFd) -> Result<Copied> {
    let CopyJob { store, branch, path, throttle, progress } = job;
    let stat = fstat(&source).map_err(|error| Error::path("read", path, error))?;
    let Caller { uid, gid, .. } = owner(&stat);
    let root = NewRoot { mode: stat.st_mode & 0o7777, uid, gid };
    Fs::format(branch, &root)?;
    let source = Arc::new(source);
    let import = Import {
        fs: Fs::open(store, branch.clone())?,
        throttle,
        progress,
        links: Mutex::default(),
        prints: Prints::default(),
        outside: Outside::new(source.clone()),
        failures: Failures::new(path),
        counts: Counts::default(),
    };
    let top = Task::Directory { parent: source, name: b".".to_vec(), ino: ROOT, path: Vec::new() };
    work_queue::work(top, |task, stack| import.step(task, stack))?;
    let Import { fs, prints, outside, failures, counts, .. } = import;
    failures.into_result("import")?;
    fs.set_origin(path.as_os_str().as_encoded_bytes())?;
    fs.sync()?;
    progress.begin_verifying();
    verify::branch(&fs, prints, throttle, progress)?;
    Ok(Copied {
        files: counts.files.into_inner(),
        directories: counts.directories.into_inner(),
        bytes: counts.bytes.into_inner(),
        told: outside.told(path),
    })
}

#[derive(Default)]
struct Counts {
    files: AtomicU64,
    directories: AtomicU64,
    bytes: AtomicU64,
}

enum Task {
    Directory { parent: Arc<OwnedFd>, name: Vec<u8>, ino: Ino, path: Vec<u8> },
    File { parent: Arc<OwnedFd>, name: Vec<u8>, ino: Ino, path: Vec<u8> },
}

struct Import<'a> {
    fs: Fs,
    throttle: Throttle<'a>,
    progress: &'a Progress,
    /// The inode in the branch of every file with several names, by its device and number on the
    /// host.
    links: Mutex<HashMap<(u64, u64), Ino>>,
    prints: Prints,
    outside: Outside,
    failures: Failures,
    counts: Counts,
}

impl Import<'_> {
    fn step(&self, task: Task, stack: &Stack<Task>) -> Result<()> {
        self.progress.go_on()?;
        match task {
            Task::Directory { parent, name, ino, path } => {
                let result = self.directory(&parent, &name, ino, &path, stack);
                self.failures.note(&path, result)
            }
            Task::File { parent, name, ino, path } => {
                let result = self.file(&parent, &name, ino);
                self.failures.note(&path, result)
            }
        }
    }

    fn directory(
        &self,
        parent: &OwnedFd,
        name: &[u8],
        ino: Ino,
        path: &[u8],
        stack: &Stack<Task>,
    ) -> Result<(), FileError> {
        let directory = Arc::new(host::open_directory(parent.as_fd(), name)?);
        if let Some(pid) = live_server::running_on(&*directory) {
            let shown = self.failures.shown(path);
            return Err(FileError::Fatal(running_server(&shown, pid)));
        }
        self.outside.directory(&directory, path);
        let before = fstat(&*directory)?;
        let meta = host::meta(directory.as_fd(), b".", &before)?;
        let mut print = Fingerprint::new(&meta);
        for entry in Dir::read_from(&*directory)? {
            self.progress.go_on()?;
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if name == b"." || name == b".." {
                continue;
            }
            let path = host::join(path, name);
            match self.entry(&directory, name, ino, &path, stack) {
                Ok(child) => print.name(name, child),
                Err(error) => self.failures.note(&path, Err(error))?,
            }
        }
        must_not_have_changed(&before, &fstat(&*directory)?)?;
        self.finish(ino, &meta, print)?;
        if ino != ROOT {
            self.counts.directories.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Makes one entry, and copies it unless that takes long; returns the inode it leads to.
    fn entry(
        &self,
        directory: &Arc<OwnedFd>,
        name: &[u8],
        parent: Ino,
        path: &[u8],
        stack: &Stack<Task>,
    ) -> Result<Ino, FileError> {
        let stat = host::stat(directory.as_fd(), name)?;
        let kind =
            Kind::of_mode(stat.st_mode).ok_or(FileError::Changed("it is of no known kind"))?;
        let task = |ino| (directory.clone(), name.to_vec(), ino, path.to_vec());
        if kind == Kind::Directory {
            let ino = self.fs.mkdir(&owner(&stat), parent, name, stat.st_mode & 0o7777)?.ino;
            let (parent, name, ino, path) = task(ino);
            stack.push(Task::Directory { parent, name, ino, path });
            return Ok(ino);
        }
        self.counts.files.fetch_add(1, Ordering::Relaxed);
        let make = || self.make(directory, name, parent, kind, &stat);
        let ino = if stat.st_nlink > 1 {
            let mut links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
            let key = (stat.st_dev, stat.st_ino);
            if let Some(&ino) = links.get(&key) {
                self.fs.link(ino, parent, name)?;
                if kind == Kind::Symlink {
                    self.outside.link(path, readlinkat(directory, name, Vec::new())?.to_bytes())?;
                }
                return Ok(ino);
            }
            let ino = make()?;
            links.insert(key, ino);
            ino
        } else {
            make()?
        };
        if kind != Kind::File {
            self.special(directory, name, ino, path, &stat)?;
        } else if stat.st_size as usize <= CHUNK_BYTES {
            self.file(directory, name, ino)?;
        } else {
            self.progress.found(stat.st_size as u64);
            let (parent, name, ino, path) = task(ino);
            stack.push(Task::File { parent, name, ino, path });
        }
        Ok(ino)
    }

    fn make(
        &self,
        directory: &OwnedFd,
        name: &[u8],
        parent: Ino,
        kind: Kind,
        stat: &Stat,
    ) -> Result<Ino, FileError> {
        let caller = owner(stat);
        let attr = match kind {
            Kind::Symlink => {
                let target = readlinkat(directory, name, Vec::new())?;
                self.fs.symlink(&caller, parent, name, target.to_bytes())?
            }
            _ => {
                let rdev = host::device_number(stat);
                self.fs.mknod(&caller, parent, name, stat.st_mode, rdev)?
            }
        };
        Ok(attr.ino)
    }

    /// Completes anything that is neither a directory nor a regular file.
    fn special(
        &self,
        directory: &OwnedFd,
        name: &[u8],
        ino: Ino,
        path: &[u8],
        before: &Stat,
    ) -> Result<(), FileError> {
        let meta = host::meta(directory.as_fd(), name, before)?;
        let mut print = Fingerprint::new(&meta);
        if meta.kind == Kind::Symlink {
            let target = readlinkat(directory, name, Vec::new())?;
            print.content(0, target.to_bytes());
            self.outside.link(path, target.to_bytes())?;
        }
        if matches!(meta.kind, Kind::Fifo | Kind::CharDevice | Kind::BlockDevice) {
            self.outside.pipe_or_device(path);
        }
        must_not_have_changed(before, &host::stat(directory.as_fd(), name)?)?;
        self.finish(ino, &meta, print)?;
        self.progress.file_done();
        Ok(())
    }

    /// Copies the data of a regular file, and completes it.
    fn file(&self, directory: &OwnedFd, name: &[u8], ino: Ino) -> Result<(), FileError> {
        let file = host::open_file(directory.as_fd(), name)?;
        let before = fstat(&file)?;
        let meta = host::meta(directory.as_fd(), name, &before)?;
        if meta.kind != Kind::File {
            return Err(FileError::Changed("it was replaced while it was read"));
        }
        let mut print = Fingerprint::new(&meta);
        host::read_data(
            &file,
            meta.size,
            self.throttle,
            |offset, bytes| -> Result<(), FileError> {
                self.progress.go_on()?;
                self.fs.write(ino, offset, bytes, false)?;
                print.content(offset, bytes);
                self.counts.bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
                self.progress.copied(bytes.len() as u64);
                Ok(())
            },
        )?;
        must_not_have_changed(&before, &fstat(&file)?)?;
        self.finish(ino, &meta, print)?;
        self.progress.file_done();
        Ok(())
    }

    /// Gives an inode its attributes, last of all, and remembers its fingerprint.
    fn finish(&self, ino: Ino, meta: &Meta, print: Fingerprint) -> Result<(), FileError> {
        let set = SetAttr {
            mode: Some(meta.mode),
            uid: Some(meta.uid),
            gid: Some(meta.gid),
            size: (meta.kind == Kind::File).then_some(meta.size),
            atime: Some(SetTime::At(meta.atime)),
            mtime: Some(SetTime::At(meta.mtime)),
            ctime: None,
            kill_set_id: false,
        };
        self.fs.setattr(ino, &set)?;
        // A new owner takes the capabilities of a program, so they come after it.
        for (name, value) in &meta.xattrs {
            self.fs.setxattr(ino, name, value, XattrMode::Any).map_err(|why| match why {
                tine_fs::Error::Unsupported(_) | tine_fs::Error::Invalid(_) => {
                    let name = String::from_utf8_lossy(name);
                    FileError::Refused(Error::new(
                        Code::Unsupported,
                        format!("attribute {name}: {why}"),
                    ))
                }
                why => why.into(),
            })?;
        }
        self.prints.keep(ino, print.finish());
        Ok(())
    }
}

fn owner(stat: &Stat) -> Caller {
    Caller { uid: ids::kept_user(stat.st_uid), gid: ids::kept_group(stat.st_gid), umask: 0 }
}

fn must_not_have_changed(before: &Stat, after: &Stat) -> Result<(), FileError> {
    let mark = |stat: &Stat| {
        (
            (stat.st_dev, stat.st_ino, stat.st_size),
            (stat.st_mtime, stat.st_mtime_nsec),
            (stat.st_ctime, stat.st_ctime_nsec),
        )
    };
    match mark(before) == mark(after) {
        true => Ok(()),
        false => Err(FileError::Changed("it changed while it was read")),
    }
}

fn running_server(path: &Path, pid: u32) -> Error {
    let what = format!(
        "cannot import {}: a PostgreSQL server (process {pid}) is running on it, \
         and its files would not fit together",
        path.display()
    );
    Error::new(Code::BaseChanged, what).hint(Hint::ImportOrStopServer)
}
