//! The few system calls of tine that need `unsafe` code or raw kernel interfaces, each behind a safe function.
//!
//! A command that works inside a branch needs a mount that only it can see ([`namespace`]), a FUSE
//! device to serve that mount ([`fuse_device`]), a way to hand the device to the process that holds
//! the store ([`descriptors`]), and a child that feels as if it were run directly ([`process`],
//! [`signals`]). Other children get nothing of the caller's ([`environment`]), and a secret that was an
//! argument is not left to be read ([`arguments`]). A store that is open in a process must not be used by
//! children of it ([`lineage`], [`private_file`]). Nothing here knows what a branch is: the crate speaks of
//! processes, descriptors and mounts alone.
//!
//! `rustix` does what it can do safely; what remains is `libc`, with a `SAFETY:` line on each block.

mod error;

pub mod arguments;
pub mod descriptors;
pub mod environment;
pub mod fuse_device;
mod fuse_init;
pub mod ids;
pub mod lineage;
pub mod namespace;
pub mod private_file;
pub mod process;
pub mod schedule;
pub mod signals;

pub use error::{Error, Result};
