//! PostgreSQL on a directory: find a cluster, take one in, make a fork safe to start, start and
//! stop it.
//!
//! Everything here is given a directory, and reaches no store, mount or holder. That the directory
//! may be a branch shows in words of errors, and in the mark by which a fork is told from its
//! original. The functions reach the directory by path, so that a process which itself serves the
//! mount under it must leave them to another process. They wait for child processes, never for a
//! clock alone.
//!
//! A fork of a running server's directory is what a power cut would leave: the same recovery that
//! PostgreSQL does after a crash makes it whole. What is different about a fork is that the
//! original goes on: [`prepare`] removes everything by which the copy could disturb it (archiving,
//! replication, slots, addresses) or be disturbed by it.

mod account;
mod at_import;
mod backup;
mod boundary;
mod carried;
mod cluster;
mod command_line;
mod complaint;
mod conf_file;
mod configuration;
mod data_file;
mod installation;
mod libraries;
mod over_socket;
mod parameters;
mod placeholders;
mod ports;
mod prepare;
mod process;
mod reaper;
mod refusal;
mod remembered;
mod roles;
mod server;
mod source;
mod stop;
mod subscriptions;
mod tablespace_map;
mod uri;

pub(crate) use at_import::refused_settings;
pub(crate) use boundary::is_read_by_a_fork;
pub(crate) use complaint::end_of as end_of_log;
pub(crate) use configuration::elsewhere as configuration_elsewhere;
pub(crate) use process::runs as process_runs;

pub use backup::{Backup, Reached};
pub use cluster::{Cluster, live_server};
pub use installation::Installation;
pub use server::{Launch, Server};
pub use source::{Source, secrets};
pub use stop::{Ended, Haste};
