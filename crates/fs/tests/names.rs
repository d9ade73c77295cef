//! Names: making, linking, renaming and removing files.

mod tree;

use tine_fs::{Ino, Kind, ROOT, RenameMode, SetAttr};
use tree::{ME, attr, bytes, dir, errno, file, names, tree};

#[test]
fn a_file_is_found_by_every_name_until_the_last_is_removed() {
    let t = tree();
    let ino = file(&t, "one", b"data");
    let sub = dir(&t, "sub");
    assert_eq!(t.link(ino, sub, b"two").unwrap().nlink, 2);
    t.link(ino, ROOT, b"three").unwrap();
    t.unlink(ROOT, b"one").unwrap();
    assert_eq!((attr(&t, "sub/two").ino, attr(&t, "three").nlink), (ino, 2));
    t.unlink(ROOT, b"three").unwrap();
    assert_eq!(bytes(&t, attr(&t, "/sub/two").ino), b"data");
    t.unlink(sub, b"two").unwrap();
    assert_eq!(errno(t.getattr(ino)), libc::ENOENT);
}

#[test]
fn a_directory_counts_its_subdirectories_and_their_parents() {
    let t = tree();
    let a = dir(&t, "a");
    t.mkdir(&ME, a, b"b", 0o700).unwrap();
    file(&t, "f", b"");
    assert_eq!((attr(&t, "").nlink, attr(&t, "a").nlink, attr(&t, "a/b").nlink), (3, 3, 2));
    assert_eq!(t.lookup(a, b"..").unwrap().ino, ROOT);
    assert_eq!(t.lookup(ROOT, b"..").unwrap().ino, ROOT);
    assert_eq!(errno(t.rmdir(ROOT, b"a")), libc::ENOTEMPTY);
    t.rmdir(a, b"b").unwrap();
    t.rmdir(ROOT, b"a").unwrap();
    assert_eq!((attr(&t, "").nlink, names(&t, ROOT)), (2, vec!["f".to_owned()]));
}

#[test]
fn a_removed_directory_takes_no_new_names_while_it_is_open() {
    let t = tree();
    let a = dir(&t, "a");
    t.opened(a);
    t.rmdir(ROOT, b"a").unwrap();
    assert_eq!(t.getattr(a).unwrap().nlink, 0);
    assert!(names(&t, a).is_empty());
    assert_eq!(errno(t.create(&ME, a, b"x", 0o644)), libc::ENOENT);
    t.released(a).unwrap();
    t.sync().unwrap();
    assert_eq!(errno(t.getattr(a)), libc::ENOENT);
}

#[test]
fn names_are_checked_before_anything_changes() {
    let t = tree();
    let f = file(&t, "f", b"");
    let long = [b'n'; 256];
    assert_eq!(errno(t.create(&ME, ROOT, &long, 0o644)), libc::ENAMETOOLONG);
    assert_eq!(errno(t.lookup(ROOT, &long)), libc::ENAMETOOLONG);
    for name in [&b""[..], b".", b"..", b"a/b", b"a\0b"] {
        assert_eq!(errno(t.mkdir(&ME, ROOT, name, 0o755)), libc::EINVAL);
    }
    assert_eq!(errno(t.create(&ME, ROOT, b"f", 0o644)), libc::EEXIST);
    assert_eq!(errno(t.create(&ME, f, b"x", 0o644)), libc::ENOTDIR);
    assert_eq!(errno(t.lookup(f, b"x")), libc::ENOTDIR);
    assert_eq!(errno(t.unlink(ROOT, b"g")), libc::ENOENT);
    assert_eq!(errno(t.rmdir(ROOT, b"f")), libc::ENOTDIR);
    dir(&t, "d");
    assert_eq!(errno(t.unlink(ROOT, b"d")), libc::EISDIR);
    assert_eq!(errno(t.link(attr(&t, "d").ino, ROOT, b"e")), libc::EPERM);
    t.create(&ME, ROOT, &[b'n'; 255], 0o644).unwrap();
}

#[test]
fn every_kind_of_file_is_what_it_was_made_as() {
    let t = tree();
    for (name, bits, kind) in [
        ("file", 0, Kind::File),
        ("pipe", libc::S_IFIFO, Kind::Fifo),
        ("socket", libc::S_IFSOCK, Kind::Socket),
        ("char", libc::S_IFCHR, Kind::CharDevice),
        ("block", libc::S_IFBLK, Kind::BlockDevice),
    ] {
        t.mknod(&ME, ROOT, name.as_bytes(), bits | 0o640, 0x0103).unwrap();
        let made = attr(&t, name);
        let device = matches!(kind, Kind::CharDevice | Kind::BlockDevice);
        assert_eq!((made.kind, made.mode, made.nlink), (kind, 0o640, 1));
        assert_eq!(made.rdev, if device { 0x0103 } else { 0 });
    }
    assert_eq!(errno(t.mknod(&ME, ROOT, b"d", libc::S_IFDIR, 0)), libc::EINVAL);
}

