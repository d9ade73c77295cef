//! Where the demo plays: one temporary directory with the store, the sources and the copies.

use std::cell::Cell;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::Signal;
use serde_json::Value;

use super::interrupt::Interrupt;
use crate::process;

/// How long a command may take to undo what it began.
const UNDO_PATIENCE: Duration = Duration::from_secs(10);
/// How long a process that was asked to end may take.
const END_PATIENCE: Duration = Duration::from_secs(10);

/// The directory, the `tine` program, and whether Ctrl-C was pressed.
pub struct Stage {
    directory: PathBuf,
    program: PathBuf,
    interrupt: Interrupt,
    started: Cell<u32>,
    struck: Cell<bool>,
}

/// A command that was started, and where its outputs go.
pub struct Running {
    child: Child,
    /// Whether it takes a signal as a wish to undo what it began, as `tine` does.
    undoes: bool,
    stdout: PathBuf,
    stderr: PathBuf,
}

impl Stage {
    /// Makes the directory; other users, such as `postgres`, may pass through it.
    pub fn new(program: PathBuf, interrupt: Interrupt) -> Result<Self> {
        let directory = std::env::temp_dir().join(format!("tine-demo-{}", std::process::id()));
        fs::create_dir(&directory).with_context(|| format!("make {}", directory.display()))?;
        fs::set_permissions(&directory, fs::Permissions::from_mode(0o755))?;
        Ok(Self { directory, program, interrupt, started: Cell::new(0), struck: Cell::new(false) })
    }

    /// A path on the stage.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// The store's file.
    pub fn store(&self) -> PathBuf {
        self.path("store.tine")
    }

    /// Runs `tine` and gives its JSON.
    pub fn tine(&self, arguments: &[&str]) -> Result<Value> {
        let text = self.capture(self.command(arguments).arg("--json"))?;
        serde_json::from_str(&text)
            .with_context(|| format!("read the JSON of `tine {}`", arguments.join(" ")))
    }

