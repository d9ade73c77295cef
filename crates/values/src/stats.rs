//! Process-wide counts of copies: how often a write met a shared node, and the bytes that it
//! copied.

#[cfg(feature = "stats")]
mod counters {
    use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

    static COPIES: AtomicU64 = AtomicU64::new(0);
    static BYTES: AtomicU64 = AtomicU64::new(0);

    /// What was copied since the process began.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    #[non_exhaustive]
    pub struct Counters {
        /// Nodes that were copied because they were shared.
        pub copies: u64,
        /// Bytes of their items and children, without what items own.
        pub bytes_copied: u64,
    }

    /// Reads both counters. Other threads may count in between.
    pub fn snapshot() -> Counters {
        Counters { copies: COPIES.load(Relaxed), bytes_copied: BYTES.load(Relaxed) }
    }

    pub(crate) fn copied(bytes: usize) {
        COPIES.fetch_add(1, Relaxed);
        BYTES.fetch_add(bytes as u64, Relaxed);
    }
}

#[cfg(feature = "stats")]
pub(crate) use counters::copied;
#[cfg(feature = "stats")]
pub use counters::{Counters, snapshot};

#[cfg(not(feature = "stats"))]
#[inline(always)]
pub(crate) fn copied(_bytes: usize) {}
