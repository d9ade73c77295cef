//! A refreshed branch is what a fresh import would be.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use tine_fs::{Fs, HostRecord, Ino, Kind, ROOT, Time};
use tine_store::{Branch, MemoryDevice, Options, Store};

use super::Mirrored;
use crate::copy::{CopyJob, Throttle, import, refresh};
use crate::protocol::{Code, Progress, Result};

/// After this long a change has another time than what was there before.
const SETTLED: Duration = Duration::from_millis(40);

struct Lab {
    host: tempfile::TempDir,
    store: Store,
}

impl Lab {
    fn new() -> Lab {
        let mut options = Options::default();
        options.background = false;
        let store = Store::create_on(Arc::new(MemoryDevice::new()), &options).unwrap();
        Lab { host: tempfile::tempdir().unwrap(), store }
    }

    fn at(&self, path: &str) -> PathBuf {
        self.host.path().join(path)
    }

    fn write(&self, path: &str, content: &[u8]) {
        fs::create_dir_all(self.at(path).parent().unwrap()).unwrap();
        fs::write(self.at(path), content).unwrap();
    }

    fn job<'a>(&'a self, branch: &'a Branch, progress: &'a Progress) -> CopyJob<'a> {
        let throttle = Throttle(&|| false);
        CopyJob { store: &self.store, branch, path: self.host.path(), throttle, progress }
    }

    fn import(&self, name: &str) -> Branch {
        let branch = self.store.create_branch(name).unwrap();
        let source = File::open(self.host.path()).unwrap().into();
        import(self.job(&branch, &Progress::default()), source).unwrap();
        branch
    }

    fn refresh(&self, branch: &Branch) -> Result<Mirrored> {
        std::thread::sleep(SETTLED);
        let source = File::open(self.host.path()).unwrap().into();
        refresh(self.job(branch, &Progress::default()), source)
    }

    /// Asserts that the branch is what a fresh import is.
    fn assert_fresh(&self, branch: &Branch) {
        let fresh = self.import("fresh");
        let (found, wanted) = (self.shape(branch), self.shape(&fresh));
        for (path, wanted) in &wanted {
            assert!(found.get(path) == Some(wanted), "{path}: {:?} {wanted:?}", found.get(path));
        }
        assert_eq!(found.len(), wanted.len(), "{:?}", found.keys());
        assert_eq!(tine_fs::check(&branch.read().unwrap()).unwrap(), []);
        drop(fresh);
        self.store.delete("fresh").unwrap();
    }

    fn shape(&self, branch: &Branch) -> BTreeMap<String, Shape> {
        let fs = Fs::open(&self.store, branch.clone()).unwrap();
        let txn = branch.read().unwrap();
        let mut shape = BTreeMap::new();
        let mut left = vec![(ROOT, String::from("."))];
        while let Some((ino, path)) = left.pop() {
            let attr = fs.getattr(ino).unwrap();
            let mut content = Vec::new();
            match attr.kind {
                Kind::File => {
                    content = vec![0; attr.size as usize];
                    fs.read(ino, 0, &mut content).unwrap();
                }
                Kind::Symlink => content = fs.readlink(ino).unwrap(),
                Kind::Directory => fs
                    .readdir(ino, 0, &mut |entry| {
                        if ![&b"."[..], b".."].contains(&entry.name) {
                            let name = String::from_utf8_lossy(entry.name);
                            left.push((entry.ino, format!("{path}/{name}")));
                        }
                        true
                    })
                    .unwrap(),
                _ => {}
            }
            let xattrs = fs.listxattr(ino).unwrap();
            let record = HostRecord::of(&txn, ino).unwrap();
            let found = Shape {
                ino,
                kind: attr.kind,
                mode: attr.mode,
                nlink: attr.nlink,
                times: [attr.mtime, attr.ctime],
                content,
                xattrs: xattrs.into_iter().map(|x| (fs.getxattr(ino, &x).unwrap(), x)).collect(),
                // How long ago its last change was when it was read is no matter of the file.
                record: record.map(|record| HostRecord { settled: true, ..record }),
            };
            shape.insert(path, found);
        }
        shape
    }
}

#[derive(PartialEq)]
struct Shape {
    ino: Ino,
    kind: Kind,
    mode: u32,
    nlink: u32,
    times: [Time; 2],
    content: Vec<u8>,
    xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    record: Option<HostRecord>,
}

