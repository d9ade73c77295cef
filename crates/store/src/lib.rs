//! The engine of tine: a crash-safe store in one file, with O(1) writable branches.
//!
//! A store holds *branches*; a branch is one ordered map from byte strings to values, which are
//! small bytes or *extents* of data blocks. Forking a branch copies nothing; what either side
//! writes afterwards is copied then, path by path. Every commit is atomic, commits of all branches
//! share their flushes, and after a crash the store holds a prefix of what was committed that
//! includes all that was acknowledged as durable.
//!
//! A branch is read and written as one map, or as named tables with ranges, cursors and differences
//! of their own ([`WriteTxn::table`], [`ReadTxn::table`]).
//!
//! The crate knows nothing of files, mounts or processes: crates above this one do.
//!
//! Entry points: a commit starts in `commit.rs`, is applied to the tree in memory in `apply.rs`,
//! and is appended to the journal. `durability.rs` flushes the journal, `checkpoint` writes the
//! changed nodes, and `recover.rs` opens a store. `engine.rs` lists the parts and the order of
//! their locks.

#![forbid(unsafe_code)]

// The oracle of the integration tests also judges engines with mistakes put in.
#[cfg(test)]
extern crate self as tine_store;

mod admit;
mod apply;
mod background;
mod branch;
mod changed;
mod check;
mod checkpoint;
mod commit;
mod device;
mod diff;
mod dirty;
mod durability;
mod engine;
mod environment;
mod error;
#[cfg(test)]
mod forged;
mod format;
mod free;
#[cfg(any(test, feature = "testing"))]
#[doc(hidden)]
pub mod fuzzing;
mod health;
mod held;
mod injected_bug;
mod journal;
mod open_store;
mod options;
mod pins;
mod reclaim;
mod reclaim_queue;
mod recover;
mod refs;
mod repair;
#[cfg(all(test, shuttle))]
mod schedules;
mod shortage;
mod signal;
mod space;
mod store;
mod sync;
mod table;
mod tree;
mod txn;
mod usage;

pub use branch::{Branch, BranchInfo, ForkOptions, check_branch_name};
pub use check::{CheckReport, Finding, Severity};
pub use device::{Device, FileDevice, MemoryDevice};
#[cfg(any(test, feature = "testing"))]
pub use device::{
    Faults, LossyDevice, ReadFault, Replay, SimulatedDevice, Survivors, SyncFault, Tape,
};
pub use diff::{Change, Diff, diff};
#[cfg(any(test, feature = "testing"))]
pub use environment::Scripted;
pub use environment::{Environment, Machine};
pub use error::{Error, Result};
pub use format::layout::{BLOCK_BYTES, KEY_BYTES_MAX, STAGE_BYTES_MAX, VALUE_BYTES_MAX};
pub use held::HeldBytes;
#[cfg(any(test, feature = "testing"))]
pub use options::Lossy;
pub use options::Options;
pub use repair::{Loss, Repair, RepairReport, repair, repair_onto};
pub use store::Store;
pub use table::{Table, TableChange, TableCursor, TableDiff, TableEntry, TableMut, TableRange};
pub use txn::{Extents, Range, ReadTxn, Run, Staged, Value, WriteTxn};
pub use usage::{BranchUsage, StoreSpace, StoreUsage};
