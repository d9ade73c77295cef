//! What single programs see: data, names, attributes, holes.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::Path;

use rustix::fs::{
    AtFlags, CWD, FallocateFlags, Mode, OFlags, RenameFlags, Timespec, Timestamps, XattrFlags,
};
use tine_fs::{ROOT, SetAttr};
use tine_sys::ids::{Ids, Range};

use crate::branch::Workshop;
use crate::{Test, tests};

pub const TESTS: &[Test] = tests!(files:
    what_is_written_is_there_after_a_remount
    an_unlinked_file_lives_until_it_is_closed
    a_file_without_a_name_can_be_given_one
    a_write_by_another_user_clears_the_set_id_bits
    times_before_1970_and_nanoseconds_are_kept
    data_and_holes_are_found_although_nothing_has_been_written_back
    holes_are_found_and_punched
    renames_exchange_and_refuse_as_asked
    a_copy_inside_the_branch_has_the_same_bytes
    listing_survives_removal_on_the_way
    extended_attributes_come_back
    access_lists_are_kept_inherited_and_enforced
    a_group_that_a_namespace_lacks_is_shown_as_its_own_and_kept
    a_lock_keeps_a_second_process_out
    links_count_and_lead_to_the_same_file
    special_files_keep_their_kind
    reading_does_not_move_the_access_time
    a_long_symbolic_link_comes_back_whole
    space_and_limits_are_told
    a_file_takes_sixty_five_thousand_names_and_no_more
    direct_and_cached_access_see_the_same_bytes
);

pub fn what_is_written_is_there_after_a_remount() {
    let workshop = Workshop::new();
    let pattern: Vec<u8> = (0..3_000_017u32).map(|n| (n % 251) as u8).collect();
    let mounted = workshop.mount("main");
    fs::create_dir_all(mounted.path("a/b")).unwrap();
    fs::write(mounted.path("a/b/pattern"), &pattern).unwrap();
    fs::write(mounted.path("a/empty"), b"").unwrap();
    fs::set_permissions(mounted.path("a/empty"), fs::Permissions::from_mode(0o640)).unwrap();
    mounted.close();
    let mounted = workshop.mount("main");
    assert!(fs::read(mounted.path("a/b/pattern")).unwrap() == pattern);
    let empty = fs::metadata(mounted.path("a/empty")).unwrap();
    assert_eq!((empty.len(), empty.mode() & 0o7777), (0, 0o640));
    assert_eq!(mounted.sh("find . | sort | tr '\\n' ' '"), ". ./a ./a/b ./a/b/pattern ./a/empty");
    mounted.close();
}

pub fn an_unlinked_file_lives_until_it_is_closed() {
    let workshop = Workshop::new();
    let mounted = workshop.mount("main");
    let path = mounted.path("doomed");
    let mut file = OpenOptions::new().read(true).write(true).create_new(true).open(&path).unwrap();
    file.write_all(b"before").unwrap();
    fs::remove_file(&path).unwrap();
    file.write_all(b" and after").unwrap();
    file.sync_all().unwrap();
    assert_eq!(file.metadata().unwrap().nlink(), 0);
    // What the kernel has cached must not be what answers.
    rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).unwrap();
    let mut text = String::new();
    file.seek(SeekFrom::Start(0)).unwrap();
    file.read_to_string(&mut text).unwrap();
    assert_eq!(text, "before and after");
    assert!(!path.exists());
    drop(file);
    mounted.close();
}