    /// `tine` with the stage's store.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("--store").arg(self.store()).args(arguments);
        command
    }

    /// Runs to the end, or until Ctrl-C, and gives what it printed.
    pub fn capture(&self, command: &mut Command) -> Result<String> {
        let output = self.output(command)?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            bail!("`{}`: {}: {}", process::show(command), output.status, said.trim());
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Starts something that runs during the next steps; [`Stage::finish`] waits for it.
    pub fn start(&self, command: &mut Command) -> Result<Running> {
        self.interrupt.check()?;
        // Files and not pipes: a server that outlives its starter would keep a pipe open.
        let number = self.started.replace(self.started.get() + 1);
        let [stdout, stderr] =
            ["out", "err"].map(|kind| self.path(&format!("step-{number}.{kind}")));
        command
            .stdin(Stdio::null())
            .stdout(fs::File::create(&stdout)?)
            .stderr(fs::File::create(&stderr)?);
        let child =
            command.spawn().with_context(|| format!("start `{}`", process::show(command)))?;
        let undoes = command.get_program() == self.program;
        Ok(Running { child, undoes, stdout, stderr })
    }

    /// Waits for it, looking out for Ctrl-C, and collects what it printed.
    pub fn finish(&self, mut running: Running) -> Result<Output> {
        let status = loop {
            if let Some(status) = running.child.try_wait()? {
                break status;
            }
            if let Err(interrupted) = self.interrupt.check() {
                self.end(&mut running)?;
                return Err(interrupted);
            }
            std::thread::sleep(Duration::from_millis(2));
        };
        let (stdout, stderr) = (fs::read(&running.stdout)?, fs::read(&running.stderr)?);
        fs::remove_file(&running.stdout)?;
        fs::remove_file(&running.stderr)?;
        Ok(Output { status, stdout, stderr })
    }

    /// Ends a command; one that can undo what it began gets the time for it.
    fn end(&self, Running { child, undoes, .. }: &mut Running) -> Result<()> {
        if !self.interrupt.is_known_to_all() {
            process::signal(child.id(), Signal::TERM)?;
        }
        let begun = Instant::now();
        while child.try_wait()?.is_none() {
            if !*undoes || begun.elapsed() > UNDO_PATIENCE {
                let _already_gone = child.kill();
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    }

    fn output(&self, command: &mut Command) -> Result<Output> {
        let running = self.start(command)?;
        self.finish(running)
    }

    /// Stops servers, takes mounts away, removes everything; an error names what stays behind. Each
    /// step is tried whatever came of those before it.
    pub fn strike(&self) -> Result<()> {
        self.struck.set(true);
        let mut failures: Vec<anyhow::Error> = Vec::new();
        failures.extend(self.stop_branches().err());
        failures.extend(self.stop_original().err());
        failures.extend(self.end_holder().err());
        let removed = fs::remove_dir_all(&self.directory);
        if let Err(error) = removed {
            let failure = anyhow::Error::new(error);
            failures.push(failure.context(format!("{} stays behind", self.directory.display())));
        }
        match failures.is_empty() {
            true => Ok(()),
            false => {
                let said: Vec<String> =
                    failures.iter().map(|failure| format!("{failure:#}")).collect();
                bail!("{}", said.join("\n"))
            }
        }
    }

    /// Ends the servers and mounts of branches.
    fn stop_branches(&self) -> Result<()> {
        let list = self.undisturbed(&["list", "--json"])?;
        let list: Value = serde_json::from_slice(&list.stdout).unwrap_or_default();
        let mut stuck = Vec::new();
        for branch in list["branches"].as_array().into_iter().flatten() {
            let name = branch["name"].as_str().unwrap_or_default();
            if branch["mounted_at"].is_string() {
                // A server's mount goes with the server; what is still mounted then is unmounted.
                self.undisturbed(&["postgres", "stop", name])?;
                let unmounted = self.undisturbed(&["unmount", name, "--force"])?;
                let said = String::from_utf8_lossy(&unmounted.stderr);
                if !unmounted.status.success() && !said.contains("is not mounted") {
                    stuck.push(said.trim().to_owned());
                }
            }
        }
        ensure!(stuck.is_empty(), "{}", stuck.join("; "));
        Ok(())
    }

    /// `tine`, where a further Ctrl-C does not reach it.
    fn undisturbed(&self, arguments: &[&str]) -> Result<Output> {
        process::output(self.command(arguments).process_group(0))
    }

    /// Ends the server that the demo took in, at once: its data goes.
    fn stop_original(&self) -> Result<()> {
        let record = self.path("original/postmaster.pid");
        let Ok(text) = fs::read_to_string(&record) else { return Ok(()) };
        let pid: u32 = text.lines().next().unwrap_or_default().trim().parse()?;
        for signal in [Signal::QUIT, Signal::KILL] {
            process::signal(pid, signal)?;
            if has_ended_within(pid, END_PATIENCE) {
                return Ok(());
            }
        }
        bail!("the server of {} goes on as process {pid}", self.path("original").display())
    }

    /// Waits for the process that keeps the store open, which ends by itself when nothing is
    /// mounted.
    fn end_holder(&self) -> Result<()> {
        let store = self.store();
        for pid in processes_about(&store) {
            process::signal(pid, Signal::TERM)?;
            ensure!(
                has_ended_within(pid, END_PATIENCE),
                "process {pid} keeps {} open",
                store.display()
            );
        }
        Ok(())
    }
}

/// Processes that have the path among their arguments.
fn processes_about(path: &Path) -> Vec<u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let names_it = |pid: &u32| {
        let arguments = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        arguments.split(|&byte| byte == 0).any(|argument| argument == path.as_os_str().as_bytes())
    };
    pids.filter(names_it).collect()
}

fn has_ended_within(pid: u32, patience: Duration) -> bool {
    let begun = Instant::now();
    let goes_on = || {
        // One that has ended, and that its parent did not ask about, is left as a zombie.
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        !matches!(
            stat.rsplit(')').next().and_then(|rest| rest.trim().chars().next()),
            None | Some('Z')
        )
    };
    while goes_on() && begun.elapsed() < patience {
        std::thread::sleep(Duration::from_millis(20));
    }
    !goes_on()
}

impl Drop for Stage {
    fn drop(&mut self) {
        if !self.struck.get()
            && let Err(error) = self.strike()
        {
            eprintln!("warning: {error:#}");
        }
    }
}

/// Bytes that a file or a tree has allocated on its file system.
pub fn allocated(path: &Path) -> Result<u64> {
    let metadata =
        fs::symlink_metadata(path).with_context(|| format!("look at {}", path.display()))?;
    let mut bytes = metadata.blocks() * 512;
    if metadata.is_dir() {
        for entry in fs::read_dir(path)? {
            bytes += allocated(&entry?.path())?;
        }
    }
    Ok(bytes)
}
