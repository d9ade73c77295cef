//! Automation of the tine workspace: `cargo xtask VERB`.
//!
//! Each verb is a module. Nothing here is part of the product, and nothing here is needed to build
//! it; what a verb needs from the system (packages, tools) it installs or names.

#![forbid(unsafe_code)]

mod bench;
mod demo;
mod outside;
mod packages;
mod process;
mod soak;
mod test;
mod tidy;
mod tools;
mod workspace;

use std::process::ExitCode;

use anyhow::Result;

const USAGE: &str = "\
usage: cargo xtask VERB

  test                   format, lints, tidiness, every test; as root also as an ordinary user
  test fresh             the demo on a fresh Debian, made by debootstrap as root
  demo                   the whole way once, with a real PostgreSQL and a real SQLite
  tidy                   the rules of this project that the compiler does not check
  bench AREA [FILTER]    figures next to those of peers: branch, kv, memory, values
  bench AREA --record    the same for all rows, written to docs/figures/AREA.md
  soak [WHAT]            the long tests: a crate's name, `crash [--hours N]`, `schedules`,
                         `mutants [--shard K/N]`, `outside [SUITE]`, `sanitizers`, `fuzz`, or `advisories`";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match dispatch(&arguments) {
        Some(Ok(code)) => code,
        Some(Err(error)) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
        None => {
            eprintln!("{USAGE}");
            ExitCode::from(2)
        }
    }
}

/// Runs a verb; `None` when there is no such verb or its arguments are wrong.
fn dispatch(arguments: &[&str]) -> Option<Result<ExitCode>> {
    match arguments {
        ["test"] => Some(test::run()),
        ["test", "fresh"] => Some(test::run_fresh()),
        ["demo"] => Some(demo::run()),
        ["tidy"] => Some(tidy::run()),
        ["bench", area, "--record"] => Some(bench::record(area)),
        ["bench", _, "--record", _] | ["bench", _, _, "--record"] => Some(bench::record_filtered()),
        ["bench", area] => Some(bench::run(area, None)),
        ["bench", area, filter] => Some(bench::run(area, Some(filter))),
        ["soak"] => Some(soak::run(None)),
        ["soak", "outside"] => Some(outside::run(None)),
        ["soak", "outside", suite] => Some(outside::run(Some(suite))),
        ["soak", "crash", "--hours", hours] => Some(soak::crash_for(hours)),
        ["soak", "mutants", "--shard", shard] => Some(soak::mutants_of_shard(shard)),
        ["soak", what] => Some(soak::run(Some(what))),
        _ => None,
    }
}
