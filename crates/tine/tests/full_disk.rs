//! A disk that fills under a mount: writers get an error soon, removing always works, what `df`
//! shows can be written; and under a running database: an error, nothing acknowledged lost, and it
//! goes on.

mod lab;

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};

use lab::disk::SmallDisk;
use lab::outside::{BALANCED, Outside, pgbench, programs, query};
use lab::{Lab, can_mount, needs_root, object, wait_until};
use rustix::fs::{FallocateFlags, fallocate, statvfs};
use rustix::io::Errno;

const MIB: u64 = 1 << 20;

#[test]
fn a_disk_that_fills_under_a_server_loses_nothing_acknowledged_and_with_space_it_goes_on() {
    let test =
        "a_disk_that_fills_under_a_server_loses_nothing_acknowledged_and_with_space_it_goes_on";
    let Some(bin) = programs() else {
        println!("skipped: {test}: no PostgreSQL server is installed");
        return;
    };
    if !needs_root(test) || !can_mount(test) {
        return;
    }
    let lab = Lab::on_disk(|directory| SmallDisk::ext4(directory, 600));
    let outside = Outside::start(bin.clone(), &lab);
    lab.ok(&["postgres", "import", &outside.uri(), "main"]);
    drop(outside);
    lab.ok(&["branch", "fork"]);
    let uri = start(&lab);
    assert!(pgbench(&bin, &uri, &["-i", "-q", "-s", "1"]).wait().unwrap().success());
    query(&uri, "create table kept (n int primary key, filler text)");

    // In the middle of pgbench; large rows, so that it does not take long.
    let ballast = lab.disk().fill_up_to(40);
    let mut load = pgbench(&bin, &uri, &["-n", "-c", "2", "-T", "120"]);
    let mut acknowledged = BTreeSet::new();
    while insert(&uri, acknowledged.len()) {
        acknowledged.insert(acknowledged.len());
    }
    assert!(!load.wait().unwrap().success(), "pgbench did not notice");
    assert!(!acknowledged.is_empty(), "the disk was full before the test began");

    // In the middle of a checkpoint, the server's and the store's: both have to wait for space.
    assert_eq!(lab.json(&["check"])["findings"], serde_json::json!([]), "while the disk is full");
    lab.run(&["postgres", "stop", "fork"]);
    let refused = lab.run(&["postgres", "start", "fork", "--json"]);
    if refused.status != 0 {
        let error = object(&refused.out)["error"].clone();
        assert_eq!(error["code"], "no-space", "{refused:?}");
        assert!(error["hint"].as_str().unwrap().contains("free space"), "{refused:?}");
    }
    lab.run(&["postgres", "stop", "fork"]);

    ballast.remove();
    let uri = start(&lab);
    let found = query(&uri, "select n from kept");
    let found: BTreeSet<usize> = found.lines().map(|line| line.parse().unwrap()).collect();
    let lost: Vec<_> = acknowledged.difference(&found).collect();
    assert!(lost.is_empty(), "acknowledged and lost: {lost:?} of {}", acknowledged.len());
    assert_eq!(query(&uri, BALANCED), "t");
    assert!(insert(&uri, 1_000_000), "there is space, and it does not go on");
    assert!(pgbench(&bin, &uri, &["-n", "-t", "100"]).wait().unwrap().success());
    lab.ok(&["postgres", "stop", "fork"]);
    assert_eq!(lab.json(&["check"])["findings"], serde_json::json!([]));
}

/// A mount of an empty branch of a store on a small ext4.
fn small(test: &str, megabytes: u64) -> Option<(Lab, PathBuf)> {
    if !needs_root(test) || !can_mount(test) {
        return None;
    }
    let lab = Lab::on_disk(|directory| SmallDisk::ext4(directory, megabytes));
    let source = lab.make_directory("src");
    fs::write(source.join("note"), "as it was\n").unwrap();
    lab.ok(&["import", source.to_str().unwrap(), "main"]);
    let mount = lab.mount("main");
    Some((lab, mount))
}

/// Bytes that `df` tells to be free.
fn free_bytes(place: &Path) -> u64 {
    let told = statvfs(place).unwrap();
    told.f_bavail * told.f_frsize
}

fn is_full(error: &std::io::Error) -> bool {
    assert_eq!(error.kind(), ErrorKind::StorageFull, "{error}");
    true
}

