//! Reading the journal after a crash or a close. Writes nothing.

use super::group::{self, Header};
use super::record::Record;
use super::ring::{Mark, Ring};
use crate::device::{AlignedBuf, Device};
use crate::error::{Error, Result};
use crate::format::block::BlockRun;
use crate::format::block_checksum;
use crate::format::codec::Malformed;
use crate::format::ids::Sequence;
use crate::format::layout::BLOCK_BYTES;
use crate::format::superblock::Superblock;
use crate::txn::{DataRun, RunData};

/// Behind a close mark nothing was torn: a look this far, in blocks, tells whether a damaged group
/// follows, without reading all of a large ring.
const CLEAN_BLOCKS: u64 = 512;

/// The valid part of the journal after a superblock.
#[derive(Debug)]
pub(crate) struct Replayed {
    pub records: Vec<Record>,
    /// The ring with its head after the last valid group.
    pub ring: Ring,
    /// Records below this number were flushed. The close mark after them may not have been.
    pub durable: Sequence,
    /// The store was closed with nothing in flight: no broken tail can follow.
    pub clean: bool,
}

/// A valid group, and the place in front of it.
struct Group {
    records: Vec<Record>,
    before: Mark,
}

/// Reads groups until the chain breaks, or the data that a group names is not there.
pub(crate) fn replay(device: &dyn Device, sb: &Superblock) -> Result<Replayed> {
    let mut ring = Ring::of(sb);
    let mut groups = Vec::new();
    let mut durable = ring.link.sequence;
    let mut walked = 0;
    while walked < ring.blocks {
        if ring.head >= ring.blocks {
            walked += 1;
            ring.head = 0;
        }
        let Some((header, bytes)) = read_group(device, &ring, &ring.link_header(device)?)? else {
            break;
        };
        if !group::is_whole(&bytes, &header) {
            break;
        }
        // A whole group was written on purpose, perhaps by a later version. It is not dropped as if
        // it were a torn tail.
        let found = group::decode(&bytes, &header).map_err(|Malformed(why)| {
            let what =
                format!("a whole journal group, perhaps of a later version, cannot be read: {why}");
            Error::damaged_at(ring.block + ring.head, what)
        })?;
        let before = Mark { head: ring.head, link: ring.link };
        durable = durable.max(header.durable);
        walked += header.blocks();
        ring.link.chain = header.sum;
        if header.wrap {
            walked += ring.blocks.saturating_sub(ring.head + 1);
            ring.head = 0;
            continue;
        }
        ring.head += header.blocks();
        ring.link.sequence = ring.link.sequence + header.records;
        groups.push(Group { records: found, before });
    }
    if let Some(lost) = first_without_data(device, &groups, durable)? {
        let before = groups[lost].before;
        (ring.head, ring.link) = (before.head, before.link);
        groups.truncate(lost);
    }
    let records: Vec<Record> = groups.into_iter().flat_map(|group| group.records).collect();
    let clean = matches!(records.last(), Some(Record::Close))
        || records.is_empty() && sb.replay_sequence == Sequence(0);
    refuse_lost_records(device, &ring, if clean { CLEAN_BLOCKS } else { ring.blocks })?;
    let durable = durable.min(ring.link.sequence);
    Ok(Replayed { records, ring, durable, clean })
}

/// The first group that names data which never reached the disk. Group and data share a flush, so
/// only what no later group calls durable can be without; nothing else is read.
fn first_without_data(
    device: &dyn Device,
    groups: &[Group],
    durable: Sequence,
) -> Result<Option<usize>> {
    for (index, group) in groups.iter().enumerate() {
        if group.before.link.sequence + group.records.len() as u64 <= durable {
            continue;
        }
        for run in group.records.iter().flat_map(Record::runs) {
            if matches!(run.data, RunData::OnDevice) && !data_is_there(device, run)? {
                return Ok(Some(index));
            }
        }
    }
    Ok(None)
}

fn data_is_there(device: &dyn Device, run: &DataRun) -> Result<bool> {
    let in_file = run.addr.checked_offset().is_some_and(|at| at < i64::MAX as u64 / 2);
    if !in_file {
        return Ok(false);
    }
    let data = read_blocks(device, run.blocks())?;
    Ok(data
        .chunks_exact(BLOCK_BYTES)
        .zip(run.sums.iter())
        .all(|(block, sum)| block_checksum(block) == *sum))
}

impl Ring {
    fn link_header(&self, device: &dyn Device) -> Result<Option<Header>> {
        let block = read_blocks(device, BlockRun::new(self.block + self.head, 1))?;
        Ok(Header::decode(&block, &self.link))
    }
}

/// The bytes of the group at the head, when its header continues the chain and it fits the ring.
fn read_group(
    device: &dyn Device,
    ring: &Ring,
    header: &Option<Header>,
) -> Result<Option<(Header, Vec<u8>)>> {
    let Some(header) = header else { return Ok(None) };
    if header.blocks() > ring.blocks - ring.head {
        return Ok(None);
    }
    let bytes = read_blocks(device, BlockRun::new(ring.block + ring.head, header.blocks()))?;
    let header = Header { ..*header };
    let len = header.bytes as usize;
    Ok(Some((header, bytes[..len].to_vec())))
}

/// A later group that was written when records past the break were already durable proves that
/// something durable was lost: an error, never a silent cut. Looks at `blocks` of the ring from its
/// head on.
fn refuse_lost_records(device: &dyn Device, ring: &Ring, blocks: u64) -> Result<()> {
    const STEP: u64 = 256;
    let head = ring.head % ring.blocks;
    let (end, again) = match head + blocks.min(ring.blocks) {
        past if past > ring.blocks => (ring.blocks, past - ring.blocks),
        end => (end, 0),
    };
    let parts = (head..end).step_by(STEP as usize).map(|first| (first, end));
    for (first, end) in parts.chain((0..again).step_by(STEP as usize).map(|first| (first, again))) {
        let count = STEP.min(end - first);
        let blocks = read_blocks(device, BlockRun::new(ring.block + first, count))?;
        for (i, block) in blocks.chunks_exact(BLOCK_BYTES).enumerate() {
            let Some(header) = Header::any(block) else { continue };
            let newer = header.salt == ring.link.salt && header.durable > ring.link.sequence;
            if !newer || header.blocks() > ring.blocks - first - i as u64 {
                continue;
            }
            let place = BlockRun::new(ring.block + first + i as u64, header.blocks());
            let bytes = read_blocks(device, place)?;
            if group::is_whole(&bytes[..header.bytes as usize], &header) {
                return Err(Error::damaged_at(
                    ring.block + ring.head,
                    format!(
                        "the journal breaks at record {}, but records up to {} were durable",
                        ring.link.sequence, header.durable
                    ),
                ));
            }
        }
    }
    Ok(())
}

fn read_blocks(device: &dyn Device, run: BlockRun) -> Result<AlignedBuf> {
    let mut buf = AlignedBuf::zeroed(run.blocks as usize * BLOCK_BYTES);
    device
        .read_at(run.start.offset(), &mut buf)
        .map_err(|e| Error::io("reading the journal", e))?;
    Ok(buf)
}

#[cfg(test)]
mod tests;
