//! What a region costs: bytes by kind, and counts of what happened.

use std::ops::AddAssign;

/// Bytes of a region by what they cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Usage {
    /// Bytes that the region spans, in whole pages.
    pub total: u64,
    /// Bytes mapped from images: one copy serves every fork.
    pub shared: u64,
    /// Bytes that dropping the region would free.
    pub exclusive: u64,
    /// Bytes written since the region was made from its image. In a persistent region: since the
    /// last commit.
    pub dirty: u64,
    /// Bytes that read as zeros and are stored nowhere.
    pub zero: u64,
    /// Bytes mapped by huge pages.
    pub huge: u64,
    /// Bytes that a huge page no longer maps because of a write: all pages of the 2 MiB are mapped
    /// one by one since some were copied. The write itself copied 4 KiB.
    pub huge_lost: u64,
    /// Bytes that wait in frozen pages, shared with other forks or a snapshot until they are
    /// touched.
    pub pending: u64,
}

impl AddAssign for Usage {
    fn add_assign(&mut self, part: Self) {
        self.total += part.total;
        self.shared += part.shared;
        self.exclusive += part.exclusive;
        self.dirty += part.dirty;
        self.zero += part.zero;
        self.huge += part.huge;
        self.huge_lost += part.huge_lost;
        self.pending += part.pending;
    }
}

/// Counts since a region was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// First touches that this crate resolved, during a lazy fork or a snapshot. Faults that the
    /// kernel resolves are not included: it does not count them by range.
    pub faults: u64,
    /// Pages copied because they were touched.
    pub pages_copied: u64,
    /// Pages copied because their neighbours were touched.
    pub pages_copied_ahead: u64,
    /// Pages filled by settling.
    pub pages_settled: u64,
    /// How many of the mappings that the kernel allows a process the region takes.
    pub vmas: usize,
}
