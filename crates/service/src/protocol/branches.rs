//! Requests that make, change and list branches.
// The names of fields say what they are; documented is what they do not say.
#![allow(missing_docs)]

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::protocol::ask::Ask;
use crate::protocol::history::PointKind;

/// Makes an empty branch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Create {
    pub name: String,
}

impl Ask for Create {
    type Answer = ();
}

/// Asks for the branch that forks are made from unless another is named: the only one without a
/// parent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Root;

impl Ask for Root {
    type Answer = String;
    const ONLY_READS: bool = true;
}

/// Forks `from` as `new`, or with a `count` as `new-1` … `new-count`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fork {
    pub new: String,
    pub from: String,
    pub count: Option<u32>,
    /// Seconds until it may be deleted.
    pub ttl_s: Option<u64>,
}

impl Ask for Fork {
    type Answer = Vec<Created>;
}

/// Seals what `from` holds now as `new`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    pub from: String,
    pub new: String,
}

impl Ask for Snapshot {
    type Answer = Created;
}

/// A branch or a snapshot that was made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Created {
    pub name: String,
    pub from: String,
    /// How long the fork took.
    pub elapsed_us: u64,
    /// How long the mount took to hand over what was written before; 0 where nothing was mounted.
    pub flush_us: u64,
}

/// Gives a branch another name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rename {
    pub old: String,
    pub new: String,
}

impl Ask for Rename {
    type Answer = ();
}

/// Deletes branches, all or none; with `force`, mounted ones too.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delete {
    pub names: Vec<String>,
    pub force: bool,
    /// Whether they are gone for good; otherwise they can be brought back for some days.
    pub now: bool,
    /// Why they are deleted.
    pub kind: PointKind,
}

impl Ask for Delete {
    type Answer = Deleted;
    const FREES: bool = true;
}

/// Branches that were deleted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Deleted {
    /// Each once.
    #[serde(rename = "deleted")]
    pub names: Vec<String>,
    /// Until when they can be brought back, RFC 3339; absent if they were deleted for good.
    pub kept_until: Option<String>,
    /// Those of them that are gone for good, as there was no room to keep them.
    pub not_kept: Vec<String>,
}

/// Puts a branch back to its fork point, or to what `to` holds; with `force`, a mounted one too.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reset {
    pub name: String,
    pub to: Option<String>,
    pub force: bool,
}

impl Ask for Reset {
    type Answer = ();
}

/// Asks for every branch with its sizes, sorted by name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct List;

impl Ask for List {
    type Answer = Vec<BranchRow>;
    const ONLY_READS: bool = true;
}

/// Asks for the names of all branches, and nothing that takes time to count.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Names;

impl Ask for Names {
    type Answer = Vec<String>;
    const ONLY_READS: bool = true;
}

/// A branch, which can be written, or a snapshot, which is sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BranchKind {
    Branch,
    Snapshot,
}

/// One branch of a list. Times are RFC 3339.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BranchRow {
    pub name: String,
    /// The branch that it was made from, while that exists.
    pub parent: Option<String>,
    pub kind: BranchKind,
    pub created: String,
    /// When it may be deleted.
    pub expires: Option<String>,
    pub referenced_bytes: u64,
    /// Bytes that only it reaches; absent where counting them would have taken too long.
    pub exclusive_bytes: Option<u64>,
    pub mounted_at: Option<PathBuf>,
    /// The directory that its mount was taken off while something keeps it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub taken_off: Option<PathBuf>,
    /// What keeps it then, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept_by: Option<String>,
}
