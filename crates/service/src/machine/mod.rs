//! What this machine has of a store besides its file: mounts and what uses them, and the
//! directories of servers.
//!
//! Commands and the holder both look here. Nothing here opens a store.

pub mod busy;
pub mod cleanup;
pub mod in_use;
mod kernel_users;
pub mod links;
pub mod mount_table;
pub mod runtime;
pub mod server_place;
