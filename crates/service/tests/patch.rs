//! Patches between branches, applied by the programs that people have.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use proptest::prelude::*;
use tine_fs::{Attr, Caller, Fs, Ino, Kind, NewRoot, ROOT, RenameMode, SetAttr};
use tine_service::Client;
use tine_service::commands::diff::{self, Comparison};
use tine_store::{Options, Store};

const ME: Caller = Caller { uid: 0, gid: 0, umask: 0 };

/// A file as a patch knows it: the target of a link, or whether it can be run, and its bytes.
type Files = BTreeMap<Vec<u8>, (Option<bool>, Vec<u8>)>;

/// A store with the branch `old`, and its fork `new`.
struct Pair {
    directory: tempfile::TempDir,
}

impl Pair {
    fn make(fill: impl FnOnce(&Fs), change: impl FnOnce(&Fs)) -> Pair {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::create(&path(&directory), &Options::default()).unwrap();
        let old = store.create_branch("old").unwrap();
        Fs::format(&old, &NewRoot { mode: 0o755, uid: 0, gid: 0 }).unwrap();
        fill(&Fs::open(&store, old).unwrap());
        change(&Fs::open(&store, store.fork("old", "new").unwrap()).unwrap());
        store.close().unwrap();
        Pair { directory }
    }

    fn files(&self, branch: &str) -> Files {
        let store = Store::open(&path(&self.directory), &Options::default()).unwrap();
        let fs = Fs::open(&store, store.branch(branch).unwrap()).unwrap();
        let mut files = Files::new();
        let mut dirs = vec![(ROOT, Vec::new())];
        while let Some((dir, path)) = dirs.pop() {
            for (name, attr) in entries(&fs, dir) {
                let path = [&path[..], &name].concat();
                match attr.kind {
                    Kind::Directory => dirs.push((attr.ino, [&path[..], b"/"].concat())),
                    Kind::Symlink => {
                        files.insert(path, (None, fs.readlink(attr.ino).unwrap()));
                    }
                    _ => {
                        let mut bytes = vec![0; attr.size as usize];
                        fs.read(attr.ino, 0, &mut bytes).unwrap();
                        files.insert(path, (Some(attr.mode & 0o100 != 0), bytes));
                    }
                }
            }
        }
        drop(fs);
        store.close().unwrap();
        files
    }

    fn patch(&self, from: &str, to: &str) -> Vec<u8> {
        let client = Client::new(&path(&self.directory), Options::default()).unwrap();
        let of = Comparison { name: from.into(), words: vec![to.into()], ..Comparison::default() };
        let mut patch = Vec::new();
        let compared = diff::prepare(&client, of).unwrap();
        compared
            .sections(true, &mut |_, section| {
                patch.extend_from_slice(&section.bytes);
                Ok(())
            })
            .unwrap();
        patch
    }
}

fn path(directory: &tempfile::TempDir) -> PathBuf {
    directory.path().join("store.tine")
}

fn entries(fs: &Fs, dir: Ino) -> Vec<(Vec<u8>, Attr)> {
    let mut entries = Vec::new();
    fs.readdir_plus(dir, 0, &mut |entry, attr| {
        if !matches!(entry.name, b"." | b"..") {
            entries.push((entry.name.to_vec(), *attr));
        }
        true
    })
    .unwrap();
    entries
}

/// Applies a patch to files on the host with a program.
fn applied(files: &Files, patch: &[u8], program: &[&str]) -> Result<Files, String> {
    let directory = tempfile::tempdir().unwrap();
    for (name, (kind, bytes)) in files {
        let path = directory.path().join(OsStr::from_bytes(name));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        match kind {
            None => symlink(OsStr::from_bytes(bytes), &path).unwrap(),
            Some(runs) => {
                fs::write(&path, bytes).unwrap();
                let mode = if *runs { 0o755 } else { 0o644 };
                fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            }
        }
    }
    if !patch.is_empty() {
        let mut command = Command::new(program[0]);
        command.args(&program[1..]).current_dir(directory.path()).stdin(Stdio::piped());
        // In a repository above, git would look for the paths from its root.
        command.env("GIT_CEILING_DIRECTORIES", directory.path().parent().unwrap());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let _ = child.stdin.take().unwrap().write_all(patch);
        let output = child.wait_with_output().unwrap();
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into());
        }
    }
    let mut found = Files::new();
    find(directory.path(), directory.path(), &mut found);
    Ok(found)
}

