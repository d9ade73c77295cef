//! Access lists: rights for more users and groups than the mode has room for, as `acl(5)` says.
//!
//! A list is kept as the extended attribute by which programs read and set it, in the kernel's form
//! (`include/uapi/linux/posix_acl_xattr.h`): version 2, then an entry of 8 bytes each,
//! little-endian: tag u16, rights u16, user or group u32. The list of a file and its mode are two
//! views of one thing: its owner's, its mask's (or its group's) and the others' rights are the
//! mode's. A list that says no more is not kept. The kernel decides by it what a caller may do.

use crate::{Error, Result};

/// The attribute that is a file's own access list, as programs and the kernel name it.
pub const ACCESS: &[u8] = b"system.posix_acl_access";
/// The attribute of a directory that new files in it inherit as their access list.
pub(crate) const DEFAULT: &[u8] = b"system.posix_acl_default";

const VERSION: u32 = 2;
const ENTRY_BYTES: usize = 8;

/// Whose rights an entry gives. A list has them in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Tag {
    Owner = 0x01,
    User = 0x02,
    OwningGroup = 0x04,
    Group = 0x08,
    Mask = 0x10,
    Others = 0x20,
}

impl Tag {
    fn of_number(number: u16) -> Option<Tag> {
        use Tag::*;
        [Owner, User, OwningGroup, Group, Mask, Others]
            .into_iter()
            .find(|tag| *tag as u16 == number)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    tag: Tag,
    /// Read 4, write 2, execute 1.
    rights: u16,
    /// A user's or group's number; meaningless in other entries.
    id: u32,
}

/// Renumbers the users and groups that the bytes of a list name.
pub(crate) fn rename(bytes: &mut [u8], user: &dyn Fn(u32) -> u32, group: &dyn Fn(u32) -> u32) {
    let entries = bytes.split_first_chunk_mut::<4>().map_or(&mut [][..], |(_, entries)| entries);
    for entry in entries.chunks_exact_mut(ENTRY_BYTES) {
        match Tag::of_number(u16::from_le_bytes([entry[0], entry[1]])) {
            Some(Tag::User) => renumber(&mut entry[4..], user),
            Some(Tag::Group) => renumber(&mut entry[4..], group),
            _ => {}
        }
    }
}

/// Renumbers an owner that is kept in four bytes.
pub(crate) fn renumber(number: &mut [u8], to: &dyn Fn(u32) -> u32) {
    if let Ok(bytes) = <[u8; 4]>::try_from(&*number) {
        number.copy_from_slice(&to(u32::from_le_bytes(bytes)).to_le_bytes());
    }
}

/// A whole access list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Acl(Vec<Entry>);

impl Acl {
    /// Decodes the bytes of the attribute.
    pub fn decode(bytes: &[u8]) -> Result<Acl> {
        let list = bytes
            .split_first_chunk::<4>()
            .filter(|(version, _)| u32::from_le_bytes(**version) == VERSION)
            .filter(|(_, entries)| entries.len().is_multiple_of(ENTRY_BYTES))
            .and_then(|(_, entries)| entries.chunks_exact(ENTRY_BYTES).map(entry).collect())
            .map(Acl);
        list.filter(Acl::is_whole).ok_or(Error::Invalid("not an access list as acl(5) has it"))
    }

    /// The bytes of the attribute.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = VERSION.to_le_bytes().to_vec();
        for Entry { tag, rights, id } in &self.0 {
            bytes.extend((*tag as u16).to_le_bytes());
            bytes.extend(rights.to_le_bytes());
            bytes.extend(id.to_le_bytes());
        }
        bytes
    }

    /// The nine permission bits of a file that has this list.
    pub fn mode(&self) -> u32 {
        self.0
            .iter()
            .filter_map(|entry| Some((self.shift(entry.tag)?, entry.rights)))
            .fold(0, |mode, (shift, rights)| mode | u32::from(rights) << shift)
    }

    /// Returns `true` if the mode expresses the whole list.
    pub fn is_mode_only(&self) -> bool {
        self.0.len() == 3
    }

    /// Adopts the permission bits of a new mode.
    pub fn set_mode(&mut self, mode: u32) {
        self.change(|_, bits| bits, mode);
    }

    /// Removes the rights that `mode` does not have, for a file that is created with it.
    pub fn limit(&mut self, mode: u32) {
        self.change(|rights, bits| rights & bits, mode);
    }

