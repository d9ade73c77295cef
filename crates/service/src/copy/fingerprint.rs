//! 128 bits that stand for a file: its attributes, its extended attributes and its content.
//!
//! Content counts by non-zero blocks and their places, so that a hole and the zeros it reads as
//! have one fingerprint. A directory's content is the set of its names with the inodes they lead
//! to, in any order.

use tine_fs::{Ino, Kind, Time};
use xxhash_rust::xxh3::{Xxh3, xxh3_128};

use super::BLOCK_BYTES;

/// What a copy keeps of a file in addition to its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meta {
    pub kind: Kind,
    /// Permission bits with set-id and sticky bits.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    /// As the kernel encodes it in 32 bits.
    pub rdev: u32,
    pub atime: Time,
    pub mtime: Time,
    /// Of a regular file; 0 for anything else.
    pub size: u64,
    /// Sorted by name.
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

/// A fingerprint in the making.
pub struct Fingerprint {
    hash: Box<Xxh3>,
    names: u128,
}

impl Fingerprint {
    pub fn new(meta: &Meta) -> Fingerprint {
        let mut hash = Box::new(Xxh3::new());
        for number in [meta.kind.mode() | meta.mode, meta.uid, meta.gid, meta.rdev] {
            hash.update(&number.to_le_bytes());
        }
        hash.update(&meta.mtime.secs.to_le_bytes());
        hash.update(&meta.mtime.nanos.to_le_bytes());
        hash.update(&meta.size.to_le_bytes());
        for part in meta.xattrs.iter().flat_map(|(name, value)| [name, value]) {
            hash.update(&part.len().to_le_bytes());
            hash.update(part);
        }
        Fingerprint { hash, names: 0 }
    }

    /// Adds content at a multiple of the block size; only the last piece may end inside a block.
    pub fn content(&mut self, offset: u64, bytes: &[u8]) {
        debug_assert!(offset.is_multiple_of(BLOCK_BYTES));
        for (number, block) in (offset / BLOCK_BYTES..).zip(bytes.chunks(BLOCK_BYTES as usize)) {
            if block.iter().any(|&byte| byte != 0) {
                self.hash.update(&number.to_le_bytes());
                self.hash.update(block);
            }
        }
    }

    /// Adds a name of a directory.
    pub fn name(&mut self, name: &[u8], ino: Ino) {
        let entry = [&ino.get().to_le_bytes()[..], name].concat();
        self.names = self.names.wrapping_add(xxh3_128(&entry));
    }

    pub fn finish(mut self) -> u128 {
        self.hash.update(&self.names.to_le_bytes());
        self.hash.digest128()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meta(kind: Kind) -> Meta {
        let time = Time { secs: 1, nanos: 2 };
        Meta {
            kind,
            mode: 0o644,
            uid: 1,
            gid: 2,
            rdev: 0,
            atime: time,
            mtime: time,
            size: 9000,
            xattrs: vec![(b"user.a".to_vec(), b"1".to_vec())],
        }
    }

    fn of(pieces: &[(u64, &[u8])]) -> u128 {
        let mut fingerprint = Fingerprint::new(&meta(Kind::File));
        pieces.iter().for_each(|(offset, bytes)| fingerprint.content(*offset, bytes));
        fingerprint.finish()
    }

    #[test]
    fn a_hole_and_written_zeros_are_the_same() {
        let (zeros, ones) = ([0; 4096], [1; 100]);
        let dense = [&zeros[..], &zeros, &ones].concat();
        assert_eq!(of(&[(0, &dense)]), of(&[(8192, &ones)]));
    }

    #[test]
    fn the_place_of_a_block_counts() {
        assert_ne!(of(&[(0, &[1; 4096])]), of(&[(4096, &[1; 4096])]));
    }

    #[test]
    fn names_count_in_any_order_and_inodes_count() {
        let of = |names: &[(&[u8], u64)]| {
            let mut fingerprint = Fingerprint::new(&meta(Kind::Directory));
            names.iter().for_each(|(name, ino)| fingerprint.name(name, Ino::new(*ino)));
            fingerprint.finish()
        };
        assert_eq!(of(&[(b"a", 2), (b"b", 3)]), of(&[(b"b", 3), (b"a", 2)]));
        assert_ne!(of(&[(b"a", 2), (b"b", 3)]), of(&[(b"a", 3), (b"b", 2)]));
    }

    #[test]
    fn every_kept_attribute_counts_and_the_time_of_reading_does_not() {
        let base = meta(Kind::File);
        let of = |meta: &Meta| Fingerprint::new(meta).finish();
        let changes: [fn(&mut Meta); 7] = [
            |m| m.kind = Kind::Fifo,
            |m| m.mode = 0o600,
            |m| m.uid = 9,
            |m| m.gid = 9,
            |m| m.mtime.nanos = 9,
            |m| m.size = 9,
            |m| m.xattrs[0].1 = b"2".to_vec(),
        ];
        for change in changes {
            let mut changed = base.clone();
            change(&mut changed);
            assert_ne!(of(&changed), of(&base));
        }
        let mut read_later = base.clone();
        read_later.atime.secs += 1;
        assert_eq!(of(&read_later), of(&base));
    }
}
