//! Keys and values of the system tree: branches, their names, fork points, the reclaim queue,
//! counts.

use super::codec::{Decoded, Malformed, Reader, Writer};
use super::ids::{BranchId, ForkPointId, Generation};
use super::pointer::Ptr;

/// A branch's or fork point's root on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DiskRoot {
    pub ptr: Ptr,
    pub level: u8,
    pub entries: u64,
    pub bytes: u64,
}

impl DiskRoot {
    fn encode(&self, w: &mut Writer) {
        self.ptr.encode(w);
        w.u8(self.level).u64(self.entries).u64(self.bytes);
    }
    fn decode(r: &mut Reader) -> Decoded<DiskRoot> {
        Ok(DiskRoot {
            ptr: Ptr::decode(r)?,
            level: r.u8()?,
            entries: r.number()?,
            bytes: r.number()?,
        })
    }
}

/// What the catalog says of a branch besides its root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BranchMeta {
    pub name: String,
    /// The branch it was forked from.
    pub parent: Option<BranchId>,
    /// The fork point that it retains.
    pub fork_point: Option<ForkPointId>,
    pub sealed: bool,
    /// Seconds and nanoseconds since 1970.
    pub created: (u64, u32),
    pub expires: Option<(u64, u32)>,
    /// What was born later is private to the branch.
    pub share_gen: Generation,
}

impl BranchMeta {
    pub fn encode(&self, w: &mut Writer) {
        w.short(self.name.as_bytes())
            .u64(BranchId::to_disk(self.parent))
            .u64(ForkPointId::to_disk(self.fork_point));
        w.u8(u8::from(self.sealed) | u8::from(self.expires.is_some()) << 1);
        w.u64(self.created.0).u32(self.created.1);
        let expires = self.expires.unwrap_or_default();
        w.u64(expires.0).u32(expires.1).u64(self.share_gen.0);
    }
    pub fn decode(r: &mut Reader) -> Decoded<BranchMeta> {
        let (name, parent, fork_point, flags) = (r.text()?, r.number()?, r.number()?, r.u8()?);
        let created = (r.number()?, r.u32()?);
        let expires = (r.number()?, r.u32()?);
        if created.1 >= 1_000_000_000 || expires.1 >= 1_000_000_000 {
            return Err(Malformed("a time has too many nanoseconds"));
        }
        Ok(BranchMeta {
            name,
            parent: BranchId::from_disk(parent),
            fork_point: ForkPointId::from_disk(fork_point),
            sealed: flags & 1 != 0,
            created,
            expires: (flags & 2 != 0).then_some(expires),
            share_gen: Generation(r.number()?),
        })
    }
}

pub(crate) fn encode_branch(meta: &BranchMeta, root: &DiskRoot) -> Vec<u8> {
    let mut w = Writer::default();
    meta.encode(&mut w);
    root.encode(&mut w);
    w.0
}

pub(crate) fn decode_branch(value: &[u8]) -> Decoded<(BranchMeta, DiskRoot)> {
    let mut r = Reader(value);
    Ok((BranchMeta::decode(&mut r)?, DiskRoot::decode(&mut r)?))
}

/// A fork point: its root, and how many branches keep it.
pub(crate) fn encode_fork_point(users: u64, root: &DiskRoot) -> Vec<u8> {
    let mut w = Writer::default();
    w.u64(users);
    root.encode(&mut w);
    w.0
}

pub(crate) fn decode_fork_point(value: &[u8]) -> Decoded<(u64, DiskRoot)> {
    let mut r = Reader(value);
    Ok((r.number()?, DiskRoot::decode(&mut r)?))
}

/// A subtree whose pointer was dropped and waits to be taken apart.
pub(crate) fn encode_reclaim(root: &DiskRoot) -> Vec<u8> {
    let mut w = Writer::default();
    root.encode(&mut w);
    w.0
}

pub(crate) fn decode_reclaim(value: &[u8]) -> Decoded<DiskRoot> {
    DiskRoot::decode(&mut Reader(value))
}

/// The count of a range of blocks.
pub(crate) fn encode_count(blocks: u64, count: u32) -> Vec<u8> {
    let mut w = Writer::default();
    w.u64(blocks).u32(count);
    w.0
}

pub(crate) fn decode_count(value: &[u8]) -> Decoded<(u64, u32)> {
    let mut r = Reader(value);
    let (blocks, count) = (r.address()?, r.u32()?);
    if blocks == 0 || count < 2 {
        return Err(Malformed("a stored count is below two"));
    }
    Ok((blocks, count))
}

pub(crate) const PREFIX_BRANCH: u8 = b'b';
pub(crate) const PREFIX_NAME: u8 = b'n';
pub(crate) const PREFIX_FORK_POINT: u8 = b'p';
pub(crate) const PREFIX_RECLAIM: u8 = b'q';
pub(crate) const PREFIX_COUNT: u8 = b'r';

/// A key of a number: prefix and big-endian, so that keys sort as numbers do.
pub(crate) fn number_key(prefix: u8, number: u64) -> [u8; 9] {
    let mut key = [prefix; 9];
    key[1..].copy_from_slice(&number.to_be_bytes());
    key
}

pub(crate) fn key_number(key: &[u8]) -> Decoded<u64> {
    let digits = key.get(1..9).and_then(|d| <[u8; 8]>::try_from(d).ok());
    let number = digits.filter(|_| key.len() == 9).map(u64::from_be_bytes);
    number.filter(|n| *n < 1 << 56).ok_or(Malformed("a system key holds no sensible number"))
}

pub(crate) fn name_key(name: &str) -> Vec<u8> {
    let mut key = vec![PREFIX_NAME];
    key.extend_from_slice(name.as_bytes());
    key
}
