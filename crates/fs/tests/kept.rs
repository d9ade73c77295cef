//! What the tree keeps besides names and data: attributes by name, files without a name, where it
//! came from.

mod tree;

use tine_fs::{
    Caller, Error, Fallocate, Fs, Ino, NewRoot, ROOT, RenameMode, Seek, SetAttr, XattrMode,
};
use tine_store::{Store, Value};
use tree::{ME, Tree, at, bytes, dir, errno, file, names, tree};

#[test]
fn extended_attributes_of_every_size_are_kept() {
    let t = tree();
    let ino = file(&t, "f", b"");
    for len in [0, 1, 1999, 2000, 2001, 4000, 65536] {
        let value: Vec<u8> = (0..len).map(|i| (i % 251) as u8).collect();
        t.setxattr(ino, b"user.one", &value, XattrMode::Any).unwrap();
        assert!(t.getxattr(ino, b"user.one").unwrap() == value, "{len} bytes");
    }
    t.setxattr(ino, b"user.one", b"short", XattrMode::Replace).unwrap();
    assert_eq!(t.getxattr(ino, b"user.one").unwrap(), b"short");
    t.setxattr(ino, b"user.on", b"prefix of the other", XattrMode::Create).unwrap();
    assert_eq!(t.listxattr(ino).unwrap(), [&b"user.on"[..], b"user.one"]);
    t.removexattr(ino, b"user.on").unwrap();
    assert_eq!(t.listxattr(ino).unwrap(), [b"user.one"]);
    assert_eq!(t.getxattr(ino, b"user.one").unwrap(), b"short");
}

#[test]
fn extended_attributes_fail_as_the_man_page_says() {
    let t = tree();
    let ino = file(&t, "f", b"");
    let set = |name: &[u8], mode| t.setxattr(ino, name, b"v", mode);
    assert_eq!(errno(set(b"user.a", XattrMode::Replace)), libc::ENODATA);
    set(b"user.a", XattrMode::Create).unwrap();
    assert_eq!(errno(set(b"user.a", XattrMode::Create)), libc::EEXIST);
    assert_eq!(errno(t.getxattr(ino, b"user.b")), libc::ENODATA);
    assert_eq!(errno(t.removexattr(ino, b"user.b")), libc::ENODATA);
    assert_eq!(errno(t.getxattr(Ino::new(999), b"user.b")), libc::ENOENT);
    let large = vec![0; 65537];
    assert_eq!(errno(t.setxattr(ino, b"user.b", &large, XattrMode::Any)), libc::E2BIG);
    for name in [&b"system.nfs4_acl"[..], b"nospace", b""] {
        assert_eq!(errno(set(name, XattrMode::Any)), libc::EOPNOTSUPP);
    }
    assert_eq!(errno(set(b"user.", XattrMode::Any)), libc::EINVAL);
    assert_eq!(errno(set(ACCESS, XattrMode::Any)), libc::EINVAL);
    assert_eq!(errno(XattrMode::of_flags(4)), libc::EINVAL);
}

const ACCESS: &[u8] = b"system.posix_acl_access";
const DEFAULT: &[u8] = b"system.posix_acl_default";

/// An access list in the form of the attribute: owner, user 7, owning group, mask if any, others.
fn list(owner: u8, user: Option<(u8, u8)>, group: u8, others: u8) -> Vec<u8> {
    let mut bytes = vec![2, 0, 0, 0, 1, 0, owner, 0, 0, 0, 0, 0];
    if let Some((rights, _)) = user {
        bytes.extend([2, 0, rights, 0, 7, 0, 0, 0]);
    }
    bytes.extend([4, 0, group, 0, 0, 0, 0, 0]);
    if let Some((_, mask)) = user {
        bytes.extend([0x10, 0, mask, 0, 0, 0, 0, 0]);
    }
    bytes.extend([0x20, 0, others, 0, 0, 0, 0, 0]);
    bytes
}

#[test]
fn an_access_list_and_the_mode_are_two_views_of_one_thing() {
    let t = tree();
    let ino = file(&t, "f", b"");
    let mode = || t.getattr(ino).unwrap().mode;
    let set = |value: &[u8]| t.setxattr(ino, ACCESS, value, XattrMode::Any);
    set(&list(6, Some((6, 4)), 0, 0)).unwrap();
    assert_eq!(mode(), 0o640);
    assert_eq!(t.listxattr(ino).unwrap(), [ACCESS]);
    t.setattr(ino, &SetAttr { mode: Some(0o671), ..SetAttr::default() }).unwrap();
    assert_eq!(t.getxattr(ino, ACCESS).unwrap(), list(6, Some((6, 7)), 0, 1));
    // A list that says no more than a mode is one.
    set(&list(7, None, 5, 1)).unwrap();
    assert_eq!((mode(), t.listxattr(ino).unwrap().len()), (0o751, 0));
    assert_eq!(errno(t.getxattr(ino, ACCESS)), libc::ENODATA);
    t.removexattr(ino, ACCESS).unwrap();
    assert_eq!(errno(t.setxattr(ino, DEFAULT, &list(7, None, 5, 1), XattrMode::Any)), libc::EPERM);
    let link = t.symlink(&ME, ROOT, b"l", b"f").unwrap().ino;
    let refused = t.setxattr(link, ACCESS, &list(7, None, 5, 1), XattrMode::Any);
    assert_eq!(errno(refused), libc::EOPNOTSUPP);
}

