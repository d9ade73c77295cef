//! The names of a mended tree, and what follows from them.

use std::collections::{BTreeMap, BTreeSet};

use super::notes::Notes;
use super::survey::{Named, Survey};
use crate::inode::Link;
use crate::tree_txn::entry_size;
use crate::{Ino, Kind, LINK_MAX, ROOT, bucket, key};

const LOST_AND_FOUND: &[u8] = b"lost+found";

/// The records that follow from the names of a tree.
pub(super) struct Shape {
    /// The entries, by key.
    pub buckets: BTreeMap<Vec<u8>, Vec<u8>>,
    /// The names of files after their first, by key.
    pub further_names: BTreeMap<Vec<u8>, Vec<u8>>,
}

/// Decides which names there are, and sets in each inode what is counted from them.
pub(super) fn shape(survey: &mut Survey, notes: &mut Notes) -> Shape {
    let mut names = sensible(survey, notes);
    hang_up(survey, &mut names, notes);
    lay_out(survey, names, notes)
}

/// The names that can stay: each once, in a directory, of a file that is there; and only one of a
/// directory.
fn sensible(survey: &mut Survey, notes: &mut Notes) -> Vec<Named> {
    let mut kept = Vec::new();
    let (mut taken, mut links) = (BTreeSet::new(), BTreeMap::<Ino, u32>::new());
    let found = std::mem::take(&mut survey.names);
    let homes: BTreeSet<(Ino, Link)> =
        found.iter().filter_map(|named| Some((named.ino, named.link?))).collect();
    for named in found {
        let Some(inode) = survey.inodes.get(&named.ino) else {
            notes.inside(named.dir, &named.name, "what this name led to is lost");
            continue;
        };
        let in_directory = survey.inodes.get(&named.dir).is_some_and(|dir| dir.is_dir());
        let home = inode.home;
        // A directory hangs where it says, if a name is there; else at the first name that leads to
        // it.
        let elsewhere = inode.is_dir()
            && home != named.link
            && home.is_some_and(|home| homes.contains(&(named.ino, home)));
        let links = links.entry(named.ino).or_default();
        let links_max = if inode.is_dir() { 1 } else { LINK_MAX };
        let fits = named.ino != ROOT && in_directory && !elsewhere && *links < links_max;
        if !fits || !taken.insert((named.dir, named.name.clone())) {
            notes.inside(named.dir, &named.name, "this name led where none may, and is removed");
            continue;
        }
        *links += 1;
        kept.push(Named { kind: inode.attr.kind, ..named });
    }
    kept
}

/// Gives what cannot be reached from the root a name in `lost+found`.
fn hang_up(survey: &mut Survey, names: &mut Vec<Named>, notes: &mut Notes) {
    let named: BTreeSet<Ino> = names.iter().map(|named| named.ino).collect();
    let full: BTreeSet<Ino> = names.iter().map(|named| named.dir).collect();
    // Without a name, one that counts none was in use when it lost the last: it goes when the tree
    // is next opened.
    let lost = survey.inodes.values().filter(|inode| {
        let ino = inode.attr.ino;
        let orphan = inode.attr.nlink == 0 && !full.contains(&ino);
        ino != ROOT && !named.contains(&ino) && !orphan
    });
    let mut lost: Vec<Ino> = lost.map(|inode| inode.attr.ino).collect();
    for ino in &lost {
        notes.of(*ino, "its name is lost");
    }
    // What is left then hangs in rings: each is cut at its lowest number.
    let mut children: BTreeMap<Ino, Vec<Ino>> = BTreeMap::new();
    let directories = names.iter().filter(|named| named.kind == Kind::Directory);
    directories.for_each(|named| children.entry(named.dir).or_default().push(named.ino));
    let mut reached = BTreeSet::new();
    let mut reach = |from: Ino| {
        let mut left = vec![from];
        while let Some(ino) = left.pop() {
            if reached.insert(ino) {
                left.extend(children.get(&ino).into_iter().flatten());
            }
        }
        reached.len()
    };
    reach(ROOT);
    for ino in &lost {
        reach(*ino);
    }
    let ringed: Vec<Ino> = survey
        .inodes
        .values()
        .filter(|i| i.is_dir() && named.contains(&i.attr.ino))
        .map(|i| i.attr.ino)
        .collect();
    let mut before = reach(ROOT);
    let mut cut = BTreeSet::new();
    for ino in ringed {
        let now = reach(ino);
        if now > before {
            notes.of(ino, "it was inside itself");
            cut.insert(ino);
            lost.push(ino);
        }
        before = now;
    }
    names.retain(|named| !cut.contains(&named.ino));
    if !lost.is_empty() {
        let dir = lost_and_found(survey, names);
        let taken: BTreeSet<Vec<u8>> =
            names.iter().filter(|named| named.dir == dir).map(|named| named.name.clone()).collect();
        for ino in lost {
            let Some(kind) = survey.inodes.get(&ino).map(|inode| inode.attr.kind) else { continue };
            let mut name = format!("#{ino}").into_bytes();
            while taken.contains(&name) {
                name.push(b'~');
            }
            names.push(Named { dir, name, ino, kind, link: None });
        }
    }
}