fn find(root: &Path, at: &Path, found: &mut Files) {
    for entry in fs::read_dir(at).unwrap() {
        let path = entry.unwrap().path();
        let meta = fs::symlink_metadata(&path).unwrap();
        let name = path.strip_prefix(root).unwrap().as_os_str().as_bytes().to_vec();
        if meta.is_dir() {
            find(root, &path, found);
        } else if meta.is_symlink() {
            found.insert(name, (None, fs::read_link(&path).unwrap().into_os_string().into_vec()));
        } else {
            let runs = meta.permissions().mode() & 0o100 != 0;
            found.insert(name, (Some(runs), fs::read(&path).unwrap()));
        }
    }
}

const GIT: &[&str] = &["git", "apply", "--whitespace=nowarn", "-"];
const PATCH: &[&str] = &["patch", "-p1", "-s", "-f", "--no-backup-if-mismatch"];

/// The programs of the two that are installed; says by name what is not run.
fn programs(test: &str) -> Vec<&'static [&'static str]> {
    let runs = |program: &&&[&str]| {
        let version = Command::new(program[0]).arg("--version").output();
        let is_there = version.is_ok_and(|output| output.status.success());
        if !is_there {
            println!("skipped: {test}: {} is not installed", program[0]);
        }
        is_there
    };
    [GIT, PATCH].iter().filter(runs).copied().collect()
}

/// Whether a path of one side is a directory of the other: `patch` can do only one of the two.
fn is_shaped_anew(old: &Files, new: &Files) -> bool {
    let below = |name: &[u8], files: &Files| {
        files.keys().any(|other| other.starts_with(&[name, b"/"].concat()))
    };
    old.keys().any(|name| below(name, new)) || new.keys().any(|name| below(name, old))
}

/// Both programs make one side of the other, in both directions.
fn check(pair: &Pair, programs: &[&[&str]]) -> Result<(), TestCaseError> {
    for (from, to) in [("old", "new"), ("new", "old")] {
        let (before, after, patch) = (pair.files(from), pair.files(to), pair.patch(from, to));
        for program in programs {
            if program[0] == "patch" && is_shaped_anew(&before, &after) {
                continue;
            }
            let shown = String::from_utf8_lossy(&patch);
            match applied(&before, &patch, program) {
                Ok(found) => prop_assert_eq!(&found, &after, "{:?}\n{}", program, shown),
                Err(error) => prop_assert!(false, "{program:?}: {error}\n{shown}"),
            }
        }
    }
    Ok(())
}

fn write(fs: &Fs, dir: Ino, name: &[u8], text: &[u8]) -> Ino {
    let ino = fs.create(&ME, dir, name, 0o644).unwrap().ino;
    fs.write(ino, 0, text, false).unwrap();
    ino
}

#[test]
fn both_programs_take_every_kind_of_change() {
    let programs = programs("both_programs_take_every_kind_of_change");
    let many = |from: u32| (from..from + 100).map(|n| format!("{n}\n")).collect::<String>();
    let fill = |fs: &Fs| {
        for (name, text) in [
            (&b"edited"[..], many(0).as_bytes()),
            (b"gone", b"1\n2\n"),
            (b"gone and empty", b""),
            (b"no end", b"1\n2"),
            (b"mode", b"x"),
            (b"tab\tand\nline", b"x\n"),
            (b"\xff\xfe", b"x\n"),
            (b"quote\"back\\slash", b"x\n"),
            (b"becomes a link", b"x\n"),
            (b"one", b"1\n"),
            (b"two", b"2\n"),
        ] {
            write(fs, ROOT, name, text);
        }
        fs.symlink(&ME, ROOT, b"link", b"edited").unwrap();
        fs.symlink(&ME, ROOT, b"moved link", b"edited").unwrap();
        let dir = fs.mkdir(&ME, ROOT, b"dir", 0o755).unwrap().ino;
        write(fs, dir, b"in it", b"1\n2\n3\n");
        write(fs, dir, b"too", b"1\n");
    };
    let change = |fs: &Fs| {
        let at = |name: &[u8]| fs.lookup(ROOT, name).unwrap().ino;
        fs.write(at(b"edited"), 0, b"9\n", false).unwrap();
        let size = Some(250);
        fs.setattr(at(b"edited"), &SetAttr { size, ..SetAttr::default() }).unwrap();
        for name in [&b"gone"[..], b"gone and empty", b"becomes a link", b"link"] {
            fs.unlink(ROOT, name).unwrap();
        }
        fs.symlink(&ME, ROOT, b"becomes a link", b"edited").unwrap();
        write(fs, ROOT, b"link", b"a file now\n");
        fs.write(at(b"no end"), 3, b"\n", false).unwrap();
        let mode = Some(0o755);
        fs.setattr(at(b"mode"), &SetAttr { mode, ..SetAttr::default() }).unwrap();
        for name in [&b"tab\tand\nline"[..], b"\xff\xfe", b"quote\"back\\slash"] {
            fs.write(at(name), 0, b"y", false).unwrap();
        }
        let to = b"renamed link";
        fs.rename(ROOT, b"moved link", ROOT, to, RenameMode::NoReplace).unwrap();
        fs.rename(ROOT, b"one", ROOT, b"two", RenameMode::Exchange).unwrap();
        fs.rename(ROOT, b"dir", ROOT, b"to", RenameMode::NoReplace).unwrap();
        let in_it = fs.lookup(at(b"to"), b"in it").unwrap().ino;
        fs.write(in_it, 0, b"8\n", false).unwrap();
        let deep = fs.mkdir(&ME, at(b"to"), b"deep", 0o755).unwrap().ino;
        write(fs, deep, b"new", b"");
        fs.link(at(b"edited"), deep, b"second name").unwrap();
    };
    check(&Pair::make(fill, change), &programs).unwrap();
}

