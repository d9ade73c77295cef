//! Four writers around a save, and what the save does to them.
//!
//! Each writer writes a burst of pages drawn by Zipf's law, every write under its lock, and then rests
//! for 100 µs, so that four of them and the saver fit two processors. A write's latency runs from
//! asking for the lock to the end of the store.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::time::{ClockId, clock_gettime};

use super::{PAGES, Random, Zipf};

pub const WRITERS: usize = 4;
const BURST: usize = 16;
const REST: Duration = Duration::from_micros(100);

/// Writes a page of a writer's share.
pub type Write<'a> = Box<dyn FnMut(usize) + Send + 'a>;

/// What one save did to the writers, in seconds.
pub struct Save {
    pub longest_at_cut: f64,
    pub longest: f64,
    /// The share of the longest wait in which the writer was not on a processor; 0 unless clocked.
    pub off_processor: f64,
    pub p99: f64,
    pub p999: f64,
    pub rate: f64,
    /// From the cut to the end.
    pub took: f64,
}

/// Which clocks the writers read. The processor's takes a system call, and so a part of what is measured.
#[derive(Clone, Copy, PartialEq)]
pub enum Clocks {
    Wall,
    WallAndProcessor,
}

struct Latency {
    begun: Instant,
    took: Duration,
    on_processor: Duration,
}

/// Runs the writers, each with its own `write`, around one `save`, which returns when the cut ended.
pub fn around(
    writes: Vec<Write<'_>>,
    clocks: Clocks,
    save: impl FnOnce() -> Result<Instant>,
) -> Result<Save> {
    let stop = AtomicBool::new(false);
    let running = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let writers: Vec<_> = writes
            .into_iter()
            .enumerate()
            .map(|(index, write)| {
                let (stop, running) = (&stop, &running);
                scope.spawn(move || {
                    running.fetch_add(1, Ordering::SeqCst);
                    write_until(stop, index, write, clocks)
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
        judge(&latencies, begun, cut?, ended)
    })
}

fn write_until(
    stop: &AtomicBool,
    index: usize,
    mut write: Write<'_>,
    clocks: Clocks,
) -> Vec<Latency> {
    let (zipf, mut random) = (Zipf::new(PAGES / WRITERS), Random(index as u64 + 1));
    let mut latencies = Vec::with_capacity(1 << 20);
    let on_processor = || match clocks {
        Clocks::Wall => Duration::ZERO,
        Clocks::WallAndProcessor => {
            let now = clock_gettime(ClockId::ThreadCPUTime);
            Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
        }
    };
    while !stop.load(Ordering::Relaxed) {
        for _ in 0..BURST {
            let page = zipf.draw(&mut random);
            let (begun, before) = (Instant::now(), on_processor());
            write(page);
            let on_processor = on_processor() - before;
            latencies.push(Latency { begun, took: begun.elapsed(), on_processor });
        }
        std::thread::sleep(REST);
    }
    latencies
}

fn judge(latencies: &[Latency], begun: Instant, cut: Instant, ended: Instant) -> Result<Save> {
    // A write is at the cut if some of it lies between its beginning and its end.
    let at_cut = |latency: &&Latency| latency.begun <= cut && latency.begun + latency.took >= begun;
    let longest_at_cut = latencies.iter().filter(at_cut).map(|latency| latency.took).max();
    let mut during: Vec<&Latency> =
        latencies.iter().filter(|latency| (cut..ended).contains(&latency.begun)).collect();
    during.sort_unstable_by_key(|latency| latency.took);
    let at = |share: f64| {
        let index = (during.len() as f64 * share) as usize;
        during.get(index).or(during.last()).copied().context("no write during the save")
    };
    let (longest, took) = (at(1.0)?, (ended - cut).as_secs_f64());
    Ok(Save {
        longest_at_cut: longest_at_cut.unwrap_or_default().as_secs_f64(),
        longest: longest.took.as_secs_f64(),
        off_processor: 1.0 - longest.on_processor.as_secs_f64() / longest.took.as_secs_f64(),
        p99: at(0.99)?.took.as_secs_f64(),
        p999: at(0.999)?.took.as_secs_f64(),
        rate: during.len() as f64 / took,
        took,
    })
}
