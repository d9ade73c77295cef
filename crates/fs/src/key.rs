//! Where things are in the map of a branch.
//!
//! Every key is one letter and then, but for the header and the origin, the number of an inode in
//! big-endian bytes: what belongs to one inode is one range.
//!
//! | key | value |
//! |---|---|
//! | `f` | the header, see [`crate::header`] |
//! | `p` chunk | the host directory that the tree was taken from |
//! | `i` ino | the inode, see [`crate::inode`] |
//! | `d` ino hash | the entries of a directory whose names share a hash, see [`crate::bucket`] |
//! | `e` ino block | runs of data of a regular file |
//! | `s` ino chunk | the target of a symbolic link |
//! | `x` ino name 0 chunk | an extended attribute |
//! | `l` ino parent position | a name of the file after its first |
//! | `o` ino | the inode has no name and is still in use |
//! | `h` ino | what an imported file was on the host, see [`crate::HostRecord`] |
//!
//! A chunk is a big-endian `u16`, see [`crate::blob`].

use crate::Ino;
use crate::name_hash::NameHash;

pub(crate) const HEADER: &[u8] = b"f";
pub(crate) const ORIGIN: &[u8] = b"p";

pub(crate) const INODE: u8 = b'i';
pub(crate) const BUCKET: u8 = b'd';
pub(crate) const DATA: u8 = b'e';
pub(crate) const TARGET: u8 = b's';
pub(crate) const XATTR: u8 = b'x';
pub(crate) const LINK: u8 = b'l';
pub(crate) const ORPHAN: u8 = b'o';
pub(crate) const HOST: u8 = b'h';

/// A letter and the number of an inode: a key, or the prefix of keys.
pub(crate) fn of(letter: u8, ino: Ino) -> [u8; 9] {
    let mut key = [letter; 9];
    key[1..].copy_from_slice(&ino.get().to_be_bytes());
    key
}

/// The key of the bucket of a hash.
pub(crate) fn bucket(dir: Ino, hash: NameHash) -> [u8; 17] {
    let mut key = [0; 17];
    key[..9].copy_from_slice(&of(BUCKET, dir));
    key[9..].copy_from_slice(&hash.0.to_be_bytes());
    key
}

/// The key of a further name of a file.
pub(crate) fn link(ino: Ino, parent: Ino, position: u64) -> [u8; 25] {
    let mut key = [0; 25];
    key[..9].copy_from_slice(&of(LINK, ino));
    key[9..17].copy_from_slice(&parent.get().to_be_bytes());
    key[17..].copy_from_slice(&position.to_be_bytes());
    key
}

/// The prefix of the keys of an extended attribute.
pub(crate) fn xattr(ino: Ino, name: &[u8]) -> Vec<u8> {
    [&of(XATTR, ino)[..], name, &[0]].concat()
}

/// Splits a key into its letter, its inode and the rest. Returns `None` for the header, the origin
/// and a key that is too short.
pub(crate) fn parse(key: &[u8]) -> Option<(u8, Ino, &[u8])> {
    let (ino, rest) = key.get(1..)?.split_first_chunk::<8>()?;
    Some((key[0], Ino::new(u64::from_be_bytes(*ino)), rest))
}

/// Decodes a number of eight bytes, big-endian.
pub(crate) fn number(bytes: &[u8]) -> Option<u64> {
    bytes.try_into().ok().map(u64::from_be_bytes)
}

/// Decodes the hash from the rest of the key of a bucket.
pub(crate) fn hash(rest: &[u8]) -> Option<NameHash> {
    number(rest).map(NameHash)
}

/// The first key after every key that begins with a prefix.
pub(crate) fn after(prefix: &[u8]) -> Vec<u8> {
    let mut key = prefix.to_vec();
    while let Some(last) = key.pop() {
        if last < u8::MAX {
            key.push(last + 1);
            break;
        }
    }
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_after_a_prefix_follows_everything_that_begins_with_it() {
        assert_eq!(after(b"ab"), b"ac");
        assert_eq!(after(b"a\xff\xff"), b"b");
        let prefix = of(DATA, Ino::new(0x00ff));
        assert!(after(&prefix).as_slice() > [&prefix[..], &[0xff; 9]].concat().as_slice());
        assert!(after(&prefix).as_slice() <= &of(DATA, Ino::new(0x0100))[..]);
    }

    #[test]
    fn a_key_gives_back_what_it_was_made_of() {
        let key = link(Ino::new(7), Ino::new(9), 11);
        let (letter, ino, rest) = parse(&key).unwrap();
        assert_eq!((letter, ino), (LINK, Ino::new(7)));
        assert_eq!((number(&rest[..8]), number(&rest[8..])), (Some(9), Some(11)));
        assert_eq!(parse(HEADER), None);
    }
}