#[test]
fn a_symbolic_link_keeps_a_target_of_any_length_up_to_the_limit() {
    let t = tree();
    for bytes in [1, 1999, 2000, 2001, 4095] {
        let target = vec![b'x'; bytes];
        let made = t.symlink(&ME, ROOT, format!("l{bytes}").as_bytes(), &target).unwrap();
        assert_eq!((made.kind, made.mode, made.size), (Kind::Symlink, 0o777, bytes as u64));
        assert_eq!(t.readlink(made.ino).unwrap(), target);
    }
    assert_eq!(errno(t.symlink(&ME, ROOT, b"l", &[b'x'; 4096])), libc::ENAMETOOLONG);
    assert_eq!(errno(t.readlink(ROOT)), libc::EINVAL);
}

#[test]
fn a_set_gid_directory_passes_on_its_group() {
    let t = tree();
    let shared = dir(&t, "shared");
    let set = SetAttr { mode: Some(0o2775), gid: Some(77), ..SetAttr::default() };
    t.setattr(shared, &set).unwrap();
    let made = t.create(&ME, shared, b"f", 0o644).unwrap();
    assert_eq!((made.uid, made.gid, made.mode), (1000, 77, 0o644));
    let made = t.mkdir(&ME, shared, b"d", 0o755).unwrap();
    assert_eq!((made.gid, made.mode), (77, 0o2755));
}

fn rename(t: &tree::Tree, old: &str, new: &str, mode: RenameMode) -> tine_fs::Result<()> {
    let split = |path: &str| match path.rsplit_once('/') {
        Some((dir, name)) => (attr(t, dir).ino, name.to_owned()),
        None => (ROOT, path.to_owned()),
    };
    let ((parent, name), (new_parent, new_name)) = (split(old), split(new));
    t.rename(parent, name.as_bytes(), new_parent, new_name.as_bytes(), mode)
}

#[test]
fn a_rename_replaces_only_what_it_may() {
    let t = tree();
    let f = file(&t, "f", b"f");
    let g = file(&t, "g", b"g");
    let d = dir(&t, "d");
    t.mkdir(&ME, d, b"full", 0o755).unwrap();
    dir(&t, "e");
    use RenameMode::*;
    assert_eq!(errno(rename(&t, "f", "d", Replace)), libc::EISDIR);
    assert_eq!(errno(rename(&t, "d", "f", Replace)), libc::ENOTDIR);
    assert_eq!(errno(rename(&t, "e", "d", Replace)), libc::ENOTEMPTY);
    assert_eq!(errno(rename(&t, "d", "d/full/x", Replace)), libc::EINVAL);
    assert_eq!(errno(rename(&t, "d", "d/x", Replace)), libc::EINVAL);
    assert_eq!(errno(rename(&t, "f", "g", NoReplace)), libc::EEXIST);
    assert_eq!(errno(rename(&t, "f", "h", Exchange)), libc::ENOENT);
    assert_eq!(errno(rename(&t, "h", "f", Replace)), libc::ENOENT);
    rename(&t, "f", "g", Replace).unwrap();
    assert_eq!((attr(&t, "g").ino, errno(t.getattr(g))), (f, libc::ENOENT));
    rename(&t, "g", "d/full/f", NoReplace).unwrap();
    rename(&t, "d", "e", Replace).unwrap();
    assert_eq!((attr(&t, "e/full/f").ino, attr(&t, "").nlink), (f, 3));
    assert_eq!(names(&t, ROOT), ["e"]);
}

#[test]
fn an_exchange_swaps_files_and_directories_and_keeps_the_counts() {
    let t = tree();
    let (a, b) = (dir(&t, "a"), dir(&t, "b"));
    let f = t.create(&ME, a, b"f", 0o644).unwrap().ino;
    let s = t.mkdir(&ME, b, b"s", 0o755).unwrap().ino;
    rename(&t, "a/f", "b/s", RenameMode::Exchange).unwrap();
    assert_eq!((attr(&t, "a/f").ino, attr(&t, "b/s").ino), (s, f));
    assert_eq!((attr(&t, "a").nlink, attr(&t, "b").nlink), (3, 2));
    assert_eq!(t.lookup(s, b"..").unwrap().ino, a);
    assert_eq!(errno(rename(&t, "a", "a/f", RenameMode::Exchange)), libc::EINVAL);
    assert_eq!(errno(rename(&t, "a/f", "a", RenameMode::Exchange)), libc::EINVAL);
}

#[test]
fn renaming_one_name_of_a_file_to_another_changes_nothing() {
    let t = tree();
    let f = file(&t, "f", b"f");
    t.link(f, ROOT, b"g").unwrap();
    rename(&t, "f", "g", RenameMode::Replace).unwrap();
    assert_eq!((names(&t, ROOT).len(), attr(&t, "f").nlink), (2, 2));
}

