//! Stores that cannot be written: whatever only reads works on them, and leaves them as they are.

mod lab;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use lab::disk::SmallDisk;
use lab::{Lab, Said, is_root, needs_root, said, send, wait_until};
use rustix::fs::{IFlags, ioctl_getflags, ioctl_setflags};

/// Two branches, the one forked from the other, in a store that no process holds.
fn fill(lab: &Lab) {
    let src = lab.make_directory("src");
    fs::write(src.join("note"), "as it was\n").unwrap();
    fs::create_dir(src.join("sub")).unwrap();
    fs::write(src.join("sub/data"), vec![7; 100_000]).unwrap();
    lab.ok(&["import", src.to_str().unwrap(), "main"]);
    fs::write(src.join("note"), "changed\n").unwrap();
    lab.ok(&["import", src.to_str().unwrap(), "other"]);
    lab.ok(&["branch", "fork", "--from", "main"]);
    // As a crash leaves it: the journal holds what no checkpoint has yet.
    if let Some(pid) = lab.holder() {
        send("KILL", pid);
    }
    wait_until("nobody holds the store", || lab.holder().is_none());
}

/// Runs everything that only reads; `run` starts the program with the rights that the case is
/// about.
fn everything_that_reads_works(lab: &Lab, run: impl Fn(&[&str]) -> Said) {
    let beside = |lab: &Lab| {
        let mut names: Vec<_> = fs::read_dir(lab.store().parent().unwrap())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        names.sort();
        names
    };
    let place = lab.make_directory("rescued");
    fs::set_permissions(&place, fs::Permissions::from_mode(0o777)).unwrap();
    let (bytes, before) = (fs::read(lab.store()).unwrap(), beside(lab));
    let ok = |arguments: &[&str]| {
        let said = run(arguments);
        assert_eq!(said.status, 0, "tine {arguments:?}: {said:?}");
        said.out
    };
    for name in ["main", "other", "fork"] {
        assert!(ok(&["list"]).contains(name));
    }
    assert!(ok(&["usage", "--json"]).contains("\"branches\":5"));
    ok(&["usage", "main"]);
    assert!(ok(&["check", "--json"]).contains("\"findings\":[]"));
    assert!(ok(&["diff", "main", "other"]).contains("note"));
    assert!(ok(&["diff", "main", "other", "--patch", "note"]).contains("-as it was\n"));
    assert!(ok(&["status"]).contains("5 branches"));
    assert!(ok(&["status", "fork"]).contains("main, since"));
    assert!(ok(&["diff", "fork", "--json"]).contains("\"changes\":[]"));
    assert!(ok(&["ls", "fork"]).contains("note"));
    assert_eq!(ok(&["cat", "fork", "note"]), "as it was\n");
    let said = run(&["unmount", "fork"]);
    assert!(said.status == 1 && said.err.contains("branch fork is not mounted"), "{said:?}");
    let (out, new) = (place.join("out"), place.join("new.tine"));
    ok(&["export", "fork", out.to_str().unwrap()]);
    assert_eq!(fs::read_to_string(out.join("note")).unwrap(), "as it was\n");
    assert_eq!(fs::read(out.join("sub/data")).unwrap(), vec![7; 100_000]);
    assert!(ok(&["check", "--json", "--repair-to", new.to_str().unwrap()]).contains("\"lost\":[]"));
    assert!(ok(&["postgres", "list", "--json"]).contains("\"servers\":[]"));
    let said = run(&["mount", "main", place.to_str().unwrap(), "--read-only"]);
    assert!(said.status == 1 && said.err.contains("`tine export main DIR`"), "{said:?}");
    for change in
        [&["branch", "new", "--from", "main"][..], &["delete", "main"], &["reset", "fork"]]
    {
        let said = run(change);
        assert_eq!(said.status, 1, "tine {change:?}: {said:?}");
        assert!(said.err.contains("work all the same"), "tine {change:?}: {said:?}");
    }
    assert!(fs::read(lab.store()).unwrap() == bytes, "the store was written");
    assert_eq!(beside(lab), before, "something was made beside the store");
}

#[test]
fn a_store_on_a_file_system_that_became_read_only_is_rescued() {
    if !needs_root("a_store_on_a_file_system_that_became_read_only_is_rescued") {
        return;
    }
    let lab = Lab::on_disk(|directory| SmallDisk::in_memory(directory, 64));
    fill(&lab);
    remount(&lab, "ro");
    everything_that_reads_works(&lab, |arguments| lab.run(arguments));
    remount(&lab, "rw");
    lab.ok(&["branch", "new", "--from", "main"]);
}

fn remount(lab: &Lab, how: &str) {
    let disk = lab.store().parent().unwrap().to_path_buf();
    let options = format!("remount,{how}");
    assert!(Command::new("mount").args(["-o", &options]).arg(disk).status().unwrap().success());
}

#[test]
fn a_file_that_is_immutable_or_read_only_is_rescued() {
    let lab = Lab::new();
    fill(&lab);
    if !is_root() {
        fs::set_permissions(lab.store(), fs::Permissions::from_mode(0o444)).unwrap();
        everything_that_reads_works(&lab, |arguments| lab.run(arguments));
        return;
    }
    if let Err(error) = set_immutable(&lab.store(), true) {
        println!("skipped: a_file_that_is_immutable_or_read_only_is_rescued: {error}");
        return;
    }
    everything_that_reads_works(&lab, |arguments| lab.run(arguments));
    set_immutable(&lab.store(), false).unwrap();
}

fn set_immutable(path: &Path, immutable: bool) -> rustix::io::Result<()> {
    let file = fs::File::open(path).unwrap();
    let mut flags = ioctl_getflags(&file)?;
    flags.set(IFlags::IMMUTABLE, immutable);
    ioctl_setflags(&file, flags)
}

#[test]
fn a_store_of_another_user_is_read_where_that_is_allowed_and_no_process_writes_it() {
    const TEST: &str =
        "a_store_of_another_user_is_read_where_that_is_allowed_and_no_process_writes_it";
    if !is_root() {
        println!("skipped: {TEST}: only root can run a program as another user");
        return;
    }
    let lab = Lab::new();
    fill(&lab);
    fs::set_permissions(lab.path(""), fs::Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(lab.store(), fs::Permissions::from_mode(0o644)).unwrap();
    let as_daemon = |arguments: &[&str]| {
        let mut command = lab.command(arguments);
        command.uid(1).gid(1).current_dir("/");
        command.output().map(said)
    };
    match as_daemon(&["--version"]) {
        Ok(said) if said.status == 0 => {}
        other => {
            println!("skipped: {TEST}: another user cannot run the program: {other:?}");
            return;
        }
    }
    everything_that_reads_works(&lab, |arguments| as_daemon(arguments).unwrap());
    // The other user has it open for writing: that ends reading, and the error names the process.
    let store = tine_store::Store::open(&lab.store(), &tine_store::Options::default()).unwrap();
    let said = as_daemon(&["list", "--json"]).unwrap();
    assert_eq!(said.status, 1, "{said:?}");
    assert!(said.out.contains("\"store-locked\"") || said.out.contains("\"not-permitted\""));
    drop(store);
}
