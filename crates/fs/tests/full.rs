//! A disk that runs full: clear errors, nothing lost, and work goes on once there is space.

mod tree;

use std::sync::Arc;

use tine_fs::{Fs, Ino, NewRoot, ROOT, SetAttr};
use tine_store::{Device, MemoryDevice, Options, Store};
use tree::{ME, at, bytes, errno, file, names, tree};

const MIB: usize = 1 << 20;

fn on_disk_of(bytes: usize) -> (Store, Fs) {
    let (_, store, fs) = on_device_of(bytes);
    (store, fs)
}

fn on_device_of(bytes: usize) -> (Arc<MemoryDevice>, Store, Fs) {
    let device = Arc::new(MemoryDevice::with_capacity(bytes as u64));
    let store = Store::create_on(device.clone(), &Options::default()).unwrap();
    let branch = store.create_branch("main").unwrap();
    Fs::format(&branch, &NewRoot { mode: 0o755, uid: 0, gid: 0 }).unwrap();
    let fs = Fs::open(&store, branch).unwrap();
    (device, store, fs)
}

/// Another program takes all that the host has left.
fn fill_host(device: &MemoryDevice) {
    device.set_capacity(Some(device.allocated_bytes().unwrap()));
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
        assert_eq!(t.copy_range(at(ino, 0), at(copy, 0), u64::MAX).unwrap(), 8 * MIB as u64);
    }
    t.sync().unwrap();
    assert!(used() < before + MIB, "{} bytes more", used() - before);
}

fn refused(what: &str, name: &str, error: tine_fs::Error) {
    panic!("{what} {name}: {error}");
}

/// Makes directories until there is no room for another. Returns how many.
fn fill_with_directories(fs: &Fs) -> usize {
    (0..).find(|n| fs.mkdir(&ME, ROOT, format!("d{n}").as_bytes(), 0o755).is_err()).unwrap()
}

