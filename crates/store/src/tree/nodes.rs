//! Loading nodes, through a bounded cache of those that lie on disk.

use super::node::{Body, LEVELS_MAX, Link, Node};
use crate::device::{AlignedBuf, Device};
use crate::error::{Error, Result};
use crate::format::block::BlockAddr;
use crate::format::layout::{NODE_BLOCKS, NODE_BYTES};
use crate::format::pointer::Ptr;
use crate::sync::Mutex;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

const SHARDS: usize = 16;
/// Memory of a cached node: its image, its slots and the map's share.
const NODE_MEMORY_BYTES: usize = NODE_BYTES + 2048;

/// Reads nodes and keeps the ones used last (a clock per shard).
#[derive(Debug)]
pub(crate) struct Nodes {
    device: Arc<dyn Device>,
    shards: Vec<Mutex<Shard>>,
    shard_nodes_max: usize,
}

#[derive(Debug, Default)]
struct Shard {
    map: HashMap<BlockAddr, Slot, BuildHasherDefault<AddressHasher>>,
    ring: Vec<BlockAddr>,
    hand: usize,
}

#[derive(Debug)]
struct Slot {
    node: Arc<Node>,
    used: AtomicBool,
}

/// Addresses are well spread already: one multiplication is hash enough.
#[derive(Debug, Default)]
struct AddressHasher(u64);

impl Hasher for AddressHasher {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }
    fn write_u64(&mut self, n: u64) {
        let mixed = (self.0 ^ n).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        self.0 = mixed ^ (mixed >> 29);
    }
}

impl Nodes {
    pub fn new(device: Arc<dyn Device>, cache_bytes: usize) -> Nodes {
        let shard_nodes_max = (cache_bytes / NODE_MEMORY_BYTES / SHARDS).max(8);
        Nodes { device, shards: (0..SHARDS).map(|_| Mutex::default()).collect(), shard_nodes_max }
    }

    fn shard(&self, addr: BlockAddr) -> &Mutex<Shard> {
        &self.shards[((addr.0 / 2) % SHARDS as u64) as usize]
    }

    /// The node that `link` points to, which stands `level` above the leaves.
    pub fn load(&self, link: &Link, level: u8) -> Result<Arc<Node>> {
        match link {
            Link::Mem(node) => Ok(Arc::clone(node)),
            Link::Disk(ptr) => self.load_ptr(ptr, level),
        }
    }

    fn load_ptr(&self, ptr: &Ptr, level: u8) -> Result<Arc<Node>> {
        // A parent that lies about the level finds out by reading.
        if let Some(node) = self.cached(ptr).filter(|node| node.level == level) {
            return Ok(node);
        }
        self.fetch(ptr, level)
    }

    /// Reads a node from the host's memory, or from the device, into the cache.
    fn fetch(&self, ptr: &Ptr, level: u8) -> Result<Arc<Node>> {
        // What the host keeps there and proves wrong says nothing about the device.
        let read = self.read_by(ptr, level, |from, image| self.device.read_cached(from, image));
        let node = Arc::new(read.or_else(|_| self.read(ptr, level))?);
        self.remember(&node);
        Ok(node)
    }

    /// How many nodes the cache holds.
    pub fn capacity(&self) -> usize {
        self.shard_nodes_max * SHARDS
    }

