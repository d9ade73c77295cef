//! A background save of a gibibyte under four writers: a snapshot beside `fork(2)`.
//!
//! Each writer writes a burst of pages drawn by Zipf's law, every write under its lock, and then rests
//! for 100 µs, so that four of them and the saver fit two processors. A write's latency runs from
//! asking for the lock to the end of the store. The save hashes every byte.
//!
//! The longest of all writes waits for a processor as often as for the save. What the machine does by
//! itself shows in a third contestant: the same writers beside a thread that hashes other memory.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tine_bench::samples::Samples;
use tine_bench::table::{Bar, Table, Unit};
use tine_memory::peers::{Child, PlainMemory};
use tine_memory::{Live, PAGE, Region, Shard};

use super::{GIB, PAGES, Random, Zipf};

const WRITERS: usize = 4;
const BURST: usize = 16;
const REST: Duration = Duration::from_micros(100);
const ROUNDS: usize = 6;

/// What one save did to the writers, in seconds.
struct Save {
    longest_at_cut: f64,
    longest: f64,
    p99: f64,
    p999: f64,
    rate: f64,
}

pub fn run(table: &mut Table) -> Result<()> {
    let what = "save of 1 GiB, 4 writers";
    if !table.wants(what) {
        return Ok(());
    }
    let (mut ours, mut forks, mut unsaved) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let (save, fork, none) = (by_snapshot()?, by_fork()?, without_save()?);
        if round > 0 {
            ours.push(save);
            forks.push(fork);
            unsaved.push(none);
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
    ] {
        table
            .row(&format!("{what}: {name}"), unit, &column(&ours, of))
            .peer("fork(2)", &column(&forks, of))
            .bar(bar);
    }
    table
        .row(
            &format!("{what}: longest wait from the cut to the end"),
            Unit::Seconds,
            &column(&ours, |s| s.longest),
        )
        .peer("no save at all", &column(&unsaved, |s| s.longest))
        .bar(Bar::Printed);
    Ok(())
}

/// Runs the writers, each with its own `write`, around one `save`, which returns when the cut ended.
fn under_load(
    writes: Vec<Box<dyn FnMut(usize) + Send + '_>>,
    save: impl FnOnce() -> Result<Instant>,
) -> Result<Save> {
    let stop = AtomicBool::new(false);
    let running = AtomicUsize::new(0);
    let share = PAGES / WRITERS;
    std::thread::scope(|scope| {
        let writers: Vec<_> = writes
            .into_iter()
            .enumerate()
            .map(|(index, mut write)| {
                let (stop, running) = (&stop, &running);
                scope.spawn(move || {
                    let (zipf, mut random) = (Zipf::new(share), Random(index as u64 + 1));
                    let mut latencies = Vec::with_capacity(1 << 20);
                    running.fetch_add(1, Ordering::SeqCst);
                    while !stop.load(Ordering::Relaxed) {
                        for _ in 0..BURST {
                            let page = zipf.draw(&mut random);
                            let begun = Instant::now();
                            write(page);
                            latencies.push((begun, begun.elapsed()));
                        }
                        std::thread::sleep(REST);
                    }
                    latencies
                })
            })
            .collect();
        while running.load(Ordering::SeqCst) < WRITERS {
            std::thread::yield_now();
        }
        std::thread::sleep(Duration::from_millis(50));
        let begun = Instant::now();
        let cut = save();
        let ended = Instant::now();
        stop.store(true, Ordering::Relaxed);
        let mut latencies = Vec::new();
        for writer in writers {
            latencies.extend(writer.join().ok().context("a writer panicked")?);
        }
        let cut = cut?;
        // A write is at the cut if some of it lies between its beginning and its end.
        let at_cut =
            |(start, took): &&(Instant, Duration)| *start <= cut && *start + *took >= begun;
        let longest_at_cut = latencies.iter().filter(at_cut).map(|(_, took)| *took).max();
        let mut during: Vec<Duration> = latencies
            .iter()
            .filter(|(start, _)| (cut..ended).contains(start))
            .map(|(_, took)| *took)
            .collect();
        during.sort_unstable();
        let at = |share: f64| {
            let index = (during.len() as f64 * share) as usize;
            during.get(index).or(during.last()).copied().context("no write during the save")
        };
        Ok(Save {
            longest_at_cut: longest_at_cut.unwrap_or_default().as_secs_f64(),
            longest: at(1.0)?.as_secs_f64(),
            p99: at(0.99)?.as_secs_f64(),
            p999: at(0.999)?.as_secs_f64(),
            rate: during.len() as f64 / (ended - cut).as_secs_f64(),
        })
    })
}

fn by_snapshot() -> Result<Save> {
    let mut region = Region::zeroed(GIB)?;
    region.fill(1);
    let (live, shards) = Live::new(region, WRITERS)?;
    let write = |mut shard: Shard| {
        Box::new(move |page: usize| shard.guard()[page * PAGE] = 2) as Box<dyn FnMut(usize) + Send>
    };
    under_load(shards.into_iter().map(write).collect(), || {
        let snapshot = live.snapshot()?;
        let cut = Instant::now();
        snapshot.write_to(Hash(0))?;
        Ok(cut)
    })
}

/// What the writers see while the other processor is as busy, and nothing is saved.
fn without_save() -> Result<Save> {
    let mut region = Region::zeroed(GIB)?;
    region.fill(1);
    let (_live, shards) = Live::new(region, WRITERS)?;
    let write = |mut shard: Shard| {
        Box::new(move |page: usize| shard.guard()[page * PAGE] = 2) as Box<dyn FnMut(usize) + Send>
    };
    let other = PlainMemory::new(GIB)?;
    under_load(shards.into_iter().map(write).collect(), || {
        let begun = Instant::now();
        let hashes = other.bytes().chunks(1 << 18).map(tine_memory::peers::hash_bytes);
        std::hint::black_box(hashes.fold(0, |all, hash| all ^ hash));
        Ok(begun)
    })
}

fn by_fork() -> Result<Save> {
    let mut memory = PlainMemory::new(GIB)?;
    // The child of fork sees the memory by its own tables; only the parent's writers use the slices.
    let all = memory.bytes().as_ptr_range();
    let parts: Vec<Mutex<&mut [u8]>> =
        memory.bytes_mut().chunks_mut(GIB / WRITERS).map(Mutex::new).collect();
    let write = |part| {
        let part: &Mutex<&mut [u8]> = part;
        Box::new(move |page: usize| {
            if let Ok(mut part) = part.lock() {
                part[page * PAGE] = 2;
            }
        }) as Box<dyn FnMut(usize) + Send>
    };
    under_load(parts.iter().map(write).collect(), || {
        let mut child = Child::fork(|| tine_memory::peers::hash(all.clone()))?;
        let cut = Instant::now();
        while !child.has_ended() {
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(cut)
    })
}

/// A saver that hashes what it is given, as the child of `fork(2)` does.
struct Hash(u64);

impl std::io::Write for Hash {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 ^= tine_memory::peers::hash_bytes(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        std::hint::black_box(self.0);
        Ok(())
    }
}
