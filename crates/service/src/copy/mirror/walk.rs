//! The walk through a directory and its branch, side by side.

use std::collections::HashMap;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use rustix::fs::Dir;
use tine_fs::{HostRecord, Ino, Kind, ROOT, RenameMode, Time};
use tine_store::ReadTxn;

use super::pass::{Finished, Mirror, imported, is_unchanged};
use crate::copy::file_errors::FileError;
use crate::copy::fingerprint::Fingerprint;
use crate::copy::seen::Seen;
use crate::copy::throttle::CHUNK_BYTES;
use crate::copy::work_queue::Stack;
use crate::copy::{host, live_server};
use crate::protocol::{Code, Error, Hint, Result};

/// A directory of the host that is open.
pub struct Directory {
    pub fd: OwnedFd,
    pub filesystem: u64,
}

/// An entry of a directory, and the inode that it has in the branch.
pub struct Place {
    pub directory: Arc<Directory>,
    pub name: Vec<u8>,
    pub ino: Ino,
    /// From the root, for messages.
    pub path: Vec<u8>,
}

pub enum Task {
    /// A directory with all that is in it.
    Directory(Place),
    /// The content of a large file.
    Content(Place),
}

impl Task {
    /// The directory that all begins with.
    pub fn top(fd: OwnedFd) -> Task {
        let directory = Arc::new(Directory { fd, filesystem: 0 });
        Task::Directory(Place { directory, name: b".".to_vec(), ino: ROOT, path: Vec::new() })
    }
}

