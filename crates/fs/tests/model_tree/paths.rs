//! What a difference must say, found by comparing two plain trees name by name.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use tine_fs::{Change, Ino, Kind, NameChange, PathChange, ROOT};

use super::{Content, Model};

/// The directory, the name, and what it leads to.
type Names = BTreeMap<(Ino, Vec<u8>), Ino>;

impl Model {
    /// Every name that leads to something.
    fn names(&self) -> Names {
        let mut names = BTreeMap::new();
        for dir in self.dirs().into_iter().filter(|dir| self.nodes[dir].names > 0) {
            let entries = self.entries(dir).iter();
            names.extend(entries.map(|(name, ino)| ((dir, name.clone()), *ino)));
        }
        names
    }

    fn path(&self, dir: Ino, name: &[u8]) -> Vec<u8> {
        if dir == ROOT {
            return name.to_vec();
        }
        let parent = self.parent(dir);
        let (own, _) = self.entries(parent).iter().find(|(_, ino)| **ino == dir).unwrap();
        [&self.path(parent, own)[..], b"/", name].concat()
    }
}

/// Compares a difference with what two trees have: each name lost or gained must be reported, no
/// other, and each file with other data.
pub fn compare(changes: &[PathChange], old: &Model, new: &Model) -> Result<(), TestCaseError> {
    let (names, new_names) = (old.names(), new.names());
    let only = |these: &Names, others: &Names, model: &Model| {
        let alone = these.iter().filter(|(name, ino)| others.get(*name) != Some(*ino));
        let mut paths: Vec<_> = alone.map(|((dir, name), _)| model.path(*dir, name)).collect();
        paths.sort();
        paths
    };
    let (lost, gained) = (only(&names, &new_names, old), only(&new_names, &names, new));
    let (mut told_lost, mut told_gained) = (Vec::new(), Vec::new());
    for change in changes {
        let path = change.path.clone();
        match &change.change {
            Change::Added => told_gained.push(path),
            Change::Deleted => told_lost.push(path),
            Change::Renamed { from } => {
                told_lost.push(from.clone());
                told_gained.push(path);
            }
            // One file in place of another of its kind.
            Change::Modified if lost.contains(&path) && gained.contains(&path) => {
                told_lost.push(path.clone());
                told_gained.push(path);
            }
            Change::Modified | Change::Metadata => {}
        }
    }
    told_lost.sort();
    told_gained.sort();
    prop_assert_eq!(told_lost, lost);
    prop_assert_eq!(told_gained, gained);
    let paths: BTreeMap<_, _> =
        new_names.iter().map(|((dir, name), ino)| (new.path(*dir, name), *ino)).collect();
    for (ino, node) in &new.nodes {
        let (Some(before), Content::File(data)) = (old.nodes.get(ino), &node.content) else {
            continue;
        };
        let other = !matches!(&before.content, Content::File(old) if old == data);
        if other && before.names > 0 && node.names > 0 {
            let told = changes.iter().any(|change| {
                let kind = matches!(change.change, Change::Modified | Change::Renamed { .. });
                kind && paths.get(&change.path) == Some(ino)
            });
            prop_assert!(told, "other data of {} in {:?}", ino, changes);
        }
    }
    Ok(())
}

/// Compares a difference told name by name with what two trees have: what is told of one makes the
/// other, and each name that leads to another file or other data is told.
pub fn compare_names(
    changes: &[NameChange],
    old: &Model,
    new: &Model,
) -> Result<(), TestCaseError> {
    let files = |model: &Model| -> BTreeMap<Vec<u8>, Ino> {
        let names = model.names().into_iter();
        let files =
            names.filter(|(_, ino)| !matches!(model.nodes[ino].content, Content::Dir { .. }));
        files.map(|((dir, name), ino)| (model.path(dir, &name), ino)).collect()
    };
    let (old_files, new_files) = (files(old), files(new));
    let mut made: BTreeSet<Vec<u8>> = old_files.keys().cloned().collect();
    let files = || changes.iter().map(|named| &named.change).filter(|c| c.kind != Kind::Directory);
    for change in files() {
        match &change.change {
            Change::Deleted => prop_assert!(made.remove(&change.path), "{change:?}"),
            Change::Renamed { from } => prop_assert!(made.remove(from), "{change:?}"),
            _ => {}
        }
    }
    for change in files() {
        match &change.change {
            Change::Added | Change::Renamed { .. } => {
                prop_assert!(made.insert(change.path.clone()), "{change:?}");
            }
            Change::Deleted => {}
            _ => prop_assert!(made.contains(&change.path), "{change:?}"),
        }
    }
    prop_assert!(made.iter().eq(new_files.keys()), "{:?} makes {:?}", changes, made);
    for (path, ino) in &new_files {
        let Some(before) = old_files.get(path) else { continue };
        if before != ino || old.nodes[before].content != new.nodes[ino].content {
            let told = files().any(|change| change.path == *path);
            prop_assert!(told, "{:?} in {:?}", path, changes);
        }
    }
    Ok(())
}
