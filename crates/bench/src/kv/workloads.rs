//! Load, writes, reads, scans, removals and size, with all data in the caches and with little of
//! it.

use anyhow::Result;
use tine_bench::samples::Samples;
use tine_bench::table::{Bar, Table, Unit};

use super::contest::{Contestant, Wanted, contest, contestants, per_operation, report};
use super::data::{Pair, pairs, some_keys};
use super::peers::ENGINES;

/// 87 MB of keys and values.
const PAIRS: usize = 500_000;
const INSIDE_BYTES: u64 = 512 << 20;
const BEYOND_BYTES: u64 = 16 << 20;
/// Pairs of a batch.
pub const BATCH: usize = 1000;
const SCANNED: usize = 10;
const ROUNDS: usize = 5;

const LOAD: &str = "bulk load in one transaction, a pair";
const LOAD_BEYOND: &str = "bulk load by 10,000s beyond the cache, a pair";
const READ: &str = "random read";
const READ_4: &str = "random read, 4 threads";
const SCAN: &str = "range read of 10, an entry";
const WRITE: &str = "durable write of one pair";
const BATCHED: &str = "durable batch of 1,000, a pair";
const REMOVE: &str = "removal by 1,000s, a pair";
const SIZE: &str = "size on disk after all this";
const READ_BEYOND: &str = "random read beyond the cache";
const BATCHED_BEYOND: &str = "durable batch of 1,000 beyond the cache, a pair";

pub fn run(table: &mut Table) -> Result<()> {
    loads(table)?;
    inside(table)?;
    beyond(table)
}

/// A row whose bar is the best of redb and LMDB.
pub fn best_of_both(what: &str) -> Wanted<'_> {
    Wanted {
        what,
        bar: Bar::SpeedAtLeast(1.0),
        against: &["redb", "LMDB"],
        goal: "; goal: the best of all",
        rounds: ROUNDS,
    }
}

/// A row whose bar is redb.
pub fn redb(what: &str) -> Wanted<'_> {
    Wanted { against: &["redb"], goal: "; goal: LMDB", ..best_of_both(what) }
}

/// The name of a contestant.
pub fn name(contestant: &Contestant) -> &'static str {
    contestant.engine.name
}

fn loads(table: &mut Table) -> Result<()> {
    for (what, step, cache) in [(LOAD, PAIRS, INSIDE_BYTES), (LOAD_BEYOND, 10_000, BEYOND_BYTES)] {
        if !table.wants(what) {
            continue;
        }
        let pairs = pairs(PAIRS, 1);
        let mut engines = ENGINES.to_vec();
        contest(
            table,
            best_of_both(what),
            &mut engines,
            |e| e.name,
            |engine, _| {
                let fresh = Contestant::new(*engine, cache)?;
                let subject = fresh.subject()?;
                per_operation(pairs.len(), || {
                    pairs.chunks(step).try_for_each(|some| subject.write(some))
                })
            },
        )?;
        table.print_probe();
    }
    Ok(())
}

fn loaded(cache_bytes: u64, pairs: &[Pair]) -> Result<Vec<Contestant>> {
    let all = contestants(cache_bytes)?;
    for contestant in &all {
        contestant.subject()?.write(pairs)?;
    }
    Ok(all)
}

fn inside(table: &mut Table) -> Result<()> {
    let rows = [READ, READ_4, SCAN, WRITE, BATCHED, REMOVE, SIZE];
    if !rows.iter().any(|what| table.wants(what)) {
        return Ok(());
    }
    let pairs = pairs(PAIRS, 1);
    let mut all = loaded(INSIDE_BYTES, &pairs)?;
    for (what, threads) in [(READ, 1), (READ_4, 4)] {
        reads(table, what, threads, &mut all, &pairs)?;
    }
    scans(table, &mut all, &pairs)?;
    writes(table, (WRITE, 100, 1), &mut all)?;
    writes(table, (BATCHED, 20, BATCH), &mut all)?;
    removals(table, &mut all, &pairs)?;
    sizes(table, all)
}

