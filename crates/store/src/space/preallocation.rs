//! A run of free blocks held by one writer, so that what it writes lies in sequence.

use crate::format::block::{BlockAddr, BlockRun};

/// Arenas begin small, so that a branch with a few changes takes little, and double up to 4 MiB.
const FIRST_BLOCKS: u64 = 16;
const BLOCKS_MAX: u64 = 1024;

#[derive(Debug, Default)]
pub(crate) struct Preallocation {
    next: BlockAddr,
    /// Blocks from `next` on.
    left: u64,
    /// How many blocks were asked for last.
    size: u64,
}

impl Preallocation {
    pub fn is_empty(&self) -> bool {
        self.left == 0
    }

    pub fn left(&self) -> u64 {
        self.left
    }

    /// How many blocks to ask for when `needed` are.
    pub fn next_size(&mut self, needed: u64) -> u64 {
        self.size = (self.size * 2).clamp(FIRST_BLOCKS, BLOCKS_MAX);
        needed.max(self.size)
    }

    pub fn fill(&mut self, run: BlockRun) {
        debug_assert!(self.is_empty());
        (self.next, self.left) = (run.start, run.blocks);
    }

    /// Up to `blocks` blocks from the front.
    pub fn take(&mut self, blocks: u64) -> BlockRun {
        let run = BlockRun::new(self.next, blocks.min(self.left));
        self.next += run.blocks;
        self.left -= run.blocks;
        run
    }

    /// Gives up what is left, and grows no more than it did.
    pub fn empty(&mut self) -> Option<BlockRun> {
        let run = BlockRun::new(self.next, self.left);
        self.size /= 2;
        self.left = 0;
        (run.blocks > 0).then_some(run)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_double_up_to_a_limit_and_what_is_given_up_makes_the_next_no_longer() {
        let run = |start, blocks| BlockRun::new(BlockAddr(start), blocks);
        let mut preallocation = Preallocation::default();
        let mut sizes = Vec::new();
        for _ in 0..9 {
            let size = preallocation.next_size(1);
            preallocation.fill(run(0, size));
            assert_eq!(preallocation.take(size), run(0, size));
            sizes.push(size);
        }
        assert_eq!(sizes, [16, 32, 64, 128, 256, 512, 1024, 1024, 1024]);
        preallocation.fill(run(50, 4));
        assert_eq!(
            (preallocation.take(1), preallocation.empty(), preallocation.empty()),
            (run(50, 1), Some(run(51, 3)), None)
        );
        assert_eq!(preallocation.next_size(1), 512);
        assert_eq!(preallocation.next_size(5000), 5000, "what is needed is asked for");
    }
}
