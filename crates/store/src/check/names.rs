//! Names and branches belong together: each branch has one name, which leads to it and to no other.

use std::collections::BTreeMap;

use super::finding::Severity::{self, Error, Fatal};
use crate::branch::is_name;
use crate::error::Result;
use crate::format::catalog::{
    PREFIX_BRANCH, PREFIX_COUNT, PREFIX_FORK_POINT, PREFIX_NAME, PREFIX_RECLAIM, decode_branch,
    key_number,
};
use crate::format::superblock::Superblock;
use crate::tree::{Cursor, Nodes, Root};

/// What is wrong, and where.
type Found = (Severity, String, String);

/// The names and branches of a system tree.
#[derive(Default)]
struct Catalog {
    branches: BTreeMap<u64, String>,
    names: BTreeMap<Vec<u8>, Vec<u8>>,
    found: Vec<Found>,
}

/// Compares the names that the system tree records with its branches, both ways.
pub fn check(nodes: &Nodes, system: &Root, superblock: &Superblock) -> Result<Vec<Found>> {
    let mut catalog = Catalog::default();
    let mut cursor = Cursor::seek(nodes, system, &[])?;
    while let Some((key, value)) = cursor.next(nodes)? {
        catalog.take(&key, &value, superblock);
    }
    catalog.compare();
    Ok(catalog.found)
}

impl Catalog {
    fn find(&mut self, severity: Severity, what: impl Into<String>, place: String) {
        self.found.push((severity, what.into(), place));
    }

    /// Takes a record of the system tree, and checks what it says by itself.
    fn take(&mut self, key: &[u8], value: &[u8], superblock: &Superblock) {
        let place = || format!("the system tree, record {}", key.escape_ascii());
        match key.first() {
            Some(&PREFIX_BRANCH) => match (key_number(key), decode_branch(value)) {
                (Ok(id), Ok((meta, _))) => {
                    if id == 0 || id >= superblock.next_branch.0 {
                        let what = format!("number {id} was given to no branch yet");
                        self.find(Error, what, format!("branch {}", meta.name));
                    }
                    if !is_name(&meta.name) {
                        self.find(Error, "it has no possible name", format!("branch number {id}"));
                    }
                    self.branches.insert(id, meta.name);
                }
                (Err(why), _) | (_, Err(why)) => self.find(Fatal, why.0, place()),
            },
            Some(&PREFIX_NAME) => drop(self.names.insert(key[1..].to_vec(), value.to_vec())),
            Some(&(PREFIX_FORK_POINT | PREFIX_RECLAIM | PREFIX_COUNT)) => {}
            _ => self.find(Error, "it is of no known kind", place()),
        }
    }

    fn compare(&mut self) {
        let mut found = Vec::new();
        for (name, value) in &self.names {
            let place = format!("the name {}", name.escape_ascii());
            let id = <[u8; 8]>::try_from(value.as_slice()).map(u64::from_be_bytes);
            let Ok(id) = id else {
                found.push((Error, "it leads to no number".to_owned(), place));
                continue;
            };
            match self.branches.get(&id) {
                Some(own) if own.as_bytes() == name => {}
                Some(own) => {
                    found.push((Error, format!("it leads to a branch that is called {own}"), place))
                }
                None => found.push((
                    Error,
                    format!("it leads to branch number {id}, which is not there"),
                    place,
                )),
            }
        }
        for (id, name) in &self.branches {
            let leads_here = |value: &Vec<u8>| value.as_slice() == id.to_be_bytes();
            if !self.names.get(name.as_bytes()).is_some_and(leads_here) {
                let what = "no name leads to it: no command finds it".to_owned();
                found.push((Error, what, format!("branch {}, number {id}", name.escape_debug())));
            }
        }
        self.found.append(&mut found);
    }
}
