//! Telling a process from its parents and children by `fork(2)`.
//!
//! A child inherits statics that describe its parent. Process ids do not tell the two apart: they
//! are reused, and both processes may have id 1 in their namespaces. So each process draws a number
//! that none of its ancestors had, and keeps it in a page that the kernel wipes in children.
//!
//! `tine-sys` has a module like this one. It is not shared because `tine-memory` depends on no
//! other crate of the workspace.

use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicU32, Ordering};

use crate::page::PAGE;

/// The last number that this process or one of its ancestors drew.
static LAST: AtomicU32 = AtomicU32::new(0);
static WIPED: AtomicPtr<AtomicU32> = AtomicPtr::new(ptr::null_mut());

/// The number of this process, never 0. After the first call it is safe in a signal handler.
pub(crate) fn process_number() -> u32 {
    /// Marks the process id, which serves if memory is too short for a page, apart from drawn
    /// numbers.
    const IS_ID: u32 = 1 << 31;
    let Some(number) = wiped() else { return std::process::id() | IS_ID };
    match number.load(Ordering::Acquire) {
        0 => {
            let drawn = LAST.fetch_add(1, Ordering::Relaxed) + 1;
            match number.compare_exchange(0, drawn, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => drawn,
                Err(other) => other,
            }
        }
        number => number,
    }
}

/// The word that is 0 at first in every process.
fn wiped() -> Option<&'static AtomicU32> {
    let known = WIPED.load(Ordering::Acquire);
    if !known.is_null() {
        // SAFETY: published whole and never unmapped.
        return Some(unsafe { &*known });
    }
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    let access = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: a new mapping that nothing else refers to.
    let page = unsafe { libc::mmap(ptr::null_mut(), PAGE, access, flags, -1, 0) };
    if page == libc::MAP_FAILED {
        return None;
    }
    let null = ptr::null_mut();
    // SAFETY: the page was mapped above.
    let published = unsafe { libc::madvise(page, PAGE, libc::MADV_WIPEONFORK) } == 0
        && WIPED.compare_exchange(null, page.cast(), Ordering::AcqRel, Ordering::Acquire).is_ok();
    if !published {
        // SAFETY: mapped above, and known only here.
        unsafe { libc::munmap(page, PAGE) };
    }
    // SAFETY: published whole and never unmapped; a zeroed page, aligned for the word.
    unsafe { WIPED.load(Ordering::Acquire).as_ref() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_has_a_number_of_its_own_and_its_parent_keeps_its() {
        let mine = process_number();
        assert!(mine != 0 && mine == process_number());
        // SAFETY: the child reads its number and ends.
        let child = unsafe { libc::fork() };
        if child == 0 {
            let number = process_number();
            let own = number != mine && number != 0 && number == process_number();
            // SAFETY: ends the process.
            unsafe { libc::_exit(if own { 0 } else { 1 }) };
        }
        let mut status = 0;
        // SAFETY: waits for the child made above.
        unsafe { libc::waitpid(child, &mut status, 0) };
        assert_eq!((status, process_number()), (0, mine));
    }
}
