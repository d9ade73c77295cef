//! Whatever is saved of a shared region is one moment of all its writers.
//!
//! Writers write in transactions, each under one guard, and note what their shard holds after each,
//! with the tick of a common clock. Savers meanwhile save it in every way there is, each into its
//! own sinks, some of which fail. What they saved of a shard has to be what it held from one of its
//! ticks to the next, and for all shards those times have to overlap.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tine_memory::{
    Baseline, CopyAhead, Guard, Image, PAGE, PageSink, Region, Shard, SharedRegion, Snapshot,
};

const SAVERS: u64 = 2;
/// How long each region is written and saved.
const TIME: Duration = Duration::from_millis(600);

/// xorshift64* (Vigna 2016).
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % n
    }
}

fn hash(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    hasher.finish()
}

/// What a shard held, by its hash: from which tick to which.
type History = HashMap<u64, Vec<(u64, u64)>>;

fn write(mut shard: Shard, seed: u64, clock: &AtomicU64, stop: &AtomicBool) -> History {
    let mut random = Random(seed);
    // Some write without a rest, so that no saver ever catches up with them.
    let rests = random.below(3) > 0;
    let changes_max = if rests { 6 } else { 60 };
    let mut history = History::new();
    let (mut held, mut since) = (hash(&shard.guard()), 0);
    while !stop.load(Ordering::Relaxed) {
        let mut guard = shard.guard();
        for _ in 0..random.below(changes_max) {
            change(&mut guard, &mut random);
        }
        let tick = clock.fetch_add(1, Ordering::SeqCst);
        let holds = hash(&guard);
        drop(guard);
        history.entry(std::mem::replace(&mut held, holds)).or_default().push((since, tick));
        since = tick;
        match random.below(4) {
            _ if !rests => {}
            0 => std::thread::sleep(Duration::from_micros(random.below(300) as u64)),
            1 => std::thread::yield_now(),
            _ => {}
        }
    }
    history.entry(held).or_default().push((since, u64::MAX));
    history
}

/// Few values, so that bytes often become again what they were.
fn change(guard: &mut Guard<'_>, random: &mut Random) {
    let (at, value) = (random.below(guard.len()), random.below(3) as u8);
    let len = [1, 8, PAGE, 9 * PAGE][random.below(4)].min(guard.len() - at);
    if random.below(5) == 0 {
        guard.settle(at..at + len).unwrap();
    }
    guard[at..at + len].fill(value);
}

/// A sink that, like a file, still holds what it was given when it fails.
#[derive(Default)]
struct Sink {
    bytes: Vec<u8>,
    /// Calls until the one that fails.
    left: Option<usize>,
}

impl Sink {
    fn call(&mut self) -> io::Result<()> {
        match self.left {
            Some(0) => Err(io::ErrorKind::StorageFull.into()),
            Some(left) => {
                self.left = Some(left - 1);
                Ok(())
            }
            None => Ok(()),
        }
    }
}

impl PageSink for Sink {
    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.call()?;
        self.bytes.write_at(bytes, offset)
    }

    fn commit(&mut self) -> io::Result<()> {
        self.call()
    }
}

/// The hashes of a saved memory's shards.
type Moment = Vec<u64>;

/// Saves in every way. Returns the moments in order.
fn save(
    shared: &SharedRegion,
    shards: &[std::ops::Range<usize>],
    seed: u64,
    stop: &AtomicBool,
) -> Vec<Moment> {
    let moment = |bytes: &[u8]| shards.iter().map(|shard| hash(&bytes[shard.clone()])).collect();
    let mut random = Random(seed);
    let mut moments: Vec<Moment> = Vec::new();
    let mut kept: [(Sink, Baseline); 3] = Default::default();
    let mut held: Vec<(Snapshot, Moment)> = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        match random.below(12) {
            0 => {
                let snapshot = shared.snapshot().unwrap();
                moments.push(moment(&snapshot));
                let first = moments[moments.len() - 1].clone();
                held.push((snapshot, first));
            }
            1 => {
                let snapshot = shared.snapshot().unwrap();
                let mut saved = Vec::new();
                snapshot.write_to(&mut saved).unwrap();
                moments.push(moment(&saved));
            }
            2 if !held.is_empty() => {
                let (snapshot, first) = held.swap_remove(random.below(held.len()));
                assert!(moment(&snapshot) == first, "a snapshot changed");
            }
            3 => shared.settle().unwrap(),
            4 => shared.set_copy_ahead([CopyAhead::default(), CopyAhead::OFF][random.below(2)]),
            _ => {
                let (sink, baseline) = &mut kept[random.below(12) / 5];
                sink.left = (random.below(3) == 0).then(|| random.below(5));
                if shared.save_changes(sink, baseline).is_ok() {
                    sink.bytes.resize(shared.len(), 0);
                    moments.push(moment(&sink.bytes));
                } else {
                    assert_eq!(sink.left, Some(0), "only the sink fails");
                }
            }
        }
    }
    moments
}

