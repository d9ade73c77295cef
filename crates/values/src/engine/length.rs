//! How many items a value can have.
//!
//! Sharing costs nothing, so a value that is appended to itself can double until its length
//! overflows. The limit is `isize::MAX`, like that of a `Vec`: positions are moved by signed
//! differences.

const LEN_MAX: usize = isize::MAX as usize;

/// The length of a value of `len` items to which `more` are added.
///
/// # Panics
///
/// Panics if that exceeds the limit.
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
