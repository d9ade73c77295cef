//! The FUSE door: a branch as a directory of the host.
//!
//! [`mount_at`] puts a mount in place and gives its device; [`Mount::start`] serves the device with
//! a file tree. The two may happen in different processes, so that a mount inside a user's own
//! namespace is served by the process that holds the store.
//!
//! From the outside in: `queue` takes messages from the device and puts answers back, `crew` decides
//! which thread does so, `turns` gathers what one flush answers, `request` and `reply` are the messages,
//! `door` turns one into a call of [`tine_fs::Fs`] and its result into the other, `lookups` remembers which
//! inodes the kernel knows, `blank` where it may have data that the store lacks, `kernel_cache` has all of it written
//! back, `cached` knows which files it may have pages of, `shortage` whether it is to ask before it takes more, `ids`
//! what owners are called in a user namespace.
//! What an operation means is decided in `tine-fs`; a transport other than `/dev/fuse` would replace
//! `queue` and `crew` and share the rest.
//!
//! **What the kernel is promised.** The server is the only one that changes the branch, so names and
//! attributes never expire, data stays cached until the kernel drops it, and written pages go out when the
//! kernel sees fit or `fsync` asks. Files are opened without a request; an inode that the kernel
//! knows lives on without a name. Permissions are checked by the kernel, and so are locks, POSIX and
//! BSD, which live in it. Access times do not move by reading (`noatime`); `utimensat` sets them.
//!
//! **Why the messages are decoded here** and not by the `fuser` crate: its version 0.18 knows no
//! `O_TMPFILE`, hides the flags by which the kernel asks for set-id bits to be cleared on a change of
//! size, takes times before 1970 for one second earlier or later, and opens the device itself to get
//! at more queues, which a process outside of the user's namespace may not. And it can only sleep on
//! an empty queue: a thread that looks at it for 50 µs before it sleeps answers a `stat` within 17 to 20 µs
//! instead of 44 when program and server run on different processors (Linux 6.18, virtual machine
//! with 2 processors), and as fast as before (10 µs) when they share one.

#![forbid(unsafe_code)]
// These macros panic where nothing can be written.
#![warn(clippy::print_stdout, clippy::print_stderr)]

mod blank;
mod cached;
mod company;
mod crew;
mod door;
mod error;
mod foresight;
mod ids;
mod init;
mod kernel_cache;
mod lookups;
mod mount;
mod protocol;
mod queue;
mod refused;
mod reply;
mod request;
mod server;
mod shortage;
mod tuning;
mod turns;

pub use door::Report;
pub use error::{Error, Result};
pub use init::Negotiated;
pub use kernel_cache::KernelCache;
pub use mount::{Device, Mount, MountOptions, mount_at};
