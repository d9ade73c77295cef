//! Fault injection for tests: the nth system call of a thread fails as if memory were short.

use std::cell::Cell;
use std::io;

thread_local! {
    /// Calls before the one that fails.
    static LEFT: Cell<Option<u32>> = const { Cell::new(None) };
}

/// Makes the nth system call of `then` fail, counted from 0. Also returns `true` if a call failed.
pub(crate) fn fail_nth<R>(nth: u32, then: impl FnOnce() -> R) -> (R, bool) {
    LEFT.set(Some(nth));
    let answer = then();
    (answer, LEFT.take().is_none())
}

/// Called before every system call that may fail.
pub(super) fn check() -> io::Result<()> {
    match LEFT.get() {
        None => Ok(()),
        Some(0) => {
            LEFT.set(None);
            Err(io::Error::from_raw_os_error(libc::ENOMEM))
        }
        Some(left) => {
            LEFT.set(Some(left - 1));
            Ok(())
        }
    }
}

/// Calls `then` without faults. A signal handler whose call fails ends the process, as it should.
pub(super) fn suspend<R>(then: impl FnOnce() -> R) -> R {
    let left = LEFT.take();
    let answer = then();
    LEFT.set(left);
    answer
}
