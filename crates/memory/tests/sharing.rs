//! What a region was filled with is shared by all its forks, once it has been sealed for the first
//! of them.

use std::sync::atomic::{AtomicBool, Ordering};

use tine_memory::{Error, ForkMode, HUGE, Image, PAGE, Probe, Region};

const LEN: usize = 8 * HUGE;

fn filled() -> Region {
    let mut region = Region::zeroed(LEN).unwrap();
    region.chunks_mut(PAGE).enumerate().for_each(|(n, page)| page.fill(n as u8 | 1));
    region
}

fn own(region: &Region) -> u64 {
    let usage = region.usage().unwrap();
    usage.exclusive + usage.pending
}

#[test]
fn forks_of_a_filled_region_share_its_pages_with_it() {
    let mut region = filled();
    let expected = region.to_vec();
    let mut forks: Vec<Region> = (0..20).map(|_| region.fork().unwrap()).collect();
    for (n, fork) in forks.iter_mut().enumerate() {
        // Reading takes no pages, and writing takes what is written.
        assert!(fork[..] == expected[..]);
        assert_eq!(own(fork), 0);
        fork[n * PAGE] = 0;
        assert_eq!(own(fork), PAGE as u64);
    }
    assert_eq!(own(&region), 0);
    assert!(region[..] == expected[..]);
    // A reset of either side goes where a reset of the region would have gone.
    forks[3].reset().unwrap();
    region.reset().unwrap();
    assert!(forks[3].iter().chain(region.iter()).all(|byte| *byte == 0));
    assert!(forks[4][5 * PAGE..] == expected[5 * PAGE..]);
}

#[test]
fn what_a_filled_region_held_is_not_copied_again_when_little_is_written_between_forks() {
    let mut region = filled();
    let mut expected = region.to_vec();
    let mut forks = Vec::new();
    for round in 0..40 {
        let fork = region.fork().unwrap();
        assert!(fork[..] == expected[..], "round {round}");
        forks.push((fork, expected.clone()));
        let at = round * 13 * PAGE % LEN + 1;
        region[at] = 0;
        expected[at] = 0;
    }
    let copied = |region: &Region| {
        let stats = region.stats();
        stats.pages_copied + stats.pages_copied_ahead + stats.pages_settled
    };
    let all = copied(&region) + forks.iter().map(|(fork, _)| copied(fork)).sum::<u64>();
    assert!(all < (LEN / PAGE) as u64, "{all} pages copied of {}", LEN / PAGE);
    for (number, (fork, expected)) in forks.iter().enumerate() {
        assert!(fork[..] == expected[..], "fork {number}");
    }
}

#[test]
fn a_region_that_is_shared_stays_where_it_is_and_notices_writes_by_address() {
    let mut region = filled();
    let address = region.as_mut_ptr();
    let mut holds = region.to_vec();
    let write = |at: usize, value: u8, holds: &mut [u8]| {
        // SAFETY: within the region, which has not moved; no reference to it exists now.
        unsafe { address.add(at).write(value) };
        holds[at] = value;
    };
    let mut images = vec![(region.share().unwrap(), holds.clone())];
    for round in 0..30_usize {
        write(round * 5 * PAGE + 9, 200, &mut holds);
        for page in 0..round % 7 {
            write((300 + round * 9 + page) * PAGE, 0, &mut holds);
        }
        if round % 4 == 0 {
            let zeros = (500 + round * 11) * PAGE..(506 + round * 11) * PAGE;
            zeros.for_each(|at| write(at, 0, &mut holds));
        }
        let image = region.share().unwrap();
        assert_eq!(region.as_ptr(), address.cast_const());
        assert!(region[..] == holds[..], "round {round}");
        assert!(image.fork().unwrap()[..] == holds[..], "round {round}, image");
        images.push((image, holds.clone()));
        assert!(region.share().unwrap().vmas() == images[images.len() - 1].0.vmas());
    }
    for (number, (image, held)) in images.iter().enumerate() {
        let mut fork = image.fork().unwrap();
        assert!(fork[..] == held[..], "image {number}");
        fork.fill(1);
        fork.reset().unwrap();
        assert!(fork[..] == held[..], "image {number}, reset");
    }
    // By each mode, from where it is now.
    for mode in [ForkMode::Auto, ForkMode::Eager, ForkMode::Lazy] {
        match region.fork_by(mode) {
            Ok(fork) => assert!(fork[..] == holds[..], "{mode:?}"),
            Err(error) => assert!(matches!(error, Error::Unsupported { .. }), "{error}"),
        }
    }
    region.settle().unwrap();
    region.reset().unwrap();
    assert!(region.iter().all(|byte| *byte == 0));
    assert_eq!((region.as_ptr(), own(&region)), (address.cast_const(), 0));
}

