//! Everything that the command line, and later other programs, can ask of a store.
//!
//! Two processes take part. [`commands`] is what the process of a command does; [`holder`] is what
//! answers requests about an open store, and [`protocol`] what the two say to each other.
//! [`Client`] chooses where a request is answered: in the caller's own process when the store is
//! free, else over the socket of the *holder* ([`hold`]), the one process that keeps a store open
//! while branches are mounted. The floors, each of which imports only those below it:
//!
//! ```text
//! commands    what happens where the caller is: mounts, flushes, servers, copies in and out
//! client      reaches a store: opens it here, or connects to its holder
//! holder      answers requests about an open store; serves mounts
//! copy        directories into branches and back
//! patch       changes as a patch that other programs take
//! postgres    servers on plain directories
//! machine     what this machine has of a store besides its file: mounts, directories of servers
//! protocol    requests, answers, errors, the socket
//! ```
//!
//! This crate knows nothing about arguments, terminals or the wording of results.
#![forbid(unsafe_code)]
// These macros panic where nothing can be written.
#![warn(clippy::print_stdout, clippy::print_stderr)]

mod client;
pub mod commands;
mod copy;
mod holder;
#[cfg(feature = "testing")]
pub mod hostile;
mod machine;
pub mod patch;
pub mod postgres;
pub mod protocol;

pub use client::{Access, Canceller, Client, Connection, ProgressHooks};
pub use holder::{Context, Execute, POINTS_PERCENT, hold};
pub use protocol::{
    Ask, Code, Error, Hint, Progress, ProgressUpdate, RawBytes, Result, UsedBy, Wanted,
};
