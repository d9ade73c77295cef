//! A bucket: the entries of one directory whose names share a hash.
//!
//! The hash of a name (56 bits) and the slot in the bucket (7 bits) make the *position* of an
//! entry. It stays the same for as long as the entry is there, which is what `telldir` needs.
//! Listing a directory is walking its buckets in order.
//!
//! ```text
//! bucket = entry*      entry = slot u8 · kind u8 · ino u64 · name length u8 · name
//! ```
//!
//! A bucket may be forged. So each entry is checked before it is used: [`check_name`] takes the
//! name, it has the hash of the bucket, and no slot and no name occurs twice. Then no directory can
//! show one name twice, nor one that leads out of it.

use tine_store::VALUE_BYTES_MAX;

use crate::inode::kind;
use crate::name::check_name;
use crate::name_hash::{NameHash, Seed};
use crate::{Error, Ino, Kind, Result};

const SLOT_BITS: u32 = 7;
const SLOTS: u32 = 1 << SLOT_BITS;
const HEAD_BYTES: usize = 11;

/// The place of a bucket, against which its names are checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub dir: Ino,
    /// The hash that its names share.
    pub hash: NameHash,
    /// The seed of the tree's hashes.
    pub seed: Seed,
}

impl Place {
    /// The bucket that a name belongs to.
    pub fn of(dir: Ino, seed: Seed, name: &[u8]) -> Place {
        Place { dir, hash: seed.hash(name), seed }
    }

    /// The reason why an entry cannot be in this bucket, if there is one.
    pub fn refuses(&self, entry: &Entry<'_>) -> Option<&'static str> {
        if check_name(entry.name).is_err() {
            return Some("a name that cannot be one");
        }
        if self.seed.hash(entry.name) != self.hash {
            return Some("a name in a place where no search finds it");
        }
        (u32::from(entry.slot) >= SLOTS).then_some("a place that cannot be one")
    }

    fn damaged(&self) -> Error {
        Error::Damaged { ino: self.dir, what: "entries" }
    }
}

/// An entry of a directory as its bucket has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry<'a> {
    pub slot: u8,
    pub kind: Kind,
    pub ino: Ino,
    pub name: &'a [u8],
}

/// The position of an entry.
pub(crate) fn position(hash: NameHash, slot: u8) -> u64 {
    hash.0 << SLOT_BITS | u64::from(slot)
}

/// The hash and the slot of a position.
pub(crate) fn split(position: u64) -> (NameHash, u8) {
    (NameHash(position >> SLOT_BITS), (position & ((1 << SLOT_BITS) - 1)) as u8)
}

/// The entries in the bytes of a bucket, each checked.
pub(crate) fn entries(place: Place, bytes: &[u8]) -> impl Iterator<Item = Result<Entry<'_>>> {
    let mut rest = bytes;
    let mut slots = 0u128;
    std::iter::from_fn(move || {
        let before = &bytes[..bytes.len() - rest.len()];
        let entry = take(&mut rest)?.filter(|entry| {
            let fresh = place.refuses(entry).is_none() && slots & 1 << entry.slot == 0;
            // Few names share a hash, and few find room in a bucket.
            fresh && unchecked(before).flatten().all(|other| other.name != entry.name)
        });
        match &entry {
            Some(entry) => slots |= 1 << entry.slot,
            None => rest = &[],
        }
        Some(entry.ok_or_else(|| place.damaged()))
    })
}

/// The entries without checks, to find out what is wrong with them. Ends with `None` where the
/// bytes make no sense.
pub(crate) fn unchecked(mut bytes: &[u8]) -> impl Iterator<Item = Option<Entry<'_>>> {
    std::iter::from_fn(move || {
        let entry = take(&mut bytes)?;
        if entry.is_none() {
            bytes = &[];
        }
        Some(entry)
    })
}

/// Takes the first entry. Returns `None` at the end, and `Some(None)` if the bytes make no sense.
fn take<'a>(bytes: &mut &'a [u8]) -> Option<Option<Entry<'a>>> {
    if bytes.is_empty() {
        return None;
    }
    let mut one = || {
        let (head, rest) = bytes.split_first_chunk::<HEAD_BYTES>()?;
        let (name, rest) = rest.split_at_checked(usize::from(head[10]))?;
        *bytes = rest;
        let ino = Ino::new(u64::from_le_bytes(*head[2..].first_chunk::<8>()?));
        Some(Entry { slot: head[0], kind: kind(head[1])?, ino, name })
    };
    Some(one())
}

/// The entry of a name, if it is there.
pub(crate) fn find<'a>(place: Place, bytes: &'a [u8], name: &[u8]) -> Result<Option<Entry<'a>>> {
    for entry in entries(place, bytes) {
        let entry = entry?;
        if entry.name == name {
            return Ok(Some(entry));
        }
    }
    Ok(None)
}

pub(crate) fn push(bytes: &mut Vec<u8>, entry: &Entry<'_>) {
    bytes.extend([entry.slot, entry.kind as u8]);
    bytes.extend(entry.ino.get().to_le_bytes());
    bytes.push(entry.name.len() as u8);
    bytes.extend(entry.name);
}

/// Adds a name that the bucket does not have. Returns its slot.
pub(crate) fn add(
    place: Place,
    bytes: &mut Vec<u8>,
    name: &[u8],
    ino: Ino,
    kind: Kind,
) -> Result<u8> {
    let mut used = 0u128;
    for entry in entries(place, bytes) {
        used |= 1 << entry?.slot;
    }
    let slot = used.trailing_ones() as u8;
    if u32::from(slot) >= SLOTS || bytes.len() + HEAD_BYTES + name.len() > VALUE_BYTES_MAX {
        return Err(Error::Invalid("too many names of this directory share one hash"));
    }
    push(bytes, &Entry { slot, kind, ino, name });
    Ok(slot)
}

