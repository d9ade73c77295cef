//! Stores in which something is damaged: mounts end all the same, holders as well, and the way to a
//! repair is free.

mod lab;

use std::fs;
use std::time::{Duration, Instant};

use lab::{Lab, can_mount, wait_until};

/// The first bytes of a node of a tree, in the order of the machine.
const NODE: u32 = 0x646E_7431;
const BLOCK: usize = 4096;

/// A store with the branches `main` and `old`, and files enough for several nodes.
fn filled() -> Lab {
    let lab = Lab::new();
    let src = lab.make_directory("src");
    fs::write(src.join("note"), "as it was").unwrap();
    fs::create_dir(src.join("sub")).unwrap();
    for number in 0..1000 {
        fs::write(src.join(format!("sub/a-name-of-some-length-{number:04}")), "x").unwrap();
    }
    lab.ok(&["import", src.to_str().unwrap(), "main"]);
    wait_until("the holder has gone", || lab.holder().is_none());
    lab
}

/// Turns one bit of each node in which the name stands.
fn rot(lab: &Lab, name: &str) {
    let mut bytes = fs::read(lab.store()).unwrap();
    let mut rotten = 0;
    for address in 0..bytes.len() / BLOCK - 1 {
        let at = address * BLOCK;
        let number = |from: usize| u64::from_ne_bytes(bytes[from..from + 8].try_into().unwrap());
        if bytes[at..at + 4] != NODE.to_ne_bytes() || number(at + 8) != address as u64 {
            continue;
        }
        let node = &bytes[at..at + 2 * BLOCK];
        if let Some(found) = node.windows(name.len()).position(|part| part == name.as_bytes()) {
            bytes[at + found] ^= 1;
            rotten += 1;
        }
    }
    assert!(rotten > 0, "no node has {name}");
    fs::write(lab.store(), bytes).unwrap();
}

/// A store with a damaged node that names in the root do not need. Which names share a node differs
/// from tree to tree, as their order is that of a seeded hash.
fn damaged_apart_from_the_root() -> Lab {
    for _ in 0..50 {
        let lab = filled();
        rot(&lab, "a-name-of-some-length-0500");
        let directory = lab.mount("main");
        let written = fs::write(directory.join("note"), "first");
        lab.ok(&["unmount", "main"]);
        if written.is_ok() {
            return lab;
        }
    }
    panic!("each tree has a name of the root in the damaged node");
}

#[test]
fn a_mount_of_a_damaged_branch_is_taken_off_and_ended_by_force() {
    if !can_mount("a_mount_of_a_damaged_branch_is_taken_off_and_ended_by_force") {
        return;
    }
    let lab = damaged_apart_from_the_root();
    for force in [&[][..], &["--force"]] {
        let directory = lab.mount("main");
        fs::write(directory.join("note"), "kept").unwrap();
        assert!(fs::remove_dir_all(directory.join("sub")).is_err(), "nothing is damaged");
        lab.ok(&[&["unmount", "main"], force].concat());
        assert_eq!(lab.mounts(), Vec::<String>::new());
        lab.ok(&["mount", "main", directory.to_str().unwrap()]);
        assert_eq!(fs::read_to_string(directory.join("note")).unwrap(), "kept");
        lab.ok(&["unmount", "main"]);
    }
    let directory = lab.mount("main");
    fs::write(directory.join("note"), "last").unwrap();
    lab.ok(&["delete", "--force", "main"]);
    assert_eq!(lab.mounts(), Vec::<String>::new());
}

#[test]
fn the_holder_of_a_damaged_store_ends_and_a_repair_does_not_wait_for_it() {
    let lab = filled();
    lab.ok(&["branch", "old"]);
    rot(&lab, "a-name-of-some-length-0500");
    lab.fails(&["export", "main", &lab.text("out")], "store-damaged");
    wait_until("the holder has gone", || lab.holder().is_none());
    // What cannot be freed keeps no holder.
    lab.ok(&["delete", "main", "old"]);
    lab.run(&["import", &lab.text("src"), "new"]);
    let begun = Instant::now();
    lab.run(&["check", "--repair-to", &lab.text("new.tine")]);
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    assert!(lab.path("new.tine").exists());
    wait_until("the holder has gone", || lab.holder().is_none());
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
}

#[test]
fn a_repair_beside_mounts_names_them() {
    if !can_mount("a_repair_beside_mounts_names_them") {
        return;
    }
    let lab = Lab::with_main();
    lab.mount("main");
    let begun = Instant::now();
    let repair = ["check", "--repair-to", &lab.text("new.tine")];
    let words = lab.fails(&repair, "branch-busy");
    assert!(words.contains("branch main") && words.contains("tine unmount main"), "{words}");
    assert!(begun.elapsed() < Duration::from_secs(10));
    assert!(!lab.path("new.tine").exists());
    lab.ok(&["unmount", "main"]);
    lab.ok(&repair);
}
