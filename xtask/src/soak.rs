//! `cargo xtask soak [WHAT]`: the tests that are too long for every day.
//!
//! A soak test is an ignored test whose reason begins with `soak:`; it runs in release mode, with its
//! output shown. `advisories` asks cargo-deny about the dependencies.

use std::process::ExitCode;

use anyhow::{Result, bail};

use crate::process;
use crate::tools;
use crate::workspace::{Workspace, cargo};

/// Runs the soak tests of one crate (`fuse` for tine-fuse), the advisories, or all of it.
pub fn run(what: Option<&str>) -> Result<ExitCode> {
    let workspace = Workspace::load()?;
    match what {
        Some("advisories") => advisories(&workspace)?,
        Some(name) => {
            let package = format!("tine-{name}");
            let names = [name, package.as_str()];
            let Some(member) = workspace.members().find(|member| names.contains(&member.name()))
            else {
                bail!("nothing to soak is called `{name}`; give a crate's name or `advisories`");
            };
            soak_tests(&workspace, &["-p", member.name()])?;
        }
        None => {
            soak_tests(&workspace, &[])?;
            advisories(&workspace)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn soak_tests(workspace: &Workspace, selection: &[&str]) -> Result<()> {
    let mut test = cargo();
    test.args(["test", "--release", "--locked"]).args(selection);
    test.args(["--", "--ignored", "--show-output", "--test-threads=1"]);
    process::run(test.env("PATH", tools::search_path(workspace)))
}

fn advisories(workspace: &Workspace) -> Result<()> {
    let deny = tools::install(workspace, tools::CARGO_DENY)?;
    let mut check = std::process::Command::new(deny);
    process::run(check.current_dir(&workspace.root).args([
        "check",
        "advisories",
        "licenses",
        "bans",
    ]))
}
