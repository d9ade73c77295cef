//! The checker: recomputes counts, space, sums and order from the roots, and compares them with what
//! the store recorded. Shares no bookkeeping with the code it checks.

use crate::device::AlignedBuf;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::format::block_checksum;
use crate::format::catalog::{
    self as format, PREFIX_BASE, PREFIX_BRANCH, PREFIX_COUNT, PREFIX_RECLAIM,
};
use crate::format::codec::Malformed;
use crate::format::extent::Extent;
use crate::format::layout::{
    BLOCK_BYTES, NODE_BLOCKS, SEGMENT_BLOCKS, SEGMENT_HEAD_BLOCKS, segment_of, segment_start,
};
use crate::format::superblock::Superblock;
use crate::space::{Bits, TableImage};
use crate::sync::lock;
use crate::tree::{Body, Child, Cursor, Link, Node, Root};
use std::collections::{BTreeMap, HashMap};

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Space or order is lost, data is not.
    Warning,
    /// Something can't be read, or may be lost later.
    Error,
    /// The store can't be used as it is.
    Fatal,
}

/// Something that is not as it must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong.
    pub what: String,
    /// Where: a branch, a block address.
    pub place: String,
}

/// What a check found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CheckReport {
    /// Empty for a sound store.
    pub findings: Vec<Finding>,
    /// Blocks of nodes and data that were read and verified.
    pub blocks_checked: u64,
}

/// Checkpoints, then checks what is on the disk; others may go on meanwhile.
pub(crate) fn check(engine: &Engine) -> Result<CheckReport> {
    engine.checkpoint()?;
    let durable = lock(&engine.durable);
    let superblock = durable.superblock.clone();
    let mut checker = Checker {
        engine,
        report: CheckReport::default(),
        nodes: HashMap::new(),
        data: Vec::new(),
        used: Vec::new(),
    };
    // While the durable checkpoint is held, no block that it names is reused.
    checker.run(&superblock)?;
    drop(durable);
    Ok(checker.report)
}

struct Checker<'a> {
    engine: &'a Engine,
    report: CheckReport,
    /// Pointers to each node.
    nodes: HashMap<u64, u32>,
    /// Runs of data blocks, once per pointer.
    data: Vec<(u64, u64)>,
    /// Runs of blocks that must be marked used.
    used: Vec<(u64, u64)>,
}

