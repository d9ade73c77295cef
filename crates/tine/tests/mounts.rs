//! Branches as directories: several at once, busy ones, dead holders, and forks that miss nothing.

mod lab;

use std::fs;
use std::io::{BufRead, Write};
use std::process::{Command, Stdio};
use std::time::Duration;

use lab::{Lab, can_mount, is_root, needs_root, send, wait_until};

#[test]
fn a_command_in_another_process_namespace_reaches_the_holder() {
    let test = "a_command_in_another_process_namespace_reaches_the_holder";
    if !needs_root(test) || !can_mount(test) {
        return;
    }
    let lab = Lab::with_main();
    lab.make_directory("mnt");
    lab.ok(&["mount", "main", &lab.text("mnt")]);
    let mut command = Command::new("unshare");
    command.args(["--pid", "--fork", env!("CARGO_BIN_EXE_tine"), "list"]);
    let output = command.env("TINE_STORE", lab.store()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    lab.ok(&["unmount", "main"]);
}

#[test]
fn a_directory_where_a_branch_is_mounted_already_is_named_with_that_branch() {
    if !can_mount("a_directory_where_a_branch_is_mounted_already_is_named_with_that_branch") {
        return;
    }
    let lab = Lab::with_main();
    lab.ok(&["create", "empty"]);
    lab.ok(&["branch", "other", "--from", "main"]);
    let place = lab.make_directory("mnt");
    let place = place.to_str().unwrap();
    lab.ok(&["mount", "empty", place]);
    let words = lab.fails(&["mount", "other", place], "branch-busy");
    assert!(words.contains("branch empty") && words.contains("tine unmount /"), "{words}");
    lab.ok(&["unmount", place]);
}

#[test]
fn a_store_that_was_moved_while_it_serves_is_told_by_its_former_path() {
    if !can_mount("a_store_that_was_moved_while_it_serves_is_told_by_its_former_path") {
        return;
    }
    let lab = Lab::with_main();
    lab.make_directory("mnt");
    lab.ok(&["mount", "main", &lab.text("mnt")]);
    let moved = lab.text("moved.tine");
    fs::rename(lab.store(), &moved).unwrap();
    let words = lab.fails(&["list", "--store", &moved], "store-locked");
    let former = fs::canonicalize(lab.path("")).unwrap().join(lab.store().file_name().unwrap());
    assert!(words.contains(former.to_str().unwrap()), "{words}");
    fs::rename(&moved, lab.store()).unwrap();
    lab.ok(&["unmount", "main"]);
}

#[test]
fn a_mounted_branch_is_not_renamed_and_no_flag_is_advised_that_there_is_not() {
    if !can_mount("a_mounted_branch_is_not_renamed_and_no_flag_is_advised_that_there_is_not") {
        return;
    }
    let lab = Lab::with_main();
    lab.make_directory("mnt");
    lab.ok(&["mount", "main", &lab.text("mnt")]);
    let words = lab.fails(&["rename", "main", "other"], "branch-busy");
    assert!(words.contains("tine unmount main") && !words.contains("--force"), "{words}");
    let words = lab.fails(&["delete", "main"], "branch-busy");
    assert!(words.contains("--force"), "{words}");
    lab.ok(&["unmount", "main"]);
    lab.ok(&["rename", "main", "other"]);
}

#[test]
fn only_root_has_set_id_bits_and_devices_heeded() {
    if !can_mount("only_root_has_set_id_bits_and_devices_heeded") {
        return;
    }
    let lab = Lab::with_main();
    let directory = lab.make_directory("mnt");
    let place = directory.to_str().unwrap();
    let heed = ["mount", "main", place, "--suid", "--dev"];
    if !is_root() {
        let words = lab.fails(&heed, "not-permitted");
        assert!(words.contains("leave out --suid and --dev"), "{words}");
        assert_eq!(lab.mounts(), Vec::<String>::new());
        return;
    }
    let options = |arguments: &[&str]| {
        lab.ok(arguments);
        let table = fs::read_to_string("/proc/self/mountinfo").unwrap();
        lab.ok(&["unmount", "main"]);
        let line = table.lines().find(|line| line.contains(place)).unwrap().to_owned();
        line.split(' ').nth(5).unwrap().to_owned()
    };
    let plain = options(&heed[..3]);
    assert!(plain.contains("nosuid") && plain.contains("nodev"), "{plain}");
    let heeded = options(&heed);
    assert!(!heeded.contains("nosuid") && !heeded.contains("nodev"), "{heeded}");
}

#[test]
fn several_branches_are_mounted_at_once_and_stay_apart() {
    if !can_mount("several_branches_are_mounted_at_once_and_stay_apart") {
        return;
    }
    let lab = Lab::with_main();
    lab.ok(&["branch", "a"]);
    lab.ok(&["branch", "b"]);
    let directories = ["main", "a", "b"].map(|name| lab.mount(name));
    for (n, directory) in directories.iter().enumerate() {
        fs::write(directory.join("note"), format!("of {n}\n")).unwrap();
    }
    for (n, directory) in directories.iter().enumerate() {
        assert_eq!(fs::read_to_string(directory.join("note")).unwrap(), format!("of {n}\n"));
        assert_eq!(fs::read(directory.join("sub/data")).unwrap(), vec![7; 100_000]);
    }
    for row in lab.list().iter().filter(|row| row["name"] != "main@import") {
        let directory = lab.path("mnt").join(row["name"].as_str().unwrap());
        assert_eq!(row["mounted_at"], directory.to_str().unwrap());
    }
    for name in ["main", "a", "b"] {
        assert_eq!(lab.json(&["unmount", name])["branch"], name);
    }
    assert_eq!(lab.mounts(), Vec::<String>::new());
    wait_until("the holder has gone", || lab.holder().is_none());
    assert!(!lab.path("store.tine.sock").exists());
    assert!(!lab.path("store.tine.log").exists());
    let changes = lab.json(&["diff", "a"])["changes"].clone();
    assert_eq!(changes[0]["path"], "note");
    assert_eq!(changes[0]["change"], "modified");
    assert_eq!(fs::read_to_string(lab.path("src/note")).unwrap(), "as it was\n");
}

#[test]
fn a_fork_of_a_mounted_branch_has_every_write_that_finished_before() {
    if !can_mount("a_fork_of_a_mounted_branch_has_every_write_that_finished_before") {
        return;
    }
    let lab = Lab::with_main();
    let path = lab.mount("main").join("open");
    // Another process keeps the file open: closing it, as starting a command from here would in the
    // child, hands the data over by itself.
    let mut writer = Command::new("perl")
        .args(["-e", WRITER])
        .arg(&path)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut orders = writer.stdin.take().unwrap();
    let mut answers = std::io::BufReader::new(writer.stdout.take().unwrap()).lines();
    for round in 1..=5u8 {
        writeln!(orders, "{round}").unwrap();
        assert_eq!(answers.next().unwrap().unwrap(), "written");
        let name = format!("f{round}");
        let made = lab.json(&["branch", &name, "--from", "main"]);
        assert!(made["created"][0]["flush_us"].as_u64().unwrap() > 0);
        lab.ok(&["export", &name, &lab.text(&name)]);
        let copied = fs::read(lab.path(&name).join("open")).unwrap();
        let missing =
            copied.chunks(4096).filter(|block| block.iter().any(|&it| it != round)).count();
        assert_eq!((copied.len(), missing), (32 << 20, 0), "round {round}");
        fs::remove_dir_all(lab.path(&name)).unwrap();
    }
    drop(orders);
    assert!(writer.wait().unwrap().success());
    lab.ok(&["unmount", "main"]);
}

/// Fills a file that it keeps open with the number it is given, block by block in a scattered
/// order.
const WRITER: &str = r#"
    $| = 1;
    open F, "+>", $ARGV[0] or die;
    while (<STDIN>) {
        my $block = chr($_) x 4096;
        for my $n (0 .. 8191) {
            sysseek F, ($n * 5167 % 8192) * 4096, 0 or die;
            syswrite(F, $block) == 4096 or die;
        }
        print "written\n";
    }
"#;

#[test]
fn a_fork_without_a_flush_does_not_wait() {
    if !can_mount("a_fork_without_a_flush_does_not_wait") {
        return;
    }
    let lab = Lab::with_main();
    let directory = lab.mount("main");
    let mut file = fs::File::create(directory.join("open")).unwrap();
    file.write_all(&[1; 4096]).unwrap();
    let made = lab.json(&["branch", "a", "--no-flush"]);
    assert_eq!(made["created"][0]["flush_us"], 0);
}

#[test]
fn a_branch_has_one_mount_at_a_time() {
    if !can_mount("a_branch_has_one_mount_at_a_time") {
        return;
    }
    let lab = Lab::with_main();
    let directory = lab.make_directory("mnt/main");
    let directory = directory.to_str().unwrap();
    let mounted = lab.json(&["mount", "main", directory]);
    let expected = serde_json::json!({"version": 1, "branch": "main", "directory": directory});
    assert_eq!(mounted, expected);
    let other = lab.make_directory("other");
    let words = lab.fails(&["mount", "main", other.to_str().unwrap()], "branch-busy");
    assert!(words.contains("tine branch NEW --from main"), "{words}");
    assert_eq!(lab.mounts().len(), 1);
    lab.fails(&["unmount", "nobody"], "branch-not-found");
    lab.ok(&["branch", "a"]);
    lab.fails(&["unmount", "a"], "not-mounted");
}

#[test]
fn a_mounted_branch_is_deleted_reset_and_renamed_only_by_force() {
    if !can_mount("a_mounted_branch_is_deleted_reset_and_renamed_only_by_force") {
        return;
    }
    let lab = Lab::with_main();
    lab.ok(&["branch", "a"]);
    let directory = lab.mount("a");
    fs::write(directory.join("note"), "changed").unwrap();
    for arguments in [&["delete", "a"][..], &["reset", "a"], &["rename", "a", "b"]] {
        lab.fails(arguments, "branch-busy");
    }
    assert_eq!(fs::read_to_string(directory.join("note")).unwrap(), "changed");
    // An open file does not keep it: programs that use it get errors, and nothing hangs.
    let open = fs::File::open(directory.join("note")).unwrap();
    lab.ok(&["reset", "a", "--force"]);
    assert_eq!(lab.mounts(), Vec::<String>::new());
    assert!(open.metadata().is_err() || fs::read_dir(&directory).unwrap().next().is_none());
    assert_eq!(lab.json(&["diff", "a"])["changes"], serde_json::json!([]));
    let directory = lab.mount("a");
    assert_eq!(fs::read_to_string(directory.join("note")).unwrap(), "as it was\n");
    lab.ok(&["delete", "a", "--force"]);
    assert_eq!(lab.mounts(), Vec::<String>::new());
    assert_eq!(lab.names(), ["main"]);
}

#[test]
fn a_mount_in_use_is_unmounted_only_by_force() {
    if !can_mount("a_mount_in_use_is_unmounted_only_by_force") {
        return;
    }
    let lab = Lab::with_main();
    let directory = lab.mount("main");
    let open = fs::File::open(directory.join("note")).unwrap();
    let words = lab.fails(&["unmount", "main"], "branch-busy");
    assert!(words.contains(&format!("process {} (", std::process::id())), "{words}");
    lab.fails(&["delete", "main"], "branch-busy");
    // Nothing has changed: what is written still gets into the branch.
    fs::write(directory.join("later"), "x").unwrap();
    drop(open);
    lab.ok(&["unmount", "main"]);
    let directory = lab.mount("main");
    assert!(directory.join("later").exists());
}

#[test]
fn a_new_store_does_not_take_the_place_of_a_removed_one_that_is_still_served() {
    if !can_mount("a_new_store_does_not_take_the_place_of_a_removed_one_that_is_still_served") {
        return;
    }
    let lab = Lab::with_main();
    lab.mount("main");
    fs::remove_file(lab.store()).unwrap();
    lab.fails(&["init"], "store-locked");
    lab.ok(&["unmount", "main"]);
    lab.ok(&["init"]);
    assert_eq!(lab.names(), Vec::<String>::new());
}

#[test]
fn a_snapshot_is_mounted_read_only() {
    if !can_mount("a_snapshot_is_mounted_read_only") {
        return;
    }
    let lab = Lab::with_main();
    lab.ok(&["snapshot", "main", "s"]);
    let directory = lab.mount("s");
    let error = fs::write(directory.join("note"), "x").unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ReadOnlyFilesystem);
    assert_eq!(fs::read_to_string(directory.join("note")).unwrap(), "as it was\n");
}

