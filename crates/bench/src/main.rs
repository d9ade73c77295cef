//! `tine-bench AREA [FILTER]`: measures one area and prints its table.

#![forbid(unsafe_code)]

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
