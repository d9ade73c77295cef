//! The system calls, behind safe faces.
//!
//! Nothing above this module speaks to the kernel. A [`Mapping`] owns its addresses, a [`Sealed`]
//! descriptor cannot change any more, and what fills or scans pages takes addresses only of mappings
//! that the caller keeps alive.

mod budget;
mod handles;
mod kernel;
mod lineage;
mod mapping;
mod memfd;
#[cfg(test)]
pub(crate) mod mishap;
mod moving;
mod pagemap;
mod pins;
mod place;
mod signal;
mod socket;
mod uffd;

pub(crate) use budget::in_use as vmas_in_use;
pub(crate) use kernel::{
    deny_executable, give_up, kernel_merging, memory_is_sound, page_size, read_racing, release,
    sleep_while, wake, wake_all,
};
pub(crate) use lineage::process_number;
pub(crate) use mapping::Mapping;
pub(crate) use mapping::set_writable;
pub(crate) use memfd::{Memfd, Sealed};
pub(crate) use pagemap::{Category, Query, Run, scan, scan_into};
pub(crate) use pins::may_be_pinned;
pub(crate) use signal::{
    Fault, fault_signal_is_blocked, install_access_handler, install_fault_handler,
};
pub(crate) use socket::{receive_descriptor, send_descriptor};
pub(crate) use uffd::{
    Fill, Watch, continue_pages, copy, features, move_pages, protect, unprotect, unwatch, watch,
    zero,
};

pub(crate) use handles::{is_shortage, pagemap_usable, userfaultfd_usable};
