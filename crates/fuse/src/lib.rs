//! The FUSE front end: a branch as a mounted directory of the host.
//!
//! [`mount_at`] mounts and returns the device; [`Mount::start`] serves the device with a file tree.
//! The two may happen in different processes, so that a mount inside a user's own namespace is
//! served by the process that holds the store.
//!
//! From the outside in:
//!
//! * `server` is what a worker thread does: read a request, schedule it by its plan, answer.
//!   `queue` wraps the device, `workers` is the pool of threads.
//! * `plan` classifies a request, once: it asks `flush_predictor` for an fsync that will follow a
//!   write, and `hole_range` for a hole in which the kernel may have data that the store lacks.
//! * `coalesce` gathers flushes and seeks behind one thread; `flush_policy` decides whether a
//!   thread may flush while the queue is unattended.
//! * `request` and `reply` are the messages, `fields` reads them; `dispatch` turns a request into a
//!   call of [`tine_fs::Fs`], and its result into a reply and a `follow_up`: what the server does
//!   besides.
//! * `lookups` counts which inodes the kernel knows, `cached` notes which files it may have pages
//!   of, `ids` maps owners into a user namespace.
//! * `notify` makes the messages that invalidate the kernel's caches; `invalidation` queues those
//!   that wait for write-back, and `housekeeping` is the thread that sends them. `kernel_cache` has
//!   everything written back for a fork, by a process that proves itself by `visitors`. `shortage`
//!   lets writers learn of a full disk.
//!
//! What an operation means is decided in `tine-fs`. A transport other than `/dev/fuse` would
//! replace `queue` and `workers` and share the rest.
//!
//! **What the kernel is promised.** Only this server changes the branch, so names and attributes
//! never expire, data stays cached until the kernel drops it, and written pages go out when the
//! kernel sees fit or `fsync` asks. Files are opened without a request; an inode that the kernel
//! knows lives on without a name. Permissions are checked by the kernel, and so are locks, POSIX
//! and BSD, which live in it. Access times do not move by reading (`noatime`); `utimensat` sets
//! them.
//!
//! **Why the messages are decoded here** and not by the `fuser` crate: its version 0.18 knows no
//! `O_TMPFILE`, hides the flags by which the kernel asks for set-id bits to be cleared on a change
//! of size, takes times before 1970 for one second earlier or later, and opens the device itself to
//! get at more queues, which a process outside of the user's namespace may not. And it can only
//! sleep on an empty queue: a thread that looks at it for 50 µs before it sleeps answers a `stat`
//! within 17 to 20 µs instead of 44 when program and server run on different processors (Linux
//! 6.18, virtual machine with 2 processors), and as fast as before (10 µs) when they share one.

#![forbid(unsafe_code)]
// These macros panic where nothing can be written.
#![warn(clippy::print_stdout, clippy::print_stderr)]

mod cached;
mod coalesce;
mod dispatch;
mod error;
mod fields;
mod flush_policy;
mod flush_predictor;
mod follow_up;
mod hole_range;
mod housekeeping;
mod ids;
mod init;
mod invalidation;
mod kernel_cache;
mod lock;
mod lookups;
mod mount;
mod notify;
mod plan;
mod protocol;
mod queue;
mod reply;
mod request;
mod server;
mod shortage;
mod tuning;
mod visitors;
mod workers;

pub use dispatch::Report;
pub use error::{Error, Result};
pub use init::Negotiated;
pub use kernel_cache::KernelCache;
pub use mount::{Device, Mount, MountOptions, mount_at};
