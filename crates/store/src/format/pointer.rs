//! Pointers to tree nodes on disk.

use super::codec::{Decoded, Reader, Writer};

/// Names a node on disk so that any other content at that address is noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ptr {
    pub addr: u64,
    pub birth: u64,
    pub sum: u128,
}

impl Ptr {
    pub const BYTES: usize = 32;

    pub fn encode(&self, w: &mut Writer) {
        w.u64(self.addr).u64(self.birth).u128(self.sum);
    }
    pub fn decode(r: &mut Reader) -> Decoded<Ptr> {
        Ok(Ptr { addr: r.address()?, birth: r.number()?, sum: r.u128()? })
    }
}
