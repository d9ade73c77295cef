//! Copying ranges between files of a branch: whole blocks are shared, the rest is read and written.

use crate::data::{BLOCK, file, mapped_in};
use crate::fs::Fs;
use crate::{Error, FILE_BYTES_MAX, Ino, Result, key};

/// The most bytes that one step copies rather than shares.
const COPY_BYTES: u64 = 1 << 20;
/// The most bytes that one call copies rather than shares; a call may copy less than it is asked
/// to.
const COPY_BYTES_MAX: u64 = 16 << 20;

impl Fs {
    /// Copies bytes between files or inside one, sharing whole blocks where both offsets allow;
    /// says how many bytes, which may be fewer than asked for, as with `copy_file_range(2)`. Each
    /// step of it is atomic, not the whole.
    pub fn copy_range(
        &self,
        source: Ino,
        source_offset: u64,
        target: Ino,
        target_offset: u64,
        bytes: u64,
    ) -> Result<u64> {
        let txn = self.snapshot()?;
        let size = file(&txn, source)?.attr.size;
        file(&txn, target)?;
        drop(txn);
        let bytes = size.saturating_sub(source_offset).min(bytes);
        let end = target_offset.saturating_add(bytes);
        if end > FILE_BYTES_MAX {
            return Err(Error::FileTooLarge { ino: target, bytes: end });
        }
        if source == target && source_offset.abs_diff(target_offset) < bytes {
            return Err(Error::Invalid("the ranges of a copy inside one file overlap"));
        }
        let (mut done, mut copied) = (0, 0);
        while done < bytes && copied < COPY_BYTES_MAX {
            let (from, to) = (source_offset + done, target_offset + done);
            let shared = self.share(source, from, target, to, bytes - done)?;
            if shared > 0 {
                done += shared;
                continue;
            }
            let to_boundary = BLOCK - to % BLOCK;
            let step = match from % BLOCK == to % BLOCK {
                true => to_boundary.min(bytes - done),
                false => COPY_BYTES.min(bytes - done),
            };
            let mut buf = vec![0; step as usize];
            let read = self.read(source, from, &mut buf)?;
            if read == 0 {
                break;
            }
            copied += self.write(target, to, &buf[..read], false)? as u64;
            done += read as u64;
        }
        Ok(done)
    }

    /// Shares as many whole blocks as the two offsets and the bytes allow; says how many bytes
    /// those are.
    fn share(&self, source: Ino, from: u64, target: Ino, to: u64, bytes: u64) -> Result<u64> {
        if !from.is_multiple_of(BLOCK) || !to.is_multiple_of(BLOCK) {
            return Ok(0);
        }
        let (first, second) = (
            self.open_inodes().content(source.min(target)),
            self.open_inodes().content(source.max(target)),
        );
        let _first = first.exclusive();
        let _second = (source != target).then(|| second.exclusive());
        let mut tree = self.begin()?;
        let source = tree.file(source)?;
        let mut target = tree.file(target)?;
        // The last block of the source is zero past its end, so the target may end with it too.
        let ends = from + bytes >= source.attr.size && to + bytes >= target.attr.size;
        let blocks = if ends { bytes.div_ceil(BLOCK) } else { bytes / BLOCK };
        let (source_block, target_block) = (from / BLOCK, to / BLOCK);
        let gained = mapped_in(tree.view(), &source, source_block, source_block + blocks)?;
        let lost = mapped_in(tree.view(), &target, target_block, target_block + blocks)?;
        if blocks == 0 || from + bytes > source.attr.size {
            return Ok(0);
        }
        let maps = [source.attr.ino, target.attr.ino].map(|ino| key::of(key::DATA, ino));
        tree.txn.share(&maps[0], source_block, &maps[1], target_block, blocks)?;
        target.set_blocks((target.blocks() + gained).saturating_sub(lost));
        let shared = (blocks * BLOCK).min(bytes);
        target.attr.size = target.attr.size.max(to + shared);
        tree.put_changed_file(target, false)?;
        tree.commit()?;
        Ok(shared)
    }
}
