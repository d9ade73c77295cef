//! Mounts that begin, fork and end.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use tine_fs::Fs;
use tine_fuse::{Device, Error, Mount, MountOptions, mount_at};

use crate::branch::Workshop;
use crate::{Test, tests};

pub const TESTS: &[Test] = tests!(lifetime:
    a_fork_has_what_was_flushed_and_nothing_later
    a_fork_goes_on_while_the_source_is_written
    forks_taken_under_many_busy_processes_are_whole_trees
    a_snapshot_refuses_writes
    a_read_only_mount_refuses_writes
    a_stopped_mount_answers_that_it_is_not_connected
    an_unmounted_branch_serves_files_that_are_still_open
    the_device_works_in_another_process
    a_mount_elsewhere_is_not_unmounted_from_here
    what_a_full_disk_refused_is_not_read_back_from_the_cache
);

pub fn a_fork_has_what_was_flushed_and_nothing_later() {
    let workshop = Workshop::new();
    let source = workshop.mount("main");
    source.sh("mkdir d; echo before > d/f; sync -f .");
    workshop.store.fork("main", "fork").unwrap();
    source.sh("echo after > d/f; touch d/new; sync -f .");
    let fork = workshop.mount("fork");
    assert_eq!(fork.sh("cat d/f; ls d"), "before\nf");
    fork.sh("echo fork > d/f; sync -f .");
    assert_eq!(source.sh("cat d/f; ls d"), "after\nf\nnew");
    fork.close();
    source.close();
}

pub fn a_fork_goes_on_while_the_source_is_written() {
    let workshop = Workshop::new();
    let source = workshop.mount("main");
    source.sh("for n in $(seq 50); do echo $n > f$n; done; sync -f .");
    for round in 0..5 {
        let name = format!("fork{round}");
        let before = source.sh(&format!("echo round{round} > mark; sync -f .; cat f7 mark"));
        workshop.store.fork("main", &name).unwrap();
        source.sh("for n in $(seq 50); do echo x$n >> f$n; done");
        let fork = workshop.mount(&name);
        assert_eq!(fork.sh("cat f7 mark"), before);
        fork.close();
    }
    source.close();
}

pub fn forks_taken_under_many_busy_processes_are_whole_trees() {
    const WORK: &str = r#"
        work() {
            RANDOM=$1
            for n in $(seq 150); do
                a=d$((RANDOM % 4)) b=d$((RANDOM % 4)) f=f$((RANDOM % 8)) g=f$((RANDOM % 8))
                case $((RANDOM % 8)) in
                    0|1) mkdir -p $a && head -c $((RANDOM * 3)) /dev/zero > $a/$f ;;
                    2) mv -f $a/$f $b/$g ;;
                    3) rm -f $a/$f ;;
                    4) ln -f $a/$f $b/$g ;;
                    5) echo $n >> $a/$f ;;
                    6) mkdir $a/s$1 && mv -T $a/s$1 $b/s$1 && rmdir $b/s$1 ;;
                    7) truncate -s $((RANDOM * 2)) $a/$f && cat $a/$f > /dev/null ;;
                esac
            done 2> /dev/null || true
        }
        set +e
        for worker in 1 2 3 4 5 6; do work $worker & done
        wait
    "#;
    let workshop = Workshop::new();
    let source = workshop.mount("main");
    let names = std::thread::scope(|scope| {
        let work = scope.spawn(|| source.sh(WORK));
        let mut names = Vec::new();
        while !work.is_finished() {
            names.push(format!("fork{}", names.len()));
            workshop.store.fork("main", names.last().unwrap()).unwrap();
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        work.join().unwrap();
        names
    });
    source.close();
    assert!(names.len() > 3, "the work was over too soon to fork it");
    for name in names.iter().map(String::as_str).chain(["main"]) {
        let fork = workshop.mount(name);
        fork.sh("find . -type f -exec cat {} + | wc -c");
        fork.close();
        let findings =
            tine_fs::check(&workshop.store.branch(name).unwrap().read().unwrap()).unwrap();
        assert!(findings.is_empty(), "{name}: {findings:?}");
    }
    let findings = workshop.store.check().unwrap().findings;
    assert!(findings.is_empty(), "{findings:?}");
}

pub fn a_snapshot_refuses_writes() {
    let workshop = Workshop::new();
    let mounted = workshop.mount("main");
    mounted.sh("echo kept > f");
    mounted.close();
    workshop.store.snapshot("main", "snap").unwrap();
    let snapshot = workshop.mount_with("snap", |options| options.read_only = true);
    assert_eq!(snapshot.sh("cat f"), "kept");
    let refused = File::create(snapshot.path("new")).unwrap_err();
    assert_eq!(Errno::from_io_error(&refused), Some(Errno::ROFS));
    snapshot.close();
}

pub fn a_read_only_mount_refuses_writes() {
    let workshop = Workshop::new();
    let mounted = workshop.mount("main");
    mounted.sh("echo kept > f; mkdir d; mkfifo p");
    mounted.close();
    let mounted = workshop.mount_with("main", |options| options.read_only = true);
    for change in [
        "echo x > f",
        "echo x > new",
        "truncate -s 1 f",
        "chmod 600 f",
        "chown $(id -u) f",
        "touch f",
        "ln f g",
        "ln -s f g",
        "mv f g",
        "rm -f f",
        "rmdir d",
        "mkdir e",
        "mkfifo q",
    ] {
        let output = mounted.try_sh(change);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            !output.status.success() && said.contains("Read-only file system"),
            "{change}: {said}"
        );
    }
    assert_eq!(mounted.sh("cat f; ls"), "kept\nd\nf\np");
    mounted.close();
}