impl std::fmt::Debug for Shape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Shape { ino, kind, mode, nlink, times, record, .. } = self;
        write!(f, "{ino} {kind:?} {mode:o} {nlink} {times:?} {record:?}")
    }
}

#[test]
fn what_has_not_changed_is_not_read_and_one_file_that_has_is() {
    let lab = Lab::new();
    for number in 0..20 {
        lab.write(&format!("d{}/f{number}", number % 3), &[number; 5000]);
    }
    std::thread::sleep(SETTLED);
    let branch = lab.import("main");
    let before = branch.read().unwrap();
    let nothing = lab.refresh(&branch).unwrap();
    assert_eq!((nothing.read, nothing.bytes, nothing.files, nothing.directories), (0, 0, 20, 3));
    assert_eq!(tine_fs::diff(&before, &branch.read().unwrap()).unwrap(), []);
    lab.write("d1/f1", &[99; 6000]);
    let one = lab.refresh(&branch).unwrap();
    assert_eq!((one.read, one.bytes), (1, 6000));
    let changes = tine_fs::diff(&before, &branch.read().unwrap()).unwrap();
    assert_eq!(changes.len(), 1, "{changes:?}");
    lab.assert_fresh(&branch);
}

#[test]
fn equal_content_keeps_its_place_and_a_hard_link_made_elsewhere_is_no_change() {
    let lab = Lab::new();
    lab.write("file", &[7; 3 << 20]);
    let elsewhere = tempfile::tempdir_in(lab.host.path().parent().unwrap()).unwrap();
    let branch = lab.import("main");
    let before = branch.read().unwrap();
    fs::hard_link(lab.at("file"), elsewhere.path().join("link")).unwrap();
    let read = lab.refresh(&branch).unwrap();
    assert_eq!(read.read, 1);
    let after = branch.read().unwrap();
    assert_eq!(tine_fs::diff(&before, &after).unwrap(), []);
    assert_eq!(lab.refresh(&branch).unwrap().read, 0, "its record is up to date");
    // A part of it changes.
    let file = File::options().write(true).open(lab.at("file")).unwrap();
    file.write_all_at(b"x", 1 << 20).unwrap();
    lab.refresh(&branch).unwrap();
    let changes = tine_fs::diff(&after, &branch.read().unwrap()).unwrap();
    assert_eq!(changes.iter().map(|change| change.bytes).sum::<u64>(), 4096);
    lab.assert_fresh(&branch);
}

#[test]
fn moved_files_and_directories_stay_the_same_files() {
    let lab = Lab::new();
    lab.write("a/deep/one", b"1");
    lab.write("a/two", b"2");
    lab.write("b/three", b"3");
    lab.write("same", b"old");
    lab.write("other", b"new");
    let branch = lab.import("main");
    let before = branch.read().unwrap();
    let to = |from: &str, to: &str| fs::rename(lab.at(from), lab.at(to)).unwrap();
    to("a/deep", "moved");
    // The two exchange their names.
    to("a", "t");
    to("b", "a");
    to("t", "b");
    // One takes the name of another, which is gone.
    to("other", "same");
    lab.refresh(&branch).unwrap();
    let changes = tine_fs::diff(&before, &branch.read().unwrap()).unwrap();
    let added = changes.iter().filter(|change| change.change == tine_fs::Change::Added).count();
    assert_eq!(added, 0, "{changes:?}");
    lab.assert_fresh(&branch);
    // A directory goes below what was below it.
    to("b", "t");
    fs::create_dir(lab.at("t/in")).unwrap();
    lab.refresh(&branch).unwrap();
    to("t/in", "b");
    to("t", "b/t");
    lab.refresh(&branch).unwrap();
    lab.assert_fresh(&branch);
}

#[test]
fn what_changes_while_it_is_read_is_named() {
    let lab = Lab::new();
    lab.write("quiet", b"1");
    lab.write("busy", b"1");
    let ends = std::sync::atomic::AtomicBool::new(false);
    let branch = lab.import("main");
    let error = std::thread::scope(|scope| {
        scope.spawn(|| {
            let file = File::options().write(true).open(lab.at("busy")).unwrap();
            while !ends.load(std::sync::atomic::Ordering::Relaxed) {
                file.set_len(4 << 20).unwrap();
                file.set_len(8 << 20).unwrap();
            }
        });
        let error = (0..20).find_map(|_| lab.refresh(&branch).err());
        ends.store(true, std::sync::atomic::Ordering::Relaxed);
        error.expect("it never holds still")
    });
    assert_eq!(error.code, Code::BaseChanged);
    assert!(error.message.contains("/busy: ") && !error.message.contains("quiet"), "{error}");
    lab.refresh(&branch).unwrap();
    lab.assert_fresh(&branch);
}

