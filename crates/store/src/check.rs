//! The checker: recomputes counts, space, sums and order from the roots, and compares them with
//! what the store recorded. Shares no bookkeeping with the code it checks.

mod finding;
mod names;

pub use finding::{CheckReport, Finding, Severity};

use crate::device::AlignedBuf;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::format::block::{BlockAddr, BlockRun};
use crate::format::block_checksum;
use crate::format::catalog::{
    self as format, PREFIX_BRANCH, PREFIX_COUNT, PREFIX_FORK_POINT, PREFIX_RECLAIM,
};
use crate::format::codec::Malformed;
use crate::format::extent::Extent;
use crate::format::ids::{ForkPointId, Generation};
use crate::format::layout::{
    BLOCK_BYTES, NODE_BLOCKS, PlaceInSegment, SEGMENT_BLOCKS, SEGMENT_HEAD_BLOCKS, segment_of,
    segment_start,
};
use crate::format::superblock::Superblock;
use crate::space::{Bits, Span, TableImage};
use crate::sync::lock;
use crate::tree::{Body, Bounds, Child, Cursor, Link, Node, Root, Sums};
use std::collections::{BTreeMap, HashMap};

/// Checkpoints, then checks what is on the disk; others may go on meanwhile.
pub(crate) fn check(engine: &Engine) -> Result<CheckReport> {
    engine.checkpoint()?;
    let durable = lock(&engine.durable);
    let superblock = durable.superblock.clone();
    let mut checker = Checker {
        engine,
        report: CheckReport::default(),
        nodes: HashMap::new(),
        recorded: BTreeMap::new(),
        shared: HashMap::new(),
        data: Vec::new(),
        used: Vec::new(),
    };
    // While the durable checkpoint is held, no block that it names is reused.
    checker.run(&superblock)?;
    drop(durable);
    Ok(checker.report)
}

/// The first and the last key of a subtree.
#[derive(Clone)]
struct KeyRange {
    first: Vec<u8>,
    last: Vec<u8>,
}

/// What became known of a subtree.
struct Walked {
    /// All its nodes could be read.
    readable: bool,
    /// `None` where that is not known.
    keys: Option<KeyRange>,
}

/// Where in a store a node stands.
#[derive(Clone, Copy)]
struct Place<'a> {
    /// The tree, for people.
    tree: &'a str,
    bounds: Bounds<'a>,
    /// `None` for a root.
    parent_birth: Option<Generation>,
    /// Its parent says how many entries and bytes it holds. Of the system tree nothing does.
    sums_known: bool,
}

/// The blocks from `start` to `end`, which have one count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Piece {
    start: BlockAddr,
    end: BlockAddr,
    count: u32,
}

/// How many branches keep a fork point, and how many it records.
#[derive(Default)]
struct Users {
    found: u64,
    recorded: u64,
}

