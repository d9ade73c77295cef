//! The workspace as `cargo metadata` and git describe it.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::process;

/// What `cargo metadata` says, read once a run.
pub struct Workspace {
    metadata: Value,
    /// The repository's root directory.
    pub root: PathBuf,
    /// Where cargo builds.
    pub target: PathBuf,
}

impl Workspace {
    /// Asks cargo.
    pub fn load() -> Result<Self> {
        let mut command = cargo();
        command.args(["metadata", "--format-version", "1", "--locked"]);
        let metadata: Value = serde_json::from_str(&process::capture(&mut command)?)
            .context("read the output of `cargo metadata`")?;
        let path = |key: &str| PathBuf::from(metadata[key].as_str().unwrap_or_default());
        Ok(Self { root: path("workspace_root"), target: path("target_directory"), metadata })
    }

    /// Every package of the dependency graph, members included.
    pub fn packages(&self) -> impl Iterator<Item = Package<'_>> {
        list(&self.metadata["packages"]).map(Package)
    }

    /// The packages of this workspace.
    pub fn members(&self) -> impl Iterator<Item = Package<'_>> {
        self.packages().filter(|package| is_in(&self.metadata["workspace_members"], package.id()))
    }

    /// The members that plain `cargo test` works on.
    pub fn default_members(&self) -> impl Iterator<Item = Package<'_>> {
        let ids = &self.metadata["workspace_default_members"];
        self.packages().filter(|package| is_in(ids, package.id()))
    }

    /// Files of the repository that git tracks or would track, relative to the root.
    pub fn files(&self) -> Result<Vec<PathBuf>> {
        let mut git = Command::new("git");
        git.current_dir(&self.root).args([
            "ls-files",
            "-co",
            "--exclude-standard",
            "--deduplicate",
        ]);
        let listing = process::capture(&mut git)?;
        Ok(listing
            .lines()
            .map(PathBuf::from)
            .filter(|file| self.root.join(file).is_file())
            .collect())
    }
}

/// A package of `cargo metadata`.
#[derive(Clone, Copy)]
pub struct Package<'a>(&'a Value);

impl<'a> Package<'a> {
    pub fn id(self) -> &'a str {
        self.0["id"].as_str().unwrap_or_default()
    }

    pub fn name(self) -> &'a str {
        self.0["name"].as_str().unwrap_or_default()
    }

    pub fn version(self) -> &'a str {
        self.0["version"].as_str().unwrap_or_default()
    }

    /// The SPDX expression of its licence.
    pub fn licence(self) -> Option<&'a str> {
        self.0["license"].as_str()
    }

    /// The directory of its manifest.
    pub fn directory(self) -> &'a Path {
        let manifest = Path::new(self.0["manifest_path"].as_str().unwrap_or_default());
        manifest.parent().unwrap_or(manifest)
    }

    /// Names of the packages that it depends on, those of tests and build scripts included.
    pub fn dependencies(self) -> impl Iterator<Item = &'a str> {
        list(&self.0["dependencies"]).filter_map(|dependency| dependency["name"].as_str())
    }

    /// Whether it has a library.
    pub fn has_library(self) -> bool {
        list(&self.0["targets"]).any(|target| list(&target["kind"]).any(|kind| kind == "lib"))
    }

    /// Root source files of its library, binaries and build script.
    pub fn crate_roots(self) -> impl Iterator<Item = &'a Path> {
        let is_product = |target: &&Value| {
            list(&target["kind"]).any(|kind| {
                matches!(kind.as_str(), Some("lib" | "bin" | "proc-macro" | "custom-build"))
            })
        };
        list(&self.0["targets"])
            .filter(is_product)
            .filter_map(|target| target["src_path"].as_str())
            .map(Path::new)
    }
}

/// The cargo that runs this program.
pub fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn is_in(ids: &Value, id: &str) -> bool {
    list(ids).any(|member| member.as_str() == Some(id))
}
