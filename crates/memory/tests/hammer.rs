//! The pages of an image never change, whatever race of writing, discarding and forking is tried.
//!
//! Each mechanism by which a process can write its own memory is raced against discards of the same
//! pages (the pattern of CVE-2016-5195) and against new forks: a million attempts each every day, a
//! hundred million in a soak, and as many discards: without them a write meets a private page.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use tine_memory::{ForkMode, Image, PAGE, Region};

/// Few, so that writes and discards meet on the same page.
const PAGES: usize = 16;

const ATTEMPTS: u64 = 1_000_000;
const SOAK_ATTEMPTS: u64 = 100 * ATTEMPTS;
/// A soak prints its progress after this many attempts.
const TOLD_EACH: u64 = 10 * ATTEMPTS;

/// Pages of a region of which half are written before a window opens on it.
const WINDOW_PAGES: usize = 64;

fn base(pages: usize) -> (Image, Vec<u8>) {
    let bytes: Vec<u8> = (0..pages * PAGE).map(|at| (at / PAGE) as u8 + 1).collect();
    (Image::from_bytes(&bytes).unwrap(), bytes)
}

/// Races `write`, called with an address and a value no base page holds, against discards and
/// forks.
fn hammer(attempts: u64, write: impl Fn(usize, u8) + Sync) {
    let (image, bytes) = base(PAGES);
    let mut region = image.fork().unwrap();
    let start = region.as_mut_ptr() as usize;
    let (written, discarded) = (AtomicU64::new(0), AtomicU64::new(0));
    let done = || [&written, &discarded].iter().all(|n| n.load(Ordering::Relaxed) >= attempts);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done() {
                let attempt = written.fetch_add(1, Ordering::Relaxed);
                write(
                    start + (attempt as usize * 7 % PAGES) * PAGE + 5,
                    200 + (attempt % 50) as u8,
                );
            }
        });
        scope.spawn(|| {
            while !done() {
                let attempt = discarded.fetch_add(1, Ordering::Relaxed) + 1;
                let at = (start + (attempt as usize % PAGES) * PAGE) as *mut libc::c_void;
                // SAFETY: the page belongs to `region`, which nothing reads meanwhile except
                // through raw addresses.
                assert_eq!(unsafe { libc::madvise(at, PAGE, libc::MADV_DONTNEED) }, 0);
                if attempt.is_multiple_of(TOLD_EACH) {
                    let written = written.load(Ordering::Relaxed);
                    println!("{written} writes against {attempt} discards");
                }
            }
        });
        scope.spawn(|| {
            while !done() {
                let fork = image.fork().unwrap();
                assert!(fork[..] == bytes[..], "a fresh fork shows a written page");
            }
        });
    });
    let mut now = vec![0; bytes.len()];
    image.read_at(&mut now, 0).unwrap();
    assert!(now == bytes, "the image changed");
    drop(region);
}

fn stores(attempts: u64) {
    hammer(attempts, |address, value| {
        // SAFETY: a byte of the region, which all threads use by address alone.
        unsafe { AtomicU8::from_ptr(address as *mut u8) }.store(value, Ordering::Relaxed);
    });
}

fn proc_self_mem(attempts: u64) {
    let memory = OpenOptions::new().write(true).open("/proc/self/mem").unwrap();
    hammer(attempts, |address, value| memory.write_all_at(&[value], address as u64).unwrap());
}

fn process_vm_writev(attempts: u64) {
    hammer(attempts, |address, value| {
        let from = libc::iovec { iov_base: (&raw const value).cast_mut().cast(), iov_len: 1 };
        let to = libc::iovec { iov_base: address as *mut _, iov_len: 1 };
        // SAFETY: one byte from the stack to a byte of the region.
        let wrote = unsafe { libc::process_vm_writev(libc::getpid(), &from, 1, &to, 1, 0) };
        assert_eq!(wrote, 1);
    });
}

fn file_reads(attempts: u64) {
    let source = File::open("/dev/zero").unwrap();
    hammer(attempts, |address, _| {
        use std::os::fd::AsRawFd;
        // SAFETY: a byte of the region, which all threads use by address alone.
        assert_eq!(unsafe { libc::read(source.as_raw_fd(), address as *mut _, 1) }, 1);
    });
}

