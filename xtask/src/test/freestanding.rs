//! Whether tine-values does without `std`, also where values are kept and serialised.
//!
//! A crate with a panic handler of its own is checked over it. Were `std` among its dependencies,
//! that would be the second handler, which the compiler refuses.

use std::fs;

use anyhow::{Context, Result};

use crate::process;
use crate::workspace::{Workspace, cargo};

const PROGRAM: &str = "\
#![no_std]

pub use tine_values::{Bytes, HashMap, HashSet, OrdMap, OrdSet, Seq, Text, persist};

#[panic_handler]
fn stop(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
";

/// Checks it, with the versions of the workspace's lock file.
pub fn check(workspace: &Workspace) -> Result<()> {
    let directory = workspace.target.join("freestanding");
    let values = workspace.root.join("crates/values");
    let manifest = format!(
        "[package]\nname = \"freestanding\"\nedition = \"2024\"\n\n[workspace]\n\n[dependencies]\n\
         tine-values = {{ path = {values:?}, features = [\"serde\"] }}\n"
    );
    let lock = fs::read(workspace.root.join("Cargo.lock")).context("read Cargo.lock")?;
    fs::create_dir_all(directory.join("src"))
        .with_context(|| format!("make {}", directory.display()))?;
    for (file, text) in [
        ("Cargo.toml", manifest.as_bytes()),
        ("Cargo.lock", &lock),
        ("src/lib.rs", PROGRAM.as_bytes()),
    ] {
        let path = directory.join(file);
        fs::write(&path, text).with_context(|| format!("write {}", path.display()))?;
    }
    let mut check = cargo();
    check.args(["check", "--quiet", "--manifest-path"]).arg(directory.join("Cargo.toml"));
    process::capture(check.env("CARGO_TARGET_DIR", directory.join("target"))).map(drop)
}
