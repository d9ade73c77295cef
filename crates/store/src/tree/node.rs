//! A node, in memory and as 8 KiB on disk, and the links between nodes.

use super::entries::Entries;
use crate::format::block::BlockAddr;
use crate::format::checksum;
use crate::format::codec::{Decoded, Malformed, Reader, Writer};
use crate::format::ids::Generation;
use crate::format::layout::{KEY_BYTES_MAX, NODE_BYTES};
use crate::format::pointer::Ptr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

const MAGIC: u32 = 0x646E_7431;
/// Magic 4, level 1, zero 1, records 2, its address 8, birth 8, prefix length 2, zeros 6.
const HEADER_BYTES: usize = 32;
/// Child pointer and sums after each key of an inner node.
pub(super) const CHILD_BYTES: usize = Ptr::BYTES + 16;
/// What records may take before a node is split.
pub(crate) const BODY_BYTES: usize = NODE_BYTES - HEADER_BYTES;
/// Trees of more levels than this are hostile: 2^32 leaves need far fewer.
pub(crate) const LEVELS_MAX: u8 = 24;

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

/// A child of an inner node, with the sums of its subtree.
#[derive(Debug, Clone)]
pub(crate) struct Child {
    pub link: Link,
    pub entries: u64,
    pub bytes: u64,
}

impl Child {
    /// A node in memory as a child.
    pub fn of(node: Arc<Node>) -> Child {
        let Sums { entries, bytes } = node.sums();
        Child { link: Link::Mem(node), entries, bytes }
    }

    pub fn sums(&self) -> Sums {
        Sums { entries: self.entries, bytes: self.bytes }
    }
}

/// What a subtree holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sums {
    pub entries: u64,
    /// Bytes that the entries reference.
    pub bytes: u64,
}

#[derive(Debug, Clone)]
pub(crate) enum Body {
    Leaf(Entries),
    /// Child `i` holds the keys from key `i` on; what sorts before key 0 belongs to child 0 too.
    Inner {
        keys: Entries,
        children: Vec<Child>,
    },
}

#[derive(Debug)]
pub(crate) struct Node {
    /// Unique in this process: the node's name until it has an address.
    pub id: u64,
    /// Generation in which it was first made.
    pub birth: Generation,
    pub level: u8,
    /// Set once, when a checkpoint gives the node its place.
    pub place: OnceLock<Ptr>,
    pub body: Body,
}

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

impl Node {
    pub fn new(birth: Generation, level: u8, body: Body) -> Node {
        Node {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            birth,
            level,
            place: OnceLock::new(),
            body,
        }
    }

    pub fn empty(birth: Generation) -> Node {
        Node::new(birth, 0, Body::Leaf(Entries::default()))
    }

    /// A copy to write into, born now.
    pub fn copy_born(&self, birth: Generation) -> Node {
        let body = match &self.body {
            Body::Leaf(entries) => Body::Leaf(entries.roomy_copy()),
            inner => inner.clone(),
        };
        Node::new(birth, self.level, body)
    }

    /// Bytes that the records would take on disk.
    pub fn body_bytes(&self) -> usize {
        match &self.body {
            Body::Leaf(entries) => entries.disk_bytes(),
            Body::Inner { keys, children } => keys.disk_bytes() + children.len() * CHILD_BYTES,
        }
    }

    pub fn overfull(&self) -> bool {
        self.body_bytes() > BODY_BYTES
    }

    pub fn records(&self) -> usize {
        match &self.body {
            Body::Leaf(entries) => entries.len(),
            Body::Inner { children, .. } => children.len(),
        }
    }

    /// What the subtree holds.
    pub fn sums(&self) -> Sums {
        match &self.body {
            Body::Leaf(entries) => {
                let bytes =
                    (0..entries.len()).map(|i| entry_bytes(entries.key(i), entries.value(i))).sum();
                Sums { entries: entries.len() as u64, bytes }
            }
            Body::Inner { children, .. } => {
                let mut sums = Sums { entries: 0, bytes: 0 };
                for child in children {
                    sums.entries += child.entries;
                    sums.bytes += child.bytes;
                }
                sums
            }
        }
    }

