//! Random trees of regions against plain vectors.

use std::io;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::available_parallelism;

use tine_memory::{
    Baseline, CopyAhead, ForkMode, Image, Merger, PAGE, PageSink, PersistentRegion, Region,
    SharedRegion,
};

/// Steps of a tree.
const STEPS: u64 = 100_000;

/// xorshift64* (Vigna 2016).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() >> 33) as usize % n
    }
}

struct Pair {
    region: Region,
    bytes: Vec<u8>,
    /// What a reset brings back.
    image: Vec<u8>,
}

const LIVING_MAX: usize = 24;
const PAGES: usize = 96;

fn seed_image(random: &mut Random) -> (Image, Vec<u8>) {
    let mut bytes = vec![0; PAGES * PAGE - random.below(PAGE)];
    for page in 0..PAGES - 1 {
        if !(30..60).contains(&page) && random.below(4) > 0 {
            bytes[page * PAGE + random.below(100)] = random.next() as u8;
        }
    }
    (Image::from_bytes(&bytes).unwrap(), bytes)
}

fn write(pair: &mut Pair, random: &mut Random) {
    let len = match random.below(10) {
        0 => 1 + random.below(20 * PAGE),
        1..=3 => 1 + random.below(PAGE),
        _ => 8,
    };
    let at = random.below(pair.bytes.len());
    let end = (at + len).min(pair.bytes.len());
    let value = if random.below(5) == 0 { 0 } else { random.next() as u8 };
    pair.region[at..end].fill(value);
    pair.bytes[at..end].fill(value);
}

fn check(pair: &Pair, random: &mut Random) {
    match random.below(8) {
        0 => assert!(pair.region[..] == pair.bytes[..]),
        _ => {
            let at = random.below(pair.bytes.len());
            let end = (at + random.below(3 * PAGE)).min(pair.bytes.len());
            assert!(pair.region[at..end] == pair.bytes[at..end]);
        }
    }
}

/// A region of an image as another process would receive it.
fn received(image: &Image) -> Region {
    let (here, there) = UnixStream::pair().unwrap();
    image.send(&here).unwrap();
    Image::receive(&there).unwrap().fork().unwrap()
}

/// Merges the images of a few regions, which move over.
fn merge(pairs: &mut [Pair], random: &mut Random) {
    let mut merger = Merger::new().vmas_max(1 + random.below(40));
    let first = random.below(pairs.len());
    let chosen = first..(first + 3).min(pairs.len());
    pairs[chosen.clone()].iter().for_each(|pair| merger.add(pair.region.image()));
    for (pair, merged) in pairs[chosen].iter_mut().zip(merger.scan().unwrap()) {
        pair.region.rebase(&merged).unwrap();
    }
}

/// Makes a shared region of a fork; writes, snapshots and incremental saves of it.
fn shared_region(pair: &mut Pair, random: &mut Random) {
    let mode = [ForkMode::Eager, ForkMode::Lazy][random.below(2)];
    let region = pair.region.fork_by(mode).unwrap();
    let (shared, mut shards) = SharedRegion::new(region, 1 + random.below(4)).unwrap();
    let mut bytes = pair.bytes.clone();
    let (mut saved, mut baseline) = (Vec::new(), Baseline::default());
    let mut snapshots = Vec::new();
    for _ in 0..12 {
        match random.below(8) {
            0..=3 => {
                let which = random.below(shards.len());
                let range = shards[which].range();
                let at = random.below(range.len().max(1));
                let end = (at + random.below(3 * PAGE)).min(range.len());
                let value = random.next() as u8;
                shards[which].guard()[at.min(end)..end].fill(value);
                bytes[range][at.min(end)..end].fill(value);
            }
            4 => snapshots.push((shared.snapshot().unwrap(), bytes.clone())),
            5 => {
                if let Some((snapshot, expected)) = snapshots.pop() {
                    let mut written = Vec::new();
                    snapshot.write_to(&mut written).unwrap();
                    assert!(written == expected);
                }
            }
            _ => {
                shared.save_changes(&mut saved, &mut baseline).unwrap();
                saved.resize(bytes.len(), 0);
                assert!(saved == bytes);
            }
        }
    }
    assert!(snapshots.iter().all(|(snapshot, expected)| snapshot[..] == expected[..]));
    for shard in &mut shards {
        let range = shard.range();
        assert!(shard.guard()[..] == bytes[range]);
    }
}

/// A sink that, like a file, still holds what it was given when it fails.
struct Failing {
    bytes: Vec<u8>,
    /// Calls until the one that fails.
    left: usize,
}

impl PageSink for Failing {
    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.left = self.left.checked_sub(1).ok_or(io::ErrorKind::StorageFull)?;
        self.bytes.write_at(bytes, offset)
    }

    fn commit(&mut self) -> io::Result<()> {
        self.left = self.left.checked_sub(1).ok_or(io::ErrorKind::StorageFull)?;
        Ok(())
    }
}

