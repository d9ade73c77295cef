//! Requests for how a store or a branch stands.
// The names of fields say what they are; documented is what they do not say.
#![allow(missing_docs)]

use serde::{Deserialize, Serialize};

use crate::protocol::ask::Ask;
use crate::protocol::branches::BranchKind;
use crate::protocol::mounts::Mount;
use crate::protocol::raw::RawBytes;
use crate::protocol::usage::StoreUsage;

/// Asks how a branch stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DescribeBranch {
    pub name: String,
}

impl Ask for DescribeBranch {
    type Answer = BranchState;
    const ONLY_READS: bool = true;
}

/// What the store knows of a branch. Times are RFC 3339.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BranchState {
    pub branch: String,
    pub kind: BranchKind,
    pub created: String,
    pub expires: Option<String>,
    pub base: Option<Base>,
    /// The directory that it was imported from, or whose import it was made from.
    pub directory: Option<RawBytes>,
    pub referenced_bytes: u64,
    /// Bytes that deleting it would free.
    pub exclusive_bytes: u64,
    /// Bytes that only its kept fork point reaches.
    pub pinned_by_base_bytes: u64,
    pub mount: Option<Mount>,
}

/// What a branch was made from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Base {
    /// `None` if it is gone; the fork point is kept.
    pub branch: Option<String>,
    /// When the branch was made from it. A reset gives it another fork point, and no other time.
    pub forked: String,
}

/// A path of the directory that a branch stands for, and why it differs from what was imported.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Drift {
    /// The path from the directory.
    pub path: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub path_bytes: Option<RawBytes>,
    pub why: String,
}

/// Asks how a store stands, and which branches come from a directory that is above `here`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DescribeStore {
    pub here: Option<RawBytes>,
}

impl Ask for DescribeStore {
    type Answer = StoreState;
    const ONLY_READS: bool = true;
}

/// How a store stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StoreState {
    pub usage: StoreUsage,
    pub here: Vec<Here>,
}

/// A branch, and the directory that it comes from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Here {
    pub branch: String,
    pub directory: RawBytes,
}