/// Writes to a file until an error; counts the bytes that were accepted.
fn write_until_told(file: &mut File, piece: usize, accepted: &AtomicU64) {
    let bytes = vec![0x5a; piece];
    loop {
        match file.write(&bytes) {
            Ok(written) => accepted.fetch_add(written as u64, Ordering::Relaxed),
            Err(error) => {
                assert!(is_full(&error));
                return;
            }
        };
    }
}

fn open(path: &Path) -> File {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).unwrap()
}

#[test]
fn writers_are_told_soon_that_the_disk_is_full_and_only_they_and_write_on_once_there_is_space() {
    let test = "writers_are_told_soon_that_the_disk_is_full_and_only_they_and_write_on_once_there_is_space";
    let Some((lab, mount)) = small(test, 280) else { return };
    let before = free_bytes(&mount);
    assert!(before <= free_bytes(&lab.path("disk")), "the host has no more");
    let accepted = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for (n, piece) in [1 << 20, 64 << 10, 4096].into_iter().enumerate() {
            let (mount, accepted) = (&mount, &accepted);
            scope.spawn(move || {
                let mut file = open(&mount.join(format!("big{n}")));
                write_until_told(&mut file, piece, accepted);
            });
        }
    });
    let accepted = accepted.into_inner();
    assert!(accepted <= before + 64 * MIB, "{accepted} bytes accepted with {before} free");

    // What does not write goes on.
    let mut note = open(&mount.join("note"));
    let mut text = String::new();
    note.read_to_string(&mut text).unwrap();
    assert_eq!((text.as_str(), note.read(&mut [0; 10]).unwrap()), ("as it was\n", 0));
    assert_eq!(note.seek(SeekFrom::End(0)).unwrap(), 10);
    assert_eq!(fs::metadata(mount.join("note")).unwrap().size(), 10);
    assert_eq!(note.read(&mut [0; 10]).unwrap(), 0, "after stat too");
    assert_eq!(fs::read_dir(&mount).unwrap().count(), 4);
    // What writes gets the error at once, whichever file and however it was opened, after a stat as
    // before.
    let append =
        || OpenOptions::new().append(true).open(mount.join("note")).unwrap().write(b"more");
    assert!(append().is_err_and(|error| is_full(&error)));
    fs::metadata(mount.join("note")).unwrap();
    assert!(note.write(b"more").is_err_and(|error| is_full(&error)));
    let fresh = open(&mount.join("fresh"));
    assert_eq!(fallocate(&fresh, FallocateFlags::empty(), 0, 50 * MIB), Err(Errno::NOSPC));
    // The kernel learns that it has to ask for a new file when it knows it already.
    wait_until("a write to a new file is refused", || {
        (&fresh).write(b"new").is_err_and(|error| is_full(&error))
    });
    drop(fresh);

    lab.ok(&["branch", "fork"]);
    fs::remove_file(mount.join("big0")).unwrap();
    File::options().write(true).open(mount.join("big1")).unwrap().set_len(1000).unwrap();
    assert!(note.write(b"more").is_err_and(|error| is_full(&error)), "the fork keeps all of it");
    lab.ok(&["delete", "fork"]);
    note.seek(SeekFrom::Start(0)).unwrap();
    note.write_all(b"space!").unwrap();
    note.sync_all().unwrap();
    drop(note);
    fs::remove_file(mount.join("big2")).unwrap();
    // Of what is free inside the file a larger share is kept for nodes than of what has gone to the
    // host.
    wait_until("the space is back", || free_bytes(&mount) > before / 10 * 9);
    lab.ok(&["unmount", "main"]);
    assert_eq!(lab.json(&["check"])["findings"], serde_json::json!([]));
}

/// Makes directories until there is room for no more, each in one of those that are returned; at
/// least one.
/// A disk that is full before there is a store on it.
#[test]
fn what_does_not_fit_is_said_of_which_file_and_with_what_helps() {
    let test = "what_does_not_fit_is_said_of_which_file_and_with_what_helps";
    let Some((lab, _)) = small(test, 280) else { return };
    lab.ok(&["unmount", "main"]);
    let disk = lab.path("disk");
    let mut filler = open(&disk.join("filler"));
    write_until_told(&mut filler, 1 << 20, &AtomicU64::new(0));
    write_until_told(&mut filler, 1 << 12, &AtomicU64::new(0));
    let new = disk.join("new.tine");
    let new = new.to_str().unwrap();
    for words in [
        lab.fails(&["--store", new, "init"], "no-space"),
        lab.fails(&["check", "--repair-to", new], "no-space"),
    ] {
        assert!(words.contains(new) && !words.contains("delete branches"), "{words}");
        assert!(!Path::new(new).exists(), "{words}");
    }
    let large = lab.make_directory("large");
    drop(filler);
    std::fs::remove_file(disk.join("filler")).unwrap();
    std::fs::write(large.join("file"), vec![1; 300 << 20]).unwrap();
    let words = lab.fails(&["import", large.to_str().unwrap(), "large"], "no-space");
    assert!(words.contains(lab.store().to_str().unwrap()), "{words}");
    assert!(words.contains("delete branches"), "{words}");
}