pub fn a_file_without_a_name_can_be_given_one() {
    let workshop = Workshop::new();
    let mounted = workshop.mount("main");
    let flags = OFlags::RDWR | OFlags::TMPFILE;
    let open = || rustix::fs::open(mounted.path("."), flags, Mode::from_raw_mode(0o600)).unwrap();
    let (kept, dropped) = (open(), open());
    rustix::io::write(&kept, b"kept").unwrap();
    rustix::io::write(&dropped, b"dropped").unwrap();
    let name = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&kept));
    rustix::fs::linkat(CWD, name, CWD, mounted.path("kept"), AtFlags::SYMLINK_FOLLOW).unwrap();
    drop((kept, dropped));
    mounted.close();
    let mounted = workshop.mount("main");
    assert_eq!(fs::read(mounted.path("kept")).unwrap(), b"kept");
    assert_eq!(fs::read_dir(mounted.path(".")).unwrap().count(), 1);
    mounted.close();
}

pub fn a_write_by_another_user_clears_the_set_id_bits() -> Result<(), String> {
    if !rustix::process::geteuid().is_root() {
        return Err("only root can act as another user".to_owned());
    }
    let workshop = Workshop::new();
    let mounted = workshop.mount("main");
    mounted.sh("chmod 755 . && echo old > f && chmod 6777 f && echo more >> f");
    let mode = || mounted.sh("stat -c %a f");
    assert_eq!(mode(), "6777", "root may keep them");
    mounted.sh("chmod o+rx ../.. ../../.. && setpriv --reuid=1 --regid=1 --clear-groups bash -c 'echo x >> f'");
    assert_eq!(mode(), "777", "a write clears them");
    mounted.sh("chmod 6777 f && setpriv --reuid=1 --regid=1 --clear-groups truncate -s 1 f");
    assert_eq!(mode(), "777", "a change of size clears them");
    mounted.sh("chmod 6777 f && setpriv --reuid=1 --regid=1 --clear-groups fallocate -l 5 f");
    assert_eq!(mode(), "777", "fallocate clears them");
    mounted.sh("echo bytes > g && chmod 6767 f && chmod 644 g");
    mounted.sh(&format!(
        "setpriv --reuid=1 --regid=1 --clear-groups perl -e '
            open my $from, \"<\", \"g\" or die; open my $to, \"+<\", \"f\" or die;
            syscall({}, fileno $from, 0, fileno $to, 0, 5, 0) == 5 or die \"$!\"'",
        libc::SYS_copy_file_range
    ));
    assert_eq!(mode(), "2767", "a copy clears them, but not set-gid without execution");
    mounted.sh("chmod 6777 f && chown 1:1 f");
    assert_eq!(mode(), "777", "a change of owner clears them, even by root");
    mounted.close();
    Ok(())
}

pub fn times_before_1970_and_nanoseconds_are_kept() {
    let workshop = Workshop::new();
    let mounted = workshop.mount("main");
    let file = File::create(mounted.path("old")).unwrap();
    let times = Timestamps {
        last_access: Timespec { tv_sec: -2, tv_nsec: 500_000_000 },
        last_modification: Timespec { tv_sec: -1_000_000_000, tv_nsec: 1 },
    };
    rustix::fs::futimens(&file, &times).unwrap();
    drop(file);
    mounted.close();
    let mounted = workshop.mount("main");
    let old = fs::metadata(mounted.path("old")).unwrap();
    assert_eq!((old.atime(), old.atime_nsec()), (-2, 500_000_000));
    assert_eq!((old.mtime(), old.mtime_nsec()), (-1_000_000_000, 1));
    assert!(old.created().unwrap().elapsed().unwrap().as_secs() < 3600);
    mounted.close();
}

