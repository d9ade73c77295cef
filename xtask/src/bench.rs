//! `cargo xtask bench AREA [FILTER]`: builds the area with its own peers only, and runs it. With
//! `--record` it also writes `docs/figures/AREA.md`.

use std::ffi::OsString;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};

use crate::packages;
use crate::process;
use crate::workspace::{Workspace, cargo};

const AREAS: [&str; 4] = ["branch", "kv", "memory", "values"];

/// Runs the area's rows whose names contain `filter`. The exit status is the table's.
pub fn run(area: &str, filter: Option<&str>) -> Result<ExitCode> {
    measure(area, |_| Ok(filter.map(OsString::from).into_iter().collect()))
}

/// Runs all rows of the area, and writes its page of figures.
pub fn record(area: &str) -> Result<ExitCode> {
    measure(area, |workspace| {
        let page = workspace.root.join(format!("docs/figures/{area}.md"));
        Ok(vec!["--record".into(), page.into(), commit(workspace)?.into()])
    })
}

/// Fails: a page of figures has every row.
pub fn record_filtered() -> Result<ExitCode> {
    bail!("a page of figures has every row: leave out the filter, or leave out `--record`")
}

/// The commit that is checked out, and a mark if files differ from it.
fn commit(workspace: &Workspace) -> Result<String> {
    let git = |arguments: &[&str]| {
        let mut git = Command::new("git");
        process::capture(git.current_dir(&workspace.root).args(arguments))
    };
    let commit = git(&["rev-parse", "--short=10", "HEAD"])?.trim().to_owned();
    let changes = git(&["status", "--porcelain", "--untracked-files=no"])?;
    Ok(if changes.trim().is_empty() { commit } else { format!("{commit} with local changes") })
}

fn measure(
    area: &str,
    arguments: impl FnOnce(&Workspace) -> Result<Vec<OsString>>,
) -> Result<ExitCode> {
    if !AREAS.contains(&area) {
        bail!("`{area}` is no area of the benchmarks; there are {}", AREAS.join(", "));
    }
    let workspace = Workspace::load()?;
    let arguments = arguments(&workspace)?;
    if area == "branch" {
        packages::install(packages::FOR_BRANCH_BENCH);
        // The branch area also measures whole processes. It finds `tine` in its own directory.
        process::run(cargo().args(["build", "--release", "--locked", "-p", "tine"]))?;
    }
    let mut build = cargo();
    build.args(["build", "--release", "--locked", "-p", "tine-bench", "--features", area]);
    process::run(&mut build)?;
    let mut bench = Command::new(workspace.target.join("release/tine-bench"));
    bench.arg(area).args(arguments);
    let status = bench.status().with_context(|| format!("start `{}`", process::show(&bench)))?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
