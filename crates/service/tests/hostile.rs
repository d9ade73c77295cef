//! Forged stores are exported into their target or not at all, and what ends with an
//! error names the file.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, symlink};
use std::path::Path;

use proptest::prelude::*;
use tine_fs::hostile::RawTree;
use tine_fs::{Ino, Kind, ROOT};
use tine_service::hostile::{export, store};
use tine_service::protocol::copies::Exported;
use tine_service::{Code, Error};

/// Inodes that no call has made.
const NINE: Ino = Ino::new(9);
const TEN: Ino = Ino::new(10);
const ELEVEN: Ino = Ino::new(11);

/// What an export of a tree that a hand spoilt ends with, and the lab it was made in.
fn exported(
    spoil: impl FnOnce(&mut RawTree<'_>, &tine_store::Branch),
) -> (Result<Exported, Error>, tempfile::TempDir) {
    let lab = tempfile::tempdir().unwrap();
    let (store, main) = store().unwrap();
    let mut tree = RawTree::new(&main).unwrap();
    spoil(&mut tree, &main);
    tree.commit().unwrap();
    (export(lab.path(), store), lab)
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

#[test]
fn a_name_that_leads_out_of_the_target_makes_nothing_there() {
    for name in [&b"../x"[..], b"../beside/file", b"/tmp/tine-x", b"..", b".", b"", b"a/b", b"a\0b"]
    {
        for kind in [Kind::File, Kind::Directory, Kind::Symlink, Kind::Fifo] {
            let (result, _lab) = exported(|tree, _| {
                tree.make(ROOT, name, NINE, kind, |attr| {
                    (attr.mode, attr.size) = (0o6777, u64::from(kind == Kind::Symlink));
                })
                .unwrap();
                tree.target(NINE, b"x").unwrap();
            });
            let error = result.unwrap_err();
            assert_eq!(error.code, Code::StoreDamaged, "{name:?}: {error}");
            assert!(error.hint.is_some(), "{error}");
        }
    }
    assert!(!Path::new("/tmp/tine-x").exists());
}

#[test]
fn a_name_below_a_link_that_leads_out_makes_nothing_there() {
    let (result, lab) = exported(|tree, _| {
        tree.make(ROOT, b"way", NINE, Kind::Symlink, |attr| attr.size = 12).unwrap();
        tree.target(NINE, b"../../beside").unwrap();
        tree.make(NINE, b"file", TEN, Kind::File, |_| {}).unwrap();
        tree.make(ROOT, b"too", ELEVEN, Kind::File, |attr| attr.nlink = 2).unwrap();
        tree.entry(NINE, b"linked", ELEVEN, Kind::File, false).unwrap();
    });
    result.unwrap();
    let way = fs::read_link(lab.path().join("target/out/way")).unwrap();
    assert_eq!(way.to_str(), Some("../../beside"), "a target is kept as it is");
}

#[test]
fn a_tree_without_end_ends() {
    for (dir, ino) in [(NINE, ROOT), (NINE, NINE), (TEN, NINE)] {
        let (result, _lab) = exported(|tree, _| {
            tree.make(ROOT, b"one", NINE, Kind::Directory, |attr| attr.nlink = 3).unwrap();
            tree.make(NINE, b"two", TEN, Kind::Directory, |_| {}).unwrap();
            tree.entry(dir, b"again", ino, Kind::Directory, false).unwrap();
        });
        let error = result.unwrap_err();
        assert_eq!(error.code, Code::StoreDamaged, "{error}");
        assert!(error.message.contains("/one"), "the directory is named: {error}");
    }
}

#[test]
fn a_tree_of_300_levels_comes_out() {
    let (result, lab) = exported(|tree, _| {
        for level in 0..300 {
            let parent = if level == 0 { ROOT } else { Ino::new(100 + level - 1) };
            tree.make(parent, b"d", Ino::new(100 + level), Kind::Directory, |_| {}).unwrap();
        }
        tree.make(Ino::new(399), b"end", Ino::new(500), Kind::File, |_| {}).unwrap();
    });
    result.unwrap();
    let deepest = (0..300).fold(lab.path().join("target/out"), |path, _| path.join("d"));
    assert!(deepest.join("end").is_file());
}

#[test]
fn names_of_any_encoding_come_out_as_they_are() {
    let (result, lab) = exported(|tree, _| {
        tree.make(ROOT, b"\xff\xfe\n\x1b[2J", NINE, Kind::File, |_| {}).unwrap();
    });
    result.unwrap();
    let names: Vec<_> = fs::read_dir(lab.path().join("target/out")).unwrap().collect();
    assert_eq!(names[0].as_ref().unwrap().file_name().as_encoded_bytes(), b"\xff\xfe\n\x1b[2J");
}

#[test]
fn sizes_and_times_beyond_reason_are_an_error_or_kept() {
    let spoils: [fn(&mut tine_fs::Attr); 5] = [
        |attr| attr.size = u64::MAX,
        |attr| attr.size = (1 << 63) - 1,
        |attr| attr.uid = u32::MAX,
        |attr| attr.mtime.nanos = 0x3fff_fffe,
        |attr| attr.mtime.secs = i64::MIN,
    ];
    for spoil in spoils {
        let (result, _lab) = exported(|tree, _| {
            tree.make(ROOT, b"odd", NINE, Kind::File, spoil).unwrap();
        });
        if let Err(error) = result {
            assert!(
                matches!(error.code, Code::StoreDamaged | Code::NoSpace)
                    || error.message.contains("odd"),
                "{error}"
            );
        }
    }
}

#[test]
fn an_attribute_that_could_not_be_set_is_refused() {
    for name in [&b"system.other"[..], b"weird", b""] {
        let (result, _lab) = exported(|tree, _| {
            tree.make(ROOT, b"a", NINE, Kind::File, |_| {}).unwrap();
            tree.xattr(NINE, name, 0, b"value").unwrap();
        });
        assert_eq!(result.unwrap_err().code, Code::StoreDamaged, "{name:?}");
    }
}

#[test]
fn owners_set_id_bits_and_devices_are_given_as_cp_would() {
    let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    let file = |owner: (u32, u32), mode: u32| {
        let (result, lab) = exported(|tree, _| {
            tree.make(ROOT, b"a", NINE, Kind::File, |attr| {
                (attr.uid, attr.gid, attr.mode) = (owner.0, owner.1, mode);
            })
            .unwrap();
        });
        result.unwrap();
        let meta = fs::symlink_metadata(lab.path().join("target/out/a")).unwrap();
        ((meta.uid(), meta.gid()), meta.mode() & 0o7777)
    };
    assert_eq!(file((uid, gid), 0o6755), ((uid, gid), 0o6755));
    let other = (uid + 4321, gid + 4321);
    let device = |tree: &mut RawTree<'_>, _: &tine_store::Branch| {
        tree.make(ROOT, b"null", NINE, Kind::CharDevice, |attr| attr.rdev = 0x0103).unwrap();
    };
    let (result, lab) = exported(device);
    if is_root() {
        assert_eq!(file(other, 0o6755), (other, 0o6755));
        result.unwrap();
        let meta = fs::symlink_metadata(lab.path().join("target/out/null")).unwrap();
        assert!(meta.file_type().is_char_device());
    } else {
        assert_eq!(file(other, 0o6755), ((uid, gid), 0o755));
        assert_eq!(file((uid, other.1), 0o6755), ((uid, gid), 0o755));
        let error = result.unwrap_err();
        assert!(error.code == Code::NotPermitted && error.message.contains("null"), "{error}");
    }
}

#[test]
fn what_is_in_the_way_is_neither_followed_nor_replaced() {
    let lab = tempfile::tempdir().unwrap();
    let (store, main) = store().unwrap();
    let mut tree = RawTree::new(&main).unwrap();
    tree.make(ROOT, b"file", NINE, Kind::File, |_| {}).unwrap();
    tree.make(ROOT, b"dir", TEN, Kind::Directory, |_| {}).unwrap();
    tree.make(TEN, b"inside", ELEVEN, Kind::File, |_| {}).unwrap();
    tree.commit().unwrap();
    let out = lab.path().join("target/out");
    fs::create_dir_all(&out).unwrap();
    symlink("../../beside/file", out.join("file")).unwrap();
    symlink("../../beside", out.join("dir")).unwrap();
    let error = export(lab.path(), store).unwrap_err();
    assert!(error.message.contains("file") && error.message.contains("dir"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]
    #[test]
    fn whatever_a_hand_writes_stays_in_the_target(
        data in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let lab = tempfile::tempdir().unwrap();
        let (store, main) = store().unwrap();
        if tine_fs::hostile::tree(&main, &data).is_ok() {
            let _ = export(lab.path(), store);
        }
    }
}