pub fn data_and_holes_are_found_although_nothing_has_been_written_back() {
    const MIB: u64 = 1 << 20;
    let workshop = Workshop::new();
    let mounted = workshop.mount("main");
    let make = |name: &str| {
        let path = mounted.path(name);
        File::options().read(true).write(true).create_new(true).open(path).unwrap()
    };
    let file = make("fresh");
    let find = |place| rustix::fs::seek(&file, place);
    assert_eq!(find(rustix::fs::SeekFrom::Data(0)), Err(rustix::io::Errno::NXIO));
    file.write_all_at(&[7; 100_000], 0).unwrap();
    assert_eq!(find(rustix::fs::SeekFrom::Data(99_999)), Ok(99_999));
    assert_eq!(find(rustix::fs::SeekFrom::Hole(0)), Ok(100_000));
    file.set_len(8 * MIB).unwrap();
    file.write_all_at(b"middle", 4 * MIB).unwrap();
    assert_eq!(find(rustix::fs::SeekFrom::Data(MIB)), Ok(4 * MIB));
    // The hole that the store knows of has been filled up to other data, and beyond that.
    file.write_all_at(&vec![8; 4 * MIB as usize], MIB / 2).unwrap();
    file.write_all_at(b"end", 6 * MIB).unwrap();
    assert_eq!(find(rustix::fs::SeekFrom::Hole(MIB)), Ok(4 * MIB + MIB / 2));
    assert_eq!(find(rustix::fs::SeekFrom::Data(5 * MIB)), Ok(6 * MIB));

    // More programs at a time than the mount has threads.
    let files: Vec<File> = (0..24).map(|number| make(&format!("fresh-{number}"))).collect();
    std::thread::scope(|scope| {
        for file in &files {
            scope.spawn(move || {
                for round in 0..20 {
                    let at = round * MIB;
                    file.write_all_at(&[9; 40_000], at).unwrap();
                    assert_eq!(rustix::fs::seek(file, rustix::fs::SeekFrom::Data(at)), Ok(at));
                    let end = rustix::fs::seek(file, rustix::fs::SeekFrom::Hole(at));
                    assert!(end == Ok(at + 40_960) || end == Ok(at + 40_000), "{end:?}");
                }
            });
        }
    });
    drop((file, files));
    mounted.close();
}

pub fn holes_are_found_and_punched() {
    const MIB: u64 = 1 << 20;
    let workshop = Workshop::new();
    let mounted = workshop.mount("main");
    let file = File::options()
        .read(true)
        .write(true)
        .create_new(true)
        .open(mounted.path("holey"))
        .unwrap();
    file.write_all_at(&vec![7; MIB as usize], 0).unwrap();
    file.write_all_at(b"end", 8 * MIB).unwrap();
    file.sync_all().unwrap();
    let find = |place| rustix::fs::seek(&file, place).unwrap();
    assert_eq!(find(rustix::fs::SeekFrom::Hole(0)), MIB);
    assert_eq!(find(rustix::fs::SeekFrom::Data(MIB)), 8 * MIB);
    let punch = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    rustix::fs::fallocate(&file, punch, 0, MIB / 2).unwrap();
    assert_eq!(find(rustix::fs::SeekFrom::Data(0)), MIB / 2);
    let mut bytes = vec![1; MIB as usize];
    file.read_exact_at(&mut bytes, 0).unwrap();
    let (front, back) = bytes.split_at(MIB as usize / 2);
    assert!(front.iter().all(|&byte| byte == 0) && back.iter().all(|&byte| byte == 7));
    assert!(file.metadata().unwrap().blocks() * 512 < 2 * MIB);
    drop(file);
    mounted.close();
}

pub fn renames_exchange_and_refuse_as_asked() {
    let workshop = Workshop::new();
    let mounted = workshop.mount("main");
    mounted.sh("echo a > a; echo b > b; mkdir d");
    let rename = |old: &str, new: &str, flags| {
        rustix::fs::renameat_with(CWD, mounted.path(old), CWD, mounted.path(new), flags)
    };
    let refused = rename("a", "b", RenameFlags::NOREPLACE).unwrap_err();
    assert_eq!(refused, rustix::io::Errno::EXIST);
    rename("a", "b", RenameFlags::EXCHANGE).unwrap();
    assert_eq!(mounted.sh("cat a b"), "b\na");
    rename("a", "d", RenameFlags::EXCHANGE).unwrap();
    assert_eq!(mounted.sh("cat d; test -d a && rmdir a && ls"), "b\nb\nd");
    mounted.close();
}

