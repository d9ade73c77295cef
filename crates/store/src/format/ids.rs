//! Numbers that must not be mixed.

use std::fmt;
use std::ops::{Add, Sub};

/// The number of a branch, never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct BranchId(pub u64);

/// The number of a fork point, never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ForkPointId(pub u64);

/// The number of a subtree in the reclaim queue, never used again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ReclaimId(pub u64);

/// The store-wide generation, which each fork advances. What is made carries the one of its birth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Generation(pub u64);

/// The number of a journal record. The records of all branches are counted together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Sequence(pub u64);

impl BranchId {
    /// On disk, 0 stands for none.
    pub fn from_disk(number: u64) -> Option<BranchId> {
        (number != 0).then_some(BranchId(number))
    }

    pub fn to_disk(id: Option<BranchId>) -> u64 {
        id.map_or(0, |id| id.0)
    }

    pub fn next(self) -> BranchId {
        BranchId(self.0 + 1)
    }
}

impl ForkPointId {
    /// On disk, 0 stands for none.
    pub fn from_disk(number: u64) -> Option<ForkPointId> {
        (number != 0).then_some(ForkPointId(number))
    }

    pub fn to_disk(id: Option<ForkPointId>) -> u64 {
        id.map_or(0, |id| id.0)
    }

    pub fn next(self) -> ForkPointId {
        ForkPointId(self.0 + 1)
    }
}

impl ReclaimId {
    pub fn next(self) -> ReclaimId {
        ReclaimId(self.0 + 1)
    }
}

impl Generation {
    /// The one before; the first has none, and is its own.
    pub fn before(self) -> Generation {
        Generation(self.0.saturating_sub(1))
    }
}

impl Sequence {
    pub const MAX: Sequence = Sequence(u64::MAX);
}

/// The number this many records later.
impl Add<u64> for Sequence {
    type Output = Sequence;

    fn add(self, records: u64) -> Sequence {
        Sequence(self.0 + records)
    }
}

/// The number of records from one to a later one.
impl Sub for Sequence {
    type Output = u64;

    fn sub(self, earlier: Sequence) -> u64 {
        self.0 - earlier.0
    }
}

impl fmt::Display for Sequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
