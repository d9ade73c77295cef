//! The record of an inode, and its bytes.
//!
//! ```text
//!  0  version  1  kind  2  mode u16  4  nlink u32  8  uid u32  12  gid u32  16  rdev u32
//! 20  flags u32
//! 24  size u64         32  blocks u64
//! 40  atime, mtime, ctime, crtime: seconds i64, nanoseconds u32 each
//! 88  parent u64       96  position u64: the first name of the file; 0 and 0 without one
//! ```
//!
//! Numbers are little-endian.

use tine_store::BLOCK_BYTES;

use crate::{
    Attr, Error, FILE_BYTES_MAX, Ino, Kind, LINK_MAX, ROOT, Result, SYMLINK_BYTES_MAX, Time,
};

const VERSION: u8 = 1;
const BYTES: usize = 104;
const FLAG_CAPABILITY: u32 = 1;

/// A name of a file, by the directory it is in and its position there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Link {
    pub parent: Ino,
    pub position: u64,
}

/// An inode: its attributes, and what only this crate needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Inode {
    pub attr: Attr,
    /// Its first name; none of an orphan.
    pub home: Option<Link>,
    /// It has a `security.capability`, which a write removes with the set-id bits.
    pub capability: bool,
}

impl Inode {
    /// Blocks that have data.
    pub fn blocks(&self) -> u64 {
        self.attr.blocks_512 / BLOCKS_512_PER_BLOCK
    }

    pub fn set_blocks(&mut self, blocks: u64) {
        self.attr.blocks_512 = blocks.saturating_mul(BLOCKS_512_PER_BLOCK);
    }

    /// Blocks that the size reaches into. No block is mapped behind them.
    pub fn size_blocks(&self) -> u64 {
        self.attr.size.div_ceil(BLOCK_BYTES as u64)
    }

    /// Fails unless an entry of this kind at this place can lead to the inode. A directory has one
    /// place: an entry elsewhere would let a walk reach it twice, or from inside itself. The root
    /// has none at all.
    pub fn must_be_at(&self, kind: Kind, link: Link) -> Result<()> {
        let placed = !self.is_dir() || self.home == Some(link) && self.attr.ino != ROOT;
        if self.attr.kind == kind && self.attr.nlink > 0 && placed {
            Ok(())
        } else {
            Err(Error::Damaged { ino: self.attr.ino, what: "the place" })
        }
    }

    pub fn is_dir(&self) -> bool {
        self.attr.kind == Kind::Directory
    }

    /// Clears the set-id bits as a write by an ordinary caller does. Set-gid on a file that its
    /// group cannot execute is no privilege, and stays.
    pub fn clear_set_id(&mut self) {
        self.attr.mode &= !libc::S_ISUID;
        if self.attr.mode & libc::S_IXGRP != 0 {
            self.attr.mode &= !libc::S_ISGID;
        }
    }

    pub fn encode(&self) -> [u8; BYTES] {
        let attr = &self.attr;
        let mut out = [0; BYTES];
        out[0] = VERSION;
        out[1] = attr.kind as u8;
        out[2..4].copy_from_slice(&(attr.mode as u16).to_le_bytes());
        let flags = if self.capability { FLAG_CAPABILITY } else { 0 };
        let words = [attr.nlink, attr.uid, attr.gid, attr.rdev, flags];
        for (word, place) in words.iter().zip(out[4..24].chunks_exact_mut(4)) {
            place.copy_from_slice(&word.to_le_bytes());
        }
        out[24..32].copy_from_slice(&attr.size.to_le_bytes());
        out[32..40].copy_from_slice(&self.blocks().to_le_bytes());
        let times = [attr.atime, attr.mtime, attr.ctime, attr.crtime];
        for (time, place) in times.iter().zip(out[40..88].chunks_exact_mut(12)) {
            place[..8].copy_from_slice(&time.secs.to_le_bytes());
            place[8..].copy_from_slice(&time.nanos.to_le_bytes());
        }
        if let Some(home) = self.home {
            out[88..96].copy_from_slice(&home.parent.get().to_le_bytes());
            out[96..].copy_from_slice(&home.position.to_le_bytes());
        }
        out
    }

    pub fn decode(ino: Ino, bytes: &[u8]) -> Result<Inode> {
        let damaged = Error::Damaged { ino, what: "attributes" };
        let Ok(bytes) = <&[u8; BYTES]>::try_from(bytes) else { return Err(damaged) };
        let Some(kind) = kind(bytes[1]).filter(|_| bytes[0] == VERSION) else {
            return Err(damaged);
        };
        let word = |at: usize| u32::from_le_bytes(array(&bytes[at..at + 4]));
        let long = |at: usize| u64::from_le_bytes(array(&bytes[at..at + 8]));
        let time = |at: usize| Time { secs: long(at) as i64, nanos: word(at + 8) };
        let Some(blocks_512) = long(32).checked_mul(BLOCKS_512_PER_BLOCK) else {
            return Err(damaged);
        };
        let inode = Inode {
            attr: Attr {
                ino,
                size: long(24),
                blocks_512,
                atime: time(40),
                mtime: time(52),
                ctime: time(64),
                crtime: time(76),
                kind,
                mode: u32::from(u16::from_le_bytes(array(&bytes[2..4]))),
                nlink: word(4),
                uid: word(8),
                gid: word(12),
                rdev: word(16),
            },
            home: match (long(88), long(96)) {
                (0, 0) => None,
                (parent, position) => Some(Link { parent: Ino::new(parent), position }),
            },
            capability: word(20) & FLAG_CAPABILITY != 0,
        };
        if inode.can_be() { Ok(inode) } else { Err(damaged) }
    }

