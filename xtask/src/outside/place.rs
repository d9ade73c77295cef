//! Where a suite works: a branch of a new store, mounted.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::process;
use crate::tools;
use crate::workspace::Workspace;

/// What a suite may print before its end is all that is shown of it.
const SHOWN_BYTES: usize = 8000;

pub struct Place {
    program: PathBuf,
    directory: PathBuf,
    log: PathBuf,
}

impl Place {
    pub fn new(workspace: &Workspace, suite: &str) -> Result<Place> {
        let directory =
            std::env::temp_dir().join(format!("tine-outside-{}-{suite}", std::process::id()));
        let logs = workspace.target.join("outside/logs");
        for directory in [&directory, &directory.join("mount"), &directory.join("beside"), &logs] {
            fs::create_dir_all(directory)
                .with_context(|| format!("make {}", directory.display()))?;
        }
        // Servers that refuse root work as another user.
        fs::set_permissions(&directory, Permissions::from_mode(0o755))?;
        fs::set_permissions(directory.join("beside"), Permissions::from_mode(0o777))?;
        let log = logs.join(format!("{suite}.log"));
        let place = Place { program: workspace.target.join("release/tine"), directory, log };
        place.tine(&["init"])?;
        place.tine(&["create", "work"])?;
        let mount = place.directory.join("mount");
        let mut mounted = place.command(&["mount", "work"]);
        mounted.arg(&mount).args(process::is_root().then_some("--allow-other"));
        process::capture(&mut mounted)?;
        fs::set_permissions(&mount, Permissions::from_mode(0o777))?;
        Ok(place)
    }

    /// Runs a script in the branch. `$BESIDE` is the directory next to it, `$SOURCE` where the
    /// sources are, `$TINE` the program with the store in its environment.
    pub fn play(&self, workspace: &Workspace, script: &str, source: Option<&Path>) -> Result<()> {
        let log =
            File::create(&self.log).with_context(|| format!("make {}", self.log.display()))?;
        let mut shell = Command::new("sh");
        shell.args(["-eu", "-c", script]).current_dir(self.directory.join("mount"));
        shell
            .env("PATH", tools::search_path(workspace))
            .env("TMPDIR", self.directory.join("beside"));
        shell.env("BESIDE", self.directory.join("beside")).env("TINE", &self.program);
        shell.env("TINE_STORE", self.store()).env("SOURCE", source.unwrap_or(Path::new("")));
        shell.stdin(std::process::Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let status = shell.status().context("start sh")?;
        if !status.success() {
            let said = fs::read(&self.log).unwrap_or_default();
            let said = String::from_utf8_lossy(&said[said.len().saturating_sub(SHOWN_BYTES)..])
                .into_owned();
            bail!("{status}; the end of {}:\n{said}", self.log.display());
        }
        Ok(())
    }

    /// Takes the mount off, and checks the store.
    pub fn conclude(self) -> Result<()> {
        self.tine(&["unmount", "work"])?;
        let checked = self.tine(&["check"])?;
        ensure!(checked.contains("sound"), "{checked}");
        Ok(())
    }

    fn store(&self) -> PathBuf {
        self.directory.join("store.tine")
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("--store").arg(self.store()).args(arguments);
        command
    }

    fn tine(&self, arguments: &[&str]) -> Result<String> {
        process::capture(&mut self.command(arguments))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // Mounted still where the suite failed.
        let _ = process::output(&mut self.command(&["unmount", "work", "--force"]));
        let mut remove = Command::new("rm");
        remove.args(["-rf", "--one-file-system"]).arg(&self.directory);
        if let Err(error) = process::capture(&mut remove) {
            eprintln!("warning: {} stays behind: {error:#}", self.directory.display());
        }
    }
}