pub fn a_copy_inside_the_branch_has_the_same_bytes() {
    let workshop = Workshop::new();
    let mounted = workshop.mount("main");
    let pattern: Vec<u8> = (0..5_000_000u32).map(|n| (n * 7 % 253) as u8).collect();
    fs::write(mounted.path("source"), &pattern).unwrap();
    let source = File::open(mounted.path("source")).unwrap();
    let target = File::options()
        .read(true)
        .write(true)
        .create_new(true)
        .open(mounted.path("target"))
        .unwrap();
    let (mut from, mut to) = (0u64, 0u64);
    while from < pattern.len() as u64 {
        let count = rustix::fs::copy_file_range(
            &source,
            Some(&mut from),
            &target,
            Some(&mut to),
            2_000_003,
        )
        .unwrap();
        assert!(count > 0);
    }
    assert!(fs::read(mounted.path("target")).unwrap() == pattern);
    target.write_all_at(b"changed", 4096).unwrap();
    drop((source, target));
    assert!(fs::read(mounted.path("source")).unwrap() == pattern);
    mounted.close();
}

pub fn listing_survives_removal_on_the_way() {
    let workshop = Workshop::new();
    let mounted = workshop.mount("main");
    mounted.sh("mkdir many && cd many && seq 3000 | xargs touch");
    let mut seen = 0;
    for entry in fs::read_dir(mounted.path("many")).unwrap() {
        fs::remove_file(entry.unwrap().path()).unwrap();
        seen += 1;
    }
    assert_eq!(seen, 3000);
    fs::remove_dir(mounted.path("many")).unwrap();
    mounted.close();
}

pub fn extended_attributes_come_back() {
    let workshop = Workshop::new();
    let mounted = workshop.mount("main");
    let path = mounted.path("file");
    fs::write(&path, b"x").unwrap();
    let large = vec![b'v'; 60_000];
    rustix::fs::setxattr(&path, "user.small", b"value", XattrFlags::CREATE).unwrap();
    rustix::fs::setxattr(&path, "user.large", &large, XattrFlags::empty()).unwrap();
    let again = rustix::fs::setxattr(&path, "user.small", b"", XattrFlags::CREATE).unwrap_err();
    assert_eq!(again, rustix::io::Errno::EXIST);
    mounted.close();
    let mounted = workshop.mount("main");
    let path = mounted.path("file");
    let mut value = vec![0; 65536];
    let length = rustix::fs::getxattr(&path, "user.large", &mut value[..]).unwrap();
    assert!(value[..length] == large);
    let length = rustix::fs::listxattr(&path, &mut value[..]).unwrap();
    let mut names: Vec<&[u8]> = value[..length - 1].split(|&byte| byte == 0).collect();
    names.sort();
    assert_eq!(names, [&b"user.large"[..], b"user.small"]);
    rustix::fs::removexattr(&path, "user.small").unwrap();
    let gone = rustix::fs::getxattr(&path, "user.small", &mut value[..]).unwrap_err();
    assert_eq!(gone, rustix::io::Errno::NODATA);
    mounted.close();
}

pub fn a_lock_keeps_a_second_process_out() {
    let workshop = Workshop::new();
    let mounted = workshop.mount("main");
    let file = File::create(mounted.path("lock")).unwrap();
    rustix::fs::flock(&file, rustix::fs::FlockOperation::LockExclusive).unwrap();
    assert_eq!(mounted.sh("flock --nonblock lock true || echo busy"), "busy");
    rustix::fs::flock(file.as_fd(), rustix::fs::FlockOperation::Unlock).unwrap();
    assert_eq!(mounted.sh("flock --nonblock lock echo free"), "free");
    drop(file);
    mounted.close();
}

