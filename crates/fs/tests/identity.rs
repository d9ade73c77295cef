//! Which file is which: numbers of inodes, and records of what files were on the host.

mod tree;

use std::collections::BTreeSet;

use tine_fs::{Change, Fs, HostRecord, Imported, Ino, Kind, ROOT, diff};
use tree::{ME, imported, tree};

fn sound(fs: &Fs) {
    assert_eq!(tine_fs::check(&fs.branch().read().unwrap()).unwrap(), []);
}

#[test]
fn four_forks_that_create_in_lockstep_give_no_number_twice() {
    let trunk = tree();
    trunk.create(&ME, ROOT, b"before", 0o600).unwrap();
    let forks = ["a", "b", "c", "d"].map(|name| trunk.fork(name));
    let mut numbers = BTreeSet::new();
    for step in 0..600 {
        for fs in forks.iter().chain([&*trunk]) {
            let name = format!("file{step}");
            let ino = fs.create(&ME, ROOT, name.as_bytes(), 0o600).unwrap().ino;
            assert!(numbers.insert(ino), "{ino} was given twice");
        }
    }
    // A branch that is put back gives no number again either.
    let last = numbers.last().copied().unwrap();
    drop(forks);
    trunk.store.reset("a", None).unwrap();
    let again = Fs::open(&trunk.store, trunk.store.branch("a").unwrap()).unwrap();
    assert!(again.create(&ME, ROOT, b"file0", 0o600).unwrap().ino > last);
    sound(&again);
}

#[test]
fn an_imported_file_keeps_its_number_and_times_where_the_number_is_free() {
    let fs = tree();
    let first = fs.import(ROOT, b"first", &imported(Kind::File, 77), b"").unwrap();
    assert_eq!(first, Ino::new(77));
    let attr = fs.getattr(first).unwrap();
    let record = imported(Kind::File, 77).record;
    assert_eq!((attr.mtime, attr.ctime), (record.mtime, record.ctime));
    assert_eq!((attr.mode, attr.uid, attr.gid), (0o640, 1, 2));
    // Another file system has a file of the same number, and one whose number is the root's here.
    for (name, number) in [(b"second", 77), (b"third!", 1), (b"fourth", 1 << 60)] {
        let other = fs.import(ROOT, name, &imported(Kind::Directory, number), b"").unwrap();
        assert!(other.get() >= 1 << 52, "{other}");
    }
    let txn = fs.branch().read().unwrap();
    assert_eq!(HostRecord::of(&txn, first).unwrap(), Some(record));
    assert_eq!(HostRecord::of(&txn, ROOT).unwrap(), None);
    sound(&fs);
    fs.unlink(ROOT, b"first").unwrap();
    assert_eq!(HostRecord::of(&fs.branch().read().unwrap(), first).unwrap(), None);
    sound(&fs);
}

#[test]
fn content_comes_with_the_file_and_zeros_are_holes() {
    let fs = tree();
    let mut content = vec![0; 5 * 4096 + 100];
    content[4096] = 1;
    content[5 * 4096 + 99] = 2;
    let mut file = imported(Kind::File, 5);
    file.size = content.len() as u64 + 10_000;
    file.xattrs =
        vec![(b"user.a".to_vec(), b"1".to_vec()), (b"security.capability".to_vec(), vec![1])];
    let ino = fs.import(ROOT, b"file", &file, &content).unwrap();
    let mut read = vec![9; content.len() + 20_000];
    let len = fs.read(ino, 0, &mut read).unwrap();
    assert_eq!(len, content.len() + 10_000);
    assert!(read[..content.len()] == content && read[content.len()..len].iter().all(|b| *b == 0));
    assert_eq!(fs.getattr(ino).unwrap().blocks_512, 2 * 8);
    assert_eq!(fs.getxattr(ino, b"user.a").unwrap(), b"1");
    let link = fs.import(ROOT, b"link", &imported(Kind::Symlink, 6), b"to/it").unwrap();
    assert_eq!(fs.readlink(link).unwrap(), b"to/it");
    sound(&fs);
    // A write by an ordinary caller takes the capability: it was noted.
    fs.write(ino, 0, b"x", true).unwrap();
    assert_eq!(fs.listxattr(ino).unwrap(), [b"user.a".to_vec()]);
    sound(&fs);
}

