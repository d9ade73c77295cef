//! Space that comes back when diverged branches are deleted.

use std::time::Duration;

use anyhow::Result;
use tine_bench::rounds::Rounds;
use tine_bench::table::{Bar, Table, Unit};

use super::forks::{MAP, allocated, store_with, wait_for};
use super::load::{Places, noise};

const BASE_BYTES: u64 = 100_000_000;
const BRANCHES: u64 = 20;
const BAR: f64 = 1.3;

/// Prints the rows of deletion.
pub fn run(table: &mut Table) -> Result<()> {
    let what = "file ÷ live bytes, 19 of 20 diverged branches deleted";
    if !table.wants(what) {
        return Ok(());
    }
    let mut seconds = Vec::new();
    let mut rounds = Rounds::new(5).cold();
    rounds.contestant(|| {
        let (ratio, elapsed) = measure()?;
        seconds.push(elapsed);
        Ok(ratio)
    });
    let samples = rounds.run()?;
    table.row(what, Unit::Number, &samples[0]).bar(Bar::AtMost(BAR));
    let shown: Vec<_> =
        seconds.iter().map(|time| time.map_or("over 60".into(), |s| format!("{s:.1}"))).collect();
    table.note(&format!("seconds until the file was that small: {}", shown.join(", ")));
    Ok(())
}

/// Each branch rewrites a fifth of the base. Then all but one are deleted, including the base.
fn measure() -> Result<(f64, Option<f64>)> {
    let (directory, store) = store_with(BASE_BYTES)?;
    let path = directory.path().join("store.tine");
    let chunk = noise(1 << 16, 3);
    let chunk_blocks = (chunk.len() / 4096) as u64;
    for n in 0..BRANCHES {
        let branch = store.fork("base", &format!("fork-{n}"))?;
        let mut places = Places::new(n + 1);
        for _ in 0..BASE_BYTES / 5 / chunk.len() as u64 {
            let staged = branch.stage(&chunk)?;
            let mut write = branch.write()?;
            write.map(MAP, places.below(BASE_BYTES / chunk.len() as u64) * chunk_blocks, staged)?;
            write.commit()?;
        }
    }
    store.sync()?;
    store.checkpoint()?;
    store.delete("base")?;
    for n in 1..BRANCHES {
        store.delete(&format!("fork-{n}"))?;
    }
    let live = store.branch("fork-0")?.usage()?.referenced_bytes as f64;
    let small = || Ok(allocated(&path)? as f64 <= BAR * live);
    let seconds = wait_for(Duration::from_secs(60), small)?;
    let ratio = allocated(&path)? as f64 / live;
    store.close()?;
    Ok((ratio, seconds))
}
