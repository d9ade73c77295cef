//! How many items a value can have, and which of them a range covers.
//!
//! Sharing costs nothing, so a value that is appended to itself can double until its length
//! overflows. The limit is `isize::MAX`, like that of a `Vec`: positions are moved by signed
//! differences.

use core::ops::{Bound, Range, RangeBounds};

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

/// The positions that `range` covers in a value of `len` items, which is called `what`.
///
/// # Panics
///
/// Panics if the range begins after its end or reaches past the end of the value.
pub(crate) fn bounds(range: impl RangeBounds<usize>, len: usize, what: &str) -> Range<usize> {
    let start = match range.start_bound() {
        Bound::Included(start) => *start,
        Bound::Excluded(before) => before.saturating_add(1),
        Bound::Unbounded => 0,
    };
    let end = match range.end_bound() {
        Bound::Included(last) => last.saturating_add(1),
        Bound::Excluded(end) => *end,
        Bound::Unbounded => len,
    };
    assert!(start <= end, "range begins at {start} after its end {end}");
    assert!(end <= len, "range ends at {end} in a {what} of length {len}");
    start..end
}

#[cold]
#[track_caller]
fn overflow() -> ! {
    panic!("capacity overflow")
}
