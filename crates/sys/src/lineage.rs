//! Telling a process from its parents and children by `fork(2)`.
//!
//! A child has copies of its parent's objects and of the locks in them, but none of the threads
//! that would release those. Process ids do not tell the two apart: they are reused, and both
//! processes may have id 1 in their namespaces. So each process draws a number that none of its
//! ancestors had, and keeps it in a page that the kernel wipes in children.
//!
//! `tine-memory` has a module like this one. It is not shared because that crate depends on no
//! other crate of the workspace.

use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicU32, Ordering};

/// A process, told apart from its parent and from its children.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Process(u32);

impl Process {
    /// This process.
    pub fn current() -> Process {
        Process(number())
    }

    /// Returns `true` if it is this process, and not one of its ancestors.
    pub fn is_current(self) -> bool {
        self.0 == number()
    }
}

impl Default for Process {
    fn default() -> Process {
        Process::current()
    }
}

/// The last number that this process or one of its ancestors drew.
static LAST: AtomicU32 = AtomicU32::new(0);
static WIPED: AtomicPtr<AtomicU32> = AtomicPtr::new(ptr::null_mut());

/// The number of this process, never 0.
fn number() -> u32 {
    /// Marks the process id, which serves if there is no page that is wiped, apart from drawn
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
    if known.is_null() {
        return map_wiped();
    }
    // SAFETY: published whole and never unmapped.
    Some(unsafe { &*known })
}

#[cold]
fn map_wiped() -> Option<&'static AtomicU32> {
    let bytes = size_of::<AtomicU32>();
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    let access = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: a new mapping that nothing else refers to.
    let page = unsafe { libc::mmap(ptr::null_mut(), bytes, access, flags, -1, 0) };
    if page == libc::MAP_FAILED {
        return None;
    }
    let null = ptr::null_mut();
    // SAFETY: the page was mapped above.
    let published = unsafe { libc::madvise(page, bytes, libc::MADV_WIPEONFORK) } == 0
        && WIPED.compare_exchange(null, page.cast(), Ordering::AcqRel, Ordering::Acquire).is_ok();
    if !published {
        // SAFETY: mapped above, and known to no other code.
        unsafe { libc::munmap(page, bytes) };
    }
    // SAFETY: published whole and never unmapped. It is a zeroed page, aligned for the word.
    unsafe { WIPED.load(Ordering::Acquire).as_ref() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::fork_and_wait;

    #[test]
    fn a_child_is_another_process_and_its_parent_stays_what_it_was() {
        let parent = Process::current();
        assert!(parent.is_current());
        let status = fork_and_wait(|| {
            let child = Process::current();
            let grandchild = fork_and_wait(|| u8::from(parent.is_current() || child.is_current()));
            let other = child != parent && !parent.is_current() && child.is_current();
            u8::from(!other || grandchild.unwrap().code() != Some(0))
        });
        assert_eq!(status.unwrap().code(), Some(0));
        assert!(parent.is_current());
    }
}
