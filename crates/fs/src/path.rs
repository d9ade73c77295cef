//! From names to inodes and back.

use std::collections::HashMap;
use std::ops::Bound;

use tine_store::ReadTxn;

use crate::header::Header;
use crate::inode::{Inode, Link};
use crate::name::shown;
use crate::name_hash::Seed;
use crate::{Error, Ino, ROOT, Result, bucket, key};

/// Detects that a walk from inode to inode never ends, as one upwards does where a damaged tree
/// makes a directory its own ancestor (Brent's algorithm).
pub(crate) struct Round {
    mark: Ino,
    steps: u64,
    until: u64,
}

impl Round {
    pub fn from(start: Ino) -> Round {
        Round { mark: start, steps: 0, until: 1 }
    }

    /// Returns `true` if the inode that the walk comes to was met before and the walk will never
    /// end.
    pub fn closes_at(&mut self, ino: Ino) -> bool {
        if ino == self.mark {
            return true;
        }
        self.steps += 1;
        if self.steps == self.until {
            (self.mark, self.steps, self.until) = (ino, 0, self.until * 2);
        }
        false
    }
}

/// An inode of a snapshot, if it is there.
pub(crate) fn inode(txn: &ReadTxn, ino: Ino) -> Result<Option<Inode>> {
    txn.get(&key::of(key::INODE, ino))?.map(|bytes| Inode::decode(ino, &bytes)).transpose()
}

/// The names of an inode after its first.
pub(crate) fn links(txn: &ReadTxn, ino: Ino) -> impl Iterator<Item = Result<Link>> + use<> {
    let prefix = key::of(key::LINK, ino);
    txn.range(Bound::Included(&prefix), Bound::Excluded(&key::after(&prefix))).map(move |entry| {
        let (key, _) = entry?;
        let link = key::parse(&key).and_then(|(_, _, rest)| link(rest));
        link.ok_or(Error::Damaged { ino, what: "names" })
    })
}

/// Decodes the rest of the key of a further name.
pub(crate) fn link(rest: &[u8]) -> Option<Link> {
    let (parent, position) = rest.split_at_checked(8)?;
    let parent = Ino::new(key::number(parent)?);
    Some(Link { parent, position: key::number(position)? })
}

/// The paths of a snapshot, found by going up from an inode to its directories. Each directory is
/// looked up once.
pub(crate) struct Paths<'a> {
    txn: &'a ReadTxn,
    seed: Seed,
    dirs: HashMap<Ino, Option<Vec<u8>>>,
}

impl<'a> Paths<'a> {
    pub fn new(txn: &'a ReadTxn) -> Result<Paths<'a>> {
        let dirs = HashMap::from([(ROOT, Some(Vec::new()))]);
        Ok(Paths { txn, seed: Header::seed(txn)?, dirs })
    }

    /// The seed of the hash of the snapshot's names.
    pub fn seed(&self) -> Seed {
        self.seed
    }

    /// The snapshot that the paths are of.
    pub fn txn(&self) -> &'a ReadTxn {
        self.txn
    }

    /// The path of a name, without a leading slash; `None` if a directory above has no name.
    pub fn of_link(&mut self, link: Link) -> Result<Option<Vec<u8>>> {
        let name = self.name_at(link)?;
        self.of_name(link.parent, &name)
    }

    /// The path of an entry of a directory.
    pub fn of_name(&mut self, parent: Ino, name: &[u8]) -> Result<Option<Vec<u8>>> {
        Ok(self.of_dir(parent)?.map(|dir| {
            if dir.is_empty() { name.to_vec() } else { [&dir[..], b"/", name].concat() }
        }))
    }

    /// A path of an inode, for messages; `None` if no name of it is known.
    pub fn shown(&mut self, ino: Ino) -> Option<String> {
        if ino == ROOT {
            return Some(".".into());
        }
        let home = inode(self.txn, ino).ok()??.home?;
        let path = self.of_link(home).ok()??;
        Some(shown(&path))
    }

    /// As [`Paths::shown`], or its number where no name is known.
    pub fn shown_or_number(&mut self, ino: Ino) -> String {
        self.shown(ino).unwrap_or_else(|| format!("inode {ino}"))
    }

    /// The path that a name has in a directory, for messages. The name need not be there.
    pub fn shown_in(&mut self, dir: Ino, name: &[u8]) -> String {
        match dir {
            ROOT => shown(name),
            _ => format!("{}/{}", self.shown_or_number(dir), shown(name)),
        }
    }

    fn of_dir(&mut self, dir: Ino) -> Result<Option<Vec<u8>>> {
        let mut names = Vec::new();
        let (mut at, mut round) = (dir, Round::from(dir));
        let mut path = loop {
            if let Some(known) = self.dirs.get(&at) {
                break known.clone();
            }
            let above = inode(self.txn, at)?.filter(Inode::is_dir);
            let home = above.ok_or(Error::Damaged { ino: at, what: "the place" })?.home;
            let Some(home) = home else {
                self.dirs.insert(at, None);
                break None;
            };
            names.push((at, self.name_at(home)?));
            at = home.parent;
            if round.closes_at(at) {
                return Err(Error::Damaged { ino: at, what: "the place" });
            }
        };
        for (ino, name) in names.into_iter().rev() {
            path = path
                .map(|path| if path.is_empty() { name } else { [&path[..], b"/", &name].concat() });
            self.dirs.insert(ino, path.clone());
        }
        Ok(path)
    }

    /// The name at a place in a directory.
    pub fn name_at(&self, link: Link) -> Result<Vec<u8>> {
        let (hash, slot) = bucket::split(link.position);
        let place = bucket::Place { dir: link.parent, hash, seed: self.seed };
        let bytes = self.txn.get(&key::bucket(link.parent, hash))?.unwrap_or_default();
        for entry in bucket::entries(place, &bytes) {
            let entry = entry?;
            if entry.slot == slot {
                return Ok(entry.name.to_vec());
            }
        }
        Err(Error::Damaged { ino: link.parent, what: "entries" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_walk_in_a_ring_is_noticed_wherever_it_enters_and_one_that_ends_is_not() {
        for (tail, ring) in [(0u64, 1u64), (0, 2), (5, 1), (5, 7), (100, 3), (1, 1000)] {
            let next = |at: u64| if at + 1 < tail + ring { at + 1 } else { tail };
            let (mut at, mut round, mut steps) = (0, Round::from(Ino::new(0)), 0);
            loop {
                at = next(at);
                steps += 1;
                if round.closes_at(Ino::new(at)) {
                    break;
                }
                assert!(steps <= 4 * (tail + ring), "{tail} and {ring}");
            }
        }
        let mut round = Round::from(Ino::new(0));
        assert!((1..10_000).all(|at| !round.closes_at(Ino::new(at))));
    }
}
