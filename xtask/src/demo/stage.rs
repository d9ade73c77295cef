//! Where the demo plays: one temporary directory with the store, the sources and the copies.

use std::cell::Cell;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::interrupt::Interrupt;
use crate::process;

/// How long a command may take to undo what it began.
const UNDO_PATIENCE: Duration = Duration::from_secs(10);

/// The directory, the `tine` program, and whether somebody pressed Ctrl-C.
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

    /// Starts something that runs beside the next steps; [`Stage::finish`] waits for it.
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
            process::output(Command::new("kill").args(["-TERM", &child.id().to_string()]))?;
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

    /// Stops servers, takes mounts away, removes everything; an error names what stays behind.
    pub fn strike(&self) -> Result<()> {
        self.struck.set(true);
        let uninterrupted = |arguments: &[&str]| process::output(&mut self.command(arguments));
        if let Ok(list) = uninterrupted(&["list", "--json"]) {
            let list: Value = serde_json::from_slice(&list.stdout).unwrap_or_default();
            for branch in list["branches"].as_array().into_iter().flatten() {
                let name = branch["name"].as_str().unwrap_or_default();
                if branch["mounted_at"].is_string() {
                    // A server's mount goes with the server; what is still mounted then is unmounted.
                    uninterrupted(&["postgres", "stop", name])?;
                    uninterrupted(&["unmount", name])?;
                }
            }
        }
        let original = self.path("original/postmaster.pid");
        if let Ok(text) = fs::read_to_string(&original) {
            let pid = text.lines().next().unwrap_or_default().to_owned();
            process::output(Command::new("kill").args(["-QUIT", &pid]))?;
            let begun = Instant::now();
            while original.exists() && begun.elapsed() < Duration::from_secs(10) {
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        let removed = fs::remove_dir_all(&self.directory);
        removed.with_context(|| format!("{} stays behind", self.directory.display()))
    }
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
