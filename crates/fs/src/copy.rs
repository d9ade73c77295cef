//! Copying ranges between files of a branch: whole blocks are shared, the rest is read and written.

use crate::data::{BLOCK, file, mapped_in};
use crate::fs::Fs;
use crate::{Error, FILE_BYTES_MAX, Ino, Result, key};

/// The most bytes that one step copies rather than shares.
const COPY_BYTES: u64 = 1 << 20;
/// The most bytes that one call copies rather than shares; a call may copy less than it is asked
/// to.
const COPY_BYTES_MAX: u64 = 16 << 20;

/// A byte of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileOffset {
    /// The file.
    pub ino: Ino,
    /// Where in it.
    pub offset: u64,
}

impl FileOffset {
    fn block(self) -> u64 {
        self.offset / BLOCK
    }

    /// `bytes` further on.
    fn after(self, bytes: u64) -> FileOffset {
        FileOffset { offset: self.offset + bytes, ..self }
    }
}

impl Fs {
    /// Copies bytes between files or inside one, sharing whole blocks where both offsets allow.
    /// Returns how many bytes, which may be fewer than asked for, as with `copy_file_range(2)`.
    /// Each step of it is atomic, not the whole.
    pub fn copy_range(&self, source: FileOffset, target: FileOffset, bytes: u64) -> Result<u64> {
        let txn = self.snapshot()?;
        let size = file(&txn, source.ino)?.attr.size;
        file(&txn, target.ino)?;
        drop(txn);
        let bytes = size.saturating_sub(source.offset).min(bytes);
        let end = target.offset.saturating_add(bytes);
        if end > FILE_BYTES_MAX {
            return Err(Error::FileTooLarge { ino: target.ino, bytes: end });
        }
        if source.ino == target.ino && source.offset.abs_diff(target.offset) < bytes {
            return Err(Error::Invalid("the ranges of a copy inside one file overlap"));
        }
        let (mut done, mut copied) = (0, 0);
        while done < bytes && copied < COPY_BYTES_MAX {
            let (from, to) = (source.after(done), target.after(done));
            let shared = self.share(from, to, bytes - done)?;
            if shared > 0 {
                done += shared;
                continue;
            }
            let to_boundary = BLOCK - to.offset % BLOCK;
            let step = if from.offset % BLOCK == to.offset % BLOCK {
                to_boundary.min(bytes - done)
            } else {
                COPY_BYTES.min(bytes - done)
            };
            let mut buf = vec![0; step as usize];
            let read = self.read(from.ino, from.offset, &mut buf)?;
            if read == 0 {
                break;
            }
            copied += self.write(to.ino, to.offset, &buf[..read], false)? as u64;
            done += read as u64;
        }
        Ok(done)
    }

    /// Shares as many whole blocks as the two offsets and the bytes allow. Returns how many bytes.
    fn share(&self, from: FileOffset, to: FileOffset, bytes: u64) -> Result<u64> {
        if !from.offset.is_multiple_of(BLOCK) || !to.offset.is_multiple_of(BLOCK) {
            return Ok(0);
        }
        let lower = self.open_inodes().content(from.ino.min(to.ino));
        let higher = self.open_inodes().content(from.ino.max(to.ino));
        let _lower = lower.exclusive();
        let _higher = (from.ino != to.ino).then(|| higher.exclusive());
        let mut tree = self.begin()?;
        let source = tree.file(from.ino)?;
        let mut target = tree.file(to.ino)?;
        // The last block of the source is zero past its end, so the target may end with it too.
        let ends = from.offset + bytes >= source.attr.size && to.offset + bytes >= target.attr.size;
        let blocks = if ends { bytes.div_ceil(BLOCK) } else { bytes / BLOCK };
        let gained = mapped_in(tree.view(), &source, from.block()..from.block() + blocks)?;
        let lost = mapped_in(tree.view(), &target, to.block()..to.block() + blocks)?;
        if blocks == 0 || from.offset + bytes > source.attr.size {
            return Ok(0);
        }
        let maps = [from, to].map(|place| key::of(key::DATA, place.ino));
        let source_blocks = from.block()..from.block() + blocks;
        tree.txn.share(&maps[0], source_blocks, &maps[1], to.block())?;
        target.set_blocks((target.blocks() + gained).saturating_sub(lost));
        let shared = (blocks * BLOCK).min(bytes);
        target.attr.size = target.attr.size.max(to.offset + shared);
        tree.put_changed_file(target, false)?;
        tree.commit()?;
        Ok(shared)
    }
}
