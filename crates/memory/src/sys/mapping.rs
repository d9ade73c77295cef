//! An owned range of addresses: mapped when it is made, unmapped when it is dropped.
//!
//! Every mapping is readable and writable, and never executable. File memory is mapped only
//! privately and only when it is sealed, so that what is read through a mapping changes only by
//! writes through it.

use std::io;
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use super::budget::Ticket;
use super::lineage::process_number;
use super::memfd::{Memfd, Sealed};
use super::place;
use crate::error::{Error, Refusal, Result};
use crate::page::PAGE;

const READ_WRITE: libc::c_int = libc::PROT_READ | libc::PROT_WRITE;
const OFFER: &str = "offer pages to the kernel for merging";
const LAZY: libc::c_int = libc::MAP_PRIVATE | libc::MAP_NORESERVE;

/// Drops pages, of locked memory as well (Linux 5.18).
const MADV_DONTNEED_LOCKED: libc::c_int = 24;

/// How long to retry collapsing while pages are in use.
const COLLAPSE_PATIENCE: Duration = Duration::from_secs(1);

/// An owned range of addresses, in whole pages.
#[derive(Debug)]
pub(crate) struct Mapping {
    start: usize,
    bytes: usize,
    vmas: Ticket,
    /// The process whose children do not get the mapping, or 0 if they do.
    excluded_by: AtomicU32,
    /// Whether the kernel may merge pages. Parts that are added later have to agree, since pages
    /// are moved mapping by mapping.
    offered: AtomicBool,
}

impl Mapping {
    /// Maps demand-zero pages. `vmas` is how many separate mappings the range will come to hold.
    pub fn zeroed(bytes: usize, vmas: usize) -> Result<Self> {
        let vmas = Ticket::take(vmas.max(1))?;
        let mapping =
            Self::new(map_anywhere(bytes, LAZY | libc::MAP_ANONYMOUS, -1, 0)?, bytes, vmas);
        mapping.keep_pages_small(0..bytes)?;
        Ok(mapping)
    }

    /// Maps sealed memory from an offset.
    pub fn of_sealed(file: &Sealed, offset: usize, bytes: usize) -> Result<Self> {
        let vmas = Ticket::take(1)?;
        Ok(Self::new(map_anywhere(bytes, LAZY, file.as_raw_fd(), offset)?, bytes, vmas))
    }

    /// Maps memory that is being built. Writes go to the memory itself.
    ///
    /// Child processes do not get the mapping. If another thread has just started one to run a
    /// program, the child would hold the memory writable for a moment, and sealing it would fail.
    pub fn of_open(file: &Memfd, bytes: usize) -> Result<Self> {
        let vmas = Ticket::take(1)?;
        let start = map_anywhere(bytes, libc::MAP_SHARED, file.as_raw_fd(), 0)?;
        let mapping = Self::new(start, bytes, vmas);
        mapping.exclude_from_children(true)?;
        Ok(mapping)
    }

    fn new(start: usize, bytes: usize, vmas: Ticket) -> Self {
        Self { start, bytes, vmas, excluded_by: AtomicU32::new(0), offered: AtomicBool::new(false) }
    }

    /// Replaces a range of this mapping by sealed memory.
    pub fn overlay(&mut self, range: Range<usize>, file: &Sealed, offset: usize) -> Result<()> {
        self.replace(range, LAZY, file.as_raw_fd(), offset)
    }

    /// Reserves budget for `vmas` separate mappings in the range.
    pub fn reserve(&mut self, vmas: usize) -> Result<()> {
        self.vmas.join(Ticket::take(vmas.saturating_sub(self.vmas.held()))?);
        Ok(())
    }

    /// Replaces a range of this mapping by demand-zero pages.
    pub fn overlay_zeros(&mut self, range: Range<usize>) -> Result<()> {
        self.replace(range.clone(), LAZY | libc::MAP_ANONYMOUS, -1, 0)?;
        self.keep_pages_small(range)
    }

    /// Lets the kernel merge pages of a range that was replaced, if it may merge those of the
    /// mapping.
    pub fn allow_merging_as_before(&self, range: Range<usize>) -> Result<()> {
        if self.is_offered() { self.advise(range, libc::MADV_MERGEABLE, OFFER) } else { Ok(()) }
    }

