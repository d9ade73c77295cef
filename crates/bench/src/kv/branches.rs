//! What branches cost: reading deep in their history and among very many, forking, the first write,
//! opening.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result};
use tine_bench::rounds::Rounds;
use tine_bench::samples::Samples;
use tine_bench::table::{Bar, Table, Unit};
use tine_store::{Branch, Options, Store};

use super::contest::per_operation;
use super::data::{Pair, pairs, some_keys};

const DEPTH: usize = 1000;
const MANY: usize = 100_000;
const PAIRS: usize = 200_000;
const TABLE: &str = "x";

const READ_DEEP: &str = "random read at fork depth 1,000, beside depth 0";
const READ_DEEP_MADE: &str = "random read at fork depth 1,000 in the process that made the forks";
const READ_MANY: &str = "random read with 100,000 branches, beside 1";
const FORK: &str = "fork with 100,000 branches, p50";
const OPEN: &str = "clean open of 100,000 branches";
const FIRST: &str = "first write after a fork, p99";

pub fn run(table: &mut Table) -> Result<()> {
    deep(table)?;
    first_write(table)?;
    many(table)
}

/// A new store with one loaded branch, all of it in the cache.
fn loaded(path: &Path, pairs: &[Pair]) -> Result<(Store, Branch)> {
    let store = Store::create(path, &options())?;
    let main = store.create_branch("main")?;
    let mut txn = main.write()?;
    txn.table(TABLE)?.load(pairs.iter().map(|(key, value)| (key, value)))?;
    txn.commit()?;
    store.checkpoint()?;
    Ok((store, main))
}

fn options() -> Options {
    let mut options = Options::default();
    options.cache_bytes = 256 << 20;
    options
}

fn seconds_a_read(branch: &Branch, pairs: &[Pair], seed: u64) -> Result<f64> {
    const READS: usize = 100_000;
    let keys = some_keys(pairs, READS, seed);
    let table = branch.read()?.table(TABLE)?;
    per_operation(READS, || {
        let mut sum = 0;
        for key in &keys {
            sum += table.get(key)?.map_or(0, |value| u64::from(value[0]));
        }
        Ok(sum)
    })
}

/// Random reads of these branches, in turn.
fn reads(branches: &[&Branch], pairs: &[Pair]) -> Result<Vec<Samples>> {
    let mut rounds = Rounds::new(9);
    for branch in branches {
        let mut round = 0;
        rounds.contestant(move || {
            round += 1;
            seconds_a_read(branch, pairs, round)
        });
    }
    rounds.run()
}

/// A chain of forks, each of which changes some pairs. It is read in newly opened stores, which
/// cache only what was read, and in the process that made the forks, whose cache also holds what
/// they replaced.
fn deep(table: &mut Table) -> Result<()> {
    if ![READ_DEEP, READ_DEEP_MADE].iter().any(|what| table.wants(what)) {
        return Ok(());
    }
    let (directory, pairs) = (tempfile::tempdir()?, pairs(PAIRS, 1));
    let paths = ["deep", "flat"].map(|name| directory.path().join(name));
    let (store, main) = loaded(&paths[0], &pairs)?;
    let (flat_store, flat) = loaded(&paths[1], &pairs)?;
    let mut name = "main".to_owned();
    for depth in 0..DEPTH {
        let next = format!("d{depth}");
        let branch = store.fork(&name, &next)?;
        let mut txn = branch.write()?;
        let some = pairs.iter().skip(depth * 7).step_by(PAIRS / 10);
        txn.table(TABLE)?.load(some.map(|(key, value)| (key, value)))?;
        txn.commit()?;
        name = next;
    }
    store.checkpoint()?;
    let deepest = store.branch(&name)?;
    if table.wants(READ_DEEP_MADE) {
        let samples = reads(&[&deepest, &flat, &main], &pairs)?;
        let row = table.row(READ_DEEP_MADE, Unit::Seconds, &samples[0]);
        row.peer("depth 0", &samples[1]).bar(Bar::Printed);
        let beside = samples[2].median() / samples[1].median();
        table.note(&format!("depth 0 of the same store takes {beside:.2} x that of a store alone"));
    }
    drop((deepest, main, flat));
    store.close()?;
    flat_store.close()?;
    if table.wants(READ_DEEP) {
        let (store, flat) =
            (Store::open(&paths[0], &options())?, Store::open(&paths[1], &options())?);
        let samples = reads(&[&store.branch(&name)?, &flat.branch("main")?], &pairs)?;
        let row = table.row(READ_DEEP, Unit::Seconds, &samples[0]);
        row.peer("depth 0", &samples[1]).bar(Bar::CostAtMost(1.1));
    }
    Ok(())
}

