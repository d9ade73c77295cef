//! The segment table: per segment, which bitmap slot counts and what it says in short.

use super::chunks::Chunks;
use super::codec::{Decoded, Malformed, Reader, Writer};

/// Bytes of one entry.
pub(crate) const ENTRY_BYTES: usize = 32;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SegmentEntry {
    /// 0 or 1: which slot at the head of the segment holds the bitmap; `None`: all free.
    pub slot: Option<u8>,
    pub free: u16,
    /// The host holds no space for what is free in these.
    pub holes: Chunks,
    pub sum: u128,
}

pub(crate) fn encode(entries: &[SegmentEntry]) -> Vec<u8> {
    let mut w = Writer(Vec::with_capacity(entries.len() * ENTRY_BYTES));
    for e in entries {
        w.u8(e.slot.map_or(255, |s| s)).u8(0).u16(e.free).u32(0).u64(e.holes.0).u128(e.sum);
    }
    w.0
}

pub(crate) fn decode(bytes: &[u8], segments: u64) -> Decoded<Vec<SegmentEntry>> {
    if bytes.len() as u64 != segments * ENTRY_BYTES as u64 {
        return Err(Malformed("the segment table has the wrong length"));
    }
    bytes
        .chunks_exact(ENTRY_BYTES)
        .map(|chunk| {
            let mut r = Reader(chunk);
            let slot = match r.u8()? {
                255 => None,
                s @ (0 | 1) => Some(s),
                _ => return Err(Malformed("a segment names no bitmap slot")),
            };
            let _ = r.u8()?;
            let free = r.u16()?;
            let _ = r.u32()?;
            Ok(SegmentEntry { slot, free, holes: Chunks(r.u64()?), sum: r.u128()? })
        })
        .collect()
}
