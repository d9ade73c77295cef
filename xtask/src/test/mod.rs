//! `cargo xtask test`: everything that must hold before a change lands.
//!
//! Format, lints, tidiness, then every test of the workspace and of the benchmarks' own code, each
//! test program by itself with its time; as root once more as an ordinary user; then the Python
//! face, and as root the demo on a fresh Debian. A test that this machine cannot run prints
//! `skipped: WHAT: WHY`; these are gathered and named at the end, before the last line,
//! `N passed, N failed, N skipped`.

mod freestanding;
mod fresh;
mod ordinary;
mod programs;
mod python;
mod tally;
mod tour;

use std::process::{Command, ExitCode};
use std::time::Instant;

use anyhow::Result;

use crate::packages;
use crate::process;
use crate::tidy;
use crate::tools;
use crate::workspace::{Workspace, cargo};
use tally::Tally;

/// Features of tine-bench whose code is linted and tested with everything else.
const BENCH_AREAS: &str = "tine-bench/branch,tine-bench/memory,tine-bench/values";

/// Optional features of tine-values, linted and tested with everything else.
const VALUES_FEATURES: &str = "tine-values/rayon,tine-values/serde,tine-values/stats";

/// Runs it all; fails if anything failed.
pub fn run() -> Result<ExitCode> {
    let workspace = Workspace::load()?;
    let mut tally = Tally::default();
    for package in packages::install(packages::FOR_TESTS) {
        tally.skip(&format!("what needs the package {package}: it could not be installed"));
    }
    for tool in [tools::PJDFSTEST, tools::FSX] {
        if let Err(error) = tools::install(&workspace, tool) {
            tally.skip(&format!("what needs {}: {error:#}", tool.0));
        }
    }

    check(&mut tally, "format", || {
        let unformatted = process::output(cargo().args(["fmt", "--all", "--check", "--", "-l"]))?;
        let files = String::from_utf8_lossy(&unformatted.stdout);
        let said = String::from_utf8_lossy(&unformatted.stderr);
        match (unformatted.status.success(), files.trim()) {
            (true, _) => Ok(()),
            (false, "") => anyhow::bail!("`cargo fmt` cannot tell: {}", said.trim()),
            (false, files) => anyhow::bail!("`cargo fmt` would change:\n{files}"),
        }
    });
    check(&mut tally, "lints", lint);
    check(&mut tally, "tidy", || {
        let findings = tidy::check()?;
        anyhow::ensure!(findings.is_empty(), "{}", findings.join("\n"));
        Ok(())
    });

    let programs = programs::build(&workspace)?;
    println!("\ntests");
    let start = Instant::now();
    for program in &programs {
        let mut command = program.command(&workspace);
        tally.add(&program.name, programs::run(&workspace, &program.name, &mut command)?);
    }
    programs::doc_tests(&workspace, &mut tally)?;
    check(&mut tally, "values without std", || freestanding::check(&workspace));
    check(&mut tally, "the README's tour", || tour::run(&workspace));
    println!("tests took {:.0} s", start.elapsed().as_secs_f64());

    ordinary::run(&workspace, &programs, &mut tally)?;
    python::run(&workspace, &mut tally)?;
    fresh::run(&workspace, &mut tally);
    Ok(tally.finish())
}

/// The demo on a fresh Debian alone.
pub fn run_fresh() -> Result<ExitCode> {
    let mut tally = Tally::default();
    fresh::run(&Workspace::load()?, &mut tally);
    Ok(tally.finish())
}

/// Runs one check that passes or fails as a whole.
fn check(tally: &mut Tally, name: &str, work: impl FnOnce() -> Result<()>) {
    let start = Instant::now();
    let result = work();
    let seconds = start.elapsed().as_secs_f64();
    match result {
        Ok(()) => tally.pass(name, seconds),
        Err(error) => tally.fail(name, seconds, &format!("{error:#}")),
    }
}

fn lint() -> Result<()> {
    let mut clippy: Command = cargo();
    clippy.args(["clippy", "--quiet", "--locked", "--workspace", "--all-targets"]);
    clippy.args(["--features", BENCH_AREAS, "--", "-D", "warnings"]);
    process::run(&mut clippy)?;
    let mut values = cargo();
    values.args(["clippy", "--quiet", "--locked", "-p", "tine-values", "--all-targets"]);
    process::run(values.args(["--features", VALUES_FEATURES, "--", "-D", "warnings"]))
}
