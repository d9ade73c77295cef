//! Circles of a graph of files: its strongly connected components of more than one file.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

/// What each file imports from which other file, and under what names.
pub type Imports = BTreeMap<PathBuf, BTreeMap<PathBuf, BTreeSet<String>>>;

/// The circles, each sorted. Quadratic in the number of files of a crate, which is small.
pub fn circles(imports: &Imports) -> Vec<Vec<&PathBuf>> {
    let reached: BTreeMap<&PathBuf, BTreeSet<&PathBuf>> =
        imports.keys().map(|file| (file, reached_from(file, imports))).collect();
    let mut circles = Vec::new();
    let mut seen = BTreeSet::new();
    for (file, reaches) in &reached {
        let circle: Vec<&PathBuf> =
            reaches.iter().copied().filter(|other| reached[other].contains(file)).collect();
        if circle.len() > 1 && seen.insert(circle[0]) {
            circles.push(circle);
        }
    }
    circles
}

fn reached_from<'a>(file: &'a PathBuf, imports: &'a Imports) -> BTreeSet<&'a PathBuf> {
    let (mut reached, mut open) = (BTreeSet::new(), vec![file]);
    while let Some(file) = open.pop() {
        for next in imports[file].keys() {
            if reached.insert(next) {
                open.push(next);
            }
        }
    }
    reached
}