/// Opens a persistent region of a copy. Writes it, commits it with and without success, and forks
/// it.
fn persistent(pair: &Pair, random: &mut Random) {
    let sink = Failing { bytes: pair.bytes.clone(), left: 0 };
    let mut persistent = PersistentRegion::open(&pair.bytes, sink).unwrap();
    let mut bytes = pair.bytes.clone();
    for _ in 0..12 {
        match random.below(4) {
            0 | 1 => {
                let at = random.below(bytes.len());
                let end = (at + random.below(3 * PAGE)).min(bytes.len());
                let value = random.below(3) as u8;
                persistent[at..end].fill(value);
                bytes[at..end].fill(value);
            }
            2 => {
                let mut fork = persistent.fork().unwrap();
                assert!(fork[..] == bytes[..]);
                fork.fill(9);
            }
            _ => {
                persistent.sink().left = random.below(6);
                if persistent.commit().is_ok() {
                    assert!(persistent.sink().bytes == bytes);
                }
            }
        }
        assert!(persistent[..] == bytes[..]);
    }
}

/// Forks a region by any mode. The fork takes a free place, or that of another.
fn fork(pairs: &mut Vec<Pair>, which: usize, random: &mut Random) {
    let pair = &mut pairs[which];
    let modes = [ForkMode::Auto, ForkMode::Eager, ForkMode::Layer, ForkMode::Lazy];
    let mode = modes[random.below(4)];
    let region = pair.region.fork_by(mode).unwrap();
    if mode == ForkMode::Layer {
        // The layer is an image of both from now on, unless there was nothing to seal.
        let mut image = vec![0; pair.bytes.len()];
        region.image().read_at(&mut image, 0).unwrap();
        pair.image = image;
        assert!(pair.image == pair.bytes);
    }
    let fork = Pair { region, bytes: pair.bytes.clone(), image: pair.image.clone() };
    if pairs.len() < LIVING_MAX {
        pairs.push(fork);
    } else {
        let victim = random.below(LIVING_MAX);
        pairs[victim] = fork;
    }
}

fn step(pairs: &mut Vec<Pair>, random: &mut Random) {
    let which = random.below(pairs.len());
    let pair = &mut pairs[which];
    match random.below(100) {
        0..=54 => write(pair, random),
        55..=70 => check(pair, random),
        71 => persistent(pair, random),
        72 => pair.region.keep_warm().unwrap(),
        73 => {
            let at = random.below(pair.bytes.len());
            let end = (at + random.below(9 * PAGE)).min(pair.bytes.len());
            pair.region.settle_range(at..end).unwrap();
        }
        74 => shared_region(pair, random),
        75..=84 => fork(pairs, which, random),
        85..=88 => {
            pair.region.reset().unwrap();
            pair.bytes.clone_from(&pair.image);
        }
        89..=91 => {
            let image = pair.region.seal().unwrap();
            pair.image.clone_from(&pair.bytes);
            match random.below(4) {
                0 | 1 => pair.region.rebase(&image.flatten().unwrap()).unwrap(),
                2 => pair.region = received(&image),
                _ => {}
            }
        }
        92 => pair.region.settle().unwrap(),
        93 => {
            let image = pair.region.share().unwrap();
            assert_eq!((image.len(), pair.region.len()), (pair.bytes.len(), pair.bytes.len()));
            assert!(pair.region[..] == pair.bytes[..]);
            assert!(image.fork().unwrap()[..] == pair.bytes[..]);
        }
        94 => {
            let policy = CopyAhead {
                cluster_pages_max: 1 + random.below(16),
                inline_pages_max: 1 + random.below(8),
            };
            pair.region.set_copy_ahead(policy);
        }
        95..=96 if pair.bytes.len() < 2 * PAGES * PAGE => {
            let len = pair.bytes.len() + random.below(8 * PAGE);
            pair.region.grow(len).unwrap();
            pair.bytes.resize(len, 0);
            pair.image.resize(len, 0);
        }
        98 => merge(pairs, random),
        97 if pairs.len() > 2 => drop(pairs.swap_remove(which)),
        _ if pairs.len() < LIVING_MAX => {
            let (image, bytes) = seed_image(random);
            let region = image.fork().unwrap();
            pairs.push(Pair { region, image: bytes.clone(), bytes });
        }
        _ => {}
    }
}

/// Grows a tree from a seed, which is not zero.
fn grow_tree(seed: u64) {
    let mut random = Random(seed);
    let (image, bytes) = seed_image(&mut random);
    let region = image.fork().unwrap();
    let mut pairs = vec![Pair { region, image: bytes.clone(), bytes }];
    for _ in 0..STEPS {
        step(&mut pairs, &mut random);
    }
    for pair in &pairs {
        assert!(pair.region[..] == pair.bytes[..], "seed {seed}");
    }
}

#[test]
fn a_random_tree_of_regions_equals_plain_vectors() {
    grow_tree(0x7469_6E65);
}

#[test]
#[ignore = "soak: ten million steps"]
fn a_hundred_random_trees_side_by_side_equal_plain_vectors() {
    let (next, grown) = (AtomicU64::new(1), AtomicU64::new(0));
    let grow = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed > 100 {
                break;
            }
            grow_tree(seed);
            println!(
                "tree {seed}: {} steps in all",
                (grown.fetch_add(1, Ordering::Relaxed) + 1) * STEPS
            );
        }
    };
    // Few, so that their regions' mappings fit the budget of a process.
    let threads = available_parallelism().map_or(1, |n| n.get().min(8));
    std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(grow))));
    assert_eq!(grown.into_inner(), 100);
}
