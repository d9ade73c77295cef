//! How many nodes the next checkpoint will have to write: an upper bound, for which room is
//! promised.

use crate::format::layout::NODE_BYTES;
use crate::sync::atomic::{AtomicU64, Ordering};

/// What a changed count takes in the system tree at most: it may cut a range of equal counts in
/// three.
const COUNT_BYTES: u64 = 96;
/// What any other record there takes, with its key.
const RECORD_BYTES: u64 = 320;
/// A leaf with fewer bytes than this is merged with its neighbour.
const LEAF_BYTES_MIN: u64 = NODE_BYTES as u64 / 4;
/// Nodes on the way to a leaf of the system tree, and some that others make at the same time.
const HEADROOM_NODES: u64 = 16;

/// Counted since the last cut.
#[derive(Debug, Default)]
pub(crate) struct Changed {
    /// Nodes of branches that were made; some may be gone again.
    nodes: AtomicU64,
    /// Nodes that changes under way may make.
    pledged: AtomicU64,
    /// Records of the system tree besides counts.
    records: AtomicU64,
    /// Bytes of all entries of the system tree, as of the last checkpoint.
    system_bytes: AtomicU64,
}

/// Nodes that a change may make, until it is dropped: by then those that it made are counted.
#[derive(Debug)]
pub(crate) struct Pledge<'a> {
    changed: &'a Changed,
    nodes: u64,
}

impl Changed {
    /// One node more was made.
    pub fn node(&self) {
        self.nodes.fetch_add(1, Ordering::Relaxed);
    }

    /// So many records of the system tree more were changed.
    pub fn records(&self, records: u64) {
        self.records.fetch_add(records, Ordering::Relaxed);
    }

    pub fn nodes(&self) -> u64 {
        self.nodes.load(Ordering::Relaxed)
    }

    pub fn pledge(&self, nodes: u64) -> Pledge<'_> {
        self.pledged.fetch_add(nodes, Ordering::Relaxed);
        Pledge { changed: self, nodes }
    }

    /// A checkpoint cuts here.
    pub fn cut(&self) {
        self.nodes.store(0, Ordering::Relaxed);
        self.records.store(0, Ordering::Relaxed);
    }

    /// The system tree holds this many bytes now.
    pub fn set_system_bytes(&self, bytes: u64) {
        self.system_bytes.store(bytes, Ordering::Relaxed);
    }

    /// Nodes to be written, when this many counts changed.
    pub fn nodes_to_write(&self, counts: usize) -> u64 {
        let load = |number: &AtomicU64| number.load(Ordering::Relaxed);
        let system = SystemTree {
            bytes: load(&self.system_bytes),
            counts: counts as u64,
            records: load(&self.records),
        };
        load(&self.nodes) + load(&self.pledged) + system.nodes_to_write() + HEADROOM_NODES
    }
}

/// The system tree: how large it is, and how many counts and other records of it change.
struct SystemTree {
    bytes: u64,
    counts: u64,
    records: u64,
}

impl SystemTree {
    fn nodes_to_write(&self) -> u64 {
        let SystemTree { bytes, counts, records } = *self;
        // A range of blocks may end in another leaf than it begins.
        let touched = (2 * counts + records).min(bytes / LEAF_BYTES_MIN + 1);
        let grown = (counts * COUNT_BYTES + records * RECORD_BYTES).div_ceil(NODE_BYTES as u64 / 2);
        let leaves = touched + grown;
        leaves + leaves / 8
    }
}

impl Drop for Pledge<'_> {
    fn drop(&mut self) {
        self.changed.pledged.fetch_sub(self.nodes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_under_way_counts_until_it_is_done_and_what_was_made_until_the_cut() {
        let changed = Changed::default();
        let pledge = changed.pledge(40);
        changed.node();
        assert_eq!(changed.nodes_to_write(0), 41 + HEADROOM_NODES);
        changed.cut();
        assert_eq!(changed.nodes_to_write(0), 40 + HEADROOM_NODES, "it is still under way");
        drop(pledge);
        assert_eq!((changed.nodes(), changed.nodes_to_write(0)), (0, HEADROOM_NODES));
    }

    #[test]
    fn counts_change_no_more_leaves_than_there_are_and_those_that_grow() {
        let large = SystemTree { bytes: 1 << 30, counts: 0, records: 0 };
        assert_eq!(large.nodes_to_write(), 0);
        assert_eq!(SystemTree { counts: 10, records: 5, ..large }.nodes_to_write(), 25 + 1 + 3);
        let small = SystemTree { bytes: 100 * LEAF_BYTES_MIN, counts: 1000, records: 0 };
        assert_eq!(small.nodes_to_write(), 101 + 24 + 15);
    }
}
