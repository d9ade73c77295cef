//! Forks as library calls, clean opens, and what a thousand forks add to the file.

use std::time::{Duration, Instant};

use anyhow::Result;
use tine_bench::rounds::Rounds;
use tine_bench::samples::Samples;
use tine_bench::table::{Bar, Table, Unit};
use tine_store::{Options, STAGE_BYTES_MAX, Store};

use super::load::noise;

const FORK_BAR: f64 = 100e-6;
const OPEN_BAR: f64 = 10e-3;
const FORKS_A_ROUND: usize = 100;

/// Prints the rows of forks.
pub fn run(table: &mut Table) -> Result<()> {
    fork(table, "fork, 1 MB branch", 1_000_000, 1, 1)?;
    fork(table, "fork, 5 GB branch", 5_000_000_000, 1, 1)?;
    fork(table, "fork, 1 MB branch, depth 1,000", 1_000_000, 1_000, 1)?;
    fork(table, "fork, 1 MB branch, 10,000 branches", 1_000_000, 1, 10_000)?;
    open(table, "clean open, 1 branch", 1)?;
    open(table, "clean open, 10,000 branches", 10_000)?;
    growth(table)
}

/// One p50 for each round, buffered. The durable one is printed under it.
fn fork(table: &mut Table, what: &str, bytes: u64, depth: usize, branches: usize) -> Result<()> {
    if !table.wants(what) {
        return Ok(());
    }
    let (_directory, store) = store_with(bytes)?;
    let mut deepest = "base".to_owned();
    for level in 1..depth {
        let next = format!("level-{level}");
        store.fork(&deepest, &next)?;
        deepest = next;
    }
    for number in 1..branches {
        store.fork("base", &format!("sibling-{number}"))?;
    }
    store.sync()?;

    let mut rounds = Rounds::new(5);
    let (mut round, mut durable_round) = (0, 0);
    let buffered = rounds.contestant(|| {
        round += 1;
        p50(|n| store.fork(&deepest, &format!("buffered-{round}-{n}")).map(drop))
    });
    let durable = rounds.contestant(|| {
        durable_round += 1;
        p50(|n| {
            store.fork(&deepest, &format!("durable-{durable_round}-{n}"))?;
            store.sync()
        })
    });
    let samples = rounds.run()?;
    table.row(what, Unit::Seconds, &samples[buffered]).bar(Bar::AtMost(FORK_BAR));
    table.row(&format!("{what}, durable"), Unit::Seconds, &samples[durable]).bar(Bar::Printed);
    table.print_probe();
    Ok(store.close()?)
}

fn p50(mut fork: impl FnMut(usize) -> tine_store::Result<()>) -> Result<f64> {
    let mut times = Vec::with_capacity(FORKS_A_ROUND);
    for n in 0..FORKS_A_ROUND {
        let start = Instant::now();
        fork(n)?;
        times.push(start.elapsed().as_secs_f64());
    }
    Ok(Samples::new(times).median())
}

fn open(table: &mut Table, what: &str, branches: usize) -> Result<()> {
    if !table.wants(what) {
        return Ok(());
    }
    let (directory, store) = store_with(1_000_000)?;
    for number in 1..branches {
        store.fork("base", &format!("sibling-{number}"))?;
    }
    store.close()?;
    let path = directory.path().join("store.tine");
    let mut rounds = Rounds::new(9);
    rounds.contestant(|| {
        let start = Instant::now();
        let store = Store::open(&path, &Options::default())?;
        let elapsed = start.elapsed().as_secs_f64();
        store.close()?;
        Ok(elapsed)
    });
    let samples = rounds.run()?;
    table.row(what, Unit::Seconds, &samples[0]).bar(Bar::AtMost(OPEN_BAR));
    Ok(())
}

fn growth(table: &mut Table) -> Result<()> {
    let what = "file growth of 1,000 forks of 100 MB";
    if !table.wants(what) {
        return Ok(());
    }
    let (directory, store) = store_with(100_000_000)?;
    let path = directory.path().join("store.tine");
    let mut rounds = Rounds::new(5);
    let mut round = 0;
    rounds.contestant(|| {
        round += 1;
        store.checkpoint()?;
        let before = allocated(&path)?;
        for n in 0..1_000 {
            store.fork("base", &format!("fork-{round}-{n}"))?;
        }
        store.checkpoint()?;
        Ok(allocated(&path)? as f64 - before as f64)
    });
    let samples = rounds.run()?;
    table.row(what, Unit::Bytes, &samples[0]).bar(Bar::AtMost(2e6));
    Ok(store.close()?)
}

/// A store whose branch `base` has one file map of `bytes`, durable.
pub fn store_with(bytes: u64) -> Result<(tempfile::TempDir, Store)> {
    let directory = tempfile::Builder::new().prefix("tine-bench").tempdir()?;
    let store = Store::create(&directory.path().join("store.tine"), &Options::default())?;
    let branch = store.create_branch("base")?;
    let chunk = noise(STAGE_BYTES_MAX, 7);
    let mut block = 0;
    let blocks = bytes.div_ceil(4096);
    while block < blocks {
        let count = (blocks - block).min(STAGE_BYTES_MAX as u64 / 4096);
        let staged = branch.stage(&chunk[..(count * 4096) as usize])?;
        let mut write = branch.write()?;
        write.map(MAP, block, staged)?;
        write.commit()?;
        block += count;
    }
    store.sync()?;
    store.checkpoint()?;
    Ok((directory, store))
}

/// The map that [`store_with`] fills.
pub const MAP: &[u8] = b"file";

/// Bytes that the host has allocated for a file.
pub fn allocated(path: &std::path::Path) -> Result<u64> {
    use std::os::unix::fs::MetadataExt;
    Ok(path.metadata()?.blocks() * 512)
}

/// Waits until `done` returns `true`. Returns the time that it took, or `None` past the limit.
pub fn wait_for(limit: Duration, mut done: impl FnMut() -> Result<bool>) -> Result<Option<f64>> {
    let start = Instant::now();
    while start.elapsed() < limit {
        if done()? {
            return Ok(Some(start.elapsed().as_secs_f64()));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(None)
}