    /// Returns `true` if every field holds what the calls of this crate can write. Anything else is
    /// forged, and would mean something else to the system (an owner -1 is "leave it", some
    /// nanoseconds are "now").
    fn can_be(&self) -> bool {
        let attr = &self.attr;
        let times = [attr.atime, attr.mtime, attr.ctime, attr.crtime];
        let size_max = match attr.kind {
            Kind::Symlink => SYMLINK_BYTES_MAX as u64,
            _ => FILE_BYTES_MAX,
        };
        attr.size <= size_max
            && attr.mode <= 0o7777
            && attr.nlink <= LINK_MAX
            && attr.uid != u32::MAX
            && attr.gid != u32::MAX
            && times.iter().all(|time| time.nanos < 1_000_000_000)
            && self.home.is_none_or(|home| i64::try_from(home.position).is_ok())
    }
}

const BLOCKS_512_PER_BLOCK: u64 = BLOCK_BYTES as u64 / 512;

fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(bytes);
    out
}

/// Decodes the kind of a file.
pub(crate) fn kind(byte: u8) -> Option<Kind> {
    use Kind::*;
    [File, Directory, Symlink, Fifo, Socket, CharDevice, BlockDevice]
        .into_iter()
        .find(|kind| *kind as u8 == byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Inode {
        let time = |secs| Time { secs, nanos: 999_999_999 };
        Inode {
            attr: Attr {
                ino: Ino::new(42),
                size: u64::MAX >> 1,
                blocks_512: 24,
                atime: time(-1),
                mtime: time(2),
                ctime: time(i64::MAX),
                crtime: time(4),
                kind: Kind::BlockDevice,
                mode: 0o7777,
                nlink: 65000,
                uid: u32::MAX - 1,
                gid: 7,
                rdev: 0x0801,
            },
            home: Some(Link { parent: ROOT, position: 1 << 62 }),
            capability: true,
        }
    }

    /// The bytes of the sample, laid out by hand from the drawing above: a store in the field has
    /// them so.
    const GOLDEN: &str = concat!(
        "0107ff0fe8fd0000feffffff070000000108000001000000ffffffffffffff7f0300000000000000",
        "ffffffffffffffffffc99a3b0200000000000000ffc99a3bffffffffffffff7fffc99a3b04000000",
        "00000000ffc99a3b01000000000000000000000000000040",
    );

    #[test]
    fn the_bytes_of_an_inode_stay_as_they_are_drawn() {
        let hex: String = sample().encode().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, GOLDEN);
    }

    #[test]
    fn an_inode_survives_its_bytes() {
        assert_eq!(Inode::decode(Ino::new(42), &sample().encode()).unwrap(), sample());
    }

    #[test]
    fn bytes_that_are_no_inode_are_refused_by_number() {
        let good = sample().encode();
        let wrong = |at: usize, byte: u8| {
            let mut bytes = good;
            bytes[at] = byte;
            Inode::decode(Ino::new(42), &bytes).unwrap_err().to_string()
        };
        // Version, kinds, mode, links, a size and a count beyond reason, nanoseconds of each time,
        // the position.
        let bad = [(0, 9), (1, 0), (1, 8), (3, 0x10), (7, 1), (31, 0x80), (39, 0xff), (51, 0x3c)];
        let more = [(63, 0x3c), (75, 0x3c), (87, 0x3c), (103, 0x80)];
        for message in bad.into_iter().chain(more).map(|(at, byte)| wrong(at, byte)) {
            assert_eq!(message, "damaged file tree: attributes of inode 42");
        }
        for owner in [8..12, 12..16] {
            let mut bytes = good;
            bytes[owner].fill(0xff);
            assert!(Inode::decode(Ino::new(42), &bytes).is_err(), "the owner -1");
        }
        assert!(Inode::decode(Ino::new(42), &good[1..]).is_err());
        assert!(Inode::decode(Ino::new(42), &[]).is_err());
    }

    #[test]
    fn set_gid_without_group_execution_survives_a_write() {
        let mut inode = sample();
        inode.attr.mode = 0o6745;
        inode.clear_set_id();
        assert_eq!(inode.attr.mode, 0o2745);
        inode.attr.mode = 0o6755;
        inode.clear_set_id();
        assert_eq!(inode.attr.mode, 0o755);
    }
}