fn reads(
    table: &mut Table,
    what: &str,
    threads: usize,
    all: &mut [Contestant],
    pairs: &[Pair],
) -> Result<()> {
    const READS: usize = 100_000;
    if !table.wants(what) {
        return Ok(());
    }
    let wanted = Wanted { rounds: 9, ..redb(what) };
    contest(table, wanted, all, name, |contestant, round| {
        let subject = contestant.subject()?;
        let keys: Vec<_> = (0..threads)
            .map(|thread| some_keys(pairs, READS, (round * threads + thread) as u64))
            .collect();
        per_operation(READS * threads, || {
            std::thread::scope(|scope| {
                let readers: Vec<_> =
                    keys.iter().map(|keys| scope.spawn(move || subject.get(keys))).collect();
                readers.into_iter().try_for_each(|reader| match reader.join() {
                    Ok(sum) => sum.map(drop),
                    Err(_) => anyhow::bail!("a reader panicked"),
                })
            })
        })
    })
}

fn scans(table: &mut Table, all: &mut [Contestant], pairs: &[Pair]) -> Result<()> {
    const SCANS: usize = 20_000;
    if !table.wants(SCAN) {
        return Ok(());
    }
    contest(table, Wanted { rounds: 9, ..redb(SCAN) }, all, name, |contestant, round| {
        let (subject, from) = (contestant.subject()?, some_keys(pairs, SCANS, round as u64));
        per_operation(SCANS * SCANNED, || subject.scan(&from, SCANNED))
    })
}

/// Writes `transactions`, each with the given number of new pairs.
fn writes(
    table: &mut Table,
    (what, transactions, size): (&str, usize, usize),
    all: &mut [Contestant],
) -> Result<()> {
    if !table.wants(what) {
        return Ok(());
    }
    contest(table, best_of_both(what), all, name, |contestant, round| {
        let subject = contestant.subject()?;
        let new = pairs(transactions * size, (size * 1000 + round) as u64);
        per_operation(new.len(), || new.chunks(size).try_for_each(|some| subject.write(some)))
    })?;
    table.print_probe();
    Ok(())
}

fn removals(table: &mut Table, all: &mut [Contestant], pairs: &[Pair]) -> Result<()> {
    const REMOVED: usize = 20_000;
    if !table.wants(REMOVE) {
        return Ok(());
    }
    contest(table, best_of_both(REMOVE), all, name, |contestant, round| {
        let subject = contestant.subject()?;
        let keys: Vec<_> = pairs[round * REMOVED..][..REMOVED].iter().map(|pair| pair.0).collect();
        per_operation(REMOVED, || keys.chunks(BATCH).try_for_each(|some| subject.remove(some)))
    })?;
    table.print_probe();
    Ok(())
}

fn sizes(table: &mut Table, all: Vec<Contestant>) -> Result<()> {
    if !table.wants(SIZE) {
        return Ok(());
    }
    let (mut names, mut samples) = (Vec::new(), Vec::new());
    for contestant in all {
        names.push(contestant.engine.name);
        samples.push(Samples::new(vec![contestant.close()? as f64]));
    }
    let wanted = Wanted { bar: Bar::Printed, goal: "", ..best_of_both(SIZE) };
    report(table, wanted, Unit::Bytes, &names, &samples);
    Ok(())
}

/// Caches of engines hold a fifth of the data. The host's pages are dropped before each round.
fn beyond(table: &mut Table) -> Result<()> {
    const READS: usize = 5000;
    if ![READ_BEYOND, BATCHED_BEYOND].iter().any(|what| table.wants(what)) {
        return Ok(());
    }
    let pairs = pairs(PAIRS, 1);
    let mut all = loaded(BEYOND_BYTES, &pairs)?;
    if table.wants(READ_BEYOND) {
        contest(table, redb(READ_BEYOND), &mut all, name, |contestant, round| {
            contestant.reopen_cold()?;
            let keys = some_keys(&pairs, READS, round as u64);
            per_operation(READS, || contestant.subject()?.get(&keys))
        })?;
    }
    if table.wants(BATCHED_BEYOND) {
        contest(table, best_of_both(BATCHED_BEYOND), &mut all, name, |contestant, round| {
            contestant.reopen_cold()?;
            let (subject, new) = (contestant.subject()?, self::pairs_of_round(round));
            per_operation(new.len(), || new.chunks(BATCH).try_for_each(|some| subject.write(some)))
        })?;
        table.print_probe();
    }
    Ok(())
}

fn pairs_of_round(round: usize) -> Vec<Pair> {
    pairs(20 * BATCH, 9_000_000 + round as u64)
}
