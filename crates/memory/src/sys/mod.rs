//! The system calls, behind safe functions.
//!
//! Nothing above this module calls the kernel. A [`Mapping`] owns its addresses, the content of a
//! [`Sealed`] descriptor cannot change, and functions that fill or scan pages take addresses only
//! of mappings that the caller keeps alive.

mod budget;
#[cfg(test)]
pub(crate) mod fault_injection;
mod handles;
mod kernel;
mod lineage;
mod mapping;
mod memfd;
mod moving;
mod pagemap;
mod pins;
mod place;
mod signal;
mod socket;
mod uffd;
mod uffd_api;

pub(crate) use budget::in_use as vmas_in_use;
pub(crate) use handles::{is_shortage, userfaultfd_usable};
pub(crate) use kernel::{
    abort_process, deny_executable, kernel_merging, memory_is_sound, page_size, read_racing,
    release, sleep_while, wake, wake_all,
};
pub(crate) use lineage::process_number;
pub(crate) use mapping::{Mapping, set_writable};
pub(crate) use memfd::{Memfd, Sealed};
pub(crate) use pagemap::{Category, Query, ScanRun, pagemap_usable, scan, scan_into};
pub(crate) use pins::may_be_pinned;
pub(crate) use signal::{
    Fault, fault_signal_is_blocked, install_access_handler, install_fault_handler,
};
pub(crate) use socket::{receive_descriptor, send_descriptor};
pub(crate) use uffd::{
    Fill, Watch, continue_pages, copy, move_pages, protect, unprotect, unwatch, watch, zero,
};
pub(crate) use uffd_api::{bits as uffd_bits, offered as uffd_features};