#[test]
fn git_takes_a_directory_in_the_place_of_a_file() {
    let programs = programs("git_takes_a_directory_in_the_place_of_a_file");
    let fill = |fs: &Fs| {
        write(fs, ROOT, b"a", b"1\n");
        let dir = fs.mkdir(&ME, ROOT, b"b", 0o755).unwrap().ino;
        write(fs, dir, b"x", b"2\n");
    };
    let change = |fs: &Fs| {
        fs.rename(ROOT, b"a", ROOT, b"a.tmp", RenameMode::NoReplace).unwrap();
        let dir = fs.mkdir(&ME, ROOT, b"a", 0o755).unwrap().ino;
        fs.rename(ROOT, b"a.tmp", dir, b"x", RenameMode::NoReplace).unwrap();
        let b = fs.lookup(ROOT, b"b").unwrap().ino;
        fs.rename(b, b"x", ROOT, b"c", RenameMode::NoReplace).unwrap();
        fs.rmdir(ROOT, b"b").unwrap();
        fs.rename(ROOT, b"c", ROOT, b"b", RenameMode::NoReplace).unwrap();
    };
    check(&Pair::make(fill, change), &programs).unwrap();
}

#[test]
fn a_patch_with_what_is_no_text_is_refused_or_leaves_it_alone() {
    let test = "a_patch_with_what_is_no_text_is_refused_or_leaves_it_alone";
    let fill = |fs: &Fs| {
        write(fs, ROOT, b"data", b"\0\x01\x02");
        write(fs, ROOT, b"text", b"1\n");
    };
    let change = |fs: &Fs| {
        fs.write(fs.lookup(ROOT, b"data").unwrap().ino, 1, b"x", false).unwrap();
        write(fs, ROOT, b"new data", b"\0");
        fs.write(fs.lookup(ROOT, b"text").unwrap().ino, 0, b"2", false).unwrap();
    };
    let pair = Pair::make(fill, change);
    let (before, patch) = (pair.files("old"), pair.patch("old", "new"));
    let shown = String::from_utf8(patch.clone()).unwrap();
    let digest = format!("{:032x}", xxhash_rust::xxh3::xxh3_128(b"\0x\x02"));
    assert!(shown.contains("\nBinary files a/data and b/data differ\n"), "{shown}");
    assert!(
        shown.contains(&format!("  after: 3 bytes, mode 0644, xxh3-128 {digest}\n")),
        "{shown}"
    );
    assert!(shown.contains("\nBinary files /dev/null and \"b/new data\" differ\n"), "{shown}");
    for program in programs(test) {
        match program[0] {
            "git" => assert!(applied(&before, &patch, program).unwrap_err().contains("data")),
            _ => {
                let found = applied(&before, &patch, program).unwrap();
                assert_eq!(found[&b"data"[..]], before[&b"data"[..]]);
                assert_eq!(found[&b"text"[..]].1, b"2\n");
                assert!(!found.contains_key(&b"new data"[..]));
            }
        }
    }
}

/// One thing done to a tree; what cannot be done is left out.
#[derive(Clone, Debug)]
enum Step {
    Write(usize, Vec<u8>),
    Replace(usize, Vec<u8>),
    Link(usize, Vec<u8>),
    HardLink(usize, usize),
    Directory(usize),
    Remove(usize),
    Move(usize, usize),
    Exchange(usize, usize),
    Mode(usize, bool),
}

const NAMES: [&[u8]; 7] = [b"a", b"b c", b"t\tab", b"n\nl", b"q\"\\", b"\xff", "\u{fc}".as_bytes()];