/// The bucket without the entry of a name.
pub(crate) fn without(place: Place, bytes: &[u8], name: &[u8]) -> Result<Vec<u8>> {
    let mut out = Vec::with_capacity(bytes.len());
    for entry in entries(place, bytes) {
        let entry = entry?;
        if entry.name != name {
            push(&mut out, &entry);
        }
    }
    Ok(out)
}

/// The bucket with another inode under a name, at the same position.
pub(crate) fn with(
    place: Place,
    bytes: &[u8],
    name: &[u8],
    ino: Ino,
    kind: Kind,
) -> Result<Vec<u8>> {
    let mut out = Vec::with_capacity(bytes.len());
    for entry in entries(place, bytes) {
        let entry = entry?;
        let other = Entry { ino, kind, ..entry };
        push(&mut out, if entry.name == name { &other } else { &entry });
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ROOT;
    use crate::name_hash::ALL_SHARE;

    const SEED: Seed = Seed(7);

    fn shared() -> Place {
        Place::of(ROOT, ALL_SHARE, b"")
    }

    fn three() -> Vec<u8> {
        let mut bytes = Vec::new();
        for (slot, name) in [&b"a"[..], b"b", &[0xff; 255]].into_iter().enumerate() {
            let added =
                add(shared(), &mut bytes, name, Ino::new(slot as u64 + 10), Kind::File).unwrap();
            assert_eq!(usize::from(added), slot);
        }
        bytes
    }

    #[test]
    fn the_bytes_and_the_hash_of_an_entry_stay_as_they_are() {
        let place = Place::of(ROOT, SEED, b"abc");
        let mut bytes = Vec::new();
        add(place, &mut bytes, b"abc", Ino::new(0x0102), Kind::Directory).unwrap();
        assert_eq!(bytes, b"\x00\x02\x02\x01\x00\x00\x00\x00\x00\x00\x03abc");
        assert_eq!(place.hash, NameHash(20_546_947_272_795_033));
    }

    #[test]
    fn names_that_share_a_hash_keep_their_slots() {
        let bytes = without(shared(), &three(), b"b").unwrap();
        assert_eq!(find(shared(), &bytes, &[0xff; 255]).unwrap().unwrap().slot, 2);
        let mut bytes = with(shared(), &bytes, b"a", Ino::new(99), Kind::Symlink).unwrap();
        let entry = find(shared(), &bytes, b"a").unwrap().unwrap();
        assert_eq!((entry.slot, entry.ino, entry.kind), (0, Ino::new(99), Kind::Symlink));
        assert_eq!(add(shared(), &mut bytes, b"new", Ino::new(5), Kind::File).unwrap(), 1);
    }

    #[test]
    fn a_bucket_that_is_full_says_so_and_stays() {
        let mut bytes = Vec::new();
        let names: Vec<_> = (1..9u8).map(|i| vec![i; 255]).collect();
        let add_one =
            |name: &&Vec<u8>| add(shared(), &mut bytes, name, Ino::new(2), Kind::File).is_ok();
        assert_eq!(names.iter().take_while(add_one).count(), VALUE_BYTES_MAX / (HEAD_BYTES + 255));
        assert!(find(shared(), &bytes, &names[6]).unwrap().is_some());
    }

    #[test]
    fn names_that_cannot_be_or_are_elsewhere_or_twice_are_damage() {
        let raw = |place: Place, list: &[(u8, &[u8])]| {
            let mut bytes = Vec::new();
            for (slot, name) in list {
                push(&mut bytes, &Entry { slot: *slot, kind: Kind::File, ino: Ino::new(5), name });
            }
            entries(place, &bytes).all(|entry| entry.is_ok())
        };
        let long = [b'a'; 255];
        for name in [&b"a"[..], b"...", b"..a", b"\n", b"\xff\xfe", &long] {
            assert!(raw(Place::of(ROOT, SEED, name), &[(3, name)]), "{name:?}");
            assert!(!raw(Place::of(ROOT, SEED, name), &[(128, name)]), "{name:?} in no slot");
            let elsewhere =
                Place { hash: NameHash(SEED.hash(name).0 ^ 1), ..Place::of(ROOT, SEED, name) };
            assert!(!raw(elsewhere, &[(3, name)]), "{name:?} where no search finds it");
            assert!(!raw(Place::of(ROOT, SEED, name), &[(3, name), (4, name)]), "{name:?} twice");
        }
        for name in [&b""[..], b".", b"..", b"/", b"../x", b"/x", b"a/b", b"a\0", b"a/"] {
            assert!(!raw(Place::of(ROOT, SEED, name), &[(0, name)]), "{name:?}");
        }
    }

    #[test]
    fn bytes_cut_anywhere_are_an_error_or_whole_entries() {
        let bytes = three();
        let whole = [0, 12, 24, bytes.len()];
        for cut in 0..=bytes.len() {
            let good = entries(shared(), &bytes[..cut]).all(|entry| entry.is_ok());
            assert_eq!(good, whole.contains(&cut), "cut at {cut}");
        }
    }

    #[test]
    fn a_position_is_positive_as_an_off_t_and_leaves_room_for_the_dots() {
        for name in [&b"a"[..], b"x", b"some longer name"] {
            let hash = SEED.hash(name);
            let position = position(hash, 127);
            assert!(position > 2 && position <= i64::MAX as u64);
            assert_eq!(split(position), (hash, 127));
        }
    }
}
