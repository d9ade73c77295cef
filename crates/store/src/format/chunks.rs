//! Sets of chunks of one segment.

use std::ops::{BitAnd, BitAndAssign, BitOr, BitOrAssign, Not};

/// Some of the 64 chunks of a segment, one bit each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Chunks(pub u64);

impl Chunks {
    pub const NONE: Chunks = Chunks(0);
    pub const ALL: Chunks = Chunks(u64::MAX);

    pub const fn one(chunk: u64) -> Chunks {
        Chunks(1 << chunk)
    }

    pub const fn contains(self, chunk: u64) -> bool {
        self.0 >> chunk & 1 != 0
    }

    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub fn count(self) -> u64 {
        u64::from(self.0.count_ones())
    }

    pub fn first(self) -> Option<u64> {
        (!self.is_empty()).then(|| u64::from(self.0.trailing_zeros()))
    }

    pub fn iter(self) -> impl Iterator<Item = u64> {
        (0..64).filter(move |chunk| self.contains(*chunk))
    }

    pub fn insert(&mut self, chunk: u64) {
        *self |= Chunks::one(chunk);
    }

    pub fn remove(&mut self, chunk: u64) {
        *self &= !Chunks::one(chunk);
    }
}

impl BitAnd for Chunks {
    type Output = Chunks;

    fn bitand(self, other: Chunks) -> Chunks {
        Chunks(self.0 & other.0)
    }
}

impl BitAndAssign for Chunks {
    fn bitand_assign(&mut self, other: Chunks) {
        self.0 &= other.0;
    }
}

impl BitOr for Chunks {
    type Output = Chunks;

    fn bitor(self, other: Chunks) -> Chunks {
        Chunks(self.0 | other.0)
    }
}

impl BitOrAssign for Chunks {
    fn bitor_assign(&mut self, other: Chunks) {
        self.0 |= other.0;
    }
}

impl Not for Chunks {
    type Output = Chunks;

    fn not(self) -> Chunks {
        Chunks(!self.0)
    }
}
