//! The engines, each behind [`Subject`](super::subject::Subject).

pub mod fjall;
pub mod lmdb;
pub mod redb;
#[cfg(feature = "kv-rocksdb")]
pub mod rocksdb;
pub mod sanakirja;
pub mod sqlite;
pub mod tine;