fn window_writes(attempts: u64) {
    let (image, bytes) = base(WINDOW_PAGES);
    let mut touches = 0;
    while touches < attempts {
        let mut region = image.fork().unwrap();
        for page in (0..WINDOW_PAGES).step_by(2) {
            region[page * PAGE] = 150;
        }
        let mut expected = bytes.clone();
        (0..WINDOW_PAGES).step_by(2).for_each(|page| expected[page * PAGE] = 150);
        let mut fork = region.fork_by(ForkMode::Lazy).unwrap();
        let write = |side: &mut Region, value: u8| {
            for page in 0..WINDOW_PAGES {
                side[page * PAGE + 9] = value;
            }
        };
        std::thread::scope(|scope| {
            scope.spawn(|| write(&mut region, 201));
            scope.spawn(|| write(&mut fork, 202));
        });
        for page in 0..WINDOW_PAGES {
            let at = page * PAGE;
            assert_eq!((region[at + 9], fork[at + 9]), (201, 202));
            assert_eq!((region[at], fork[at]), (expected[at], expected[at]));
        }
        let before = touches / TOLD_EACH;
        touches += 2 * WINDOW_PAGES as u64;
        if touches / TOLD_EACH > before {
            println!("{touches} touches of windows");
        }
    }
    let mut now = vec![0; bytes.len()];
    image.read_at(&mut now, 0).unwrap();
    assert!(now == bytes, "the image changed");
}

#[test]
fn plain_stores_never_reach_the_image() {
    stores(ATTEMPTS);
}

#[test]
#[ignore = "soak: a hundred million attempts"]
fn plain_stores_never_reach_the_image_in_a_hundred_million_attempts() {
    stores(SOAK_ATTEMPTS);
}

#[test]
fn writes_through_proc_self_mem_never_reach_the_image() {
    proc_self_mem(ATTEMPTS);
}

#[test]
#[ignore = "soak: a hundred million attempts"]
fn writes_through_proc_self_mem_never_reach_the_image_in_a_hundred_million_attempts() {
    proc_self_mem(SOAK_ATTEMPTS);
}

#[test]
fn writes_by_process_vm_writev_never_reach_the_image() {
    process_vm_writev(ATTEMPTS);
}

#[test]
#[ignore = "soak: a hundred million attempts"]
fn writes_by_process_vm_writev_never_reach_the_image_in_a_hundred_million_attempts() {
    process_vm_writev(SOAK_ATTEMPTS);
}

#[test]
fn reads_of_a_file_into_the_region_never_reach_the_image() {
    file_reads(ATTEMPTS);
}

#[test]
#[ignore = "soak: a hundred million attempts"]
fn reads_of_a_file_into_the_region_never_reach_the_image_in_a_hundred_million_attempts() {
    file_reads(SOAK_ATTEMPTS);
}

#[test]
fn writes_through_a_window_never_reach_the_image_nor_the_other_side() {
    window_writes(ATTEMPTS);
}

#[test]
#[ignore = "soak: a hundred million attempts"]
fn writes_through_a_window_never_reach_the_image_nor_the_other_side_in_a_hundred_million_attempts()
{
    window_writes(SOAK_ATTEMPTS);
}

#[test]
fn a_shared_view_of_an_image_cannot_be_forced_by_proc_self_mem() {
    use std::os::fd::AsRawFd;
    let (image, bytes) = base(PAGES);
    let fd = image.to_fd().unwrap();
    let flags = (libc::PROT_READ, libc::MAP_SHARED);
    // SAFETY: a new mapping of the image's memory.
    let view =
        unsafe { libc::mmap(std::ptr::null_mut(), PAGE, flags.0, flags.1, fd.as_raw_fd(), 0) };
    assert_ne!(view, libc::MAP_FAILED);
    let memory = OpenOptions::new().write(true).open("/proc/self/mem").unwrap();
    assert!(memory.write_all_at(&[250], view as u64).is_err());
    // SAFETY: mapped above.
    assert_eq!(unsafe { *view.cast::<u8>() }, bytes[0]);
    // SAFETY: mapped above, and not used any more.
    unsafe { libc::munmap(view, PAGE) };
    // SAFETY: the call asks for a writable shared mapping, which must be refused.
    let writable = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            PAGE,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_SHARED,
            fd.as_raw_fd(),
            0,
        )
    };
    assert_eq!(writable, libc::MAP_FAILED);
}
