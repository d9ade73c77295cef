//! One file of the host, taken into the branch.

use std::os::fd::AsFd;
use std::sync::atomic::Ordering;

use rustix::fs::readlinkat;
use tine_fs::{HostRecord, Imported, Ino, Kind, Time};

use super::content;
use super::pass::{Mirror, imported};
use super::walk::{Entry, Place, moved};
use crate::copy::file_errors::FileError;
use crate::copy::fingerprint::Fingerprint;
use crate::copy::host;
use crate::copy::seen::Seen;
use crate::copy::throttle::CHUNK_BYTES;

/// What is said of a file that does not hold still.
const CHANGED: FileError = FileError::Changed("it changed while it was read");

impl Mirror<'_> {
    /// Makes an empty file or directory whose attributes follow.
    pub(super) fn empty(
        &self,
        entry: &Entry<'_>,
        kind: Kind,
        seen: &Seen,
    ) -> Result<Ino, FileError> {
        let record = seen.record(entry.here.filesystem, Time::default());
        let empty = Imported {
            kind,
            mode: 0o700,
            uid: 0,
            gid: 0,
            rdev: 0,
            size: 0,
            atime: seen.atime,
            xattrs: Vec::new(),
            // Whatever becomes of it, it is not taken for complete.
            record: HostRecord { settled: false, ..record },
        };
        self.fs.import(entry.parent, entry.name, &empty, b"").map_err(moved)
    }

    /// Makes a regular file that is read at once.
    pub(super) fn small(&self, entry: &Entry<'_>) -> Result<Ino, FileError> {
        let Entry { here, parent, name, .. } = *entry;
        let now = Time::now();
        let file = host::open_file(here.fd.as_fd(), name)?;
        let seen = Seen::open(&file)?;
        let meta = host::meta(here.fd.as_fd(), name, &seen)?;
        if meta.kind != Kind::File || meta.size as usize > CHUNK_BYTES {
            return Err(CHANGED);
        }
        let mut print = Fingerprint::new(&meta);
        let mut bytes = vec![0; meta.size as usize];
        host::read_data(&file, meta.size, self.throttle, |offset, read| {
            let place =
                bytes.get_mut(offset as usize..).and_then(|rest| rest.get_mut(..read.len()));
            place.ok_or(CHANGED)?.copy_from_slice(read);
            print.content(offset, read);
            self.progress.copied(read.len() as u64);
            Ok::<(), FileError>(())
        })?;
        if !seen.is_same(&Seen::open(&file)?) {
            return Err(CHANGED);
        }
        let imported = imported(meta, seen.record(here.filesystem, now));
        let ino = self.fs.import(parent, name, &imported, &bytes).map_err(moved)?;
        self.prints.keep(ino, print.finish());
        self.read_one(bytes.len() as u64);
        self.progress.file_done();
        Ok(ino)
    }

    /// Makes the content of a regular file that is there equal to the host's, and its attributes.
    pub(super) fn content(&self, place: &Place) -> Result<(), FileError> {
        let Place { directory, name, ino, .. } = place;
        let now = Time::now();
        let file = host::open_file(directory.fd.as_fd(), name)?;
        let seen = Seen::open(&file)?;
        let meta = host::meta(directory.fd.as_fd(), name, &seen)?;
        if meta.kind != Kind::File {
            return Err(CHANGED);
        }
        let mut print = Fingerprint::new(&meta);
        let mut read = 0;
        let mut each = |offset: u64, bytes: &[u8]| {
            self.progress.go_on()?;
            print.content(offset, bytes);
            read += bytes.len() as u64;
            self.progress.copied(bytes.len() as u64);
            Ok::<(), FileError>(())
        };
        content::update(self.fs, *ino, &file, meta.size, self.throttle, &mut each)?;
        if !seen.is_same(&Seen::open(&file)?) {
            return Err(CHANGED);
        }
        let linked = self.fs.getattr(*ino).map_err(moved)?.nlink > 1;
        let imported = imported(meta, seen.record(directory.filesystem, now));
        self.finish(*ino, imported, print.finish(), linked).map_err(moved)?;
        self.read_one(read);
        self.progress.file_done();
        Ok(())
    }

    /// Takes in anything that is neither a directory nor a regular file: its attributes if it is
    /// there as `known`, else all of it. Returns its inode.
    pub(super) fn special(&self, entry: &Entry<'_>, known: Option<Ino>) -> Result<Ino, FileError> {
        let Entry { here, parent, name, path } = *entry;
        let now = Time::now();
        let seen = Seen::at(here.fd.as_fd(), name)?;
        let meta = host::meta(here.fd.as_fd(), name, &seen)?;
        let mut print = Fingerprint::new(&meta);
        let mut target = Vec::new();
        match meta.kind {
            Kind::Symlink => {
                target = readlinkat(&here.fd, name, Vec::new())?.into_bytes();
                print.content(0, &target);
                self.outside.link(path, &target)?;
            }
            Kind::Fifo | Kind::CharDevice | Kind::BlockDevice => self.outside.pipe_or_device(path),
            Kind::File | Kind::Directory => return Err(CHANGED),
            Kind::Socket => {}
        }
        if !seen.is_same(&Seen::at(here.fd.as_fd(), name)?) {
            return Err(CHANGED);
        }
        let imported = imported(meta, seen.record(here.filesystem, now));
        self.progress.file_done();
        if let Some(ino) = known {
            let linked = self.fs.getattr(ino).map_err(moved)?.nlink > 1;
            self.finish(ino, imported, print.finish(), linked).map_err(moved)?;
            return Ok(ino);
        }
        let ino = self.fs.import(parent, name, &imported, &target).map_err(moved)?;
        self.prints.keep(ino, print.finish());
        Ok(ino)
    }

    /// Returns `true` unless it is a symbolic link that leads elsewhere than in the branch: a file
    /// system without times of birth may have given its number to another.
    pub(super) fn keeps_target(
        &self,
        entry: &Entry<'_>,
        kind: Kind,
        ino: Ino,
    ) -> Result<bool, FileError> {
        if kind != Kind::Symlink {
            return Ok(true);
        }
        let target = readlinkat(&entry.here.fd, entry.name, Vec::new())?;
        Ok(self.fs.readlink(ino).map_err(moved)? == target.to_bytes())
    }

    fn read_one(&self, bytes: u64) {
        self.counts.read.fetch_add(1, Ordering::Relaxed);
        self.counts.bytes.fetch_add(bytes, Ordering::Relaxed);
    }
}
