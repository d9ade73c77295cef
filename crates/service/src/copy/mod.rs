//! Directories of the host copied into branches and back out, whole or not at all.
//!
//! One thread per core takes tasks from a queue and works through the tree. Everything that is
//! copied leaves a fingerprint of what was read; at the end the copy is read back and its
//! fingerprints must be the same. A copy has kinds, permission bits, owners, nanosecond times,
//! extended attributes, hard links, symbolic links, special files and holes.
//!
//! What is read from a branch may come from any hand. It is held to what a tree can be where it is
//! decoded, and what is written onto the host goes through `beneath`.

mod beneath;
mod export;
mod file_errors;
mod fingerprint;
mod host;
mod ids;
mod import;
mod job;
mod live_server;
mod mirror;
mod outside;
mod seen;
mod throttle;
mod verify;
mod verify_export;
mod work_queue;

pub use export::export;
pub use ids::owner;
pub use import::{import, refresh};
pub use job::CopyJob;
pub use throttle::Throttle;

/// Bytes of the blocks that holes are made of.
const BLOCK_BYTES: u64 = tine_store::BLOCK_BYTES as u64;
