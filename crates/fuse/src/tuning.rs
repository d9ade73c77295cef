//! Limits that the kernel sets for FUSE servers that it does not trust, lifted where this process
//! may.
//!
//! A fresh FUSE mount may keep 1 % of the memory as dirty pages, strictly, and reads 128 KiB ahead.
//! Large writes then stop and go. Only root may change that; elsewhere everything works, more
//! slowly.

use std::fs;
use std::path::{Path, PathBuf};

use tine_sys::mountinfo::device_number;

/// The files in the directory of the mount's backing device, and what is written to them.
const LIFTED: [(&str, &str); 3] =
    [("strict_limit", "0"), ("max_ratio", "100"), ("read_ahead_kb", "1024")];

/// The limits of one mount.
#[derive(Debug)]
pub(crate) struct Limits(PathBuf);

impl Limits {
    /// Lifts the limits of the mount on `directory`. Returns `None` if not all of them could be
    /// lifted.
    pub fn lifted(directory: &Path) -> Option<Limits> {
        let number = device_number(directory).ok()??;
        let limits = Limits(Path::new("/sys/class/bdi").join(number));
        limits.lift().then_some(limits)
    }

    /// Lets the kernel keep as many dirty pages as it likes. Returns `true` if that could be set.
    pub fn lift(&self) -> bool {
        LIFTED.iter().all(|(name, value)| self.set(name, value))
    }

    /// Lets the kernel keep about `bytes` of dirty pages at most. Returns `true` if that could be
    /// set.
    pub fn tighten(&self, bytes: u64) -> bool {
        // Before Linux 6.3 it takes whole percents of the memory only.
        let limited = self.set("max_bytes", &bytes.to_string()) || self.set("max_ratio", "1");
        limited && self.set("strict_limit", "1")
    }

    /// The most bytes of dirty pages that the kernel keeps by itself, of all file systems together.
    pub fn dirty_bytes_max(&self) -> u64 {
        const ENTRY: &str = "nr_dirty_threshold ";
        let counters = fs::read_to_string("/proc/vmstat").unwrap_or_default();
        let pages = counters.lines().find_map(|line| line.strip_prefix(ENTRY)?.parse().ok());
        pages.unwrap_or(0u64).saturating_mul(rustix::param::page_size() as u64)
    }

    fn set(&self, name: &str, value: &str) -> bool {
        fs::write(self.0.join(name), value).is_ok()
    }
}
