//! A stand-in for the engine: the whole public API of the store over plain maps in memory.
//!
//! Each branch is a `BTreeMap` behind an `Arc`; a fork clones the `Arc`; every file block is an `Arc` of 4 KiB.
//! `sync`, `close` and the drop of the last handle write the whole store to its file, and `open` reads it whole.
//! It keeps the meaning of the API, not its speed and not its safety in a crash.
#![forbid(unsafe_code)]

mod branch;
mod dump;
mod error;
mod store;
mod txn;

pub use branch::{Branch, Staged};
pub use error::{Error, Result};
pub use store::{
    BranchInfo, BranchUsage, CheckReport, Finding, Options, Severity, Store, StoreUsage,
};
pub use txn::{Change, Diff, Extents, Range, ReadTxn, Run, Value, WriteTxn, diff};

/// Bytes of one block of data.
pub const BLOCK_BYTES: usize = 4096;
/// The longest key.
pub const KEY_BYTES_MAX: usize = 512;
/// The longest inline value.
pub const VALUE_BYTES_MAX: usize = 2000;
/// The largest buffer for one call of [`Branch::stage`].
pub const STAGE_BYTES_MAX: usize = 1 << 20;