pub fn links_count_and_lead_to_the_same_file() {
    let workshop = Workshop::new();
    let mounted = workshop.mount("main");
    mounted.sh("mkdir d; echo one > a; ln a d/b; echo two >> d/b");
    assert_eq!(
        mounted.sh("cat a; stat -c %h a; rm a; stat -c %h d/b; cat d/b"),
        "one\ntwo\n2\n1\none\ntwo"
    );
    assert_eq!(mounted.sh("stat -c %h ."), "3");
    mounted.close();
}

pub fn special_files_keep_their_kind() {
    let workshop = Workshop::new();
    let mounted = workshop.mount("main");
    mounted.sh("mkfifo pipe; (echo through > pipe &) ; test \"$(cat pipe)\" = through");
    let socket = std::os::unix::net::UnixListener::bind(mounted.path("s")).unwrap();
    std::os::unix::net::UnixStream::connect(mounted.path("s")).unwrap();
    drop(socket);
    let root = rustix::process::geteuid().is_root();
    if root {
        mounted.sh("mknod device c 300 70000");
    }
    mounted.close();
    let mounted = workshop.mount("main");
    assert_eq!(mounted.sh("stat -c %F pipe s"), "fifo\nsocket");
    if root {
        assert_eq!(mounted.sh("stat -c '%F %t %T' device"), "character special file 12c 11170");
    }
    mounted.close();
}

pub fn reading_does_not_move_the_access_time() {
    let workshop = Workshop::new();
    let mounted = workshop.mount("main");
    mounted.sh("echo x > f; touch -a -d '2001-02-03 04:05:06.789' f");
    assert_eq!(mounted.sh("cat f > /dev/null; date -u -d @$(stat -c %X f) +%Y"), "2001");
    mounted.close();
}

pub fn a_long_symbolic_link_comes_back_whole() {
    let workshop = Workshop::new();
    let mounted = workshop.mount("main");
    let target = "t".repeat(4000);
    std::os::unix::fs::symlink(&target, mounted.path("link")).unwrap();
    mounted.close();
    let mounted = workshop.mount("main");
    assert_eq!(fs::read_link(mounted.path("link")).unwrap().to_str(), Some(&*target));
    mounted.close();
}

pub fn space_and_limits_are_told() {
    let workshop = Workshop::new();
    let mounted = workshop.mount("main");
    let stat = rustix::fs::statvfs(mounted.path(".")).unwrap();
    assert_eq!((stat.f_frsize, stat.f_namemax), (4096, 255));
    assert!(stat.f_blocks >= stat.f_bfree);
    mounted.close();
}

pub fn a_file_takes_sixty_five_thousand_names_and_no_more() {
    let workshop = Workshop::new();
    let mounted = workshop.mount("main");
    let file = mounted.path("file");
    fs::write(&file, b"x").unwrap();
    fs::create_dir(mounted.path("names")).unwrap();
    for name in 1..65_000 {
        fs::hard_link(&file, mounted.path(&format!("names/{name}"))).unwrap();
    }
    let refused = fs::hard_link(&file, mounted.path("names/more")).unwrap_err();
    assert_eq!(rustix::io::Errno::from_io_error(&refused), Some(rustix::io::Errno::MLINK));
    assert_eq!(fs::metadata(&file).unwrap().nlink(), 65_000);
    mounted.close();
}

