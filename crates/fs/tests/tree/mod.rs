//! A file tree in a store in a temporary directory, with what tests need to say shortly.
#![allow(dead_code)]

use tempfile::TempDir;
use tine_fs::{Attr, Caller, FileOffset, Fs, HostRecord, Imported, Ino, Kind, NewRoot, ROOT, Time};
use tine_store::{Options, Store};

pub const ME: Caller = Caller { uid: 1000, gid: 1000, umask: 0 };

pub struct Tree {
    pub fs: Fs,
    pub store: Store,
    pub dir: TempDir,
}

impl std::ops::Deref for Tree {
    type Target = Fs;
    fn deref(&self) -> &Fs {
        &self.fs
    }
}

/// An empty tree in branch `main`.
pub fn tree() -> Tree {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::create(&dir.path().join("store"), &Options::default()).unwrap();
    let branch = store.create_branch("main").unwrap();
    Fs::format(&branch, &NewRoot { mode: 0o755, uid: 0, gid: 0 }).unwrap();
    let fs = Fs::open(&store, branch).unwrap();
    Tree { fs, store, dir }
}

impl Tree {
    pub fn fork(&self, name: &str) -> Fs {
        let from = self.fs.branch().name();
        Fs::open(&self.store, self.store.fork(&from, name).unwrap()).unwrap()
    }
}

/// Makes a file in the root with some bytes in it.
pub fn file(fs: &Fs, name: &str, data: &[u8]) -> Ino {
    let ino = fs.create(&ME, ROOT, name.as_bytes(), 0o644).unwrap().ino;
    fs.write(ino, 0, data, false).unwrap();
    ino
}

pub fn dir(fs: &Fs, name: &str) -> Ino {
    fs.mkdir(&ME, ROOT, name.as_bytes(), 0o755).unwrap().ino
}

/// A file of the host with a number, without content.
pub fn imported(kind: Kind, number: u64) -> Imported {
    let time = |secs| Time { secs, nanos: 7 };
    let record = HostRecord {
        filesystem: 9,
        number,
        size: 0,
        mtime: time(1),
        ctime: time(2),
        birth: time(3),
        settled: true,
    };
    Imported {
        kind,
        mode: 0o640,
        uid: 1,
        gid: 2,
        rdev: 0,
        size: 1,
        atime: time(4),
        xattrs: Vec::new(),
        record,
    }
}

pub fn at(ino: Ino, offset: u64) -> FileOffset {
    FileOffset { ino, offset }
}

pub fn bytes(fs: &Fs, ino: Ino) -> Vec<u8> {
    let mut buf = vec![0; fs.getattr(ino).unwrap().size as usize];
    assert_eq!(fs.read(ino, 0, &mut buf).unwrap(), buf.len());
    buf
}

/// The names in a directory, sorted, without the dots.
pub fn names(fs: &Fs, ino: Ino) -> Vec<String> {
    let mut names = Vec::new();
    fs.readdir(ino, 0, &mut |entry| {
        names.push(String::from_utf8_lossy(entry.name).into_owned());
        true
    })
    .unwrap();
    names.retain(|name| name != "." && name != "..");
    names.sort();
    names
}

pub fn attr(fs: &Fs, path: &str) -> Attr {
    fs.resolve(path.as_bytes()).unwrap()
}

/// The errno that an operation fails with.
pub fn errno<T>(result: tine_fs::Result<T>) -> i32 {
    result.err().expect("the operation fails").errno()
}
