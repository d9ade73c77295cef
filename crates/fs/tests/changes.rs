//! What changed between two snapshots, by path.

mod tree;

use tine_fs::{
    Change, Fs, Ino, Kind, NameChange, ROOT, RenameMode, SetAttr, SetTime, Time, View, XattrMode,
    diff, diff_names,
};
use tree::{ME, Tree, attr, dir, imported, tree};

/// The changes as short lines.
fn lines(before: &Fs, after: &Fs) -> Vec<String> {
    let (before, after) = (before.branch().read().unwrap(), after.branch().read().unwrap());
    diff(&before, &after).unwrap().into_iter().map(line).collect()
}

fn line(change: tine_fs::PathChange) -> String {
    let text = |path: &[u8]| String::from_utf8_lossy(path).into_owned();
    let path = text(&change.path);
    match change.change {
        Change::Added => format!("A {path} {}", change.bytes),
        Change::Deleted => format!("D {path} {}", change.bytes),
        Change::Modified => format!("M {path} {}", change.bytes),
        Change::Renamed { from } => format!("R {} {path} {}", text(&from), change.bytes),
        Change::Metadata => format!("a {path}"),
    }
}

/// The changes name by name as short lines.
fn by_name(before: &Fs, after: &Fs) -> Vec<String> {
    let (before, after) = (before.branch().read().unwrap(), after.branch().read().unwrap());
    let (old, new) = (View::new(&before).unwrap(), View::new(&after).unwrap());
    let changes = diff_names(&before, &after).unwrap();
    for NameChange { change, before, after } in &changes {
        let from = match &change.change {
            Change::Renamed { from } => from,
            _ => &change.path,
        };
        let is_there = change.kind != Kind::Directory;
        let was = is_there && change.change != Change::Added;
        let is = is_there && change.change != Change::Deleted;
        assert_eq!(*before, old.find(from).unwrap().filter(|_| was), "{change:?}");
        assert_eq!(*after, new.find(&change.path).unwrap().filter(|_| is), "{change:?}");
    }
    changes.into_iter().map(|named| line(named.change)).collect()
}

/// A tree with a few things in it.
fn full() -> (Tree, Ino) {
    let t = tree();
    let src = dir(&t, "src");
    let deep = t.mkdir(&ME, src, b"deep", 0o755).unwrap().ino;
    for (parent, name) in [(src, "a"), (src, "b"), (deep, "c"), (deep, "d")] {
        let ino = t.create(&ME, parent, name.as_bytes(), 0o644).unwrap().ino;
        t.write(ino, 0, &[7; 5000], false).unwrap();
    }
    (t, deep)
}

#[test]
fn a_fork_differs_in_nothing() {
    let (t, _) = full();
    assert_eq!(lines(&t, &t.fork("new")), Vec::<String>::new());
}

#[test]
fn each_change_is_told_by_its_path() {
    let (t, _) = full();
    let new = t.fork("new");
    let at = |path: &str| attr(&new, path).ino;
    let (src, deep) = (at("src"), at("src/deep"));
    new.write(at("src/a"), 4096, b"x", false).unwrap();
    new.unlink(src, b"b").unwrap();
    new.rename(deep, b"c", ROOT, b"moved", RenameMode::Replace).unwrap();
    new.setattr(at("src/deep/d"), &SetAttr { mode: Some(0o600), ..SetAttr::default() }).unwrap();
    let made = new.mkdir(&ME, deep, b"made", 0o755).unwrap().ino;
    new.symlink(&ME, made, b"l", b"target").unwrap();
    assert_eq!(
        lines(&t, &new),
        [
            "R src/deep/c moved 0",
            "M src/a 4096",
            "D src/b 8192",
            "a src/deep/d",
            "A src/deep/made 0",
            "A src/deep/made/l 0",
        ]
    );
    let back = lines(&new, &t);
    assert!(back.contains(&"A src/b 8192".to_owned()), "{back:?}");
    assert!(back.contains(&"D src/deep/made/l 0".to_owned()), "{back:?}");
}

