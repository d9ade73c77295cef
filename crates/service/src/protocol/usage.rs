//! Requests for what the store and its branches cost.
// The names of fields say what they are; documented is what they do not say.
#![allow(missing_docs)]

use serde::{Deserialize, Serialize};

use crate::protocol::ask::Ask;

/// Asks what the store costs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MeasureStore;

impl Ask for MeasureStore {
    type Answer = StoreUsage;
    const ONLY_READS: bool = true;
}

/// What a store costs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StoreUsage {
    /// Bytes that the file takes on the host.
    pub file_bytes: u64,
    /// Bytes of data blocks in use.
    pub data_bytes: u64,
    /// Bytes of everything that finds them.
    pub metadata_bytes: u64,
    /// Bytes in the file that can be used again.
    pub free_bytes: u64,
    /// Bytes of deleted branches that are being freed, at most.
    pub reclaim_pending_bytes: u64,
    /// The number of branches.
    pub branches: u64,
    /// The number of points and deleted branches that are kept.
    pub points: u64,
    /// Bytes that only they hold; absent where counting them would have taken too long.
    pub points_bytes: Option<u64>,
}

/// Asks what a branch costs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MeasureBranch {
    pub name: String,
}

impl Ask for MeasureBranch {
    type Answer = BranchUsage;
    const ONLY_READS: bool = true;
}

/// What a branch costs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BranchUsage {
    pub branch: String,
    pub referenced_bytes: u64,
    /// Bytes that deleting it would free.
    pub exclusive_bytes: u64,
    /// Bytes that only its kept fork point reaches.
    pub pinned_by_base_bytes: u64,
}
