//! `userfaultfd`: learning that a page is touched for the first time, and filling it.
//!
//! One descriptor serves the process ([`handles`](super::handles)). The kernel delivers each fault
//! as SIGBUS to the faulting thread, which resolves it itself. Every request here is a bare system
//! call and safe in a signal handler.

use std::io;
use std::ops::Range;

use super::handles::handles;
use super::uffd_api::{READ, READ_WRITE, request};
use crate::error::{Error, Result};
use crate::page::PAGE;

#[repr(C)]
struct RegisterArgument {
    start: u64,
    len: u64,
    mode: u64,
    ioctls: u64,
}

#[repr(C)]
struct RangeArgument {
    start: u64,
    len: u64,
}

#[repr(C)]
struct ProtectArgument {
    start: u64,
    len: u64,
    mode: u64,
}

/// Both `uffdio_copy` and `uffdio_move`.
#[repr(C)]
struct TransferArgument {
    target: u64,
    source: u64,
    len: u64,
    mode: u64,
    done: i64,
}

/// Both `uffdio_zeropage` and `uffdio_continue`.
#[repr(C)]
struct FillArgument {
    start: u64,
    len: u64,
    mode: u64,
    done: i64,
}

const UFFDIO_REGISTER: libc::c_ulong = request::<RegisterArgument>(READ_WRITE, 0x00);
const UFFDIO_UNREGISTER: libc::c_ulong = request::<RangeArgument>(READ, 0x01);
const UFFDIO_COPY: libc::c_ulong = request::<TransferArgument>(READ_WRITE, 0x03);
const UFFDIO_ZEROPAGE: libc::c_ulong = request::<FillArgument>(READ_WRITE, 0x04);
const UFFDIO_MOVE: libc::c_ulong = request::<TransferArgument>(READ_WRITE, 0x05);
const UFFDIO_WRITEPROTECT: libc::c_ulong = request::<ProtectArgument>(READ_WRITE, 0x06);
const UFFDIO_CONTINUE: libc::c_ulong = request::<FillArgument>(READ_WRITE, 0x07);

const REGISTER_MISSING: u64 = 1;
const REGISTER_WP: u64 = 2;
const REGISTER_MINOR: u64 = 4;
const PROTECT: u64 = 1;
/// Without [`PROTECT`], protection is lifted. No thread waits for that.
const DONT_WAKE_PROTECT: u64 = 2;
/// No thread waits for a page, since each resolves its own fault.
const DONT_WAKE: u64 = 1;
const MOVE_ALLOW_HOLES: u64 = 2;

/// What a range is watched for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Watch {
    /// The first touch of a demand-zero page.
    Missing,
    /// The first touch of a page of file memory. It is registered for write protection too,
    /// although nothing is ever protected: that keeps the kernel from mapping the file's pages in
    /// bulk, without a fault, when it makes huge pages of them (`MADV_COLLAPSE`).
    MissingOrMinor,
    /// Writes, recorded by the kernel without a fault in user space.
    Writes,
}

/// How a request to fill pages ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fill {
    /// This many bytes were filled, at least one page.
    Filled(usize),
    /// The first page is there already.
    Present,
    /// The kernel is changing the address space: try again.
    Again,
    /// The request failed with an error number.
    Refused(i32),
}

/// Watches a range of whole mappings.
pub(crate) fn watch(range: Range<usize>, watch: Watch) -> Result<()> {
    let mode = match watch {
        Watch::Missing => REGISTER_MISSING,
        Watch::MissingOrMinor => REGISTER_MISSING | REGISTER_MINOR | REGISTER_WP,
        Watch::Writes => REGISTER_WP,
    };
    let (start, len) = (range.start as u64, range.len() as u64);
    let mut argument = RegisterArgument { start, len, mode, ioctls: 0 };
    ask(UFFDIO_REGISTER, &mut argument).map_err(|e| Error::os("watch memory for faults", e))
}

/// Stops watching a range.
pub(crate) fn unwatch(range: Range<usize>) -> Result<()> {
    let mut argument = RangeArgument { start: range.start as u64, len: range.len() as u64 };
    ask(UFFDIO_UNREGISTER, &mut argument).map_err(|e| Error::os("stop watching memory", e))
}