#[test]
fn attributes_that_changed_on_the_host_are_taken_over_and_the_time_of_reading_is_kept() {
    let fs = tree();
    let mut file = imported(Kind::File, 5);
    file.xattrs = vec![(b"user.a".to_vec(), b"1".to_vec()), (b"user.b".to_vec(), b"2".to_vec())];
    let ino = fs.import(ROOT, b"file", &file, b"").unwrap();
    let before = fs.branch().read().unwrap();
    // Only the time of its last change: a hard link was made elsewhere.
    file.record.ctime.secs += 1;
    file.atime.secs += 1;
    fs.set_imported(ino, &file).unwrap();
    let after = fs.branch().read().unwrap();
    assert_eq!(diff(&before, &after).unwrap(), []);
    assert_eq!(fs.getattr(ino).unwrap().ctime, file.record.ctime);
    file.mode = 0o600;
    file.xattrs = vec![(b"user.b".to_vec(), b"3".to_vec())];
    fs.set_imported(ino, &file).unwrap();
    assert_eq!(fs.getattr(ino).unwrap().mode, 0o600);
    assert_eq!(fs.listxattr(ino).unwrap(), [b"user.b".to_vec()]);
    assert_eq!(fs.getxattr(ino, b"user.b").unwrap(), b"3");
    let changes = diff(&before, &fs.branch().read().unwrap()).unwrap();
    assert!(matches!(changes[..], [tine_fs::PathChange { change: Change::Metadata, .. }]));
    file.kind = Kind::Directory;
    assert!(fs.set_imported(ino, &file).is_err(), "a file keeps its kind");
    sound(&fs);
}

#[test]
fn what_cannot_be_is_refused_and_nothing_is_made() {
    let fs = tree();
    let bad: [fn(&mut Imported); 6] = [
        |f| f.uid = u32::MAX,
        |f| f.mode = 0o10_000,
        |f| f.size = u64::MAX,
        |f| f.record.ctime.nanos = 1_000_000_000,
        |f| f.xattrs = vec![(b"weird".to_vec(), Vec::new())],
        |f| f.xattrs = vec![(b"user.a".to_vec(), vec![0; 65537])],
    ];
    for spoil in bad {
        let mut file = imported(Kind::File, 5);
        spoil(&mut file);
        assert!(fs.import(ROOT, b"file", &file, b"").is_err());
    }
    let file = imported(Kind::File, 5);
    assert!(fs.import(ROOT, b"a/b", &file, b"").is_err());
    assert!(fs.import(Ino::new(99), b"a", &file, b"").is_err());
    assert!(fs.import(ROOT, b"a", &imported(Kind::Symlink, 5), b"").is_err());
    assert_eq!(fs.getattr(ROOT).unwrap().size, 0);
    fs.import(ROOT, b"a", &file, b"").unwrap();
    assert!(fs.import(ROOT, b"a", &file, b"").is_err(), "the name is taken");
    sound(&fs);
}

#[test]
fn a_tree_of_version_1_opens_and_its_new_files_get_numbers_that_no_host_has() {
    let t = tree();
    let branch = t.store.fork("main", "old").unwrap();
    let header = branch.read().unwrap().get(b"f").unwrap().unwrap();
    let old = [&[1], &header[1..9], &4098u64.to_le_bytes()].concat();
    let mut txn = branch.write().unwrap();
    txn.put(b"f", &old).unwrap();
    txn.commit().unwrap();
    let fs = Fs::open(&t.store, branch).unwrap();
    sound(&fs);
    assert!(fs.create(&ME, ROOT, b"new", 0o600).unwrap().ino.get() >= 1 << 52);
    assert_eq!(fs.branch().read().unwrap().get(b"f").unwrap().unwrap(), header);
    sound(&fs);
}