#[test]
fn a_mount_point_must_be_an_empty_directory() {
    let lab = Lab::with_main();
    fs::write(lab.path("file"), "x").unwrap();
    for (place, why) in
        [("src", "not empty"), ("file", "not a directory"), ("nowhere", "no such directory")]
    {
        let words = lab.fails(&["mount", "main", &lab.text(place)], "io");
        assert!(words.contains(why), "{words}");
    }
    lab.make_directory("empty");
    lab.fails(&["mount", "nobody", &lab.text("empty")], "branch-not-found");
}

#[test]
fn without_dev_fuse_a_mount_and_a_run_say_what_is_missing() {
    if !needs_root("without_dev_fuse_a_mount_and_a_run_say_what_is_missing") {
        return;
    }
    let lab = Lab::with_main();
    let empty = lab.make_directory("empty");
    let hidden = lab.make_directory("dev");
    // In a mount namespace of its own, /dev is an empty directory but for what a shell needs.
    let script = "mount --bind \"$1\" /dev && shift && exec \"$@\"";
    for verb in
        [&["mount", "main", empty.to_str().unwrap()][..], &["run", "--from", "main", "--", "true"]]
    {
        let mut command = Command::new("unshare");
        command.args(["-m", "sh", "-c", script, "sh"]).arg(&hidden);
        command.arg(env!("CARGO_BIN_EXE_tine")).args(verb).env("TINE_STORE", lab.store());
        fs::write(hidden.join("null"), "").unwrap();
        let said = lab::said(command.stdin(Stdio::null()).output().unwrap());
        assert_eq!(said.status, 1, "{said:?}");
        assert!(said.err.contains("/dev/fuse") && said.err.contains("modprobe fuse"), "{said:?}");
    }
    assert_eq!(lab.mounts(), Vec::<String>::new());
    assert_eq!(
        lab.names(),
        ["main"],
        "a branch that was made for a command that never began stays"
    );
}

