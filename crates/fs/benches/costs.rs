//! What the common operations cost without a kernel, in microseconds each: `cargo bench -p
//! tine-fs`.
//!
//! Nothing is made durable here, so the figures are the time of the processor in this crate and in
//! the store.

use std::time::Instant;

use tine_fs::{Caller, Fs, NewRoot, ROOT, RenameMode, SetAttr};
use tine_store::{Options, Store};

const FILES: u64 = 20_000;
const ME: Caller = Caller { uid: 0, gid: 0, umask: 0 };

fn name(i: u64) -> Vec<u8> {
    format!("file-{i}").into_bytes()
}

/// Runs an operation `FILES` times and prints what one costs.
fn row(what: &str, mut operation: impl FnMut(u64)) {
    let begin = Instant::now();
    (0..FILES).for_each(&mut operation);
    println!("{what:32} {:8.2} µs", begin.elapsed().as_secs_f64() * 1e6 / FILES as f64);
}

/// As random as the order of a benchmark need be.
fn scattered(i: u64) -> u64 {
    i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40
}

fn main() {
    let dir = std::env::temp_dir().join(format!("tine-fs-costs-{}", std::process::id()));
    std::fs::create_dir_all(&dir).expect("a temporary directory");
    let path = dir.join("store");
    {
        let store = Store::create(&path, &Options::default()).expect("a new store");
        let branch = store.create_branch("main").expect("a new branch");
        Fs::format(&branch, &NewRoot { mode: 0o755, uid: 0, gid: 0 }).expect("a new tree");
        let fs = Fs::open(&store, branch).expect("the new tree");
        small_files(&fs);
        a_difference(&store, &fs);
        one_large_file(&fs);
        fs.sync().expect("all of it durable");
    }
    std::fs::remove_dir_all(&dir).expect("the directory is ours");
}

fn small_files(fs: &Fs) {
    let top = fs.mkdir(&ME, ROOT, b"many", 0o755).expect("a directory").ino;
    let mut inos = Vec::new();
    row("create an empty file", |i| {
        inos.push(fs.create(&ME, top, &name(i), 0o644).expect("a file").ino);
    });
    row("write 1 KiB to a new file", |i| {
        fs.write(inos[i as usize], 0, &[7; 1024], false).expect("a write");
    });
    row("look up a name", |i| {
        fs.lookup(top, &name(scattered(i) % FILES)).expect("a name");
    });
    row("get attributes", |i| {
        fs.getattr(inos[(scattered(i) % FILES) as usize]).expect("attributes");
    });
    row("set a mode", |i| {
        let set = SetAttr { mode: Some(0o600), ..SetAttr::default() };
        fs.setattr(inos[i as usize], &set).expect("a mode");
    });
    let (mut position, mut listed) = (0, 0);
    let begin = Instant::now();
    loop {
        let before = position;
        fs.readdir_plus(top, position, &mut |entry, _| {
            position = entry.position;
            listed += 1;
            listed % 100 != 0
        })
        .expect("a listing");
        if position == before {
            break;
        }
    }
    let each = begin.elapsed().as_secs_f64() * 1e6 / f64::from(listed);
    println!("{:32} {each:8.2} µs", "list an entry with attributes");
    row("rename a file", |i| {
        let new = [&name(i)[..], b"-new"].concat();
        fs.rename(top, &name(i), top, &new, RenameMode::NoReplace).expect("a rename");
    });
    row("remove a small file", |i| {
        fs.unlink(top, &[&name(i)[..], b"-new"].concat()).expect("a removal");
    });
    row("create, write and remove one", |i| {
        let ino = fs.create(&ME, top, &name(i), 0o644).expect("a file").ino;
        fs.opened(ino);
        fs.write(ino, 0, &[7; 4096], false).expect("a write");
        fs.unlink(top, &name(i)).expect("a removal");
        fs.released(ino).expect("a release");
    });
}

/// Five files of many, changed in a fork.
fn a_difference(store: &Store, fs: &Fs) {
    let top = fs.mkdir(&ME, ROOT, b"compared", 0o755).expect("a directory").ino;
    for i in 0..FILES {
        let ino = fs.create(&ME, top, &name(i), 0o644).expect("a file").ino;
        fs.write(ino, 0, &[7; 1024], false).expect("a write");
    }
    let new = store.fork("main", "new").expect("a fork");
    let new = Fs::open(store, new).expect("a tree");
    for i in 0..5 {
        let ino = new.lookup(top, &name(i * FILES / 5)).expect("a name").ino;
        new.write(ino, 0, &[8; 1024], false).expect("a write");
    }
    let before = fs.branch().read().expect("a snapshot");
    let after = new.branch().read().expect("a snapshot");
    let begin = Instant::now();
    let changes = tine_fs::diff(&before, &after).expect("a difference");
    let micros = begin.elapsed().as_secs_f64() * 1e6;
    println!("{:32} {micros:8.2} µs", format!("compare: {} of {FILES} files", changes.len()));
}

fn one_large_file(fs: &Fs) {
    let ino = fs.create(&ME, ROOT, b"large", 0o644).expect("a file").ino;
    let mib = vec![7; 1 << 20];
    let begin = Instant::now();
    for i in 0..256 {
        fs.write(ino, i << 20, &mib, false).expect("a write");
    }
    println!(
        "{:32} {:8.2} µs",
        "write 1 MiB in order",
        begin.elapsed().as_secs_f64() * 1e6 / 256.0
    );
    let block = |i| scattered(i) % 65536 * 4096;
    row("overwrite 4 KiB at random", |i| {
        fs.write(ino, block(i), &[8; 4096], false).expect("a write");
    });
    row("overwrite 100 bytes at random", |i| {
        fs.write(ino, block(i) + 50, &[9; 100], false).expect("a write");
    });
    let mut buf = [0; 4096];
    row("read 4 KiB at random", |i| {
        fs.read(ino, block(i), &mut buf).expect("a read");
    });
}
