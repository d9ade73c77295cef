//! Numbers that must not be mixed.

/// The number of a branch, never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct BranchId(pub u64);

/// The number of a fork point, never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ForkPointId(pub u64);

/// The store-wide generation, which each fork advances. What is made carries the one of its birth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Generation(pub u64);

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

impl Generation {
    /// The one before; the first has none, and is its own.
    pub fn before(self) -> Generation {
        Generation(self.0.saturating_sub(1))
    }
}
