//! Directories in and out again: everything kept, or nothing made.

mod lab;

use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, UNIX_EPOCH};

use lab::disk::SmallDisk;
use lab::{Lab, is_root, needs_root, said, send, wait_until};
use rustix::fs::{CWD, FileType, Mode, XattrFlags, lgetxattr, lsetxattr, mknodat};
use rustix::io::Errno;

const CAPABILITY: &str = "security.capability";
const ACCESS_LIST: &str = "system.posix_acl_access";
const DEFAULT_LIST: &str = "system.posix_acl_default";

/// What a copy must keep of one entry.
fn describe(path: &Path) -> String {
    let meta = fs::symlink_metadata(path).unwrap();
    let mut value = [0; 64];
    let mut xattr = |name: &str| lgetxattr(path, name, &mut value).map(|len| value[..len].to_vec());
    let xattr = ["user.tine", CAPABILITY, ACCESS_LIST, DEFAULT_LIST].map(|name| xattr(name).ok());
    let content = match meta.file_type() {
        kind if kind.is_file() => format!("{:?}", fs::read(path).unwrap()),
        kind if kind.is_symlink() => format!("{:?}", fs::read_link(path).unwrap()),
        _ => String::new(),
    };
    let times = (meta.mtime(), meta.mtime_nsec());
    let links = if meta.is_dir() { 0 } else { meta.nlink() };
    let size = if meta.is_dir() { 0 } else { meta.size() };
    format!(
        "{:o} {} {} {links} {size} {} {times:?} {xattr:?} {content}",
        meta.mode(),
        meta.uid(),
        meta.gid(),
        meta.rdev(),
    )
}

