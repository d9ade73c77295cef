//! What callers tell of a branch to be made, and learn of those there are.

use std::time::SystemTime;

/// How a branch is made.
#[derive(Debug, Clone, Copy, Default)]
pub struct ForkOptions {
    /// Make a snapshot: a branch that can't be written.
    pub sealed: bool,
    /// After this time whatever manages the store may delete the branch.
    pub expires: Option<SystemTime>,
    /// Keep the fork point of the source too: what is made is a copy of it, with what it changed,
    /// in place of a fork that has changed nothing.
    pub same_fork_point: bool,
    /// The number of the branch that is listed as the parent, in place of the source.
    pub parent: Option<u64>,
}

/// What the store knows of a branch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BranchInfo {
    /// Its number, never used again.
    pub id: u64,
    /// Its name.
    pub name: String,
    /// The branch it was forked from, if that still exists.
    pub parent: Option<String>,
    /// A snapshot.
    pub sealed: bool,
    /// When it was made.
    pub created: SystemTime,
    /// When it may be deleted.
    pub expires: Option<SystemTime>,
    /// Bytes that it references, shared ones included.
    pub referenced_bytes: u64,
}
