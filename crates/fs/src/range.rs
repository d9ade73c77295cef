//! Ranges of a file: allocating, punching, zeroing and finding them.

use std::ops::Range;

use crate::data::{BLOCK, Piece, file, mapped_in};
use crate::fs::Fs;
use crate::inode::Inode;
use crate::tree_txn::TreeTxn;
use crate::{Error, FILE_BYTES_MAX, Ino, Result, key};

/// What to do with a range of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fallocate {
    /// The file grows to the end of the range, unless `keep_size`. Blocks are allocated when they
    /// are written: data is never changed in place, so reserved blocks could not be used.
    Allocate {
        /// Keep the size.
        keep_size: bool,
    },
    /// The range becomes a hole; the size stays.
    PunchHole,
    /// The range reads as zeros; the file may grow, unless `keep_size`.
    ZeroRange {
        /// Keep the size.
        keep_size: bool,
    },
}

impl Fallocate {
    /// The meaning of the mode of `fallocate(2)`; collapsing, inserting and unsharing are refused.
    pub fn of_flags(flags: i32) -> Result<Fallocate> {
        const KEEP_SIZE: i32 = libc::FALLOC_FL_KEEP_SIZE;
        match flags & !KEEP_SIZE {
            0 => Ok(Fallocate::Allocate { keep_size: flags & KEEP_SIZE != 0 }),
            libc::FALLOC_FL_PUNCH_HOLE if flags & KEEP_SIZE != 0 => Ok(Fallocate::PunchHole),
            libc::FALLOC_FL_ZERO_RANGE => {
                Ok(Fallocate::ZeroRange { keep_size: flags & KEEP_SIZE != 0 })
            }
            _ => Err(Error::Unsupported("this mode of fallocate")),
        }
    }
}

/// What a seek looks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seek {
    /// The next byte that may be other than zero.
    Data,
    /// The next byte in a hole; the end of the file counts as one.
    Hole,
}

/// A range of a file that is to read as zeros.
pub(crate) struct Hole {
    /// The blocks that are unmapped.
    blocks: Range<u64>,
    /// The blocks that are zeroed in part.
    edges: Vec<Piece>,
}

impl Fs {
    /// Allocates, punches or zeroes a range of bytes of a regular file.
    pub fn fallocate(&self, ino: Ino, what: Fallocate, range: Range<u64>) -> Result<()> {
        if range.is_empty() {
            return Err(Error::Invalid("fallocate of no bytes"));
        }
        let end = range.end;
        if end > FILE_BYTES_MAX {
            return Err(Error::FileTooLarge { ino, bytes: end });
        }
        let content = self.open_inodes().content(ino);
        let _exclusive = content.exclusive();
        let (zeroes, keep_size) = match what {
            Fallocate::Allocate { keep_size } => (false, keep_size),
            Fallocate::PunchHole => (true, true),
            Fallocate::ZeroRange { keep_size } => (true, keep_size),
        };
        if !zeroes {
            self.expect_room(ino, range.clone())?;
        }
        let hole = zeroes.then(|| self.hole(ino, range)).transpose()?;
        let mut tree = if zeroes { self.begin_removal()? } else { self.begin()? };
        let mut inode = tree.file(ino)?;
        if let Some(hole) = hole {
            tree.make_hole(&mut inode, hole)?;
        }
        if !keep_size {
            inode.attr.size = inode.attr.size.max(end);
        }
        tree.put_changed_file(inode, false)?;
        tree.commit()
    }

    /// Refuses to allocate more than there is room for. No space is reserved, but a program that
    /// allocates it means to use it.
    fn expect_room(&self, ino: Ino, range: Range<u64>) -> Result<()> {
        let txn = self.snapshot()?;
        let inode = file(&txn, ino)?;
        let blocks = range.start / BLOCK..range.end.div_ceil(BLOCK);
        let count = blocks.end - blocks.start;
        let holes = count.saturating_sub(mapped_in(&txn, &inode, blocks)?);
        if self.has_room_for(holes.saturating_mul(BLOCK))? {
            return Ok(());
        }
        let what = format!("{} bytes of a file", range.end - range.start);
        Err(Error::Store(tine_store::Error::NoSpace { what }))
    }

    /// The next offset of data or of a hole.
    pub fn seek(&self, ino: Ino, offset: u64, what: Seek) -> Result<u64> {
        let txn = self.snapshot()?;
        let size = file(&txn, ino)?.attr.size;
        let nothing = Error::NoOffset { ino, offset };
        if offset >= size {
            return Err(nothing);
        }
        let mut runs = txn.extents(&key::of(key::DATA, ino), offset / BLOCK);
        if what == Seek::Data {
            return match runs.next().transpose()?.map(|run| run.block.saturating_mul(BLOCK)) {
                Some(data) if data < size => Ok(data.max(offset)),
                _ => Err(nothing),
            };
        }
        let mut block = offset / BLOCK;
        for run in runs {
            let run = run?;
            if run.block > block {
                break;
            }
            block = run.block.saturating_add(run.blocks);
        }
        Ok(block.saturating_mul(BLOCK).max(offset).min(size))
    }

    /// Prepares a range of bytes of a file to read as zeros. Called with the content of the file
    /// locked exclusively.
    pub(crate) fn hole(&self, ino: Ino, range: Range<u64>) -> Result<Hole> {
        let txn = self.snapshot()?;
        let inode = file(&txn, ino)?;
        let size = inode.attr.size;
        let (offset, end) = (range.start, range.end.min(size));
        if offset >= end {
            return Ok(Hole { blocks: 0..0, edges: Vec::new() });
        }
        let first = offset.div_ceil(BLOCK);
        let last = if end == size { inode.size_blocks() } else { end / BLOCK };
        let mut edges = Vec::new();
        let mut edge = |block: u64, zeros: Range<u64>| -> Result<()> {
            let zeros = zeros.start as usize..zeros.end as usize;
            let staged = self.stage_zeroed(&txn, ino, block, zeros)?;
            edges.extend(staged.map(|staged| Piece { block, staged }));
            Ok(())
        };
        if !offset.is_multiple_of(BLOCK) {
            let block = offset / BLOCK;
            edge(block, offset % BLOCK..(end - block * BLOCK).min(BLOCK))?;
        }
        if last >= first && last * BLOCK < end {
            edge(last, 0..end % BLOCK)?;
        }
        Ok(Hole { blocks: first..last.max(first), edges })
    }
}

impl TreeTxn<'_> {
    /// Makes a prepared hole.
    pub fn make_hole(&mut self, inode: &mut Inode, hole: Hole) -> Result<()> {
        let map = key::of(key::DATA, inode.attr.ino);
        let freed = mapped_in(self.view(), inode, hole.blocks.clone())?;
        if freed > 0 {
            self.txn.unmap(&map, hole.blocks)?;
            inode.set_blocks(inode.blocks().saturating_sub(freed));
        }
        for Piece { block, staged } in hole.edges {
            self.txn.map(&map, block, staged)?;
        }
        Ok(())
    }
}
