//! I/O that reaches pages past the page tables: buffers registered with io_uring, and pages given
//! to a pipe.
//!
//! Whatever a region does meanwhile, what the I/O writes is in the region and in no other, or the
//! region says by name that it cannot.

mod child;

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::fs::FileExt;

use child::in_child;
use io_uring::{IoUring, opcode, types};
use tine_memory::{
    Baseline, Error, ForkMode, Image, PAGE, PersistentRegion, Probe, Region, SharedRegion,
};

const MODES: [ForkMode; 4] = [ForkMode::Auto, ForkMode::Eager, ForkMode::Layer, ForkMode::Lazy];

/// The pages that are registered.
const FIRST: usize = 10;
const PAGES: usize = 8;

/// A ring with a buffer in some memory, and a file to read into it.
struct Ring {
    ring: IoUring,
    start: *mut u8,
    file: File,
}

impl Ring {
    /// Registers pages of the memory. `None` if the system has no io_uring for this user.
    fn over(memory: *mut u8) -> Option<Self> {
        let ring = IoUring::new(4).ok()?;
        // SAFETY: the pages are mapped, and no reference to them is used while I/O writes there.
        let start = unsafe { memory.add(FIRST * PAGE) };
        let buffer = libc::iovec { iov_base: start.cast(), iov_len: PAGES * PAGE };
        // SAFETY: the buffer stays mapped, or the kernel keeps its pages, until it is unregistered.
        unsafe { ring.submitter().register_buffers(&[buffer]) }.unwrap();
        Some(Self { ring, start, file: tempfile::tempfile().unwrap() })
    }

    /// Reads a byte into a registered page.
    fn read(&mut self, page: usize, value: u8) {
        self.file.write_all_at(&[value], 0).unwrap();
        // SAFETY: within the registered buffer.
        let to = unsafe { self.start.add((page - FIRST) * PAGE) };
        let entry = opcode::ReadFixed::new(types::Fd(self.file.as_raw_fd()), to, 1, 0).build();
        // SAFETY: the file and the buffer outlive the request, which is waited for.
        unsafe { self.ring.submission().push(&entry) }.unwrap();
        self.ring.submit_and_wait(1).unwrap();
        assert_eq!(self.ring.completion().next().unwrap().result(), 1);
    }

    fn unregister(self) {
        self.ring.submitter().unregister_buffers().unwrap();
    }
}

fn image() -> Image {
    let mut bytes = vec![0; 60 * PAGE];
    bytes[..30 * PAGE].fill(3);
    Image::from_bytes(&bytes).unwrap()
}

/// Tries something in a separate process, where io_uring can be had.
fn with_rings(test: &str, then: impl FnOnce()) {
    if !in_child(test, |_| ()) {
        return;
    }
    match IoUring::new(4) {
        Err(error) => println!("skipped: {test}: io_uring answered: {error}"),
        Ok(_) if !Probe::new().has_windows() => println!("skipped: {test}: {}", Probe::new()),
        Ok(_) => then(),
    }
}

fn refused<T>(answer: Result<T, Error>) -> bool {
    matches!(answer, Err(Error::Pinned))
}

#[test]
fn a_region_with_a_registered_buffer_forks_by_copying_or_says_that_it_is_pinned() {
    with_rings(
        "a_region_with_a_registered_buffer_forks_by_copying_or_says_that_it_is_pinned",
        || {
            for written in [false, true] {
                for mode in MODES {
                    let what = format!("{mode:?}, written {written}");
                    let mut region = image().fork().unwrap();
                    let start = region.as_mut_ptr();
                    if !written {
                        region.reset().unwrap();
                    }
                    let mut ring = Ring::over(start).unwrap();
                    for (round, page) in [(1, FIRST), (2, FIRST + 3)] {
                        ring.read(page, 100 + round);
                        let answer = region.fork_by(mode);
                        assert_eq!(
                            answer.is_ok(),
                            matches!(mode, ForkMode::Auto | ForkMode::Eager)
                        );
                        let fork = match answer {
                            Ok(fork) => fork,
                            refusal => {
                                assert!(refused(refusal), "{what}");
                                region.fork_by(ForkMode::Auto).unwrap()
                            }
                        };
                        assert_eq!(
                            (fork[page * PAGE], region[page * PAGE]),
                            (100 + round, 100 + round)
                        );
                        ring.read(page, 50 + round);
                        assert_eq!(
                            (fork[page * PAGE], region[page * PAGE]),
                            (100 + round, 50 + round)
                        );
                    }
                    ring.unregister();
                    region[0] = 7;
                    let mut fork = region.fork_by(mode).unwrap();
                    assert_eq!((fork[FIRST * PAGE], fork[0]), (51, 7), "{what}");
                    fork.settle().unwrap();
                }
            }
        },
    );
}

