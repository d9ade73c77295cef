//! Many changes at once, in the order of their keys: each node on the way is visited once, a leaf
//! is written anew from its records and the changes that belong to it.

use super::edit::{Piece, ShadowPolicy, SumsDelta, Tree, Writer, insert_siblings, put_record};
use super::entries::{Entries, RECORD_OVERHEAD};
use super::node::{BODY_BYTES, Body, CHILD_BYTES, Link, Node, entry_bytes};
use super::nodes::Nodes;
use super::root::Root;
use crate::error::{Error, Result};
use crate::format::extent::{Extent, TAG_BYTES};
use std::sync::Arc;

/// Changes fewer than one in this many records are made in place.
const FEW: usize = 8;

/// A key, and the bytes that it holds from now on; `None` takes it away.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Change<'a> {
    pub key: &'a [u8],
    pub value: Option<&'a [u8]>,
}

/// The changes that belong below each child, as (child, from, to).
fn shares(keys: &Entries, changes: &[Change<'_>]) -> Vec<(usize, usize, usize)> {
    let mut shares = Vec::new();
    let mut from = 0;
    while from < changes.len() {
        let child = Node::child_index(keys, changes[from].key);
        let to = match child + 1 < keys.len() {
            true => from + changes[from..].partition_point(|c| c.key < keys.key(child + 1)),
            false => changes.len(),
        };
        shares.push((child, from, to));
        from = to;
    }
    shares
}

/// How many inner nodes lie on the paths of the changes, and the leaves at their ends.
pub(crate) fn paths(
    nodes: &Nodes,
    root: &Root,
    changes: &[Change<'_>],
) -> Result<(u64, Vec<Link>)> {
    let mut leaves = Vec::new();
    let inner = walk(nodes, &root.link, root.level, changes, &mut leaves)?;
    Ok((inner, leaves))
}

fn walk(
    nodes: &Nodes,
    link: &Link,
    level: u8,
    changes: &[Change<'_>],
    leaves: &mut Vec<Link>,
) -> Result<u64> {
    if level == 0 {
        leaves.push(link.clone());
        return Ok(0);
    }
    let node = nodes.load(link, level)?;
    let Body::Inner { keys, children } = &node.body else { return Ok(1) };
    let mut found = 1;
    for (child, from, to) in shares(keys, changes) {
        found += walk(nodes, &children[child].link, level - 1, &changes[from..to], leaves)?;
    }
    Ok(found)
}

impl<O: ShadowPolicy> Tree<'_, O> {
    /// Shadows the paths of the changes, which are sorted by key. What can fail fails here.
    pub fn shadow_paths(&mut self, changes: &[Change<'_>]) -> Result<()> {
        let writer = Writer { nodes: self.nodes, policy: self.policy };
        writer.shadow_paths(&mut self.root.link, self.root.level, changes)
    }

    /// Applies changes, sorted by key, whose paths are owned. Extents that lay under their keys are
    /// `dropped`.
    pub fn apply(
        &mut self,
        changes: &[Change<'_>],
        dropped: &mut impl FnMut(&Extent) -> Result<()>,
    ) -> Result<()> {
        let (mut sums, mut extents) = (SumsDelta::default(), Vec::new());
        let writer = Writer { nodes: self.nodes, policy: self.policy };
        let (root, level) = (&mut self.root.link, self.root.level);
        let pieces = writer.apply(root, level, changes, &mut sums, &mut extents)?;
        self.add_sums(sums);
        self.grow_root(&writer, pieces);
        self.shrink();
        extents
            .iter()
            .try_for_each(|value| dropped(&Extent::decode(value).map_err(|m| Error::damaged(m.0))?))
    }
}

impl<O: ShadowPolicy> Writer<'_, O> {
    fn shadow_paths(&self, link: &mut Link, level: u8, changes: &[Change<'_>]) -> Result<()> {
        if let Body::Inner { keys, children } = &mut self.shadow(link, level)?.body {
            let shares = shares(keys, changes);
            if level == 1 {
                let leaves = shares.iter().map(|(child, ..)| &children[*child].link);
                self.nodes.prefetch(leaves)?;
            }
            for (child, from, to) in shares {
                self.shadow_paths(&mut children[child].link, level - 1, &changes[from..to])?;
            }
        }
        Ok(())
    }

    fn apply(
        &self,
        link: &mut Link,
        level: u8,
        changes: &[Change<'_>],
        sums: &mut SumsDelta,
        extents: &mut Vec<Vec<u8>>,
    ) -> Result<Vec<Piece>> {
        let node = self.shadow(link, level)?;
        match &mut node.body {
            Body::Leaf(entries) => {
                let in_order =
                    entries.len() == 0 || entries.key(entries.len() - 1) < changes[0].key;
                if changes.len() * FEW < entries.len() {
                    for change in changes {
                        change_record(entries, change, sums, extents);
                    }
                } else {
                    *entries = merged(entries, changes, sums, extents);
                }
                Ok(self.split_evenly(node, in_order))
            }
            Body::Inner { keys, children } => {
                let low = changes[0].key;
                if low < keys.key(0) {
                    // The child with lower keys was removed once. What splits off this one must
                    // still belong after it.
                    keys.replace_key(0, low);
                }
                // From the right, so that what splits off moves no child still to be visited.
                for (i, from, to) in shares(keys, changes).into_iter().rev() {
                    let mut moved = SumsDelta::default();
                    let changes = &changes[from..to];
                    let pieces =
                        self.apply(&mut children[i].link, level - 1, changes, &mut moved, extents)?;
                    children[i].entries = children[i].entries.wrapping_add_signed(moved.entries);
                    children[i].bytes = children[i].bytes.wrapping_add_signed(moved.bytes);
                    sums.entries += moved.entries;
                    sums.bytes += moved.bytes;
                    let whole = pieces.is_empty();
                    insert_siblings(keys, children, i, pieces);
                    if whole && moved.entries < 0 {
                        self.merge_underfull(keys, children, i, level - 1);
                    }
                }
                Ok(self.split_evenly(node, false))
            }
        }
    }

    /// Cuts a node into as few as hold its records: nearly full ones while keys arrive in order,
    /// else of equal size.
    fn split_evenly(&self, node: &mut Node, in_order: bool) -> Vec<Piece> {
        if !node.overfull() {
            return Vec::new();
        }
        let (keys, child_bytes) = match &node.body {
            Body::Leaf(entries) => (entries, 0),
            Body::Inner { keys, .. } => (keys, CHILD_BYTES),
        };
        // What all keys have in common, those of each piece have too.
        let alike = keys.prefix_len();
        let bytes = |i: usize| keys.record_bytes(i) - alike + RECORD_OVERHEAD + child_bytes;
        let total: usize = (0..keys.len()).map(bytes).sum();
        let room = BODY_BYTES - alike;
        let target = if in_order { room / 16 * 15 } else { total.div_ceil(total.div_ceil(room)) };
        let (mut starts, mut filled) = (Vec::new(), 0);
        for i in 0..keys.len() {
            if filled > 0 && (filled + bytes(i) / 2 > target || filled + bytes(i) > room) {
                starts.push(i);
                filled = 0;
            }
            filled += bytes(i);
        }
        let split = |at| {
            let (separator, right) = self.split_at(node, at);
            (separator, Arc::new(right))
        };
        let mut pieces: Vec<Piece> = starts.into_iter().rev().map(split).collect();
        pieces.reverse();
        pieces
    }
}

/// Keeps a value that a change takes away if it names data blocks.
fn collect_extent(value: &[u8], extents: &mut Vec<Vec<u8>>) {
    if value.first() != Some(&TAG_BYTES) {
        extents.push(value.to_vec());
    }
}

/// Changes one record in place.
fn change_record(
    entries: &mut Entries,
    change: &Change<'_>,
    sums: &mut SumsDelta,
    extents: &mut Vec<Vec<u8>>,
) {
    let place = entries.search(change.key);
    if let Ok(i) = place {
        collect_extent(entries.value(i), extents);
    }
    match (change.value, place) {
        (Some(value), _) => {
            let tagged = [&[TAG_BYTES], value].concat();
            put_record(entries, place, (change.key, &tagged), sums);
        }
        (None, Ok(i)) => {
            sums.entries -= 1;
            sums.bytes -= entry_bytes(change.key, entries.value(i)) as i64;
            entries.remove(i);
        }
        (None, Err(_)) => {}
    }
}

/// The records of a leaf with the changes made to them.
fn merged(
    old: &Entries,
    changes: &[Change<'_>],
    sums: &mut SumsDelta,
    extents: &mut Vec<Vec<u8>>,
) -> Entries {
    let added: usize =
        changes.iter().map(|c| c.key.len() + c.value.map_or(0, |v| v.len() + 1)).sum();
    let mut new = Entries::with_capacity(old.bytes_len() + added, old.len() + changes.len());
    let mut at = 0;
    for change in changes {
        let (place, found) = match old.search_from(at, change.key) {
            Ok(i) => (i, true),
            Err(i) => (i, false),
        };
        new.extend(old, at..place);
        at = place;
        if found {
            collect_extent(old.value(place), extents);
            sums.entries -= 1;
            sums.bytes -= entry_bytes(change.key, old.value(place)) as i64;
            at += 1;
        }
        if let Some(value) = change.value {
            sums.entries += 1;
            sums.bytes += (change.key.len() + 1 + value.len()) as i64;
            new.push_tagged(change.key, TAG_BYTES, value);
        }
    }
    new.extend(old, at..old.len());
    new
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::MemoryDevice;
    use crate::format::ids::Generation;
    use crate::tree::Sums;
    use crate::tree::{Cursor, get};
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    struct Alone;

    impl ShadowPolicy for Alone {
        fn birth(&self) -> Generation {
            Generation(1)
        }
        fn share_gen(&self) -> Generation {
            Generation(0)
        }
        fn superseded(&self, _: &Arc<Node>) -> Result<()> {
            Ok(())
        }
        fn grew(&self) {}
    }

    type Model = BTreeMap<Vec<u8>, Vec<u8>>;

    /// A batch: keys `from`, `from + step`, …; values of some length, or none.
    fn changes_of(from: u16, step: u16, count: usize, value: Option<usize>) -> Model {
        let keys = (0..count).map(|i| from.wrapping_add(step.wrapping_mul(i as u16)));
        let key = |k: u16| [b"some table/".as_slice(), &k.to_be_bytes()].concat();
        keys.map(|k| (key(k), vec![k as u8; value.unwrap_or_default()])).collect()
    }

    /// No node is too large, and every sum is right.
    fn check(nodes: &Nodes, link: &Link, level: u8) -> Sums {
        let node = nodes.load(link, level).unwrap();
        assert!(!node.overfull() && node.level == level);
        if let Body::Inner { keys, children } = &node.body {
            assert_eq!(keys.len(), children.len());
            for child in children {
                assert_eq!(check(nodes, &child.link, level - 1), child.sums());
            }
        }
        node.sums()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(if cfg!(debug_assertions) { 40 } else { 400 }))]
        #[test]
        fn batches_of_any_size_leave_a_tree_as_a_plain_map(
            batches in prop::collection::vec(
                (any::<u16>(), 1..700u16, 1..4000usize, prop::option::of(0..1500usize), 0..20u8), 1..12),
        ) {
            let nodes = Nodes::new(Arc::new(MemoryDevice::new()), 1 << 16);
            let link = Link::Mem(Arc::new(Node::empty(Generation(1))));
            let mut root = Root { link, level: 0, entries: 0, bytes: 0 };
            let mut model = Model::new();
            for (from, step, count, value, everything) in batches {
                let count = if value.is_some_and(|len| len > 200) { count / 16 + 1 } else { count };
                let mut batch = changes_of(from, step, count, value);
                let deletes = value.is_none();
                if deletes && everything == 0 {
                    batch = model.clone();
                }
                let changes: Vec<Change<'_>> = batch
                    .iter()
                    .map(|(key, value)| Change { key, value: (!deletes).then_some(value.as_slice()) })
                    .collect();
                if changes.is_empty() {
                    continue;
                }
                let mut tree = Tree { nodes: &nodes, policy: &Alone, root: &mut root };
                tree.shadow_paths(&changes).unwrap();
                tree.apply(&changes, &mut |_| Ok(())).unwrap();
                match deletes {
                    true => batch.keys().for_each(|key| drop(model.remove(key))),
                    false => model.append(&mut batch),
                }
                let sums = Sums { entries: root.entries, bytes: root.bytes };
                prop_assert_eq!(check(&nodes, &root.link, root.level), sums);
                prop_assert_eq!(root.entries, model.len() as u64);
                let mut cursor = Cursor::seek(&nodes, &root, &[]).unwrap();
                for (key, value) in &model {
                    let (found, bytes) = cursor.next(&nodes).unwrap().unwrap();
                    prop_assert!(found == *key && bytes[1..] == **value);
                    prop_assert!(get(&nodes, &root, key, |bytes| bytes[1..] == **value).unwrap() == Some(true));
                }
                prop_assert!(cursor.next(&nodes).unwrap().is_none());
            }
        }
    }
}