    /// Makes this mapping longer by demand-zero pages. Returns `false` if the addresses behind it
    /// are not free.
    ///
    /// `vmas` is how many separate mappings the range will come to hold in all. On an error the
    /// mapping is as it was.
    pub fn extend(&mut self, bytes: usize, vmas: usize) -> Result<bool> {
        assert!(bytes.is_multiple_of(PAGE));
        let more = Ticket::take(vmas.saturating_sub(self.vmas.held()))?;
        let flags = LAZY | libc::MAP_ANONYMOUS | libc::MAP_FIXED_NOREPLACE;
        if map(self.start + self.bytes, bytes, flags, -1, 0).is_err() {
            return Ok(false);
        }
        let added = self.start + self.bytes;
        self.bytes += bytes;
        let old = added - self.start;
        let advised = self
            .keep_pages_small(old..self.bytes)
            .and_then(|()| self.allow_merging_as_before(old..self.bytes));
        if let Err(error) = advised {
            // SAFETY: mapped above, and known only here.
            unsafe { libc::munmap(added as *mut libc::c_void, bytes) };
            self.bytes = old;
            return Err(error);
        }
        self.vmas.join(more);
        Ok(true)
    }

    /// The first address.
    pub fn start(&self) -> usize {
        self.start
    }

    /// The length in bytes, a multiple of a page.
    pub fn len(&self) -> usize {
        self.bytes
    }

    /// Separate mappings that are counted for this one.
    pub fn vmas(&self) -> usize {
        self.vmas.held()
    }

    /// The addresses.
    pub fn addresses(&self) -> Range<usize> {
        self.start..self.start + self.bytes
    }

