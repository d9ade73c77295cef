//! `cargo xtask soak [WHAT]`: the tests that are too long for every day.
//!
//! A soak test is an ignored test whose reason begins with `soak:`; it runs in release mode, with its
//! output shown. `crash` cuts the power of the engine for hours, `schedules` tries orders of its threads'
//! events, `mutants` changes its code and looks whether a test notices, and `advisories` asks cargo-deny about
//! the dependencies.

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
        Some("crash") => crash("1")?,
        Some("schedules") => schedules(&workspace)?,
        Some("mutants") => mutants(&workspace)?,
        Some(name) => {
            let package = format!("tine-{name}");
            let names = [name, package.as_str()];
            let Some(member) = workspace.members().find(|member| names.contains(&member.name()))
            else {
                bail!(
                    "nothing to soak is called `{name}`; give a crate's name, `crash`, `schedules`, \
                     `mutants` or `advisories`"
                );
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

/// Random runs of the engine, each cut at every change, for so many hours. A failing seed is printed.
pub fn crash_for(hours: &str) -> Result<ExitCode> {
    crash(hours)?;
    Ok(ExitCode::SUCCESS)
}

fn crash(hours: &str) -> Result<()> {
    if !hours.parse::<f64>().is_ok_and(|hours| hours > 0.0 && hours < 10_000.0) {
        bail!("`{hours}` is no number of hours");
    }
    let mut test = cargo();
    test.args(["test", "--release", "--locked", "-p", "tine-store", "--test", "crash_points"]);
    test.args(["many_runs", "--", "--ignored", "--nocapture"]);
    process::run(test.env("TINE_SOAK_HOURS", hours))
}

/// The engine under a scheduler that chooses who goes on.
fn schedules(workspace: &Workspace) -> Result<()> {
    let mut test = cargo();
    test.args(["test", "--release", "--locked", "-p", "tine-store", "--lib", "schedules::"]);
    test.env("RUSTFLAGS", "--cfg shuttle").env("TINE_SCHEDULES", "100000");
    process::run(test.env("CARGO_TARGET_DIR", workspace.target.join("schedules")))
}

/// Changes the journal, the space and the branches of the engine, one place at a time.
fn mutants(workspace: &Workspace) -> Result<()> {
    let mutants = tools::install(workspace, tools::CARGO_MUTANTS)?;
    let mut run = std::process::Command::new(mutants);
    run.current_dir(&workspace.root).args(["mutants", "-p", "tine-store", "--timeout", "120"]);
    for part in ["journal", "space", "branch"] {
        run.args(["-f", &format!("crates/store/src/{part}/**")]);
    }
    process::run(run.arg("-o").arg(workspace.target.join("mutants")))
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
