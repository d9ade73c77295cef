//! Copying a branch into the new store, as a fork of one that was copied before and what differs.

use super::report::{Loss, RepairReport};
use super::salvage::Salvage;
use crate::branch::{Branch, ForkOptions};
use crate::device::{AlignedBuf, Device};
use crate::error::{Error, Result, hex};
use crate::format::block::BlockAddr;
use crate::format::block_checksum;
use crate::format::catalog::BranchMeta;
use crate::format::extent::{Extent, TAG_BYTES};
use crate::format::ids::BranchId;
use crate::format::layout::BLOCK_BYTES;
use crate::store::Store;
use crate::tree::{Nodes, Root};
use crate::txn::{WriteTxn, raw};
use std::collections::HashSet;

/// Operations and bytes of data in one commit, at most.
const BATCH_OPS: usize = 256;
const BATCH_BYTES: usize = 4 << 20;

/// An entry of a branch.
#[derive(Clone, Copy)]
struct Place<'k> {
    branch: &'k str,
    key: &'k [u8],
}

/// A branch in the new store.
pub(super) struct Copied {
    pub meta: BranchMeta,
    pub branch: Branch,
    id: BranchId,
    root: Root,
}

pub(super) struct Copier<'a> {
    nodes: &'a Nodes,
    device: &'a dyn Device,
    target: &'a Store,
    pub copied: Vec<Copied>,
    /// Extents of which blocks were lost, by address.
    damaged: HashSet<BlockAddr>,
    pub report: RepairReport,
}