impl Checker<'_> {
    fn find(&mut self, severity: Severity, what: impl Into<String>, place: impl Into<String>) {
        // A store full of damage is as damaged with a thousand findings as with a million.
        if self.report.findings.len() < 1000 {
            self.report.findings.push(Finding { severity, what: what.into(), place: place.into() });
        }
    }

    fn run(&mut self, superblock: &Superblock) -> Result<()> {
        self.used.extend(TableImage::of(superblock).run());
        if segment_of(superblock.ring_block).is_some() {
            self.used.push((superblock.ring_block, superblock.ring_blocks));
        }
        let Some((ptr, level)) = superblock.system else {
            self.find(Severity::Fatal, "there is no system tree", "superblock");
            return Ok(());
        };
        let system = Root { link: Link::Disk(ptr), level, entries: 0, bytes: 0 };
        if !self.tree("the system tree", &system, false)? {
            return Ok(());
        }
        let recorded = self.catalog(&system)?;
        self.compare_counts(&recorded);
        self.compare_space(superblock)
    }

    /// Walks what the system tree names; returns the counts that it records.
    fn catalog(&mut self, system: &Root) -> Result<BTreeMap<u64, (u64, u32)>> {
        let mut counts = BTreeMap::new();
        let mut bases: HashMap<u64, (u64, u64)> = HashMap::new();
        let nodes = &self.engine.nodes;
        let mut cursor = Cursor::seek(nodes, system, &[])?;
        let bad = |m: Malformed| Error::damaged(0, m.0);
        while let Some((key, value)) = cursor.next(nodes)? {
            match key.first() {
                Some(&PREFIX_BRANCH) => {
                    let (meta, root) = format::decode_branch(&value).map_err(bad)?;
                    if meta.base != 0 {
                        bases.entry(meta.base).or_default().0 += 1;
                    }
                    self.tree(&format!("branch {}", meta.name), &Root::on_disk(&root), true)?;
                }
                Some(&PREFIX_BASE) => {
                    let (users, root) = format::decode_base(&value).map_err(bad)?;
                    let id = format::key_number(&key).map_err(bad)?;
                    bases.entry(id).or_default().1 = users;
                    self.tree(&format!("fork point {id}"), &Root::on_disk(&root), true)?;
                }
                Some(&PREFIX_RECLAIM) => {
                    let root = format::decode_reclaim(&value).map_err(bad)?;
                    self.tree("the reclaim queue", &Root::on_disk(&root), true)?;
                }
                Some(&PREFIX_COUNT) => {
                    let addr = format::key_number(&key).map_err(bad)?;
                    counts.insert(addr, format::decode_count(&value).map_err(bad)?);
                }
                _ => {}
            }
        }
        for (id, (users, recorded)) in bases {
            if users != recorded {
                let what = format!("it has {users} branches, and records {recorded}");
                self.find(Severity::Error, what, format!("fork point {id}"));
            }
        }
        Ok(counts)
    }

    /// Counts a pointer to the root; walks the tree if it was not walked before.
    fn tree(&mut self, place: &str, root: &Root, sums_known: bool) -> Result<bool> {
        let top = Child { link: root.link.clone(), entries: root.entries, bytes: root.bytes };
        self.node(place, &top, root.level, (&[], None), None, sums_known)
    }

    fn node(
        &mut self,
        place: &str,
        child: &Child,
        level: u8,
        (low, high): (&[u8], Option<&[u8]>),
        parent_birth: Option<u64>,
        sums_known: bool,
    ) -> Result<bool> {
        let Some(ptr) = child.link.ptr() else { return Ok(true) };
        let pointers = self.nodes.entry(ptr.addr).or_default();
        *pointers += 1;
        if *pointers > 1 {
            return Ok(true);
        }
        let at = format!("{place}, block {}", ptr.addr);
        let node = match self.engine.nodes.read(&ptr, level) {
            Ok(node) => node,
            Err(Error::Damaged { what, .. }) => {
                self.find(Severity::Error, what, at);
                return Ok(false);
            }
            Err(error) => return Err(error),
        };
        self.report.blocks_checked += NODE_BLOCKS;
        self.used.push((ptr.addr, NODE_BLOCKS));
        if parent_birth.is_some_and(|birth| node.birth > birth) {
            self.find(Severity::Error, "it is younger than its parent", at.clone());
        }
        if sums_known && node.sums() != (child.entries, child.bytes) {
            let what = format!(
                "its sums are {:?}, its parent says {:?}",
                node.sums(),
                (child.entries, child.bytes)
            );
            self.find(Severity::Error, what, at.clone());
        }
        self.body(place, &at, &node, (low, high), sums_known)
    }

    fn body(
        &mut self,
        place: &str,
        at: &str,
        node: &Node,
        (low, high): (&[u8], Option<&[u8]>),
        sums_known: bool,
    ) -> Result<bool> {
        let mut sound = true;
        match &node.body {
            Body::Leaf(entries) => {
                for i in 0..entries.len() {
                    let key = entries.key(i);
                    if key < low || high.is_some_and(|high| key >= high) {
                        self.find(Severity::Error, "a key lies outside its node's bounds", at);
                    }
                    // The system tree holds records of its own, and no extents.
                    if sums_known && Extent::peek_blocks(entries.value(i)) > 0 {
                        match Extent::decode(entries.value(i)) {
                            Ok(extent) => self.extent(at, &extent)?,
                            Err(m) => self.find(Severity::Error, m.0, at),
                        }
                    }
                }
            }
            Body::Inner { keys, children } => {
                for (i, child) in children.iter().enumerate() {
                    let child_low = if i == 0 { low } else { keys.key(i) };
                    let child_high = if i + 1 < keys.len() { Some(keys.key(i + 1)) } else { high };
                    let bounds = (child_low, child_high);
                    sound &= self.node(
                        place,
                        child,
                        node.level - 1,
                        bounds,
                        Some(node.birth),
                        sums_known,
                    )?;
                }
            }
        }
        Ok(sound)
    }

    /// Verifies the data of an extent.
    fn extent(&mut self, at: &str, extent: &Extent) -> Result<()> {
        self.data.push((extent.addr, extent.blocks()));
        let end = extent
            .addr
            .checked_add(extent.blocks())
            .and_then(|e| e.checked_mul(BLOCK_BYTES as u64));
        let len = self.engine.device.len().map_err(|e| Error::io("measuring the store", e))?;
        if end.is_none_or(|end| end > len) {
            self.find(Severity::Error, "an extent leads out of the file", at);
            return Ok(());
        }
        let mut data = AlignedBuf::zeroed(extent.sums.len() * BLOCK_BYTES);
        let offset = extent.addr * BLOCK_BYTES as u64;
        self.engine
            .device
            .read_at(offset, &mut data)
            .map_err(|e| Error::io("reading file data", e))?;
        for (i, (block, sum)) in data.chunks_exact(BLOCK_BYTES).zip(&extent.sums).enumerate() {
            if block_checksum(block) != *sum {
                let place = format!("{at}, data block {}", extent.addr + i as u64);
                self.find(Severity::Error, "file data fails its checksum", place);
            }
        }
        self.report.blocks_checked += extent.blocks();
        Ok(())
    }

    /// Pieces (start, end, count) of the data runs.
    fn data_counts(&self) -> Vec<(u64, u64, u32)> {
        let mut edges: BTreeMap<u64, i64> = BTreeMap::new();
        for (addr, blocks) in &self.data {
            *edges.entry(*addr).or_default() += 1;
            *edges.entry(addr + blocks).or_default() -= 1;
        }
        let mut pieces = Vec::new();
        let (mut at, mut count) = (0, 0i64);
        for (edge, change) in edges {
            if count > 0 {
                pieces.push((at, edge, count as u32));
            }
            at = edge;
            count += change;
        }
        pieces
    }

    fn compare_counts(&mut self, recorded: &BTreeMap<u64, (u64, u32)>) {
        let mut pieces = self.data_counts();
        self.used.extend(pieces.iter().map(|(start, end, _)| (*start, end - start)));
        pieces.extend(self.nodes.iter().map(|(addr, count)| (*addr, addr + NODE_BLOCKS, *count)));
        pieces.retain(|piece| piece.2 > 1);
        pieces.sort_unstable();
        let expected = join(pieces.into_iter());
        let stored =
            join(recorded.iter().map(|(addr, (blocks, count))| (*addr, addr + blocks, *count)));
        if expected == stored {
            return;
        }
        let wrong = expected
            .iter()
            .find(|p| !stored.contains(p))
            .or(stored.iter().find(|p| !expected.contains(p)));
        if let Some((start, end, count)) = wrong {
            let recorded = stored.iter().find(|p| p.0 < *end && p.1 > *start).map_or(1, |p| p.2);
            let real = expected.iter().find(|p| p.0 < *end && p.1 > *start).map_or(1, |p| p.2);
            let what = format!(
                "a reference count is {real}, and {recorded} is recorded (piece of {count})"
            );
            self.find(Severity::Error, what, format!("blocks {start} to {end}"));
        }
    }

    fn compare_space(&mut self, superblock: &Superblock) -> Result<()> {
        let bitmaps = TableImage::of(superblock).bitmaps(&*self.engine.device)?;
        let mut expected = vec![Bits::clear(); bitmaps.len()];
        for (start, blocks) in std::mem::take(&mut self.used) {
            let Some((index, at)) =
                segment_of(start).filter(|(i, _)| (*i as usize) < bitmaps.len())
            else {
                self.find(
                    Severity::Fatal,
                    "a block in use lies outside the segments",
                    format!("block {start}"),
                );
                continue;
            };
            if expected[index as usize].set(at, blocks, true) != blocks {
                self.find(Severity::Error, "blocks are used twice", format!("block {start}"));
            }
        }
        let mut leaked = 0;
        let mut first_leak = None;
        for (index, (bits, expected)) in bitmaps.iter().zip(&expected).enumerate() {
            let base = segment_start(index as u64);
            for at in SEGMENT_HEAD_BLOCKS..SEGMENT_BLOCKS {
                match (bits.get(at), expected.get(at)) {
                    (true, false) => {
                        leaked += 1;
                        first_leak.get_or_insert(base + at);
                    }
                    (false, true) => {
                        let place = format!("block {}", base + at);
                        self.find(Severity::Fatal, "a block in use is marked free", place);
                    }
                    _ => {}
                }
            }
        }
        if let Some(first) = first_leak {
            let what = format!("{leaked} blocks are marked used, and nothing names them");
            self.find(Severity::Warning, what, format!("block {first} and others"));
        }
        Ok(())
    }
}

fn join(pieces: impl Iterator<Item = (u64, u64, u32)>) -> Vec<(u64, u64, u32)> {
    let mut joined: Vec<(u64, u64, u32)> = Vec::new();
    for piece in pieces {
        match joined.last_mut() {
            Some(last) if last.1 == piece.0 && last.2 == piece.2 => last.1 = piece.1,
            _ => joined.push(piece),
        }
    }
    joined
}
