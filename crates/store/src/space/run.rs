//! Runs of blocks.

/// A run of blocks: address and length.
pub(crate) type BlockRun = (u64, u64);
