//! Pointers to tree nodes on disk.

use super::codec::{Decoded, Reader, Writer};
use super::ids::Generation;

/// Names a node on disk so that any other content at that address is noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ptr {
    pub addr: u64,
    pub birth: Generation,
    pub sum: u128,
}

impl Ptr {
    pub const BYTES: usize = 32;

    pub fn encode(&self, w: &mut Writer) {
        w.u64(self.addr).u64(self.birth.0).u128(self.sum);
    }
    pub fn decode(r: &mut Reader) -> Decoded<Ptr> {
        Ok(Ptr { addr: r.address()?, birth: Generation(r.number()?), sum: r.u128()? })
    }
}
