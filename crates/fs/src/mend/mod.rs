//! Makes a file tree consistent again of which parts are lost.
//!
//! A damaged store still gives some of a tree's records. From them the tree is rebuilt: a file
//! whose name is lost gets one in `lost+found`, its number; a file whose attributes are lost gets
//! attributes by which only the owner of the root can use it; and what is kept twice is counted
//! from what it stands for. What is whole stays as it is. Afterwards [`crate::check()`] finds
//! nothing, and every loss that a user can see is reported.

mod names;
mod notes;
mod survey;
mod values;
mod write;

use std::collections::BTreeMap;

use tine_store::{Branch, Finding};

use crate::data::{BLOCK, mapped};
use crate::inode::Inode;
use crate::{Kind, Result, key};
use names::Shape;
use notes::Notes;
use survey::Survey;
use write::Batch;

/// Mends the file tree of a branch that is not open elsewhere. Returns what was lost. A branch
/// without a file tree stays as it is.
///
/// Several transactions do it: if it is interrupted, the branch has to be mended again.
pub fn mend(branch: &Branch) -> Result<Vec<Finding>> {
    let view = branch.read()?;
    let mut notes = Notes::default();
    let Some(mut survey) = Survey::of(&view, &mut notes)? else { return Ok(Vec::new()) };
    let mut batch = Batch::new(branch, &view);
    values::targets(&mut survey, &mut batch)?;
    let shape = names::shape(&mut survey, &mut notes);
    values::attributes(&mut survey, &mut batch, &mut notes)?;
    values::host_records(&survey, &mut batch)?;
    for inode in survey.inodes.values_mut() {
        data(inode, branch, &mut batch)?;
    }
    no_other_data(&survey, &mut batch)?;
    records(&survey, &shape, &mut batch)?;
    batch.commit()?;
    drop(view);
    let mut findings = notes.findings(branch)?;
    findings.extend(crate::check(&branch.read()?)?);
    Ok(findings)
}

/// Unmaps what is mapped behind the end of a file, zeroes the rest of its last block, and counts
/// its blocks.
fn data(inode: &mut Inode, branch: &Branch, batch: &mut Batch<'_>) -> Result<()> {
    let map = key::of(key::DATA, inode.attr.ino);
    let end = match inode.attr.kind {
        Kind::File => inode.size_blocks(),
        _ => 0,
    };
    let inside = mapped(batch.view(), &map, 0..end)?;
    if mapped(batch.view(), &map, 0..u64::MAX)? != inside {
        batch.unmap(&map, end..u64::MAX)?;
    }
    inode.set_blocks(inside);
    let tail = (inode.attr.size % BLOCK) as usize;
    if end == 0 || tail == 0 || mapped(batch.view(), &map, end - 1..end)? == 0 {
        return Ok(());
    }
    let mut last = vec![0; BLOCK as usize];
    batch.view().read_map(&map, (end - 1) * BLOCK, &mut last)?;
    if last[tail..].iter().any(|byte| *byte != 0) {
        last[tail..].fill(0);
        batch.map(&map, end - 1, branch.stage(&last)?)?;
    }
    Ok(())
}

/// Removes the data of inodes that are lost.
fn no_other_data(survey: &Survey, batch: &mut Batch<'_>) -> Result<()> {
    let lost: Vec<_> =
        survey.owners_of_data.iter().filter(|ino| !survey.inodes.contains_key(ino)).collect();
    lost.into_iter().try_for_each(|ino| batch.unmap(&key::of(key::DATA, *ino), 0..u64::MAX))
}

/// Writes header, inodes, entries, further names and orphans where they differ from what they
/// should be.
fn records(survey: &Survey, shape: &Shape, batch: &mut Batch<'_>) -> Result<()> {
    batch.put(key::HEADER, &survey.header().encode())?;
    let mut wanted: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
    for (ino, inode) in &survey.inodes {
        wanted.insert(key::of(key::INODE, *ino).to_vec(), inode.encode().to_vec());
    }
    batch.make_range(key::INODE, &wanted)?;
    batch.make_range(key::BUCKET, &shape.buckets)?;
    batch.make_range(key::LINK, &shape.further_names)?;
    let orphans = survey.inodes.values().filter(|inode| inode.attr.nlink == 0);
    let orphans = orphans.map(|inode| (key::of(key::ORPHAN, inode.attr.ino).to_vec(), Vec::new()));
    batch.make_range(key::ORPHAN, &orphans.collect())
}