fn first_write(table: &mut Table) -> Result<()> {
    const FORKS: usize = 1000;
    if !table.wants(FIRST) {
        return Ok(());
    }
    let (directory, pairs) = (tempfile::tempdir()?, pairs(PAIRS, 1));
    let (store, _main) = loaded(&directory.path().join("store"), &pairs)?;
    let mut percentiles = Vec::new();
    let keys = some_keys(&pairs, FORKS * 5, 2);
    for (round, keys) in keys.chunks(FORKS).enumerate() {
        let mut times = Vec::new();
        for (n, key) in keys.iter().enumerate() {
            let fork = store.fork("main", &format!("f{round}-{n}"))?;
            let start = Instant::now();
            let mut txn = fork.write()?;
            txn.table(TABLE)?.put(key, [1; 150])?;
            txn.commit()?;
            times.push(start.elapsed().as_secs_f64());
            store.delete(&fork.name())?;
        }
        times.sort_by(f64::total_cmp);
        percentiles.push(times[FORKS * 99 / 100]);
    }
    table.row(FIRST, Unit::Seconds, &Samples::new(percentiles)).bar(Bar::AtMost(1e-3));
    Ok(())
}

fn many(table: &mut Table) -> Result<()> {
    if ![READ_MANY, FORK, OPEN].iter().any(|what| table.wants(what)) {
        return Ok(());
    }
    let (directory, pairs) = (tempfile::tempdir()?, pairs(PAIRS, 1));
    let path = directory.path().join("many");
    let (store, main) = loaded(&path, &pairs)?;
    let (one_store, alone) = loaded(&directory.path().join("one"), &pairs)?;
    for n in 0..MANY {
        store.fork("main", &format!("b{n}"))?;
    }
    store.checkpoint()?;
    if table.wants(READ_MANY) {
        let samples = reads(&[&main, &alone], &pairs)?;
        let row = table.row(READ_MANY, Unit::Seconds, &samples[0]);
        row.peer("1 branch", &samples[1]).bar(Bar::CostAtMost(1.1));
    }
    drop((one_store, alone, main));
    if table.wants(FORK) {
        forks(table, &store)?;
    }
    store.close().context("close the store of many branches")?;
    if table.wants(OPEN) {
        let mut times = Vec::new();
        for _ in 0..5 {
            let start = Instant::now();
            let store = Store::open(&path, &options())?;
            times.push(start.elapsed().as_secs_f64());
            store.close()?;
        }
        table.row(OPEN, Unit::Seconds, &Samples::new(times)).bar(Bar::AtMost(50e-3));
    }
    Ok(())
}

fn forks(table: &mut Table, store: &Store) -> Result<()> {
    const FORKS: usize = 500;
    let mut medians = Vec::new();
    for round in 0..5 {
        let mut times = Vec::new();
        for n in 0..FORKS {
            let name = format!("more{round}-{n}");
            let start = Instant::now();
            store.fork("main", &name)?;
            times.push(start.elapsed().as_secs_f64());
        }
        medians.push(Samples::new(times).median());
    }
    table.row(FORK, Unit::Seconds, &Samples::new(medians)).bar(Bar::AtMost(100e-6));
    Ok(())
}
