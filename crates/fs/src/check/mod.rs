//! Verifies that the records of a file tree agree with each other.
//!
//! Everything that is kept twice is counted again from what it stands for: sizes and links of
//! directories from their entries, links of files from the names that lead to them, blocks from the
//! data that is mapped. A tree may be forged: names, buckets, values and the places of directories
//! must be such as this crate writes.

mod values;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use tine_store::{Finding, ReadTxn, Severity, Value};

use crate::data::{BLOCK, mapped};
use crate::header::Header;
use crate::inode::{Inode, Link};
use crate::name::shown;
use crate::name_hash::{NameHash, Seed};
use crate::path::Paths;
use crate::tree_txn::entry_size;
use crate::{HostRecord, Ino, Kind, ROOT, Result, bucket, key};

/// What the entries say about an inode.
#[derive(Default)]
struct Counted {
    names: Vec<Link>,
    entries_size: u64,
    subdirs: u32,
}

/// Checks the file tree of a snapshot. Returns what is wrong with it: nothing if it is sound, or
/// there is none.
pub fn check(txn: &ReadTxn) -> Result<Vec<Finding>> {
    let (inodes, counted) = (BTreeMap::new(), BTreeMap::new());
    let mut check = Check { txn, seed: None, inodes, counted, found: Vec::new() };
    check.inodes()?;
    if check.inodes.is_empty() && txn.get(key::HEADER)?.is_none() {
        return Ok(Vec::new());
    }
    check.header()?;
    check.entries()?;
    check.links()?;
    check.reach();
    for inode in check.inodes.values().copied().collect::<Vec<_>>() {
        check.counts(&inode)?;
        check.data(&inode)?;
    }
    check.values()?;
    check.host_records()?;
    check.leftovers()?;
    Ok(check.findings())
}

struct Check<'a> {
    txn: &'a ReadTxn,
    /// The seed of the hash of names, once the header is read.
    seed: Option<Seed>,
    inodes: BTreeMap<Ino, Inode>,
    counted: BTreeMap<Ino, Counted>,
    /// What is wrong, and with which inode if it is one.
    found: Vec<(Option<Ino>, String)>,
}