#[test]
fn a_region_with_a_registered_buffer_is_reset_in_place() {
    with_rings("a_region_with_a_registered_buffer_is_reset_in_place", || {
        for warm in [false, true] {
            let mut region = image().fork().unwrap();
            let holds = region.to_vec();
            if warm {
                region.keep_warm().unwrap();
            }
            let mut ring = Ring::over(region.as_mut_ptr()).unwrap();
            for round in 1..4 {
                ring.read(FIRST + 1, round);
                region[40 * PAGE] = round;
                assert_eq!(region[(FIRST + 1) * PAGE], round);
                region.reset().unwrap();
                assert!(region[..] == holds[..], "warm {warm}, round {round}");
            }
            ring.read(FIRST + 1, 9);
            assert_eq!(region[(FIRST + 1) * PAGE], 9);
            assert!(refused(region.seal()));
            let flat = region.image().flatten().unwrap();
            assert!(refused(region.rebase(&flat)));
            ring.unregister();
            region.reset().unwrap();
            assert!(region[..] == holds[..]);
        }
    });
}

#[test]
fn live_and_kept_memory_with_a_registered_buffer_are_saved_with_what_io_wrote() {
    let test = "live_and_kept_memory_with_a_registered_buffer_are_saved_with_what_io_wrote";
    with_rings(test, || {
        let (shared, mut shards) = SharedRegion::new(image().fork().unwrap(), 1).unwrap();
        let mut ring = Ring::over(shards[0].guard().as_mut_ptr()).unwrap();
        let (mut sink, mut baseline) = (Vec::new(), Baseline::default());
        for round in 1..6 {
            ring.read(FIRST + 2, round);
            assert!(refused(shared.snapshot()));
            shared.save_changes(&mut sink, &mut baseline).unwrap();
            assert_eq!((sink[(FIRST + 2) * PAGE], sink[0]), (round, 3));
        }
        ring.unregister();
        assert_eq!(shared.snapshot().unwrap()[(FIRST + 2) * PAGE], 5);

        let source = image().fork().unwrap().to_vec();
        let mut persistent = PersistentRegion::open(&source, source.clone()).unwrap();
        let mut ring = Ring::over(persistent.as_mut_ptr()).unwrap();
        for round in 1..4 {
            persistent.commit().unwrap();
            ring.read(FIRST + 2, round);
            persistent.commit().unwrap();
            assert_eq!(persistent.sink()[(FIRST + 2) * PAGE], round);
        }
    });
}

#[test]
fn buffers_that_are_registered_elsewhere_stand_in_no_ones_way() {
    with_rings("buffers_that_are_registered_elsewhere_stand_in_no_ones_way", || {
        let mut other = Region::zeroed(60 * PAGE).unwrap();
        let _ring = Ring::over(other.as_mut_ptr()).unwrap();
        for mode in MODES {
            let mut region = image().fork().unwrap();
            region[5] = 6;
            assert_eq!(region.fork_by(mode).unwrap()[5], 6);
            region.seal().unwrap();
        }
    });
}

#[test]
fn a_page_that_was_given_to_a_pipe_never_shows_what_a_fork_writes() {
    for mode in MODES {
        let mut region = Region::zeroed(60 * PAGE).unwrap();
        region.fill(3);
        let mut ends = [0; 2];
        // SAFETY: room for two descriptors, which are new and with no other owner.
        let (mut out, _in) = unsafe {
            assert_eq!(libc::pipe(ends.as_mut_ptr()), 0);
            let bytes = region[FIRST * PAGE..].as_ptr() as *mut libc::c_void;
            let part = libc::iovec { iov_base: bytes, iov_len: PAGES * PAGE };
            assert_eq!(libc::vmsplice(ends[1], &part, 1, 0), (PAGES * PAGE) as isize);
            (File::from_raw_fd(ends[0]), File::from_raw_fd(ends[1]))
        };
        let mut fork = region.fork_by(mode).unwrap();
        // The last one to need the pages, where they were moved away.
        drop(region);
        fork.settle().unwrap();
        fork.fill(9);
        let mut given = vec![0; PAGES * PAGE];
        out.read_exact(&mut given).unwrap();
        assert!(given.iter().all(|byte| *byte == 3), "{mode:?}: {}", given[0]);
        assert!(fork.iter().all(|byte| *byte == 9), "{mode:?}");
    }
}