fn entries(root: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut left = vec![root.to_path_buf()];
    while let Some(path) = left.pop() {
        if fs::symlink_metadata(&path).unwrap().is_dir() {
            left.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
        found.push(path.strip_prefix(root).unwrap().to_str().unwrap().to_owned());
    }
    found.sort();
    found
}

fn assert_same_tree(left: &Path, right: &Path) {
    assert_eq!(entries(left), entries(right));
    for entry in entries(left) {
        let (left, right) = (left.join(&entry), right.join(&entry));
        assert_eq!(describe(&left), describe(&right), "{entry}");
    }
}

/// A directory of everything that a file system can hold.
fn make_zoo(src: &Path) {
    fs::write(src.join("plain"), "text").unwrap();
    fs::write(src.join("empty"), "").unwrap();
    fs::write(
        src.join("large"),
        (0..3_000_001u32).map(|n| (n.wrapping_mul(n) >> 7) as u8).collect::<Vec<_>>(),
    )
    .unwrap();
    fs::hard_link(src.join("plain"), src.join("second name")).unwrap();
    fs::create_dir_all(src.join("deep/er/est")).unwrap();
    fs::hard_link(src.join("plain"), src.join("deep/er/third")).unwrap();
    symlink("plain", src.join("link")).unwrap();
    symlink("/nowhere/at/all", src.join("deep/dangling")).unwrap();
    let hole = fs::File::create(src.join("hole")).unwrap();
    hole.set_len(50 << 20).unwrap();
    hole.write_all_at(b"middle", 20 << 20).unwrap();
    mknodat(CWD, src.join("pipe"), FileType::Fifo, Mode::RUSR, 0).unwrap();
    mknodat(CWD, src.join("socket"), FileType::Socket, Mode::RUSR, 0).unwrap();
    fs::write(src.join("set-id"), "x").unwrap();
    fs::set_permissions(src.join("set-id"), fs::Permissions::from_mode(0o4755)).unwrap();
    lsetxattr(src.join("plain"), "user.tine", b"kept", XattrFlags::empty()).unwrap();
    lsetxattr(src.join("deep"), "user.tine", b"too", XattrFlags::empty()).unwrap();
    fs::write(src.join("name with \n newline"), "x").unwrap();
    // Access lists: owner 7, user 1 6, group 4, mask 6, others 0. What was there before has none.
    fs::create_dir(src.join("shared")).unwrap();
    fs::write(src.join("shared/before"), "x").unwrap();
    let list =
        [(1, 7, u32::MAX), (2, 6, 1), (4, 4, u32::MAX), (0x10, 6, u32::MAX), (0x20, 0, u32::MAX)];
    let entry = |(tag, rights, id): (u8, u8, u32)| [[tag, 0, rights, 0], id.to_le_bytes()].concat();
    let list = [vec![2, 0, 0, 0], list.into_iter().flat_map(entry).collect()].concat();
    for (name, kind) in [("shared", DEFAULT_LIST), ("shared", ACCESS_LIST), ("empty", ACCESS_LIST)]
    {
        match lsetxattr(src.join(name), kind, &list, XattrFlags::empty()) {
            Err(Errno::OPNOTSUPP) => println!("access lists: not on this file system"),
            set => set.unwrap(),
        }
    }
    fs::write(src.join("shared/after"), "x").unwrap();
    if is_root() {
        mknodat(
            CWD,
            src.join("null"),
            FileType::CharacterDevice,
            Mode::RUSR,
            rustix::fs::makedev(1, 3),
        )
        .unwrap();
        std::os::unix::fs::chown(src.join("large"), Some(12345), Some(54321)).unwrap();
        // Revision 2, effective: it may use raw sockets.
        let may = [1, 0, 0, 2, 0, 32, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        lsetxattr(src.join("set-id"), CAPABILITY, &may, XattrFlags::empty()).unwrap();
    }
    let old = UNIX_EPOCH + Duration::new(1_000_000_000, 123_456_789);
    for name in ["large", "deep/er"] {
        let times = fs::FileTimes::new().set_modified(old).set_accessed(old);
        fs::File::open(src.join(name)).unwrap().set_times(times).unwrap();
    }
    fs::set_permissions(src.join("deep"), fs::Permissions::from_mode(0o550)).unwrap();
}

#[test]
fn everything_a_file_system_holds_comes_in_and_goes_out_again() {
    let lab = Lab::new();
    let src = lab.make_directory("src");
    make_zoo(&src);
    lab.ok(&["import", src.to_str().unwrap(), "main"]);
    lab.ok(&["export", "main", &lab.text("out")]);
    let out = lab.path("out");
    // Before anything reads it, which moves the time.
    let accessed = fs::metadata(out.join("large")).unwrap();
    assert_eq!((accessed.atime(), accessed.atime_nsec()), (1_000_000_000, 123_456_789));
    assert_same_tree(&src, &out);
    let hole = fs::metadata(out.join("hole")).unwrap();
    assert!(hole.blocks() * 512 < 1 << 20, "the hole became data: {}", hole.blocks());
    let same = |name: &str| fs::metadata(out.join(name)).unwrap().ino();
    assert_eq!(same("plain"), same("second name"));
    assert_eq!(same("plain"), same("deep/er/third"));
    fs::set_permissions(src.join("deep"), fs::Permissions::from_mode(0o750)).unwrap();
    fs::set_permissions(out.join("deep"), fs::Permissions::from_mode(0o750)).unwrap();
}

#[test]
fn what_a_deleted_branch_held_goes_back_to_the_host_although_no_command_follows() {
    let lab = Lab::new();
    let src = lab.make_directory("src");
    for number in 0..2000u32 {
        let noise: Vec<u8> =
            (0..5000u32).map(|n| ((n * 31) ^ (number * 7) ^ (n >> 3)) as u8).collect();
        fs::write(src.join(number.to_string()), noise.repeat(10)).unwrap();
    }
    let taken = || fs::metadata(lab.store()).unwrap().blocks() * 512;
    lab.ok(&["import", src.to_str().unwrap(), "main"]);
    lab.ok(&["branch", "fork", "--from", "main"]);
    assert!(taken() > 100_000_000);
    lab.ok(&["delete", "main", "fork", "--now"]);
    wait_until("the space is given back", || taken() < 20_000_000);
    wait_until("the holder has gone", || lab.holder().is_none());
    assert_eq!(lab.json(&["usage"])["reclaim_pending_bytes"], 0);
    assert_eq!(lab.json(&["check"])["findings"], serde_json::json!([]));
}

#[test]
fn what_its_owner_may_not_read_is_exported_all_the_same() {
    let lab = Lab::with_main();
    let at = lab.make_directory("at");
    let script = "echo hidden > note; ln note second; chmod 0 note; chmod 0 sub";
    let shut = ["run", "shut", "--from", "main", "--at", at.to_str().unwrap(), "--", "sh", "-c"];
    let said = lab.run(&[&shut[..], &[script]].concat());
    if said.status != 0 {
        println!(
            "skipped: what_its_owner_may_not_read_is_exported_all_the_same: {}",
            said.err.replace('\n', " ")
        );
        return;
    }
    lab.ok(&["export", "shut", &lab.text("out")]);
    let mode = |name: &str| fs::metadata(lab.path("out").join(name)).unwrap().mode() & 0o7777;
    assert_eq!((mode("note"), mode("second"), mode("sub")), (0, 0, 0));
    for (name, mode) in [("note", 0o600), ("sub", 0o700)] {
        let path = lab.path("out").join(name);
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }
    assert_eq!(fs::read_to_string(lab.path("out/second")).unwrap(), "hidden\n");
    assert_eq!(fs::read(lab.path("out/sub/data")).unwrap(), vec![7; 100_000]);
}

#[test]
fn a_fork_is_exported_as_its_base_was_and_a_copy_of_it_is_equal() {
    let lab = Lab::with_main();
    lab.ok(&["branch", "a"]);
    lab.ok(&["export", "a", &lab.text("one")]);
    lab.ok(&["import", &lab.text("one"), "again"]);
    lab.ok(&["export", "again", &lab.text("two")]);
    assert_same_tree(&lab.path("one"), &lab.path("two"));
    assert_eq!(lab.names(), ["a", "again", "main"]);
}

#[test]
fn a_file_that_grows_while_it_is_read_is_named() {
    let lab = Lab::new();
    let src = lab.make_directory("src");
    fs::write(src.join("steady"), vec![1; 64 << 20]).unwrap();
    let path = src.join("growing");
    fs::write(&path, vec![2; 64 << 20]).unwrap();
    let mut child = lab
        .command(&["import", src.to_str().unwrap(), "main", "--json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let file = fs::OpenOptions::new().append(true).open(&path).unwrap();
    while child.try_wait().unwrap().is_none() {
        std::io::Write::write_all(&mut &file, b"more").unwrap();
    }
    let said = said(child.wait_with_output().unwrap());
    assert_eq!(said.status, 1, "{said:?}");
    assert_eq!(lab::object(&said.out)["error"]["code"], "base-changed");
    assert!(said.err.contains("growing: it changed while it was read"), "{said:?}");
    assert!(!said.err.contains("steady"), "{said:?}");
    assert_eq!(lab.names(), Vec::<String>::new());
}

/// What the content of the store takes, with what is half there.
fn data_bytes(lab: &Lab) -> u64 {
    lab.json(&["usage"])["data_bytes"].as_u64().unwrap()
}

#[test]
fn an_interrupted_import_leaves_no_branch_and_the_next_one_works() {
    let lab = Lab::with_main();
    let src = lab.make_directory("big");
    for n in 0..40 {
        fs::write(src.join(format!("f{n}")), vec![n; 8 << 20]).unwrap();
    }
    let before = data_bytes(&lab);
    for signal in ["INT", "TERM", "KILL"] {
        let child = lab
            .command(&["import", src.to_str().unwrap(), "big", "--json"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        wait_until("the copy has begun", || data_bytes(&lab) > before + (8 << 20));
        // What is half there is no branch yet.
        assert_eq!(lab.json(&["usage"])["branches"], 2);
        send(signal, child.id());
        let said = said(child.wait_with_output().unwrap());
        if signal != "KILL" {
            assert_eq!(said.status, 1, "{said:?}");
            assert_eq!(lab::object(&said.out)["error"]["code"], "interrupted");
        }
        wait_until("the copy is gone", || data_bytes(&lab) < before + (1 << 20));
        assert_eq!(lab.names(), ["main"]);
    }
    lab.ok(&["import", src.to_str().unwrap(), "big"]);
    assert_eq!(lab.json(&["check"])["findings"], serde_json::json!([]));
}

#[test]
fn an_import_whose_holder_is_killed_leaves_no_branch() {
    let lab = Lab::with_main();
    let src = lab.make_directory("big");
    for n in 0..40 {
        fs::write(src.join(format!("f{n}")), vec![n; 8 << 20]).unwrap();
    }
    let child = lab
        .command(&["import", src.to_str().unwrap(), "big", "--json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // The branch that is there holds a hundred thousand bytes.
    wait_until("the copy has begun", || data_bytes(&lab) > 8 << 20);
    lab.kill_holder();
    let said = said(child.wait_with_output().unwrap());
    assert_eq!((said.status, lab::object(&said.out)["error"]["code"].as_str()), (1, Some("io")));
    assert_eq!(lab.names(), ["main"]);
    assert_eq!(lab.json(&["usage"])["branches"], 2);
    assert_eq!(lab.json(&["check"])["findings"], serde_json::json!([]));
}

#[test]
fn an_interrupted_export_leaves_nothing() {
    let lab = Lab::new();
    let src = lab.make_directory("big");
    for n in 0..40 {
        fs::write(src.join(format!("f{n}")), vec![n; 8 << 20]).unwrap();
    }
    lab.ok(&["import", src.to_str().unwrap(), "big"]);
    let parent = lab.make_directory("parent");
    let out = parent.join("out");
    let child = lab
        .command(&["export", "big", out.to_str().unwrap(), "--json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    wait_until("the copy has begun", || fs::read_dir(&parent).unwrap().count() > 0);
    send("INT", child.id());
    let said = said(child.wait_with_output().unwrap());
    assert_eq!(said.status, 1, "{said:?}");
    assert_eq!(lab::object(&said.out)["error"]["code"], "interrupted");
    assert_eq!(fs::read_dir(&parent).unwrap().count(), 0);
    assert_eq!(lab.json(&["usage"])["branches"], 2);
}

#[test]
fn a_disk_that_fills_during_an_import_loses_nothing_and_goes_on_when_there_is_space() {
    if !needs_root(
        "a_disk_that_fills_during_an_import_loses_nothing_and_goes_on_when_there_is_space",
    ) {
        return;
    }
    let lab = Lab::on_disk(|directory| SmallDisk::in_memory(directory, 96));
    let small = lab.make_directory("small");
    fs::write(small.join("note"), "kept").unwrap();
    let big = lab.make_directory("big");
    for n in 0..20 {
        fs::write(big.join(format!("f{n}")), vec![n + 1; 8 << 20]).unwrap();
    }
    lab.ok(&["import", small.to_str().unwrap(), "main"]);
    let words = lab.fails(&["import", big.to_str().unwrap(), "big"], "no-space");
    assert!(words.contains("free space"), "{words}");
    assert_eq!(lab.json(&["check"])["findings"], serde_json::json!([]));
    assert_eq!(lab.names(), ["main"]);
    lab.ok(&["export", "main", &lab.text("out")]);
    assert_eq!(fs::read_to_string(lab.path("out/note")).unwrap(), "kept");
    // There is space again once the half-made copy has been reclaimed.
    for n in 4..20 {
        fs::remove_file(big.join(format!("f{n}"))).unwrap();
    }
    wait_until("the space is back", || {
        lab.run(&["import", big.to_str().unwrap(), "big"]).status == 0
    });
}

#[test]
fn a_first_import_that_does_not_fit_leaves_a_store_for_a_smaller_one() {
    if !needs_root("a_first_import_that_does_not_fit_leaves_a_store_for_a_smaller_one") {
        return;
    }
    let lab = Lab::on_disk(|directory| SmallDisk::ext4(directory, 64));
    let source = tempfile::tempdir().unwrap();
    let file = |name: &str, megabytes: usize| {
        fs::write(source.path().join(name), vec![megabytes as u8; megabytes << 20]).unwrap();
    };
    file("large", 80);
    let import = ["import", source.path().to_str().unwrap(), "main"];
    lab.fails(&import, "no-space");
    assert_eq!(lab.json(&["check"])["findings"], serde_json::json!([]));
    fs::remove_file(source.path().join("large")).unwrap();
    file("small", 20);
    wait_until("what the first import wrote is free", || lab.run(&import).status == 0);
    assert_eq!(lab.json(&["check"])["findings"], serde_json::json!([]));
}

#[test]
fn an_export_to_a_full_disk_says_so_and_leaves_nothing() {
    if !needs_root("an_export_to_a_full_disk_says_so_and_leaves_nothing") {
        return;
    }
    let lab = Lab::new();
    let big = lab.make_directory("big");
    fs::write(big.join("f"), vec![1; 32 << 20]).unwrap();
    lab.ok(&["import", big.to_str().unwrap(), "big"]);
    let disk = lab.make_directory("disk");
    let _disk = SmallDisk::in_memory(&disk, 16);
    lab.fails(&["export", "big", disk.join("out").to_str().unwrap()], "no-space");
    assert_eq!(fs::read_dir(&disk).unwrap().count(), 0);
}

#[test]
fn an_import_names_the_links_that_lead_out_of_its_directory() {
    let lab = Lab::new();
    let src = lab.make_directory("src");
    fs::create_dir_all(src.join("a/b")).unwrap();
    fs::write(src.join("a/file"), "x").unwrap();
    fs::create_dir(lab.path("beside")).unwrap();
    for (link, target) in [
        ("inside", "a/b"),
        ("a/b/up", "../../a/file"),
        ("a/dangling", "nowhere"),
        ("absolute", "/etc"),
        ("a/b/climbs", "../../../beside"),
        ("chain", "a/b/climbs"),
    ] {
        symlink(target, src.join(link)).unwrap();
    }
    symlink(src.join("a"), src.join("to-itself")).unwrap();
    let told = lab.json(&["import", src.to_str().unwrap(), "main"]);
    let links = told["outside_links"].as_array().unwrap();
    let named: Vec<_> = links.iter().map(|link| link["path"].as_str().unwrap()).collect();
    assert_eq!(named, ["a/b/climbs", "absolute", "chain", "to-itself"]);
    assert_eq!(links[1]["target"], "/etc");
    assert_eq!(told["outside_links_count"], 4);
    let said = lab.run(&["import", src.to_str().unwrap(), "again"]);
    assert!(said.err.contains("warning: 4 links lead out of"), "{said:?}");
    assert!(said.err.contains("absolute -> /etc"), "{said:?}");
    assert!(lab.run(&["--quiet", "import", src.to_str().unwrap(), "quiet"]).err.is_empty());
}