    fn change(&mut self, new: impl Fn(u16, u16) -> u16, mode: u32) {
        let shifts: Vec<_> = self.0.iter().map(|entry| self.shift(entry.tag)).collect();
        for (entry, shift) in self.0.iter_mut().zip(shifts) {
            if let Some(shift) = shift {
                entry.rights = new(entry.rights, (mode >> shift & 7) as u16);
            }
        }
    }

    /// Where the mode has the rights of an entry, if it has: those of a mask in place of the owning
    /// group's.
    fn shift(&self, tag: Tag) -> Option<u32> {
        match tag {
            Tag::Owner => Some(6),
            Tag::Mask => Some(3),
            Tag::OwningGroup if !self.has(Tag::Mask) => Some(3),
            Tag::Others => Some(0),
            _ => None,
        }
    }

    fn has(&self, tag: Tag) -> bool {
        self.0.iter().any(|entry| entry.tag == tag)
    }

    /// Returns `true` if there is one entry each for owner, owning group and others, and a mask if
    /// there are others.
    fn is_whole(&self) -> bool {
        let Acl(entries) = self;
        let count = |tag| entries.iter().filter(|entry| entry.tag == tag).count();
        let named = count(Tag::User) + count(Tag::Group) > 0;
        [Tag::Owner, Tag::OwningGroup, Tag::Others].iter().all(|tag| count(*tag) == 1)
            && (usize::from(named)..=1).contains(&count(Tag::Mask))
            && entries.is_sorted_by_key(|entry| entry.tag)
    }
}

fn entry(bytes: &[u8]) -> Option<Entry> {
    let half = |at: usize| u16::from_le_bytes([bytes[at], bytes[at + 1]]);
    let id = u32::from_le_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]);
    let rights = half(2);
    Some(Entry { tag: Tag::of_number(half(0))?, rights, id }).filter(|_| rights <= 7)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(entries: &[(u16, u16, u32)]) -> Vec<u8> {
        let mut bytes = vec![2, 0, 0, 0];
        for (tag, rights, id) in entries {
            bytes.extend(tag.to_le_bytes());
            bytes.extend(rights.to_le_bytes());
            bytes.extend(id.to_le_bytes());
        }
        bytes
    }

    #[test]
    fn the_mask_and_not_the_owning_group_is_in_the_mode() {
        let bytes = list(&[(1, 7, 0), (2, 6, 9), (4, 4, 0), (0x10, 5, 0), (0x20, 1, 0)]);
        let mut acl = Acl::decode(&bytes).unwrap();
        assert_eq!((acl.mode(), acl.is_mode_only()), (0o751, false));
        assert_eq!(acl.encode(), bytes);
        acl.limit(0o640);
        assert_eq!(acl.mode(), 0o640);
        acl.set_mode(0o777);
        let opened = list(&[(1, 7, 0), (2, 6, 9), (4, 4, 0), (0x10, 7, 0), (0x20, 7, 0)]);
        assert_eq!(acl.encode(), opened);
        let plain = Acl::decode(&list(&[(1, 6, 0), (4, 4, 0), (0x20, 0, 0)])).unwrap();
        assert_eq!((plain.mode(), plain.is_mode_only()), (0o640, true));
    }

    #[test]
    fn what_is_no_list_is_refused() {
        let good = list(&[(1, 7, 0), (4, 4, 0), (0x20, 1, 0)]);
        let bad = [
            vec![],
            good[..good.len() - 1].to_vec(),
            [&[1], &good[1..]].concat(),
            list(&[]),
            list(&[(1, 8, 0), (4, 4, 0), (0x20, 1, 0)]),
            list(&[(1, 7, 0), (4, 4, 0)]),
            list(&[(4, 7, 0), (1, 4, 0), (0x20, 1, 0)]),
            list(&[(1, 7, 0), (1, 7, 0), (4, 4, 0), (0x20, 1, 0)]),
            list(&[(1, 7, 0), (2, 7, 5), (4, 4, 0), (0x20, 1, 0)]),
            list(&[(1, 7, 0), (4, 4, 0), (0x10, 1, 0), (0x10, 1, 0), (0x20, 1, 0)]),
            list(&[(1, 7, 0), (3, 4, 0), (4, 4, 0), (0x20, 1, 0)]),
        ];
        for bytes in bad {
            assert!(Acl::decode(&bytes).is_err(), "{bytes:?}");
        }
    }
}