fn make_directories_until_full(place: &Path) -> Vec<PathBuf> {
    /// A directory takes fewer than 65,000.
    const CHILDREN: usize = 1000;
    let mut parents = Vec::new();
    for n in 0.. {
        let parent = place.join(format!("new{n}"));
        let refused = match fs::create_dir(&parent) {
            Ok(()) => {
                parents.push(parent.clone());
                (0..CHILDREN).find_map(|n| fs::create_dir(parent.join(format!("{n}"))).err())
            }
            Err(error) => Some(error),
        };
        if refused.is_some_and(|error| is_full(&error)) {
            break;
        }
    }
    assert!(!parents.is_empty(), "no room was left for names");
    parents
}

#[test]
fn what_was_made_until_others_had_filled_the_host_can_be_removed_and_df_tells_what_can_be_written()
{
    let test = "what_was_made_until_others_had_filled_the_host_can_be_removed_and_df_tells_what_can_be_written";
    let Some((lab, mount)) = small(test, 280) else { return };
    // Written and removed, it is free once.
    let big = mount.join("big");
    fs::write(&big, vec![7; 150 * MIB as usize]).unwrap();
    File::open(&big).unwrap().sync_all().unwrap();
    fs::remove_file(&big).unwrap();
    for n in 0..2000 {
        fs::create_dir(mount.join(format!("old{n}"))).unwrap();
    }
    lab.ok(&["branch", "fork"]);
    let ballast = lab.disk().fill_up_to(1);
    let told = free_bytes(&mount);
    let note = mount.join("note");
    let mut file = open(&note);
    write_until_told(&mut file, 64 << 10, &AtomicU64::new(0));
    drop(file);
    let stored = fs::metadata(&note).unwrap().blocks() * 512;
    assert!(stored >= told, "{stored} of {told} bytes told to be free on a full host were stored");
    let parents = make_directories_until_full(&mount);
    for parent in parents {
        fs::remove_dir_all(parent).unwrap();
    }
    for n in (0..2000).rev() {
        fs::remove_dir(mount.join(format!("old{n}"))).unwrap();
    }
    fs::remove_file(note).unwrap();
    lab.ok(&["delete", "fork", "--now"]);
    ballast.remove();
    lab.ok(&["unmount", "main"]);
    let mount = lab.mount("main");
    let (told, host) = (free_bytes(&mount), free_bytes(&lab.path("disk")));
    // What was removed may be on its way to the host, and is counted in one place.
    let held = fs::metadata(lab.store()).unwrap().blocks() * 512;
    assert!(told > 200 * MIB, "{told} told, the host has {host}");
    assert!(told <= host + held, "{told} told, the host has {host}, and {held} are the store's");
    let written = AtomicU64::new(0);
    let mut file = open(&big);
    write_until_told(&mut file, 1 << 20, &written);
    assert!(written.into_inner() >= told);
    let stored = file.metadata().unwrap().blocks() * 512;
    assert!(stored >= told, "{stored} of {told} bytes told to be free were stored");
    drop(file);
    fs::remove_file(&big).unwrap();
    lab.ok(&["unmount", "main"]);
    assert_eq!(lab.json(&["check"])["findings"], serde_json::json!([]));
}

fn start(lab: &Lab) -> String {
    lab.json(&["postgres", "start", "fork"])["uri"].as_str().unwrap().to_owned()
}

/// Inserts a row of some 640 kB that cannot be compressed. Returns `true` if the server
/// acknowledged it.
fn insert(uri: &str, n: usize) -> bool {
    let filler = "string_agg(md5(random()::text), '') from generate_series(1, 20000)";
    let sql = format!("insert into kept select {n}, {filler}");
    let output = Command::new("psql").args(["-XAtq", "-c", &sql, uri]).output().unwrap();
    output.status.success()
}