#[test]
fn what_is_made_inherits_the_default_access_list_in_place_of_the_mask() {
    let t = tree();
    let masked = Caller { umask: 0o027, ..ME };
    let d = dir(&t, "d");
    assert_eq!(t.create(&masked, d, b"before", 0o666).unwrap().mode, 0o640);
    assert_eq!(t.mkdir(&masked, d, b"dir", 0o2777).unwrap().mode, 0o2750);
    let default = list(7, Some((7, 7)), 5, 0);
    t.setxattr(d, DEFAULT, &default, XattrMode::Any).unwrap();
    assert_eq!(t.getattr(d).unwrap().mode, 0o755, "its own rights stay");
    let made = t.create(&masked, d, b"after", 0o664).unwrap();
    assert_eq!(made.mode, 0o660);
    assert_eq!(t.getxattr(made.ino, ACCESS).unwrap(), list(6, Some((7, 6)), 5, 0));
    assert_eq!(errno(t.getxattr(made.ino, DEFAULT)), libc::ENODATA);
    let sub = t.mkdir(&masked, d, b"sub", 0o777).unwrap();
    assert_eq!((sub.mode, t.getxattr(sub.ino, DEFAULT).unwrap()), (0o770, default));
    assert_eq!(t.tmpfile(&masked, sub.ino, 0o600).unwrap().mode, 0o600);
    assert_eq!(t.symlink(&masked, d, b"link", b"x").unwrap().mode, 0o777);
    // One that is a mode alone leaves no list behind.
    t.setxattr(d, DEFAULT, &list(7, None, 0, 0), XattrMode::Any).unwrap();
    let plain = t.create(&masked, d, b"plain", 0o666).unwrap();
    assert_eq!((plain.mode, t.listxattr(plain.ino).unwrap().len()), (0o600, 0));
}

#[test]
fn an_unlinked_file_lives_until_its_last_user_leaves() {
    let t = tree();
    let ino = file(&t, "f", b"still here");
    t.opened(ino);
    t.opened(ino);
    t.unlink(ROOT, b"f").unwrap();
    t.released(ino).unwrap();
    t.sync().unwrap();
    assert_eq!((bytes(&t, ino), t.getattr(ino).unwrap().nlink), (b"still here".to_vec(), 0));
    t.write(ino, 0, b"STILL", false).unwrap();
    t.released(ino).unwrap();
    t.sync().unwrap();
    assert_eq!(errno(t.getattr(ino)), libc::ENOENT);
    assert_eq!(errno(t.write(ino, 0, b"x", false)), libc::ENOENT);
}

#[test]
fn a_file_that_was_replaced_while_open_lives_as_well() {
    let t = tree();
    let (old, new) = (file(&t, "old", b"old"), file(&t, "new", b"new"));
    t.opened(old);
    t.rename(ROOT, b"new", ROOT, b"old", RenameMode::Replace).unwrap();
    assert_eq!((bytes(&t, old), bytes(&t, new)), (b"old".to_vec(), b"new".to_vec()));
    t.released(old).unwrap();
    t.sync().unwrap();
    assert_eq!((errno(t.getattr(old)), names(&t, ROOT)), (libc::ENOENT, vec!["old".to_owned()]));
}

#[test]
fn removing_many_open_files_leaves_nothing_behind() {
    let t = tree();
    for i in 0..500 {
        let name = format!("f{i}");
        let ino = file(&t, &name, &[1; 5000]);
        t.setxattr(ino, b"user.x", &[1; 3000], XattrMode::Any).unwrap();
        t.opened(ino);
        t.unlink(ROOT, name.as_bytes()).unwrap();
        t.released(ino).unwrap();
    }
    t.sync().unwrap();
    let branch = t.fs.branch().read().unwrap();
    let left = branch.range(std::ops::Bound::Unbounded, std::ops::Bound::Unbounded).count();
    assert_eq!(left, 2, "the header and the root");
}

