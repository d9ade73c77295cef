//! `cargo xtask demo`: the whole way once, with a real PostgreSQL and a real SQLite.
//!
//! Everything is made in one temporary directory and removed again, also on Ctrl-C; only system
//! packages that had to be installed stay. Each step prints what it does; a step whose promise does
//! not hold ends the demo with an error, so that a demo that reaches its table is also a test.

mod database;
mod files;
mod interrupt;
mod report;
mod stage;

use std::process::ExitCode;

use anyhow::Result;

use crate::packages::{self, Program};
use crate::process;
use crate::workspace::{Workspace, cargo};
use interrupt::Interrupt;
use report::Report;
use stage::Stage;

/// Branches that are made of each source.
const BRANCHES: usize = 20;

const NEEDED: &[Program] = &[
    Program { name: "psql", package: "postgresql" },
    Program { name: "sqlite3", package: "sqlite3" },
    Program { name: "fusermount3", package: "fuse3" },
];

/// Tells the story; succeeds only if all of it was true.
pub fn run() -> Result<ExitCode> {
    let missing = packages::install(NEEDED);
    let workspace = Workspace::load()?;
    step("building tine");
    process::run(cargo().args(["build", "--quiet", "--release", "--locked", "-p", "tine"]))?;

    let interrupt = Interrupt::watch()?;
    let stage = Stage::new(workspace.target.join("release/tine"), interrupt)?;
    stage.tine(&["init"])?;
    let mut report = Report::default();
    if missing.contains(&"postgresql") {
        println!("going on without PostgreSQL: it could not be installed");
    } else {
        database::tell(&stage, &mut report)?;
    }
    if missing.contains(&"sqlite3") {
        println!("going on without SQLite: it could not be installed");
    } else {
        files::tell(&stage, &mut report)?;
    }
    anyhow::ensure!(
        !report.lines.is_empty(),
        "nothing could be shown: the demo needs PostgreSQL or SQLite (Debian's packages postgresql and sqlite3)"
    );
    report.print(&stage)?;
    step("cleaning up");
    stage.strike()?;
    Ok(ExitCode::SUCCESS)
}

/// Announces what comes next.
fn step(what: &str) {
    println!("\n── {what}");
}
