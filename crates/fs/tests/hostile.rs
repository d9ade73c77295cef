//! Forged trees: every reader ends, shows no name that cannot be one, and `check`
//! finds what is wrong.

mod tree;

use proptest::prelude::*;
use tine_fs::hostile::{self, RawTree};
use tine_fs::{Error, Fs, Ino, Kind, ROOT};
use tine_store::Branch;
use tree::{Tree, file, imported, tree};

/// A sound tree, of which some records are then forged.
fn spoilt(spoil: impl FnOnce(&mut RawTree<'_>, &Branch)) -> Tree {
    let t = tree();
    let mut file = imported(Kind::File, FILE.get());
    file.size = 5;
    assert_eq!(t.import(ROOT, b"file", &file, b"bytes").unwrap(), FILE);
    let directory = |ino: Ino| imported(Kind::Directory, ino.get());
    assert_eq!(t.import(ROOT, b"sub", &directory(SUB), b"").unwrap(), SUB);
    assert_eq!(t.import(SUB, b"below", &directory(BELOW), b"").unwrap(), BELOW);
    let branch = t.branch().clone();
    let mut tree = RawTree::new(&branch).unwrap();
    spoil(&mut tree, &branch);
    tree.commit().unwrap();
    t
}

fn findings(fs: &Fs) -> Vec<String> {
    let findings = tine_fs::check(&fs.branch().read().unwrap()).unwrap();
    findings.into_iter().map(|finding| format!("{}: {}", finding.place, finding.what)).collect()
}

fn lists(fs: &Fs, ino: Ino) -> bool {
    fs.readdir_plus(ino, 0, &mut |_, _| true).is_ok()
}

const FILE: Ino = Ino::new(2);
const SUB: Ino = Ino::new(3);
const BELOW: Ino = Ino::new(4);

#[test]
fn a_tree_that_no_hand_touched_is_sound() {
    let t = spoilt(|_, _| {});
    assert_eq!(findings(&t), Vec::<String>::new());
    assert!(lists(&t, ROOT) && lists(&t, SUB));
}

#[test]
fn a_name_that_leads_elsewhere_is_never_shown_and_is_found() {
    for name in [&b"../x"[..], b"/x", b".", b"..", b"", b"a/b", b"a\0b", b"sub/../../x"] {
        for kind in [Kind::File, Kind::Directory, Kind::Symlink] {
            let t = spoilt(|tree, _| tree.make(ROOT, name, Ino::new(9), kind, |_| {}).unwrap());
            assert!(!lists(&t, ROOT), "{name:?} is listed");
            assert!(t.readdir(ROOT, 0, &mut |_| true).is_err(), "{name:?} is listed");
            let found = findings(&t).join("; ");
            assert!(found.contains("a name that cannot be one"), "{name:?}: {found}");
        }
    }
}

#[test]
fn the_root_as_an_entry_of_itself_is_never_shown_and_is_found() {
    let t = spoilt(|tree, _| tree.make(ROOT, b"again", ROOT, Kind::Directory, |_| {}).unwrap());
    assert!(!lists(&t, ROOT));
    assert_ne!(findings(&t), Vec::<String>::new());
    // The same from further below.
    let t = spoilt(|tree, _| tree.make(SUB, b"up", ROOT, Kind::Directory, |_| {}).unwrap());
    assert!(!lists(&t, SUB));
    assert_ne!(findings(&t), Vec::<String>::new());
}

#[test]
fn an_entry_where_no_search_finds_it_is_never_shown_and_is_found() {
    let t = spoilt(|tree, _| {
        tree.inode(Ino::new(9), Kind::File, Some((SUB, b"astray")), |_| {}).unwrap();
        tree.entry(SUB, b"astray", Ino::new(9), Kind::File, true).unwrap();
    });
    assert!(!lists(&t, SUB));
    let found = findings(&t).join("; ");
    assert!(found.contains("sub (inode 3): a name in a place where no search"), "{found}");
}

#[test]
fn a_directory_that_is_reached_twice_or_from_itself_ends_a_walk_and_is_found() {
    type Case = (&'static str, fn(&mut RawTree<'_>));
    let cases: [Case; 4] = [
        ("the root again", |tree| tree.entry(SUB, b"up", ROOT, Kind::Directory, false).unwrap()),
        ("its own parent", |tree| tree.entry(BELOW, b"up", SUB, Kind::Directory, false).unwrap()),
        ("itself", |tree| tree.entry(SUB, b"me", SUB, Kind::Directory, false).unwrap()),
        ("twice", |tree| tree.entry(ROOT, b"too", BELOW, Kind::Directory, false).unwrap()),
    ];
    for (case, spoil) in cases {
        let t = spoilt(|tree, _| spoil(tree));
        let all = [ROOT, SUB, BELOW].iter().all(|dir| lists(&t, *dir));
        assert!(!all, "{case}: it is walked without end");
        assert_ne!(findings(&t), Vec::<String>::new(), "{case}");
    }
}

#[test]
fn a_ring_of_directories_that_hangs_nowhere_is_found() {
    let t = spoilt(|tree, _| {
        tree.make(Ino::new(10), b"x", Ino::new(9), Kind::Directory, |attr| {
            (attr.nlink, attr.size) = (3, 17)
        })
        .unwrap();
        tree.make(Ino::new(9), b"y", Ino::new(10), Kind::Directory, |attr| {
            (attr.nlink, attr.size) = (3, 17)
        })
        .unwrap();
    });
    let found = findings(&t);
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found.iter().all(|found| found.contains("no way leads from the root")), "{found:?}");
}