#[test]
fn a_large_file_goes_in_steps_and_entirely() {
    let t = tree();
    let ino = file(&t, "f", b"");
    for i in 0..5000u64 {
        t.write(ino, i * 8192, &[1; 4096], false).unwrap();
    }
    t.unlink(ROOT, b"f").unwrap();
    assert_eq!(errno(t.getattr(ino)), libc::ENOENT);
    let branch = t.fs.branch().read().unwrap();
    let left = branch.range(std::ops::Bound::Unbounded, std::ops::Bound::Unbounded).count();
    assert_eq!(left, 2, "the header and the root");
}

#[test]
fn a_file_without_a_name_goes_or_gets_one() {
    let t = tree();
    let set_gid = dir(&t, "d");
    let mode = SetAttr { mode: Some(0o2755), gid: Some(9), ..SetAttr::default() };
    t.setattr(set_gid, &mode).unwrap();
    let (kept, lost) =
        (t.tmpfile(&ME, set_gid, 0o600).unwrap(), t.tmpfile(&ME, ROOT, 0o600).unwrap());
    assert_eq!((kept.nlink, kept.gid, lost.gid), (0, 9, 1000));
    t.write(kept.ino, 0, b"data", false).unwrap();
    assert_eq!(t.link(kept.ino, ROOT, b"named").unwrap().nlink, 1);
    t.released(kept.ino).unwrap();
    t.released(lost.ino).unwrap();
    t.sync().unwrap();
    assert_eq!(bytes(&t, kept.ino), b"data");
    assert_eq!(errno(t.getattr(lost.ino)), libc::ENOENT);
}

/// Closes the store as if the process had ended, with nothing released.
fn reopen(t: Tree) -> (Store, Fs, tempfile::TempDir) {
    let path = t.dir.path().join("store");
    let Tree { fs, store, dir } = t;
    drop(fs);
    store.close().unwrap();
    let store = Store::open(&path, &Default::default()).unwrap();
    let fs = Fs::open(&store, store.branch("main").unwrap()).unwrap();
    (store, fs, dir)
}

#[test]
fn orphans_of_a_crash_are_reclaimed_when_the_tree_is_opened() {
    let t = tree();
    let (open, tmp) = (file(&t, "f", &[1; 9000]), t.tmpfile(&ME, ROOT, 0o600).unwrap().ino);
    let kept = file(&t, "kept", b"kept");
    t.opened(open);
    t.unlink(ROOT, b"f").unwrap();
    let (_store, fs, _dir) = reopen(t);
    assert_eq!((errno(fs.getattr(open)), errno(fs.getattr(tmp))), (libc::ENOENT, libc::ENOENT));
    assert_eq!(bytes(&fs, kept), b"kept");
    assert!(tine_fs::check(&fs.branch().read().unwrap()).unwrap().is_empty());
}

#[test]
fn a_fork_goes_its_own_way() {
    let t = tree();
    let ino = file(&t, "f", b"shared");
    let open = file(&t, "open", b"x");
    t.opened(open);
    t.unlink(ROOT, b"open").unwrap();
    let fork = t.fork("fork");
    fork.write(ino, 0, b"FORKED", false).unwrap();
    fork.create(&ME, ROOT, b"new", 0o644).unwrap();
    assert_eq!((bytes(&t, ino), bytes(&fork, ino)), (b"shared".to_vec(), b"FORKED".to_vec()));
    assert_eq!((names(&t, ROOT), names(&fork, ROOT).len()), (vec!["f".to_owned()], 2));
    // What is open here is not open there.
    assert_eq!((bytes(&t, open), errno(fork.getattr(open))), (b"x".to_vec(), libc::ENOENT));
}

#[test]
fn a_snapshot_opens_and_refuses_every_change() {
    let t = tree();
    let ino = file(&t, "f", b"data");
    let open = file(&t, "open", b"x");
    t.opened(open);
    t.unlink(ROOT, b"open").unwrap();
    let fs = Fs::open(&t.store, t.store.snapshot("main", "snap").unwrap()).unwrap();
    assert_eq!(bytes(&fs, ino), b"data");
    assert_eq!(errno(fs.write(ino, 0, b"x", false)), libc::EROFS);
    assert_eq!(errno(fs.create(&ME, ROOT, b"x", 0o644)), libc::EROFS);
    assert_eq!(errno(fs.unlink(ROOT, b"f")), libc::EROFS);
    fs.statfs().unwrap();
    fs.fsync(ino).unwrap();
}