impl<'a> Copier<'a> {
    pub fn new(
        nodes: &'a Nodes,
        device: &'a dyn Device,
        target: &'a Store,
        report: RepairReport,
    ) -> Copier<'a> {
        let (copied, damaged) = (Vec::new(), HashSet::new());
        Copier { nodes, device, target, copied, damaged, report }
    }

    /// Copies a branch, which can be changed until [`super::Repair::finish`], also what was a
    /// snapshot.
    pub fn branch(&mut self, id: BranchId, meta: BranchMeta, root: Root) -> Result<()> {
        let like = self.like(&meta).map(|one| (one.branch.name(), one.root.clone()));
        let make = |name: &str| match &like {
            Some((like, _)) => self.target.fork_with(like, name, &ForkOptions::default()),
            None => self.target.create_branch(name),
        };
        let branch = match make(&meta.name) {
            // A store of another hand may say so; its content is worth no less.
            Err(why @ (Error::BranchExists { .. } | Error::NameInvalid { .. })) => {
                let branch = make(&format!("repaired.{}", id.0))?;
                let what = format!("its name is lost, and it is {} now: {why}", branch.name());
                self.report.lose(what, format!("branch {}", meta.name.escape_debug()));
                branch
            }
            made => made?,
        };
        let like = like.map(|(_, root)| root);
        if let Some(like) = &like {
            self.drop_what_differs(&branch, &root, like)?;
        }
        self.copy_what_differs(&branch, &root, like.as_ref())?;
        self.report.branches += 1;
        self.copied.push(Copied { meta, branch, id, root });
        Ok(())
    }

    /// A copied branch that this one probably shares most with.
    fn like(&self, meta: &BranchMeta) -> Option<&Copied> {
        let parent = self.copied.iter().rfind(|one| Some(one.id) == meta.parent);
        let sibling = || {
            self.copied
                .iter()
                .rfind(|one| one.meta.fork_point == meta.fork_point && meta.fork_point.is_some())
        };
        parent.or_else(sibling)
    }

    /// Takes out of a fork what the branch does not hold as it is.
    fn drop_what_differs(&mut self, branch: &Branch, ours: &Root, theirs: &Root) -> Result<()> {
        let mut batch = Batch::new(branch);
        let mut ours = Salvage::of(self.nodes, ours).peekable();
        for (key, value) in Salvage::of(self.nodes, theirs) {
            while ours.next_if(|(k, _)| *k < key).is_some() {}
            if ours.peek().is_some_and(|(k, v)| *k == key && *v == value) {
                continue;
            }
            let txn = batch.txn(0)?;
            let Some(key) = raw(&key) else {
                txn.delete_at(&key);
                continue;
            };
            match (Extent::decode(&value), map_of(&key)) {
                (Ok(extent), Some((map, first))) => {
                    txn.unmap(map, first..first.saturating_add(extent.blocks()))?;
                }
                _ => txn.delete(&key)?,
            }
        }
        batch.commit()
    }

    /// Copies the entries that `theirs` does not hold as they are.
    fn copy_what_differs(
        &mut self,
        branch: &Branch,
        ours: &Root,
        theirs: Option<&Root>,
    ) -> Result<()> {
        let name = branch.name();
        let mut batch = Batch::new(branch);
        let mut theirs = theirs.map(|root| Salvage::of(self.nodes, root).peekable());
        let mut ours = Salvage::of(self.nodes, ours);
        for (key, value) in ours.by_ref() {
            let place = Place { branch: &name, key: &key };
            let there = theirs.as_mut().is_some_and(|theirs| {
                while theirs.next_if(|(k, _)| *k < key).is_some() {}
                theirs.peek().is_some_and(|(k, v)| *k == key && *v == value)
            });
            if there {
                let lost = |addr| self.damaged.contains(&addr);
                if Extent::peek_addr(&value).is_some_and(lost) {
                    self.lose("blocks of it are lost, as in the branch it is shared with", place);
                }
                continue;
            }
            self.entry(&mut batch, &key, &value, place)?;
        }
        for lost in ours.lost {
            let place = format!("branch {name}, entries from {} on", hex(&lost.from));
            let keys = Some((name.clone(), lost.from, lost.until));
            self.report.lose_part(Loss { what: lost.why, place, keys });
        }
        batch.commit()
    }

    /// Tells that an entry is lost, or some of its data.
    fn lose(&mut self, what: impl Into<String>, Place { branch, key }: Place<'_>) {
        let place = format!("branch {branch}, entry {}", hex(key));
        let keys = Some((branch.into(), key.to_vec(), Some(key.to_vec())));
        self.report.lose_part(Loss { what: what.into(), place, keys });
    }

    fn entry(
        &mut self,
        batch: &mut Batch<'_>,
        key: &[u8],
        value: &[u8],
        place: Place<'_>,
    ) -> Result<()> {
        self.report.entries += 1;
        // What lies at a key of the tree is a table's, or lies there for a key of its own.
        let raw = raw(key);
        if let [TAG_BYTES, bytes @ ..] = value {
            let txn = batch.txn(bytes.len())?;
            return match &raw {
                Some(raw) => txn.put(raw, bytes),
                None => txn.put_at(key, bytes),
            };
        }
        match (Extent::decode(value), raw.as_deref().and_then(map_of)) {
            (Ok(extent), Some((map, block))) => self.extent(batch, map, block, &extent, place),
            (Err(m), _) => {
                self.lose(m.0, place);
                Ok(())
            }
            (_, None) => {
                self.lose("an extent has an impossible key", place);
                Ok(())
            }
        }
    }

    /// Copies the whole blocks of an extent.
    fn extent(
        &mut self,
        batch: &mut Batch<'_>,
        map: &[u8],
        first: u64,
        extent: &Extent,
        place: Place<'_>,
    ) -> Result<()> {
        let whole = self.whole_blocks(extent);
        let mut at = 0;
        while at < whole.len() {
            let run = whole[at..].iter().take_while(|block| block.is_some()).count();
            if run == 0 {
                let what = format!("block {} of it is lost and reads as zeros", first + at as u64);
                self.lose(what, place);
                self.damaged.insert(extent.addr);
                at += 1;
                continue;
            }
            let data: Vec<u8> = whole[at..at + run].iter().flatten().flatten().copied().collect();
            let staged = batch.branch.stage(&data)?;
            batch.txn(data.len())?.map(map, first + at as u64, staged)?;
            self.report.blocks += run as u64;
            at += run;
        }
        Ok(())
    }

    /// The blocks of an extent that are as they were written.
    fn whole_blocks(&self, extent: &Extent) -> Vec<Option<Vec<u8>>> {
        let check = |(at, sum): (u64, &u32)| {
            let mut block = AlignedBuf::zeroed(BLOCK_BYTES);
            let offset = BlockAddr(at).checked_offset()?;
            self.device.read_at(offset, &mut block).ok()?;
            (block_checksum(&block) == *sum).then(|| block.to_vec())
        };
        (extent.addr.0..).zip(&extent.sums).map(check).collect()
    }
}

/// The map and the block number of an extent's key.
fn map_of(key: &[u8]) -> Option<(&[u8], u64)> {
    let (map, block) = key.split_last_chunk()?;
    Some((map, u64::from_be_bytes(*block)))
}

/// Operations that gather into commits of bounded size.
struct Batch<'b> {
    branch: &'b Branch,
    txn: Option<WriteTxn<'b>>,
    ops: usize,
    bytes: usize,
}

impl<'b> Batch<'b> {
    fn new(branch: &'b Branch) -> Batch<'b> {
        Batch { branch, txn: None, ops: 0, bytes: 0 }
    }

    /// The transaction for one more operation with this many bytes.
    fn txn(&mut self, bytes: usize) -> Result<&mut WriteTxn<'b>> {
        if self.ops >= BATCH_OPS || self.bytes >= BATCH_BYTES {
            self.take()?;
        }
        (self.ops, self.bytes) = (self.ops + 1, self.bytes + bytes);
        if self.txn.is_none() {
            self.txn = Some(self.branch.write()?);
        }
        self.txn.as_mut().ok_or_else(|| crate::Error::damaged("a batch has its transaction"))
    }

    fn take(&mut self) -> Result<()> {
        (self.ops, self.bytes) = (0, 0);
        self.txn.take().map_or(Ok(()), WriteTxn::commit)
    }

    fn commit(mut self) -> Result<()> {
        self.take()
    }
}
