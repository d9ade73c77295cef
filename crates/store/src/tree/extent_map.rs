//! Extent entries: the keys `map ++ block number` name runs of data blocks. Mapping a run replaces
//! what it covers: entries that stick out are cut, and the blocks that no entry names any more are
//! handed to `dropped`.

use super::cursor::Cursor;
use super::edit::{ShadowPolicy, Tree};
use super::nodes::Nodes;
use super::root::Root;
use crate::error::{Error, Result};
use crate::format::block::BlockAddr;
use crate::format::extent::{Extent, TAG_BYTES};
use crate::format::ids::Generation;
use crate::format::layout::EXTENT_BLOCKS_MAX;
use std::ops::Range;

/// The key of the extent entry of `map` that begins at `block`.
pub(crate) fn map_key(map: &[u8], block: u64) -> Vec<u8> {
    let mut key = Vec::with_capacity(map.len() + 8);
    key.extend_from_slice(map);
    key.extend_from_slice(&block.to_be_bytes());
    key
}

/// A run to be mapped.
#[derive(Debug, Clone)]
pub(crate) struct NewRun {
    pub addr: BlockAddr,
    pub sums: Vec<u32>,
    pub shared: bool,
    /// Generation of birth; for shared runs that of the source.
    pub birth: Generation,
}

/// Entry `extent` begins at `block` of its map.
pub(crate) struct Mapped {
    pub block: u64,
    pub extent: Extent,
}

impl Mapped {
    /// Its blocks in the map.
    pub fn blocks(&self) -> Range<u64> {
        self.block..self.block + self.extent.blocks()
    }
}

/// Iterates the extents of `map` that overlap some blocks of it, in order. Values that were put
/// under keys of the map are not of it, and passed over.
pub(crate) struct Runs<'a> {
    nodes: &'a Nodes,
    cursor: Cursor,
    map: &'a [u8],
    blocks: Range<u64>,
}

pub(crate) fn map_runs<'a>(
    nodes: &'a Nodes,
    root: &Root,
    map: &'a [u8],
    blocks: Range<u64>,
) -> Result<Runs<'a>> {
    let mut cursor = Cursor::seek_floor(nodes, root, &map_key(map, blocks.start))?;
    // The run that covers the first block may begin before it, with values in between.
    while cursor.peek().is_some_and(|found| is_value(map, found.key(), found.value()))
        && cursor.back(nodes)?.is_some()
    {}
    Ok(Runs { nodes, cursor, map, blocks })
}

/// A value lies where an extent of the map would.
fn is_value(map: &[u8], key: &[u8], value: &[u8]) -> bool {
    key.len() == map.len() + 8 && key.starts_with(map) && value.first() == Some(&TAG_BYTES)
}

/// The keys under which values lie in some blocks of `map`.
pub(crate) fn values_in_map(
    nodes: &Nodes,
    root: &Root,
    map: &[u8],
    blocks: Range<u64>,
    mut each: impl FnMut(&[u8]) -> Result<()>,
) -> Result<()> {
    let mut cursor = Cursor::seek(nodes, root, &map_key(map, blocks.start))?;
    let end = map_key(map, blocks.end);
    while let Some(found) = cursor.forward(nodes)?
        && found.key() < end.as_slice()
    {
        if is_value(map, found.key(), found.value()) {
            each(found.key())?;
        }
    }
    Ok(())
}

impl Iterator for Runs<'_> {
    type Item = Result<Mapped>;

    fn next(&mut self) -> Option<Result<Mapped>> {
        loop {
            let (key, value) = match self.cursor.next(self.nodes) {
                Ok(entry) => entry?,
                Err(error) => return Some(Err(error)),
            };
            match decode(self.map, &key, &value) {
                Place::Before => {}
                Place::Behind => return None,
                Place::Of(Err(error)) => return Some(Err(error)),
                Place::Of(Ok(mapped)) if mapped.block >= self.blocks.end => return None,
                Place::Of(Ok(mapped)) if mapped.blocks().end <= self.blocks.start => {}
                Place::Of(Ok(mapped)) => return Some(Ok(mapped)),
            }
        }
    }
}

enum Place {
    Before,
    Of(Result<Mapped>),
    Behind,
}

fn decode(map: &[u8], key: &[u8], value: &[u8]) -> Place {
    let Some(digits) = key.strip_prefix(map) else {
        return if key < map { Place::Before } else { Place::Behind };
    };
    let Ok(digits) = <[u8; 8]>::try_from(digits) else { return Place::Before };
    if is_value(map, key, value) {
        return Place::Before;
    }
    let extent = Extent::decode(value).map_err(|m| Error::damaged(m.0));
    Place::Of(extent.map(|extent| Mapped { block: u64::from_be_bytes(digits), extent }))
}

impl<O: ShadowPolicy> Tree<'_, O> {
    /// Takes blocks out of `map`.
    pub fn unmap(
        &mut self,
        map: &[u8],
        blocks: Range<u64>,
        dropped: &mut impl FnMut(&Extent) -> Result<()>,
    ) -> Result<()> {
        loop {
            // A few at a time: a file of terabytes has millions.
            let found = map_runs(self.nodes, self.root, map, blocks.clone())?
                .take(64)
                .collect::<Result<Vec<_>>>()?;
            for mapped in &found {
                self.trim_entry(map, mapped, &blocks, dropped)?;
            }
            if found.len() < 64 {
                return Ok(());
            }
        }
    }

    /// Takes what lies in `blocks` of the map out of one entry.
    fn trim_entry(
        &mut self,
        map: &[u8],
        mapped: &Mapped,
        blocks: &Range<u64>,
        dropped: &mut impl FnMut(&Extent) -> Result<()>,
    ) -> Result<()> {
        let Range { start, end } = mapped.blocks();
        let (cut_from, cut_to) = (blocks.start.max(start), blocks.end.min(end));
        if cut_to < end {
            let right = mapped.extent.slice(cut_to - start..end - start);
            self.put(&map_key(map, cut_to), &right.encode())?;
        }
        if cut_from > start {
            let left = mapped.extent.slice(0..cut_from - start);
            self.put(&map_key(map, start), &left.encode())?;
        } else {
            self.remove(&map_key(map, start))?;
        }
        dropped(&mapped.extent.slice(cut_from - start..cut_to - start))
    }

    /// Maps `run` at `block`, where nothing is mapped. Continues the entry before it when both are
    /// private and lie side by side in the store.
    pub fn map(&mut self, map: &[u8], block: u64, run: &NewRun) -> Result<()> {
        let mut extent =
            Extent { addr: run.addr, birth: run.birth, shared: run.shared, sums: run.sums.clone() };
        if !run.shared
            && block > 0
            && let Some(before) = map_runs(self.nodes, self.root, map, block - 1..block)?.next()
        {
            let before = before?;
            let continues = before.extent.run().end() == run.addr
                && !before.extent.shared
                && before.extent.birth > self.policy.share_gen()
                && before.extent.blocks() + extent.blocks() <= EXTENT_BLOCKS_MAX;
            if continues {
                let mut sums = before.extent.sums.clone();
                sums.append(&mut extent.sums);
                extent = Extent { sums, ..before.extent };
                return self.put(&map_key(map, before.block), &extent.encode());
            }
        }
        self.put(&map_key(map, block), &extent.encode())
    }
}
