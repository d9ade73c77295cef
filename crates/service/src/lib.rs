//! Requests to results: everything that the command line, and later other faces, can ask of a store.
//!
//! A [`Request`] is answered by [`execute`], and by nothing else. There are two ways to get there, and
//! [`Client`] chooses: in the caller's own process when the store is free, else over the socket of the
//! *holder* ([`hold`]), the one process that keeps a store open while branches are mounted. What has to
//! happen where the caller is (opening a directory, mounting, flushing a mount) happens around the request,
//! in [`doors`], [`unmount`], [`whole_branch`], [`transfer`], [`run`], [`servers`] and [`takein`].
//!
//! This crate knows nothing about arguments, terminals or the wording of results.
#![forbid(unsafe_code)]
// These macros panic where nothing can be written.
#![warn(clippy::print_stdout, clippy::print_stderr)]

mod changes;
mod client;
mod copy;
mod durable;
mod error;
mod execute;
mod flush;
mod freeing;
mod holder;
#[doc(hidden)]
pub mod hostile;
mod identity;
mod in_use;
mod kept_log;
mod links;
mod listing;
mod locked;
mod log;
mod mount_table;
mod mounts;
mod names;
mod progress;
mod raw;
mod runtime;
mod server_lock;
mod socket;
mod stale;
mod time;
mod wire;

pub mod doors;
pub mod look;
pub mod postgres;
pub mod repair;
pub mod request;
pub mod response;
pub mod run;
pub mod servers;
pub mod takein;
pub mod transfer;
pub mod unmount;
pub mod whole_branch;

pub use client::{Canceller, Client, Connection, Reach};
pub use error::{Code, Error, Result};
pub use execute::{Context, execute};
pub use holder::hold;
pub use progress::Progress;
pub use raw::RawBytes;
pub use request::Request;
pub use response::Response;
pub use wire::Step;