    /// The child that holds `key`.
    pub fn child_index(keys: &Entries, key: &[u8]) -> usize {
        match keys.search(key) {
            Ok(i) => i,
            Err(i) => i.saturating_sub(1),
        }
    }

    /// The node's image at `addr`. All children must have their places; `None` if one has not.
    pub fn encode(&self, addr: BlockAddr) -> Option<(Vec<u8>, Ptr)> {
        let (keys, children) = match &self.body {
            Body::Leaf(entries) => (entries, None),
            Body::Inner { keys, children } => (keys, Some(children)),
        };
        let prefix = keys.prefix_len();
        let mut w = Writer(Vec::with_capacity(NODE_BYTES));
        w.u32(MAGIC).u8(self.level).u8(0).u16(keys.len() as u16).u64(addr.0).u64(self.birth.0);
        w.u16(prefix as u16).u32(0).u16(0);
        if keys.len() > 0 {
            w.raw(&keys.key(0)[..prefix]);
        }
        for i in 0..keys.len() {
            w.short(&keys.key(i)[prefix..]);
            match children {
                None => {
                    w.short(keys.value(i));
                }
                Some(children) => {
                    children[i].link.ptr()?.encode(&mut w);
                    w.u64(children[i].entries).u64(children[i].bytes);
                }
            }
        }
        debug_assert!(w.0.len() <= NODE_BYTES);
        w.0.resize(NODE_BYTES, 0);
        let sum = checksum(&w.0);
        Some((w.0, Ptr { addr, birth: self.birth, sum }))
    }

    /// The node that `ptr` names; any other content is an error that says what is wrong.
    pub fn decode(image: &[u8], ptr: &Ptr, level: u8) -> Decoded<Node> {
        if checksum(image) != ptr.sum {
            return Err(Malformed("a tree node fails its checksum"));
        }
        let mut r = Reader(image);
        if r.u32()? != MAGIC {
            return Err(Malformed("a tree node has no magic number"));
        }
        let (found_level, _, records) = (r.u8()?, r.u8()?, r.u16()?);
        let (addr, birth) = (BlockAddr(r.u64()?), Generation(r.u64()?));
        let prefix = usize::from(r.u16()?);
        let _ = (r.u32()?, r.u16()?);
        if found_level != level || addr != ptr.addr || birth != ptr.birth {
            return Err(Malformed("a tree node is not the one its parent names"));
        }
        let prefix = r.raw(prefix)?;
        let body = decode_body(&mut r, prefix, usize::from(records), level)?;
        let place = OnceLock::from(*ptr);
        Ok(Node { id: NEXT_ID.fetch_add(1, Ordering::Relaxed), birth, level, place, body })
    }
}

fn decode_body(r: &mut Reader, prefix: &[u8], records: usize, level: u8) -> Decoded<Body> {
    let mut keys = Entries::with_capacity(r.0.len(), records);
    let mut children = Vec::with_capacity(if level == 0 { 0 } else { records });
    for i in 0..records {
        let suffix = r.short()?;
        if prefix.len() + suffix.len() > KEY_BYTES_MAX {
            return Err(Malformed("a tree node holds a key that is too long"));
        }
        if level == 0 {
            keys.push(prefix, suffix, r.short()?);
        } else {
            keys.push(prefix, suffix, &[]);
            children.push(Child {
                link: Link::Disk(Ptr::decode(r)?),
                entries: r.number()?,
                bytes: r.number()?,
            });
        }
        if i > 0 && keys.key(i - 1) >= keys.key(i) {
            return Err(Malformed("a tree node's keys are out of order"));
        }
    }
    keys.sharpen();
    match level {
        0 => Ok(Body::Leaf(keys)),
        _ if records == 0 => Err(Malformed("an inner node has no child")),
        _ => Ok(Body::Inner { keys, children }),
    }
}

/// What an entry adds to the referenced bytes: the data that it names, or its own length.
pub(crate) fn entry_bytes(key: &[u8], value: &[u8]) -> u64 {
    match crate::format::extent::Extent::peek_blocks(value) {
        0 => (key.len() + value.len()) as u64,
        blocks => blocks * crate::format::layout::BLOCK_BYTES as u64,
    }
}
