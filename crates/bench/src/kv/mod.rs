//! The engine as a store of keys and values, compared with engines of its kind.
//!
//! The workloads are those of redb's benchmark: pairs of 24 and 150 bytes in random order, with
//! every write a transaction that is durable when its call returns. All engines run in the same
//! rounds, in a new random order for each.

mod branches;
mod commits;
mod contest;
mod data;
mod gaps;
mod huge;
mod limited;
mod peers;
mod recovery;
mod subject;
mod wear;
mod workloads;

use anyhow::Result;
use tine_bench::table::Table;

pub use limited::work as limited_work;

/// Measures the rows of this area.
pub fn run(table: &mut Table) -> Result<()> {
    workloads::run(table)?;
    limited::run(table)?;
    commits::run(table)?;
    branches::run(table)?;
    gaps::run(table)?;
    recovery::run(table)?;
    huge::run(table)?;
    wear::run(table)
}
