//! How a store is opened.

use crate::environment::{Environment, Machine};
use std::sync::Arc;

/// Settings of an open store; none of them is kept in it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Options {
    /// Memory for tree nodes that were read, in bytes. Changed ones wait in addition to it for a
    /// checkpoint: up to as much again, or 128 MiB where it is smaller. Default 64 MiB.
    pub cache_bytes: usize,
    /// Memory for small data that waits to be written, in bytes. Default 16 MiB.
    pub dirty_bytes: usize,
    /// Pass the host's page cache by (O_DIRECT) where the host can, with all but reads of tree
    /// nodes: what the host has memory for need not be read twice, and a node proves what it is.
    /// Default on.
    pub direct: bool,
    /// Flush, checkpoint and reclaim in the background. Default on; off, [`Store::sync`],
    /// [`Store::checkpoint`] and [`Store::reclaim_all`] drive everything, for tests that replay.
    ///
    /// [`Store::sync`]: crate::Store::sync
    /// [`Store::checkpoint`]: crate::Store::checkpoint
    /// [`Store::reclaim_all`]: crate::Store::reclaim_all
    pub background: bool,
    /// The device loses what was not flushed when the process ends, as a power cut would; for tests
    /// of crash safety.
    #[cfg(any(test, feature = "testing"))]
    pub lossy: Option<Lossy>,
    /// Where time and random numbers come from. Default the machine's; tests that replay give their
    /// own.
    pub environment: Arc<dyn Environment>,
}

/// How a lossy device behaves.
#[cfg(any(test, feature = "testing"))]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lossy {
    /// Flushes work.
    Honest,
    /// Flushes are ignored: a test of crash safety must fail on it.
    IgnoresFlushes,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            cache_bytes: 64 << 20,
            dirty_bytes: 16 << 20,
            direct: true,
            background: true,
            #[cfg(any(test, feature = "testing"))]
            lossy: None,
            environment: Arc::new(Machine::default()),
        }
    }
}
