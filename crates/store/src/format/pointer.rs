//! Pointers to tree nodes on disk.

use super::block::{BlockAddr, BlockRun};
use super::codec::{Decoded, Reader, Writer};
use super::ids::Generation;
use super::layout::NODE_BLOCKS;

/// Names a node on disk so that any other content at that address is noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ptr {
    pub addr: BlockAddr,
    pub birth: Generation,
    pub sum: u128,
}

impl Ptr {
    pub const BYTES: usize = 32;

    /// Where the node lies.
    pub fn run(&self) -> BlockRun {
        BlockRun { start: self.addr, blocks: NODE_BLOCKS }
    }

    pub fn encode(&self, w: &mut Writer) {
        w.u64(self.addr.0).u64(self.birth.0).u128(self.sum);
    }
    pub fn decode(r: &mut Reader) -> Decoded<Ptr> {
        Ok(Ptr { addr: BlockAddr(r.address()?), birth: Generation(r.number()?), sum: r.u128()? })
    }
}