impl Check<'_> {
    fn found(&mut self, ino: Ino, what: impl Into<String>) {
        self.found.push((Some(ino), what.into()));
    }

    /// Adds a finding that is about no single inode.
    fn found_in_tree(&mut self, what: impl Into<String>) {
        self.found.push((None, what.into()));
    }

    /// What was found, each with a path of its file where there is one.
    fn findings(self) -> Vec<Finding> {
        let mut paths = Paths::new(self.txn).ok();
        let mut finding = |(ino, what): (Option<Ino>, String)| {
            let path = ino.and_then(|ino| paths.as_mut()?.shown(ino));
            let place = match (ino, path) {
                (Some(ino), Some(path)) => format!("{path} (inode {ino})"),
                (Some(ino), None) => format!("inode {ino}"),
                (None, _) => "the file tree".to_owned(),
            };
            Finding { severity: Severity::Error, what, place }
        };
        self.found.into_iter().map(&mut finding).collect()
    }

    /// The entries of the store under one letter.
    fn range(&self, letter: u8) -> tine_store::Range {
        self.txn.range(Bound::Included(&[letter]), Bound::Excluded(&[letter + 1]))
    }

    fn inodes(&mut self) -> Result<()> {
        for entry in self.range(key::INODE) {
            let (key, value) = entry?;
            let Some((_, ino, [])) = key::parse(&key) else {
                self.found_in_tree("a key of an inode that is none");
                continue;
            };
            match value {
                Value::Bytes(bytes) if Inode::decode(ino, &bytes).is_ok() => {
                    self.inodes.insert(ino, Inode::decode(ino, &bytes)?);
                }
                _ => self.found(ino, "attributes that make no sense"),
            }
        }
        Ok(())
    }

    fn header(&mut self) -> Result<()> {
        let bytes = self.txn.get(key::HEADER)?.unwrap_or_default();
        match Header::parse("", &bytes) {
            Ok(header) => self.seed = Some(header.seed),
            Err(error) => self.found_in_tree(error.to_string()),
        }
        if !self.inodes.get(&ROOT).is_some_and(Inode::is_dir) {
            self.found(ROOT, "the root is missing or no directory");
        }
        Ok(())
    }

    fn entries(&mut self) -> Result<()> {
        for found in self.range(key::BUCKET) {
            let (key, value) = found?;
            let place = key::parse(&key).and_then(|(_, dir, hash)| Some((dir, key::hash(hash)?)));
            let (Some((dir, hash)), Value::Bytes(bytes)) = (place, value) else {
                self.found_in_tree("a key of entries that is none");
                continue;
            };
            if !self.inodes.get(&dir).is_some_and(Inode::is_dir) {
                self.found(dir, "entries of what is no directory");
            }
            self.bucket(dir, hash, &bytes);
        }
        Ok(())
    }

    fn bucket(&mut self, dir: Ino, hash: NameHash, bytes: &[u8]) {
        let place = self.seed.map(|seed| bucket::Place { dir, hash, seed });
        let (mut slots, mut names) = (BTreeSet::new(), BTreeSet::new());
        for entry in bucket::unchecked(bytes) {
            let Some(entry) = entry else {
                self.found(dir, "entries that make no sense");
                return;
            };
            if let Some(why) = place.and_then(|place| place.refuses(&entry)) {
                self.found(dir, format!("{why}: {}", shown(entry.name)));
            }
            if !slots.insert(entry.slot) || !names.insert(entry.name) {
                self.found(dir, format!("two entries in one place: {}", shown(entry.name)));
            }
            let kind = self.inodes.get(&entry.ino).map(|inode| inode.attr.kind);
            if kind != Some(entry.kind) {
                let ino = entry.ino;
                let what = format!("an entry for inode {ino}, which is missing or of another kind");
                self.found(dir, what);
            }
            let counted = self.counted.entry(dir).or_default();
            counted.entries_size += entry_size(entry.name);
            counted.subdirs += u32::from(entry.kind == Kind::Directory);
            let position = bucket::position(hash, entry.slot);
            let names = &mut self.counted.entry(entry.ino).or_default().names;
            names.push(Link { parent: dir, position });
        }
    }

    /// Every directory must be reachable from the root by the recorded places. Then none is inside
    /// itself.
    fn reach(&mut self) {
        let mut reached = BTreeSet::from([ROOT]);
        let mut lost = BTreeSet::new();
        for (ino, inode) in &self.inodes {
            if !inode.is_dir() || inode.attr.nlink == 0 {
                continue;
            }
            let (mut above, mut at) = (BTreeSet::new(), *ino);
            let leads = loop {
                if reached.contains(&at) || lost.contains(&at) || !above.insert(at) {
                    break reached.contains(&at);
                }
                let up = self.inodes.get(&at).filter(|inode| inode.is_dir());
                let Some(up) = up else { break false };
                let Some(home) = up.home else { break false };
                at = home.parent;
            };
            if leads { reached.extend(above) } else { lost.extend(above) }
        }
        for ino in lost {
            self.found(ino, "no way leads from the root to this directory");
        }
    }

    /// Every name that is recorded for an inode must be there, and no other.
    fn links(&mut self) -> Result<()> {
        let mut noted: BTreeMap<Ino, Vec<Link>> = BTreeMap::new();
        let mut wrong = Vec::new();
        for (ino, inode) in &self.inodes {
            if let Some(home) = inode.home {
                noted.entry(*ino).or_default().push(home);
            }
        }
        for entry in self.range(key::LINK) {
            let key = entry?.0;
            let Some((_, ino, rest)) = key::parse(&key) else { continue };
            match crate::path::link(rest) {
                Some(link) => noted.entry(ino).or_default().push(link),
                None => wrong.push(ino),
            }
        }
        noted.remove(&ROOT);
        for (ino, names) in &mut noted {
            let found = self.counted.get_mut(ino).map(|counted| &mut counted.names);
            names.sort_unstable_by_key(|link| (link.parent, link.position));
            let same = found.is_some_and(|found| {
                found.sort_unstable_by_key(|link| (link.parent, link.position));
                found == names
            });
            if !same {
                wrong.push(*ino);
            }
        }
        wrong.extend(self.counted.iter().filter_map(|(ino, counted)| {
            (!counted.names.is_empty() && !noted.contains_key(ino)).then_some(*ino)
        }));
        for ino in wrong {
            self.found(ino, "the names noted are not the names that lead to it");
        }
        Ok(())
    }

    fn counts(&mut self, inode: &Inode) -> Result<()> {
        let ino = inode.attr.ino;
        let nothing = Counted::default();
        let counted = self.counted.get(&ino).unwrap_or(&nothing);
        let names = counted.names.len() as u32;
        let orphan = inode.attr.nlink == 0;
        let nlink = match (inode.is_dir(), orphan) {
            (true, false) => 2 + counted.subdirs,
            _ => names,
        };
        let wrong_size = inode.is_dir() && counted.entries_size != inode.attr.size;
        if nlink != inode.attr.nlink {
            self.found(ino, format!("{} links are noted and {nlink} are there", inode.attr.nlink));
        }
        if wrong_size {
            self.found(ino, "the size of the directory is not that of its entries");
        }
        if orphan != self.txn.get(&key::of(key::ORPHAN, ino))?.is_some() {
            self.found(ino, "an orphan that is not noted, or noted and none");
        }
        Ok(())
    }

    fn data(&mut self, inode: &Inode) -> Result<()> {
        let attr = &inode.attr;
        let map = key::of(key::DATA, attr.ino);
        let inside = mapped(self.txn, &map, 0..inode.size_blocks())?;
        let all = mapped(self.txn, &map, 0..u64::MAX)?;
        if attr.kind != Kind::File {
            if all > 0 {
                self.found(attr.ino, "data of what is no regular file");
            }
            return Ok(());
        }
        if inside != all {
            self.found(attr.ino, "data behind the end of the file");
        }
        if all != inode.blocks() {
            self.found(
                attr.ino,
                format!("{} blocks are noted and {all} are there", inode.blocks()),
            );
        }
        let mut last = vec![0; (attr.size.next_multiple_of(BLOCK) - attr.size) as usize];
        self.txn.read_map(&map, attr.size, &mut last)?;
        if last.iter().any(|byte| *byte != 0) {
            self.found(attr.ino, "bytes other than zero behind the end of the file");
        }
        Ok(())
    }

    /// Every record of the host makes sense.
    fn host_records(&mut self) -> Result<()> {
        for entry in self.range(key::HOST) {
            let (key, value) = entry?;
            match (key::parse(&key), value) {
                (Some((_, ino, [])), Value::Bytes(bytes)) => {
                    if HostRecord::decode(ino, &bytes).is_err() {
                        self.found(ino, "a record of the host that makes no sense");
                    }
                }
                _ => self.found_in_tree("a key of a record of the host that is none"),
            }
        }
        Ok(())
    }

    /// Nothing may belong to an inode that is not there.
    fn leftovers(&mut self) -> Result<()> {
        let letters = [key::DATA, key::TARGET, key::XATTR, key::LINK, key::ORPHAN, key::HOST];
        for letter in letters {
            let mut lost = Vec::new();
            for entry in self.range(letter) {
                let ino = key::parse(&entry?.0).map(|(_, ino, _)| ino);
                let known = ino.is_some_and(|ino| self.inodes.contains_key(&ino));
                if !known && lost.last() != Some(&ino) {
                    lost.push(ino);
                }
            }
            for ino in lost {
                let what = format!("'{}' entries of an inode that is missing", letter as char);
                self.found.push((ino, what));
            }
        }
        Ok(())
    }
}
