//! A journal group: the records that one flush writes together, chained to the group before it.

use super::record::Record;
use crate::format::checksum;
use crate::format::codec::{Decoded, Malformed, Reader, Writer};
use crate::format::ids::Sequence;
use crate::format::layout::BLOCK_BYTES;

const MAGIC: u32 = 0x6E6A_7431;
const FLAG_WRAP: u32 = 1;
/// The flags above the first hold the session.
const SESSION_SHIFT: u32 = 1;
/// Header: magic 4, flags 4, bytes 8, salt 8, first sequence 8, records 8, durable 8, chain 16,
/// checksum 16.
pub(crate) const HEADER_BYTES: usize = 80;
const SUM_AT: usize = 64;

/// The place of the chain: what the next group must carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Link {
    pub salt: u64,
    /// Written into each group, so that two sessions that begin after the same close record and
    /// write the same records write different groups: what a crashed one left never continues the
    /// chain of the next. Not read back.
    pub session: u32,
    pub sequence: Sequence,
    pub chain: u128,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub wrap: bool,
    /// Header and records, without the padding to whole blocks.
    pub bytes: u64,
    pub salt: u64,
    pub first: Sequence,
    pub records: u64,
    /// Records below this number were durable when the group was written.
    pub durable: Sequence,
    pub chain: u128,
    pub sum: u128,
}

impl Header {
    pub fn blocks(&self) -> u64 {
        self.bytes.div_ceil(BLOCK_BYTES as u64)
    }

    /// `None` when these bytes don't begin a group that continues `link`.
    pub fn decode(block: &[u8], link: &Link) -> Option<Header> {
        let header = Self::any(block)?;
        let continues =
            header.salt == link.salt && header.first == link.sequence && header.chain == link.chain;
        continues.then_some(header)
    }

    /// A group's header, of whatever place in whatever chain.
    pub fn any(block: &[u8]) -> Option<Header> {
        let header = Self::fields(&mut Reader(block)).ok()?;
        (header.bytes >= HEADER_BYTES as u64).then_some(header)
    }

    fn fields(r: &mut Reader) -> Decoded<Header> {
        if r.u32()? != MAGIC {
            return Err(Malformed("no journal group"));
        }
        let flags = r.u32()?;
        Ok(Header {
            wrap: flags & FLAG_WRAP != 0,
            bytes: r.u64()?,
            salt: r.u64()?,
            first: Sequence(r.u64()?),
            records: r.u64()?,
            durable: Sequence(r.u64()?),
            chain: r.u128()?,
            sum: r.u128()?,
        })
    }
}

/// A group as it is written, but for the padding to whole blocks.
pub(crate) struct Encoded {
    pub bytes: Vec<u8>,
    pub records: u64,
    pub sum: u128,
}

impl Encoded {
    pub fn blocks(&self) -> u64 {
        self.bytes.len().div_ceil(BLOCK_BYTES) as u64
    }
}

/// Puts the header in front of `records` records, which begin after its place, with a right
/// checksum.
pub(crate) fn seal(
    mut bytes: Vec<u8>,
    flags: u32,
    link: &Link,
    records: u64,
    durable: Sequence,
) -> Encoded {
    let mut w = Writer(Vec::with_capacity(HEADER_BYTES));
    let flags = flags | link.session << SESSION_SHIFT;
    w.u32(MAGIC).u32(flags).u64(bytes.len() as u64).u64(link.salt);
    w.u64(link.sequence.0).u64(records).u64(durable.0).u128(link.chain).u128(0);
    bytes[..HEADER_BYTES].copy_from_slice(&w.0);
    let sum = checksum(&bytes);
    bytes[SUM_AT..HEADER_BYTES].copy_from_slice(&sum.to_le_bytes());
    Encoded { bytes, records, sum }
}

pub(crate) fn encode(records: &[Record], link: &Link, durable: Sequence) -> Encoded {
    let bound: usize = records.iter().map(Record::encoded_bytes).sum();
    let mut w = Writer(Vec::with_capacity(bound + BLOCK_BYTES));
    w.0.resize(HEADER_BYTES, 0);
    for record in records {
        record.encode(&mut w);
    }
    seal(w.0, 0, link, records.len() as u64, durable)
}

/// A group without records: the next one begins at the start of the ring.
pub(crate) fn encode_wrap(link: &Link, durable: Sequence) -> Encoded {
    seal(vec![0; HEADER_BYTES], FLAG_WRAP, link, 0, durable)
}

/// Returns `true` if the group's `bytes` (exactly `header.bytes` of them) are those that were
/// written.
pub(crate) fn is_whole(bytes: &[u8], header: &Header) -> bool {
    let mut copy = bytes.to_vec();
    match copy.get_mut(SUM_AT..HEADER_BYTES) {
        Some(place) => place.fill(0),
        None => return false,
    }
    checksum(&copy) == header.sum
}

/// The records of a whole group.
pub(crate) fn decode(bytes: &[u8], header: &Header) -> Decoded<Vec<Record>> {
    let mut r = Reader(bytes.get(HEADER_BYTES..).ok_or(Malformed("a group ends early"))?);
    let mut records = Vec::new();
    for _ in 0..header.records {
        records.push(Record::decode(&mut r)?);
    }
    if !r.is_empty() {
        return Err(Malformed("a group has bytes behind its records"));
    }
    Ok(records)
}

/// The same group after another one.
pub(crate) fn rechain(group: &Encoded, link: &Link) -> Encoded {
    let mut bytes = group.bytes.clone();
    bytes[SUM_AT - 16..SUM_AT].copy_from_slice(&link.chain.to_le_bytes());
    bytes[SUM_AT..HEADER_BYTES].fill(0);
    let sum = checksum(&bytes);
    bytes[SUM_AT..HEADER_BYTES].copy_from_slice(&sum.to_le_bytes());
    Encoded { bytes, sum, ..*group }
}
