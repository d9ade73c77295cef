//! Pointers between nodes: on disk, or in memory.

use super::node::{Body, Node};
use crate::format::catalog::DiskRoot;
use crate::format::codec::{Decoded, Reader, Writer};
use std::sync::Arc;

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

/// A counted pointer to a node.
#[derive(Debug, Clone)]
pub(crate) enum Link {
    Disk(Ptr),
    Mem(Arc<Node>),
}

impl Link {
    /// Whether both point to the same node, so that everything below is the same too.
    pub fn same(&self, other: &Link) -> bool {
        match (self, other) {
            (Link::Mem(a), Link::Mem(b)) if Arc::ptr_eq(a, b) => true,
            _ => match (self.ptr(), other.ptr()) {
                (Some(a), Some(b)) => a == b,
                _ => false,
            },
        }
    }

    /// Where the node lies on disk, if it was written.
    pub fn ptr(&self) -> Option<Ptr> {
        match self {
            Link::Disk(ptr) => Some(*ptr),
            Link::Mem(node) => node.place.get().copied(),
        }
    }

    /// Lets go of nodes in memory that have their places on disk: all of the subtree, or as far as
    /// this link's tree is the sole owner. They may be many, and go when the caller drops them.
    pub fn demote(&mut self) -> Vec<Link> {
        let mut gone = Vec::new();
        self.demote_into(&mut gone);
        gone
    }

    fn demote_into(&mut self, gone: &mut Vec<Link>) {
        if let Some(ptr) = self.ptr() {
            gone.push(std::mem::replace(self, Link::Disk(ptr)));
        } else if let Link::Mem(node) = self
            && let Some(node) = Arc::get_mut(node)
            && let Body::Inner { children, .. } = &mut node.body
        {
            children.iter_mut().for_each(|child| child.link.demote_into(gone));
        }
    }
}

/// A whole tree: the link to its root node, its height above the leaves, and its sums.
#[derive(Debug, Clone)]
pub(crate) struct Root {
    pub link: Link,
    pub level: u8,
    pub entries: u64,
    pub bytes: u64,
}

impl Root {
    pub fn on_disk(root: &DiskRoot) -> Root {
        Root {
            link: Link::Disk(root.ptr),
            level: root.level,
            entries: root.entries,
            bytes: root.bytes,
        }
    }

    pub fn to_disk(&self, ptr: Ptr) -> DiskRoot {
        DiskRoot { ptr, level: self.level, entries: self.entries, bytes: self.bytes }
    }
}