#[test]
fn attributes_that_no_file_can_have_are_refused_and_found() {
    type Spoil = (&'static str, fn(&mut tine_fs::Attr));
    let spoils: [Spoil; 9] = [
        ("a negative size", |attr| attr.size = u64::MAX),
        ("the owner -1", |attr| attr.uid = u32::MAX),
        ("the group -1", |attr| attr.gid = u32::MAX),
        ("nanoseconds that mean now", |attr| attr.mtime.nanos = 0x3fff_ffff),
        ("nanoseconds that mean never", |attr| attr.atime.nanos = 0x3fff_fffe),
        ("more links than can be", |attr| attr.nlink = u32::MAX),
        ("no links", |attr| attr.nlink = 0),
        ("more blocks than can be", |attr| attr.blocks_512 = u64::MAX),
        ("bits of another kind", |attr| attr.mode = 0o17_7777),
    ];
    for (case, spoil) in spoils {
        let t = spoilt(|tree, _| tree.make(SUB, b"odd", Ino::new(9), Kind::File, spoil).unwrap());
        if case != "more blocks than can be" {
            assert!(!lists(&t, SUB), "{case}");
        }
        assert_ne!(findings(&t), Vec::<String>::new(), "{case}");
    }
}

#[test]
fn targets_and_attributes_that_could_not_be_set_are_refused_and_found() {
    for target in [&b""[..], b"a\0b"] {
        let t = spoilt(|tree, _| {
            let size = target.len() as u64;
            tree.make(ROOT, b"link", Ino::new(9), Kind::Symlink, |attr| attr.size = size).unwrap();
            tree.target(Ino::new(9), target).unwrap();
        });
        assert!(matches!(t.readlink(Ino::new(9)), Err(Error::Damaged { .. })), "{target:?}");
        assert_ne!(findings(&t), Vec::<String>::new(), "{target:?}");
    }
    let none =
        spoilt(|tree, _| tree.make(ROOT, b"link", Ino::new(9), Kind::Symlink, |_| {}).unwrap());
    assert!(none.readlink(Ino::new(9)).is_err());
    assert_ne!(findings(&none), Vec::<String>::new());
    for name in [&b""[..], b"weird", b"system.other", b"user.", b"btrfs.x", &[b'u'; 300]] {
        let t = spoilt(|tree, _| tree.xattr(FILE, name, 0, b"value").unwrap());
        assert!(t.listxattr(FILE).is_err(), "{name:?}");
        assert_ne!(findings(&t), Vec::<String>::new(), "{name:?}");
    }
    let gap = spoilt(|tree, _| {
        tree.xattr(FILE, b"user.a", 0, &[1; 2000]).unwrap();
        tree.xattr(FILE, b"user.a", 2, b"rest").unwrap();
    });
    assert!(gap.getxattr(FILE, b"user.a").is_err());
    assert_ne!(findings(&gap), Vec::<String>::new());
    let endless = spoilt(|tree, _| {
        (0..80).for_each(|chunk| tree.xattr(FILE, b"user.a", chunk, &[1; 2000]).unwrap());
    });
    assert!(endless.getxattr(FILE, b"user.a").is_err(), "it is longer than any can be");
    assert_ne!(findings(&endless), Vec::<String>::new());
}

#[test]
fn the_way_up_leads_to_directories_alone() {
    let t = spoilt(|tree, _| {
        tree.make(FILE, b"x", Ino::new(9), Kind::Directory, |_| {}).unwrap();
    });
    assert!(t.lookup(Ino::new(9), b"..").is_err());
    assert_ne!(findings(&t), Vec::<String>::new());
}

#[test]
fn names_of_any_encoding_and_trees_of_any_depth_are_taken() {
    let t = tree();
    let mut at = ROOT;
    for _ in 0..300 {
        at = t.mkdir(&tree::ME, at, b"\xff\xfe d\n", 0o755).unwrap().ino;
    }
    t.create(&tree::ME, at, &[0x80; 255], 0o644).unwrap();
    assert_eq!(findings(&t), Vec::<String>::new());
    assert_eq!(t.lookup(at, &[0x80; 255]).unwrap().kind, Kind::File);
}

#[test]
fn no_file_is_given_an_owner_or_a_time_that_means_something_else() {
    let t = tree();
    let ino = file(&t, "a", b"");
    let invalid = tine_fs::Caller { uid: u32::MAX, gid: 0, umask: 0 };
    assert_eq!(tree::errno(t.create(&invalid, ROOT, b"b", 0o644)), libc::EINVAL);
    let set = tine_fs::SetAttr { gid: Some(u32::MAX), ..Default::default() };
    assert_eq!(tree::errno(t.setattr(ino, &set)), libc::EINVAL);
    let time = tine_fs::SetTime::At(tine_fs::Time { secs: 0, nanos: 0x3fff_ffff });
    let set = tine_fs::SetAttr { mtime: Some(time), ..Default::default() };
    assert_eq!(tree::errno(t.setattr(ino, &set)), libc::EINVAL);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]
    #[test]
    fn whatever_a_hand_writes_is_read_to_an_end(
        data in prop::collection::vec(any::<u8>(), 0..600),
    ) {
        hostile::fuzz(&data);
    }
}
