//! Branches looked into without a mount.

mod lab;

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::process::Stdio;

use lab::{Lab, can_mount};

fn with_tree() -> Lab {
    let lab = Lab::new();
    let tree = lab.make_directory("tree");
    fs::create_dir_all(tree.join("a/b")).unwrap();
    fs::write(tree.join("a/b/file"), "in the file\n").unwrap();
    fs::write(tree.join(std::ffi::OsStr::from_bytes(b"odd\x1b\xff")), "odd").unwrap();
    for (link, target) in [
        ("to-b", "a/b"),
        ("a/up", "../a/b/file"),
        ("out", "/etc"),
        ("climbs", "../../x"),
        ("loop", "loop"),
    ] {
        symlink(target, tree.join(link)).unwrap();
    }
    lab.ok(&["import", tree.to_str().unwrap(), "main"]);
    lab
}

#[test]
fn ls_lists_a_directory_sorted_and_controls_no_terminal() {
    let lab = with_tree();
    let listed = lab.json(&["ls", "main"]);
    let names: Vec<&str> = listed["entries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["a", "climbs", "loop", "odd\u{1b}\u{fffd}", "out", "to-b"]);
    assert_eq!(listed["entries"][3]["name_bytes"], "b2RkG/8=");
    assert_eq!(listed["entries"][4]["target"], "/etc");
    assert_eq!(listed["entries"][0]["kind"], "directory");
    let words = lab.ok(&["ls", "main"]);
    assert!(words.contains(r"odd\u{1b}\xff") && !words.contains('\u{1b}'), "{words}");
    assert!(words.lines().next().unwrap().ends_with("  a/"), "{words}");
    let file = lab.json(&["ls", "main", "/to-b/./file"]);
    assert_eq!(
        (&file["entries"][0]["name"], &file["entries"][0]["bytes"]),
        (&"file".into(), &12.into())
    );
}

#[test]
fn cat_prints_bytes_and_follows_links_that_stay_inside() {
    let lab = with_tree();
    for path in ["a/b/file", "/a/b/file", "to-b/file", "a/up", "a/b/../b/file"] {
        assert_eq!(lab.ok(&["cat", "main", path]), "in the file\n", "{path}");
    }
    for path in ["out", "out/passwd", "climbs", "loop", "..", "a/../..", "gone", "a/b/file/x", "a"]
    {
        let said = lab.run(&["cat", "main", path]);
        assert_eq!((said.status, said.out.as_str()), (1, ""), "{path}: {said:?}");
        assert!(said.err.contains(&format!("{path} of branch main")), "{said:?}");
    }
    let said = lab.run(&["cat", "main", "x\nhint: do harm\u{1b}[2J"]);
    assert!(said.err.lines().count() == 2 && said.err.contains(r"x\nhint: do"), "{said:?}");
    let said = lab.run(&["cat", "gone", "a"]);
    assert!(said.status == 1 && said.err.contains("gone"), "{said:?}");
    lab.fails(&["cat", "main", "a/b/file"], "usage");
    assert_eq!(lab.names(), ["main"], "nothing is left of the looks");
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    let lab = Lab::new();
    let tree = lab.make_directory("tree");
    fs::write(tree.join("large"), vec![7; 20 << 20]).unwrap();
    lab.ok(&["import", tree.to_str().unwrap(), "main"]);
    let mut child = lab.command(&["cat", "main", "large"]).stdout(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let output = lab.command(&["cat", "main", "large"]).output().unwrap();
    assert!(output.stdout == vec![7; 20 << 20]);
}

#[test]
fn a_look_into_a_mounted_branch_sees_what_was_written_last() {
    if !can_mount("a_look_into_a_mounted_branch_sees_what_was_written_last") {
        return;
    }
    let lab = with_tree();
    let mount = lab.make_directory("mnt");
    lab.ok(&["mount", "main", mount.to_str().unwrap()]);
    fs::write(mount.join("a/new"), "written last").unwrap();
    assert_eq!(lab.ok(&["cat", "main", "a/new"]), "written last");
    lab.ok(&["unmount", "main"]);
}

#[test]
fn a_look_changes_nothing_of_what_a_branch_is_said_to_hold_alone() {
    if !can_mount("a_look_changes_nothing_of_what_a_branch_is_said_to_hold_alone") {
        return;
    }
    let lab = with_tree();
    lab.ok(&["branch", "fork", "--from", "main"]);
    let mount = lab.mount("fork");
    fs::write(mount.join("new"), "its own").unwrap();
    lab.ok(&["unmount", "fork"]);
    let alone = || lab.json(&["usage", "fork"])["exclusive_bytes"].as_u64().unwrap();
    let before = alone();
    assert!(before > 0);
    for _ in 0..5 {
        lab.ok(&["cat", "fork", "new"]);
        assert_eq!(alone(), before);
        lab.ok(&["ls", "fork"]);
        let rows = lab.list();
        let row = rows.iter().find(|row| row["name"] == "fork").unwrap();
        assert_eq!(row["exclusive_bytes"].as_u64(), Some(before));
    }
}