#[test]
fn a_region_that_is_sealed_in_place_is_reset_to_that() {
    let image = Image::from_bytes(&vec![7; LEN]).unwrap();
    let mut region = image.fork().unwrap();
    let address = region.as_ptr();
    region[PAGE..30 * PAGE].fill(1);
    region.share().unwrap();
    region[PAGE..9 * PAGE].fill(2);
    region.seal_in_place().unwrap();
    region.fill(3);
    if Probe::new().has_windows() {
        region.keep_warm().unwrap();
    }
    for _ in 0..3 {
        region.reset().unwrap();
        assert_eq!((region[0], region[PAGE], region[9 * PAGE], region[30 * PAGE]), (7, 2, 1, 7));
        region.fill(4);
    }
    assert_eq!(region.as_ptr(), address);
}

#[test]
fn whoever_reads_a_region_while_it_is_shared_sees_what_it_holds() {
    let mut region = filled();
    let expected = region.to_vec();
    let (address, done) = (region.as_mut_ptr() as usize, AtomicBool::new(false));
    let is_same = || {
        // SAFETY: the region does not move, and nothing writes to it meanwhile.
        let bytes = unsafe { std::slice::from_raw_parts(address as *const u8, LEN) };
        bytes == expected
    };
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut rounds = 0;
            while !done.load(Ordering::Relaxed) || rounds == 0 {
                assert!(is_same());
                rounds += 1;
            }
        });
        for round in 1..9_usize {
            // Written with what is there already, so that there is something to seal.
            (0..LEN).skip(round).step_by(round * 300 + 7).for_each(|at| {
                let at = at as *const u8 as usize;
                // SAFETY: within the region; a volatile write of the same value, as another
                // thread's code may do.
                unsafe { ((address + at) as *mut u8).write_volatile(expected[at]) };
            });
            region.share().unwrap();
        }
        done.store(true, Ordering::Relaxed);
        reader.join().unwrap();
    });
    assert!(region[..] == expected[..]);
}

#[test]
fn what_is_written_while_a_region_is_shared_is_never_lost() {
    use std::os::fd::AsRawFd;
    use std::os::unix::fs::FileExt;

    const WRITERS: usize = 3;
    let mut region = filled();
    let (address, done) = (region.as_mut_ptr() as usize, AtomicBool::new(false));
    let pages = LEN / PAGE / WRITERS;
    let written: Vec<Vec<u64>> = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let done = &done;
                scope.spawn(move || {
                    let (mut last, mut round) = (vec![0; pages], 0_u64);
                    let file = tempfile::tempfile().unwrap();
                    while !done.load(Ordering::Relaxed) || round < 100 {
                        round += 1;
                        let page =
                            (round.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40) as usize % pages;
                        let word = address + (writer * pages + page) * PAGE + 8;
                        if writer == 0 {
                            // By a system call, which may be refused but must not be wrong.
                            file.write_all_at(&round.to_ne_bytes(), 0).unwrap();
                            // SAFETY: the word lies in the region, and only this thread writes
                            // there.
                            let read =
                                unsafe { libc::pread(file.as_raw_fd(), word as *mut _, 8, 0) };
                            if read != 8 {
                                let error = std::io::Error::last_os_error();
                                assert_eq!(error.raw_os_error(), Some(libc::EFAULT));
                                continue;
                            }
                        } else {
                            // SAFETY: as above.
                            unsafe { (word as *mut u64).write_volatile(round) };
                        }
                        last[page] = round;
                    }
                    last
                })
            })
            .collect();
        let mut images = Vec::new();
        for _ in 0..12 {
            images.push(region.share().unwrap());
        }
        done.store(true, Ordering::Relaxed);
        // An image never changes.
        let forks: Vec<_> = images.iter().map(|image| image.fork().unwrap().to_vec()).collect();
        assert!(
            images.iter().zip(&forks).all(|(image, held)| image.fork().unwrap()[..] == held[..])
        );
        writers.into_iter().map(|writer| writer.join().unwrap()).collect()
    });
    for (writer, last) in written.iter().enumerate() {
        for (page, round) in last.iter().enumerate().filter(|(_, round)| **round > 0) {
            let at = (writer * pages + page) * PAGE + 8;
            let holds = u64::from_ne_bytes(region[at..at + 8].try_into().unwrap());
            assert_eq!(holds, *round, "page {page} of writer {writer}");
        }
    }
}