    /// The content.
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: the range is mapped readable as long as self lives, and nothing writes to it
        // while a shared borrow of self exists: writers need `bytes_mut`.
        unsafe { std::slice::from_raw_parts(self.start as *const u8, self.bytes) }
    }

    /// The content, mutably.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: the range is mapped writable as long as self lives, and the borrow is exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.start as *mut u8, self.bytes) }
    }

    /// Drops the pages of a range, so that zeros or the file's content show again.
    ///
    /// The content changes, so the mapping is borrowed exclusively.
    pub fn discard(&mut self, range: Range<usize>) -> Result<()> {
        self.advise(range, MADV_DONTNEED_LOCKED, "drop pages")
    }

    /// Drops pages that will not be read again.
    ///
    /// # Safety
    /// No reference to the range may be read any more.
    // SAFETY: a shared borrow suffices to change the content, so the caller answers for references.
    pub unsafe fn release(&self, range: Range<usize>) -> Result<()> {
        self.advise(range, MADV_DONTNEED_LOCKED, "release pages")
    }

    /// Turns the memory of the mapping into huge pages where it can.
    ///
    /// If a page is in use for a moment, the kernel asks to be called again. It is, until
    /// [`COLLAPSE_PATIENCE`] is over.
    pub fn collapse(&self) -> Result<()> {
        let begun = Instant::now();
        loop {
            let answer =
                self.advise(0..self.bytes, libc::MADV_COLLAPSE, "collapse pages into huge pages");
            match &answer {
                Err(Error::Os { source, .. })
                    if source.raw_os_error() == Some(libc::EAGAIN)
                        && begun.elapsed() < COLLAPSE_PATIENCE => {}
                _ => return answer,
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Lets the kernel's own merging look at the private pages.
    pub fn allow_merging(&self) -> Result<()> {
        self.advise(0..self.bytes, libc::MADV_MERGEABLE, OFFER)?;
        self.offered.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Returns `true` if the kernel may merge pages, because this mapping or the whole process was
    /// offered to it.
    pub fn may_be_merged(&self) -> bool {
        // SAFETY: the call takes numbers and touches no memory.
        self.is_offered() || unsafe { libc::prctl(libc::PR_GET_MEMORY_MERGE, 0, 0, 0, 0) } == 1
    }

    fn is_offered(&self) -> bool {
        self.offered.load(Ordering::Relaxed)
    }

    /// Keeps the mapping out of processes made by `fork(2)`, or lets them have it again.
    pub fn exclude_from_children(&self, exclude: bool) -> Result<()> {
        let advice = if exclude { libc::MADV_DONTFORK } else { libc::MADV_DOFORK };
        self.advise(0..self.bytes, advice, "choose whether child processes inherit memory")?;
        self.excluded_by.store(if exclude { process_number() } else { 0 }, Ordering::Relaxed);
        Ok(())
    }

    /// Returns `true` if this process has the mapping. A child of `fork(2)` lacks what was
    /// excluded.
    pub fn is_here(&self) -> bool {
        let process = self.excluded_by.load(Ordering::Relaxed);
        process == 0 || process == process_number()
    }

    /// Reads sealed memory straight into a range, replacing the private copy of its pages.
    pub fn read_sealed(&mut self, at: Range<usize>, file: &Sealed, offset: usize) -> Result<()> {
        file.read_at(&mut self.bytes_mut()[at], offset)
    }

    fn replace(&mut self, at: Range<usize>, flags: i32, fd: i32, offset: usize) -> Result<()> {
        assert!(at.start.is_multiple_of(PAGE) && at.end <= self.bytes);
        let address = self.start + at.start;
        map(address, at.len(), flags | libc::MAP_FIXED, fd, offset)
            .map_err(|e| Error::os("map an image", e))?;
        Ok(())
    }

    fn advise(&self, range: Range<usize>, advice: i32, what: &'static str) -> Result<()> {
        assert!(range.start.is_multiple_of(PAGE) && range.end <= self.bytes);
        let address = (self.start + range.start) as *mut libc::c_void;
        #[cfg(test)]
        super::fault_injection::check().map_err(|e| Error::os(what, e))?;
        // SAFETY: the range lies inside an owned mapping; the callers answer for what the advice
        // does to its content.
        if unsafe { libc::madvise(address, range.len(), advice) } != 0 {
            return Err(Error::last(what));
        }
        Ok(())
    }

    /// Refuses huge pages where the system makes them unasked: a write of one byte would fill two
    /// megabytes.
    fn keep_pages_small(&self, range: Range<usize>) -> Result<()> {
        static UNASKED: OnceLock<bool> = OnceLock::new();
        let unasked = *UNASKED.get_or_init(|| {
            std::fs::read_to_string("/sys/kernel/mm/transparent_hugepage/enabled")
                .is_ok_and(|text| text.contains("[always]"))
        });
        if unasked { self.advise(range, libc::MADV_NOHUGEPAGE, "keep pages small") } else { Ok(()) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        if !self.is_here() {
            return; // Whatever is mapped there in this process is not this mapping.
        }
        // SAFETY: the range is owned, and borrows of its content have ended.
        unsafe { libc::munmap(self.start as *mut libc::c_void, self.bytes) };
    }
}

/// Forbids writing to a range of a mapping, or allows it again.
pub(crate) fn set_writable(addresses: Range<usize>, writable: bool) -> Result<()> {
    let access = if writable { READ_WRITE } else { libc::PROT_READ };
    let what = "forbid or allow writing to pages";
    #[cfg(test)]
    super::fault_injection::check().map_err(|e| Error::os(what, e))?;
    // SAFETY: the range lies inside a mapping that the caller keeps; its content does not change.
    let answer =
        unsafe { libc::mprotect(addresses.start as *mut libc::c_void, addresses.len(), access) };
    if answer == 0 { Ok(()) } else { Err(Error::last(what)) }
}

fn map_anywhere(bytes: usize, flags: i32, fd: i32, offset: usize) -> Result<usize> {
    assert!(bytes.is_multiple_of(PAGE) && offset.is_multiple_of(PAGE));
    place::find(bytes, |address, exact| {
        let exact = if exact { libc::MAP_FIXED_NOREPLACE } else { 0 };
        map(address, bytes, flags | exact, fd, offset)
    })
    .map_err(|error| match error.raw_os_error() {
        Some(libc::ENOMEM | libc::EOVERFLOW | libc::EINVAL) => {
            Error::Reserve { bytes: bytes as u64, refusal: refusal() }
        }
        Some(libc::EAGAIN) => Error::os(
            "map memory, all of which mlockall locks, beyond the limit (`ulimit -l`)",
            error,
        ),
        _ => Error::os("map memory", error),
    })
}

fn map(address: usize, bytes: usize, flags: i32, fd: i32, offset: usize) -> io::Result<usize> {
    #[cfg(test)]
    super::fault_injection::check()?;
    let address = address as *mut libc::c_void;
    // SAFETY: without MAP_FIXED nothing that exists is touched; with it, `replace` has checked that
    // the range is owned.
    let got = unsafe { libc::mmap(address, bytes, READ_WRITE, flags, fd, offset as libc::off_t) };
    if got == libc::MAP_FAILED { Err(io::Error::last_os_error()) } else { Ok(got as usize) }
}

fn refusal() -> Refusal {
    let strict = std::fs::read_to_string("/proc/sys/vm/overcommit_memory")
        .is_ok_and(|text| text.trim() == "2");
    if strict { Refusal::Overcommit } else { Refusal::AddressSpace }
}
