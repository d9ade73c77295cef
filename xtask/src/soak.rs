//! `cargo xtask soak [WHAT]`: the tests that are too long for every day.
//!
//! A soak test is an ignored test whose reason begins with `soak:`; it runs in release mode, with
//! its output shown. `crash` cuts the power of the engine for hours, `schedules` tries orders of
//! its threads' events, `mutants` changes its code and looks whether a test notices, `sanitizers`
//! watches the values' memory, `fuzz` feeds the fuzz targets, and `advisories` asks cargo-deny
//! about the dependencies.

use std::process::ExitCode;

use anyhow::{Context, Result, bail};

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
        Some("mutants") => mutants(&workspace, None)?,
        Some("sanitizers") => sanitizers(&workspace)?,
        Some("fuzz") => fuzz(&workspace)?,
        Some(name) => {
            let package = format!("tine-{name}");
            let names = [name, package.as_str()];
            let Some(member) = workspace.members().find(|member| names.contains(&member.name()))
            else {
                bail!(
                    "nothing to soak is called `{name}`; give a crate's name, `crash`, `schedules`, \
                     `mutants`, `sanitizers`, `fuzz` or `advisories`"
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

/// Random runs of the engine, each cut at every change, for a number of hours. A failing seed is
/// printed.
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

/// One shard of the mutants, `K/N`: every Nth from the Kth on, which is a sample of all of them as
/// well.
pub fn mutants_of_shard(shard: &str) -> Result<ExitCode> {
    mutants(&Workspace::load()?, Some(shard))?;
    Ok(ExitCode::SUCCESS)
}

/// The test programs that a mutant meets: quick ones that leave little of the engine unvisited.
const MUTANTS_MEET: [&str; 8] = [
    "bad_stores",
    "branches",
    "concurrent",
    "crash_consistency",
    "crash_points",
    "given_back",
    "model",
    "space",
];

/// Changes the journal, the space and the branches of the engine, one place at a time. What
/// `target/mutants` tells of as caught is not tried again, so a run that was broken off goes on.
fn mutants(workspace: &Workspace, shard: Option<&str>) -> Result<()> {
    let mutants = tools::install(workspace, tools::CARGO_MUTANTS)?;
    let mut run = std::process::Command::new(mutants);
    run.current_dir(&workspace.root).args(["mutants", "-p", "tine-store", "--timeout", "120"]);
    for part in ["journal", "space", "branch"] {
        run.args(["-f", &format!("crates/store/src/{part}/**")]);
    }
    if let Some(shard) = shard {
        run.args(["--shard", shard, "--sharding", "round-robin"]);
    }
    run.args(["--iterate", "--cargo-arg=--lib"]);
    run.args(MUTANTS_MEET.map(|program| format!("--cargo-arg=--test={program}")));
    // Each copy of the tree has its own build directory.
    run.env_remove("CARGO_TARGET_DIR");
    process::run(run.arg("-o").arg(workspace.target.join("mutants")))
}

/// The tests of the values under nightly's address and leak sanitizers.
fn sanitizers(workspace: &Workspace) -> Result<()> {
    let mut test = nightly(workspace);
    test.args(["cargo", "test", "--locked", "-p", "tine-values", "--all-features"]);
    // With a target named, build scripts and macros are built without the sanitizer.
    test.args(["--target", "x86_64-unknown-linux-gnu", "--lib", "--tests"]);
    test.env("RUSTFLAGS", "-Zsanitizer=address").env("ASAN_OPTIONS", "detect_leaks=1");
    process::run(test.env("CARGO_TARGET_DIR", workspace.target.join("sanitizers")))
}

/// Fuzz targets of the store, of its file trees, of what is exported from them, and of the values.
const FUZZ_TARGETS: [&str; 8] = [
    "superblock",
    "node",
    "journal",
    "tree",
    "export",
    "values_forks",
    "values_maps",
    "values_load",
];
/// How long each is fed.
const FUZZ_SECONDS: u32 = 60;

/// Feeds the fuzz targets, under the address sanitizer as cargo-fuzz has it. What a run learns
/// stays in `target/fuzz` for the next one; the repository's corpus is where the first begins.
fn fuzz(workspace: &Workspace) -> Result<()> {
    let program = tools::install(workspace, tools::CARGO_FUZZ)?;
    for target in FUZZ_TARGETS {
        let learned = workspace.target.join("fuzz/learned").join(target);
        std::fs::create_dir_all(&learned)
            .with_context(|| format!("make the directory {}", learned.display()))?;
        let mut run = nightly(workspace);
        run.arg(&program).args(["fuzz", "run", target]).arg(learned);
        let corpus = workspace.root.join("fuzz/corpus").join(target);
        run.args(corpus.is_dir().then_some(corpus));
        // Long inputs from the start: one edit finds nothing.
        run.args(["--", "-len_control=0", &format!("-max_total_time={FUZZ_SECONDS}")]);
        process::run(&mut run)?;
    }
    Ok(())
}

/// A command on the nightly toolchain, which rustup must have.
fn nightly(workspace: &Workspace) -> std::process::Command {
    let mut run = std::process::Command::new("rustup");
    run.current_dir(&workspace.root).args(["run", "nightly"]);
    run
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
