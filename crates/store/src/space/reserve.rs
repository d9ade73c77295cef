//! What is promised of the room on the host, and to whom.
//!
//! A checkpoint must never find too little room: it would end all writing. And a delete must never
//! be refused for want of room, as it is what makes room; yet it writes before it frees, since
//! nothing is changed in place. So each purpose leaves room for those after it in this order:
//! data, then what adds names and branches, then what gives space back, then the next checkpoint,
//! then the one that is being written.

use crate::format::layout::BLOCK_BYTES;

/// Room that data leaves to small changes, so that a disk that is full of data still takes a new
/// name or branch: 1 MiB.
pub(super) const GROWTH_BLOCKS: u64 = 256;
/// Room that is kept at least for what gives space back: 2 MiB.
pub(super) const RELEASE_BLOCKS_MIN: u64 = 512;
/// And at most: 64 MiB.
const RELEASE_BLOCKS_MAX: u64 = 16 << 10;

/// What room is wanted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    Data,
    /// A change of names, values or branches that may add more than it removes.
    Growth,
    /// A change that lets go of more than it takes.
    Release,
}

/// Promises, in blocks on the host.
#[derive(Debug)]
pub(super) struct Reserve {
    /// What the checkpoint that is being written may still need,
    pub writing: u64,
    /// and what the next one will need for all that changed since.
    pub changed: u64,
    /// What changes that give space back may need between two checkpoints.
    pub release: u64,
}

impl Default for Reserve {
    fn default() -> Reserve {
        Reserve { writing: 0, changed: 0, release: RELEASE_BLOCKS_MIN }
    }
}

impl Reserve {
    /// What must be left for others.
    pub fn beyond(&self, purpose: Purpose) -> u64 {
        match purpose {
            Purpose::Data => self.release + GROWTH_BLOCKS,
            Purpose::Growth => self.release,
            Purpose::Release => 0,
        }
    }

    /// What must be left when data takes room. What a cut block keeps is data too, and need not
    /// free as much: it leaves half of the room for deletes to those that do.
    pub fn floor(&self, purpose: Purpose) -> u64 {
        let beyond = match purpose {
            Purpose::Release => self.release / 2,
            _ => self.beyond(purpose),
        };
        self.writing + self.changed + beyond
    }

    /// A checkpoint begins to write what was promised to the next one.
    pub fn cut(&mut self) {
        // What the last one did not need is void.
        self.writing = std::mem::take(&mut self.changed);
    }

    /// Keeps room to delete a tree of this many entries that others share: each of its nodes is
    /// copied before it goes.
    pub fn expect_release(&mut self, tree: SharedTree, used_blocks: u64) {
        let most = used_blocks.clamp(RELEASE_BLOCKS_MIN, RELEASE_BLOCKS_MAX);
        self.release = tree.blocks_of_nodes().clamp(RELEASE_BLOCKS_MIN, most);
    }
}

/// The largest tree whose nodes another tree may share.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct SharedTree {
    pub entries: u64,
    pub data_bytes: u64,
}

impl SharedTree {
    pub fn larger(self, other: SharedTree) -> SharedTree {
        if self.blocks_of_nodes() < other.blocks_of_nodes() { other } else { self }
    }

    fn blocks_of_nodes(self) -> u64 {
        /// A file has three entries of about this size together with what nodes leave unused; data
        /// has a checksum a block.
        const ENTRY_BYTES: u64 = 150;
        let sums = self.data_bytes / BLOCK_BYTES as u64 * 6;
        (self.entries.saturating_mul(ENTRY_BYTES).saturating_add(sums)).div_ceil(BLOCK_BYTES as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_takes_room_leaves_it_to_those_after_it() {
        let reserve = Reserve { writing: 10, changed: 20, ..Reserve::default() };
        let floors = [Purpose::Data, Purpose::Growth, Purpose::Release].map(|p| reserve.floor(p));
        assert_eq!(
            floors,
            [
                30 + RELEASE_BLOCKS_MIN + GROWTH_BLOCKS,
                30 + RELEASE_BLOCKS_MIN,
                30 + RELEASE_BLOCKS_MIN / 2
            ]
        );
        assert_eq!(reserve.beyond(Purpose::Release), 0);
    }

    #[test]
    fn room_for_deletes_grows_with_what_is_shared_and_never_beyond_what_is_used() {
        let kept = |entries, data_bytes, used| {
            let mut reserve = Reserve::default();
            reserve.expect_release(SharedTree { entries, data_bytes }, used);
            reserve.release
        };
        assert_eq!(kept(0, 0, 1 << 20), RELEASE_BLOCKS_MIN);
        assert_eq!(kept(100_000, 0, 1 << 20), 3663);
        assert_eq!(kept(0, 64 << 30, 1 << 20), RELEASE_BLOCKS_MAX);
        assert_eq!(kept(100_000, 0, 700), 700);
        assert_eq!(kept(u64::MAX, u64::MAX, u64::MAX), RELEASE_BLOCKS_MAX);
    }
}
