//! The contents of a device in memory: sparse, and copied in an instant, as copies share what
//! neither has changed.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, LazyLock};

use super::BLOCK;

pub(super) type Block = Arc<[u8; BLOCK]>;

/// Blocks that are copied together when one of them changes in a shared image.
const CHUNK: u64 = 256;

static ZEROS: LazyLock<Block> = LazyLock::new(|| Arc::new([0; BLOCK]));

/// A block of zeros, one for all who hold one.
pub(super) fn zeros() -> Block {
    Arc::clone(&ZEROS)
}

/// A block with these bytes.
pub(super) fn block_of(bytes: &[u8; BLOCK]) -> Block {
    if *bytes == [0; BLOCK] { zeros() } else { Arc::new(*bytes) }
}

/// Blocks by number, and a length. Absent blocks are holes and read as zeros.
#[derive(Clone, Debug, Default)]
pub(super) struct Image {
    chunks: BTreeMap<u64, Arc<Chunk>>,
    len: u64,
    present: u64,
}

#[derive(Clone, Debug)]
struct Chunk([Option<Block>; CHUNK as usize]);

/// The blocks of a range of bytes.
pub(super) fn blocks_of(range: &Range<u64>) -> Range<u64> {
    range.start / BLOCK as u64..range.end / BLOCK as u64
}

impl Image {
    pub fn len(&self) -> u64 {
        self.len
    }

    /// How many blocks are there: the others are holes.
    pub fn present(&self) -> u64 {
        self.present
    }

    pub fn get(&self, block: u64) -> Option<&Block> {
        self.chunks.get(&(block / CHUNK))?.0[(block % CHUNK) as usize].as_ref()
    }

    pub fn read(&self, offset: u64, buf: &mut [u8]) {
        for (part, block) in buf.chunks_mut(BLOCK).zip(offset / BLOCK as u64..) {
            match self.get(block) {
                Some(bytes) => part.copy_from_slice(&bytes[..]),
                None => part.fill(0),
            }
        }
    }

    /// Puts a block there, or a hole. The length stays.
    pub fn put(&mut self, block: u64, bytes: Option<Block>) {
        if bytes.is_none() && self.get(block).is_none() {
            return;
        }
        let fresh = || Arc::new(Chunk(std::array::from_fn(|_| None)));
        let chunk = self.chunks.entry(block / CHUNK).or_insert_with(fresh);
        let place = &mut Arc::make_mut(chunk).0[(block % CHUNK) as usize];
        self.present += u64::from(bytes.is_some());
        self.present -= u64::from(place.is_some());
        *place = bytes;
    }

    /// Makes the image at least so long.
    pub fn grow(&mut self, bytes: u64) {
        self.len = self.len.max(bytes);
    }

    /// Cuts the image, or lets it grow by a hole.
    pub fn set_len(&mut self, bytes: u64) {
        let blocks = bytes / BLOCK as u64;
        let last = self.chunks.last_key_value().map_or(0, |(chunk, _)| (chunk + 1) * CHUNK);
        self.punch(blocks..last.max(blocks));
        self.len = bytes;
    }

    pub fn punch(&mut self, blocks: Range<u64>) {
        for block in blocks {
            self.put(block, None);
        }
    }

    /// Fills the holes of a range with zeros.
    pub fn allocate(&mut self, blocks: Range<u64>) {
        for block in blocks {
            if self.get(block).is_none() {
                self.put(block, Some(zeros()));
            }
        }
    }

    /// How many blocks of a range are there.
    pub fn present_in(&self, blocks: Range<u64>) -> u64 {
        blocks.filter(|block| self.get(*block).is_some()).count() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_counts_what_is_there_and_its_copies_go_their_own_ways() {
        let mut image = Image::default();
        image.allocate(3..600);
        image.put(3, Some(block_of(&[7; BLOCK])));
        image.grow(700 * BLOCK as u64);
        let copy = image.clone();
        image.punch(0..300);
        assert_eq!((image.present(), copy.present()), (300, 597));
        assert_eq!(image.present_in(290..310), 10);
        image.set_len(305 * BLOCK as u64);
        assert_eq!((image.present(), image.len()), (5, 305 * BLOCK as u64));
        let mut read = [0; BLOCK];
        copy.read(3 * BLOCK as u64, &mut read);
        assert_eq!(read, [7; BLOCK]);
    }
}
