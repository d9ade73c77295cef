//! A fork of a mounted branch misses no write that finished, from any process and however that
//! holds the file.

mod lab;

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use lab::{Lab, can_mount, can_run, is_root};

/// What each writer below begins with: the numbers of system calls, and how a file is filled.
const PROLOGUE: &str = r#"
    use strict; use warnings;
    my ($unshare, $exit, $mmap, $read, $path) = @ARGV;
    $| = 1;
    sub fill {
        my ($file) = @_;
        for my $n (0 .. 16383) {
            sysseek $file, ($n * 1031 % 16384) * 4096, 0 or die;
            syswrite($file, "x" x 4096) == 4096 or die;
        }
    }
    sub wait_for_end { print "written\n"; sysread STDIN, my $end, 1; }
    sub checked { $_[0] != -1 or die "$!"; $_[0] }
"#;

/// More than the kernel starts to write back before it passes over the rest.
const PAGES: usize = 16384;

/// A process that fills a file and lives on, in whatever way, until its standard input ends.
struct Writer(Child);

impl Writer {
    fn start(mut command: Command, script: &str, file: &Path) -> Writer {
        command.args(["-e", &format!("{PROLOGUE}{script}")]);
        for number in [libc::SYS_unshare, libc::SYS_exit, libc::SYS_mmap, libc::SYS_read] {
            command.arg(number.to_string());
        }
        let child = command.arg(file).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = child.unwrap();
        let mut said = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut said).unwrap();
        assert_eq!(said, "written\n");
        Writer(child)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

/// Forks a branch while the writer lives, and looks for its file in the fork.
fn fork_has_it_all(lab: &Lab, branch: &str, file: &str) {
    lab.ok(&["branch", "fork", "--from", branch]);
    has_it_all(lab, "fork", file);
}

fn has_it_all(lab: &Lab, fork: &str, file: &str) {
    lab.ok(&["export", fork, &lab.text("out")]);
    let copied = fs::read(lab.path("out").join(file)).unwrap();
    let arrived = copied.chunks(4096).filter(|page| page.iter().all(|&it| it == b'x')).count();
    assert_eq!((copied.len(), arrived), (PAGES * 4096, PAGES));
}

#[test]
fn a_branch_that_is_reset_to_a_mounted_one_has_what_was_written_there() {
    let test = "a_branch_that_is_reset_to_a_mounted_one_has_what_was_written_there";
    if !can_write_so(test) {
        return;
    }
    let lab = Lab::with_main();
    lab.ok(&["branch", "other"]);
    let directory = lab.mount("main");
    let _writer = Writer::start(perl(), OWN_TABLE, &directory.join("file"));
    lab.ok(&["reset", "other", "--to", "main"]);
    has_it_all(&lab, "other", "file");
}

/// Whether the test can be run here; says by name why not.
fn can_write_so(test: &str) -> bool {
    has_threads(test) && can_mount(test)
}

fn has_threads(test: &str) -> bool {
    let threads = Command::new("perl").args(["-Mthreads", "-e", "1"]).output();
    if !threads.is_ok_and(|output| output.status.success()) {
        println!("skipped: {test}: no perl with threads (apt install perl)");
        return false;
    }
    true
}

/// Runs a writer on a mounted branch, and forks that.
fn a_fork_misses_nothing_of(test: &str, command: Command, script: &str) {
    if !can_write_so(test) {
        return;
    }
    let lab = Lab::with_main();
    let directory = lab.make_directory("mnt");
    let mut mount = vec!["mount", "main", directory.to_str().unwrap()];
    if is_root() {
        mount.push("--allow-other");
        fs::set_permissions(lab.path("."), std::os::unix::fs::PermissionsExt::from_mode(0o755))
            .unwrap();
    }
    lab.ok(&mount);
    let _writer = Writer::start(command, script, &directory.join("file"));
    fork_has_it_all(&lab, "main", "file");
}

fn perl() -> Command {
    Command::new("perl")
}

#[test]
fn a_fork_has_what_a_thread_with_its_own_table_of_files_wrote() {
    let test = "a_fork_has_what_a_thread_with_its_own_table_of_files_wrote";
    a_fork_misses_nothing_of(test, perl(), OWN_TABLE);
}

const OWN_TABLE: &str = r#"
    use threads;
    threads->create(sub {
        checked(syscall($unshare, 0x400));
        open my $file, "+>", $path or die "$!";
        fill($file);
        wait_for_end();
    })->join();
"#;

#[test]
fn a_fork_has_what_a_command_inside_of_the_branch_wrote() {
    let test = "a_fork_has_what_a_command_inside_of_the_branch_wrote";
    if !(has_threads(test) && can_run(test)) {
        return;
    }
    let lab = Lab::with_main();
    let at = lab.make_directory("at");
    let verb = ["run", "inside", "--from", "main", "--at", at.to_str().unwrap(), "--", "perl"];
    let _writer = Writer::start(lab.command(&verb), OWN_TABLE, &at.join("file"));
    fork_has_it_all(&lab, "inside", "file");
}

#[test]
fn a_fork_has_what_a_process_wrote_whose_main_thread_has_ended() {
    let script = r#"
        use threads; use POSIX ();
        open my $file, "+>", $path or die "$!";
        threads->create(sub {
            sleep 1;
            fill($file);
            wait_for_end();
            POSIX::_exit(0);
        });
        syscall($exit, 0);
    "#;
    let test = "a_fork_has_what_a_process_wrote_whose_main_thread_has_ended";
    a_fork_misses_nothing_of(test, perl(), script);
}

#[test]
fn a_fork_has_what_was_stored_through_a_mapping_without_a_descriptor() {
    // The system reads a pipe into the mapping.
    let script = r#"
        open my $file, "+>", $path or die "$!";
        truncate $file, 16384 * 4096;
        my $address = checked(syscall($mmap, 0, 16384 * 4096, 3, 1, fileno $file, 0));
        close $file;
        for my $n (0 .. 16383) {
            pipe my $out, my $in or die;
            syswrite($in, "x" x 4096) == 4096 or die;
            checked(syscall($read, fileno $out, $address + $n * 4096, 4096)) == 4096 or die;
        }
        wait_for_end();
    "#;
    let test = "a_fork_has_what_was_stored_through_a_mapping_without_a_descriptor";
    a_fork_misses_nothing_of(test, perl(), script);
}

#[test]
fn a_fork_has_what_was_written_in_a_private_view_of_the_mounts() {
    let test = "a_fork_has_what_was_written_in_a_private_view_of_the_mounts";
    if !is_root() {
        println!("skipped: {test}: only root makes such a view without another user namespace");
        return;
    }
    let mut command = Command::new("unshare");
    command.args(["-m", "--propagation", "private", "perl"]);
    a_fork_misses_nothing_of(
        test,
        command,
        "open my $file, '+>', $path or die; fill($file); wait_for_end();",
    );
}

#[test]
fn a_fork_has_what_another_user_wrote() {
    let test = "a_fork_has_what_another_user_wrote";
    if !is_root() {
        println!("skipped: {test}: only root works as another user");
        return;
    }
    if !can_write_so(test) {
        return;
    }
    let lab = Lab::with_main();
    fs::set_permissions(lab.path("."), std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .unwrap();
    let directory = lab.make_directory("mnt");
    lab.ok(&["mount", "main", directory.to_str().unwrap(), "--allow-other"]);
    fs::create_dir(directory.join("theirs")).unwrap();
    rustix::fs::chown(
        directory.join("theirs"),
        Some(rustix::fs::Uid::from_raw(1)),
        Some(rustix::fs::Gid::from_raw(1)),
    )
    .unwrap();
    let mut command = Command::new("setpriv");
    command.args(["--reuid", "1", "--regid", "1", "--clear-groups", "perl"]);
    let script = "umask 0777; open my $file, '+>', $path or die; fill($file); wait_for_end();";
    let _writer = Writer::start(command, script, &directory.join("theirs/file"));
    fork_has_it_all(&lab, "main", "theirs/file");
}

#[test]
fn a_fork_has_what_was_written_below_what_hides_the_mount() {
    let test = "a_fork_has_what_was_written_below_what_hides_the_mount";
    if !is_root() {
        println!("skipped: {test}: only root mounts over a directory");
        return;
    }
    if !can_write_so(test) {
        return;
    }
    let lab = Lab::with_main();
    let directory = lab.mount("main");
    let script = "open my $file, '+>', $path or die; fill($file); wait_for_end();";
    let _writer = Writer::start(perl(), script, &directory.join("file"));
    let status = Command::new("mount").args(["-t", "tmpfs", "over"]).arg(&directory).status();
    assert!(status.unwrap().success());
    fork_has_it_all(&lab, "main", "file");
    assert!(Command::new("umount").arg(&directory).status().unwrap().success());
}

#[test]
fn a_fork_has_what_was_written_beside_a_process_that_sees_another_root() {
    let test = "a_fork_has_what_was_written_beside_a_process_that_sees_another_root";
    if !is_root() {
        println!("skipped: {test}: only root changes the root of a process");
        return;
    }
    if !can_write_so(test) {
        return;
    }
    let lab = Lab::with_main();
    lab::wait_until("the holder of the import has gone", || lab.holder().is_none());
    let directory = lab.make_directory("mnt");
    let empty = lab.make_directory("empty");
    // The first process of a namespace of processes sees nothing but an empty directory.
    let script = r#"
        use POSIX ();
        shift @ARGV;
        my ($tine, $directory, $empty, $out, @writer) = @ARGV;
        my $body = fork // die;
        if (!$body) {
            system($tine, "mount", "main", $directory) and die;
            open my $writer, "-|", @writer or die;
            <$writer>;
            system($tine, "branch", "fork", "--from", "main") and exit 1;
            system($tine, "export", "fork", $out) and exit 1;
            POSIX::_exit(0);
        }
        chroot $empty or die;
        waitpid $body, 0;
        exit($? ? 1 : 0);
    "#;
    let fill = format!(
        "{PROLOGUE} open my $file, '+>', $path or die; fill($file); print \"written\\n\"; sleep 300;"
    );
    let output = Command::new("unshare")
        .args(["-m", "-p", "-f", "--mount-proc", "perl", "-e", script, "first"])
        .arg(env!("CARGO_BIN_EXE_tine"))
        .args([&directory, &empty, &lab.path("out")])
        .args(["perl", "-e", &fill, "0", "0", "0", "0"])
        .arg(directory.join("file"))
        .env("TINE_STORE", lab.store())
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let copied = fs::read(lab.path("out/file")).unwrap();
    let arrived = copied.chunks(4096).filter(|page| page.iter().all(|&it| it == b'x')).count();
    assert_eq!((copied.len(), arrived), (PAGES * 4096, PAGES));
}
