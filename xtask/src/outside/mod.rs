//! `cargo xtask soak outside [SUITE]`: suites that others wrote, over mounts of tine.
//!
//! Each suite gets a store, a mounted branch and a directory next to it, all of them new, and works
//! in the branch as its own programs do on any file system. Afterwards the branch is unmounted and
//! the store is checked. What a suite needs is installed from the system's packages, or built from
//! their sources; these stay in `target/outside`.

mod place;
mod source;
mod suites;

use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Result, bail, ensure};

use crate::packages;
use crate::process;
use crate::tools;
use crate::workspace::{Workspace, cargo};
use place::Place;
use suites::{SUITES, Suite};

/// Runs the suite of that name, or all; fails if any of them failed, and names those that could not
/// be run.
pub fn run(name: Option<&str>) -> Result<ExitCode> {
    let chosen: Vec<&Suite> =
        SUITES.iter().filter(|suite| name.is_none_or(|name| suite.name == name)).collect();
    if chosen.is_empty() {
        let names: Vec<&str> = SUITES.iter().map(|suite| suite.name).collect();
        bail!("there is no such suite; there are {}", names.join(", "));
    }
    let workspace = Workspace::load()?;
    process::run(cargo().args(["build", "--release", "--locked", "-p", "tine"]))?;
    tools::install(&workspace, tools::FSX)?;
    let (mut failed, mut not_run) = (Vec::new(), Vec::new());
    for suite in chosen {
        let missing = packages::install(suite.needs);
        if !missing.is_empty() {
            not_run.push(format!("{}: {} could not be installed", suite.name, missing.join(" ")));
            continue;
        }
        let start = Instant::now();
        let result = play(&workspace, suite);
        let seconds = start.elapsed().as_secs_f64();
        match result {
            Ok(()) => println!("{:<20} ok {seconds:>10.0} s", suite.name),
            Err(error) => {
                println!("{:<20} FAILED {seconds:>6.0} s\n{error:#}", suite.name);
                failed.push(suite.name);
            }
        }
    }
    not_run.iter().for_each(|what| println!("not run: {what}"));
    ensure!(failed.is_empty(), "failed: {}", failed.join(", "));
    Ok(if not_run.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn play(workspace: &Workspace, suite: &Suite) -> Result<()> {
    let sources = match suite.source {
        Some(package) => Some(source::unpacked(workspace, package)?),
        None => None,
    };
    let place = Place::new(workspace, suite.name)?;
    place.play(workspace, suite.script, sources.as_deref())?;
    place.conclude()
}
