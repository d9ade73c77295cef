//! Peers of the area `memory` that need `unsafe`: `fork(2)`, and `mmap` by hand.

#![allow(unsafe_code)]

use std::io;
use std::ops::Range;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::{Duration, Instant};

/// A child process made by `fork(2)`. Dropping it waits for its end.
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
        // SAFETY: the child runs only `work`, which the callers here keep to plain memory, and ends
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

    /// Returns `true` if the child has ended.
    pub fn has_ended(&mut self) -> bool {
        self.wait(libc::WNOHANG)
    }

    fn wait(&mut self, flags: libc::c_int) -> bool {
        let mut status = 0;
        // SAFETY: asks about a child of this process, which is waited for only once.
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

/// A private mapping, made by hand.
#[derive(Debug)]
pub struct PrivateMap {
    start: usize,
    bytes: usize,
}

impl PrivateMap {
    /// Maps `bytes` of a descriptor.
    pub fn new(fd: BorrowedFd<'_>, bytes: usize) -> io::Result<Self> {
        Self::map(bytes, libc::MAP_PRIVATE, fd.as_raw_fd())
    }

    /// Maps `bytes` of zeros, in small pages.
    fn zeroed(bytes: usize) -> io::Result<Self> {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        let map = Self::map(bytes, flags, -1)?;
        // SAFETY: advice about a range that is owned, which does not change its content. A kernel
        // without huge pages refuses it, and has small pages anyway.
        unsafe { libc::madvise(map.start as *mut libc::c_void, bytes, libc::MADV_NOHUGEPAGE) };
        Ok(map)
    }

    fn map(bytes: usize, flags: i32, fd: i32) -> io::Result<Self> {
        let access = libc::PROT_READ | libc::PROT_WRITE;
        let anywhere = std::ptr::null_mut();
        // SAFETY: a new mapping at an address that the kernel chooses.
        let start = unsafe { libc::mmap(anywhere, bytes, access, flags, fd, 0) };
        match start {
            libc::MAP_FAILED => Err(io::Error::last_os_error()),
            start => Ok(Self { start: start as usize, bytes }),
        }
    }

    pub fn bytes(&self) -> &[u8] {
        // SAFETY: mapped for as long as self lives, and written only through exclusive borrows.
        unsafe { std::slice::from_raw_parts(self.start as *const u8, self.bytes) }
    }

    pub fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: mapped for as long as self lives, and borrowed exclusively.
        unsafe { std::slice::from_raw_parts_mut(self.start as *mut u8, self.bytes) }
    }
}

impl Drop for PrivateMap {
    fn drop(&mut self) {
        // SAFETY: mapped by `map`, and borrows of it have ended.
        unsafe { libc::munmap(self.start as *mut libc::c_void, self.bytes) };
    }
}

/// Plain memory with every page present, as a program without `tine-memory` would fork it.
#[derive(Debug)]
pub struct PlainMemory(PrivateMap);

impl PlainMemory {
    /// Maps `bytes`, and touches every page.
    pub fn new(bytes: usize) -> io::Result<Self> {
        let mut memory = PrivateMap::zeroed(bytes)?;
        memory.bytes_mut().fill(1);
        Ok(Self(memory))
    }

    pub fn bytes(&self) -> &[u8] {
        self.0.bytes()
    }

    pub fn bytes_mut(&mut self) -> &mut [u8] {
        self.0.bytes_mut()
    }
}

/// Reads every byte, which is the least that a save costs.
pub fn hash_bytes(bytes: &[u8]) -> u64 {
    xxhash_rust::xxh3::xxh3_64(bytes)
}

/// Hashes memory by address, in a child of `fork(2)` that has inherited it.
pub fn hash_inherited(range: Range<*const u8>) {
    let bytes = range.end as usize - range.start as usize;
    // SAFETY: called in a child process with the addresses of memory that it inherited, where it is
    // the only thread.
    let bytes = unsafe { std::slice::from_raw_parts(range.start, bytes) };
    std::hint::black_box(bytes.chunks(1 << 18).fold(0, |all, chunk| all ^ hash_bytes(chunk)));
}