impl Mirror<'_> {
    pub(super) fn step(&self, task: Task, stack: &Stack<Task>) -> Result<()> {
        self.progress.go_on()?;
        match task {
            Task::Directory(place) => {
                let result = self.directory(&place, stack);
                self.failures.note(&place.path, result)
            }
            Task::Content(place) => {
                let result = self.content(&place);
                self.failures.note(&place.path, result)
            }
        }
    }

    fn directory(&self, place: &Place, stack: &Stack<Task>) -> Result<(), FileError> {
        let now = Time::now();
        let fd = host::open_directory(place.directory.fd.as_fd(), &place.name)?;
        let seen = Seen::open(&fd)?;
        if let Some(pid) = live_server::running_on(&fd) {
            return Err(FileError::Fatal(running_server(&self.failures.shown(&place.path), pid)));
        }
        self.outside.directory(&fd, &place.path);
        let filesystem = self.filesystems.of(fd.as_fd(), &seen)?;
        let here = Arc::new(Directory { fd, filesystem });
        let view = self.fs.branch().read().map_err(Error::from)?;
        let record = seen.record(filesystem, now);
        let known = HostRecord::of(&view, place.ino)?;
        // Its names are those that it had.
        let unchanged = known.is_some_and(|known| is_unchanged(&known, &record));
        let mut before = self.listing(place.ino)?;
        let names = match unchanged {
            true => before.keys().cloned().collect(),
            false => names_on_host(&here)?,
        };
        let (mut children, mut complete) = (Vec::new(), true);
        for name in names {
            self.progress.go_on()?;
            let path = host::join(&place.path, &name);
            let there = before.remove(&name);
            let entry = Entry { here: &here, parent: place.ino, name: &name, path: &path };
            match self.entry(entry, there, &view, stack) {
                Ok(child) => children.push((name, child)),
                Err(error) => {
                    complete = false;
                    self.failures.note(&path, Err(error))?;
                }
            }
        }
        if !seen.is_same(&Seen::open(&here.fd)?) {
            return Err(FileError::Changed("it changed while it was read"));
        }
        for (name, (ino, _)) in before {
            self.moves.gone(place.ino, name, ino);
        }
        if place.ino != ROOT {
            self.counts.directories.fetch_add(1, Ordering::Relaxed);
        }
        // Without a record of this state, another pass looks at all names again. What is put out of
        // the way for a while changes the times of the root.
        if complete && (!unchanged || place.ino == ROOT) {
            let meta = host::meta(here.fd.as_fd(), b".", &seen)?;
            let mut print = Fingerprint::new(&meta);
            children.iter().for_each(|(name, child)| print.name(name, *child));
            self.finish_later(Finished {
                ino: place.ino,
                imported: imported(meta, record),
                print: print.finish(),
                if_displaced: unchanged,
            });
        }
        Ok(())
    }

    /// The names of a directory of the branch and what they lead to.
    fn listing(&self, ino: Ino) -> Result<HashMap<Vec<u8>, (Ino, Kind)>, FileError> {
        let mut names = HashMap::new();
        self.fs.readdir(ino, 0, &mut |entry| {
            if ![&b"."[..], b".."].contains(&entry.name) {
                names.insert(entry.name.to_vec(), (entry.ino, entry.kind));
            }
            true
        })?;
        Ok(names)
    }

    /// Makes one entry what it is on the host. Returns the inode that it leads to.
    fn entry(
        &self,
        entry: Entry<'_>,
        there: Option<(Ino, Kind)>,
        view: &ReadTxn,
        stack: &Stack<Task>,
    ) -> Result<Ino, FileError> {
        let now = Time::now();
        let seen = Seen::at(entry.here.fd.as_fd(), entry.name)?;
        let kind = seen.kind().ok_or(FileError::Changed("it is of no known kind"))?;
        if kind != Kind::Directory {
            self.counts.files.fetch_add(1, Ordering::Relaxed);
        }
        let record = seen.record(entry.here.filesystem, now);
        if let Some((ino, _)) = there.filter(|(_, there)| *there == kind) {
            let known = HostRecord::of(view, ino)?;
            if kind != Kind::Directory && known.is_some_and(|known| is_unchanged(&known, &record)) {
                return Ok(ino);
            }
            let same = known.is_some_and(|known| seen.is_file_of(&known, entry.here.filesystem));
            if same && self.keeps_target(&entry, kind, ino)? {
                self.known(&entry, kind, &seen, ino, stack)?;
                return Ok(ino);
            }
        }
        if let Some((ino, _)) = there {
            self.moves.displace(self.fs, entry.parent, entry.name, ino).map_err(moved)?;
        }
        if kind == Kind::Directory || seen.nlink == 1 {
            return self.place(&entry, kind, &seen, stack);
        }
        self.place_linked(&entry, kind, &seen, stack)
    }

    /// Brings a file up to date that is at its place.
    fn known(
        &self,
        entry: &Entry<'_>,
        kind: Kind,
        seen: &Seen,
        ino: Ino,
        stack: &Stack<Task>,
    ) -> Result<(), FileError> {
        let place = || Place {
            directory: entry.here.clone(),
            name: entry.name.to_vec(),
            ino,
            path: entry.path.to_vec(),
        };
        match kind {
            Kind::Directory => stack.push(Task::Directory(place())),
            Kind::File if seen.size as usize > CHUNK_BYTES => {
                self.progress.found(seen.size);
                stack.push(Task::Content(place()));
            }
            Kind::File => self.content(&place())?,
            _ => self.special(entry, Some(ino)).map(drop)?,
        }
        Ok(())
    }

    /// Gives a file its place: it is new, or comes from elsewhere in the tree.
    fn place(
        &self,
        entry: &Entry<'_>,
        kind: Kind,
        seen: &Seen,
        stack: &Stack<Task>,
    ) -> Result<Ino, FileError> {
        if let Some(ino) = self.bring_from_elsewhere(entry, kind, seen)? {
            self.known(entry, kind, seen, ino, stack)?;
            return Ok(ino);
        }
        match kind {
            Kind::File if seen.nlink == 1 && seen.size as usize <= CHUNK_BYTES => self.small(entry),
            Kind::File | Kind::Directory => {
                let ino = self.empty(entry, kind, seen)?;
                self.known(entry, kind, seen, ino, stack)?;
                Ok(ino)
            }
            _ => self.special(entry, None),
        }
    }

    /// As [`Mirror::place`], for a file with other names, each of which may be met first.
    fn place_linked(
        &self,
        entry: &Entry<'_>,
        kind: Kind,
        seen: &Seen,
        stack: &Stack<Task>,
    ) -> Result<Ino, FileError> {
        let mut links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (seen.dev, seen.number);
        if let Some(&ino) = links.get(&key) {
            self.fs.link(ino, entry.parent, entry.name).map_err(moved)?;
            drop(links);
            // The link has changed its times.
            self.known(entry, kind, seen, ino, stack)?;
            return Ok(ino);
        }
        let (ino, fresh) = match self.bring_from_elsewhere(entry, kind, seen)? {
            Some(ino) => (ino, false),
            None if kind == Kind::File => (self.empty(entry, kind, seen)?, false),
            None => (self.special(entry, None)?, true),
        };
        links.insert(key, ino);
        drop(links);
        if !fresh {
            self.known(entry, kind, seen, ino, stack)?;
        }
        Ok(ino)
    }

    /// Moves a file that the tree has elsewhere to this place, or links it here; it is removed
    /// from its other place when the walk has found it gone there.
    fn bring_from_elsewhere(
        &self,
        entry: &Entry<'_>,
        kind: Kind,
        seen: &Seen,
    ) -> Result<Option<Ino>, FileError> {
        let Entry { here, parent, name, .. } = *entry;
        let found = self.fs.with_host_number(seen.number)?;
        let here_too = |record: &HostRecord| record.filesystem == here.filesystem;
        let Some((attr, record)) = found.filter(|(_, record)| here_too(record)) else {
            return Ok(None);
        };
        let same = attr.kind == kind && record.birth == seen.birth;
        if !same || !self.keeps_target(entry, kind, attr.ino)? {
            // The host gave the number of a file that is gone to this one.
            self.moves.free_number(self.fs, &attr).map_err(moved)?;
            return Ok(None);
        }
        if kind != Kind::Directory {
            self.fs.link(attr.ino, parent, name).map_err(moved)?;
            return Ok(Some(attr.ino));
        }
        let Some((from, old)) = self.fs.first_name(attr.ino).map_err(moved)? else {
            return Ok(None);
        };
        self.fs.rename(from, &old, parent, name, RenameMode::NoReplace).map_err(moved)?;
        Ok(Some(attr.ino))
    }
}

/// One entry of a directory that is walked through.
#[derive(Clone, Copy)]
pub struct Entry<'a> {
    pub here: &'a Arc<Directory>,
    /// The directory in the branch.
    pub parent: Ino,
    pub name: &'a [u8],
    pub path: &'a [u8],
}

fn names_on_host(directory: &Directory) -> Result<Vec<Vec<u8>>, FileError> {
    let mut names = Vec::new();
    for entry in Dir::read_from(&directory.fd)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            names.push(name.to_vec());
        }
    }
    Ok(names)
}

/// An error of the tree that comes from moves on the host while the walk went on, or would be
/// damage: another pass tells.
pub fn moved(error: tine_fs::Error) -> FileError {
    use tine_fs::Error::{Exists, Invalid, NoEntry, NoInode, NotDirectory};
    match error {
        Exists { .. } | NoEntry { .. } | NoInode { .. } | NotDirectory { .. } | Invalid(_) => {
            FileError::Changed("it was moved while it was read")
        }
        error => error.into(),
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