/// Protects pages of a range that is watched for writes, so that the next write is recorded. The
/// pages must be present: one that is absent would get a mark that later looks like a page.
pub(crate) fn protect(range: Range<usize>) -> Result<()> {
    set_protection(range, PROTECT).map_err(|e| Error::os("protect pages against writes", e))
}

/// Lifts the protection of pages of a range that is watched for writes.
pub(crate) fn unprotect(range: Range<usize>) -> Result<()> {
    set_protection(range, DONT_WAKE_PROTECT).map_err(|e| Error::os("lift write protection", e))
}

fn set_protection(range: Range<usize>, mode: u64) -> io::Result<()> {
    let (start, len) = (range.start as u64, range.len() as u64);
    ask(UFFDIO_WRITEPROTECT, &mut ProtectArgument { start, len, mode })
}

/// Fills missing pages of a watched range with copies of what is at `source`.
///
/// # Safety
/// The source must be mapped, and the content must be what the target is to hold.
// SAFETY: the kernel reads `source` unchecked, and what it reads becomes the content of the target.
pub(crate) unsafe fn copy(target: Range<usize>, source: usize) -> Fill {
    let mut argument = transfer(target, source, DONT_WAKE);
    let answer = ask(UFFDIO_COPY, &mut argument);
    outcome(answer, argument.done)
}

/// Fills missing pages of a watched range with the pages at `source`, which are missing there
/// afterwards.
///
/// # Safety
/// As for [`copy`], and the source must not be needed any more.
// SAFETY: the kernel takes the pages at `source` away, also from under references to them.
pub(crate) unsafe fn move_pages(target: Range<usize>, source: usize) -> Fill {
    let mut argument = transfer(target, source, DONT_WAKE | MOVE_ALLOW_HOLES);
    let answer = ask(UFFDIO_MOVE, &mut argument);
    outcome(answer, argument.done)
}

/// Fills missing pages of a watched range with zeros.
pub(crate) fn zero(target: Range<usize>) -> Fill {
    let mut argument = fill(target);
    let answer = ask(UFFDIO_ZEROPAGE, &mut argument);
    outcome(answer, argument.done)
}

/// Fills missing pages of a watched range with the file's pages, shared.
pub(crate) fn continue_pages(target: Range<usize>) -> Fill {
    let mut argument = fill(target);
    let answer = ask(UFFDIO_CONTINUE, &mut argument);
    outcome(answer, argument.done)
}

fn transfer(target: Range<usize>, source: usize, mode: u64) -> TransferArgument {
    debug_assert!(source.is_multiple_of(PAGE) && target.start.is_multiple_of(PAGE));
    let (start, len) = (target.start as u64, target.len() as u64);
    TransferArgument { target: start, source: source as u64, len, mode, done: 0 }
}

fn fill(target: Range<usize>) -> FillArgument {
    FillArgument { start: target.start as u64, len: target.len() as u64, mode: DONT_WAKE, done: 0 }
}

fn ask<T>(request: libc::c_ulong, argument: &mut T) -> io::Result<()> {
    #[cfg(test)]
    super::fault_injection::check()?;
    let fd = handles()
        .map_err(|e| e.0)
        .and_then(|handles| handles.uffd)
        .map_err(io::Error::from_raw_os_error)?;
    // SAFETY: the argument has the layout of the request, which the constants above pair.
    if unsafe { libc::ioctl(fd, request as _, argument) } == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// A request that stops part of the way fails with EAGAIN and says how far it came.
fn outcome(answer: io::Result<()>, done: i64) -> Fill {
    match answer {
        _ if done > 0 => Fill::Filled(done as usize),
        Ok(()) => Fill::Present,
        Err(error) => match error.raw_os_error() {
            Some(libc::EEXIST) => Fill::Present,
            Some(libc::EAGAIN) => Fill::Again,
            other => Fill::Refused(other.unwrap_or(libc::EIO)),
        },
    }
}
