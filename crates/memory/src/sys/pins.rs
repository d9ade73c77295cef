//! Pinned pages: I/O reaches them wherever page tables have moved them, and does not reach a copy.
//!
//! The kernel counts the pages that a process has pinned for long (`VmPin`): buffers registered
//! with io_uring, and memory registered for RDMA. An io_uring reports which buffers it has. Pinned
//! pages that no ring reports may be anywhere.

use std::fs;
use std::ops::Range;

use super::handles::handles;
use crate::page::PAGE;

/// Bytes in which the line about pinned pages is found, unless the process is in hundreds of
/// groups.
const STATUS_BYTES: usize = 4096;

/// Returns `true` if any of these addresses may be pinned, and `false` if /proc does not tell.
pub(crate) fn may_be_pinned(addresses: &Range<usize>) -> bool {
    let pinned = pinned_bytes();
    if pinned == 0 {
        return false;
    }
    let mut buffers = registered_buffers();
    // A buffer that is registered twice is counted twice and listed twice. One that a ring lent to
    // another is counted once.
    buffers.sort_unstable_by_key(|buffer| (buffer.start, buffer.end));
    buffers.dedup();
    let overlap =
        |buffer: &Range<usize>| buffer.start < addresses.end && addresses.start < buffer.end;
    let known: usize = buffers.iter().map(|buffer| buffer.len()).sum();
    known < pinned || buffers.iter().any(overlap)
}

/// Bytes that this process has pinned for long.
fn pinned_bytes() -> usize {
    let mut begin = [0; STATUS_BYTES];
    // A process in many groups lists them first, and the process whose main thread has ended has no
    // such line.
    let quick = begin_of_status(&mut begin).and_then(pinned_in);
    quick.or_else(|| pinned_in(&fs::read("/proc/thread-self/status").ok()?)).unwrap_or(0)
}

/// The first bytes of `/proc/self/status`, by the descriptor that is open already: a fork in
/// microseconds has no time to look for a file.
fn begin_of_status(into: &mut [u8; STATUS_BYTES]) -> Option<&[u8]> {
    let status = handles().ok()?.status.ok()?;
    // SAFETY: the buffer is written within its length.
    let count = unsafe { libc::pread(status, into.as_mut_ptr().cast(), into.len(), 0) };
    into.get(..usize::try_from(count).ok()?)
}

/// The bytes that a process's `status` says are pinned; `None` if it does not say.
fn pinned_in(status: &[u8]) -> Option<usize> {
    let line = status.split(|&byte| byte == b'\n').find_map(|line| line.strip_prefix(b"VmPin:"))?;
    let kib = std::str::from_utf8(line).ok()?.trim().strip_suffix("kB")?;
    Some(kib.trim().parse::<usize>().ok()? * 1024)
}

/// The buffers of every io_uring of which this process has a descriptor, as whole pages.
fn registered_buffers() -> Vec<Range<usize>> {
    let Ok(descriptors) = fs::read_dir("/proc/self/fd") else { return Vec::new() };
    let mut buffers = Vec::new();
    for descriptor in descriptors.flatten() {
        let is_ring = fs::read_link(descriptor.path())
            .is_ok_and(|target| target.as_os_str() == "anon_inode:[io_uring]");
        if is_ring {
            let name = descriptor.file_name();
            let path = std::path::Path::new("/proc/self/fdinfo").join(name);
            buffers.extend(listed(&fs::read_to_string(path).unwrap_or_default()));
        }
    }
    buffers
}

/// The buffers that an io_uring lists behind `UserBufs:`, each as `    0: 0x7f0123456000/65536`.
fn listed(information: &str) -> Vec<Range<usize>> {
    let lines = information.lines().skip_while(|line| !line.starts_with("UserBufs:")).skip(1);
    let buffers = lines.map_while(|line| line.trim_start().split_once(": "));
    let placed = buffers.filter_map(|(_, buffer)| {
        let (start, len) = buffer.trim().strip_prefix("0x")?.split_once('/')?;
        let (start, len) = (usize::from_str_radix(start, 16).ok()?, len.parse::<usize>().ok()?);
        Some(start / PAGE * PAGE..(start + len).next_multiple_of(PAGE))
    });
    placed.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_pinned_is_read_from_a_whole_line() {
        assert_eq!(pinned_in(b"VmLck:\t  8 kB\nVmPin:\t    12 kB\nVmHWM:\t1 kB\n"), Some(12 << 10));
        assert_eq!(pinned_in(b"Name:\tVmPin: 4 kB\n"), None);
        assert_eq!(pinned_in(b"VmPin:\t    1"), None);
        assert_eq!(begin_of_status(&mut [0; STATUS_BYTES]).and_then(pinned_in), Some(0));
    }

    #[test]
    fn a_process_whose_main_thread_has_ended_says_what_is_pinned_too() {
        // SAFETY: the child starts a thread, ends its first one, and ends in the other.
        let child = unsafe { libc::fork() };
        if child == 0 {
            std::thread::spawn(|| {
                let begun = std::time::Instant::now();
                while begin_of_status(&mut [0; STATUS_BYTES]).and_then(pinned_in).is_some() {
                    if begun.elapsed().as_secs() > 10 {
                        // SAFETY: ends the child, which shares nothing.
                        unsafe { libc::_exit(2) };
                    }
                }
                let told = pinned_in(&fs::read("/proc/thread-self/status").unwrap_or_default());
                // SAFETY: as above.
                unsafe { libc::_exit(i32::from(told != Some(0))) };
            });
            // SAFETY: ends this thread alone.
            unsafe { libc::syscall(libc::SYS_exit, 0) };
        }
        let mut status = 0;
        // SAFETY: waits for the child made above, and writes its status into a local.
        unsafe { libc::waitpid(child, &mut status, 0) };
        assert_eq!(status, 0);
    }

    #[test]
    fn buffers_are_read_from_what_a_ring_says_of_itself() {
        let information = "SqMask:\t0x7\nUserFiles:\t0\nUserBufs:\t3\n    0: 0x7f0000001800/4096\n    \
                           1: <none>\n    2: 0x7f0000010000/8192\nPollList:\n  op=1: 0x1/2\n";
        assert_eq!(
            listed(information),
            [0x7f00_0000_1000..0x7f00_0000_3000, 0x7f00_0001_0000..0x7f00_0001_2000]
        );
        assert_eq!(listed("SqMask:\t0x7\n"), []);
    }
}
