//! Buffers that the kernel can transfer directly: O_DIRECT wants memory that begins at a multiple
//! of 4096.

use std::ops::{Deref, DerefMut};

use super::BLOCK;

/// A buffer of zeros at first, whose slice begins at an address that is a multiple of 4096.
///
/// The vector is a block longer than needed and the slice begins at the first aligned byte in it;
/// the heap does not move when the buffer does, so the start stays aligned.
pub struct AlignedBuf {
    bytes: Vec<u8>,
    start: usize,
    len: usize,
}

impl AlignedBuf {
    /// A buffer of `len` zero bytes.
    pub fn zeroed(len: usize) -> AlignedBuf {
        let bytes = vec![0; len + BLOCK - 1];
        let address = bytes.as_ptr().addr();
        let start = address.next_multiple_of(BLOCK) - address;
        AlignedBuf { bytes, start, len }
    }

    /// An aligned copy of `bytes`.
    pub fn from_slice(bytes: &[u8]) -> AlignedBuf {
        let mut buf = AlignedBuf::zeroed(bytes.len());
        buf.copy_from_slice(bytes);
        buf
    }

    /// Whether the kernel can transfer `bytes` directly.
    pub(super) fn is_aligned(bytes: &[u8]) -> bool {
        bytes.as_ptr().addr().is_multiple_of(BLOCK)
    }
}

impl Deref for AlignedBuf {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[self.start..self.start + self.len]
    }
}

impl DerefMut for AlignedBuf {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..self.start + self.len]
    }
}

impl Clone for AlignedBuf {
    fn clone(&self) -> AlignedBuf {
        AlignedBuf::from_slice(self)
    }
}

impl std::fmt::Debug for AlignedBuf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "AlignedBuf({} bytes)", self.len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_buffer_begins_at_a_multiple_of_4096_wherever_it_moves_or_is_cloned() {
        let buffers: Vec<AlignedBuf> =
            [0, 1, 4095, 4096, 70_000].into_iter().map(AlignedBuf::zeroed).collect();
        for buffer in &buffers {
            assert!(AlignedBuf::is_aligned(buffer));
            assert!(AlignedBuf::is_aligned(&buffer.clone()));
        }
    }

    #[test]
    fn a_buffer_has_its_length_and_begins_as_zeros() {
        let mut buffer = AlignedBuf::zeroed(5000);
        assert_eq!(&buffer[..], &[0; 5000][..]);
        buffer[4999] = 7;
        assert_eq!(AlignedBuf::from_slice(&buffer)[4999], 7);
    }
}
