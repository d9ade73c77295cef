//! The process's descriptors of `/proc/self/pagemap`, `/proc/self/status` and `userfaultfd`, opened
//! when first needed.
//!
//! They refer to the memory of the process that opened them. A process made by `fork(2)` inherits
//! the descriptors, which would reach into its parent, so a child opens its own.

use std::ffi::CStr;
use std::ptr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicPtr, Ordering};

use super::kernel::errno;
use super::lineage::process_number;
use super::uffd_api;

/// Descriptors that stay open for as long as the process lives.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Handles {
    /// The process that they refer to.
    opened_by: u32,
    /// `/proc/self/pagemap`, or the error number with which it could not be opened.
    pub pagemap: Result<i32, i32>,
    /// `/proc/self/status`, or the error number with which it could not be opened.
    pub status: Result<i32, i32>,
    /// `userfaultfd`, or the error number with which it was refused for good.
    pub uffd: Result<i32, i32>,
}

/// The error number of a shortage that kept descriptors from being opened.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shortage(pub i32);

static HANDLES: AtomicPtr<Handles> = AtomicPtr::new(ptr::null_mut());
static OPENING: Mutex<()> = Mutex::new(());

/// The descriptors of this process. After the first call it is safe in a signal handler.
pub(crate) fn handles() -> Result<Handles, Shortage> {
    match current() {
        Some(handles) => Ok(handles),
        None => open(),
    }
}

/// Returns `Ok` if `userfaultfd` was granted, and else the error number.
pub(crate) fn userfaultfd_usable() -> Result<(), i32> {
    handles().map_err(|e| e.0)?.uffd.map(|_| ())
}

fn current() -> Option<Handles> {
    let handles = HANDLES.load(Ordering::Acquire);
    // SAFETY: published whole and never freed.
    let handles = unsafe { handles.as_ref() }?;
    (handles.opened_by == process_number()).then_some(*handles)
}

fn open() -> Result<Handles, Shortage> {
    let _alone = OPENING.lock().unwrap_or_else(|e| e.into_inner());
    if let Some(handles) = current() {
        return Ok(handles);
    }
    let pagemap = open_file(c"/proc/self/pagemap");
    let status = open_file(c"/proc/self/status");
    let uffd = uffd_api::open();
    let all = [pagemap, status, uffd];
    if let Some(error) = all.iter().filter_map(|it| it.err()).find(|error| is_shortage(*error)) {
        for opened in all.into_iter().flatten() {
            // SAFETY: the descriptor was opened above and is published nowhere.
            unsafe { libc::close(opened) };
        }
        return Err(Shortage(error));
    }
    let handles = Handles { opened_by: process_number(), pagemap, status, uffd };
    // What a parent opened stays open in the child. Another thread of the parent may have reused
    // the number, and closing that would be worse than three more descriptors.
    HANDLES.store(Box::into_raw(Box::new(handles)), Ordering::Release);
    Ok(handles)
}

fn open_file(path: &CStr) -> Result<i32, i32> {
    // SAFETY: the path is a C string.
    let opened = unsafe { libc::open(path.as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC) };
    if opened < 0 { Err(errno()) } else { Ok(opened) }
}

/// Returns `true` if an error number means a shortage that may end: of descriptors or memory.
pub(crate) fn is_shortage(error: i32) -> bool {
    matches!(error, libc::EMFILE | libc::ENFILE | libc::ENOMEM)
}