pub fn a_stopped_mount_answers_that_it_is_not_connected() {
    let workshop = Workshop::new();
    let directory = workshop.aside().join("stopped");
    fs::create_dir(&directory).unwrap();
    let fs_ = Fs::open(&workshop.store, workshop.store.branch("main").unwrap()).unwrap();
    let options = MountOptions::new("test");
    let device = mount_at(&directory, &options).unwrap();
    let mount = Mount::start(fs_, device, Some(&directory), &options).unwrap();
    fs::write(directory.join("f"), b"x").unwrap();
    assert!(mount.is_alive());
    mount.stop();
    mount.join();
    let gone = fs::metadata(directory.join("other")).unwrap_err();
    assert_eq!(Errno::from_io_error(&gone), Some(Errno::NOTCONN));
    tine_sys::fuse_device::unmount(&directory).unwrap();
    assert_eq!(fs::read_dir(&directory).unwrap().count(), 0);
}

pub fn an_unmounted_branch_serves_files_that_are_still_open() {
    let workshop = Workshop::new();
    let directory = workshop.aside().join("lazy");
    fs::create_dir(&directory).unwrap();
    let fs_ = Fs::open(&workshop.store, workshop.store.branch("main").unwrap()).unwrap();
    let options = MountOptions::new("test");
    let device = mount_at(&directory, &options).unwrap();
    let mount = Mount::start(fs_, device, Some(&directory), &options).unwrap();
    let mut file = File::create(directory.join("f")).unwrap();
    mount.unmount().unwrap();
    file.write_all(b"after the unmount").unwrap();
    file.sync_all().unwrap();
    assert!(mount.is_alive());
    drop(file);
    mount.join();
    let mounted = workshop.mount("main");
    assert_eq!(mounted.sh("cat f"), "after the unmount");
    mounted.close();
}

pub fn the_device_works_in_another_process() {
    let workshop = Workshop::new();
    let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    let directory = workshop.aside().join("handed");
    fs::create_dir(&directory).unwrap();
    let options = MountOptions::new("test");
    let device = mount_at(&directory, &options).unwrap();
    tine_sys::descriptors::send(&ours, b"device", &[std::os::fd::AsFd::as_fd(&device.descriptor)])
        .unwrap();
    let negotiated = device.negotiated;
    drop(device);
    let mut received = tine_sys::descriptors::receive(&theirs, &mut [0; 8]).unwrap().descriptors;
    let carried = Device { descriptor: received.remove(0), negotiated };
    let fs_ = Fs::open(&workshop.store, workshop.store.branch("main").unwrap()).unwrap();
    let mount = Mount::start(fs_, carried, None, &options).unwrap();
    fs::write(directory.join("f"), b"served from afar").unwrap();
    assert_eq!(fs::read(directory.join("f")).unwrap(), b"served from afar");
    tine_sys::fuse_device::unmount(&directory).unwrap();
    mount.join();
}

pub fn a_mount_elsewhere_is_not_unmounted_from_here() {
    let workshop = Workshop::new();
    let directory = workshop.aside().join("elsewhere");
    fs::create_dir(&directory).unwrap();
    let options = MountOptions::new("test");
    let device = mount_at(&directory, &options).unwrap();
    let fs_ = Fs::open(&workshop.store, workshop.store.branch("main").unwrap()).unwrap();
    let mount = Mount::start(fs_, device, None, &options).unwrap();
    assert!(matches!(mount.unmount(), Err(Error::Elsewhere)));
    tine_sys::fuse_device::unmount(&directory).unwrap();
    mount.join();
}

/// The kernel keeps showing pages that it could not write back; a database that recovers would
/// build on them.
pub fn what_a_full_disk_refused_is_not_read_back_from_the_cache() {
    const MIB: usize = 1 << 20;
    let workshop = Workshop::on_disk_of(160 * MIB as u64);
    let mounted = workshop.mount("main");
    let path = mounted.path("file");
    let mut file = File::create(&path).unwrap();
    file.write_all(&vec![1; 16 * MIB]).unwrap();
    file.sync_all().unwrap();
    // A fork keeps what is overwritten: that makes no room.
    workshop.store.fork("main", "before").unwrap();
    let mut ballast = File::create(mounted.path("ballast")).unwrap();
    while workshop.store.room_bytes().unwrap() > 4 * MIB as u64 {
        ballast.write_all(&vec![2; MIB]).unwrap();
        ballast.sync_all().unwrap();
    }

    // There is some room as the write begins, so that the kernel takes all of it, and finds room
    // for a part only.
    assert_eq!(file.write_at(&vec![3; 16 * MIB], 0).unwrap(), 16 * MIB);
    let refused = file.sync_all().unwrap_err();
    assert_eq!(refused.raw_os_error(), Some(Errno::NOSPC.raw_os_error()));
    workshop.store.fork("main", "stored").unwrap();
    let stored = Fs::open(&workshop.store, workshop.store.branch("stored").unwrap()).unwrap();
    let ino = stored.lookup(tine_fs::ROOT, b"file").unwrap().ino;
    let mut on_disk = vec![0; 16 * MIB];
    for (n, chunk) in on_disk.chunks_mut(MIB).enumerate() {
        assert_eq!(stored.read(ino, (n * MIB) as u64, chunk).unwrap(), MIB);
    }
    assert!(on_disk.contains(&1), "there was space for all of it");
    assert!(on_disk.contains(&3), "nothing was written back before the disk was full");
    let deadline = Instant::now() + Duration::from_secs(20);
    while fs::read(&path).unwrap() != on_disk {
        assert!(Instant::now() < deadline, "the cache shows what the store has not");
        std::thread::sleep(Duration::from_millis(10));
    }
    drop((file, ballast));
    // What is left in the cache of the ballast is refused once more as it goes.
    drop(mounted);
}
