//! Four writers during a save, and what the save does to them.
//!
//! Each writer writes a burst of pages drawn by Zipf's law, every write under its lock, and then
//! rests for 100 µs, so that four of them and the saver fit two processors. A write's latency
//! begins before it takes the lock and ends after the store.
//!
//! A writer waits for a processor while it could run and others do, which the kernel's scheduler
//! counts. The rest of a latency is the writer's own work and other waits.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::{PAGES, Random, Zipf};

pub const WRITERS: usize = 4;
const BURST: usize = 16;
const REST: Duration = Duration::from_micros(100);

/// Writes a page of a writer's share.
pub type Write<'a> = Box<dyn FnMut(usize) + Send + 'a>;

/// When the content of a save is fixed.
pub struct SaveStart {
    pub ended: Instant,
    /// How long a writer would have waited that came at its beginning, which perhaps none did. 0 if
    /// unknown.
    pub kept_out: Duration,
}

/// What one save did to the writers, in seconds.
pub struct Save {
    pub longest_at_cut: f64,
    pub longest: f64,
    /// The longest wait that is not for a processor. If those waits are not counted, the longest of
    /// all.
    pub longest_but_for_a_processor: f64,
    pub p99: f64,
    pub p999: f64,
    pub rate: f64,
    /// From the cut to the end.
    pub took: f64,
}

/// Which clocks writers read around each write. Reading how long they waited for a processor takes
/// system calls, which become a part of what is measured.
#[derive(Clone, Copy, PartialEq)]
pub enum Clocks {
    Wall,
    WallAndScheduler,
}

struct Latency {
    begun: Instant,
    took: Duration,
    /// How much of it the writer waited for a processor.
    ready: Duration,
}

/// How long this thread has waited for a processor since it began.
struct Waited(File);

impl Waited {
    fn new() -> Result<Self> {
        let path = "/proc/thread-self/schedstat";
        Ok(Self(File::open(path).with_context(|| format!("open {path}"))?))
    }

    fn read(&self) -> Result<Duration> {
        let mut text = [0; 64];
        let len = self.0.read_at(&mut text, 0)?;
        // Nanoseconds on a processor, nanoseconds waiting for one, and how often it ran.
        let ready = str::from_utf8(&text[..len])?.split(' ').nth(1);
        Ok(Duration::from_nanos(ready.context("a line of schedstat is too short")?.parse()?))
    }
}

/// Runs the writers, each with its own `write`, during one `save`, which returns its start.
pub fn around(
    writes: Vec<Write<'_>>,
    clocks: Clocks,
    save: impl FnOnce() -> Result<SaveStart>,
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
            latencies.extend(writer.join().ok().context("a writer panicked")??);
        }
        judge(&latencies, begun, cut?, ended)
    })
}

fn write_until(
    stop: &AtomicBool,
    index: usize,
    mut write: Write<'_>,
    clocks: Clocks,
) -> Result<Vec<Latency>> {
    let (zipf, mut random) = (Zipf::new(PAGES / WRITERS), Random(index as u64 + 1));
    let mut latencies = Vec::with_capacity(1 << 20);
    let waited = (clocks == Clocks::WallAndScheduler).then(Waited::new).transpose()?;
    let waited = || waited.as_ref().map_or(Ok(Duration::ZERO), Waited::read);
    while !stop.load(Ordering::Relaxed) {
        for _ in 0..BURST {
            let page = zipf.draw(&mut random);
            // A wait between the two is in both. In the other order the difference would be too
            // small.
            let begun = Instant::now();
            let before = waited()?;
            write(page);
            let took = begun.elapsed();
            latencies.push(Latency { begun, took, ready: waited()? - before });
        }
        std::thread::sleep(REST);
    }
    Ok(latencies)
}

fn judge(latencies: &[Latency], begun: Instant, cut: SaveStart, ended: Instant) -> Result<Save> {
    let SaveStart { ended: cut, kept_out } = cut;
    // A write is at the cut if some of it lies between its beginning and its end.
    let at_cut = |latency: &&Latency| latency.begun <= cut && latency.begun + latency.took >= begun;
    let at_cut = latencies.iter().filter(at_cut).map(|latency| latency.took);
    let mut during: Vec<&Latency> =
        latencies.iter().filter(|latency| (cut..ended).contains(&latency.begun)).collect();
    during.sort_unstable_by_key(|latency| latency.took);
    let at = |share: f64| {
        let index = (during.len() as f64 * share) as usize;
        during.get(index).or(during.last()).copied().context("no write during the save")
    };
    let but_for_a_processor =
        during.iter().map(|latency| latency.took.saturating_sub(latency.ready));
    let took = (ended - cut).as_secs_f64();
    Ok(Save {
        longest_at_cut: at_cut.fold(kept_out, Duration::max).as_secs_f64(),
        longest: at(1.0)?.took.as_secs_f64(),
        longest_but_for_a_processor: but_for_a_processor.max().unwrap_or_default().as_secs_f64(),
        p99: at(0.99)?.took.as_secs_f64(),
        p999: at(0.999)?.took.as_secs_f64(),
        rate: during.len() as f64 / took,
        took,
    })
}
