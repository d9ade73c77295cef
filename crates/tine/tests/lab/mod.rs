//! A store of a test's own, the real binary on it, and nothing left behind.
#![allow(dead_code)]

pub mod disk;
pub mod outside;
pub mod secure;
pub mod terminal;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use disk::SmallDisk;

/// A directory with a store, gone with its mounts at the end of the test.
pub struct Lab {
    store: PathBuf,
    /// The disk of its own that the store lies on, where the test fills one.
    disk: Option<SmallDisk>,
    /// Settings that each command gets.
    settings: Vec<(String, String)>,
    directory: tempfile::TempDir,
}

/// What a command said and how it ended.
#[derive(Debug)]
pub struct Said {
    pub status: i32,
    pub out: String,
    pub err: String,
}

impl Lab {
    /// A directory without a store.
    pub fn bare() -> Lab {
        let directory = tempfile::tempdir().unwrap();
        let store = directory.path().canonicalize().unwrap().join("store.tine");
        Lab { store, disk: None, settings: Vec::new(), directory }
    }

    /// An empty store on a small disk.
    pub fn on_disk(make: impl FnOnce(&Path) -> SmallDisk) -> Lab {
        let mut lab = Lab::bare();
        let directory = lab.make_directory("disk");
        lab.disk = Some(make(&directory));
        lab.store = directory.join("store.tine");
        lab.ok(&["init"]);
        lab
    }

    /// The small disk.
    pub fn disk(&self) -> &SmallDisk {
        self.disk.as_ref().expect("a lab on a disk")
    }

    /// A directory with an empty store.
    pub fn new() -> Lab {
        let lab = Lab::bare();
        lab.ok(&["init"]);
        lab
    }

    /// A store with the branch `main`, imported from the directory `src`.
    pub fn with_main() -> Lab {
        let lab = Lab::new();
        let src = lab.make_directory("src");
        fs::write(src.join("note"), "as it was\n").unwrap();
        fs::create_dir(src.join("sub")).unwrap();
        fs::write(src.join("sub/data"), vec![7; 100_000]).unwrap();
        lab.ok(&["import", src.to_str().unwrap(), "main"]);
        lab
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().canonicalize().unwrap().join(name)
    }

    pub fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    pub fn store(&self) -> PathBuf {
        self.store.clone()
    }

    pub fn make_directory(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(&path).unwrap();
        path
    }

    /// The binary, with the store in its environment.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tine"));
        command.args(arguments).env("TINE_STORE", self.store()).stdin(Stdio::null());
        command.envs(self.settings.iter().cloned());
        command
    }

    /// A setting for each command from now on.
    pub fn set(&mut self, variable: &str, value: &str) {
        self.settings.push((variable.into(), value.into()));
    }

    pub fn run(&self, arguments: &[&str]) -> Said {
        said(self.command(arguments).output().unwrap())
    }

    /// How many branches the store has, those in the making included; `None` while a process has it
    /// open. No command tells, since each deletes what it finds left in the making.
    pub fn branches_of_all_kinds(&self) -> Option<usize> {
        let store = tine::Store::open(&self.store, &tine::Options::default()).ok()?;
        Some(store.branches().unwrap().len())
    }

    /// Begins `tine run` with a shell, and waits until its script has made the file `ready`.
    pub fn begin_run(&self, arguments: &[&str], script: &str) -> Child {
        let arguments = [&["run"], arguments, &["--", "sh", "-c", script]].concat();
        let child = self.command(&arguments).stderr(Stdio::null()).spawn().unwrap();
        wait_until("the command runs", || self.path("ready").exists());
        fs::remove_file(self.path("ready")).unwrap();
        child
    }

    /// A command that must succeed; its standard output.
    pub fn ok(&self, arguments: &[&str]) -> String {
        let said = self.run(arguments);
        assert_eq!(said.status, 0, "tine {arguments:?}: {said:?}");
        said.out
    }

    /// A command that must succeed with one JSON object.
    pub fn json(&self, arguments: &[&str]) -> Value {
        let said = self.run(&[arguments, &["--json"]].concat());
        assert_eq!(said.status, 0, "tine {arguments:?}: {said:?}");
        object(&said.out)
    }

    /// A command that must fail with a code, in words and as JSON; the message in words.
    pub fn fails(&self, arguments: &[&str], code: &str) -> String {
        let said = self.run(&[&["--json"], arguments].concat());
        let status = if code == "usage" { 2 } else { 1 };
        assert_eq!(said.status, status, "tine {arguments:?}: {said:?}");
        let error = object(&said.out)["error"].clone();
        assert_eq!(error["code"], code, "tine {arguments:?}: {said:?}");
        let message = error["message"].as_str().unwrap();
        assert!(said.err.contains(&format!("error: {message}\n")), "{said:?}");
        assert!(!said.err.contains("panicked"), "{said:?}");
        said.err
    }

    /// The rows of `tine list`.
    pub fn list(&self) -> Vec<Value> {
        self.json(&["list"])["branches"].as_array().unwrap().clone()
    }

    /// The names of `tine list`, but for imports.
    pub fn names(&self) -> Vec<String> {
        let rows = self.list();
        let names = rows.iter().map(|row| row["name"].as_str().unwrap().to_owned());
        names.filter(|name| !name.ends_with("@import")).collect()
    }

    /// Mounts a branch on a fresh directory of the same name.
    pub fn mount(&self, branch: &str) -> PathBuf {
        let directory = self.make_directory(&format!("mnt/{branch}"));
        self.ok(&["mount", branch, directory.to_str().unwrap()]);
        directory
    }

    /// The process that holds the store, if one does.
    pub fn holder(&self) -> Option<u32> {
        let store = self.store();
        processes().find(|pid| {
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let words: Vec<&[u8]> = line.split(|&byte| byte == 0).collect();
            words.get(1) == Some(&&b"hold"[..])
                && words.contains(&store.as_os_str().as_encoded_bytes())
        })
    }

    /// Ends the holder as a crash would, and waits until it is gone.
    pub fn kill_holder(&self) {
        let pid = self.holder().expect("nobody holds the store");
        send("KILL", pid);
        wait_until("the holder is gone", || self.holder().is_none());
    }

    /// The mounts of branches below the directory of the test.
    pub fn mounts(&self) -> Vec<String> {
        let below = self.path("");
        let table = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let branches = table.lines().filter(|line| line.contains(" - fuse.tine "));
        let places = branches.filter_map(|line| line.split(' ').nth(4));
        places.filter(|place| Path::new(place).starts_with(&below)).map(str::to_owned).collect()
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let servers = if self.store().is_file() {
            self.run(&["postgres", "list"]).out
        } else {
            String::new()
        };
        for branch in servers.lines().filter_map(|line| line.split(' ').next()) {
            self.run(&["postgres", "stop", branch]);
        }
        if let Some(pid) = self.holder() {
            send("TERM", pid);
            let deadline = Instant::now() + Duration::from_secs(10);
            while self.holder().is_some() && Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(10));
            }
        }
        for place in self.mounts() {
            // As an ordinary user the helper does it.
            let unmounted = Command::new("umount").args(["-l", &place]).output();
            if !unmounted.is_ok_and(|output| output.status.success()) {
                let _ = Command::new("fusermount3").args(["-uz", &place]).output();
            }
        }
    }
}