    /// Brings leaves into the cache that lie on the device only. The device is asked for all of
    /// them before the first is read: neighbours at once, as those that one checkpoint wrote lie in
    /// the order of their keys.
    pub fn prefetch<'l>(&self, leaves: impl Iterator<Item = &'l Link>) -> Result<()> {
        let missing = leaves.filter_map(|link| match link {
            Link::Disk(ptr) if self.cached(ptr).is_none() => Some(*ptr),
            _ => None,
        });
        // More would push each other out again.
        let mut missing: Vec<Ptr> = missing.take(self.capacity() / 2).collect();
        missing.sort_unstable_by_key(|ptr| ptr.addr);
        // A single one is read as soon as the device could be asked for it in advance.
        if missing.len() > 1 {
            self.announce(&missing)?;
        }
        missing.iter().try_for_each(|ptr| self.fetch(ptr, 0).map(drop))
    }

    /// Tells the device of leaves, in the order of their places, that will be fetched.
    fn announce(&self, leaves: &[Ptr]) -> Result<()> {
        for span in leaves.chunk_by(lie_close) {
            let (Some(first), Some(last)) = (span.first(), span.last()) else { continue };
            self.device.expect_read(offset(first)?..offset(last)? + NODE_BYTES as u64);
        }
        Ok(())
    }

    fn cached(&self, ptr: &Ptr) -> Option<Arc<Node>> {
        let shard = crate::sync::lock(self.shard(ptr.addr));
        let slot = shard.map.get(&ptr.addr)?;
        if slot.node.place.get() != Some(ptr) {
            return None;
        }
        slot.used.store(true, Ordering::Relaxed);
        Some(Arc::clone(&slot.node))
    }

    /// Reads and verifies a node as the device has it, past all caches.
    pub fn read(&self, ptr: &Ptr, level: u8) -> Result<Node> {
        self.read_by(ptr, level, |from, image| self.device.read_at(from, image))
    }

    fn read_by(
        &self,
        ptr: &Ptr,
        level: u8,
        read: impl Fn(u64, &mut [u8]) -> io::Result<()>,
    ) -> Result<Node> {
        if level > LEVELS_MAX {
            return Err(Error::damaged_at(ptr.addr, "a tree is impossibly deep"));
        }
        let mut image = AlignedBuf::zeroed(NODE_BYTES);
        read(offset(ptr)?, &mut image).map_err(|e| Error::io("reading a tree node", e))?;
        Node::decode(&image, ptr, level).map_err(|m| Error::damaged_at(ptr.addr, m.0))
    }

    /// Keeps a node that has its place. An inner node is kept with links to disk only, so that it
    /// doesn't hold its whole subtree in memory.
    pub fn remember(&self, node: &Arc<Node>) {
        let Some(ptr) = node.place.get() else { return };
        let kept = match &node.body {
            Body::Inner { children, .. }
                if children.iter().any(|c| matches!(c.link, Link::Mem(_))) =>
            {
                match slim(node) {
                    Some(slim) => Arc::new(slim),
                    None => return,
                }
            }
            _ => Arc::clone(node),
        };
        let mut shard = crate::sync::lock(self.shard(ptr.addr));
        let slot = Slot { node: kept, used: AtomicBool::new(false) };
        if shard.map.insert(ptr.addr, slot).is_none() {
            shard.admit(ptr.addr, self.shard_nodes_max);
        }
    }
}

/// Whether two nodes are read together, the second after the first: what lies between costs less
/// than another read.
fn lie_close(one: &Ptr, next: &Ptr) -> bool {
    const GAP_BLOCKS_MAX: u64 = 8;
    const WINDOW_BLOCKS: u64 = 128;
    next.addr - one.addr <= GAP_BLOCKS_MAX + NODE_BLOCKS
        && next.addr.0 / WINDOW_BLOCKS == one.addr.0 / WINDOW_BLOCKS
}

/// Where a node lies in the file, in bytes.
fn offset(ptr: &Ptr) -> Result<u64> {
    let inside = ptr.addr.checked_offset().filter(|offset| *offset < i64::MAX as u64 - (1 << 20));
    inside.ok_or_else(|| Error::damaged_at(ptr.addr, "a pointer leads out of the file"))
}

impl Shard {
    fn admit(&mut self, addr: BlockAddr, nodes_max: usize) {
        if self.ring.len() < nodes_max {
            self.ring.push(addr);
            return;
        }
        loop {
            self.hand = (self.hand + 1) % self.ring.len();
            let victim = self.ring[self.hand];
            let used = self.map.get(&victim).is_some_and(|s| s.used.swap(false, Ordering::Relaxed));
            if !used {
                self.map.remove(&victim);
                self.ring[self.hand] = addr;
                return;
            }
        }
    }
}