/// The directory for files without a name, which is created if there is none.
fn lost_and_found(survey: &mut Survey, names: &mut Vec<Named>) -> Ino {
    let in_root = |name: &[u8]| names.iter().find(|n| n.dir == ROOT && n.name == name);
    let mut name = LOST_AND_FOUND.to_vec();
    while let Some(there) = in_root(&name) {
        if there.kind == Kind::Directory {
            return there.ino;
        }
        name.push(b'~');
    }
    let ino = survey.next;
    survey.next = Ino::new(ino.get() + 1);
    survey.make_up(ino, Kind::Directory, 0);
    names.push(Named { dir: ROOT, name, ino, kind: Kind::Directory, link: None });
    ino
}

/// Puts every name into its bucket, and counts links and sizes.
fn lay_out(survey: &mut Survey, mut names: Vec<Named>, notes: &mut Notes) -> Shape {
    let mut buckets: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
    let mut places: BTreeMap<Ino, Vec<(Option<Link>, Link)>> = BTreeMap::new();
    let (mut sizes, mut subdirectories) =
        (BTreeMap::<Ino, u64>::new(), BTreeMap::<Ino, u32>::new());
    names.sort_by_key(|named| (named.dir, named.link.map_or(0, |link| link.position)));
    for named in names {
        let place = bucket::Place::of(named.dir, survey.seed, &named.name);
        let bytes = buckets.entry(key::bucket(named.dir, place.hash).to_vec()).or_default();
        let Ok(slot) = bucket::add(place, bytes, &named.name, named.ino, named.kind) else {
            notes.inside(named.dir, &named.name, "there is no room for this name");
            continue;
        };
        let link = Link { parent: named.dir, position: bucket::position(place.hash, slot) };
        places.entry(named.ino).or_default().push((named.link, link));
        *sizes.entry(named.dir).or_default() += entry_size(&named.name);
        *subdirectories.entry(named.dir).or_default() += u32::from(named.kind == Kind::Directory);
    }
    let mut further_names = BTreeMap::new();
    for (ino, inode) in &mut survey.inodes {
        let mut places = places.remove(ino).unwrap_or_default();
        let first = places.iter().position(|(old, _)| *old == inode.home).unwrap_or(0);
        if *ino != ROOT {
            let named = !places.is_empty();
            inode.home = named.then(|| places.remove(first).1);
            inode.attr.nlink = u32::from(named) + places.len() as u32;
        }
        for (_, link) in places {
            further_names.insert(key::link(*ino, link.parent, link.position).to_vec(), Vec::new());
        }
        if inode.is_dir() {
            inode.attr.size = sizes.get(ino).copied().unwrap_or(0);
            if *ino == ROOT || inode.home.is_some() {
                inode.attr.nlink = 2 + subdirectories.get(ino).copied().unwrap_or(0);
            }
        }
    }
    Shape { buckets, further_names }
}