/// A place in the tree: a name in the root, or in the directory that another name is.
fn place(fs: &Fs, at: usize) -> Option<(Ino, &'static [u8])> {
    let (dir, name) = (at / NAMES.len(), NAMES[at % NAMES.len()]);
    let dir = match dir {
        0 => return Some((ROOT, name)),
        dir => fs.lookup(ROOT, NAMES[dir - 1]).ok().filter(|attr| attr.kind == Kind::Directory)?,
    };
    Some((dir.ino, name))
}

fn take(fs: &Fs, step: &Step) -> Option<()> {
    match step {
        Step::Write(at, text) => {
            let (dir, name) = place(fs, *at)?;
            let found = fs.lookup(dir, name).or_else(|_| fs.create(&ME, dir, name, 0o644)).ok()?;
            let size = Some(text.len() as u64);
            fs.setattr(found.ino, &SetAttr { size, ..SetAttr::default() }).ok()?;
            fs.write(found.ino, 0, text, false).ok()?;
        }
        Step::Replace(at, text) => {
            let (dir, name) = place(fs, *at)?;
            let new = fs.create(&ME, dir, b".new", 0o644).ok()?;
            fs.write(new.ino, 0, text, false).ok()?;
            if fs.rename(dir, b".new", dir, name, RenameMode::Replace).is_err() {
                fs.unlink(dir, b".new").ok()?;
            }
        }
        Step::Link(at, target) => {
            let (dir, name) = place(fs, *at)?;
            fs.symlink(&ME, dir, name, target).ok()?;
        }
        Step::HardLink(at, to) => {
            let ((dir, name), (to, new)) = (place(fs, *at)?, place(fs, *to)?);
            fs.link(fs.lookup(dir, name).ok()?.ino, to, new).ok()?;
        }
        Step::Directory(at) => {
            let (dir, name) = place(fs, *at)?;
            fs.mkdir(&ME, dir, name, 0o755).ok()?;
        }
        Step::Remove(at) => {
            let (dir, name) = place(fs, *at)?;
            fs.unlink(dir, name).or_else(|_| fs.rmdir(dir, name)).ok()?;
        }
        Step::Move(at, to) => {
            let ((dir, name), (to, new)) = (place(fs, *at)?, place(fs, *to)?);
            fs.rename(dir, name, to, new, RenameMode::Replace).ok()?;
        }
        Step::Exchange(at, to) => {
            let ((dir, name), (to, new)) = (place(fs, *at)?, place(fs, *to)?);
            fs.rename(dir, name, to, new, RenameMode::Exchange).ok()?;
        }
        Step::Mode(at, runs) => {
            let (dir, name) = place(fs, *at)?;
            let found = fs.lookup(dir, name).ok().filter(|attr| attr.kind == Kind::File)?;
            let mode = Some(if *runs { 0o755 } else { 0o644 });
            fs.setattr(found.ino, &SetAttr { mode, ..SetAttr::default() }).ok()?;
        }
    }
    Some(())
}

fn step() -> impl Strategy<Value = Step> {
    let at = || 0..NAMES.len() * 3;
    let text = || {
        let line = prop_oneof![Just("\n"), Just("1\n"), Just("2\n"), Just("x\r\n"), Just("-- \n")];
        (prop::collection::vec(line, 0..12), prop_oneof![Just(""), Just("end")])
            .prop_map(|(lines, end)| [&lines.concat(), end].concat().into_bytes())
    };
    let target = prop_oneof![Just(b"a".to_vec()), Just(b"b c".to_vec()), Just(b"\xfe/x".to_vec())];
    prop_oneof![
        4 => (at(), text()).prop_map(|(at, text)| Step::Write(at, text)),
        2 => (at(), text()).prop_map(|(at, text)| Step::Replace(at, text)),
        1 => (at(), target).prop_map(|(at, target)| Step::Link(at, target)),
        1 => (at(), at()).prop_map(|(at, to)| Step::HardLink(at, to)),
        2 => at().prop_map(Step::Directory),
        2 => at().prop_map(Step::Remove),
        3 => (at(), at()).prop_map(|(at, to)| Step::Move(at, to)),
        1 => (at(), at()).prop_map(|(at, to)| Step::Exchange(at, to)),
        1 => (at(), any::<bool>()).prop_map(|(at, runs)| Step::Mode(at, runs)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_patch_makes_one_side_of_the_other(
        fill in prop::collection::vec(step(), 0..20),
        change in prop::collection::vec(step(), 0..20),
    ) {
        let programs = programs("a_patch_makes_one_side_of_the_other");
        let make = |steps: Vec<Step>| move |fs: &Fs| {
            for step in &steps {
                let _ = take(fs, step);
            }
        };
        check(&Pair::make(make(fill), make(change)), &programs)?;
    }
}