#[test]
fn after_another_program_filled_the_host_all_that_could_be_made_can_be_removed() {
    let (device, store, fs) = on_device_of(256 * MIB);
    for n in 0..3000 {
        fs.mkdir(&ME, ROOT, format!("old{n}").as_bytes(), 0o755).unwrap();
    }
    fs.sync().unwrap();
    fill_host(&device);
    let made = fill_with_directories(&fs);
    assert_eq!(errno(fs.mkdir(&ME, ROOT, b"more", 0o755)), libc::ENOSPC);
    assert!(made > 100, "only {made} more");
    for name in names(&fs, ROOT) {
        fs.rmdir(ROOT, name.as_bytes()).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
    sound(&store, &fs);
    let again = fill_with_directories(&fs);
    assert!(again >= made, "{made} directories fit, and with space only {again}");
    sound(&store, &fs);
}

#[test]
fn what_a_fork_shares_can_be_removed_from_it_on_a_full_host() {
    let (device, store, fs) = on_device_of(256 * MIB);
    for n in 0..20_000 {
        fs.mkdir(&ME, ROOT, format!("old{n}").as_bytes(), 0o755).unwrap();
    }
    fs.sync().unwrap();
    store.checkpoint().unwrap();
    let fork = Fs::open(&store, store.fork("main", "fork").unwrap()).unwrap();
    fs.mkdir(&ME, ROOT, b"one more", 0o755).unwrap();
    fork.sync().unwrap();
    store.checkpoint().unwrap();
    fill_host(&device);
    for name in names(&fork, ROOT) {
        fork.rmdir(ROOT, name.as_bytes()).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
    assert_eq!(names(&fs, ROOT).len(), 20_001);
    sound(&store, &fork);
}

#[test]
fn files_are_removed_cut_and_punched_and_branches_made_while_writers_keep_the_disk_full() {
    let (_, store, fs) = on_device_of(64 * MIB);
    let files: Vec<Ino> = (0..24).map(|n| file(&fs, &format!("old{n}"), &[7; MIB])).collect();
    let big = fs.create(&ME, ROOT, b"big", 0o644).unwrap().ino;
    // As the kernel does that goes on writing back what programs had it take.
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        for writer in 0..3u64 {
            let (fs, stop) = (&fs, &stop);
            scope.spawn(move || {
                for n in 0.. {
                    if stop.load(std::sync::atomic::Ordering::Relaxed) {
                        return;
                    }
                    let offset = (n * 3 + writer) * MIB as u64;
                    if let Err(error) = fs.write(big, offset, &vec![1; MIB], false) {
                        assert_eq!(error.errno(), libc::ENOSPC, "{error}");
                    }
                }
            });
        }
        while fs.write(files[0], MIB as u64, &[1; MIB], false).is_ok() {}
        for (n, ino) in files.iter().enumerate() {
            let name = format!("old{n}");
            let fail = |what: &str, error| refused(what, &name, error);
            match n % 4 {
                0 => fs.unlink(ROOT, name.as_bytes()).unwrap_or_else(|e| fail("removing", e)),
                // Inside a block, which is to be kept in part.
                1 => {
                    let cut = SetAttr { size: Some(1000), ..SetAttr::default() };
                    fs.setattr(*ino, &cut).map(drop).unwrap_or_else(|e| fail("cutting", e))
                }
                2 => fs
                    .fallocate(*ino, tine_fs::Fallocate::PunchHole, 5000..505_000)
                    .unwrap_or_else(|e| fail("punching", e)),
                _ => {
                    let target = format!("old{}", n - 1);
                    fs.rename(
                        ROOT,
                        name.as_bytes(),
                        ROOT,
                        target.as_bytes(),
                        tine_fs::RenameMode::Replace,
                    )
                    .unwrap_or_else(|e| fail("renaming over another", e))
                }
            }
            drop(store.fork("main", &name).unwrap());
            store.delete(&name).unwrap();
            fs.statfs().unwrap();
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    fs.sync().unwrap();
    sound(&store, &fs);
}

/// Bytes that `statfs` says are free.
fn free(fs: &Fs) -> u64 {
    let stat = fs.statfs().unwrap();
    stat.blocks_free * u64::from(stat.block_bytes)
}

/// Writes one file until the disk is full; its bytes.
fn fill_one_file(fs: &Fs, name: &str) -> u64 {
    let ino = fs.create(&ME, ROOT, name.as_bytes(), 0o644).unwrap().ino;
    let mut bytes = 0;
    for step in [MIB, 64 << 10, 4096] {
        while fs.write(ino, bytes, &vec![5; step], false).is_ok() {
            bytes += step as u64;
        }
    }
    bytes
}

#[test]
fn what_is_told_to_be_free_can_be_written_whatever_happened_before() {
    let check = |fs: &Fs, name: &str| {
        let (told, written) = (free(fs), fill_one_file(fs, name));
        assert!(told <= written, "{name}: {told} bytes told, {written} written");
        assert!(
            told + told / 16 + 8 * MIB as u64 > written,
            "{name}: {told} told, {written} written"
        );
        assert!(free(fs) < MIB as u64, "{name}: full, and {} free", free(fs));
    };
    let (device, store, fs) = on_device_of(200 * MIB);
    check(&fs, "empty");
    fs.unlink(ROOT, b"empty").unwrap();
    check(&fs, "after a removal");
    fs.unlink(ROOT, b"after a removal").unwrap();
    fill_one_file(&fs, "half");
    fs.setattr(
        fs.lookup(ROOT, b"half").unwrap().ino,
        &SetAttr { size: Some(90 << 20), ..SetAttr::default() },
    )
    .unwrap();
    fs.sync().unwrap();
    let fork = Fs::open(&store, store.fork("main", "fork").unwrap()).unwrap();
    check(&fork, "in a fork");
    fork.unlink(ROOT, b"in a fork").unwrap();
    fork.sync().unwrap();
    // What is shared is not freed.
    fork.unlink(ROOT, b"half").unwrap();
    check(&fs, "beside a fork");
    fs.unlink(ROOT, b"beside a fork").unwrap();
    store.checkpoint().unwrap();
    fill_host(&device);
    check(&fs, "on a full host");
    drop((fs, fork));
    store.close().unwrap();
    device.set_capacity(Some(200 * MIB as u64));
    let store = Store::open_on(device, &Options::default()).unwrap();
    let fs = Fs::open(&store, store.branch("main").unwrap()).unwrap();
    fs.unlink(ROOT, b"on a full host").unwrap();
    check(&fs, "opened again");
}
