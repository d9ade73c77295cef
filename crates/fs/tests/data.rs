//! Data of files: holes, ranges, sizes, sharing and what a change does to attributes.

mod tree;

use std::time::Duration;

use tine_fs::{Fallocate, Ino, ROOT, Seek, SetAttr, SetTime, Time, XattrMode};
use tree::{ME, Tree, at, bytes, dir, errno, file, tree};

const MIB: usize = 1 << 20;

fn blocks(t: &Tree, ino: Ino) -> u64 {
    let attr = t.getattr(ino).unwrap();
    assert_eq!(attr.blocks_512 % 8, 0);
    attr.blocks_512 / 8
}

fn truncate(t: &Tree, ino: Ino, size: u64) {
    t.setattr(ino, &SetAttr { size: Some(size), ..SetAttr::default() }).unwrap();
}

fn sound(t: &Tree) {
    let findings = tine_fs::check(&t.fs.branch().read().unwrap()).unwrap();
    assert!(findings.is_empty(), "{findings:?}");
}

#[test]
fn a_write_larger_than_a_stage_is_whole() {
    let t = tree();
    let data: Vec<u8> = (0..3 * MIB + 5).map(|i| (i / 4096 + i) as u8).collect();
    let ino = file(&t, "f", b"");
    assert_eq!(t.write(ino, 3, &data, false).unwrap(), data.len());
    let all = bytes(&t, ino);
    assert!(all[3..] == data[..] && all[..3] == [0, 0, 0]);
    assert_eq!(blocks(&t, ino), 769);
}

#[test]
fn what_was_never_written_is_a_hole_and_reads_as_zeros() {
    let t = tree();
    let ino = file(&t, "f", b"head");
    t.write(ino, 40 * 4096 + 1, b"tail", false).unwrap();
    assert_eq!(blocks(&t, ino), 2);
    assert_eq!(t.seek(ino, 0, Seek::Data).unwrap(), 0);
    assert_eq!(t.seek(ino, 2, Seek::Hole).unwrap(), 4096);
    assert_eq!(t.seek(ino, 5000, Seek::Hole).unwrap(), 5000);
    assert_eq!(t.seek(ino, 5000, Seek::Data).unwrap(), 40 * 4096);
    assert_eq!(t.seek(ino, 40 * 4096, Seek::Hole).unwrap(), 40 * 4096 + 5);
    assert_eq!(errno(t.seek(ino, 40 * 4096 + 5, Seek::Data)), libc::ENXIO);
    truncate(&t, ino, 1 << 40);
    assert_eq!(errno(t.seek(ino, 41 * 4096, Seek::Data)), libc::ENXIO);
    let mut buf = [1; 10];
    assert_eq!(t.read(ino, 1 << 39, &mut buf).unwrap(), 10);
    assert_eq!(buf, [0; 10]);
    assert_eq!(t.read(ino, (1 << 40) - 3, &mut buf).unwrap(), 3);
    assert_eq!(t.read(ino, 1 << 40, &mut buf).unwrap(), 0);
}

#[test]
fn bytes_cut_off_do_not_come_back() {
    let t = tree();
    let ino = file(&t, "f", &[7; 3 * 4096]);
    truncate(&t, ino, 4096 + 10);
    assert_eq!(blocks(&t, ino), 2);
    truncate(&t, ino, 3 * 4096);
    let all = bytes(&t, ino);
    assert!(all[..4106].iter().all(|b| *b == 7) && all[4106..].iter().all(|b| *b == 0));
    truncate(&t, ino, 0);
    assert_eq!(blocks(&t, ino), 0);
    sound(&t);
}

#[test]
fn a_punched_range_is_zero_to_the_byte_and_free_to_the_block() {
    let t = tree();
    let ino = file(&t, "f", &[7; 5 * 4096]);
    t.fallocate(ino, Fallocate::PunchHole, 4000..4000 + 2 * 4096).unwrap();
    let all = bytes(&t, ino);
    assert!((0..all.len()).all(|i| (all[i] == 0) == (4000..4000 + 8192).contains(&i)));
    assert_eq!((all.len(), blocks(&t, ino)), (5 * 4096, 4));
    t.fallocate(ino, Fallocate::PunchHole, 4 * 4096 + 1..1 << 30).unwrap();
    t.fallocate(ino, Fallocate::PunchHole, 3 * 4096..1 << 30).unwrap();
    assert_eq!((bytes(&t, ino).len(), blocks(&t, ino)), (5 * 4096, 2));
    t.fallocate(ino, Fallocate::PunchHole, 0..1 << 30).unwrap();
    assert_eq!(blocks(&t, ino), 0);
    sound(&t);
}

