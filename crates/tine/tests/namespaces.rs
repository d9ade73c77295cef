//! Owners in a user namespace and outside of it.

mod lab;

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::process::Command;

use lab::{Lab, Said, is_root, said};

/// The user that root's pass of this test works as.
const USER: u32 = 1;

/// Runs a script as an ordinary user, which may mount inside of a user namespace.
fn as_user(lab: &Lab, wrapper: &[&str], script: &str) -> Said {
    let mut command = if is_root() {
        let mut command = Command::new("unshare");
        let prepare = "[ -e \"$0\" ] || mknod -m 666 \"$0\" c 10 229; mount --bind \"$0\" /dev/fuse || exit 99; \
                       exec setpriv --reuid 1 --regid 1 --clear-groups \"$@\"";
        command.args(["-m", "sh", "-c", prepare]).arg(lab.path("node")).args(wrapper);
        command
    } else {
        let mut command = Command::new(wrapper.first().copied().unwrap_or("sh"));
        command.args(wrapper.get(1..).unwrap_or_default());
        if wrapper.is_empty() {
            command.args(["-c", script]);
        }
        command
    };
    if is_root() || !wrapper.is_empty() {
        command.args(["sh", "-c", script]);
    }
    let home = lab.path("home");
    command
        .current_dir(&home)
        .env("HOME", &home)
        .env("TINE", env!("CARGO_BIN_EXE_tine"))
        .env("TINE_STORE", home.join("store.tine"));
    said(command.output().unwrap())
}

#[test]
fn owners_are_the_same_inside_of_a_user_namespace_and_outside() {
    let test = "owners_are_the_same_inside_of_a_user_namespace_and_outside";
    let lab = Lab::bare();
    let home = lab.make_directory("home");
    fs::set_permissions(lab.path("."), Permissions::from_mode(0o755)).unwrap();
    if is_root() {
        chown(&home, Some(USER), Some(USER)).unwrap();
    }
    let user = if is_root() { USER } else { rustix::process::geteuid().as_raw() };
    let outside = as_user(
        &lab,
        &[],
        "set -e; mkdir src at in; echo text > src/old; $TINE init; $TINE import src main",
    );
    assert_eq!(outside.status, 0, "{outside:?}");
    let inside = as_user(
        &lab,
        &["unshare", "-r", "-m"],
        "set -e; mkdir m; $TINE mount main m || exit 98
         stat -c '%n %u %g' m/old; echo more >> m/old; echo text > m/new; chown 0:0 m/new
         stat -c '%n %u %g' m/new; $TINE unmount main
         mkdir src2; echo x > src2/x; $TINE import src2 second; $TINE export second out2
         stat -c '%n %u %g' out2/x",
    );
    if inside.status != 0 && (inside.err.contains("/dev/fuse") || inside.err.contains("unshare:")) {
        println!("skipped: {test}: {}", inside.err.replace('\n', " "));
        return;
    }
    assert_eq!(inside.status, 0, "{inside:?}");
    for line in ["m/old 0 0", "m/new 0 0", "out2/x 0 0"] {
        assert!(inside.out.contains(line), "{inside:?}");
    }
    for branch in ["main", "second"] {
        let run = format!("$TINE run {branch} --at in -- sh -c 'stat -c \"in/%n %u\" *' 2>&1");
        let outside = as_user(&lab, &[], &run);
        assert_eq!(outside.status, 0, "{outside:?}");
        let owned = outside.out.lines().filter(|line| line.starts_with("in/"));
        let owners: Vec<_> = owned.filter_map(|line| line.split(' ').nth(1)).collect();
        assert!(!owners.is_empty(), "{outside:?}");
        assert!(owners.iter().all(|owner| *owner == user.to_string()), "{outside:?}");
    }
}

#[test]
fn a_command_runs_in_a_branch_below_a_chroot_that_is_no_mount() {
    let test = "a_command_runs_in_a_branch_below_a_chroot_that_is_no_mount";
    if !is_root() {
        println!("skipped: {test}: an ordinary user may not change its root");
        return;
    }
    let lab = Lab::bare();
    let root = lab.make_directory("root");
    let mut program = std::path::PathBuf::from(env!("CARGO_BIN_EXE_tine"));
    program.pop();
    // The outer namespace's mounts are shared on purpose: none of the inner ones may reach it.
    let script = "set -e
        mount --make-rshared /
        for path in /usr /bin /sbin /lib /lib64 /etc /proc /dev \"$1\"; do
            [ -e \"$path\" ] || continue
            mkdir -p \"$0$path\"; mount --rbind \"$path\" \"$0$path\"
        done
        mkdir -p \"$0/project/src\" \"$0/tmp\"; echo text > \"$0/project/src/file\"
        before=$(grep -c . /proc/self/mountinfo)
        chroot \"$0\" /bin/sh -ec 'cd /project; export TINE_STORE=/project/store.tine
            \"$0/tine\" init; \"$0/tine\" import src main
            \"$0/tine\" run try --from main -- sh -c \"pwd; cat file; echo more > new; grep -c fuse /proc/self/mountinfo\"
            \"$0/tine\" cat try new; ls src' \"$1\"
        [ \"$before\" = \"$(grep -c . /proc/self/mountinfo)\" ]";
    let mut command = Command::new("unshare");
    command.args(["-m", "sh", "-c", script]).arg(&root).arg(&program).env("HOME", "/project");
    let output = said(command.output().unwrap());
    assert_eq!(output.status, 0, "{output:?}");
    for line in ["/project/src", "text", "more"] {
        assert!(output.out.lines().any(|said| said == line), "{output:?}");
    }
    assert!(!output.out.lines().any(|said| said == "new"), "{output:?}");
}
