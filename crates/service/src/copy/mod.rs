//! Directories of the host copied into branches and back out, whole or not at all.
//!
//! A crew of threads, one per core, works through the tree. Everything that is copied leaves a
//! fingerprint of what was read; at the end the copy is read back and its fingerprints must be the same.
//! Kept are kinds, permission bits, owners, nanosecond times, extended attributes, hard links, symbolic links,
//! special files and holes.
//!
//! What is read from a branch may come from any hand. It is held to what a tree can be where it is decoded, and what is
//! written onto the host goes through `beneath`.

mod beneath;
mod crew;
mod export;
mod exported;
mod fingerprint;
mod host;
mod ids;
mod import;
mod live_server;
mod outside;
mod pace;
mod trouble;
mod verify;

pub use export::export;
pub use ids::owner;
pub use import::import;
pub use pace::Pace;

/// Bytes of the blocks that holes are made of.
const BLOCK_BYTES: u64 = tine_store::BLOCK_BYTES as u64;