/// Something that a person does.
#[derive(Clone, Debug)]
enum Step {
    Write(u8, u8, u16),
    Overwrite(u8, u8),
    Append(u8),
    Truncate(u8, u16),
    Chmod(u8, u8),
    Rename(u8, u8),
    Remove(u8),
    Directory(u8),
    Link(u8, u8),
    Symlink(u8, u8),
    Attribute(u8, u8),
}

fn step() -> impl Strategy<Value = Step> {
    let n = || 0u8..24;
    prop_oneof![
        3 => (n(), any::<u8>(), 0u16..9000).prop_map(|(a, b, c)| Step::Write(a, b, c)),
        1 => (n(), any::<u8>()).prop_map(|(a, b)| Step::Overwrite(a, b)),
        1 => n().prop_map(Step::Append),
        1 => (n(), 0u16..9000).prop_map(|(a, b)| Step::Truncate(a, b)),
        1 => (n(), any::<u8>()).prop_map(|(a, b)| Step::Chmod(a, b)),
        4 => (n(), n()).prop_map(|(a, b)| Step::Rename(a, b)),
        2 => n().prop_map(Step::Remove),
        2 => n().prop_map(Step::Directory),
        2 => (n(), n()).prop_map(|(a, b)| Step::Link(a, b)),
        1 => (n(), n()).prop_map(|(a, b)| Step::Symlink(a, b)),
        1 => (n(), any::<u8>()).prop_map(|(a, b)| Step::Attribute(a, b)),
    ]
}

/// A few paths, so that steps meet: `a`, `a/b`, `a/b/c`.
fn path(root: &Path, number: u8) -> PathBuf {
    let names = ["a", "b", "c"];
    let mut path = root.join(names[usize::from(number % 3)]);
    for level in 0..number / 3 % 3 {
        path.push(names[usize::from((number / (3 + level)) % 3)]);
    }
    path
}

/// Does a step, if it can be done.
fn take(root: &Path, step: &Step) {
    let at = |number: &u8| path(root, *number);
    let _ = match step {
        Step::Write(to, byte, len) => fs::write(at(to), vec![*byte; usize::from(*len)]),
        Step::Overwrite(to, byte) => File::options()
            .write(true)
            .open(at(to))
            .and_then(|file| file.write_all_at(&[*byte], 100)),
        Step::Append(to) => File::options()
            .append(true)
            .open(at(to))
            .and_then(|mut file| std::io::Write::write_all(&mut file, b"more")),
        Step::Truncate(to, len) => {
            File::options().write(true).open(at(to)).and_then(|file| file.set_len((*len).into()))
        }
        Step::Chmod(to, mode) => fs::symlink_metadata(at(to)).and_then(|meta| {
            if meta.is_symlink() {
                return Ok(());
            }
            fs::set_permissions(at(to), fs::Permissions::from_mode(0o700 | (u32::from(*mode) % 64)))
        }),
        Step::Rename(from, to) => fs::rename(at(from), at(to)),
        Step::Remove(from) => fs::remove_file(at(from)).or_else(|_| fs::remove_dir_all(at(from))),
        Step::Directory(to) => fs::create_dir(at(to)),
        Step::Link(from, to) => fs::hard_link(at(from), at(to)),
        Step::Symlink(from, to) => symlink(at(from), at(to)),
        Step::Attribute(to, byte) => {
            rustix::fs::lsetxattr(at(to), "user.x", &[*byte], rustix::fs::XattrFlags::empty())
                .map_err(Into::into)
        }
    };
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(25))]

    #[test]
    fn a_refresh_equals_a_fresh_import(
        first in prop::collection::vec(step(), 0..30),
        rounds in prop::collection::vec(prop::collection::vec(step(), 0..12), 1..4),
    ) {
        let lab = Lab::new();
        first.iter().for_each(|step| take(lab.host.path(), step));
        let branch = lab.import("main");
        for steps in rounds {
            std::thread::sleep(SETTLED);
            steps.iter().for_each(|step| take(lab.host.path(), step));
            lab.refresh(&branch).unwrap();
            lab.assert_fresh(&branch);
        }
    }
}
