//! What the benchmark holds this crate against, where it takes `unsafe`: `fork(2)` and `mmap` by hand.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::{Duration, Instant};

use crate::linux::sys::Mapping;

/// A child process made by `fork(2)`, waited for when dropped.
#[derive(Debug)]
pub struct Child {
    process: libc::pid_t,
    /// How long the parent spent in the call.
    pub took: Duration,
}

impl Child {
    /// Forks. The child runs `work`, which must not allocate or lock, and ends.
    pub fn fork(work: impl FnOnce()) -> io::Result<Self> {
        let begun = Instant::now();
        // SAFETY: the child runs `work` alone, which the caller keeps to plain memory, and leaves
        // without unwinding.
        let process = unsafe { libc::fork() };
        match process {
            0 => {
                work();
                // SAFETY: ends the process at once.
                unsafe { libc::_exit(0) }
            }
            1.. => Ok(Self { process, took: begun.elapsed() }),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// Whether the child has ended.
    pub fn has_ended(&mut self) -> bool {
        self.wait(libc::WNOHANG)
    }

    fn wait(&mut self, flags: libc::c_int) -> bool {
        let mut status = 0;
        // SAFETY: asks about a child of ours, which is waited for only once.
        if self.process != 0 && unsafe { libc::waitpid(self.process, &mut status, flags) } != 0 {
            self.process = 0;
        }
        self.process == 0
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.wait(0);
    }
}

/// A private mapping of a descriptor, as one would write it by hand. Dereferences to its bytes.
#[derive(Debug)]
pub struct PrivateMap {
    start: usize,
    bytes: usize,
}

impl PrivateMap {
    /// Maps `bytes` of the descriptor.
    pub fn new(fd: BorrowedFd<'_>, bytes: usize) -> io::Result<Self> {
        let (access, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE);
        let nowhere = std::ptr::null_mut();
        // SAFETY: a new mapping, wherever the kernel likes.
        let start = unsafe { libc::mmap(nowhere, bytes, access, flags, fd.as_raw_fd(), 0) };
        match start {
            libc::MAP_FAILED => Err(io::Error::last_os_error()),
            start => Ok(Self { start: start as usize, bytes }),
        }
    }

    /// The bytes.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: mapped for as long as self lives, and borrowed exclusively.
        unsafe { std::slice::from_raw_parts_mut(self.start as *mut u8, self.bytes) }
    }
}

impl Drop for PrivateMap {
    fn drop(&mut self) {
        // SAFETY: mapped by `new`, and borrows of it have ended.
        unsafe { libc::munmap(self.start as *mut libc::c_void, self.bytes) };
    }
}

/// Plain memory of zeros, every page present: what a program without this crate would fork.
#[derive(Debug)]
pub struct PlainMemory(Mapping);

impl PlainMemory {
    /// Takes and touches `bytes`, whole pages.
    pub fn new(bytes: usize) -> crate::Result<Self> {
        let mut memory = Mapping::zeroed(bytes, 1)?;
        memory.bytes_mut().fill(1);
        Ok(Self(memory))
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        self.0.bytes()
    }

    /// The bytes, to be written.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        self.0.bytes_mut()
    }
}

/// Reads every byte: what a save costs at least.
pub fn hash_bytes(bytes: &[u8]) -> u64 {
    xxhash_rust::xxh3::xxh3_64(bytes)
}

/// As [`hash_bytes`], of addresses that a child of `fork(2)` has inherited.
pub fn hash(range: std::ops::Range<*const u8>) {
    let bytes = range.end as usize - range.start as usize;
    // SAFETY: called in a child process with the addresses of memory that it inherited, where it is
    // the only thread.
    let bytes = unsafe { std::slice::from_raw_parts(range.start, bytes) };
    std::hint::black_box(bytes.chunks(1 << 18).fold(0, |all, chunk| all ^ hash_bytes(chunk)));
}
