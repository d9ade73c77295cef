//! The last durable checkpoint.

use crate::error::Result;
use crate::format::superblock::Superblock;
use crate::tree::{Link, Nodes, Root, Sums};
use std::time::Duration;

/// What the last durable checkpoint recorded.
#[derive(Debug)]
pub(crate) struct Durable {
    pub superblock: Superblock,
    /// By the clock of the environment.
    pub when: Duration,
}

impl Durable {
    /// The system tree, with the sums of its entries.
    pub fn system(&self, nodes: &Nodes) -> Result<Option<Root>> {
        let Some((ptr, level)) = self.superblock.system else { return Ok(None) };
        let link = Link::Disk(ptr);
        let Sums { entries, bytes } = nodes.load(&link, level)?.sums();
        Ok(Some(Root { link, level, entries, bytes }))
    }
}