struct Checker<'a> {
    engine: &'a Engine,
    report: CheckReport,
    /// Pointers to each node.
    nodes: HashMap<BlockAddr, u32>,
    /// Recorded counts by the first block of their range.
    recorded: BTreeMap<BlockAddr, Piece>,
    /// The keys below each node that several pointers should name.
    shared: HashMap<BlockAddr, KeyRange>,
    /// Runs of data blocks, once per pointer.
    data: Vec<BlockRun>,
    /// Runs of blocks that must be marked used.
    used: Vec<BlockRun>,
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
            self.used.push(BlockRun::new(superblock.ring_block, superblock.ring_blocks));
        }
        let Some((ptr, level)) = superblock.system else {
            self.find(Severity::Fatal, "there is no system tree", "superblock");
            return Ok(());
        };
        let system = Root { link: Link::Disk(ptr), level, entries: 0, bytes: 0 };
        if !self.tree("the system tree", &system, false)? {
            return Ok(());
        }
        self.recorded = self.recorded_counts(&system)?;
        self.catalog(&system)?;
        for (severity, what, place) in names::check(&self.engine.nodes, &system, superblock)? {
            self.find(severity, what, place);
        }
        self.compare_counts();
        self.compare_space(superblock)
    }

    fn recorded_counts(&self, system: &Root) -> Result<BTreeMap<BlockAddr, Piece>> {
        let mut counts = BTreeMap::new();
        let nodes = &self.engine.nodes;
        let mut cursor = Cursor::seek(nodes, system, &[PREFIX_COUNT])?;
        let bad = |m: Malformed| Error::damaged(m.0);
        while let Some((key, value)) = cursor.next(nodes)?
            && key.first() == Some(&PREFIX_COUNT)
        {
            let start = BlockAddr(format::key_number(&key).map_err(bad)?);
            let (blocks, count) = format::decode_count(&value).map_err(bad)?;
            counts.insert(start, Piece { start, end: start + blocks, count });
        }
        Ok(counts)
    }

    /// Walks what the system tree names.
    fn catalog(&mut self, system: &Root) -> Result<()> {
        let mut fork_points: HashMap<ForkPointId, Users> = HashMap::new();
        let nodes = &self.engine.nodes;
        let mut cursor = Cursor::seek(nodes, system, &[])?;
        let bad = |m: Malformed| Error::damaged(m.0);
        while let Some((key, value)) = cursor.next(nodes)? {
            match key.first() {
                Some(&PREFIX_BRANCH) => {
                    let (meta, root) = format::decode_branch(&value).map_err(bad)?;
                    if let Some(id) = meta.fork_point {
                        fork_points.entry(id).or_default().found += 1;
                    }
                    self.tree(&format!("branch {}", meta.name), &Root::on_disk(&root), true)?;
                }
                Some(&PREFIX_FORK_POINT) => {
                    let (users, root) = format::decode_fork_point(&value).map_err(bad)?;
                    let id = format::key_number(&key).map_err(bad)?;
                    fork_points.entry(ForkPointId(id)).or_default().recorded = users;
                    self.tree(&format!("fork point {id}"), &Root::on_disk(&root), true)?;
                }
                Some(&PREFIX_RECLAIM) => {
                    let root = format::decode_reclaim(&value).map_err(bad)?;
                    self.tree("the reclaim queue", &Root::on_disk(&root), true)?;
                }
                _ => {}
            }
        }
        for (ForkPointId(id), Users { found, recorded }) in fork_points {
            if found != recorded {
                let what = format!("it has {found} branches, and records {recorded}");
                self.find(Severity::Error, what, format!("fork point {id}"));
            }
        }
        Ok(())
    }

    /// Counts a pointer to the root; walks the tree if it was not walked before. Returns `true` if
    /// all of it could be read.
    fn tree(&mut self, tree: &str, root: &Root, sums_known: bool) -> Result<bool> {
        let top = Child { link: root.link.clone(), entries: root.entries, bytes: root.bytes };
        let place = Place { tree, bounds: Bounds::ALL, parent_birth: None, sums_known };
        Ok(self.node(place, &top, root.level)?.readable)
    }

    fn node(&mut self, place: Place<'_>, child: &Child, level: u8) -> Result<Walked> {
        let Some(ptr) = child.link.ptr() else { return Ok(Walked { readable: true, keys: None }) };
        let at = format!("{}, block {}", place.tree, ptr.addr);
        let pointers = self.nodes.entry(ptr.addr).or_default();
        *pointers += 1;
        if *pointers > 1 {
            return Ok(self.node_again(place, &at, ptr.addr));
        }
        let node = match self.engine.nodes.read(&ptr, level) {
            Ok(node) => node,
            Err(Error::Damaged { what, .. }) => {
                self.find(Severity::Error, what, at);
                return Ok(Walked { readable: false, keys: None });
            }
            Err(error) => return Err(error),
        };
        self.report.blocks_checked += NODE_BLOCKS;
        self.used.push(ptr.run());
        if place.parent_birth.is_some_and(|birth| node.birth > birth) {
            self.find(Severity::Error, "it is younger than its parent", at.clone());
        }
        if place.sums_known && node.sums() != child.sums() {
            let in_words = |sums: Sums| format!("({}, {})", sums.entries, sums.bytes);
            let (found, said) = (in_words(node.sums()), in_words(child.sums()));
            let what = format!("its sums are {found}, its parent says {said}");
            self.find(Severity::Error, what, at.clone());
        }
        let empty_root = place.parent_birth.is_none() && node.records() == 0;
        if !empty_root && let Err(Error::Damaged { what, .. }) = place.bounds.admit(&node) {
            self.find(Severity::Error, what, at.clone());
        }
        let walked = self.body(place, &at, &node)?;
        if let Some(keys) = &walked.keys
            && self.is_recorded_shared(ptr.addr)
        {
            self.shared.insert(ptr.addr, keys.clone());
        }
        Ok(walked)
    }

    /// A node that another pointer led to before. Where only one pointer is recorded, that is found
    /// when counts are compared; of the system tree none are.
    fn node_again(&mut self, place: Place<'_>, at: &str, addr: BlockAddr) -> Walked {
        if !place.sums_known {
            self.find(Severity::Fatal, "a node of the system tree stands in two places", at);
            return Walked { readable: false, keys: None };
        }
        let keys = self.shared.get(&addr).cloned();
        let Bounds { low, high } = place.bounds;
        if keys.as_ref().is_some_and(|keys| {
            keys.first.as_slice() < low || high.is_some_and(|high| keys.last.as_slice() >= high)
        }) {
            self.find(Severity::Error, "a tree node stands where its keys do not belong", at);
        }
        Walked { readable: true, keys }
    }

    fn is_recorded_shared(&self, addr: BlockAddr) -> bool {
        let before = self.recorded.range(..=addr).next_back();
        before.is_some_and(|(_, piece)| addr < piece.end)
    }

    fn body(&mut self, place: Place<'_>, at: &str, node: &Node) -> Result<Walked> {
        match &node.body {
            Body::Leaf(entries) => {
                // The system tree holds records of its own, and no extents.
                for i in (0..entries.len()).filter(|_| place.sums_known) {
                    if Extent::peek_blocks(entries.value(i)) > 0 {
                        match Extent::decode(entries.value(i)) {
                            Ok(extent) => self.extent(at, &extent)?,
                            Err(m) => self.find(Severity::Error, m.0, at),
                        }
                    }
                }
                let keys = (entries.len() > 0).then(|| KeyRange {
                    first: entries.key(0).to_vec(),
                    last: entries.key(entries.len() - 1).to_vec(),
                });
                Ok(Walked { readable: true, keys })
            }
            Body::Inner { keys, children } => {
                let (mut readable, mut first, mut last) = (true, None, None);
                for (i, child) in children.iter().enumerate() {
                    let bounds = place.bounds.of_child(keys, i);
                    let below = Place { bounds, parent_birth: Some(node.birth), ..place };
                    let walked = self.node(below, child, node.level - 1)?;
                    readable &= walked.readable;
                    last = walked.keys.as_ref().map(|keys| keys.last.clone());
                    if i == 0 {
                        first = walked.keys.map(|keys| keys.first);
                    }
                }
                let keys = first.zip(last).map(|(first, last)| KeyRange { first, last });
                Ok(Walked { readable, keys })
            }
        }
    }

    /// Verifies the data of an extent.
    fn extent(&mut self, at: &str, extent: &Extent) -> Result<()> {
        self.data.push(extent.run());
        let end = extent.addr.checked_add(extent.blocks()).and_then(BlockAddr::checked_offset);
        let len = self.engine.device.len().map_err(|e| Error::io("measuring the store", e))?;
        if end.is_none_or(|end| end > len) {
            self.find(Severity::Error, "an extent leads out of the file", at);
            return Ok(());
        }
        let mut data = AlignedBuf::zeroed(extent.sums.len() * BLOCK_BYTES);
        let offset = extent.addr.offset();
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

    /// Pieces of the data runs.
    fn data_counts(&self) -> Vec<Piece> {
        let mut edges: BTreeMap<BlockAddr, i64> = BTreeMap::new();
        for run in &self.data {
            *edges.entry(run.start).or_default() += 1;
            *edges.entry(run.end()).or_default() -= 1;
        }
        let mut pieces = Vec::new();
        let (mut at, mut count) = (BlockAddr(0), 0i64);
        for (edge, change) in edges {
            if count > 0 {
                pieces.push(Piece { start: at, end: edge, count: count as u32 });
            }
            at = edge;
            count += change;
        }
        pieces
    }

    fn compare_counts(&mut self) {
        let mut pieces = self.data_counts();
        self.used.extend(pieces.iter().map(|it| BlockRun::new(it.start, it.end - it.start)));
        let node = |(start, count): (&BlockAddr, &u32)| Piece {
            start: *start,
            end: *start + NODE_BLOCKS,
            count: *count,
        };
        pieces.extend(self.nodes.iter().map(node));
        pieces.retain(|piece| piece.count > 1);
        pieces.sort_unstable();
        let expected = join(pieces.into_iter());
        let stored = join(self.recorded.values().copied());
        if expected == stored {
            return;
        }
        let wrong = expected
            .iter()
            .find(|p| !stored.contains(p))
            .or(stored.iter().find(|p| !expected.contains(p)));
        if let Some(Piece { start, end, count }) = wrong {
            let count_in = |pieces: &[Piece]| {
                let overlapping = pieces.iter().find(|p| p.start < *end && p.end > *start);
                overlapping.map_or(1, |piece| piece.count)
            };
            let (real, recorded) = (count_in(&expected), count_in(&stored));
            let what = format!(
                "a reference count is {real}, and {recorded} is recorded (piece of {count})"
            );
            self.find(Severity::Error, what, format!("blocks {start} to {end}"));
        }
    }

    fn compare_space(&mut self, superblock: &Superblock) -> Result<()> {
        let bitmaps = TableImage::of(superblock).bitmaps(&*self.engine.device)?;
        let mut expected = vec![Bits::clear(); bitmaps.len()];
        for run in std::mem::take(&mut self.used) {
            let start = run.start;
            let Some(PlaceInSegment { segment, at }) =
                segment_of(start).filter(|place| place.segment < bitmaps.len() as u64)
            else {
                self.find(
                    Severity::Fatal,
                    "a block in use lies outside the segments",
                    format!("block {start}"),
                );
                continue;
            };
            let span = Span { at, blocks: run.blocks };
            if expected[segment as usize].set(span, true) != run.blocks {
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

fn join(pieces: impl Iterator<Item = Piece>) -> Vec<Piece> {
    let mut joined: Vec<Piece> = Vec::new();
    for piece in pieces {
        match joined.last_mut() {
            Some(last) if last.end == piece.start && last.count == piece.count => {
                last.end = piece.end;
            }
            _ => joined.push(piece),
        }
    }
    joined
}
