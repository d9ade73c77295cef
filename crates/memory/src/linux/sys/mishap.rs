//! System calls that fail on request, for tests: the nth of a thread is refused, as if memory were short.

use std::cell::Cell;
use std::io;

thread_local! {
    /// Calls until the one that fails.
    static LEFT: Cell<Option<u32>> = const { Cell::new(None) };
}

/// Has the nth system call of `then` fail, the first being 0; says whether there were so many.
pub(crate) fn at<R>(nth: u32, then: impl FnOnce() -> R) -> (R, bool) {
    LEFT.set(Some(nth));
    let answer = then();
    (answer, LEFT.take().is_none())
}

/// Asked by every system call that may fail.
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

/// Lets everything succeed meanwhile: a signal handler whose call fails ends the process, as it should.
pub(super) fn spare<R>(then: impl FnOnce() -> R) -> R {
    let left = LEFT.take();
    let answer = then();
    LEFT.set(left);
    answer
}