fn slim(node: &Node) -> Option<Node> {
    let mut copy = node.copy_born(node.birth);
    copy.place = node.place.clone();
    if let Body::Inner { children, .. } = &mut copy.body {
        for child in children {
            child.link = Link::Disk(child.link.ptr()?);
        }
    }
    Some(copy)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::MemoryDevice;
    use crate::format::ids::Generation;
    use crate::format::layout::BLOCK_BYTES;
    use std::ops::Range;

    /// Leaves at these places, each with its own birth.
    fn leaves_at(disk: &MemoryDevice, places: &[u64]) -> Vec<Link> {
        let place = |(birth, addr): (usize, &u64)| {
            let (image, ptr) =
                Node::empty(Generation(birth as u64)).encode(BlockAddr(*addr)).unwrap();
            disk.write_at(ptr.addr.offset(), &image).unwrap();
            Link::Disk(ptr)
        };
        places.iter().enumerate().map(place).collect()
    }

    #[test]
    fn leaves_are_read_in_advance_wherever_they_lie_and_damage_among_them_is_told() {
        let disk = Arc::new(MemoryDevice::new());
        // Neighbours, some with gaps, some far away, in no order.
        let places = [40, 10, 12, 900, 20, 16, 5000, 122, 126, 130, 1 << 20];
        let mut leaves = leaves_at(&disk, &places);
        let nodes = Nodes::new(disk.clone(), 1 << 20);
        nodes.prefetch(leaves.iter()).unwrap();
        for (birth, link) in leaves.iter().enumerate() {
            let Link::Disk(ptr) = link else { unreachable!() };
            assert_eq!(nodes.cached(ptr).expect("it was read").birth, Generation(birth as u64));
        }
        let Link::Disk(ptr) = &mut leaves[2] else { unreachable!() };
        ptr.sum ^= 1;
        let nodes = Nodes::new(disk, 1 << 20);
        let told = nodes.prefetch(leaves.iter()).unwrap_err();
        assert!(matches!(told, Error::Damaged { block: Some(12), .. }), "{told}");
    }

    /// A host whose memory holds something else than the device, or cannot be read.
    #[derive(Debug)]
    struct BadMemory {
        disk: Arc<MemoryDevice>,
        unreadable: bool,
    }

    impl Device for BadMemory {
        fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
            self.disk.read_at(offset, buf)
        }
        fn read_cached(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
            if self.unreadable {
                return Err(io::Error::other("the host's memory cannot be read"));
            }
            // Another node, whole and with a right checksum of its own.
            let addr = BlockAddr(offset / BLOCK_BYTES as u64);
            let (image, _) = Node::empty(Generation(77)).encode(addr).unwrap();
            buf.copy_from_slice(&image);
            Ok(())
        }
        fn write_at(&self, offset: u64, buf: &[u8]) -> io::Result<()> {
            self.disk.write_at(offset, buf)
        }
        fn sync(&self) -> io::Result<()> {
            self.disk.sync()
        }
        fn len(&self) -> io::Result<u64> {
            self.disk.len()
        }
        fn set_len(&self, bytes: u64) -> io::Result<()> {
            self.disk.set_len(bytes)
        }
        fn allocate(&self, range: Range<u64>) -> io::Result<()> {
            self.disk.allocate(range)
        }
        fn punch(&self, range: Range<u64>) -> io::Result<()> {
            self.disk.punch(range)
        }
        fn allocated_bytes(&self) -> io::Result<u64> {
            self.disk.allocated_bytes()
        }
        fn host_free_bytes(&self) -> io::Result<u64> {
            self.disk.host_free_bytes()
        }
    }

    #[test]
    fn what_the_hosts_memory_has_wrong_comes_from_the_device() {
        let disk = Arc::new(MemoryDevice::new());
        let leaves = leaves_at(&disk, &[10, 12, 900]);
        for unreadable in [false, true] {
            let host = || Arc::new(BadMemory { disk: disk.clone(), unreadable });
            let (one_by_one, in_advance) =
                (Nodes::new(host(), 1 << 20), Nodes::new(host(), 1 << 20));
            in_advance.prefetch(leaves.iter()).unwrap();
            for (birth, link) in leaves.iter().enumerate() {
                assert_eq!(one_by_one.load(link, 0).unwrap().birth, Generation(birth as u64));
                let Link::Disk(ptr) = link else { unreachable!() };
                assert_eq!(
                    in_advance.cached(ptr).expect("it was read").birth,
                    Generation(birth as u64)
                );
            }
        }
    }

    #[test]
    fn pointers_out_of_the_file_are_refused_by_reads_in_advance_too() {
        let disk = Arc::new(MemoryDevice::new());
        let mut leaves = leaves_at(&disk, &[10, 12]);
        let Link::Disk(ptr) = leaves[0].clone() else { unreachable!() };
        let outside = [u64::MAX - 2, u64::MAX].map(BlockAddr);
        leaves.extend(outside.map(|addr| Link::Disk(Ptr { addr, ..ptr })));
        assert!(Nodes::new(disk, 1 << 20).prefetch(leaves.iter()).is_err());
    }
}
