//! Reading and writing the data of regular files.
//!
//! Data is staged outside the transaction, so that no other operation waits for a large write; the
//! transaction then only maps it. Two invariants hold between operations: the bytes of the last
//! block past the end of the file are zero, and no block is mapped behind it. So a file grows
//! without a write to what it has.

use std::ops::Range;

use tine_store::{BLOCK_BYTES, ReadTxn, STAGE_BYTES_MAX, Staged};

use crate::fs::{Fs, inode};
use crate::inode::Inode;
use crate::tree_txn::TreeTxn;
use crate::{Attr, Error, FILE_BYTES_MAX, Ino, Kind, Result, key};

pub(crate) const BLOCK: u64 = BLOCK_BYTES as u64;

/// Staged blocks that are still to be mapped into a file.
pub(crate) struct Piece {
    /// The first of their blocks in the file.
    pub block: u64,
    pub staged: Staged,
}

impl Fs {
    /// Reads bytes of a regular file; fewer than asked for only at its end.
    pub fn read(&self, ino: Ino, offset: u64, buf: &mut [u8]) -> Result<usize> {
        let txn = self.snapshot()?;
        read_data(&txn, &file(&txn, ino)?.attr, offset, buf)
    }

    /// Writes all of `data` to a regular file, and returns its length. `kill_set_id` is set for a
    /// caller without `CAP_FSETID`.
    pub fn write(&self, ino: Ino, offset: u64, data: &[u8], kill_set_id: bool) -> Result<usize> {
        if data.is_empty() {
            return Ok(0);
        }
        let end = offset.saturating_add(data.len() as u64);
        if end > FILE_BYTES_MAX {
            return Err(Error::FileTooLarge { ino, bytes: end });
        }
        let whole = offset.is_multiple_of(BLOCK) && end.is_multiple_of(BLOCK);
        let content = self.open_inodes().content(ino);
        let _guard = content.lock_for_write(whole);
        let pieces = if whole {
            self.stage(offset / BLOCK, data)?
        } else {
            self.stage_partial(ino, offset, data)?
        };
        let mut tree = self.begin()?;
        let mut inode = tree.file(ino)?;
        tree.map_data(&mut inode, offset / BLOCK..end.div_ceil(BLOCK), pieces)?;
        inode.attr.size = inode.attr.size.max(end);
        tree.put_changed_file(inode, kill_set_id)?;
        tree.commit()?;
        Ok(data.len())
    }

    fn stage(&self, first: u64, data: &[u8]) -> Result<Vec<Piece>> {
        let blocks = (first..).step_by(STAGE_BYTES_MAX / BLOCK_BYTES);
        blocks
            .zip(data.chunks(STAGE_BYTES_MAX))
            .map(|(block, chunk)| Ok(Piece { block, staged: self.branch().stage(chunk)? }))
            .collect()
    }

    /// Stages the bytes of a new file, without the blocks in which all are zero.
    pub(crate) fn stage_whole(&self, data: &[u8]) -> Result<Vec<Piece>> {
        let is_hole = |block: &[u8]| block.iter().all(|byte| *byte == 0);
        let mut pieces = Vec::new();
        let (mut at, blocks) = (0, data.chunks(BLOCK_BYTES).map(is_hole).collect::<Vec<_>>());
        for run in blocks.chunk_by(|a, b| a == b) {
            let bytes = at * BLOCK_BYTES..((at + run.len()) * BLOCK_BYTES).min(data.len());
            if !run[0] {
                let mut padded = data[bytes].to_vec();
                padded.resize(run.len() * BLOCK_BYTES, 0);
                pieces.extend(self.stage(at as u64, &padded)?);
            }
            at += run.len();
        }
        Ok(pieces)
    }

    /// Stages data that begins or ends inside a block, with what the file has in the rest of that
    /// block.
    fn stage_partial(&self, ino: Ino, offset: u64, data: &[u8]) -> Result<Vec<Piece>> {
        let head = (offset % BLOCK) as usize;
        let bytes = (head + data.len()).next_multiple_of(BLOCK_BYTES);
        let mut buf = vec![0; bytes];
        let (txn, map) = (self.snapshot()?, key::of(key::DATA, ino));
        let first = offset / BLOCK;
        let last = bytes - BLOCK_BYTES;
        if head > 0 || bytes == BLOCK_BYTES {
            txn.read_map(&map, first * BLOCK, &mut buf[..BLOCK_BYTES])?;
        }
        if last > 0 && head + data.len() < bytes {
            txn.read_map(&map, first * BLOCK + last as u64, &mut buf[last..])?;
        }
        buf[head..head + data.len()].copy_from_slice(data);
        self.stage(first, &buf)
    }