#[test]
fn what_is_below_a_renamed_directory_has_its_new_path() {
    let (t, _) = full();
    let new = t.fork("new");
    new.rename(ROOT, b"src", ROOT, b"lib", RenameMode::NoReplace).unwrap();
    new.write(attr(&new, "lib/deep/c").ino, 0, b"x", false).unwrap();
    new.unlink(attr(&new, "lib/deep").ino, b"d").unwrap();
    assert_eq!(lines(&t, &new), ["R src lib 0", "M lib/deep/c 4096", "D src/deep/d 8192"]);
}

#[test]
fn a_file_written_anew_and_renamed_into_place_is_modified() {
    let (t, _) = full();
    let new = t.fork("new");
    let src = attr(&new, "src").ino;
    let ino = new.create(&ME, src, b".a.tmp", 0o644).unwrap().ino;
    new.write(ino, 0, &[1; 100], false).unwrap();
    new.rename(src, b".a.tmp", src, b"a", RenameMode::Replace).unwrap();
    assert_eq!(lines(&t, &new), ["M src/a 4096"]);
}

#[test]
fn a_further_name_is_added_and_a_lost_one_deleted() {
    let (t, _) = full();
    let new = t.fork("new");
    let (src, a) = (attr(&new, "src").ino, attr(&new, "src/a").ino);
    new.link(a, src, b"z").unwrap();
    assert_eq!(lines(&t, &new), ["A src/z 0"]);
    new.unlink(src, b"a").unwrap();
    assert_eq!(lines(&t, &new), ["R src/a src/z 0"]);
    new.write(a, 0, b"x", false).unwrap();
    assert_eq!(lines(&t, &new), ["R src/a src/z 4096"]);
}

#[test]
fn a_file_with_many_names_is_found_by_one_that_it_has() {
    let (t, deep) = full();
    let a = attr(&t, "src/a").ino;
    t.link(a, deep, b"other").unwrap();
    t.unlink(attr(&t, "src").ino, b"a").unwrap();
    let new = t.fork("new");
    new.write(a, 0, b"x", false).unwrap();
    assert_eq!(lines(&t, &new), ["M src/deep/other 4096"]);
}

#[test]
fn attributes_count_whichever_they_are_and_size_counts_as_data() {
    let (t, _) = full();
    let new = t.fork("new");
    let at = |path: &str| attr(&new, path).ino;
    let time = SetTime::At(Time { secs: 1, nanos: 2 });
    new.setattr(at("src/a"), &SetAttr { mtime: Some(time), ..SetAttr::default() }).unwrap();
    new.setattr(at("src/b"), &SetAttr { size: Some(9000), ..SetAttr::default() }).unwrap();
    new.setxattr(at("src/deep/c"), b"user.x", b"1", XattrMode::Any).unwrap();
    new.setattr(at("src/deep"), &SetAttr { uid: Some(5), ..SetAttr::default() }).unwrap();
    assert_eq!(lines(&t, &new), ["a src/a", "M src/b 0", "a src/deep", "a src/deep/c"]);
}

#[test]
fn a_time_of_change_alone_is_no_change() {
    let (t, deep) = full();
    let new = t.fork("new");
    let a = attr(&new, "src/a");
    let ctime = Some(Time { secs: a.ctime.secs + 5, nanos: 0 });
    new.setattr(a.ino, &SetAttr { ctime, ..SetAttr::default() }).unwrap();
    // A hard link that comes and goes moves it, and the time of its directory.
    new.link(a.ino, deep, b"link").unwrap();
    new.unlink(deep, b"link").unwrap();
    let is_directory = |line: &String| line == "a src/deep";
    assert!(lines(&t, &new).iter().all(is_directory), "{:?}", lines(&t, &new));
    assert!(by_name(&t, &new).iter().all(is_directory), "{:?}", by_name(&t, &new));
}