#[test]
fn after_the_holder_is_killed_the_next_command_tidies_up_and_nothing_synced_is_lost() {
    if !can_mount(
        "after_the_holder_is_killed_the_next_command_tidies_up_and_nothing_synced_is_lost",
    ) {
        return;
    }
    let lab = Lab::with_main();
    lab.ok(&["branch", "a"]);
    let (main, a) = (lab.mount("main"), lab.mount("a"));
    let mut file = fs::File::create(main.join("synced")).unwrap();
    file.write_all(b"kept").unwrap();
    file.sync_all().unwrap();
    drop(file);
    lab.kill_holder();
    // A request that is under way while the kernel takes the connection down gets ECONNABORTED.
    wait_until("the mount says that it is not connected", || {
        let error = fs::read_dir(&a).err().and_then(|error| error.raw_os_error());
        error == Some(rustix::io::Errno::NOTCONN.raw_os_error())
    });
    assert_eq!(lab.names(), ["a", "main"]);
    assert_eq!(lab.mounts(), Vec::<String>::new());
    assert!(!lab.path("store.tine.sock").exists());
    let main = lab.mount("main");
    assert_eq!(fs::read_to_string(main.join("synced")).unwrap(), "kept");
    lab.ok(&["unmount", "main"]);
    assert_eq!(lab.json(&["check"])["findings"], serde_json::json!([]));
}

