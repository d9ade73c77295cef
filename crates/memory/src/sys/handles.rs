//! The process's descriptors of `/proc/self/pagemap` and of `userfaultfd`, opened when first
//! needed.
//!
//! Both refer to the memory of the process that opened them. A process made by `fork(2)` inherits
//! the descriptors, which would reach into its parent, so a child opens its own.

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
    let flags = libc::O_RDONLY | libc::O_CLOEXEC;
    // SAFETY: the path is a C string.
    let pagemap = unsafe { libc::open(c"/proc/self/pagemap".as_ptr(), flags) };
    let pagemap = if pagemap < 0 { Err(errno()) } else { Ok(pagemap) };
    let uffd = uffd_api::open();
    if let Some(error) = [pagemap.err(), uffd.err()].into_iter().flatten().find(|e| is_shortage(*e))
    {
        for opened in [pagemap, uffd].into_iter().flatten() {
            // SAFETY: the descriptor was opened above and is published nowhere.
            unsafe { libc::close(opened) };
        }
        return Err(Shortage(error));
    }
    let handles = Handles { opened_by: process_number(), pagemap, uffd };
    // What a parent opened stays open in the child. Another thread of the parent may have reused
    // the number, and closing that would be worse than two more descriptors.
    HANDLES.store(Box::into_raw(Box::new(handles)), Ordering::Release);
    Ok(handles)
}

/// Returns `true` if an error number means a shortage that may end: of descriptors or memory.
pub(crate) fn is_shortage(error: i32) -> bool {
    matches!(error, libc::EMFILE | libc::ENFILE | libc::ENOMEM)
}
