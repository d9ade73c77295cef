//! What is left of a tree, and what has to be made up.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use tine_store::{ReadTxn, Value};

use super::notes::Notes;
use crate::data::BLOCK;
use crate::header::Header;
use crate::inode::{Inode, Link};
use crate::name::check_name;
use crate::name_hash::{NameHash, Seed};
use crate::{Attr, FILE_BYTES_MAX, Ino, Kind, ROOT, Result, bucket, key, time};

/// Numbers from here on were never given: no branch has so many files.
const INO_END: Ino = Ino::new(1 << 62);

/// A name that was found in a directory.
pub(super) struct Named {
    pub dir: Ino,
    pub name: Vec<u8>,
    pub ino: Ino,
    pub kind: Kind,
    /// Where it was, if it was: a file's first name stays its first.
    pub link: Option<Link>,
}

pub(super) struct Survey {
    pub seed: Seed,
    /// The first number behind those of all inodes.
    pub next: Ino,
    pub inodes: BTreeMap<Ino, Inode>,
    pub names: Vec<Named>,
    pub owners_of_data: BTreeSet<Ino>,
}

impl Survey {
    /// Reads what is left of the tree of a snapshot. Returns `None` if there is no trace of one.
    pub fn of(txn: &ReadTxn, notes: &mut Notes) -> Result<Option<Survey>> {
        let header = match txn.get(key::HEADER)? {
            Some(bytes) => Header::parse("", &bytes).ok(),
            None => None,
        };
        let mut survey = Survey {
            seed: header.map_or_else(Seed::random, |header| header.seed),
            next: ROOT,
            inodes: inodes(txn)?,
            names: Vec::new(),
            owners_of_data: owners(txn, key::DATA)?,
        };
        let directories = survey.entries(txn)?;
        let targets = owners(txn, key::TARGET)?;
        // Other data may have keys that look like those of a tree, but not records of inodes or
        // names of the root.
        let trace = !survey.inodes.is_empty() || survey.names.iter().any(|n| n.dir == ROOT);
        if header.is_none() && !trace {
            return Ok(None);
        }
        survey.root();
        let named = survey.names.iter().map(|named| (named.ino, Some(named.kind)));
        let mut missing: BTreeMap<Ino, Option<Kind>> =
            survey.owners_of_data.iter().map(|ino| (*ino, Some(Kind::File))).collect();
        missing.extend(named);
        missing.extend(targets.into_iter().map(|ino| (ino, Some(Kind::Symlink))));
        missing.extend(directories.into_iter().map(|ino| (ino, Some(Kind::Directory))));
        for (ino, kind) in missing {
            let known = survey.inodes.contains_key(&ino) || !can_be(ino);
            // Nothing tells which device a lost one was.
            let kind =
                kind.filter(|kind| !matches!(kind, Kind::CharDevice | Kind::BlockDevice) && !known);
            if let Some(kind) = kind {
                let size = if kind == Kind::File { end_of_data(txn, ino)? } else { 0 };
                survey.make_up(ino, kind, size);
                notes.of(ino, "its attributes are lost: owner, permissions and times are set anew");
            }
        }
        let last = survey.inodes.last_key_value().map_or(ROOT, |(ino, _)| *ino);
        survey.next = Ino::new(last.get() + 1);
        Ok(Some(survey))
    }

    pub fn header(&self) -> Header {
        Header { seed: self.seed }
    }

    /// Reads the entries. Returns the directories that they are in.
    fn entries(&mut self, txn: &ReadTxn) -> Result<BTreeSet<Ino>> {
        let mut directories = BTreeSet::new();
        for found in range(txn, key::BUCKET) {
            let (key, value) = found?;
            let place = key::parse(&key).and_then(|(_, dir, hash)| Some((dir, key::hash(hash)?)));
            let (Some((dir, hash)), Value::Bytes(bytes)) = (place, value) else { continue };
            for entry in bucket::unchecked(&bytes).flatten() {
                if check_name(entry.name).is_err() || !can_be(dir) {
                    continue;
                }
                directories.insert(dir);
                let position =
                    bucket::position(NameHash(hash.0 & (u64::MAX >> 8)), entry.slot & 127);
                self.names.push(Named {
                    dir,
                    name: entry.name.to_vec(),
                    ino: entry.ino,
                    kind: entry.kind,
                    link: Some(Link { parent: dir, position }),
                });
            }
        }
        Ok(directories)
    }

    fn root(&mut self) {
        if !self.inodes.get(&ROOT).is_some_and(Inode::is_dir) {
            self.make_up(ROOT, Kind::Directory, 0);
        }
        if let Some(root) = self.inodes.get_mut(&ROOT) {
            root.home = Some(Link { parent: ROOT, position: 0 });
            root.attr.nlink = root.attr.nlink.max(2);
        }
    }

    /// Adds an inode that only the owner of the root can use.
    pub fn make_up(&mut self, ino: Ino, kind: Kind, size: u64) {
        let owner = self.inodes.get(&ROOT).map_or((0, 0), |root| (root.attr.uid, root.attr.gid));
        let time::Moment { now, birth } = time::moment();
        let mode = match kind {
            Kind::Directory => 0o700,
            Kind::Symlink => 0o777,
            _ => 0o600,
        };
        let attr = Attr {
            ino,
            size,
            blocks_512: 0,
            atime: now,
            mtime: now,
            ctime: now,
            crtime: birth,
            kind,
            mode,
            nlink: 1,
            uid: owner.0,
            gid: owner.1,
            rdev: 0,
        };
        self.inodes.insert(ino, Inode { attr, home: None, capability: false });
    }
}

/// Returns `true` if a branch may have given the number.
fn can_be(ino: Ino) -> bool {
    (ROOT..INO_END).contains(&ino)
}

fn inodes(txn: &ReadTxn) -> Result<BTreeMap<Ino, Inode>> {
    let mut inodes = BTreeMap::new();
    for entry in range(txn, key::INODE) {
        let (key, value) = entry?;
        if let (Some((_, ino, [])), Value::Bytes(bytes)) = (key::parse(&key), value)
            && can_be(ino)
            && let Ok(inode) = Inode::decode(ino, &bytes)
        {
            inodes.insert(ino, inode);
        }
    }
    Ok(inodes)
}

fn owners(txn: &ReadTxn, letter: u8) -> Result<BTreeSet<Ino>> {
    let mut owners = BTreeSet::new();
    for entry in range(txn, letter) {
        owners.extend(key::parse(&entry?.0).map(|(_, ino, _)| ino));
    }
    Ok(owners)
}

/// The end of the last block of a file's data.
fn end_of_data(txn: &ReadTxn, ino: Ino) -> Result<u64> {
    let mut end = 0;
    for run in txn.extents(&key::of(key::DATA, ino), 0) {
        let run = run?;
        end = run.block.saturating_add(run.blocks).saturating_mul(BLOCK);
    }
    Ok(end.min(FILE_BYTES_MAX))
}

pub(super) fn range(txn: &ReadTxn, letter: u8) -> tine_store::Range {
    txn.range(Bound::Included(&[letter]), Bound::Excluded(&[letter + 1]))
}