#[test]
fn only_an_allocation_that_may_grow_the_file_grows_it() {
    let t = tree();
    let ino = file(&t, "f", b"x");
    for (what, size) in [
        (Fallocate::Allocate { keep_size: true }, 1),
        (Fallocate::ZeroRange { keep_size: true }, 1),
        (Fallocate::Allocate { keep_size: false }, 5000),
        (Fallocate::ZeroRange { keep_size: false }, 5000),
    ] {
        t.fallocate(ino, what, 1..5000).unwrap();
        assert_eq!(t.getattr(ino).unwrap().size, size);
    }
    assert_eq!(bytes(&t, ino)[..2], [b'x', 0]);
    assert_eq!(errno(t.fallocate(ino, Fallocate::PunchHole, 0..0)), libc::EINVAL);
    assert_eq!(errno(t.fallocate(ino, Fallocate::PunchHole, 1..u64::MAX)), libc::EFBIG);
    assert_eq!(errno(Fallocate::of_flags(libc::FALLOC_FL_COLLAPSE_RANGE)), libc::EOPNOTSUPP);
    assert_eq!(errno(Fallocate::of_flags(libc::FALLOC_FL_INSERT_RANGE)), libc::EOPNOTSUPP);
    assert_eq!(errno(Fallocate::of_flags(libc::FALLOC_FL_PUNCH_HOLE)), libc::EOPNOTSUPP);
    let punch = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;
    assert_eq!(Fallocate::of_flags(punch).unwrap(), Fallocate::PunchHole);
}

#[test]
fn sizes_end_where_off_t_ends() {
    let t = tree();
    let ino = file(&t, "f", b"");
    let max = i64::MAX as u64;
    assert_eq!(errno(t.write(ino, max, b"x", false)), libc::EFBIG);
    assert_eq!(errno(t.write(ino, u64::MAX, b"x", false)), libc::EFBIG);
    let set = SetAttr { size: Some(max + 1), ..SetAttr::default() };
    assert_eq!(errno(t.setattr(ino, &set)), libc::EFBIG);
    t.write(ino, max - 1, b"x", false).unwrap();
    assert_eq!((t.getattr(ino).unwrap().size, blocks(&t, ino)), (max, 1));
    assert_eq!(t.seek(ino, 0, Seek::Data).unwrap(), max - max % 4096);
    sound(&t);
}

#[test]
fn only_regular_files_have_data() {
    let t = tree();
    let d = dir(&t, "d");
    let s = t.symlink(&ME, ROOT, b"s", b"x").unwrap().ino;
    assert_eq!(errno(t.read(d, 0, &mut [0])), libc::EISDIR);
    assert_eq!(errno(t.write(d, 0, b"x", false)), libc::EISDIR);
    assert_eq!(errno(t.write(s, 0, b"x", false)), libc::EINVAL);
    let set = SetAttr { size: Some(0), ..SetAttr::default() };
    assert_eq!(
        (errno(t.setattr(d, &set)), errno(t.setattr(s, &set))),
        (libc::EISDIR, libc::EINVAL)
    );
}

#[test]
fn a_copy_shares_whole_blocks_and_stays_apart() {
    let t = tree();
    let data: Vec<u8> = (0..10 * 4096 + 100).map(|i| (i / 4096 + i) as u8).collect();
    let a = file(&t, "a", &data);
    let b = file(&t, "b", b"");
    assert_eq!(t.copy_range(at(a, 0), at(b, 0), u64::MAX).unwrap(), data.len() as u64);
    assert!(bytes(&t, b) == data);
    t.write(b, 5 * 4096, b"changed", false).unwrap();
    assert!(bytes(&t, a) == data);
    assert_eq!(&bytes(&t, b)[5 * 4096..5 * 4096 + 7], b"changed");
    // Neither aligned, and not to the end: bytes are bytes.
    assert_eq!(t.copy_range(at(a, 10), at(b, 5000), 9000).unwrap(), 9000);
    assert_eq!(bytes(&t, b)[5000..14000], data[10..9010]);
    // Aligned alike, but not to blocks.
    assert_eq!(t.copy_range(at(a, 100), at(b, 4196), 3 * 4096).unwrap(), 3 * 4096);
    assert_eq!(bytes(&t, b)[4196..4196 + 3 * 4096], data[100..100 + 3 * 4096]);
    assert_eq!(t.copy_range(at(a, data.len() as u64), at(b, 0), 10).unwrap(), 0);
    assert_eq!(errno(t.copy_range(at(a, 0), at(a, 4096), 8192)), libc::EINVAL);
    sound(&t);
}

#[test]
fn a_copy_of_a_hole_is_a_hole() {
    let t = tree();
    let a = file(&t, "a", &[1; 4096]);
    truncate(&t, a, 100 * 4096);
    let b = file(&t, "b", &[2; 4 * 4096]);
    assert_eq!(t.copy_range(at(a, 0), at(b, 0), u64::MAX).unwrap(), 100 * 4096);
    assert_eq!((blocks(&t, b), bytes(&t, b) == bytes(&t, a)), (1, true));
    sound(&t);
}

