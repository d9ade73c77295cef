//! Targets of symbolic links and extended attributes: whole, or not at all.

use std::collections::{BTreeMap, BTreeSet};

use tine_store::Value;

use super::notes::Notes;
use super::survey::{Survey, range};
use super::write::Batch;
use crate::acl::{self, Acl};
use crate::name::shown;
use crate::xattr::{self, CAPABILITY};
use crate::{HostRecord, Kind, Result, blob, create, key};

/// Removes the symbolic links that have lost their targets from the survey, and the targets whose
/// links are lost from the tree.
pub(super) fn targets(survey: &mut Survey, batch: &mut Batch<'_>) -> Result<()> {
    let mut whole = BTreeSet::new();
    for found in blob::all(batch.view(), key::TARGET) {
        let found = found?;
        let owner = match key::parse(&found.prefix) {
            Some((_, ino, [])) => survey.inodes.get_mut(&ino),
            _ => None,
        };
        let owner = owner.filter(|inode| inode.attr.kind == Kind::Symlink);
        if let (Some(inode), Some(target)) = (owner, &found.value)
            && create::check_target(target).is_ok()
            // The size of a made-up link is 0.
            && [0, target.len() as u64].contains(&inode.attr.size)
        {
            inode.attr.size = target.len() as u64;
            whole.insert(inode.attr.ino);
        } else {
            batch.remove_all(&found.keys)?;
        }
    }
    // Names that lead to one are reported later.
    survey.inodes.retain(|ino, inode| inode.attr.kind != Kind::Symlink || whole.contains(ino));
    Ok(())
}

/// Removes the attributes that are not whole, and notes which files have capabilities.
pub(super) fn attributes(
    survey: &mut Survey,
    batch: &mut Batch<'_>,
    notes: &mut Notes,
) -> Result<()> {
    survey.inodes.values_mut().for_each(|inode| inode.capability = false);
    for found in blob::all(batch.view(), key::XATTR) {
        let found = found?;
        let Some((ino, name)) = xattr::owner(&found.prefix) else {
            batch.remove_all(&found.keys)?;
            continue;
        };
        let Some(inode) = survey.inodes.get_mut(&ino) else {
            batch.remove_all(&found.keys)?;
            continue;
        };
        let is_acl = [acl::ACCESS, acl::DEFAULT].contains(&name);
        let whole = found.value.is_some_and(|value| !is_acl || Acl::decode(&value).is_ok());
        if !whole || xattr::check(name).is_err() {
            notes.of(ino, format!("its extended attribute {} is lost", shown(name)));
            batch.remove_all(&found.keys)?;
        } else if name == CAPABILITY {
            inode.capability = true;
        }
    }
    Ok(())
}

/// Keeps the records of the host that are whole. Without its record a file counts as changed.
pub(super) fn host_records(survey: &Survey, batch: &mut Batch<'_>) -> Result<()> {
    let mut whole = BTreeMap::new();
    for found in range(batch.view(), key::HOST) {
        let (key, value) = found?;
        if let (Some((_, ino, [])), Value::Bytes(bytes)) = (key::parse(&key), value)
            && survey.inodes.contains_key(&ino)
            && HostRecord::decode(ino, &bytes).is_ok()
        {
            whole.insert(key, bytes);
        }
    }
    batch.make_range(key::HOST, &whole)
}