#[test]
fn files_of_two_forks_that_share_a_number_are_two_files() {
    let (t, _) = full();
    let (one, two) = (t.fork("one"), t.fork("two"));
    // The host had given the number of a file that it removed to a new one.
    let x = one.import(ROOT, b"x", &imported(Kind::File, 77), b"1").unwrap();
    let y = two.import(ROOT, b"y", &imported(Kind::File, 77), b"2").unwrap();
    assert_eq!(x, y);
    assert_eq!(lines(&one, &two), ["D x 4096", "A y 4096"]);
}

#[test]
fn a_file_without_a_name_is_no_change() {
    let (t, _) = full();
    let new = t.fork("new");
    let ino = new.tmpfile(&ME, ROOT, 0o600).unwrap().ino;
    new.write(ino, 0, b"x", false).unwrap();
    assert_eq!(lines(&t, &new), Vec::<String>::new());
    new.link(ino, ROOT, b"named").unwrap();
    assert_eq!(lines(&t, &new), ["A named 4096"]);
}

#[test]
fn a_renamed_directory_is_told_file_by_file() {
    let (t, _) = full();
    let new = t.fork("new");
    let src = attr(&new, "src").ino;
    new.rename(ROOT, b"src", ROOT, b"lib", RenameMode::NoReplace).unwrap();
    new.write(attr(&new, "lib/deep/c").ino, 0, b"x", false).unwrap();
    new.unlink(attr(&new, "lib/deep").ino, b"d").unwrap();
    new.rename(src, b"a", ROOT, b"out", RenameMode::NoReplace).unwrap();
    let ino = new.create(&ME, src, b"new", 0o644).unwrap().ino;
    new.rename(src, b"new", src, b"b", RenameMode::Replace).unwrap();
    new.write(ino, 0, b"x", false).unwrap();
    assert_eq!(
        by_name(&t, &new),
        [
            "R src lib 0",
            "A lib/b 4096",
            "R src/deep/c lib/deep/c 4096",
            "R src/a out 0",
            "D src/b 8192",
            "D src/deep/d 8192",
        ]
    );
}

#[test]
fn every_name_of_a_file_is_told() {
    let (t, deep) = full();
    let a = attr(&t, "src/a").ino;
    t.link(a, deep, b"other").unwrap();
    let new = t.fork("new");
    new.write(a, 0, b"x", false).unwrap();
    assert_eq!(by_name(&t, &new), ["M src/a 4096", "M src/deep/other 4096"]);
    new.link(a, ROOT, b"third").unwrap();
    new.unlink(deep, b"other").unwrap();
    assert_eq!(by_name(&t, &new), ["M src/a 4096", "R src/deep/other third 4096"]);
}

#[test]
fn names_that_two_files_exchange_are_modified() {
    let (t, _) = full();
    let new = t.fork("new");
    let src = attr(&new, "src").ino;
    new.rename(src, b"a", src, b"b", RenameMode::Exchange).unwrap();
    assert_eq!(by_name(&t, &new), ["M src/a 8192", "M src/b 8192"]);
}

#[test]
fn what_makes_room_for_a_file_or_a_directory_is_deleted_first() {
    let (t, _) = full();
    let new = t.fork("new");
    let (src, deep) = (attr(&new, "src").ino, attr(&new, "src/deep").ino);
    for name in [b"c", b"d"] {
        new.rename(deep, name, ROOT, name, RenameMode::NoReplace).unwrap();
    }
    new.rmdir(src, b"deep").unwrap();
    new.symlink(&ME, src, b"deep", b"target").unwrap();
    new.rename(src, b"a", ROOT, b"a", RenameMode::NoReplace).unwrap();
    let dir = new.mkdir(&ME, src, b"a", 0o755).unwrap().ino;
    new.create(&ME, dir, b"x", 0o644).unwrap();
    new.unlink(src, b"b").unwrap();
    new.symlink(&ME, src, b"b", b"target").unwrap();
    assert_eq!(
        by_name(&t, &new),
        [
            "D src/a 0",
            "D src/deep/c 0",
            "D src/deep/d 0",
            "A a 0",
            "A c 0",
            "A d 0",
            "A src/a 0",
            "A src/a/x 0",
            "D src/b 8192",
            "A src/b 0",
            "D src/deep 0",
            "A src/deep 0",
        ]
    );
}
