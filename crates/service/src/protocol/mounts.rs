//! Requests about mounts. They come from commands alone, and no command shows their answers.
// The names of fields say what they are; documented is what they do not say.
#![allow(missing_docs)]

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::protocol::ask::Ask;
use crate::protocol::raw::RawBytes;

/// A place where a branch is mounted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// The directory, by its name in the mount namespace that it was made in.
    pub directory: PathBuf,
    /// The process whose private mount namespace it is in; absent for a mount that all processes
    /// see.
    pub private_to: Option<u32>,
    /// The process that started that one and waits for its end.
    pub run: Option<u32>,
    pub read_only: bool,
    /// Whether other users are let in.
    pub allow_other: bool,
    /// The number of its file system as `MAJOR:MINOR`, which tells it from all that is mounted on
    /// this machine; absent until it is mounted.
    pub device: Option<String>,
}

/// Asks for the number of a branch in its store. Nothing in the branch is read for it, so that what
/// is damaged there keeps no mount and no server from being ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identify {
    pub name: String,
}

impl Ask for Identify {
    type Answer = u64;
    const ONLY_READS: bool = true;
}

/// Asks for what a command has to know of a branch before it mounts it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inspect {
    pub name: String,
}

impl Ask for Inspect {
    type Answer = Inspected;
    const ONLY_READS: bool = true;
}

/// What a command has to know of a branch before it mounts it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Inspected {
    /// The name of the branch; of a point, with its serial.
    pub name: String,
    /// The number of the branch in its store.
    pub id: u64,
    /// What tells the branch from every other, in other stores too.
    pub identity: String,
    /// Whether it is not to be written: a snapshot, a point or an import.
    pub sealed: bool,
    /// Whether it has a fork point to go back to.
    pub forked: bool,
    /// The directory that it was imported from, or whose branch it was made from.
    pub origin: Option<PathBuf>,
    pub mount: Option<Mount>,
}

/// Serves a branch over the mounted FUSE device that comes as the descriptor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attach {
    pub name: String,
    pub mount: Mount,
    /// What the users of the mount's user namespace are called outside.
    pub users: Vec<IdRange>,
    pub groups: Vec<IdRange>,
    /// What was negotiated while it was mounted; absent if the kernel still waits for the answer to
    /// INIT.
    pub negotiated: Option<Negotiation>,
}

impl Ask for Attach {
    type Answer = ();
}

/// What the kernel and the process that mounted have agreed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Negotiation {
    /// The minor version of the FUSE protocol.
    pub minor: u32,
    /// The flags of INIT that both have.
    pub capabilities: u64,
}

/// Users or groups of a user namespace with successive numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdRange {
    /// The first number inside the namespace.
    pub inside: u32,
    /// The first number outside.
    pub outside: u32,
    pub count: u32,
}

/// Asks whether the command that a branch was mounted for got as far as its mount. It is answered
/// `true` once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Began {
    pub name: String,
    /// The process that waits for the command.
    pub run: u32,
}

impl Ask for Began {
    type Answer = bool;
}

/// Ends the connection of a mount, wherever the mount is shown: programs that use it get errors.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Abort {
    pub name: String,
}

impl Ask for Abort {
    type Answer = ();
}

/// Asks for the mounts that are being served.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListMounts;

impl Ask for ListMounts {
    type Answer = Vec<MountedBranch>;
    const ONLY_READS: bool = true;
}

/// Asks where a branch is mounted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FindMount {
    pub name: String,
}

impl Ask for FindMount {
    type Answer = Option<Mount>;
    const ONLY_READS: bool = true;
}

/// Has the holder let go of the store as soon as no branch is mounted and no command is connected,
/// without freeing before what deleted branches held. The answer is what is mounted now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LetGo;

impl Ask for LetGo {
    type Answer = Vec<MountedBranch>;
    const ONLY_READS: bool = true;
}

/// A branch and its mount.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountedBranch {
    pub branch: String,
    pub mount: Mount,
}

/// Asks for the files of a mounted branch of which the kernel may have data that the store lacks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListCached {
    pub name: String,
}

impl Ask for ListCached {
    type Answer = CachedFiles;
}

/// Files of a mount of which the kernel may have data that the store lacks.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CachedFiles {
    /// A name that the command has to look up in the mounted root, where it does not exist: the
    /// holder then knows that the command reached this mount.
    pub visitor: String,
    pub files: Vec<CachedFile>,
}

/// One of these files.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CachedFile {
    pub ino: u64,
    /// Its path below the root, where it has one.
    pub path: Option<RawBytes>,
}

/// Has the kernel write back the files that the command could not reach.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WriteBack {
    pub name: String,
    /// See [`CachedFiles::visitor`].
    pub visitor: String,
    /// Their inodes; absent means all.
    pub files: Option<Vec<u64>>,
}

impl Ask for WriteBack {
    type Answer = ();
}

/// Waits until a branch is no longer served, at most `timeout_ms`. The answer is `false` if it
/// still is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AwaitDetached {
    pub name: String,
    pub timeout_ms: u64,
}

impl Ask for AwaitDetached {
    type Answer = bool;
}
