//! POSIX files in a branch of a store: inodes, directories, extents and their meaning, with no
//! kernel in the loop.
//!
//! [`Fs`] is a file tree in one branch. Every call that changes something is one transaction of the
//! store, so after a crash each is there whole or not at all; [`Fs::fsync`] makes durable what came
//! before. Two branches of a store never give one inode number to two files. Permissions are not
//! checked here: the front end does that (a mount with `default_permissions` leaves it to the
//! kernel). What is decided here is what POSIX ties to the operation itself, such as the
//! inheritance of groups and the clearing of set-id bits.
//!
//! [`check()`] verifies that a tree is consistent, and [`mend()`] makes a tree consistent again of
//! which parts are lost. [`diff()`] says by path what changed between two snapshots, at the cost of
//! the changes, and [`diff_names()`] says it name by name, as a patch does. A [`View`] reads a
//! snapshot.
//!
//! This crate knows nothing about FUSE, requests, processes or host directories.
#![forbid(unsafe_code)]

mod acl;
mod attr;
mod blob;
mod bucket;
mod check;
mod copy;
mod create;
mod data;
mod diff;
mod dir;
mod error;
mod eviction_queue;
mod fs;
mod header;
mod host_record;
#[cfg(feature = "testing")]
pub mod hostile;
mod import;
mod inode;
mod key;
mod link;
mod locate;
mod located;
mod mend;
mod name;
mod name_hash;
mod numbers;
mod open_inodes;
mod orphan;
mod owners;
mod path;
mod range;
mod rename;
mod setattr;
mod time;
mod tree_txn;
mod view;
mod xattr;

pub use acl::ACCESS as ACCESS_LIST;
pub use attr::{Attr, Caller, Ino, Kind, NewRoot, ROOT, SetAttr, SetTime};
pub use check::check;
pub use copy::FileOffset;
pub use diff::{Change, NameChange, PathChange, diff, diff_names};
pub use dir::DirEntry;
pub use error::{Error, Result};
pub use fs::{Fs, Stat, origin};
pub use host_record::HostRecord;
pub use import::Imported;
pub use locate::locate;
pub use located::Located;
pub use mend::mend;
pub use owners::rename_owners;
pub use range::{Fallocate, Seek};
pub use rename::RenameMode;
pub use time::Time;
pub use view::View;
pub use xattr::XattrMode;

/// The longest name of a directory entry, in bytes.
pub const NAME_BYTES_MAX: usize = 255;
/// The longest target of a symbolic link, in bytes.
pub const SYMLINK_BYTES_MAX: usize = 4095;
/// The largest value of an extended attribute, in bytes.
pub const XATTR_BYTES_MAX: usize = 65536;
/// The most names that one file can have, and the most subdirectories plus two of a directory.
pub const LINK_MAX: u32 = 65000;
/// The largest file, in bytes (the largest offset that `off_t` can say).
pub const FILE_BYTES_MAX: u64 = i64::MAX as u64;
