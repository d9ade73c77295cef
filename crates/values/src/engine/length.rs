//! How many items a value can have.
//!
//! What is shared costs nothing, so a value that is appended to itself doubles for as long as it can be counted.
//! As a `Vec`'s, a length ends at `isize::MAX`: positions are moved by differences of them.

const LEN_MAX: usize = isize::MAX as usize;

/// The length of a value of `len` items that `more` come to.
///
/// # Panics
///
/// When that is more than a value can have.
#[inline]
#[track_caller]
pub(crate) fn grown(len: usize, more: usize) -> usize {
    match len.checked_add(more) {
        Some(sum) if sum <= LEN_MAX => sum,
        _ => overflow(),
    }
}

#[cold]
#[track_caller]
fn overflow() -> ! {
    panic!("capacity overflow")
}
