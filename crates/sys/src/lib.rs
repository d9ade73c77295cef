//! The few system calls of tine that need `unsafe` code or raw kernel interfaces, each behind a
//! safe function.
//!
//! A command that works inside a branch needs a mount that only it can see ([`namespace`]), a FUSE
//! device to serve that mount ([`fuse_device`]), a way to hand the device to the process that holds
//! the store ([`descriptors`]), and a child that behaves as if it were run directly ([`process`],
//! [`signals`]). Other children get nothing of the caller's environment ([`environment`]), and a
//! secret in an argument is overwritten ([`arguments`]). Children of a process that has a store
//! open must not use it ([`lineage`], [`private_file`]). A file system is known again after a
//! reboot ([`filesystem`]). The crate knows processes, descriptors and mounts. It does not know
//! what a branch is.
//!
//! Most calls go through `rustix`, which is safe. The rest goes through `libc`, with a `SAFETY:`
//! comment on each block.

mod error;

pub mod arguments;
pub mod descriptors;
pub mod environment;
pub mod filesystem;
pub mod fuse_device;
mod fuse_init;
pub mod ids;
pub mod lineage;
pub mod mountinfo;
pub mod namespace;
pub mod private_file;
pub mod process;
pub mod schedule;
pub mod signals;

pub use error::{Error, Result};