pub fn direct_and_cached_access_see_the_same_bytes() {
    let workshop = Workshop::new();
    let mounted = workshop.mount("main");
    mounted.sh(r#"
        head -c 3000000 /dev/urandom > cached
        dd if=cached of=direct bs=64k oflag=direct iflag=fullblock conv=notrunc status=none
        cmp cached direct
        dd if=direct bs=1M iflag=direct status=none | cmp - cached
        printf changed | dd of=cached conv=notrunc status=none
        dd if=cached bs=4096 count=1 iflag=direct status=none | head -c 7 | grep -qx changed
        "#);
    mounted.close();
}

/// `acl(5)` in the form of the attribute.
fn access_list(entries: &[(u8, u8, u16)]) -> Vec<u8> {
    let entry = |&(tag, rights, id): &(u8, u8, u16)| {
        let id = if tag == 2 { u32::from(id) } else { u32::MAX };
        [[tag, 0, rights, 0], id.to_le_bytes()].concat()
    };
    [vec![2, 0, 0, 0], entries.iter().flat_map(entry).collect()].concat()
}

pub fn access_lists_are_kept_inherited_and_enforced() {
    const ACCESS: &str = "system.posix_acl_access";
    let workshop = Workshop::new();
    let mounted = workshop.mount("main");
    let path = mounted.path("shared");
    std::fs::create_dir(&path).unwrap();
    std::fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
    // One more user gets in besides the owner, and no other. A user's own namespace has no other
    // user.
    let root = rustix::process::geteuid().is_root();
    let user = if root { 65533 } else { rustix::process::geteuid().as_raw() as u16 };
    let default = access_list(&[(1, 7, 0), (2, 7, user), (4, 0, 0), (0x10, 7, 0), (0x20, 0, 0)]);
    let set = |path: &Path, name: &str, value: &[u8]| {
        rustix::fs::setxattr(path, name, value, XattrFlags::empty())
    };
    set(&path, "system.posix_acl_default", &default).unwrap();
    let file = path.join("file");
    std::fs::write(&file, "for two").unwrap();
    let mode = |path: &Path| path.metadata().unwrap().mode() & 0o7777;
    assert_eq!(mode(&file), 0o660, "the mask of this process does not count");
    let mut buffer = [0; 256];
    let length = rustix::fs::getxattr(&file, ACCESS, &mut buffer).unwrap();
    let inherited = access_list(&[(1, 6, 0), (2, 7, user), (4, 0, 0), (0x10, 6, 0), (0x20, 0, 0)]);
    assert_eq!(buffer[..length], inherited);
    if root {
        let reads = |user: u32| {
            let mut cat = std::process::Command::new("setpriv");
            cat.args([&format!("--reuid={user}"), "--regid=65532", "--clear-groups", "cat"]);
            cat.arg(&file).output().unwrap().status.success()
        };
        assert!(reads(65533));
        assert!(!reads(65534));
        // The mask is the group's part of the mode.
        std::fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
        assert!(!reads(65533));
        std::fs::set_permissions(&file, Permissions::from_mode(0o640)).unwrap();
        assert!(reads(65533));
        set(&file, ACCESS, &access_list(&[(1, 6, 0), (4, 0, 0), (0x20, 4, 0)])).unwrap();
        assert_eq!(mode(&file), 0o604);
        assert!(reads(65534));
    }
    assert_eq!(set(&file, ACCESS, b"nonsense"), Err(rustix::io::Errno::OPNOTSUPP));
    mounted.close();
}

pub fn a_group_that_a_namespace_lacks_is_shown_as_its_own_and_kept() {
    const FOREIGN: u32 = 54_321;
    let workshop = Workshop::new();
    let mounted = workshop.mount("main");
    fs::write(mounted.path("file"), "text").unwrap();
    mounted.close();
    let tree = workshop.tree("main");
    let ino = tree.lookup(ROOT, b"file").unwrap().ino;
    tree.setattr(ino, &SetAttr { gid: Some(FOREIGN), ..SetAttr::default() }).unwrap();
    drop(tree);
    let own = rustix::process::getegid().as_raw();
    let mounted = workshop.mount_with("main", |options| {
        options.ids.groups = Ids::of(vec![Range { inside: own, outside: own, count: 1 }]);
    });
    assert_eq!(fs::read_dir(mounted.path("")).unwrap().count(), 1);
    assert_eq!(mounted.path("file").metadata().unwrap().gid(), own);
    fs::write(mounted.path("file"), "more text").unwrap();
    mounted.close();
    assert_eq!(workshop.tree("main").getattr(ino).unwrap().gid, FOREIGN);
}
