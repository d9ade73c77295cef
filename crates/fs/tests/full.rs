//! A disk that runs full: clear errors, nothing lost, and work goes on once there is space.

mod tree;

use std::sync::Arc;

use tine_fs::{Fs, NewRoot, ROOT};
use tine_store::{MemoryDevice, Options, Store};
use tree::{ME, bytes, file, names, tree};

const MIB: usize = 1 << 20;

fn on_disk_of(bytes: usize) -> (Store, Fs) {
    let device = Arc::new(MemoryDevice::with_capacity(bytes as u64));
    let store = Store::create_on(device, &Options::default()).unwrap();
    let branch = store.create_branch("main").unwrap();
    Fs::format(&branch, &NewRoot { mode: 0o755, uid: 0, gid: 0 }).unwrap();
    let fs = Fs::open(&store, branch).unwrap();
    (store, fs)
}

fn sound(store: &Store, fs: &Fs) {
    let findings = tine_fs::check(&fs.branch().read().unwrap()).unwrap();
    assert!(findings.is_empty(), "{findings:?}");
    let report = store.check().unwrap();
    assert!(report.findings.is_empty(), "{:?}", report.findings);
}

/// Writes files of a MiB until one does not fit; says how many did.
fn fill(fs: &Fs) -> usize {
    for n in 0..10_000 {
        let name = format!("f{n}");
        let ino = match fs.create(&ME, ROOT, name.as_bytes(), 0o644) {
            Ok(attr) => attr.ino,
            Err(error) => {
                assert_eq!(error.errno(), libc::ENOSPC, "{error}");
                return n;
            }
        };
        if let Err(error) = fs.write(ino, 0, &vec![n as u8; MIB], false) {
            assert_eq!(error.errno(), libc::ENOSPC, "{error}");
            return n;
        }
    }
    panic!("the disk never ran full");
}

#[test]
fn a_full_disk_is_told_keeps_what_is_there_and_can_be_emptied() {
    let (store, fs) = on_disk_of(192 * MIB);
    let written = fill(&fs);
    assert!(written > 40, "only {written} MiB fit");
    for n in 0..written {
        let ino = fs.lookup(ROOT, format!("f{n}").as_bytes()).unwrap().ino;
        assert!(bytes(&fs, ino).iter().all(|byte| *byte == n as u8), "file {n}");
    }
    sound(&store, &fs);
    for name in names(&fs, ROOT) {
        fs.unlink(ROOT, name.as_bytes()).unwrap();
    }
    fs.sync().unwrap();
    store.checkpoint().unwrap();
    let again = fill(&fs);
    assert!(again + 8 >= written, "{written} MiB fit, then only {again}");
    sound(&store, &fs);
}

#[test]
fn a_copy_inside_a_branch_takes_no_space() {
    let t = tree();
    let ino = file(&t, "f", &vec![7; 8 * MIB]);
    t.sync().unwrap();
    let used = || t.store.usage().unwrap().data_bytes as usize;
    let before = used();
    for n in 0..8 {
        let copy = t.create(&ME, ROOT, format!("copy{n}").as_bytes(), 0o644).unwrap().ino;
        assert_eq!(t.copy_range(ino, 0, copy, 0, u64::MAX).unwrap(), 8 * MIB as u64);
    }
    t.sync().unwrap();
    assert!(used() < before + MIB, "{} bytes more", used() - before);
}
