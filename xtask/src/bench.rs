//! `cargo xtask bench AREA [FILTER]`: builds the area with its own peers only, and runs it.

use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};

use crate::packages;
use crate::process;
use crate::workspace::{Workspace, cargo};

const AREAS: [&str; 4] = ["branch", "kv", "memory", "values"];

/// Runs the area's rows whose names contain `filter`; the exit status is the table's.
pub fn run(area: &str, filter: Option<&str>) -> Result<ExitCode> {
    if !AREAS.contains(&area) {
        bail!("`{area}` is no area of the benchmarks; there are {}", AREAS.join(", "));
    }
    let workspace = Workspace::load()?;
    if area == "branch" {
        packages::install(packages::FOR_BRANCH_BENCH);
        // The branch area measures whole processes too; it finds `tine` beside itself.
        process::run(cargo().args(["build", "--release", "--locked", "-p", "tine"]))?;
    }
    let mut build = cargo();
    build.args(["build", "--release", "--locked", "-p", "tine-bench", "--features", area]);
    process::run(&mut build)?;
    let mut bench = Command::new(workspace.target.join("release/tine-bench"));
    bench.arg(area).args(filter);
    let status = bench.status().with_context(|| format!("start `{}`", process::show(&bench)))?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
