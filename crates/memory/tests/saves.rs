//! Incremental saves of a shared region while writers go on.

mod writers;

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};

use tine_memory::{Baseline, PAGE, PageSink};
use writers::{Stop, shared_region};

/// A sink that counts, and fails on request.
#[derive(Default)]
struct Counting {
    pages: Vec<u8>,
    runs: usize,
    fail: bool,
}

impl PageSink for Counting {
    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.runs += 1;
        self.pages.write_at(bytes, offset)
    }

    fn commit(&mut self) -> io::Result<()> {
        if self.fail { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }
}

#[test]
fn an_incremental_save_hands_over_exactly_what_changed() {
    let (shared, mut shards) = shared_region(400, 2);
    let (mut sink, mut baseline) = (Counting::default(), Baseline::default());
    for page in [3, 4, 5, 100] {
        shards[0].guard()[page * PAGE] = 1;
    }
    let saved = shared.save_changes(&mut sink, &mut baseline).unwrap().bytes;
    assert_eq!((saved, sink.runs), (4 * PAGE as u64, 2));

    shards[1].guard()[7] = 2;
    sink.fail = true;
    assert!(shared.save_changes(&mut sink, &mut baseline).is_err());
    sink.fail = false;
    let saved = shared.save_changes(&mut sink, &mut baseline).unwrap().bytes;
    assert_eq!(saved, PAGE as u64, "what failed is handed over again");

    let saved = shared.save_changes(&mut sink, &mut baseline).unwrap().bytes;
    assert_eq!(saved, 0);
    sink.pages.resize(400 * PAGE, 0);
    assert!(shared.snapshot().unwrap()[..] == sink.pages[..]);
}

#[test]
fn what_a_sink_that_panicked_was_to_take_the_next_save_hands_over() {
    struct Panicking(Vec<u8>, bool);
    impl PageSink for Panicking {
        fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
            assert!(!self.1, "the sink panics");
            self.0.write_at(bytes, offset)
        }

        fn commit(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let (shared, mut shards) = shared_region(400, 2);
    let (mut sink, mut baseline) = (Panicking(Vec::new(), false), Baseline::default());
    // The first save is one of a snapshot, the second compares, the third goes by the record.
    for round in 1..5 {
        shards[0].guard()[round * PAGE] = 5;
        sink.1 = true;
        let save = AssertUnwindSafe(|| shared.save_changes(&mut sink, &mut baseline));
        assert!(catch_unwind(save).is_err());
        sink.1 = false;
        shared.save_changes(&mut sink, &mut baseline).unwrap();
        sink.0.resize(400 * PAGE, 0);
        assert!(shared.snapshot().unwrap()[..] == sink.0[..], "round {round}");
        shared.save_changes(&mut sink, &mut baseline).unwrap();
    }
}

#[test]
fn incremental_saves_and_snapshots_may_alternate_and_baselines_may_be_several() {
    const PAGES: usize = 300;
    let (shared, mut shards) = shared_region(PAGES, 3);
    let mut kept = [(Vec::new(), Baseline::default()), (Vec::new(), Baseline::default())];
    for round in 1..60_u8 {
        for (index, shard) in shards.iter_mut().enumerate() {
            let mut guard = shard.guard();
            (0..100)
                .step_by(round as usize + index)
                .for_each(|page| guard[page * PAGE + 9] = round);
        }
        let snapshot = (round % 5 == 0).then(|| shared.snapshot().unwrap());
        let (sink, baseline) = &mut kept[(round % 7 == 0) as usize];
        shared.save_changes(sink, baseline).unwrap();
        sink.resize(PAGES * PAGE, 0);
        for shard in &mut shards {
            let range = shard.range();
            assert!(shard.guard()[..] == sink[range], "round {round}");
        }
        if let Some(snapshot) = snapshot {
            assert!(snapshot[..] == sink[..], "round {round}");
        }
    }
}

#[test]
fn every_incremental_save_is_one_moment_of_all_writers() {
    const PAGES: usize = 2000;
    let (shared, shards) = shared_region(PAGES, 4);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for mut shard in shards {
            let stop = &stop;
            scope.spawn(move || {
                // Each round writes the round's number to some pages under one guard, the last one
                // always.
                for round in 1_u64.. {
                    let mut guard = shard.guard();
                    let every = 1 + round as usize % 50;
                    for page in guard.chunks_exact_mut(PAGE).rev().step_by(every) {
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
        let (mut saved, mut baseline) = (Vec::new(), Baseline::default());
        let mut before = [0; 4];
        for _ in 0..40 {
            shared.save_changes(&mut saved, &mut baseline).unwrap();
            saved.resize(PAGES * PAGE, 0);
            for (shard, part) in saved.chunks(PAGES / 4 * PAGE).enumerate() {
                let word = |at: usize| u64::from_le_bytes(part[at..at + 8].try_into().unwrap());
                let round = word(part.len() - 8);
                assert!(round >= before[shard], "time runs forwards");
                before[shard] = round;
                for (back, page) in (0..PAGES / 4).rev().map(|page| page * PAGE).enumerate() {
                    let wrote = |round: &u64| back.is_multiple_of(1 + *round as usize % 50);
                    let expected = (1..=round).rev().find(wrote).unwrap_or(0);
                    assert_eq!((word(page), word(page + PAGE - 8)), (expected, expected));
                }
            }
        }
    });
}

#[test]
fn a_save_misses_nothing_of_writers_that_it_never_catches_up_with() {
    const PAGES: usize = 2000;
    const WRITTEN: usize = 200; // Too few for the next save to be one of a snapshot.
    let (shared, mut shards) = shared_region(PAGES, 1);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let _stop = Stop(&stop);
        scope.spawn(|| {
            for round in 1_u64.. {
                let mut guard = shards[0].guard();
                for page in guard.chunks_exact_mut(PAGE).take(WRITTEN) {
                    page[..8].copy_from_slice(&round.to_le_bytes());
                }
                drop(guard);
                if stop.load(Ordering::Relaxed) {
                    break;
                }
            }
        });
        let (mut saved, mut baseline) = (vec![0; PAGES * PAGE], Baseline::default());
        for save in 0..200 {
            shared.save_changes(&mut saved, &mut baseline).unwrap();
            let (first, rest) = saved[..WRITTEN * PAGE].split_at(PAGE);
            for (page, bytes) in rest.chunks_exact(PAGE).enumerate() {
                assert_eq!(bytes[..8], first[..8], "page {} of save {save}", page + 1);
            }
        }
    });
}

#[test]
fn what_a_failed_save_handed_over_is_handed_over_again_even_if_it_is_back_as_it_was() {
    let (shared, mut shards) = shared_region(400, 1);
    let (mut sink, mut baseline) = (Counting::default(), Baseline::default());
    // Saves by a snapshot, by comparing every page, and by the kernel's record.
    for round in 0..6 {
        shared.save_changes(&mut sink, &mut baseline).unwrap();
        shards[0].guard()[5 * PAGE] = 1;
        sink.fail = true;
        shared.save_changes(&mut sink, &mut baseline).unwrap_err();
        sink.fail = false;
        shards[0].guard()[5 * PAGE] = 0;
        let saved = shared.save_changes(&mut sink, &mut baseline).unwrap();
        assert_eq!(saved.bytes, PAGE as u64, "round {round}");
        sink.pages.resize(400 * PAGE, 0);
        assert!(shards[0].guard()[..] == sink.pages[..], "round {round}");
    }
}
