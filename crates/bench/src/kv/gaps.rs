//! The longest time between two acknowledgements of one committer: under steady writing, and while
//! a large branch is deleted.

use std::os::unix::fs::MetadataExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use tine_bench::samples::Samples;
use tine_bench::table::{Bar, Table, Unit};
use tine_store::{Branch, Options, Store};

use super::commits::{BareAppend, commit_durably};
use super::data::Random;

const STEADY: &str = "longest gap in 60 s of steady durable writing";
const DELETING: &str = "longest gap while a branch of 1 GB is deleted";
const LARGE_BYTES: u64 = 1 << 30;
/// In addition to the longest flush of the probe.
const GAP_SECONDS_MAX: f64 = 20e-3;

pub fn run(table: &mut Table) -> Result<()> {
    if table.wants(STEADY) {
        steady(table)?;
    }
    if table.wants(DELETING) {
        deleting(table)?;
    }
    Ok(())
}

/// Prints a row: the longest gap of `work`, compared with the longest append and flush of a bare
/// file at the same time. A disk that stalls, stalls for both.
fn beside_probe(table: &mut Table, what: &str, work: impl FnOnce() -> Result<f64>) -> Result<()> {
    let (bare, done) = (BareAppend::new()?, AtomicBool::new(false));
    let (gap, probe) = std::thread::scope(|scope| {
        let probe = scope.spawn(|| longest_flush(&bare, &done));
        let gap = work();
        done.store(true, Ordering::Release);
        (gap, probe.join())
    });
    let Ok(probe) = probe else { anyhow::bail!("the probe panicked") };
    let (gap, flush) = (gap?, probe?);
    table
        .row(what, Unit::Seconds, &Samples::new(vec![gap]))
        .peer("append + fdatasync", &Samples::new(vec![flush]))
        .bar(Bar::AtMost(flush + GAP_SECONDS_MAX));
    table.print_probe();
    Ok(())
}

/// The longest of the probe's flushes, of which there is about one each millisecond, until `done`.
fn longest_flush(bare: &BareAppend, done: &AtomicBool) -> Result<f64> {
    let (mut longest, mut place) = (0.0f64, 0);
    while !done.load(Ordering::Acquire) {
        let start = Instant::now();
        bare.append(place)?;
        longest = longest.max(start.elapsed().as_secs_f64());
        place += 1;
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(longest)
}

/// Transactions of 32 pairs at random places of a table, one after another.
fn steady(table: &mut Table) -> Result<()> {
    const DURATION: Duration = Duration::from_secs(60);
    let directory = tempfile::tempdir()?;
    let store = Store::create(&directory.path().join("store"), &Options::default())?;
    let branch = store.create_branch("main")?;
    let mut random = Random::new(1);
    let commit = || {
        let mut txn = branch.write()?;
        let mut pairs = txn.table("x")?;
        for _ in 0..32 {
            pairs.put((random.next() % 2_000_000).to_be_bytes(), [3; 150])?;
        }
        txn.commit()?;
        Ok(branch.sync()?)
    };
    beside_probe(table, STEADY, || longest_gap(DURATION, || false, commit))
}

fn deleting(table: &mut Table) -> Result<()> {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("store");
    let store = Store::create(&path, &Options::default())?;
    let (main, large) = (store.create_branch("main")?, store.create_branch("large")?);
    fill(&large, b"large", LARGE_BYTES)?;
    store.checkpoint()?;
    store.delete("large")?;
    // Until all of it is given back to the host.
    let freed = || path.metadata().is_ok_and(|file| file.blocks() * 512 < LARGE_BYTES / 8);
    let mut number = 0;
    beside_probe(table, DELETING, || {
        let gap = longest_gap(Duration::from_secs(20), freed, || {
            number += 1;
            commit_durably(&main, number)
        })?;
        anyhow::ensure!(freed(), "the host did not get the branch's space back");
        Ok(gap)
    })
}

/// Fills a map from its start, in runs of 64 KiB.
pub fn fill(branch: &Branch, map: &[u8], bytes: u64) -> Result<()> {
    const RUN_BLOCKS: u64 = 16;
    let data = vec![5; (RUN_BLOCKS * 4096) as usize];
    for run in 0..bytes / (RUN_BLOCKS * 4096) {
        let staged = branch.stage(&data)?;
        let mut txn = branch.write()?;
        txn.map(map, run * RUN_BLOCKS, staged)?;
        txn.commit()?;
    }
    Ok(())
}

/// Repeats `work` for this long, or until `done`, which is called now and then.
fn longest_gap(
    duration: Duration,
    done: impl Fn() -> bool,
    mut work: impl FnMut() -> Result<()>,
) -> Result<f64> {
    const ASK_EVERY: u64 = 256;
    let (start, mut last, mut longest, mut round) = (Instant::now(), Instant::now(), 0.0f64, 0);
    while start.elapsed() < duration && (round % ASK_EVERY != 1 || !done()) {
        work()?;
        let now = Instant::now();
        longest = longest.max((now - last).as_secs_f64());
        last = now;
        round += 1;
    }
    Ok(longest)
}
