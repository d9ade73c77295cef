//! The engines, each behind [`Subject`](super::subject::Subject).

pub mod fjall;
pub mod lmdb;
mod open;
pub mod redb;
#[cfg(feature = "kv-rocksdb")]
pub mod rocksdb;
pub mod sanakirja;
pub mod sqlite;
pub mod tine;

use super::subject::Engine;

/// Ours first, then those whose best a bar may name.
pub const ENGINES: &[Engine] = &[
    Engine { name: "tine", open: tine::open },
    Engine { name: "redb", open: redb::open },
    Engine { name: "LMDB", open: lmdb::open },
    Engine { name: "sanakirja", open: sanakirja::open },
    Engine { name: "fjall", open: fjall::open },
    Engine { name: "SQLite", open: sqlite::open },
    #[cfg(feature = "kv-rocksdb")]
    Engine { name: "RocksDB", open: rocksdb::open },
];
