//! A background save of a gibibyte under four writers: a snapshot compared with `fork(2)`. The save
//! hashes every byte.
//!
//! The longest of all writes waits for a processor, whatever else it waits for. Two more
//! contestants without a save show how long the machine makes it wait by itself: the same writers
//! alone, and together with two busy threads. A separate row shows the waits without the time in
//! which the writer waited for the scheduler.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use tine_bench::samples::Samples;
use tine_bench::table::{Bar, Table, Unit};
use tine_memory::{PAGE, Region, Shard, SharedRegion};

use super::load::{Clocks, Save, SaveStart, WRITERS, Write, around};
use super::peers::{Child, PlainMemory, hash_bytes, hash_inherited};
use super::{GIB, gibibyte};

const ROUNDS: usize = 6;
/// Threads that keep the machine's processors busy in addition to the writers.
const BUSY: usize = 2;

pub fn run(table: &mut Table) -> Result<()> {
    let what = "save of 1 GiB, 4 writers";
    if !table.wants(what) {
        return Ok(());
    }
    let (mut ours, mut forks) = (Vec::new(), Vec::new());
    let (mut ours_clocked, mut forks_clocked) = (Vec::new(), Vec::new());
    let (mut alone, mut beside) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let (save, fork) = (by_snapshot(Clocks::Wall)?, by_fork(Clocks::Wall)?);
        let (quiet, busy) = (without_save(save.took, 0)?, without_save(save.took, BUSY)?);
        if round > 0 {
            ours.push(save);
            forks.push(fork);
            alone.push(quiet);
            beside.push(busy);
            ours_clocked.push(by_snapshot(Clocks::WallAndScheduler)?);
            forks_clocked.push(by_fork(Clocks::WallAndScheduler)?);
        }
    }
    let column =
        |saves: &[Save], of: fn(&Save) -> f64| Samples::new(saves.iter().map(of).collect());
    for (name, of, unit, bar) in [
        (
            "longest wait at the cut",
            (|s| s.longest_at_cut) as fn(&Save) -> f64,
            Unit::Seconds,
            Bar::AtMost(0.5e-3),
        ),
        ("longest wait from the cut to the end", |s| s.longest, Unit::Seconds, Bar::AtMost(0.5e-3)),
        ("write p99", |s| s.p99, Unit::Seconds, Bar::CostAtMost(4.0)),
        ("write p99.9", |s| s.p999, Unit::Seconds, Bar::Printed),
        ("writes", |s| s.rate, Unit::PerSecond, Bar::Printed),
        ("from the cut to the end", |s| s.took, Unit::Seconds, Bar::Printed),
    ] {
        table
            .row(&format!("{what}: {name}"), unit, &column(&ours, of))
            .peer("fork(2)", &column(&forks, of))
            .bar(bar);
        if name.starts_with("longest wait from") {
            table.note(&format!(
                "without a save: {:.2} ms, beside {BUSY} busy threads {:.2} ms",
                column(&alone, of).median() * 1e3,
                column(&beside, of).median() * 1e3
            ));
        }
    }
    let but_for_a_processor = |save: &Save| save.longest_but_for_a_processor;
    table
        .row(
            &format!("{what}: longest wait that is not for a processor"),
            Unit::Seconds,
            &column(&ours_clocked, but_for_a_processor),
        )
        .peer("fork(2)", &column(&forks_clocked, but_for_a_processor))
        .bar(Bar::AtMost(0.5e-3));
    Ok(())
}

fn writes<'a>(shards: Vec<Shard>) -> Vec<Write<'a>> {
    let write =
        |mut shard: Shard| Box::new(move |page: usize| shard.guard()[page * PAGE] = 2) as Write<'a>;
    shards.into_iter().map(write).collect()
}

fn shared_region() -> Result<(SharedRegion, Vec<Shard>)> {
    let mut region = Region::zeroed(GIB)?;
    region.fill(1);
    Ok(SharedRegion::new(region, WRITERS)?)
}

fn by_snapshot(clocks: Clocks) -> Result<Save> {
    let (region, shards) = shared_region()?;
    around(writes(shards), clocks, || {
        let snapshot = region.snapshot()?;
        let start = SaveStart { ended: Instant::now(), kept_out: snapshot.pause() };
        snapshot.write_to(Hash(0))?;
        Ok(start)
    })
}

/// The same writers for the same time without a save: they write a fresh private mapping, and the
/// kernel copies the pages.
fn without_save(seconds: f64, busy: usize) -> Result<Save> {
    let mut memory = gibibyte()?.fork()?;
    let parts = split(&mut memory);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..busy {
            scope.spawn(|| {
                let bytes = [7; 1 << 14];
                while !stop.load(Ordering::Relaxed) {
                    std::hint::black_box(hash_bytes(&bytes));
                }
            });
        }
        let save = around(locked_writes(&parts), Clocks::Wall, || {
            let begun = SaveStart { ended: Instant::now(), kept_out: Duration::ZERO };
            std::thread::sleep(Duration::from_secs_f64(seconds));
            Ok(begun)
        });
        stop.store(true, Ordering::Relaxed);
        save
    })
}

type Part<'a> = Mutex<&'a mut [u8]>;

fn split(memory: &mut [u8]) -> Vec<Part<'_>> {
    memory.chunks_mut(GIB / WRITERS).map(Mutex::new).collect()
}

fn locked_writes<'a>(parts: &'a [Part<'_>]) -> Vec<Write<'a>> {
    let write = |part: &'a Part<'_>| {
        Box::new(move |page: usize| {
            if let Ok(mut part) = part.lock() {
                part[page * PAGE] = 2;
            }
        }) as Write<'a>
    };
    parts.iter().map(write).collect()
}

fn by_fork(clocks: Clocks) -> Result<Save> {
    let mut memory = PlainMemory::new(GIB)?;
    // The child of fork has its own page tables. Only the parent's writers use the slices.
    let all = memory.bytes().as_ptr_range();
    let parts = split(memory.bytes_mut());
    around(locked_writes(&parts), clocks, || {
        let mut child = Child::fork(|| hash_inherited(all.clone()))?;
        let start = SaveStart { ended: Instant::now(), kept_out: Duration::ZERO };
        while !child.has_ended() {
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(start)
    })
}

/// A saver that hashes what it is given, as the child of `fork(2)` does.
struct Hash(u64);

impl std::io::Write for Hash {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 ^= hash_bytes(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        std::hint::black_box(self.0);
        Ok(())
    }
}
