//! What every engine of this area must do.

use std::path::Path;

use anyhow::Result;

use super::data::{Key, Pair};

/// An open engine. Every write is one transaction that is durable when the call returns.
pub trait Subject: Send + Sync {
    fn write(&self, pairs: &[Pair]) -> Result<()>;
    fn remove(&self, keys: &[Key]) -> Result<()>;
    /// Reads the values of keys that exist, in one transaction. Returns the sum of their first
    /// bytes.
    fn get(&self, keys: &[Key]) -> Result<u64>;
    /// Reads `entries` entries from each key on, in one transaction. Returns the sum of the values'
    /// first bytes.
    fn scan(&self, from: &[Key], entries: usize) -> Result<u64>;
}

/// An engine by name. `open` opens or makes its data in a directory, with the given bytes of cache.
#[derive(Clone, Copy)]
pub struct Engine {
    pub name: &'static str,
    pub open: fn(&Path, u64) -> Result<Box<dyn Subject>>,
}
