//! Facts about the kernel and switches of the process.

use std::ffi::CStr;
use std::fs;
use std::io;
use std::sync::atomic::AtomicU32;

use crate::error::{Error, Feature, Result};

/// The kernel's release, as `uname -r` prints it.
pub(crate) fn release() -> String {
    // SAFETY: utsname is plain data, for which zeros are a value, and uname fills it.
    let mut names: libc::utsname = unsafe { std::mem::zeroed() };
    // SAFETY: as above.
    if unsafe { libc::uname(&mut names) } != 0 {
        return String::new();
    }
    // SAFETY: the kernel ends each field with a zero.
    unsafe { CStr::from_ptr(names.release.as_ptr()) }.to_string_lossy().into_owned()
}

/// The error number of the system call that has just failed.
pub(super) fn errno() -> i32 {
    io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO)
}

/// Bytes of a page of this system.
pub(crate) fn page_size() -> usize {
    // SAFETY: sysconf takes a number and touches no memory.
    unsafe { libc::sysconf(libc::_SC_PAGESIZE) as usize }
}

/// Returns `true` if a kernel of this release is new enough: 6.8 has what this crate uses and none
/// of the known holes in copy-on-write.
pub(crate) fn memory_is_sound(release: &str) -> bool {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse::<u32>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => (major, minor) >= (6, 8),
        _ => false,
    }
}

/// Forbids that any memory of the process becomes executable from now on.
pub(crate) fn deny_executable() -> Result<()> {
    const REFUSE_EXEC_GAIN: libc::c_ulong = 1;
    // SAFETY: the call takes numbers and touches no memory.
    let answer = unsafe { libc::prctl(libc::PR_SET_MDWE, REFUSE_EXEC_GAIN, 0, 0, 0) };
    if answer == 0 {
        return Ok(());
    }
    let error = std::io::Error::last_os_error();
    Err(Error::Unsupported {
        feature: Feature::DenyExecutable,
        reason: format!("prctl answered: {error}"),
    })
}

/// The kernel's own merging: if it runs, and if it merges across memory nodes (`None` if it does
/// not say).
pub(crate) fn kernel_merging() -> Option<(bool, Option<bool>)> {
    let read = |name: &str| {
        let text = fs::read_to_string(format!("/sys/kernel/mm/ksm/{name}")).ok()?;
        text.trim().parse::<u32>().ok()
    };
    Some((read("run")? == 1, read("merge_across_nodes").map(|value| value == 1)))
}

/// Ends the process, because its memory no longer holds what it should.
pub(crate) fn abort_process(what: &str, error: &Error) -> ! {
    eprintln!(
        "tine-memory: cannot {what}, so this process ends before it reads wrong bytes: {error}"
    );
    std::process::abort()
}

/// Reads memory of this process that other threads may be writing at the same time.
pub(crate) fn read_racing(from: usize, bytes: &mut [u8]) -> io::Result<()> {
    #[cfg(test)]
    super::fault_injection::check()?;
    let mut done = 0;
    while done < bytes.len() {
        let left = &mut bytes[done..];
        let to = libc::iovec { iov_base: left.as_mut_ptr().cast(), iov_len: left.len() };
        let from =
            libc::iovec { iov_base: (from + done) as *mut libc::c_void, iov_len: left.len() };
        // SAFETY: the kernel fills what is borrowed exclusively, and fails where the source is not
        // mapped.
        match unsafe { libc::process_vm_readv(libc::getpid(), &to, 1, &from, 1, 0) } {
            read @ 1.. => done += read as usize,
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            _ => return Err(io::Error::last_os_error()),
        }
    }
    Ok(())
}

/// Sleeps while a word holds `value`. It may wake up for no reason.
pub(crate) fn sleep_while(word: &AtomicU32, value: u32) {
    let none = std::ptr::null::<libc::timespec>();
    let wait = libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG;
    // SAFETY: the word outlives the call, and there is no time limit.
    unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), wait, value, none) };
}

/// Wakes the thread that sleeps on a word. Safe in a signal handler.
pub(crate) fn wake(word: &AtomicU32) {
    wake_some(word, 1);
}

/// Wakes every thread that sleeps on a word.
pub(crate) fn wake_all(word: &AtomicU32) {
    wake_some(word, i32::MAX);
}

fn wake_some(word: &AtomicU32, count: i32) {
    let wake = libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG;
    // SAFETY: the kernel uses the word's address only as a name.
    unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), wake, count) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_with_known_holes_and_unreadable_releases_are_refused() {
        for release in ["6.8.0", "6.8", "6.18.44-fc-v595", "7.0.0-rc1"] {
            assert!(memory_is_sound(release), "{release}");
        }
        for release in ["6.7.12", "5.15.0-91-generic", "4.8.0", "", "unknown"] {
            assert!(!memory_is_sound(release), "{release}");
        }
    }
}
