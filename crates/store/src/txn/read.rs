//! A consistent snapshot of a branch.

use super::raw::{formerly, raw, stored, stored_map};
use crate::device::AlignedBuf;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::format::block_checksum;
use crate::format::extent::{Extent, TAG_BYTES};
use crate::format::layout::BLOCK_BYTES;
use crate::format::table_key::name_in;
use crate::open_store::Shared;
use crate::pins::Pin;
use crate::table::Prefix;
use crate::tree::{self, Cursor, Found, Node, Root, map_runs};
use std::ops::Bound;
use std::sync::{Arc, OnceLock};

/// What a key holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// An inline value.
    Bytes(Vec<u8>),
    /// A run of data blocks that begins at the block number in the key.
    Extent {
        /// Its length in blocks.
        blocks: u64,
        /// Where the run lies in the store, in blocks: blocks of one store at the same place are
        /// the same.
        place: u64,
    },
}

/// A mapped run of blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// Its first block number in the map.
    pub block: u64,
    /// Its length in blocks.
    pub blocks: u64,
}

/// A snapshot of a branch: sees what was committed before it began, and nothing later. Costs two
/// counters to make, never blocks a writer, and holds back the reuse of what it can reach: kept for
/// long, it costs the space of its snapshot, and of what was written in the seconds around its
/// beginning.
#[derive(Debug, Clone)]
pub struct ReadTxn {
    pub(crate) shared: Arc<Shared>,
    pub(crate) root: Root,
    /// The root's node, once it was needed: all that read here begin with it.
    top: OnceLock<Arc<Node>>,
    _pin: Arc<Pin>,
}

impl ReadTxn {
    /// `root` could not change when it was pinned.
    pub(crate) fn new(shared: Arc<Shared>, root: Root, pin: Pin) -> ReadTxn {
        ReadTxn { shared, root, top: OnceLock::new(), _pin: Arc::new(pin) }
    }

    /// The entry of a key, whatever it holds.
    pub(crate) fn find(&self, key: &[u8]) -> Result<Option<Found>> {
        let nodes = &self.shared.engine()?.nodes;
        let top = match self.top.get() {
            Some(top) => top,
            None => {
                let top = nodes.load(&self.root.link, self.root.level)?;
                self.top.get_or_init(|| top)
            }
        };
        tree::find_below(nodes, top, key)
    }

    /// The inline value of `key`.
    ///
    /// # Errors
    /// [`Error::WrongKind`] for the key of an extent; damage and I/O errors.
    pub fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        match (self.get_at(&stored(key))?, formerly(key)) {
            (None, Some(key)) => self.get_at(key),
            (found, _) => Ok(found),
        }
    }

    /// The inline value that lies under a key of the tree.
    pub(crate) fn get_at(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        match self.find(key)?.as_ref().map(Found::value) {
            None => Ok(None),
            Some([TAG_BYTES, bytes @ ..]) => Ok(Some(bytes.to_vec())),
            Some(_) => Err(Error::wrong_kind(key, "an extent", "an inline value")),
        }
    }

    /// The entries between two bounds, in order of their keys. Those of tables are passed over;
    /// [`ReadTxn::tables`] has them.
    pub fn range(&self, from: Bound<&[u8]>, to: Bound<&[u8]>) -> Range {
        let start = match from {
            Bound::Included(key) => stored(key).into_owned(),
            // The next possible key.
            Bound::Excluded(key) => stored(&[key, &[0]].concat()).into_owned(),
            Bound::Unbounded => Vec::new(),
        };
        let to = to.map(|key| stored(key).into_owned());
        Range { txn: self.clone(), state: RangeState::Unopened(start), to }
    }

    /// Fills `buf` from byte `offset` of a map. Holes, and values put under keys of the map, read
    /// as zeros.
    ///
    /// # Errors
    /// [`Error::TooLarge`] beyond byte 2^63; [`Error::Damaged`] when data fails its checksum; I/O
    /// errors.
    pub fn read_map(&self, map: &[u8], offset: u64, buf: &mut [u8]) -> Result<()> {
        let engine = self.shared.engine()?;
        buf.fill(0);
        if buf.is_empty() {
            return Ok(());
        }
        let block_bytes = BLOCK_BYTES as u64;
        let end = offset.saturating_add(buf.len() as u64);
        if end > 1 << 63 {
            return Err(Error::TooLarge {
                what: "a map to the end of what is read",
                len: end as usize,
                unit: "bytes",
                limit: 1 << 63,
            });
        }
        let (from, to) = (offset / block_bytes, end.div_ceil(block_bytes));
        for mapped in map_runs(&engine.nodes, &self.root, &stored_map(map), from..to)? {
            let mapped = mapped?;
            let first = from.max(mapped.block);
            let last = to.min(mapped.blocks().end);
            let piece = mapped.extent.slice(first - mapped.block..last - mapped.block);
            let data = read_extent(engine, &piece)?;
            let start = first * block_bytes;
            let copy_from = offset.max(start);
            let copy_to = end.min(last * block_bytes);
            buf[(copy_from - offset) as usize..(copy_to - offset) as usize]
                .copy_from_slice(&data[(copy_from - start) as usize..(copy_to - start) as usize]);
        }
        Ok(())
    }

    /// The mapped runs of a map that end after `from_block`, in order; neighbours are not joined.
    pub fn extents(&self, map: &[u8], from_block: u64) -> Extents {
        Extents {
            txn: self.clone(),
            map: stored_map(map).into_owned(),
            cursor: None,
            from_block,
            done: false,
        }
    }

    /// Bytes that the snapshot references: data blocks and inline entries.
    pub fn referenced_bytes(&self) -> Result<u64> {
        self.shared.engine()?;
        Ok(self.root.bytes)
    }

    /// Number of entries, those of tables and extents included.
    pub fn entries(&self) -> u64 {
        self.root.entries
    }
}

