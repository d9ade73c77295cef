//! Limits of the kernel that are meant for unknown FUSE servers, lifted where this process may.
//!
//! A fresh FUSE mount may keep 1 % of the memory as dirty pages, strictly, and reads 128 KiB ahead.
//! Large writes then stop and go. Only root may change it; without, everything works, more slowly.

use std::fs;
use std::path::Path;

use tine_sys::fuse_device::device_number;

/// What is written where, below the directory of the mount's backing device.
const SETTINGS: [(&str, &str); 3] =
    [("strict_limit", "0"), ("max_ratio", "100"), ("read_ahead_kb", "1024")];

/// Lifts the limits of the mount on `directory`; says whether all of them could be lifted.
pub(crate) fn lift_limits(directory: &Path) -> bool {
    let Ok(Some(number)) = device_number(directory) else {
        return false;
    };
    let device = Path::new("/sys/class/bdi").join(number);
    SETTINGS.iter().all(|(name, value)| fs::write(device.join(name), value).is_ok())
}