    /// Stages a block of a file with a range of its bytes set to zero. Returns `None` if it is a
    /// hole.
    pub(crate) fn stage_zeroed(
        &self,
        txn: &ReadTxn,
        ino: Ino,
        block: u64,
        zeros: Range<usize>,
    ) -> Result<Option<Staged>> {
        let map = key::of(key::DATA, ino);
        if mapped(txn, &map, block..block + 1)? == 0 {
            return Ok(None);
        }
        let mut buf = vec![0; BLOCK_BYTES];
        txn.read_map(&map, block * BLOCK, &mut buf)?;
        buf[zeros].fill(0);
        // The other blocks of the range come free.
        Ok(Some(self.branch().stage_giving_back(&buf)?))
    }
}

impl TreeTxn<'_> {
    /// A regular file.
    pub fn file(&self, ino: Ino) -> Result<Inode> {
        regular(self.inode(ino)?)
    }

    /// Maps staged blocks, which cover `blocks`, and counts those that were holes.
    pub fn map_data(
        &mut self,
        inode: &mut Inode,
        blocks: Range<u64>,
        pieces: Vec<Piece>,
    ) -> Result<()> {
        let had = mapped_in(self.view(), inode, blocks.clone())?;
        let map = key::of(key::DATA, inode.attr.ino);
        for Piece { block, staged } in pieces {
            self.txn.map(&map, block, staged)?;
        }
        inode.set_blocks(inode.blocks() + (blocks.end - blocks.start) - had);
        Ok(())
    }

    /// Stamps a file whose data changed, and clears its set-id bits and capabilities if asked to.
    pub fn put_changed_file(&mut self, mut inode: Inode, kill_set_id: bool) -> Result<()> {
        inode.attr.mtime = self.now;
        inode.attr.ctime = self.now;
        if kill_set_id {
            self.kill_privileges(&mut inode)?;
        }
        self.put_inode(inode);
        Ok(())
    }
}

/// How many of the blocks in a range of a map have data.
pub(crate) fn mapped(txn: &ReadTxn, map: &[u8], range: Range<u64>) -> Result<u64> {
    let mut blocks = 0;
    for run in txn.extents(map, range.start) {
        let run = run?;
        if run.block >= range.end {
            break;
        }
        let end = run.block.saturating_add(run.blocks).min(range.end);
        blocks += end.saturating_sub(run.block.max(range.start));
    }
    Ok(blocks)
}

/// As [`mapped`], without a search where the file has no holes.
pub(crate) fn mapped_in(txn: &ReadTxn, inode: &Inode, range: Range<u64>) -> Result<u64> {
    let range = range.start..range.end.min(inode.size_blocks());
    if inode.blocks() == inode.size_blocks() || range.is_empty() {
        return Ok(range.end.saturating_sub(range.start));
    }
    mapped(txn, &key::of(key::DATA, inode.attr.ino), range)
}

/// Reads bytes of a regular file of a snapshot; fewer than asked for only at its end.
pub(crate) fn read_data(txn: &ReadTxn, attr: &Attr, offset: u64, buf: &mut [u8]) -> Result<usize> {
    let bytes = attr.size.saturating_sub(offset).min(buf.len() as u64) as usize;
    txn.read_map(&key::of(key::DATA, attr.ino), offset, &mut buf[..bytes])?;
    Ok(bytes)
}

/// A regular file of a snapshot.
pub(crate) fn file(txn: &ReadTxn, ino: Ino) -> Result<Inode> {
    regular(inode(txn, ino)?)
}

fn regular(inode: Inode) -> Result<Inode> {
    match inode.attr.kind {
        Kind::File => Ok(inode),
        Kind::Directory => Err(Error::IsDirectory { ino: inode.attr.ino }),
        _ => Err(Error::Invalid("only a regular file has data")),
    }
}
