//! Test programs from the Rust registry, built into `target/tools`.

use std::path::PathBuf;

use anyhow::Result;

use crate::process;
use crate::workspace::{Workspace, cargo};

/// POSIX conformance of file systems: name and version on the registry.
pub const PJDFSTEST: (&str, &str) = ("pjdfstest", "0.2.2");
/// Random reads, writes, truncations and mappings of one file, checked.
pub const FSX: (&str, &str) = ("fsx", "0.3.2");
/// Advisories, licences and sources of dependencies.
pub const CARGO_DENY: (&str, &str) = ("cargo-deny", "0.20");
/// Feeds fuzz targets.
pub const CARGO_FUZZ: (&str, &str) = ("cargo-fuzz", "0.13.1");
/// Changes code, one place at a time, and looks whether a test notices.
pub const CARGO_MUTANTS: (&str, &str) = ("cargo-mutants", "27.1.0");

/// The directory of installed tools' programs; tests find it on the search path.
pub fn directory(workspace: &Workspace) -> PathBuf {
    workspace.target.join("tools/bin")
}

/// Installs a tool unless it is there.
pub fn install(workspace: &Workspace, (name, version): (&str, &str)) -> Result<PathBuf> {
    let program = directory(workspace).join(name);
    if program.is_file() {
        return Ok(program);
    }
    println!("installing {name} {version} into {}", workspace.target.join("tools").display());
    let mut install = cargo();
    install.args(["install", "--quiet", "--locked", "--version", version, name]);
    install.arg("--root").arg(workspace.target.join("tools"));
    install.arg("--target-dir").arg(workspace.target.join("tools/build"));
    process::run(&mut install)?;
    Ok(program)
}

/// The search path with the tools in front.
pub fn search_path(workspace: &Workspace) -> std::ffi::OsString {
    let old = std::env::var_os("PATH").unwrap_or_default();
    let paths = std::iter::once(directory(workspace)).chain(std::env::split_paths(&old));
    std::env::join_paths(paths).unwrap_or(old)
}
