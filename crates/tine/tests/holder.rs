//! The process that keeps a store open: what it is called, its files next to the store, its limits,
//! its end.

mod lab;

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::time::{Duration, Instant};

use lab::{Lab, can_mount, needs_root, wait_until};

/// The program under limits that a shell sets.
fn limited(lab: &Lab, limits: &str, arguments: &[&str]) -> lab::Said {
    let mut command = Command::new("sh");
    command.args(["-c", &format!("{limits}; exec \"$0\" \"$@\"")]);
    command.arg(env!("CARGO_BIN_EXE_tine")).args(arguments).env("TINE_STORE", lab.store());
    lab::said(command.output().unwrap())
}

#[test]
fn a_store_that_replaces_a_removed_one_is_reached_whoever_ends_first() {
    if !can_mount("a_store_that_replaces_a_removed_one_is_reached_whoever_ends_first") {
        return;
    }
    let lab = Lab::with_main();
    let old = lab.mount("main");
    let old_holder = lab.holder().unwrap();
    let other = lab.text("other.tine");
    lab.ok(&["--store", &other, "init"]);
    lab.ok(&["--store", &other, "import", &lab.text("src/sub"), "main"]);
    // Its holder has gone when its log has.
    wait_until("nothing holds it", || !lab.path("other.tine.log").exists());
    fs::rename(&other, lab.store()).unwrap();

    // The commands are about the store that is there now.
    let new = lab.make_directory("mnt/new");
    lab.ok(&["mount", "main", new.to_str().unwrap()]);
    assert!(new.join("data").exists());
    // The mount of the other is none of its business.
    assert_eq!(fs::read_to_string(old.join("note")).unwrap(), "as it was\n");
    lab.ok(&["unmount", old.to_str().unwrap()]);
    wait_until("the old holder has gone", || !fs::exists(format!("/proc/{old_holder}")).unwrap());
    assert!(lab.path("store.tine.sock").exists());
    assert_eq!(lab.list()[0]["mounted_at"], new.to_str().unwrap());
    lab.ok(&["unmount", "main"]);
    wait_until("the holder has gone", || lab.holder().is_none());
    assert!(!lab.path("store.tine.sock").exists());
    assert!(!lab.path("store.tine.log").exists());
}

#[test]
fn a_link_in_the_place_of_the_log_is_not_followed() {
    if !can_mount("a_link_in_the_place_of_the_log_is_not_followed") {
        return;
    }
    let lab = Lab::with_main();
    let victim = lab.path("victim");
    wait_until("the holder has gone", || lab.holder().is_none());
    symlink(&victim, lab.path("store.tine.log")).unwrap();
    lab.mount("main");
    assert!(!victim.exists());
    lab.ok(&["unmount", "main"]);
    wait_until("the holder has gone", || lab.holder().is_none());
    // What is not its own it does not remove.
    assert!(lab.path("store.tine.log").is_symlink());
}

#[test]
fn a_holder_is_listed_by_the_name_of_the_program() {
    if !can_mount("a_holder_is_listed_by_the_name_of_the_program") {
        return;
    }
    let lab = Lab::with_main();
    lab.mount("main");
    let holder = lab.holder().unwrap();
    assert_eq!(fs::read_to_string(format!("/proc/{holder}/comm")).unwrap(), "tine\n");
    let line = fs::read_to_string(format!("/proc/{holder}/cmdline")).unwrap();
    assert!(line.starts_with("tine\0hold\0"), "{line}");
}

#[test]
fn a_holder_that_may_open_no_more_files_says_so_and_goes_on() {
    if !can_mount("a_holder_that_may_open_no_more_files_says_so_and_goes_on") {
        return;
    }
    let lab = Lab::with_main();
    lab.ok(&["branch", "b", "--count", "20"]);
    wait_until("the holder has gone", || lab.holder().is_none());
    let mut mounted = 0;
    let said = loop {
        let name = format!("b-{}", mounted + 1);
        let directory = lab.make_directory(&format!("mnt/{name}"));
        let arguments = ["--json", "mount", &name, directory.to_str().unwrap()];
        // The first of them starts the holder.
        let said = limited(&lab, "ulimit -n 32", &arguments);
        if said.status != 0 {
            break said;
        }
        mounted += 1;
        assert!(mounted < 20, "the limit allows fewer");
    };
    assert!(mounted >= 3, "{said:?}");
    assert_eq!(lab::object(&said.out)["error"]["code"], "io", "{said:?}");
    assert!(said.err.contains("limit of 32") && said.err.contains("ulimit -n"), "{said:?}");
    assert_eq!(lab.mounts().len(), mounted);
    // The other commands find what they need.
    lab.ok(&["export", "main", &lab.text("out")]);
    lab.ok(&["import", &lab.text("src"), "again"]);
    for number in 1..=mounted {
        lab.ok(&["unmount", &format!("b-{number}")]);
    }
}

