//! Pinned pages: I/O reaches them wherever page tables have moved them, and does not reach a copy.
//!
//! The kernel counts the pages that a process has pinned for long (`VmPin`): buffers registered
//! with io_uring, and memory registered for RDMA. An io_uring reports which buffers it has. Pinned
//! pages that no ring reports may be anywhere.

use std::fs;
use std::ops::Range;

use crate::page::PAGE;

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
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmPin:"));
    let kib = line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<usize>().ok());
    kib.unwrap_or(0) * 1024
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
