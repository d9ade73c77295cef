//! A place to measure in: a store with its program and mounts, and a directory of the bare file
//! system next to it. Dropping the lab removes all of it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

/// A store, the `tine` program on it, and a plain directory on the same disk.
pub struct Lab {
    directory: tempfile::TempDir,
    program: PathBuf,
}

impl Lab {
    /// Makes an empty store with the program that was built together with this one.
    pub fn new() -> Result<Self> {
        let program = std::env::current_exe()?.with_file_name("tine");
        ensure!(
            program.is_file(),
            "{} is missing; run `cargo xtask bench branch`",
            program.display()
        );
        let directory = tempfile::Builder::new().prefix("tine-bench").tempdir()?;
        // Servers of other users need to pass through it.
        std::fs::set_permissions(
            directory.path(),
            std::os::unix::fs::PermissionsExt::from_mode(0o755),
        )?;
        let lab = Self { directory, program };
        std::fs::create_dir(lab.plain())?;
        lab.tine(&["init"])?;
        Ok(lab)
    }

    /// The store's file.
    pub fn store(&self) -> PathBuf {
        self.directory.path().join("store.tine")
    }

    /// The directory of the bare file system.
    pub fn plain(&self) -> PathBuf {
        self.directory.path().join("plain")
    }

    /// A path in the lab.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Runs `tine` and returns its JSON.
    pub fn tine(&self, arguments: &[&str]) -> Result<Value> {
        let output = self.command(arguments).output().context("start tine")?;
        let shown = arguments.join(" ");
        if !output.status.success() {
            bail!("`tine {shown}`: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        serde_json::from_slice(&output.stdout)
            .with_context(|| format!("read the JSON of `tine {shown}`"))
    }

    /// The program's command, not started.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("--store").arg(self.store()).arg("--json").args(arguments);
        command
    }

    /// Mounts a branch. [`Lab::unmount`] or the end of the lab unmounts it.
    pub fn mount(&self, branch: &str) -> Result<PathBuf> {
        let directory = self.path(&format!("mount-{}", branch.replace('/', "-")));
        std::fs::create_dir_all(&directory)?;
        let mut arguments = vec!["mount", branch, utf8(&directory)?];
        if rustix::process::geteuid().is_root() {
            arguments.push("--allow-other");
        }
        self.tine(&arguments)?;
        Ok(directory)
    }

    /// Unmounts a branch.
    pub fn unmount(&self, branch: &str) -> Result<()> {
        self.tine(&["unmount", branch]).map(drop)
    }

    /// Makes an empty branch by importing an empty directory.
    pub fn empty_branch(&self, branch: &str) -> Result<()> {
        let empty = self.path("empty");
        std::fs::create_dir_all(&empty)?;
        self.tine(&["import", utf8(&empty)?, branch]).map(drop)
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let Ok(list) = self.tine(&["list"]) else { return };
        for branch in list["branches"].as_array().into_iter().flatten() {
            let name = branch["name"].as_str().unwrap_or_default();
            let servers = self.tine(&["postgres", "stop", name]);
            if branch["mounted_at"].is_string() && servers.and(self.unmount(name)).is_err() {
                let _already_gone = self.unmount(name);
            }
        }
    }
}

/// Runs a program. If it fails, the error has its output.
pub fn execute(program: &str, arguments: &[&str]) -> Result<String> {
    let output = Command::new(program).args(arguments).output();
    finished(program, arguments, output.with_context(|| format!("start {program}"))?)
}

fn finished(program: &str, arguments: &[&str], output: Output) -> Result<String> {
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("`{program} {}`: {}: {}", arguments.join(" "), output.status, said.trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// A path as an argument.
pub fn utf8(path: &Path) -> Result<&str> {
    path.to_str().with_context(|| format!("{} is not UTF-8", path.display()))
}

/// Drops what the kernel has cached of files, so that the first touch reads. For root only.
pub fn drop_caches() {
    rustix::fs::sync();
    let _for_root_only = std::fs::write("/proc/sys/vm/drop_caches", "3");
}