pub fn said(output: Output) -> Said {
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Said {
        status: output.status.code().unwrap_or(-1),
        out: text(output.stdout),
        err: text(output.stderr),
    }
}

/// Standard output as exactly one JSON object of version 1.
pub fn object(out: &str) -> Value {
    assert_eq!(out.lines().count(), 1, "{out}");
    let object: Value = serde_json::from_str(out).unwrap();
    assert_eq!(object["version"], 1, "{out}");
    object
}

/// A process that has nothing to do with any branch, ended with the value.
pub struct Bystander(Child);

impl Bystander {
    /// Sleeps; `input` stays open in it.
    pub fn with(input: Stdio) -> Bystander {
        Bystander(Command::new("sleep").arg("600").stdin(input).spawn().unwrap())
    }

    /// Sleeps in a mount namespace of its own, as a container does: with a copy of all that is
    /// mounted now.
    pub fn in_a_namespace() -> Bystander {
        let mut command = Command::new("unshare");
        command.args(if is_root() { &["-m"][..] } else { &["-Urm"] });
        command.args(["sh", "-c", "echo ready; exec sleep 600"]).stdin(Stdio::null());
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut ready = [0; 6];
        std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut ready).unwrap();
        let bystander = Bystander(child);
        wait_until("it sleeps", || {
            let name = fs::read_to_string(format!("/proc/{}/comm", bystander.pid()));
            name.is_ok_and(|name| name.trim() == "sleep")
        });
        bystander
    }

    pub fn pid(&self) -> u32 {
        self.0.id()
    }

    /// As messages name it.
    pub fn name(&self) -> String {
        format!("process {} (sleep)", self.pid())
    }
}

impl Drop for Bystander {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn processes() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

pub fn send(signal: &str, pid: u32) {
    let signal = match signal {
        "TERM" => Signal::TERM,
        "KILL" | "9" => Signal::KILL,
        "INT" => Signal::INT,
        "STOP" => Signal::STOP,
        "CONT" => Signal::CONT,
        other => panic!("no signal {other}"),
    };
    kill_process(Pid::from_raw(pid as i32).unwrap(), signal).unwrap();
}

/// Waits for a condition; for long, since a machine may be busy with other things.
pub fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !holds() {
        assert!(Instant::now() < deadline, "still not: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

pub fn wait(mut child: Child) -> i32 {
    child.wait().unwrap().code().unwrap_or(-1)
}

pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Whether branches can be mounted here; says by name what is not run.
pub fn can_mount(test: &str) -> bool {
    let lab = Lab::with_main();
    let directory = lab.make_directory("mnt");
    let said = lab.run(&["mount", "main", directory.to_str().unwrap()]);
    if said.status != 0 {
        println!("skipped: {test}: {}", said.err.replace('\n', " "));
        return false;
    }
    lab.ok(&["unmount", "main"]);
    true
}

/// Whether `tine run` works here; says by name what is not run.
pub fn can_run(test: &str) -> bool {
    let lab = Lab::with_main();
    let said = lab.run(&["run", "--discard", "--", "true"]);
    if said.status != 0 {
        println!("skipped: {test}: {}", said.err.replace('\n', " "));
    }
    said.status == 0
}

/// Whether the test runs as root; says by name what is not run.
pub fn needs_root(test: &str) -> bool {
    if !is_root() {
        println!("skipped: {test}: it mounts a small disk, which only root may");
    }
    is_root()
}
