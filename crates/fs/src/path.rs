//! From names to inodes and back.

use std::collections::HashMap;
use std::ops::Bound;

use tine_store::ReadTxn;

use crate::inode::{Inode, Link};
use crate::{Error, Ino, NAME_BYTES_MAX, ROOT, Result, bucket, key};

/// The most directories above one another, so that one which a damaged tree makes its own ancestor is found out.
pub(crate) const DEPTH_MAX: usize = 1 << 20;

/// Refuses what cannot name an entry of a directory; `.` and `..` are the door's business.
pub(crate) fn check_name(name: &[u8]) -> Result<()> {
    if name.len() > NAME_BYTES_MAX {
        return Err(Error::NameTooLong { bytes: name.len(), bytes_max: NAME_BYTES_MAX });
    }
    if name.is_empty() || name == b"." || name == b".." || name.contains(&b'/') || name.contains(&0)
    {
        return Err(Error::Invalid("not a name: empty, '.', '..', or with '/' or NUL in it"));
    }
    Ok(())
}

/// An inode of a snapshot, if it is there.
pub(crate) fn inode(txn: &ReadTxn, ino: Ino) -> Result<Option<Inode>> {
    txn.get(&key::of(key::INODE, ino))?.map(|bytes| Inode::decode(ino, &bytes)).transpose()
}

/// The names of an inode beside its first.
pub(crate) fn links(txn: &ReadTxn, ino: Ino) -> impl Iterator<Item = Result<Link>> + use<> {
    let prefix = key::of(key::LINK, ino);
    txn.range(Bound::Included(&prefix), Bound::Excluded(&key::after(&prefix))).map(move |entry| {
        let (key, _) = entry?;
        let link = key::parse(&key).and_then(|(_, _, rest)| link(rest));
        link.ok_or(Error::Damaged { ino, what: "names" })
    })
}

/// What the key of a further name says after the number of its inode.
pub(crate) fn link(rest: &[u8]) -> Option<Link> {
    let (parent, position) = rest.split_at_checked(8)?;
    Some(Link { parent: key::number(parent)?, position: key::number(position)? })
}

/// The paths of a snapshot, found by going up from an inode to its directories; each directory is looked up once.
pub(crate) struct Paths<'a> {
    txn: &'a ReadTxn,
    dirs: HashMap<Ino, Option<Vec<u8>>>,
}

impl<'a> Paths<'a> {
    pub fn new(txn: &'a ReadTxn) -> Paths<'a> {
        Paths { txn, dirs: HashMap::from([(ROOT, Some(Vec::new()))]) }
    }

    /// The snapshot that the paths are of.
    pub fn txn(&self) -> &'a ReadTxn {
        self.txn
    }

    /// The path of a name, without a leading slash; none if a directory above has lost its own name.
    pub fn of_link(&mut self, link: Link) -> Result<Option<Vec<u8>>> {
        let name = name_at(self.txn, link)?;
        self.of_name(link.parent, &name)
    }

    /// The path of an entry of a directory.
    pub fn of_name(&mut self, parent: Ino, name: &[u8]) -> Result<Option<Vec<u8>>> {
        Ok(self.of_dir(parent)?.map(|dir| match dir.is_empty() {
            true => name.to_vec(),
            false => [&dir[..], b"/", name].concat(),
        }))
    }

    fn of_dir(&mut self, dir: Ino) -> Result<Option<Vec<u8>>> {
        let mut names = Vec::new();
        let mut at = dir;
        let mut path = loop {
            if let Some(known) = self.dirs.get(&at) {
                break known.clone();
            }
            let endless = names.len() > DEPTH_MAX;
            let above = inode(self.txn, at)?.filter(|inode| !endless && inode.is_dir());
            let home = above.ok_or(Error::Damaged { ino: at, what: "the place" })?.home;
            if home == Link::NONE {
                self.dirs.insert(at, None);
                break None;
            }
            names.push((at, name_at(self.txn, home)?));
            at = home.parent;
        };
        for (ino, name) in names.into_iter().rev() {
            path = path.map(|path| match path.is_empty() {
                true => name,
                false => [&path[..], b"/", &name].concat(),
            });
            self.dirs.insert(ino, path.clone());
        }
        Ok(path)
    }
}

fn name_at(txn: &ReadTxn, link: Link) -> Result<Vec<u8>> {
    let (hash, slot) = bucket::place(link.position);
    let bytes = txn.get(&key::bucket(link.parent, hash))?.unwrap_or_default();
    for entry in bucket::entries(link.parent, &bytes) {
        let entry = entry?;
        if entry.slot == slot {
            return Ok(entry.name.to_vec());
        }
    }
    Err(Error::Damaged { ino: link.parent, what: "entries" })
}