#[test]
fn a_holder_that_is_told_to_end_saves_what_it_has() {
    if !can_mount("a_holder_that_is_told_to_end_saves_what_it_has") {
        return;
    }
    let lab = Lab::with_main();
    let main = lab.mount("main");
    fs::write(main.join("written"), "and closed").unwrap();
    send("TERM", lab.holder().unwrap());
    wait_until("the holder has gone", || lab.holder().is_none());
    // The directory is still taken by the dead mount, until the command that is to use it comes.
    let said = lab.run(&["mount", "main", main.to_str().unwrap()]);
    assert_eq!(said.status, 0, "{said:?}");
    assert_eq!(fs::read_to_string(main.join("written")).unwrap(), "and closed");
}

#[test]
fn commands_go_on_while_branches_are_mounted_and_written() {
    if !can_mount("commands_go_on_while_branches_are_mounted_and_written") {
        return;
    }
    let lab = Lab::with_main();
    let main = lab.mount("main");
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut n = 0u32;
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                fs::write(main.join(format!("f{}", n % 50)), vec![n as u8; 20_000]).unwrap();
                n += 1;
            }
        });
        for n in 0..10 {
            lab.ok(&["branch", &format!("b{n}"), "--from", "main"]);
        }
        lab.ok(&["import", &lab.text("src"), "beside"]);
        lab.ok(&["delete", "b3", "b7"]);
        assert_eq!(lab.json(&["check"])["findings"], serde_json::json!([]));
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    assert_eq!(lab.names().len(), 10);
    lab.ok(&["unmount", "main"]);
    assert_eq!(lab.json(&["check"])["findings"], serde_json::json!([]));
}

#[test]
fn importing_a_mount_of_the_same_store_is_refused_with_the_better_way() {
    if !can_mount("importing_a_mount_of_the_same_store_is_refused_with_the_better_way") {
        return;
    }
    let lab = Lab::with_main();
    let main = lab.mount("main");
    for source in [main.join("sub"), lab.path("mnt")] {
        let words = lab.fails(&["import", source.to_str().unwrap(), "x"], "unsupported");
        assert!(words.contains("tine branch NEW --from main"), "{words}");
    }
}

#[test]
fn a_mount_in_the_foreground_ends_with_ctrl_c() {
    if !can_mount("a_mount_in_the_foreground_ends_with_ctrl_c") {
        return;
    }
    let lab = Lab::with_main();
    let directory = lab.make_directory("mnt");
    let mut child = lab
        .command(&["mount", "main", directory.to_str().unwrap(), "--foreground"])
        .spawn()
        .unwrap();
    wait_until("it is mounted", || directory.join("note").exists());
    std::thread::sleep(Duration::from_millis(200));
    assert!(child.try_wait().unwrap().is_none());
    send("INT", child.id());
    assert_eq!(lab::wait(child), 0);
    assert_eq!(lab.mounts(), Vec::<String>::new());
}
