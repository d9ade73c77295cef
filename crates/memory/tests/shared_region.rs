//! Snapshots of a shared region while writers go on.

mod writers;

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

use tine_memory::{CopyAhead, Error, Image, PAGE, Region, SharedRegion};
use writers::{Stop, shared_region};

#[test]
fn every_snapshot_is_one_moment_of_all_writers() {
    const PAGES: usize = 4000;
    let (shared, shards) = shared_region(PAGES, 4);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for mut shard in shards {
            let stop = &stop;
            scope.spawn(move || {
                // Each round writes the round's number to every page under one guard.
                for round in 1_u64.. {
                    let mut guard = shard.guard();
                    for page in guard.chunks_exact_mut(PAGE) {
                        page[..8].copy_from_slice(&round.to_le_bytes());
                        page[PAGE - 8..].copy_from_slice(&round.to_le_bytes());
                    }
                    drop(guard);
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                }
            });
        }
        let _stop = Stop(&stop);
        let mut last = [0; 4];
        for round in 0..30 {
            let snapshot = shared.snapshot().unwrap();
            let mut saved = Vec::new();
            if round % 3 == 0 {
                saved.extend_from_slice(&snapshot);
                drop(snapshot);
            } else {
                snapshot.write_to(&mut saved).unwrap();
            }
            for (shard, part) in saved.chunks(PAGES / 4 * PAGE).enumerate() {
                let word = |at: usize| u64::from_le_bytes(part[at..at + 8].try_into().unwrap());
                let first = word(0);
                assert!(first >= last[shard], "time runs forwards");
                last[shard] = first;
                for page in (0..part.len()).step_by(PAGE) {
                    assert_eq!((word(page), word(page + PAGE - 8)), (first, first));
                }
            }
        }
    });
}

#[test]
fn writers_keep_what_they_wrote_through_snapshots_that_are_saved_dropped_or_overtaken() {
    let (shared, mut shards) = shared_region(600, 3);
    let mut expected = vec![0_u8; 600 * PAGE];
    let mut kept = Vec::new();
    for round in 1..40_u8 {
        for (index, shard) in shards.iter_mut().enumerate() {
            let range = shard.range();
            let mut guard = shard.guard();
            for page in (index..200).step_by(1 + round as usize % 7) {
                guard[page * PAGE + 3] = round;
                expected[range.start + page * PAGE + 3] = round;
            }
        }
        let snapshot = shared.snapshot().unwrap();
        assert!(snapshot[..] == expected[..], "round {round}");
        match round % 4 {
            0 => drop(snapshot),
            1 => snapshot.write_to(io::sink()).unwrap(),
            _ => kept.push((snapshot, expected.clone())), // The next one overtakes it.
        }
        for shard in &mut shards {
            let range = shard.range();
            assert!(shard.guard()[..] == expected[range], "round {round}");
        }
    }
    for (snapshot, expected) in kept {
        assert!(snapshot[..] == expected[..]);
    }
}

#[test]
fn a_snapshot_of_memory_over_an_image_holds_both() {
    let image = Image::from_bytes(&[5; 100 * PAGE]).unwrap();
    let mut region = image.fork().unwrap();
    region[10 * PAGE] = 6;
    region.grow(200 * PAGE).unwrap();
    let (shared, mut shards) = SharedRegion::new(region, 1).unwrap();
    let snapshot = shared.snapshot().unwrap();
    shards[0].guard()[11 * PAGE] = 7;
    shards[0].guard()[150 * PAGE] = 8;
    assert_eq!((snapshot[10 * PAGE], snapshot[11 * PAGE], snapshot[150 * PAGE]), (6, 5, 0));
    let mut saved = Vec::new();
    snapshot.write_to(&mut saved).unwrap();
    assert_eq!((saved.len(), saved[10 * PAGE], saved[11 * PAGE]), (200 * PAGE, 6, 5));
    let guard = shards[0].guard();
    assert_eq!((guard[10 * PAGE], guard[11 * PAGE], guard[150 * PAGE]), (6, 7, 8));
}

#[test]
fn a_guard_may_settle_its_pages_while_a_snapshot_waits_for_it() {
    let (shared, mut shards) = shared_region(100, 1);
    let first = shared.snapshot().unwrap();
    let guard = shards[0].guard();
    std::thread::scope(|scope| {
        let second = scope.spawn(|| shared.snapshot().unwrap());
        std::thread::sleep(std::time::Duration::from_millis(50));
        guard.settle(0..100 * PAGE).unwrap();
        drop(guard);
        assert!(second.join().unwrap()[..] == first[..]);
    });
}

#[test]
fn a_snapshot_waits_for_guards() {
    let (shared, mut shards) = shared_region(10, 2);
    let mut guard = shards[1].guard();
    let cut = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let snapshot = scope.spawn(|| {
            let snapshot = shared.snapshot().unwrap();
            cut.store(true, Ordering::SeqCst);
            snapshot[5 * PAGE]
        });
        std::thread::sleep(std::time::Duration::from_millis(50));
        assert!(!cut.load(Ordering::SeqCst));
        guard[0] = 9;
        drop(guard);
        assert_eq!(snapshot.join().unwrap(), 9);
    });
}

#[test]
fn clusters_grow_on_sequential_writes_only() {
    for (stride, ahead) in [(1, true), (33, false)] {
        let (shared, mut shards) = shared_region(4000, 1);
        shared.set_copy_ahead(CopyAhead::default());
        let snapshot = shared.snapshot().unwrap();
        for page in (0..4000).step_by(stride) {
            shards[0].guard()[page * PAGE] = 1;
        }
        let stats = shared.stats();
        drop(snapshot);
        assert_eq!(stats.pages_copied_ahead > 1000, ahead, "{stats:?}");
        assert!(stats.pages_copied + stats.pages_copied_ahead <= 4000, "{stats:?}");
        assert_eq!(stats.faults < 2000, ahead || stride > 1, "{stats:?}");
    }
}

#[test]
fn a_guard_refuses_to_settle_what_lies_outside_its_shard() {
    let (shared, mut shards) = shared_region(100, 2);
    let _snapshot = shared.snapshot().unwrap();
    let guard = shards[0].guard();
    #[allow(clippy::reversed_empty_ranges)]
    for range in
        [0..50 * PAGE + 1, 60 * PAGE..61 * PAGE, 9..5, 0..usize::MAX, usize::MAX..usize::MAX]
    {
        let refused = guard.settle(range.clone()).unwrap_err();
        assert!(matches!(refused, Error::Bounds { .. }), "{range:?}: {refused}");
    }
    guard.settle(0..50 * PAGE).unwrap();
}

#[test]
fn memory_has_at_least_one_shard_and_each_shard_a_page() {
    for count in [0, 11, usize::MAX] {
        let refused = SharedRegion::new(Region::zeroed(10 * PAGE).unwrap(), count).unwrap_err();
        assert!(matches!(refused, Error::Shards { pages: 10, .. }), "{refused}");
    }
    let (_, shards) = shared_region(10, 10);
    assert!(shards.iter().all(|shard| shard.range().len() == PAGE));
}
