//! What is kept in chunks: the targets of symbolic links and the extended attributes.

use std::collections::BTreeSet;

use super::Check;
use crate::name::shown;
use crate::xattr::{self, CAPABILITY};
use crate::{Kind, Result, blob, create, key};

impl Check<'_> {
    /// Every target and every attribute is whole and one that could be set.
    pub(super) fn values(&mut self) -> Result<()> {
        let mut linked = BTreeSet::new();
        for found in blob::all(self.txn, key::TARGET) {
            let found = found?;
            let Some((_, ino, [])) = key::parse(&found.prefix) else {
                self.found_in_tree("a key of a target that is none");
                continue;
            };
            let attr = self.inodes.get(&ino).map(|inode| inode.attr);
            let fits = attr.zip(found.value).is_some_and(|(attr, target)| {
                let is_link = attr.kind == Kind::Symlink;
                is_link && attr.size == target.len() as u64 && create::check_target(&target).is_ok()
            });
            if attr.is_some() && !fits {
                self.found(ino, "a target that is not whole, or of what is no symbolic link");
            }
            linked.insert(ino);
        }
        let links = self.inodes.values().filter(|inode| inode.attr.kind == Kind::Symlink);
        let missing: Vec<_> = links.map(|i| i.attr.ino).filter(|i| !linked.contains(i)).collect();
        missing.into_iter().for_each(|ino| self.found(ino, "a symbolic link without its target"));
        self.attributes()
    }

    fn attributes(&mut self) -> Result<()> {
        let mut capable = BTreeSet::new();
        for found in blob::all(self.txn, key::XATTR) {
            let found = found?;
            let Some((ino, name)) = xattr::owner(&found.prefix) else {
                self.found_in_tree("a key of an extended attribute that is none");
                continue;
            };
            if xattr::check(name).is_err() {
                let name = shown(name);
                self.found(ino, format!("an extended attribute that cannot be: {name}"));
            } else if found.value.is_none() {
                let name = shown(name);
                self.found(ino, format!("an extended attribute that is not whole: {name}"));
            }
            if name == CAPABILITY {
                capable.insert(ino);
            }
        }
        let inodes = self.inodes.iter();
        let wrong = inodes.filter(|(ino, inode)| inode.capability != capable.contains(ino));
        for ino in wrong.map(|(ino, _)| *ino).collect::<Vec<_>>() {
            self.found(ino, "capabilities that are not noted, or noted and none");
        }
        Ok(())
    }
}
