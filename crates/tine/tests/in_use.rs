//! Mounts that something keeps: copies in other mount namespaces, open files, other users, and how
//! they end.

mod lab;

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use lab::{Bystander, Lab, can_mount, can_run, is_root, needs_root, wait_until};
use serde_json::Value;

/// The namespaces that these tests make have copies of all mounts that there are at that moment.
fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn umount(flags: &[&str], directory: &Path) {
    let helper = if is_root() { "umount" } else { "fusermount3" };
    let flags = if is_root() { flags.to_vec() } else { vec!["-u"; 1] };
    let output = Command::new(helper).args(flags).arg(directory).output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn a_copy_of_a_mount_in_a_container_is_named_and_ended_by_force() {
    let _alone = alone();
    if !can_mount("a_copy_of_a_mount_in_a_container_is_named_and_ended_by_force") {
        return;
    }
    let lab = Lab::with_main();
    lab.ok(&["branch", "other"]);
    for by_hand in [false, true] {
        let directory = lab.mount("main");
        let container = Bystander::in_a_namespace();
        fs::write(directory.join("note"), "changed").unwrap();
        if by_hand {
            umount(&[], &directory);
        }
        let words = lab.fails(&["unmount", "main"], "branch-busy");
        assert!(words.contains(&container.name()), "{words}");
        assert!(!words.contains("tine unmount"), "{words}");
        assert_eq!(lab.mounts(), Vec::<String>::new());
        for command in [
            &["mount", "main", directory.to_str().unwrap()][..],
            &["run", "main", "--", "true"],
            &["delete", "main"],
            &["reset", "main", "--to", "other"],
            &["rename", "main", "renamed"],
        ] {
            let words = lab.fails(command, "branch-busy");
            assert!(words.contains(&container.name()), "{command:?}: {words}");
        }
        // What is not about that branch works, as do forks of it.
        lab.mount("other");
        lab.ok(&["unmount", "other"]);
        lab.ok(&["branch", &format!("fork-{by_hand}"), "--from", "main"]);
        lab.ok(&["postgres", "list"]);

        lab.ok(&["unmount", "main", "--force"]);
        let again = lab.mount("main");
        assert_eq!(fs::read_to_string(again.join("note")).unwrap(), "changed");
        lab.ok(&["unmount", "main"]);
    }
}

#[test]
fn a_mount_that_is_off_its_directory_is_listed_so_and_ended_by_it() {
    let _alone = alone();
    if !can_mount("a_mount_that_is_off_its_directory_is_listed_so_and_ended_by_it") {
        return;
    }
    let lab = Lab::with_main();
    let directory = lab.mount("main");
    let place = directory.to_str().unwrap();
    let container = Bystander::in_a_namespace();
    umount(&[], &directory);
    let row = lab.list().remove(0);
    assert_eq!((&row["mounted_at"], &row["taken_off"]), (&Value::Null, &Value::from(place)));
    assert!(row["kept_by"].as_str().unwrap().contains(&container.name()), "{row}");
    assert!(lab.ok(&["list"]).contains(&format!("off {place}, but still in use: ")));
    let words = lab.fails(&["unmount", place], "branch-busy");
    assert!(words.contains(&container.name()), "{words}");
    assert_eq!(lab.json(&["unmount", place, "--force"])["branch"], "main");
    lab.fails(&["unmount", place], "not-mounted");
}

#[test]
fn a_loop_device_and_an_overlay_over_a_mount_are_named() {
    let _alone = alone();
    if !needs_root("a_loop_device_and_an_overlay_over_a_mount_are_named") {
        return;
    }
    let lab = Lab::with_main();
    let directory = lab.mount("main");
    fs::create_dir(directory.join("low")).unwrap();
    let over = lab.make_directory("over");
    let layers = format!("lowerdir={0}/low:{0}/sub", directory.display());
    let mut command = Command::new("mount");
    command.args(["-t", "overlay", "none", "-o", &layers]).arg(&over);
    match command.output().unwrap() {
        output if output.status.success() => {
            let words = lab.fails(&["unmount", "main"], "branch-busy");
            assert!(words.contains(&format!("overlay mounted at {}", over.display())), "{words}");
            umount(&[], &over);
            // With the overlay it ends by itself.
            wait_until("the mount has ended", || lab.list()[0]["taken_off"].is_null());
            lab.mount("main");
        }
        output => println!("skipped: an overlay: {output:?}"),
    }
    let image = directory.join("image");
    fs::File::create(&image).unwrap().set_len(1 << 20).unwrap();
    let output = Command::new("losetup").args(["-f", "--show"]).arg(&image).output().unwrap();
    if !output.status.success() {
        println!("skipped: a loop device: {output:?}");
        return;
    }
    let device = String::from_utf8(output.stdout).unwrap().trim().to_owned();
    let words = lab.fails(&["unmount", "main"], "branch-busy");
    let detached = Command::new("losetup").args(["-d", &device]).status().unwrap();
    assert!(words.contains(&device) && words.contains(image.to_str().unwrap()), "{words}");
    assert!(!words.contains("this user"), "{words}");
    assert!(detached.success() && directory.exists());
    lab.ok(&["unmount", "main"]);
}

#[test]
fn a_branch_that_a_container_has_a_copy_of_is_deleted_and_reset_by_force() {
    let _alone = alone();
    if !can_mount("a_branch_that_a_container_has_a_copy_of_is_deleted_and_reset_by_force") {
        return;
    }
    let lab = Lab::with_main();
    lab.ok(&["branch", "a"]);
    for by_hand in [false, true] {
        let directory = lab.mount("a");
        let _container = Bystander::in_a_namespace();
        fs::write(directory.join("note"), "changed").unwrap();
        if by_hand {
            umount(&[], &directory);
        }
        lab.ok(&["reset", "a", "--force"]);
        assert_eq!(lab.mounts(), Vec::<String>::new());
        assert_eq!(lab.json(&["diff", "a"])["changes"], serde_json::json!([]));
    }
    let directory = lab.mount("a");
    let _container = Bystander::in_a_namespace();
    umount(&[], &directory);
    lab.ok(&["delete", "a", "--force"]);
    assert_eq!(lab.names(), ["main"]);
}

#[test]
fn what_is_still_open_after_a_lazy_unmount_is_named_and_ended_by_force() {
    let _alone = alone();
    if !can_mount("what_is_still_open_after_a_lazy_unmount_is_named_and_ended_by_force") {
        return;
    }
    if !is_root() {
        println!(
            "skipped: what_is_still_open_after_a_lazy_unmount_is_named_and_ended_by_force: `umount -l` is root's"
        );
        return;
    }
    let lab = Lab::with_main();
    let directory = lab.mount("main");
    let user = Bystander::with(fs::File::open(directory.join("note")).unwrap().into());
    umount(&["-l"], &directory);
    for command in [&["unmount", "main"][..], &["mount", "main", directory.to_str().unwrap()]] {
        let words = lab.fails(command, "branch-busy");
        assert!(words.contains(&user.name()), "{words}");
    }
    lab.ok(&["unmount", "main", "--force"]);
    lab.mount("main");
    lab.ok(&["unmount", "main"]);
}

#[test]
fn a_command_in_another_branch_does_not_keep_a_mount_that_it_does_not_use() {
    let _alone = alone();
    if !can_mount("a_command_in_another_branch_does_not_keep_a_mount_that_it_does_not_use")
        || !can_run("a_command_in_another_branch_does_not_keep_a_mount_that_it_does_not_use")
    {
        return;
    }
    let lab = Lab::with_main();
    lab.ok(&["branch", "a"]);
    let directory = lab.mount("a");
    let begin = |script: &str| {
        let script = format!("{script}; touch {}; exec sleep 600", lab.text("ready"));
        lab.begin_run(&["other", "--from", "main", "--discard"], &script)
    };
    let end = |child: std::process::Child| {
        lab::send("TERM", child.id());
        assert_eq!(lab::wait(child), 128 + 15);
    };

    let child = begin("true");
    fs::write(directory.join("note"), "changed").unwrap();
    lab.ok(&["unmount", "a"]);
    let directory = lab.mount("a");
    assert_eq!(fs::read_to_string(directory.join("note")).unwrap(), "changed");
    end(child);

    let child = begin("true");
    umount(&[], &directory);
    lab.ok(&["rename", "a", "b"]);
    let directory = lab.mount("b");
    umount(&[], &directory);
    lab.ok(&["run", "b", "--", "true"]);
    end(child);

    // One that it does use is not taken from it.
    let directory = lab.mount("b");
    let child = begin(&format!("cd {}", directory.display()));
    let words = lab.fails(&["unmount", "b"], "branch-busy");
    assert!(words.contains("(sleep) works in it"), "{words}");
    lab.ok(&["unmount", "b", "--force"]);
    end(child);
    lab.ok(&["delete", "b"]);
}

#[test]
fn a_forced_unmount_keeps_every_finished_write() {
    let _alone = alone();
    if !can_mount("a_forced_unmount_keeps_every_finished_write") {
        return;
    }
    let lab = Lab::with_main();
    let directory = lab.mount("main");
    let mut file = fs::File::create(directory.join("open")).unwrap();
    file.write_all(&[7; 3_000_000]).unwrap();
    let writer = Bystander::with(file.into());
    lab.ok(&["unmount", "main", "--force"]);
    assert_eq!(lab.mounts(), Vec::<String>::new());
    let directory = lab.mount("main");
    assert!(fs::read(directory.join("open")).unwrap() == [7; 3_000_000]);
    drop(writer);
}

#[test]
fn a_branch_in_use_by_a_command_is_unmounted_by_force() {
    let _alone = alone();
    if !can_run("a_branch_in_use_by_a_command_is_unmounted_by_force") {
        return;
    }
    let lab = Lab::with_main();
    let ready = lab.text("ready");
    let script = format!("echo x > new; touch {ready}; exec sleep 600");
    let child = lab.begin_run(&["work", "--from", "main"], &script);
    let words = lab.fails(&["unmount", "work"], "branch-busy");
    assert!(words.contains("in use by a command"), "{words}");
    lab.ok(&["unmount", "work", "--force"]);
    lab.ok(&["run", "work", "--", "test", "-e", "new"]);
    lab::send("TERM", child.id());
    assert_eq!(lab::wait(child), 128 + 15);
    assert_eq!(lab.names(), ["main", "work"]);
}

#[test]
fn a_forced_command_with_a_wrong_name_leaves_the_mounts_of_the_others() {
    let _alone = alone();
    if !can_mount("a_forced_command_with_a_wrong_name_leaves_the_mounts_of_the_others") {
        return;
    }
    let lab = Lab::with_main();
    let directory = lab.mount("main");
    lab.fails(&["delete", "main", "nobody", "--force"], "branch-not-found");
    lab.fails(&["reset", "main", "--to", "nobody", "--force"], "branch-not-found");
    lab.ok(&["create", "bare"]);
    let bare = lab.mount("bare");
    lab.fails(&["reset", "bare", "--force"], "unsupported");
    fs::write(bare.join("note"), "still there").unwrap();
    lab.ok(&["unmount", "bare"]);
    fs::write(directory.join("note"), "still mine").unwrap();
    lab.ok(&["unmount", "main"]);
    assert_eq!(fs::read_to_string(lab.mount("main").join("note")).unwrap(), "still mine");
}

#[test]
fn a_mount_is_taken_off_by_its_directory() {
    let _alone = alone();
    if !can_mount("a_mount_is_taken_off_by_its_directory") {
        return;
    }
    let lab = Lab::with_main();
    let directory = lab.mount("main");
    let text = directory.to_str().unwrap();
    assert_eq!(lab.json(&["unmount", text])["branch"], "main");
    lab.fails(&["unmount", text], "not-mounted");
    // From inside the directory above, and of another store than the one that is named.
    lab.mount("main");
    let mut command = lab.command(&["unmount", "./main"]);
    command.current_dir(lab.path("mnt")).env("TINE_STORE", lab.path("nowhere.tine"));
    let said = lab::said(command.output().unwrap());
    assert_eq!(said.status, 0, "{said:?}");
    assert_eq!(lab.mounts(), Vec::<String>::new());
    // By links, one of which leads to another.
    lab.mount("main");
    let links = [lab.path("near"), lab.path("far")];
    std::os::unix::fs::symlink("mnt/main", &links[0]).unwrap();
    std::os::unix::fs::symlink(&links[0], &links[1]).unwrap();
    assert_eq!(lab.json(&["unmount", links[1].to_str().unwrap()])["branch"], "main");
    std::os::unix::fs::symlink("circle", lab.path("circle")).unwrap();
    lab.fails(&["unmount", &lab.text("circle")], "branch-not-found");
    // In use; and when nothing answers any more.
    lab.mount("main");
    let user = Bystander::with(fs::File::open(directory.join("note")).unwrap().into());
    let words = lab.fails(&["unmount", text], "branch-busy");
    assert!(words.contains(&user.name()), "{words}");
    lab.kill_holder();
    lab.ok(&["unmount", text]);
    assert_eq!(lab.mounts(), Vec::<String>::new());
    lab.fails(&["unmount", "nobody"], "branch-not-found");
}

#[test]
fn a_mount_that_fails_leaves_what_was_mounted_there() {
    let _alone = alone();
    if !needs_root("a_mount_that_fails_leaves_what_was_mounted_there") {
        return;
    }
    let lab = Lab::with_main();
    let empty = lab.make_directory("empty");
    let hidden = lab.make_directory("dev");
    fs::write(hidden.join("null"), "").unwrap();
    let script = "mount -t tmpfs small \"$2\" && mount --bind \"$1\" /dev && \
        \"$3\" mount main \"$2\"; grep -c \" $2 .* - tmpfs \" /proc/self/mountinfo";
    let mut command = Command::new("unshare");
    command.args(["-m", "sh", "-c", script, "sh"]).arg(&hidden).arg(&empty);
    command.arg(env!("CARGO_BIN_EXE_tine")).env("TINE_STORE", lab.store());
    let said = lab::said(command.stdin(Stdio::null()).output().unwrap());
    assert!(said.err.contains("/dev/fuse"), "{said:?}");
    assert_eq!(said.out, "1\n", "{said:?}");
}

#[test]
fn a_mount_lets_other_users_in_only_when_told() {
    let _alone = alone();
    if !can_mount("a_mount_lets_other_users_in_only_when_told") {
        return;
    }
    if !needs_root("a_mount_lets_other_users_in_only_when_told") {
        return;
    }
    let lab = Lab::with_main();
    let directory = lab.make_directory("mnt/main");
    let text = directory.to_str().unwrap();
    for place in ["", "mnt", "mnt/main", "src"] {
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(lab.path(place), open).unwrap();
    }
    let can_look = || {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=1", "--regid=1", "--clear-groups", "ls", text]);
        command.output().unwrap().status.success()
    };
    lab.ok(&["mount", "main", text]);
    fs::set_permissions(&directory, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    assert!(directory.join("note").exists());
    assert!(!can_look());
    lab.ok(&["unmount", "main"]);
    assert!(can_look());
    lab.ok(&["mount", "main", text, "--allow-other"]);
    assert!(can_look());
    lab.ok(&["unmount", "main"]);
    // A command of root's may become another user inside its own mount.
    let inside = ["run", "main", "--", "setpriv", "--reuid=1", "--regid=1", "--clear-groups"];
    assert_eq!(lab.ok(&[&inside[..], &["cat", "note"]].concat()), "as it was\n");
}
