//! Which numbers inodes get.
//!
//! A file that was taken from the host keeps the number it had there, as far as that is free, so
//! that programs which remember numbers (git does) know it again. All others get numbers that no
//! host has in use, from ranges that a branch reserves: the range follows from the number of the
//! commit that reserves it, and no two commits of a store have the same. So two branches of a store
//! never give the same number to two files, whatever they were forked from or reset to.
//!
//! ```text
//! 1              the root
//! 2 … 2^52 - 1   numbers of the host
//! 2^52 … 2^53    range r: 2^52 + 256 r and the 255 after it, r being the commit's number, mod 2^44
//! ```
//!
//! Numbers stay below 2^53: some programs keep them as floating-point numbers.

use std::ops::{Bound, Range};

use tine_store::ReadTxn;

use crate::{Ino, ROOT, Result, key};

/// The first number that no host has in use.
const FIRST: u64 = 1 << 52;
/// How many numbers are reserved at a time, so that a new file need not write the header.
const PER_RANGE: u64 = 256;
const RANGES: u64 = FIRST / PER_RANGE;

/// The numbers that a commit reserves.
pub(crate) fn reserved_by(commit: u64) -> Range<u64> {
    let first = FIRST + commit % RANGES * PER_RANGE;
    first..first + PER_RANGE
}

/// The inode with the number of a file of the host, if it can have that.
pub(crate) fn of_host(number: u64) -> Option<Ino> {
    (ROOT.get() + 1..FIRST).contains(&number).then(|| Ino::new(number))
}

/// Returns `true` if a tree has no inode in the range.
pub(crate) fn are_free(txn: &ReadTxn, numbers: &Range<u64>) -> Result<bool> {
    let [first, end] = [numbers.start, numbers.end].map(|n| key::of(key::INODE, Ino::new(n)));
    Ok(txn.range(Bound::Included(&first), Bound::Excluded(&end)).next().transpose()?.is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_of_commits_are_apart_and_below_what_a_float_can_say() {
        for commit in [0, 1, 2, 1 << 30, RANGES - 1] {
            let (one, next) = (reserved_by(commit), reserved_by(commit + 1));
            assert!(one.end <= next.start || next.end <= one.start);
            assert!(one.start >= FIRST && one.end <= 1 << 53, "{one:?}");
        }
    }

    #[test]
    fn the_root_and_numbers_out_of_range_are_no_numbers_of_the_host() {
        assert_eq!([0, 1, FIRST, u64::MAX].map(of_host), [None; 4]);
        assert_eq!([2, FIRST - 1].map(of_host), [2, FIRST - 1].map(|n| Some(Ino::new(n))));
    }
}
