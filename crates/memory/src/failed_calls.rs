//! What holds when a system call fails in the middle: each operation fails at each of its calls in
//! turn.
//!
//! A region or shared region then holds what it held, or what the operation was to make of it, and
//! the operation succeeds when it is tried again.

use crate::sys::fault_injection;
use crate::{
    Baseline, ForkMode, HUGE, Image, Merger, PAGE, PageSink, PersistentRegion, Region, Result,
    SharedRegion,
};

/// The most calls that an operation makes.
const CALLS_MAX: u32 = 5000;

const PAGES: usize = 120;

/// What was done to a region before the operation.
#[derive(Clone, Copy, Debug, PartialEq)]
enum RegionState {
    Clean,
    Written,
    /// In a window, with pages written since.
    Unsettled,
    /// In a window, with nothing written since it opened.
    Frozen,
    Warm,
}

const STATES: [RegionState; 5] = [
    RegionState::Clean,
    RegionState::Written,
    RegionState::Unsettled,
    RegionState::Frozen,
    RegionState::Warm,
];

fn write(region: &mut Region, bytes: &mut [u8], every: usize, value: u8) {
    for at in (0..PAGES * PAGE).step_by(every * PAGE) {
        region[at + 3] = value;
        bytes[at + 3] = value;
    }
}

/// The other side of a window, and what it holds.
type Sibling = Option<(Region, Vec<u8>)>;

/// Makes a region of several mappings and patches. Returns it, the other side of its window with
/// what that holds, what the region holds, and what a reset brings back.
fn region(state: RegionState) -> (Region, Sibling, Vec<u8>, Vec<u8>) {
    let mut bytes = vec![0; PAGES * PAGE];
    bytes[..40 * PAGE].fill(1);
    bytes[70 * PAGE..].fill(2);
    let mut region = Image::from_bytes(&bytes).unwrap().fork().unwrap();
    region[9 * PAGE] = 8;
    region[50 * PAGE] = 8;
    region[80 * PAGE..90 * PAGE].fill(8);
    let mut bytes = region.to_vec();
    region.seal().unwrap();
    let image = bytes.clone();
    let mut fork = None;
    match state {
        RegionState::Clean => {}
        RegionState::Written => write(&mut region, &mut bytes, 23, 4),
        RegionState::Unsettled | RegionState::Frozen => {
            write(&mut region, &mut bytes, 12, 4);
            fork = Some((region.fork_by(ForkMode::Lazy).unwrap(), bytes.clone()));
            if state == RegionState::Unsettled {
                write(&mut region, &mut bytes, 17, 5);
            }
        }
        RegionState::Warm => {
            region.keep_warm().unwrap();
            write(&mut region, &mut bytes, 15, 4);
            region.reset().unwrap();
            bytes.clone_from(&image);
            write(&mut region, &mut bytes, 19, 6);
        }
    }
    (region, fork, bytes, image)
}

/// An operation, and what it makes of a region: `after` gets what the region held, and what its
/// image held.
struct Operation {
    name: &'static str,
    run: fn(&mut Region) -> Result<Option<Region>>,
    after: fn(Vec<u8>, Vec<u8>) -> Vec<u8>,
}

const OPERATIONS: [Operation; 11] = [
    Operation {
        name: "fork lazily",
        run: |r| r.fork_by(ForkMode::Lazy).map(Some),
        after: |b, _| b,
    },
    Operation {
        name: "fork eagerly",
        run: |r| r.fork_by(ForkMode::Eager).map(Some),
        after: |b, _| b,
    },
    Operation {
        name: "fork a layer",
        run: |r| r.fork_by(ForkMode::Layer).map(Some),
        after: |b, _| b,
    },
    Operation { name: "settle", run: |r| r.settle().map(|()| None), after: |b, _| b },
    Operation { name: "seal", run: |r| r.seal()?.fork().map(Some), after: |b, _| b },
    Operation { name: "share", run: |r| r.share()?.fork().map(Some), after: |b, _| b },
    Operation { name: "reset", run: |r| r.reset().map(|()| None), after: |_, image| image },
    Operation { name: "keep warm", run: |r| r.keep_warm().map(|()| None), after: |b, _| b },
    Operation { name: "grow", run: |r| r.grow(PAGES * PAGE + HUGE).map(|()| None), after: longer },
    Operation {
        name: "rebase",
        run: |r| {
            let flat = r.image().flatten()?;
            r.rebase(&flat).map(|()| None)
        },
        after: |b, _| b,
    },
    Operation {
        name: "merge",
        run: |r| {
            let mut merger = Merger::new();
            merger.add(r.image());
            let merged = merger.scan()?;
            r.rebase(&merged[0]).map(|()| None)
        },
        after: |b, _| b,
    },
];

fn longer(mut bytes: Vec<u8>, _: Vec<u8>) -> Vec<u8> {
    bytes.resize(PAGES * PAGE + HUGE, 0);
    bytes
}

