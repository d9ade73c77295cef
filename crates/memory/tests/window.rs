//! What holds while a lazy fork settles: for system calls, for other threads, for other handlers.

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::fs::FileExt;

use tine_memory::{Error, ForkMode, Image, PAGE, Region};

/// A region of image, hole and written pages, forked lazily, and what both hold.
fn forked() -> (Region, Region, Vec<u8>) {
    let mut bytes = vec![0; 200 * PAGE];
    bytes[..100 * PAGE].fill(1);
    let mut region = Image::from_bytes(&bytes).unwrap().fork().unwrap();
    for page in (0..200).step_by(3) {
        region[page * PAGE] = 2;
        bytes[page * PAGE] = 2;
    }
    let fork = region.fork_by(ForkMode::Lazy).unwrap();
    (region, fork, bytes)
}

#[test]
fn a_plain_system_call_on_an_untouched_page_gets_efault_and_a_safe_one_succeeds() {
    let (mut region, fork, bytes) = forked();
    let file = tempfile::tempfile().unwrap();
    let refused = file.write_all_at(&region[..PAGE], 0).unwrap_err();
    assert_eq!(refused.raw_os_error(), Some(libc::EFAULT));
    let refused =
        File::open("/dev/zero").unwrap().read(&mut region[6 * PAGE..7 * PAGE]).unwrap_err();
    assert_eq!(refused.raw_os_error(), Some(libc::EFAULT));

    region.write_from(0..200 * PAGE, &file, 0).unwrap();
    let mut back = vec![0; 200 * PAGE];
    file.read_exact_at(&mut back, 0).unwrap();
    assert!(back == bytes);

    let mut fork = fork;
    file.write_all_at(&[9; 50 * PAGE], 0).unwrap();
    fork.read_at_into(80 * PAGE + 7..130 * PAGE + 7, &file, 0).unwrap();
    assert!(fork[80 * PAGE + 7..130 * PAGE + 7].iter().all(|byte| *byte == 9));
    assert!(fork[..80 * PAGE] == bytes[..80 * PAGE] && region[..] == bytes[..]);
}

#[test]
fn a_settled_region_takes_part_in_any_system_call() {
    let (mut region, mut fork, bytes) = forked();
    region.settle().unwrap();
    fork.settle().unwrap();
    assert!(region.is_settled() && fork.is_settled());
    for region in [&mut region, &mut fork] {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(region).unwrap();
        let mut back = vec![0; bytes.len()];
        file.read_exact_at(&mut back, 0).unwrap();
        assert!(back == bytes);
    }
}

#[test]
fn many_threads_may_touch_the_same_untouched_pages_at_once() {
    for _ in 0..30 {
        let (region, fork, bytes) = forked();
        std::thread::scope(|scope| {
            for side in [&region, &fork, &region, &fork] {
                let bytes = &bytes;
                scope.spawn(move || assert!(side[..] == bytes[..]));
            }
        });
    }
}

#[test]
fn a_thread_that_blocks_the_signal_forks_eagerly() {
    let block = || {
        // SAFETY: the set is plain data, and the mask is this thread's own.
        unsafe {
            let mut all: libc::sigset_t = std::mem::zeroed();
            libc::sigfillset(&mut all);
            assert_eq!(libc::pthread_sigmask(libc::SIG_BLOCK, &all, std::ptr::null_mut()), 0);
        }
        let mut region = Region::zeroed(10 * PAGE).unwrap();
        region[5] = 5;
        let fork = region.fork().unwrap();
        assert!(fork.is_settled() && region.is_settled());
        assert_eq!((fork[5], region[5]), (5, 5));
        let refused = region.fork_by(ForkMode::Lazy).unwrap_err();
        assert!(matches!(refused, Error::Unsupported { .. }), "{refused}");
        assert!(refused.to_string().contains("SIGBUS"), "{refused}");
    };
    std::thread::spawn(block).join().unwrap();
}

#[test]
fn a_range_outside_the_region_is_refused_in_the_words_of_what_was_asked() {
    let (mut region, _fork, _) = forked();
    let file = tempfile::tempfile().unwrap();
    #[allow(clippy::reversed_empty_ranges)]
    for range in [0..201 * PAGE, 10..5, 200 * PAGE..200 * PAGE + 1, 0..usize::MAX] {
        for (refused, words) in [
            (region.write_from(range.clone(), &file, 0), "write a region to a file"),
            (region.read_at_into(range.clone(), &file, 0), "read a file into a region"),
            (region.settle_range(range.clone()), "settle a range of a region"),
        ] {
            let refused = refused.unwrap_err();
            assert!(matches!(refused, Error::Bounds { .. }), "{range:?}: {refused}");
            assert!(refused.to_string().contains(words), "{range:?}: {refused}");
        }
    }
    region.settle_range(200 * PAGE..200 * PAGE).unwrap();
}
