//! Disk that a diverging fork takes.

use std::path::Path;

use anyhow::Result;
use tine_bench::rounds::Rounds;
use tine_bench::table::{Bar, Table, Unit};
use tine_store::Store;

use super::forks::{MAP, allocated, store_with};
use super::load::{Places, noise};

/// PostgreSQL's page.
const PAGE: u64 = 8192;

/// Prints the rows of space.
pub fn run(table: &mut Table) -> Result<()> {
    for (size, bytes) in [("1 GB", 1_000_000_000_u64), ("5 GB", 5_000_000_000)] {
        let what = format!("disk of 1 % of {size} rewritten in 8 KiB pages");
        if !table.wants(&what) {
            continue;
        }
        let (directory, store) = store_with(bytes)?;
        let path = directory.path().join("store.tine");
        let pages = bytes / PAGE / 100;
        let mut rounds = Rounds::new(5);
        let mut round = 0;
        rounds.contestant(|| {
            round += 1;
            growth_of_fork(&store, &path, round, bytes / PAGE, pages)
        });
        let samples = rounds.run()?;
        let written = (pages * PAGE) as f64;
        table.row(&what, Unit::Bytes, &samples[0]).bar(Bar::AtMost(1.5 * written + 1e6));
        store.close()?;
    }
    Ok(())
}

/// Forks and rewrites random pages. Returns how much the file has grown after a checkpoint.
fn growth_of_fork(store: &Store, path: &Path, round: u64, of: u64, pages: u64) -> Result<f64> {
    store.checkpoint()?;
    let before = allocated(path)?;
    let branch = store.fork("base", &format!("fork-{round}"))?;
    let page = noise(PAGE as usize, round);
    let mut places = Places::new(round);
    for _ in 0..pages {
        let staged = branch.stage(&page)?;
        let mut write = branch.write()?;
        write.map(MAP, places.below(of) * (PAGE / 4096), staged)?;
        write.commit()?;
    }
    store.sync()?;
    store.checkpoint()?;
    Ok(allocated(path)? as f64 - before as f64)
}