#[test]
fn a_region_is_as_it_was_when_a_system_call_fails_and_the_next_try_succeeds() {
    for operation in &OPERATIONS {
        for state in STATES {
            let mut failures = 0;
            for nth in 0..CALLS_MAX {
                let (mut region, sibling, before, image) = region(state);
                let what = format!("{} {state:?} at call {nth}", operation.name);
                let (answer, came) =
                    fault_injection::fail_nth(nth, || (operation.run)(&mut region));
                let after = (operation.after)(before.clone(), image.clone());
                match answer {
                    Ok(other) => {
                        assert!(region[..] == after[..], "{what}");
                        assert!(other.is_none_or(|other| other[..] == before[..]), "{what}");
                    }
                    // A reset that stops in the middle has brought some of the image back.
                    Err(_) if operation.name == "reset" => failures += 1,
                    Err(error) => {
                        failures += 1;
                        let same = region[..] == before[..] || region[..] == after[..];
                        assert!(same, "{what}: {error}");
                    }
                }
                let other = (operation.run)(&mut region).unwrap_or_else(|e| panic!("{what}: {e}"));
                assert!(region[..] == after[..], "{what}, tried again");
                assert!(other.is_none_or(|other| other[..] == before[..]), "{what}, tried again");
                region.fill(77);
                region.reset().unwrap();
                drop(region);
                assert!(sibling.is_none_or(|(fork, held)| fork[..] == held[..]), "{what}");
                if !came {
                    break;
                }
                assert!(nth + 1 < CALLS_MAX, "{what}: there is no end");
            }
            let windowed = matches!(state, RegionState::Unsettled | RegionState::Frozen);
            let idle = match operation.name {
                "settle" | "grow" => !windowed,
                "reset" | "seal" => state == RegionState::Clean,
                "keep warm" => state == RegionState::Warm,
                _ => false,
            };
            assert!(idle || failures > 0, "{} {state:?} failed at no call", operation.name);
        }
    }
}

/// A file of bytes, whose writes cannot fail.
#[derive(Clone, Default)]
struct Sink(Vec<u8>);

impl PageSink for Sink {
    fn write_at(&mut self, bytes: &[u8], offset: u64) -> std::io::Result<()> {
        self.0.write_at(bytes, offset)
    }

    fn commit(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Saves a shared region in each way: the first save, by comparison, by the kernel's record, and
/// next to a snapshot.
#[test]
fn a_save_or_snapshot_that_a_failing_system_call_stops_is_made_up_for_by_the_next() {
    let at_first = region(RegionState::Written).2[30 * PAGE + 9];
    for earlier in 0..4_usize {
        for nth in 0..CALLS_MAX {
            let (region, _fork, mut bytes, _) = region(RegionState::Written);
            let (shared, mut shards) = SharedRegion::new(region, 2).unwrap();
            let (mut sink, mut baseline) = (Sink::default(), Baseline::default());
            let mut write = |page: usize, value: u8| {
                let shard = &mut shards[page / (PAGES / 2)];
                let start = shard.range().start;
                shard.guard()[page * PAGE + 9 - start] = value;
                bytes[page * PAGE + 9] = value;
                bytes.clone()
            };
            for save in 0..earlier {
                write(save * 9, 10);
                shared.save_changes(&mut sink, &mut baseline).unwrap();
            }
            write(30, 31);
            let expected = write(100, 32);
            let what = format!("after {earlier} saves, at call {nth}");
            let (saved, came) =
                fault_injection::fail_nth(nth, || shared.save_changes(&mut sink, &mut baseline));
            if saved.is_ok() {
                sink.0.resize(PAGES * PAGE, 0);
                assert!(sink.0 == expected, "{what}");
            }
            let expected = write(30, at_first);
            shared.save_changes(&mut sink, &mut baseline).unwrap_or_else(|e| panic!("{what}: {e}"));
            sink.0.resize(PAGES * PAGE, 0);
            assert!(sink.0 == expected, "{what}, tried again");
            let (snapshot, _) = fault_injection::fail_nth(nth, || shared.snapshot());
            let snapshot = snapshot.or_else(|_| shared.snapshot()).unwrap();
            assert!(snapshot[..] == expected[..], "{what}");
            let later = write(101, 55);
            let mut written = Vec::new();
            let (saved, _) = fault_injection::fail_nth(nth, || snapshot.write_to(&mut written));
            assert!(saved.is_err() || written == expected, "{what}");
            assert!(shared.snapshot().unwrap()[..] == later[..], "{what}");
            if !came {
                break;
            }
        }
    }
}

#[test]
fn a_commit_that_a_failing_system_call_stops_is_made_up_for_by_the_next() {
    for nth in 0..CALLS_MAX {
        let source = vec![3; PAGES * PAGE];
        let mut persistent = PersistentRegion::open(&source, source.clone()).unwrap();
        (0..PAGES).step_by(9).for_each(|page| persistent[page * PAGE] = 4);
        let (_, came) = fault_injection::fail_nth(nth, || persistent.commit());
        persistent[5 * PAGE] = 6;
        persistent.commit().unwrap();
        assert!(persistent.sink().clone() == persistent[..], "at call {nth}");
        if !came {
            break;
        }
    }
}