/// Times in which all shards held what was saved of them.
fn common(histories: &[History], moment: &Moment) -> Vec<(u64, u64)> {
    let mut times = vec![(0, u64::MAX)];
    for (history, hash) in histories.iter().zip(moment) {
        let spans = history.get(hash).map_or(&[][..], |spans| &spans[..]);
        let overlap = |a: &(u64, u64), b: &(u64, u64)| (a.0.max(b.0), a.1.min(b.1));
        times = times
            .iter()
            .flat_map(|time| spans.iter().map(move |span| overlap(time, span)))
            .filter(|(from, to)| from < to)
            .collect();
    }
    times
}

/// Returns how many saves there were.
fn try_memory(seed: u64) -> usize {
    let mut random = Random(seed);
    let pages_max = [300, 3000][random.below(2)];
    let pages = 8 + random.below(pages_max);
    let bytes = vec![1; pages * PAGE / 2 + random.below(PAGE)];
    let mut region = Image::from_bytes(&bytes).unwrap().fork().unwrap();
    region.grow(pages * PAGE - random.below(PAGE)).unwrap();
    let _other: Option<Region> = (random.below(2) == 0).then(|| {
        region[0] = 2;
        region.fork().unwrap()
    });
    let (shared, shards) = SharedRegion::new(region, 1 + random.below(5)).unwrap();
    let ranges: Vec<_> = shards.iter().map(Shard::range).collect();
    let (clock, stop) = (AtomicU64::new(1), AtomicBool::new(false));
    let (histories, saved) = std::thread::scope(|scope| {
        let (clock, stop, shared, ranges) = (&clock, &stop, &shared, &ranges);
        let writers: Vec<_> = (seed * 100..)
            .zip(shards)
            .map(|(seed, shard)| scope.spawn(move || write(shard, seed, clock, stop)))
            .collect();
        let savers: Vec<_> = (1..=SAVERS)
            .map(|saver| scope.spawn(move || save(shared, ranges, seed * 10 + saver, stop)))
            .collect();
        let begun = Instant::now();
        while begun.elapsed() < TIME && savers.iter().all(|saver| !saver.is_finished()) {
            std::thread::sleep(Duration::from_millis(10));
        }
        stop.store(true, Ordering::Relaxed);
        let saved: Vec<_> = savers.into_iter().map(|saver| saver.join().unwrap()).collect();
        let histories: Vec<_> = writers.into_iter().map(|writer| writer.join().unwrap()).collect();
        (histories, saved)
    });
    for moments in &saved {
        let mut now = 0;
        for (index, moment) in moments.iter().enumerate() {
            let times = common(&histories, moment);
            let next = times.iter().filter(|(_, to)| *to > now).map(|(from, _)| *from).min();
            let Some(next) = next else {
                panic!("seed {seed}: save {index} is no moment after tick {now}: {times:?}")
            };
            now = now.max(next);
        }
    }
    saved.iter().map(Vec::len).sum()
}

#[test]
fn whatever_is_saved_while_threads_write_is_one_moment_of_them_all() {
    let saves: usize = (1..=12).map(try_memory).sum();
    assert!(saves > 100, "{saves} saves");
    println!("{saves} saves");
}

#[test]
#[ignore = "soak: five minutes of writers and savers"]
fn whatever_is_saved_in_five_minutes_is_one_moment_of_all_writers() {
    let begun = Instant::now();
    let mut saves = 0;
    for seed in 1_000.. {
        saves += try_memory(seed);
        if begun.elapsed() > Duration::from_secs(300) {
            break;
        }
    }
    println!("{saves} saves");
}
