//! What a commit consists of.

use super::batch::Batch;
use crate::dirty::DirtyData;
use std::sync::Arc;

#[derive(Debug)]
pub(crate) enum Op {
    /// Puts and deletes.
    Batch(Batch),
    Map {
        map: Box<[u8]>,
        block: u64,
        runs: Vec<DataRun>,
    },
    Unmap {
        map: Box<[u8]>,
        block: u64,
        blocks: u64,
    },
    Share {
        from: Box<[u8]>,
        from_block: u64,
        to: Box<[u8]>,
        to_block: u64,
        blocks: u64,
    },
}

/// A run of data blocks with their checksums.
#[derive(Debug)]
pub(crate) struct DataRun {
    pub addr: u64,
    pub sums: Arc<[u32]>,
    pub data: RunData,
}

/// Where the data of a run is.
#[derive(Debug)]
pub(crate) enum RunData {
    /// Written to its blocks.
    OnDevice,
    /// In memory, perhaps written meanwhile.
    Dirty(Arc<DirtyData>),
    /// Found inside a journal record; has no blocks yet.
    Replayed(Box<[u8]>),
}
