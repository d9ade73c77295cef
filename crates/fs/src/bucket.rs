//! A bucket: the entries of one directory whose names share a hash.
//!
//! The hash (56 bits, seeded per file tree so that nobody can make names that collide) and the slot in the
//! bucket (7 bits) make the *position* of an entry. It stays the same for as long as the entry is there,
//! which is what `telldir` needs; listing a directory is walking its buckets in order.
//!
//! ```text
//! bucket = entry*      entry = slot u8 · kind u8 · ino u64 · name length u8 · name
//! ```

use tine_store::VALUE_BYTES_MAX;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::inode::kind;
use crate::{Error, Ino, Kind, Result};

const SLOT_BITS: u32 = 7;
const HEAD_BYTES: usize = 11;

/// An entry of a directory as its bucket has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry<'a> {
    pub slot: u8,
    pub kind: Kind,
    pub ino: Ino,
    pub name: &'a [u8],
}

/// The hash of a name. It is never 0, so that positions of entries leave room for `.` and `..`.
pub(crate) fn hash(seed: u64, name: &[u8]) -> u64 {
    (xxh3_64_with_seed(name, seed) >> 8).max(1)
}

pub(crate) fn position(hash: u64, slot: u8) -> u64 {
    hash << SLOT_BITS | u64::from(slot)
}

/// The hash and the slot of a position.
pub(crate) fn place(position: u64) -> (u64, u8) {
    (position >> SLOT_BITS, (position & ((1 << SLOT_BITS) - 1)) as u8)
}

/// The entries in the bytes of a bucket of directory `dir`.
pub(crate) fn entries(dir: Ino, mut bytes: &[u8]) -> impl Iterator<Item = Result<Entry<'_>>> {
    std::iter::from_fn(move || {
        if bytes.is_empty() {
            return None;
        }
        let entry = take(&mut bytes);
        if entry.is_none() {
            bytes = &[];
        }
        Some(entry.ok_or(Error::Damaged { ino: dir, what: "entries" }))
    })
}

fn take<'a>(bytes: &mut &'a [u8]) -> Option<Entry<'a>> {
    let (head, rest) = bytes.split_first_chunk::<HEAD_BYTES>()?;
    let (name, rest) = rest.split_at_checked(usize::from(head[10]))?;
    *bytes = rest;
    let ino = u64::from_le_bytes(*head[2..].first_chunk::<8>()?);
    Some(Entry { slot: head[0], kind: kind(head[1])?, ino, name })
}

/// The entry of a name.
pub(crate) fn find<'a>(dir: Ino, bytes: &'a [u8], name: &[u8]) -> Result<Option<Entry<'a>>> {
    for entry in entries(dir, bytes) {
        let entry = entry?;
        if entry.name == name {
            return Ok(Some(entry));
        }
    }
    Ok(None)
}

fn push(bytes: &mut Vec<u8>, entry: &Entry<'_>) {
    bytes.extend([entry.slot, entry.kind as u8]);
    bytes.extend(entry.ino.to_le_bytes());
    bytes.push(entry.name.len() as u8);
    bytes.extend(entry.name);
}

/// Adds a name that the bucket has not; gives its slot.
pub(crate) fn add(dir: Ino, bytes: &mut Vec<u8>, name: &[u8], ino: Ino, kind: Kind) -> Result<u8> {
    let mut used = 0u128;
    for entry in entries(dir, bytes) {
        used |= 1 << (entry?.slot & 127);
    }
    let slot = used.trailing_ones() as u8;
    if u32::from(slot) >= 1 << SLOT_BITS || bytes.len() + HEAD_BYTES + name.len() > VALUE_BYTES_MAX
    {
        return Err(Error::Invalid("too many names of this directory share one hash"));
    }
    push(bytes, &Entry { slot, kind, ino, name });
    Ok(slot)
}

/// The bucket without the entry of a name.
pub(crate) fn without(dir: Ino, bytes: &[u8], name: &[u8]) -> Result<Vec<u8>> {
    let mut out = Vec::with_capacity(bytes.len());
    for entry in entries(dir, bytes) {
        let entry = entry?;
        if entry.name != name {
            push(&mut out, &entry);
        }
    }
    Ok(out)
}

/// The bucket with another inode under a name; its position stays.
pub(crate) fn with(dir: Ino, bytes: &[u8], name: &[u8], ino: Ino, kind: Kind) -> Result<Vec<u8>> {
    let mut out = Vec::with_capacity(bytes.len());
    for entry in entries(dir, bytes) {
        let entry = entry?;
        let other = Entry { ino, kind, ..entry };
        push(&mut out, if entry.name == name { &other } else { &entry });
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn three() -> Vec<u8> {
        let mut bytes = Vec::new();
        for (slot, name) in [&b"a"[..], b"", &[0xff; 255]].into_iter().enumerate() {
            let added = add(1, &mut bytes, name, slot as u64 + 10, Kind::File).unwrap();
            assert_eq!(usize::from(added), slot);
        }
        bytes
    }

    #[test]
    fn the_bytes_and_the_hash_of_an_entry_stay_as_they_are() {
        let mut bytes = Vec::new();
        add(1, &mut bytes, b"abc", 0x0102, Kind::Directory).unwrap();
        assert_eq!(bytes, b"\x00\x02\x02\x01\x00\x00\x00\x00\x00\x00\x03abc");
        assert_eq!(hash(7, b"abc"), 20_546_947_272_795_033);
    }

    #[test]
    fn names_that_share_a_hash_keep_their_slots() {
        let bytes = without(1, &three(), b"").unwrap();
        assert_eq!(find(1, &bytes, &[0xff; 255]).unwrap().unwrap().slot, 2);
        let mut bytes = with(1, &bytes, b"a", 99, Kind::Symlink).unwrap();
        let entry = find(1, &bytes, b"a").unwrap().unwrap();
        assert_eq!((entry.slot, entry.ino, entry.kind), (0, 99, Kind::Symlink));
        assert_eq!(add(1, &mut bytes, b"new", 5, Kind::File).unwrap(), 1);
    }

    #[test]
    fn a_bucket_that_is_full_says_so_and_stays() {
        let mut bytes = Vec::new();
        let names: Vec<_> = (0..8u8).map(|i| vec![i; 255]).collect();
        let added = names.iter().take_while(|name| add(1, &mut bytes, name, 2, Kind::File).is_ok());
        assert_eq!(added.count(), VALUE_BYTES_MAX / (HEAD_BYTES + 255));
        assert!(find(1, &bytes, &names[6]).unwrap().is_some());
    }

    #[test]
    fn bytes_cut_anywhere_are_an_error_or_whole_entries() {
        let bytes = three();
        let whole = [0, 12, 23, bytes.len()];
        for cut in 0..=bytes.len() {
            let good = entries(1, &bytes[..cut]).all(|entry| entry.is_ok());
            assert_eq!(good, whole.contains(&cut), "cut at {cut}");
        }
    }

    #[test]
    fn a_position_is_positive_as_an_off_t_and_leaves_room_for_the_dots() {
        for name in [&b""[..], b"x", b"some longer name"] {
            let hash = hash(3, name);
            let position = position(hash, 127);
            assert!(position > 2 && position <= i64::MAX as u64);
            assert_eq!(place(position), (hash, 127));
        }
    }
}
