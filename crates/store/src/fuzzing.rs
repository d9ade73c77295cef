//! What fuzzing feeds the decoders with: bytes with right checksums, as an attacker would
//! write them. Whatever they say, the answer is a value or an error, never a panic, and never
//! memory without bound.
//!
//! The fuzz targets and the everyday tests call the same functions.

use crate::device::{Device, MemoryDevice};
use crate::error::Result;
use crate::format::block::BlockAddr;
use crate::format::checksum;
use crate::format::ids::Generation;
use crate::format::layout::{BLOCK_BYTES, NODE_BYTES};
use crate::format::pointer::Ptr;
use crate::format::superblock::Superblock;
use crate::journal::group;
use crate::journal::replay;
use crate::options::Options;
use crate::recover::newest_superblock;
use crate::store::Store;
use crate::tree::Node;
use std::ops::Bound;
use std::sync::{Arc, OnceLock};

/// A superblock with these bytes and a right checksum; then a whole store that begins with it.
pub fn superblock(data: &[u8]) {
    let mut block = data[..data.len().min(BLOCK_BYTES - 16)].to_vec();
    block.resize(BLOCK_BYTES - 16, 0);
    block[..8].copy_from_slice(&small_superblock()[..8]);
    let sum = checksum(&block);
    block.extend_from_slice(&sum.to_le_bytes());
    let Ok(decoded) = Superblock::decode(&block) else { return };
    assert_eq!(
        Superblock::decode(&decoded.encode()).ok(),
        Some(decoded),
        "it reads as it is written"
    );
    let disk = small_store().clone_contents();
    for copy in [0, 1, 256, 257].map(BlockAddr) {
        let _ = disk.write_at(copy.offset(), &block);
    }
    let _ = use_store(disk);
}

/// A tree node with these bytes, under a pointer that agrees with it.
pub fn node(data: &[u8]) {
    let mut image = data[..data.len().min(NODE_BYTES)].to_vec();
    image.resize(NODE_BYTES, 0);
    image[..4].copy_from_slice(&0x646E_7431u32.to_le_bytes());
    let number = |at: usize| {
        image[at..at + 8].iter().rev().fold(0, |n: u64, byte| n << 8 | u64::from(*byte))
    };
    let ptr =
        Ptr { addr: BlockAddr(number(8)), birth: Generation(number(16)), sum: checksum(&image) };
    let Ok(node) = Node::decode(&image, &ptr, image[4]) else { return };
    let Some((again, ptr)) = node.encode(ptr.addr) else { return };
    assert_eq!(again.len(), NODE_BYTES, "a node that was read fits its place");
    let second = Node::decode(&again, &ptr, node.level);
    assert_eq!(second.map(|second| second.sums()).ok(), Some(node.sums()));
}

/// A journal group with these bytes as its records, after the last one of a small store, which is
/// then opened.
pub fn journal(data: &[u8]) {
    let disk = small_store().clone_contents();
    let Some((count, records)) = data.split_first() else { return };
    let appended = append(&disk, u64::from(*count), records);
    assert!(appended.is_ok(), "the small store is whole");
    let _ = use_store(disk);
}

fn append(disk: &MemoryDevice, count: u64, records: &[u8]) -> Result<()> {
    let found = replay(disk, &newest_superblock(disk)?)?;
    let mut bytes = vec![0; group::HEADER_BYTES];
    bytes.extend_from_slice(&records[..records.len().min(64 << 10)]);
    let group = group::seal(bytes, 0, &found.ring.link, count, found.durable);
    let mut ring = found.ring;
    ring.write(disk, &group, found.durable).map(drop)
}

/// Opens a store that may say anything, and does with it what people do.
fn use_store(disk: MemoryDevice) -> Result<()> {
    // A lie about sizes must not cost memory without bound.
    disk.set_capacity(Some(64 << 20));
    let store = Store::open_on(Arc::new(disk), &quiet())?;
    let _ = store.check();
    for info in store.branches()? {
        let Ok(branch) = store.branch(&info.name) else { continue };
        if let Ok(read) = branch.read() {
            let _ = read
                .range(Bound::Unbounded, Bound::Unbounded)
                .take(500)
                .try_for_each(|e| e.map(drop));
            let _ = read.read_map(b"~f", 5, &mut [0; 20_000]);
        }
        let _ = store.fork(&info.name, "another");
        let _ = store.delete(&info.name);
    }
    store.reclaim_all()
}

fn quiet() -> Options {
    Options { background: false, cache_bytes: 1 << 16, ..Options::default() }
}

fn small_superblock() -> Vec<u8> {
    let mut block = vec![0; BLOCK_BYTES];
    let _ = small_store().read_at(256 * BLOCK_BYTES as u64, &mut block);
    block
}

/// A store with a branch that holds a little of everything, made once.
fn small_store() -> &'static MemoryDevice {
    static STORE: OnceLock<MemoryDevice> = OnceLock::new();
    STORE.get_or_init(|| {
        let disk = Arc::new(MemoryDevice::new());
        make(&disk).expect("a new store in memory takes writes");
        disk.clone_contents()
    })
}

fn make(disk: &Arc<MemoryDevice>) -> Result<()> {
    let store = Store::create_on(disk.clone(), &quiet())?;
    let main = store.create_branch("main")?;
    let mut txn = main.write()?;
    txn.put(b"key", b"value")?;
    txn.map(b"~f", 0, main.stage(&[7; 3 * BLOCK_BYTES])?)?;
    txn.commit()?;
    store.fork("main", "fork")?;
    store.checkpoint()?;
    let mut txn = main.write()?;
    txn.put(b"later", b"on")?;
    txn.commit()?;
    main.sync()
}

/// Inputs to begin with: the structures of the small store.
pub fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    let mut seeds = vec![("superblock", small_superblock())];
    let disk = small_store();
    let len = disk.len().unwrap_or_default() / BLOCK_BYTES as u64;
    for block in 0..len.min(4096) {
        let mut image = vec![0; NODE_BYTES];
        let read = disk.read_at(block * BLOCK_BYTES as u64, &mut image);
        if read.is_err() {
            continue;
        }
        let filled = image.iter().rposition(|byte| *byte != 0).map_or(0, |at| at + 1);
        match &image[..4] {
            b"1tnd" => seeds.push(("node", image[..filled].to_vec())),
            b"1tjn" if filled > group::HEADER_BYTES => {
                seeds.push(("journal", [&[1], &image[group::HEADER_BYTES..filled]].concat()));
            }
            _ => {}
        }
    }
    seeds
}
