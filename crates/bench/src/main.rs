//! `tine-bench AREA [FILTER]`: measures one area and prints its table.

// Only the peers whose own calls need it allow it: `memory::peers` and `kv::peers::open`.
#![deny(unsafe_code)]

#[cfg(feature = "branch")]
mod branch;
#[cfg(feature = "kv")]
mod kv;
#[cfg(feature = "memory")]
mod memory;
#[cfg(feature = "values")]
mod values;

use std::process::ExitCode;

use anyhow::{Result, bail};
use tine_bench::table::Table;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    #[cfg(feature = "kv")]
    if std::env::args().nth(1).as_deref() == Some("kv-limited") {
        return limited(&arguments.skip(1).collect::<Vec<_>>());
    }
    let (area, filter) = (arguments.next().unwrap_or_default(), arguments.next());
    let mut table = Table::new(&area, filter);
    match run(&area, &mut table) {
        Ok(()) => table.finish(),
        Err(error) => {
            eprintln!("error: benchmark of `{area}` stopped: {error:#}");
            table.finish();
            ExitCode::FAILURE
        }
    }
}

/// A part of a row of `kv` that a process of its own measures.
#[cfg(feature = "kv")]
fn limited(arguments: &[String]) -> ExitCode {
    match kv::limited_work(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs one area; the areas that exist are those whose feature was on at the build.
fn run(area: &str, table: &mut Table) -> Result<()> {
    match area {
        #[cfg(feature = "branch")]
        "branch" => branch::run(table),
        #[cfg(feature = "kv")]
        "kv" => kv::run(table),
        #[cfg(feature = "memory")]
        "memory" => memory::run(table),
        #[cfg(feature = "values")]
        "values" => values::run(table),
        _ => {
            let _ = table;
            bail!("not an area of this build; use `cargo xtask bench branch|kv|memory|values`")
        }
    }
}