#[test]
fn privileges_go_when_an_ordinary_caller_changes_the_file() {
    let t = tree();
    let ino = file(&t, "f", b"x");
    let mode = |mode| SetAttr { mode: Some(mode), ..SetAttr::default() };
    let arm = || {
        t.setattr(ino, &mode(0o6755)).unwrap();
        t.setxattr(ino, b"security.capability", b"caps", XattrMode::Any).unwrap();
    };
    let armed = || {
        let caps = t.getxattr(ino, b"security.capability").is_ok();
        (t.getattr(ino).unwrap().mode, caps)
    };
    arm();
    t.write(ino, 0, b"y", false).unwrap();
    assert_eq!(armed(), (0o6755, true));
    t.write(ino, 0, b"y", true).unwrap();
    assert_eq!(armed(), (0o755, false));
    arm();
    let size = SetAttr { size: Some(0), ..SetAttr::default() };
    t.setattr(ino, &size).unwrap();
    assert_eq!(armed(), (0o6755, true));
    t.setattr(ino, &SetAttr { kill_set_id: true, ..size }).unwrap();
    assert_eq!(armed(), (0o755, false));
    arm();
    t.setattr(ino, &SetAttr { uid: Some(5), ..SetAttr::default() }).unwrap();
    assert_eq!(armed(), (0o755, false));
    // Set-gid on a file that its group cannot execute is no privilege.
    t.setattr(ino, &mode(0o2644)).unwrap();
    t.setattr(ino, &SetAttr { gid: Some(5), ..SetAttr::default() }).unwrap();
    assert_eq!(armed(), (0o2644, false));
    let d = dir(&t, "d");
    t.setattr(d, &mode(0o6755)).unwrap();
    t.setattr(d, &SetAttr { uid: Some(5), ..SetAttr::default() }).unwrap();
    assert_eq!(t.getattr(d).unwrap().mode, 0o6755);
}

#[test]
fn times_are_kept_to_the_nanosecond_before_and_after_1970() {
    let t = tree();
    let ino = file(&t, "f", b"x");
    let (old, new) =
        (Time { secs: -1, nanos: 999_999_999 }, Time { secs: 1 << 40, nanos: 123_456_789 });
    let set = SetAttr {
        atime: Some(SetTime::At(old)),
        mtime: Some(SetTime::At(new)),
        ctime: Some(old),
        ..SetAttr::default()
    };
    let attr = t.setattr(ino, &set).unwrap();
    assert_eq!((attr.atime, attr.mtime, attr.ctime), (old, new, old));
    assert_eq!(t.getattr(ino).unwrap(), attr);
    let attr =
        t.setattr(ino, &SetAttr { atime: Some(SetTime::Now), ..SetAttr::default() }).unwrap();
    assert_eq!((attr.atime, attr.mtime), (attr.ctime, new));
    let before = attr.ctime;
    std::thread::sleep(Duration::from_millis(12));
    t.write(ino, 0, b"y", false).unwrap();
    let after = t.getattr(ino).unwrap();
    assert!(after.mtime > before && after.ctime == after.mtime && after.atime == before);
    assert!(after.crtime < after.ctime);
}

#[test]
fn attributes_are_set_together_and_the_rest_stays() {
    let t = tree();
    let ino = file(&t, "f", b"12345");
    let set = SetAttr { mode: Some(0o104711), uid: Some(1), size: Some(2), ..SetAttr::default() };
    let attr = t.setattr(ino, &set).unwrap();
    assert_eq!((attr.mode, attr.uid, attr.gid, attr.size), (0o4711, 1, 1000, 2));
    assert_eq!(bytes(&t, ino), b"12");
}

#[test]
fn writers_of_one_block_lose_nothing_of_each_other() {
    let t = tree();
    let ino = file(&t, "f", b"");
    std::thread::scope(|scope| {
        for thread in 0..4u64 {
            let fs = t.fs.clone();
            scope.spawn(move || {
                for i in 0..200u64 {
                    let at = (i * 4 + thread) * 5;
                    fs.write(ino, at, &[thread as u8 + 1; 5], false).unwrap();
                    let ino = file(&fs, &format!("{thread}-{i}"), b"data");
                    assert_eq!(bytes(&fs, ino), b"data");
                    fs.unlink(ROOT, format!("{thread}-{i}").as_bytes()).unwrap();
                }
            });
        }
    });
    let all = bytes(&t, ino);
    assert_eq!(all.len(), 4000);
    assert!(all.chunks(5).enumerate().all(|(i, chunk)| chunk == [(i % 4) as u8 + 1; 5]));
    sound(&t);
}
