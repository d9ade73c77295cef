//! Pages and runs of pages, the units in which this crate counts.

use std::ops::Range;
use std::sync::atomic::AtomicU64;

/// Bytes of a page.
pub const PAGE: usize = 4096;

/// Bytes that one entry of the second page-table level covers: a huge page.
pub const HUGE: usize = 2 << 20;

/// How many pages hold `bytes`.
pub(crate) fn pages_of(bytes: usize) -> usize {
    bytes.div_ceil(PAGE)
}

/// The pages that a range of bytes touches.
pub(crate) fn pages_touched(bytes: &Range<usize>) -> Range<usize> {
    bytes.start / PAGE..bytes.end.div_ceil(PAGE)
}

/// Adds a run at the end of ascending runs. Joins it to the last one if they touch.
pub(crate) fn push_run(runs: &mut Vec<Range<usize>>, run: Range<usize>) {
    match runs.last_mut() {
        Some(last) if last.end >= run.start => last.end = last.end.max(run.end),
        _ => runs.push(run),
    }
}

/// The pages of `a` that are not in `b`. Both ascend.
pub(crate) fn difference(a: &[Range<usize>], b: &[Range<usize>]) -> Vec<Range<usize>> {
    let mut rest = Vec::new();
    let mut b = b.iter().peekable();
    for run in a {
        let mut at = run.start;
        while at < run.end {
            while b.next_if(|gap| gap.end <= at).is_some() {}
            let end = b.peek().map_or(run.end, |gap| gap.start.clamp(at, run.end));
            if at < end {
                rest.push(at..end);
            }
            at = b.peek().map_or(run.end, |gap| gap.end.max(end));
        }
    }
    rest
}

/// The pages of `a` or `b`. Both ascend.
pub(crate) fn union(a: &[Range<usize>], b: &[Range<usize>]) -> Vec<Range<usize>> {
    let mut all: Vec<Range<usize>> = a.iter().chain(b).cloned().collect();
    all.sort_unstable_by_key(|run| run.start);
    let mut joined = Vec::with_capacity(all.len());
    all.into_iter().for_each(|run| push_run(&mut joined, run));
    joined
}

/// Returns `true` if every byte is zero.
pub(crate) fn is_zero(bytes: &[u8]) -> bool {
    // Sixteen words at a time: the compiler turns the fold into vector instructions, and a page
    // that holds something is left at its first block.
    bytes.chunks(128).all(|block| block.iter().fold(0, |all, byte| all | byte) == 0)
}

/// `count` words of zeros, which take memory only when they are written.
pub(crate) fn zeroed_words(count: usize) -> Box<[AtomicU64]> {
    let words = vec![0_u64; count].into_boxed_slice();
    // SAFETY: an atomic word has the size, alignment and values of a plain one, and the box is the
    // only owner.
    unsafe { Box::from_raw(Box::into_raw(words) as *mut [AtomicU64]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_that_meet_are_joined() {
        let mut runs = Vec::new();
        for run in [0..2, 2..3, 5..6, 5..9, 10..11] {
            push_run(&mut runs, run);
        }
        assert_eq!(runs, [0..3, 5..9, 10..11]);
    }

    #[test]
    #[allow(clippy::single_range_in_vec_init)]
    fn runs_are_subtracted_and_united_page_by_page() {
        let a = [0..4, 6..9, 12..20];
        let b = [1..2, 3..7, 15..16, 19..30];
        assert_eq!(difference(&a, &b), [0..1, 2..3, 7..9, 12..15, 16..19]);
        assert_eq!(difference(&a, &[]), a);
        assert_eq!(difference(&a, &[0..100]), []);
        assert_eq!(union(&a, &b), [0..9, 12..30]);
    }

    #[test]
    fn a_single_bit_anywhere_makes_a_page_non_zero() {
        let mut page = vec![0; PAGE];
        assert!(is_zero(&page));
        for at in [0, 127, 128, 2000, PAGE - 1] {
            page[at] = 0x80;
            assert!(!is_zero(&page));
            page[at] = 0;
        }
    }
}