#[test]
fn positions_of_a_directory_stay_right_while_it_changes() {
    let t = tree();
    for i in 0..100 {
        file(&t, &format!("f{i}"), b"");
    }
    let mut seen = Vec::new();
    let mut position = 0;
    for round in 0.. {
        let before = seen.len();
        t.readdir(ROOT, position, &mut |entry| {
            seen.push(entry.name.to_vec());
            position = entry.position;
            seen.len() < before + 7
        })
        .unwrap();
        if seen.len() == before {
            break;
        }
        // What was seen goes, and as much comes: neither may be listed twice, nor hide the rest.
        for name in &seen[before..] {
            if name.starts_with(b"f") {
                t.unlink(ROOT, name).unwrap();
            }
        }
        file(&t, &format!("new{round}"), b"");
    }
    for i in 0..100 {
        let name = format!("f{i}").into_bytes();
        assert_eq!(seen.iter().filter(|seen| **seen == name).count(), 1);
    }
    assert_eq!(seen[..2], [&b"."[..], b".."]);
}

#[test]
fn parents_are_stamped_when_their_names_change() {
    let t = tree();
    let a = dir(&t, "a");
    let stamp = |ino| {
        let attr = t.getattr(ino).unwrap();
        assert_eq!(attr.mtime, attr.ctime);
        std::thread::sleep(std::time::Duration::from_millis(12));
        attr.ctime
    };
    let mut last = stamp(a);
    let mut moved = |what: &str| {
        let next = stamp(a);
        assert!(next > last, "{what}");
        last = next;
    };
    let f = t.create(&ME, a, b"f", 0o644).unwrap().ino;
    moved("create");
    t.link(f, a, b"g").unwrap();
    moved("link");
    t.rename(a, b"g", a, b"h", RenameMode::Replace).unwrap();
    moved("rename");
    t.rename(a, b"h", ROOT, b"h", RenameMode::Replace).unwrap();
    moved("rename away");
    let before = t.getattr(f).unwrap().ctime;
    t.unlink(a, b"f").unwrap();
    moved("unlink");
    assert!(t.getattr(f).unwrap().ctime > before);
}

#[test]
fn a_reused_name_never_brings_back_a_number() {
    let t = tree();
    let first = file(&t, "f", b"");
    t.unlink(ROOT, b"f").unwrap();
    let second = file(&t, "f", b"");
    assert!(second > first);
    let path = t.dir.path().join("store");
    let tree::Tree { fs, store, dir: _dir } = t;
    drop(fs);
    store.close().unwrap();
    let store = tine_store::Store::open(&path, &Default::default()).unwrap();
    let fs = tine_fs::Fs::open(&store, store.branch("main").unwrap()).unwrap();
    assert!(file(&fs, "g", b"") > second);
}

#[test]
fn a_rename_can_leave_a_whiteout() {
    let t = tree();
    let (d, e) = (dir(&t, "d"), dir(&t, "e"));
    let f = file(&t, "f", b"f");
    file(&t, "taken", b"taken");
    use RenameMode::*;
    let leave =
        |old: (Ino, &[u8]), new: (Ino, &[u8]), mode| t.rename_leaving_whiteout(&ME, old, new, mode);
    assert_eq!(errno(leave((ROOT, b"f"), (ROOT, b"taken"), NoReplace)), libc::EEXIST);
    assert_eq!(errno(leave((ROOT, b"f"), (ROOT, b"taken"), Exchange)), libc::EINVAL);
    leave((ROOT, b"f"), (ROOT, b"taken"), Replace).unwrap();
    leave((ROOT, b"taken"), (d, b"f"), NoReplace).unwrap();
    leave((ROOT, b"e"), (d, b"e"), Replace).unwrap();
    assert_eq!((attr(&t, "d/f").ino, attr(&t, "d/e").ino), (f, e));
    for name in ["f", "taken", "e"] {
        let left = attr(&t, name);
        assert_eq!((left.kind, left.rdev, left.mode), (Kind::CharDevice, 0, 0));
        assert_eq!((left.nlink, left.uid), (1, ME.uid));
    }
    // A directory counts its subdirectories, of which a whiteout is none.
    assert_eq!((attr(&t, "").nlink, attr(&t, "d").nlink), (3, 3));
    assert_eq!(names(&t, ROOT), ["d", "e", "f", "taken"]);
    t.unlink(ROOT, b"f").unwrap();
    assert_eq!(names(&t, ROOT), ["d", "e", "taken"]);
    assert_eq!(tine_fs::check(&t.fs.branch().read().unwrap()).unwrap().len(), 0);
}

#[test]
fn files_are_located_by_number_until_they_lose_their_last_name() {
    let t = tree();
    let d = dir(&t, "d");
    let (f, g) = (file(&t, "f", b"f"), file(&t, "g", b"g"));
    t.link(g, d, b"second").unwrap();
    t.unlink(ROOT, b"g").unwrap();
    t.opened(f);
    let located = |inos: &[Ino]| {
        let located = t.locate(inos.iter().copied()).unwrap();
        located.into_iter().map(|it| (it.ino, it.path.unwrap())).collect::<Vec<_>>()
    };
    assert_eq!(located(&[d, f, Ino::new(999), g]), [(f, b"f".to_vec()), (g, b"d/second".to_vec())]);
    t.unlink(ROOT, b"f").unwrap();
    assert_eq!(located(&[f]), []);
    t.released(f).unwrap();
}
