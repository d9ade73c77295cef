//! What every engine of this area must do, and the list of them.

use std::path::Path;

use anyhow::Result;

use super::data::{Key, Pair};
use super::peers;

/// An open engine. Every write is one transaction that is durable when the call returns.
pub trait Subject: Send + Sync {
    fn write(&self, pairs: &[Pair]) -> Result<()>;
    fn remove(&self, keys: &[Key]) -> Result<()>;
    /// Reads values of keys that are there, in one transaction; the sum of their first bytes.
    fn get(&self, keys: &[Key]) -> Result<u64>;
    /// From each key on reads so many entries, in one transaction; the sum of the values' first bytes.
    fn scan(&self, from: &[Key], entries: usize) -> Result<u64>;
}

/// An engine by name: opens what lies in a directory, or makes it, with so many bytes of cache.
#[derive(Clone, Copy)]
pub struct Engine {
    pub name: &'static str,
    pub open: fn(&Path, u64) -> Result<Box<dyn Subject>>,
}

/// Ours first, then those whose best a bar may ask for.
pub const ENGINES: &[Engine] = &[
    Engine { name: "tine", open: peers::tine::open },
    Engine { name: "redb", open: peers::redb::open },
    Engine { name: "LMDB", open: peers::lmdb::open },
    Engine { name: "sanakirja", open: peers::sanakirja::open },
    Engine { name: "fjall", open: peers::fjall::open },
    Engine { name: "SQLite", open: peers::sqlite::open },
    #[cfg(feature = "kv-rocksdb")]
    Engine { name: "RocksDB", open: peers::rocksdb::open },
];