#[test]
fn a_branch_without_a_tree_or_with_one_says_so() {
    let t = tree();
    let bare = t.store.create_branch("bare").unwrap();
    assert!(tine_fs::check(&bare.read().unwrap()).unwrap().is_empty());
    let error = Fs::open(&t.store, bare.clone()).err().unwrap();
    assert_eq!(error.to_string(), "branch bare holds no file tree");
    let again = Fs::format(t.fs.branch(), &NewRoot { mode: 0o755, uid: 0, gid: 0 });
    assert_eq!(errno(again), libc::EINVAL);
    let mut txn = bare.write().unwrap();
    txn.put(b"f", &[9; 17]).unwrap();
    txn.commit().unwrap();
    let newer = Fs::open(&t.store, bare).err().unwrap();
    assert!(matches!(newer, Error::Version { found: 9, .. }), "{newer}");
}

#[test]
fn the_origin_is_kept_however_long_it_is() {
    let t = tree();
    assert_eq!(t.origin().unwrap(), None);
    let path = [&b"/"[..], &[b'p'; 4095]].concat();
    t.set_origin(&path).unwrap();
    assert_eq!(t.origin().unwrap(), Some(path.clone()));
    let (_store, fs, _dir) = reopen(t);
    assert_eq!(fs.origin().unwrap(), Some(path));
}

/// Compares name by name, and reads all that is told.
fn look(before: &tine_store::ReadTxn, after: &tine_store::ReadTxn) {
    let Ok(changes) = tine_fs::diff_names(before, after) else { return };
    for (side, txn) in [before, after].into_iter().enumerate() {
        let Ok(view) = tine_fs::View::new(txn) else { continue };
        for change in &changes {
            view.find(&change.change.path).ok();
            let Some(attr) = [change.before, change.after][side] else { continue };
            view.read(&attr, 0, &mut [0; 5000]).ok();
            view.target(&attr).ok();
        }
    }
}

#[test]
fn records_that_make_no_sense_are_errors_and_not_panics() {
    let t = tree();
    let d = dir(&t, "d");
    let f = t.create(&ME, d, b"f", 0o644).unwrap().ino;
    t.setxattr(f, b"user.x", b"v", XattrMode::Any).unwrap();
    t.symlink(&ME, d, b"l", b"target").unwrap();
    let good = t.fs.branch().read().unwrap();
    let entries: Vec<_> = good
        .range(std::ops::Bound::Unbounded, std::ops::Bound::Unbounded)
        .map(|entry| entry.unwrap())
        .collect();
    // Every record of the tree is cut, overwritten and bent in turn; whatever is then asked has an
    // answer.
    for (n, (key, value)) in entries.iter().enumerate() {
        for (m, junk) in junk(value).iter().enumerate() {
            let fork = t.store.fork("main", &format!("f{n}-{m}")).unwrap();
            let mut txn = fork.write().unwrap();
            txn.put(key, junk).unwrap();
            txn.commit().unwrap();
            let after = fork.read().unwrap();
            tine_fs::check(&after).ok();
            tine_fs::diff(&good, &after).ok();
            tine_fs::diff(&after, &good).ok();
            look(&good, &after);
            look(&after, &good);
            let Ok(fs) = Fs::open(&t.store, fork) else { continue };
            for ino in [ROOT, d, f] {
                fs.readdir_plus(ino, 0, &mut |_, _| true).ok();
                fs.listxattr(ino).ok();
                fs.lookup(ino, b"f").ok();
                fs.readlink(ino).ok();
                fs.create(&ME, ino, b"new", 0o644).ok();
                fs.rename(ROOT, b"d", ino, b"f", RenameMode::Exchange).ok();
                fs.rename(ino, b"new", d, b"l", RenameMode::Replace).ok();
            }
            fs.write(f, 1, b"x", true).ok();
            fs.seek(f, 0, Seek::Hole).ok();
            fs.copy_range(at(f, 0), at(f, 1 << 20), 10).ok();
            fs.fallocate(f, Fallocate::PunchHole, 1..1 << 40).ok();
            fs.link(f, ROOT, b"again").ok();
            fs.unlink(d, b"f").ok();
            fs.unlink(ROOT, b"again").ok();
            fs.rmdir(ROOT, b"d").ok();
            fs.sync().ok();
        }
    }
}

/// A few values in place of a good one: short, long, and the good one with four bytes after the
/// other set or cleared.
fn junk(value: &Value) -> Vec<Vec<u8>> {
    let mut junk = vec![Vec::new(), b"x".to_vec(), vec![0xff; 104], vec![1; 104]];
    if let Value::Bytes(good) = value {
        for at in (0..good.len()).step_by(4) {
            for byte in [0, 1, 0xff] {
                let mut bent = good.clone();
                let end = good.len().min(at + 4);
                bent[at..end].fill(byte);
                junk.push(bent);
            }
        }
    }
    junk
}
