//! `tine-bench AREA [FILTER]` measures one area and prints its table. `tine-bench AREA --record
//! PATH COMMIT` also writes the page of figures.

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

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Result, bail};
use tine_bench::page::{Heading, Line};
use tine_bench::table::Table;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    #[cfg(feature = "kv")]
    if std::env::args().nth(1).as_deref() == Some("kv-limited") {
        return limited(&arguments.skip(1).collect::<Vec<_>>());
    }
    let area = arguments.next().unwrap_or_default();
    let (filter, record) = match &arguments.collect::<Vec<_>>()[..] {
        [flag, path, commit] if flag == "--record" => {
            (None, Some((PathBuf::from(path), Heading::new(&area, commit))))
        }
        [filter] => (Some(filter.clone()), None),
        _ => (None, None),
    };
    let mut table = Table::new(&area, filter);
    let outcome = run(&area, &mut table);
    let finished = table.finish();
    match outcome.and_then(|()| write(record, &finished.lines)) {
        Ok(()) => finished.code,
        Err(error) => {
            eprintln!("error: benchmark of `{area}` stopped: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Writes the page of a whole run, if one is to be written.
fn write(record: Option<(PathBuf, Heading)>, lines: &[Line]) -> Result<()> {
    match record {
        Some((path, heading)) => heading.write(lines, Path::new(&path)),
        None => Ok(()),
    }
}

/// A part of a row of `kv` that is measured in a separate process.
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

/// Runs one area. The areas that exist are those whose feature was on at the build.
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