#[test]
fn a_command_that_a_holder_has_no_descriptor_for_is_told() {
    if !can_mount("a_command_that_a_holder_has_no_descriptor_for_is_told") {
        return;
    }
    let lab = Lab::with_main();
    let directory = lab.make_directory("mnt/main");
    wait_until("the holder has gone", || lab.holder().is_none());
    let said = limited(&lab, "ulimit -n 32", &["mount", "main", directory.to_str().unwrap()]);
    assert_eq!(said.status, 0, "{said:?}");
    let connect = || UnixStream::connect(lab.path("store.tine.sock")).unwrap();
    let idle: Vec<UnixStream> = (0..40).map(|_| connect()).collect();
    let begun = Instant::now();
    let words = lab.fails(&["list"], "io");
    assert!(words.contains("limit of 32"), "{words}");
    assert!(begun.elapsed() < Duration::from_secs(30));
    drop(idle);
    wait_until("commands are served again", || lab.run(&["list"]).status == 0);
    lab.ok(&["unmount", "main"]);
}

#[test]
fn an_import_with_too_few_threads_ends_in_order() {
    if !needs_root("an_import_with_too_few_threads_ends_in_order") {
        return;
    }
    // A user that nothing else runs as; its own limit counts what a test starts alone.
    const USER: u32 = 54_321;
    let lab = Lab::bare();
    let src = lab.make_directory("src");
    for number in 0..50 {
        fs::write(src.join(number.to_string()), "x").unwrap();
    }
    for place in ["", "src"] {
        std::os::unix::fs::chown(lab.path(place), Some(USER), Some(USER)).unwrap();
    }
    // The binary may lie where the user cannot go.
    let program = lab.path("tine");
    fs::copy(env!("CARGO_BIN_EXE_tine"), &program).unwrap();
    let command = |threads: u32| {
        let mut command = Command::new("setpriv");
        command.args(["--reuid", &USER.to_string(), "--regid", &USER.to_string()]);
        command.args(["--clear-groups", "prlimit", &format!("--nproc={threads}"), "--"]);
        command.arg(&program).current_dir("/").env("TINE_STORE", lab.store());
        command.env("HOME", lab.path("")).env_remove("XDG_RUNTIME_DIR");
        command
    };
    let init = command(100).arg("init").output().unwrap();
    assert!(init.status.success(), "{init:?}");
    let mut ended = [0, 0];
    for threads in (2..20).step_by(2) {
        let name = format!("b{threads}");
        let output = command(threads).args(["import", &lab.text("src"), &name]).output().unwrap();
        let said = lab::said(output);
        assert!(!said.err.contains("panicked") && !said.err.contains("defect"), "{said:?}");
        assert!(said.status == 0 || said.err.contains("error: "), "{threads}: {said:?}");
        wait_until("the holder has gone", || lab.holder().is_none());
        let log = fs::read_to_string(lab.path("store.tine.log")).unwrap_or_default();
        assert!(!log.contains("panicked"), "{threads}: {log}");
        let listed = command(100).args(["list"]).output().unwrap();
        let listed = lab::said(listed);
        assert_eq!(listed.out.contains(&name), said.status == 0, "{threads}: {listed:?} {said:?}");
        ended[usize::from(said.status == 0)] += 1;
    }
    assert!(ended[0] > 0 && ended[1] > 0, "{ended:?}");
}

#[test]
fn an_init_that_fails_leaves_nothing() {
    let lab = Lab::bare();
    let store = lab.text("new/deep/store.tine");
    let failing = |limits: &str| {
        let said = limited(&lab, limits, &["--store", &store, "init"]);
        if said.status == 0 {
            fs::remove_dir_all(lab.path("new")).unwrap();
        } else {
            assert!(said.err.contains("error: "), "{limits}: {said:?}");
            assert!(!lab.path("new").exists(), "{limits}: {said:?}");
        }
        said.status
    };
    assert_eq!(failing("ulimit -f 8"), 1);
    // At each of its steps.
    (4..9).for_each(|files| {
        failing(&format!("ulimit -n {files}"));
    });
    // What was there before stays.
    fs::create_dir(lab.path("new")).unwrap();
    let said = limited(&lab, "ulimit -f 8", &["--store", &store, "init"]);
    assert_eq!(said.status, 1, "{said:?}");
    assert_eq!(fs::read_dir(lab.path("new")).unwrap().count(), 0);
}
