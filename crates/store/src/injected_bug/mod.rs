//! Mistakes that tests put into the engine, to show that the oracle finds them. In a build for use,
//! none is ever there.

/// A mistake that an engine like this one could make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum InjectedBug {
    /// A commit is called durable before its flush.
    CommitUnflushed,
    /// A superblock is written before what it names is flushed.
    CheckpointUnflushed,
    /// A freed block is used again before the checkpoint that freed it is durable.
    ReuseEarly,
    /// A fork counts one pointer too many.
    CountTooHigh,
    /// A copied node counts one pointer too few.
    CountTooLow,
    /// A fork takes what was just born for private.
    GenerationStale,
    /// A recovery goes on with the salt of the broken journal.
    SaltKept,
}

/// Whether the running test put this mistake in.
#[cfg(any(not(test), shuttle))]
pub(crate) const fn injected(_: InjectedBug) -> bool {
    false
}

#[cfg(all(test, not(shuttle)))]
mod tests;
#[cfg(all(test, not(shuttle)))]
pub(crate) use tests::injected;
