//! The area `branch`: what a branch costs, and how close its mounts come to the bare file system.
//!
//! Everything lies in one temporary directory (`TMPDIR` chooses the disk): the store, and the
//! copies of the peers, so that all share the same disk. Peers that are file systems get one on a
//! loop device in a file there, which needs root.

mod clones;
mod deletion;
mod device;
mod durable;
mod files;
mod forks;
mod holder;
mod import;
mod lab;
mod load;
mod pgbench;
mod program;
mod space;
mod trees;

use anyhow::Result;
use tine_bench::table::Table;

/// Measures the rows of this area.
pub fn run(table: &mut Table) -> Result<()> {
    forks::run(table)?;
    program::run(table)?;
    space::run(table)?;
    deletion::run(table)?;
    clones::run(table)?;
    files::run(table)?;
    durable::run(table)?;
    trees::run(table)?;
    import::run(table)?;
    holder::run(table)?;
    pgbench::run(table)
}
