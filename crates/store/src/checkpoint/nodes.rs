//! Writing nodes bottom-up: each gets its place once, however many trees share it.

use crate::device::AlignedBuf;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::format::block::BlockAddr;
use crate::format::catalog::DiskRoot;
use crate::format::ids::Generation;
use crate::format::layout::{NODE_BLOCKS, NODE_BYTES};
use crate::format::pointer::Ptr;
use crate::sync::{Mutex, lock};
use crate::tree::{Body, Link, Node, Root, ShadowPolicy};
use std::sync::Arc;

/// Images gathered before they are written in one call.
const BATCH_NODES_MAX: usize = 128;

pub(crate) struct NodeWriter<'a> {
    engine: &'a Engine,
    /// Images at consecutive addresses from `first` on.
    first: BlockAddr,
    batch: Vec<Vec<u8>>,
}

impl<'a> NodeWriter<'a> {
    pub fn new(engine: &'a Engine) -> NodeWriter<'a> {
        NodeWriter { engine, first: BlockAddr(0), batch: Vec::new() }
    }

    /// Writes what the tree has in memory only; its root on disk.
    pub fn write(&mut self, root: &Root) -> Result<DiskRoot> {
        Ok(root.to_disk(self.place(&root.link)?))
    }

    fn place(&mut self, link: &Link) -> Result<Ptr> {
        let node = match (link.ptr(), link) {
            (Some(ptr), _) => return Ok(ptr),
            (None, Link::Mem(node)) => node,
            (None, Link::Disk(ptr)) => return Ok(*ptr),
        };
        if let Body::Inner { children, .. } = &node.body {
            for child in children {
                self.place(&child.link)?;
            }
        }
        self.place_node(node)
    }

    fn place_node(&mut self, node: &Arc<Node>) -> Result<Ptr> {
        let addr = self.engine.space.allocate_node()?;
        let (image, ptr) = node
            .encode(addr)
            .ok_or_else(|| Error::damaged_at(addr, "a child of a node has no place"))?;
        if image.len() != NODE_BYTES {
            return Err(Error::damaged_at(addr, "a node outgrew its place"));
        }
        if addr != self.first + self.batch.len() as u64 * NODE_BLOCKS
            || self.batch.len() >= BATCH_NODES_MAX
        {
            self.finish()?;
            self.first = addr;
        }
        self.batch.push(image);
        if self.engine.refs.place(node, ptr) {
            // Superseded since the cut: this checkpoint still names it, the next one won't.
            self.engine.space.free_after_checkpoint(self.engine.freed(ptr.run(), Some(node.birth)));
        }
        self.engine.nodes.remember(node);
        Ok(ptr)
    }

    /// Writes the images gathered so far.
    pub fn finish(&mut self) -> Result<()> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let mut joined = AlignedBuf::zeroed(self.batch.len() * NODE_BYTES);
        for (place, image) in joined.chunks_exact_mut(NODE_BYTES).zip(self.batch.drain(..)) {
            place.copy_from_slice(&image);
        }
        let written = self.engine.device.write_at(self.first.offset(), &joined);
        written.map_err(|e| Error::io("writing tree nodes", e))
    }
}

/// The system tree is never cloned: what a copy supersedes is garbage.
pub(crate) struct SystemPolicy {
    birth: Generation,
    superseded: Mutex<Vec<Ptr>>,
}

impl SystemPolicy {
    pub fn new(birth: Generation) -> SystemPolicy {
        SystemPolicy { birth: birth.max(Generation(1)), superseded: Mutex::default() }
    }

    /// Where the nodes lie that are garbage now.
    pub fn superseded_nodes(&self) -> Vec<Ptr> {
        lock(&self.superseded).clone()
    }
}

impl ShadowPolicy for SystemPolicy {
    fn birth(&self) -> Generation {
        self.birth
    }
    fn share_gen(&self) -> Generation {
        Generation(0)
    }
    fn superseded(&self, node: &Arc<Node>) -> Result<()> {
        lock(&self.superseded).extend(node.place.get());
        Ok(())
    }
    // Its nodes get their places at once; no room is reserved for each.
    fn grew(&self) {}
}
