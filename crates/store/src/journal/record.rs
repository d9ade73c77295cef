//! Journal records: what a commit did, in logical terms.

use crate::dirty::DirtyData;
use crate::format::block::BlockAddr;
use crate::format::catalog::BranchMeta;
use crate::format::change::{OP_DELETE, OP_PUT};
use crate::format::codec::{Decoded, Malformed, Reader, Writer};
use crate::format::ids::{BranchId, ForkPointId};
use crate::format::layout::{BLOCK_BYTES, EXTENT_BLOCKS_MAX, KEY_BYTES_MAX, VALUE_BYTES_MAX};
use crate::txn::{DataRun, Op, RunData, last_batch};
use std::sync::Arc;

/// One totally ordered step of the store.
#[derive(Debug)]
pub(crate) enum Record {
    Commit {
        branch: BranchId,
        ops: Vec<Op>,
    },
    /// An empty branch.
    Create {
        branch: BranchId,
        meta: BranchMeta,
    },
    Fork {
        from: BranchId,
        branch: BranchId,
        meta: BranchMeta,
    },
    Delete {
        branch: BranchId,
    },
    Rename {
        branch: BranchId,
        name: String,
    },
    /// To the state of another branch, or to its own fork point.
    Reset {
        branch: BranchId,
        to: Option<ResetTo>,
    },
    /// The store was closed with nothing in flight.
    Close,
}

/// Whose state a branch is reset to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ResetTo {
    pub source: BranchId,
    /// The fork point that the branch has then: a name for that state, or the source's own, of
    /// which a branch that was made empty has none.
    pub fork_point: Option<ForkPointId>,
}

const COMMIT: u8 = 1;
const CREATE: u8 = 2;
const FORK: u8 = 3;
const DELETE: u8 = 4;
const RENAME: u8 = 5;
const RESET: u8 = 6;
const CLOSE: u8 = 7;

const OP_MAP: u8 = 3;
const OP_UNMAP: u8 = 4;
const OP_SHARE: u8 = 5;

const RUN_NAMED: u8 = 0;
const RUN_INLINE: u8 = 1;

impl Record {
    pub fn encode(&self, w: &mut Writer) {
        match self {
            Record::Commit { branch, ops } => {
                w.u8(COMMIT).u64(branch.0).u32(ops.iter().map(encoded_ops).sum());
                ops.iter().for_each(|op| encode_op(op, w));
            }
            Record::Create { branch, meta } => {
                w.u8(CREATE).u64(branch.0);
                meta.encode(w);
            }
            Record::Fork { from, branch, meta } => {
                w.u8(FORK).u64(from.0).u64(branch.0);
                meta.encode(w);
            }
            Record::Delete { branch } => {
                w.u8(DELETE).u64(branch.0);
            }
            Record::Rename { branch, name } => {
                w.u8(RENAME).u64(branch.0).short(name.as_bytes());
            }
            Record::Reset { branch, to } => {
                w.u8(RESET).u64(branch.0);
                w.u64(BranchId::to_disk(to.map(|to| to.source)));
                w.u64(ForkPointId::to_disk(to.and_then(|to| to.fork_point)));
            }
            Record::Close => {
                w.u8(CLOSE);
            }
        }
    }

    pub fn decode(r: &mut Reader) -> Decoded<Record> {
        Ok(match r.u8()? {
            COMMIT => {
                let (branch, count) = (BranchId(r.number()?), r.u32()?);
                let mut ops = Vec::new();
                for _ in 0..count {
                    decode_op(r, &mut ops)?;
                }
                ops.iter_mut().for_each(|op| {
                    if let Op::Batch(batch) = op {
                        batch.sort();
                    }
                });
                Record::Commit { branch, ops }
            }
            CREATE => {
                Record::Create { branch: BranchId(r.number()?), meta: BranchMeta::decode(r)? }
            }
            FORK => Record::Fork {
                from: BranchId(r.number()?),
                branch: BranchId(r.number()?),
                meta: BranchMeta::decode(r)?,
            },
            DELETE => Record::Delete { branch: BranchId(r.number()?) },
            RENAME => Record::Rename { branch: BranchId(r.number()?), name: r.text()? },
            RESET => {
                let branch = BranchId(r.number()?);
                let (source, fork_point) = (r.number()?, r.number()?);
                let fork_point = ForkPointId::from_disk(fork_point);
                let to = BranchId::from_disk(source).map(|source| ResetTo { source, fork_point });
                Record::Reset { branch, to }
            }
            CLOSE => Record::Close,
            _ => return Err(Malformed("a journal record of unknown kind")),
        })
    }

    /// Upper bound of the encoded length, in bytes.
    pub fn encoded_bytes(&self) -> usize {
        let ops = match self {
            Record::Commit { ops, .. } => ops.as_slice(),
            _ => return 512,
        };
        let op_bytes = |op: &Op| match op {
            Op::Batch(batch) => batch.encoded().0.len(),
            Op::Map { map, runs, .. } => map.len() + 16 + runs.iter().map(run_bytes).sum::<usize>(),
            Op::Unmap { map, .. } => map.len() + 32,
            Op::Share { from, to, .. } => from.len() + to.len() + 48,
        };
        16 + ops.iter().map(op_bytes).sum::<usize>()
    }

    /// The data runs that the record would carry.
    pub fn runs(&self) -> impl Iterator<Item = &DataRun> {
        let ops = match self {
            Record::Commit { ops, .. } => ops.as_slice(),
            _ => &[],
        };
        ops.iter().flat_map(|op| match op {
            Op::Map { runs, .. } => runs.as_slice(),
            _ => &[],
        })
    }
}