fn read_extent(engine: &Engine, extent: &Extent) -> Result<AlignedBuf> {
    let mut data = AlignedBuf::zeroed(extent.sums.len() * BLOCK_BYTES);
    engine.dirty.read(extent.addr, &mut data)?;
    for (i, (block, sum)) in data.chunks_exact(BLOCK_BYTES).zip(&extent.sums).enumerate() {
        if block_checksum(block) != *sum {
            return Err(Error::damaged_at(extent.addr + i as u64, "file data fails its checksum"));
        }
    }
    Ok(data)
}

pub(crate) fn value_of(raw: &[u8]) -> Value {
    match raw {
        [TAG_BYTES, bytes @ ..] => Value::Bytes(bytes.to_vec()),
        _ => Value::Extent {
            blocks: Extent::peek_blocks(raw),
            place: Extent::peek_addr(raw).map_or(0, |addr| addr.0),
        },
    }
}

#[derive(Debug)]
enum RangeState {
    Unopened(Vec<u8>),
    Open(Cursor),
    Done,
}

/// Iterates entries in order of their keys. Ends after the first error.
#[derive(Debug)]
pub struct Range {
    txn: ReadTxn,
    state: RangeState,
    to: Bound<Vec<u8>>,
}

impl Range {
    fn step(&mut self) -> Result<Option<(Vec<u8>, Value)>> {
        let nodes = &self.txn.shared.engine()?.nodes;
        if let RangeState::Unopened(start) = &self.state {
            self.state = RangeState::Open(Cursor::seek(nodes, &self.txn.root, start)?);
        }
        let RangeState::Open(cursor) = &mut self.state else { return Ok(None) };
        while let Some(found) = cursor.forward(nodes)? {
            let inside = match &self.to {
                Bound::Included(end) => found.key() <= end.as_slice(),
                Bound::Excluded(end) => found.key() < end.as_slice(),
                Bound::Unbounded => true,
            };
            if !inside {
                break;
            }
            if let Some(key) = raw(found.key()) {
                return Ok(Some((key.into_owned(), value_of(found.value()))));
            }
            if let Some(name) = name_in(found.key()) {
                *cursor = Cursor::seek(nodes, &self.txn.root, &Prefix::of(name)?.end())?;
            }
        }
        Ok(None)
    }
}

impl Iterator for Range {
    type Item = Result<(Vec<u8>, Value)>;

    fn next(&mut self) -> Option<Self::Item> {
        let item = self.step().transpose();
        if !matches!(item, Some(Ok(_))) {
            self.state = RangeState::Done;
        }
        item
    }
}

/// Iterates the mapped runs of one map.
#[derive(Debug)]
pub struct Extents {
    txn: ReadTxn,
    /// What its keys in the tree begin with.
    map: Vec<u8>,
    cursor: Option<Cursor>,
    from_block: u64,
    done: bool,
}

impl Extents {
    fn step(&mut self) -> Result<Option<Run>> {
        let nodes = &self.txn.shared.engine()?.nodes;
        let cursor = match &mut self.cursor {
            Some(cursor) => cursor,
            none => {
                // The run that covers the first block may begin before it.
                let root = &self.txn.root;
                let first = map_runs(nodes, root, &self.map, self.from_block..u64::MAX)?.next();
                let Some(first) = first.transpose()? else { return Ok(None) };
                none.insert(Cursor::seek(nodes, root, &tree::map_key(&self.map, first.block))?)
            }
        };
        while let Some(found) = cursor.forward(nodes)?
            && let Some(digits) = found.key().strip_prefix(self.map.as_slice())
        {
            if let Value::Extent { blocks, .. } = value_of(found.value())
                && let Ok(digits) = digits.try_into()
            {
                return Ok(Some(Run { block: u64::from_be_bytes(digits), blocks }));
            }
        }
        Ok(None)
    }
}

impl Iterator for Extents {
    type Item = Result<Run>;

    fn next(&mut self) -> Option<Result<Run>> {
        if self.done {
            return None;
        }
        let step = self.step();
        self.done = !matches!(step, Ok(Some(_)));
        step.transpose()
    }
}