fn run_bytes(run: &DataRun) -> usize {
    16 + match &run.data {
        RunData::Dirty(dirty) => dirty.inline_bytes().max(run.sums.len() * 4),
        _ => run.sums.len() * 4,
    }
}

/// Operations in the journal that this one is.
fn encoded_ops(op: &Op) -> u32 {
    match op {
        Op::Batch(batch) => batch.encoded().1,
        _ => 1,
    }
}

fn encode_op(op: &Op, w: &mut Writer) {
    match op {
        Op::Batch(batch) => {
            w.raw(batch.encoded().0);
        }
        Op::Map { map, block, runs } => {
            w.u8(OP_MAP).short(map).u64(*block).u16(runs.len() as u16);
            runs.iter().for_each(|run| encode_run(run, w));
        }
        Op::Unmap { map, blocks } => {
            w.u8(OP_UNMAP).short(map).u64(blocks.start).u64(blocks.end - blocks.start);
        }
        Op::Share { from, blocks, to, to_block } => {
            w.u8(OP_SHARE).short(from).u64(blocks.start).short(to).u64(*to_block);
            w.u64(blocks.end - blocks.start);
        }
    }
}

fn encode_run(run: &DataRun, w: &mut Writer) {
    w.u16(run.sums.len() as u16);
    match &run.data {
        RunData::Dirty(dirty) if !dirty.on_device() => {
            w.u8(RUN_INLINE).raw(dirty.bytes());
        }
        _ => {
            w.u8(RUN_NAMED).u64(run.addr.0);
            for sum in run.sums.iter() {
                w.u32(*sum);
            }
        }
    }
}

/// Takes one operation in at the end of `ops`.
fn decode_op(r: &mut Reader, ops: &mut Vec<Op>) -> Decoded<()> {
    let op = match r.u8()? {
        OP_PUT => {
            let (key, value) = (key(r)?, bounded(r, VALUE_BYTES_MAX)?);
            last_batch(ops).put(key, value);
            return Ok(());
        }
        OP_DELETE => {
            last_batch(ops).delete(key(r)?);
            return Ok(());
        }
        OP_MAP => {
            let (map, block, count) = (map(r)?, r.u64()?, r.u16()?);
            let mut runs = Vec::new();
            let mut end = block;
            for _ in 0..count {
                let (blocks, run) = decode_run(r)?;
                end = end.checked_add(blocks).ok_or(BEYOND)?;
                runs.push(run);
            }
            Op::Map { map, block, runs }
        }
        OP_UNMAP => {
            let (map, first, count) = (map(r)?, r.u64()?, r.u64()?);
            Op::Unmap { map, blocks: first..first.saturating_add(count) }
        }
        OP_SHARE => {
            let (from, first, to) = (map(r)?, r.u64()?, map(r)?);
            let (to_block, count) = (r.u64()?, r.u64()?);
            let blocks = first..first.checked_add(count).ok_or(BEYOND)?;
            to_block.checked_add(count).ok_or(BEYOND)?;
            if from == to && first.abs_diff(to_block) < count {
                return Err(Malformed("a journalled share overlaps itself"));
            }
            Op::Share { from, blocks, to, to_block }
        }
        _ => return Err(Malformed("a journal operation of unknown kind")),
    };
    ops.push(op);
    Ok(())
}

const BEYOND: Malformed = Malformed("a journalled run ends beyond the last block");

/// Bytes within the limit that transactions keep.
fn bounded<'a>(r: &mut Reader<'a>, limit: usize) -> Decoded<&'a [u8]> {
    let bytes = r.short()?;
    (bytes.len() <= limit).then_some(bytes).ok_or(Malformed("a journalled entry is too long"))
}

fn key<'a>(r: &mut Reader<'a>) -> Decoded<&'a [u8]> {
    bounded(r, KEY_BYTES_MAX)
}

fn map(r: &mut Reader) -> Decoded<Box<[u8]>> {
    bounded(r, KEY_BYTES_MAX - 8).map(Box::from)
}

/// A run, and how many blocks it has.
fn decode_run(r: &mut Reader) -> Decoded<(u64, DataRun)> {
    let blocks = usize::from(r.u16()?);
    if blocks == 0 || blocks as u64 > EXTENT_BLOCKS_MAX {
        return Err(Malformed("a journalled run has no sensible length"));
    }
    let run = match r.u8()? {
        RUN_INLINE => {
            let bytes = r.raw(blocks * BLOCK_BYTES)?;
            DataRun {
                addr: BlockAddr(0),
                sums: Arc::from([]),
                data: RunData::Replayed(bytes.into()),
            }
        }
        RUN_NAMED => {
            let addr = BlockAddr(r.address()?);
            let sums = r.raw(blocks * 4)?.chunks_exact(4);
            let sums = sums.map(|c| u32::from_le_bytes([c[0], c[1], c[2], c[3]]));
            DataRun { addr, sums: sums.collect(), data: RunData::OnDevice }
        }
        _ => return Err(Malformed("a journalled run of unknown kind")),
    };
    Ok((blocks as u64, run))
}

/// The runs whose data is still in memory only.
pub(crate) fn dirty_runs(record: &Record) -> impl Iterator<Item = &Arc<DirtyData>> {
    record.runs().filter_map(|run| match &run.data {
        RunData::Dirty(dirty) => Some(dirty),
        _ => None,
    })
}
