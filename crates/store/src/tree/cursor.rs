//! Reading a tree: one key, the entry at or before a key, and ranges in order, both ways.

use super::bounds::Bounds;
use super::node::{Body, Node};
use super::nodes::Nodes;
use super::root::Root;
use crate::error::Result;
use std::sync::Arc;

/// A record in the leaf that holds it.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    leaf: Arc<Node>,
    index: usize,
}

impl Found {
    pub fn key(&self) -> &[u8] {
        match &self.leaf.body {
            Body::Leaf(entries) => entries.key(self.index),
            Body::Inner { .. } => &[],
        }
    }

    pub fn value(&self) -> &[u8] {
        match &self.leaf.body {
            Body::Leaf(entries) => entries.value(self.index),
            Body::Inner { .. } => &[],
        }
    }
}

/// The entry of `key`, if it is there.
pub(crate) fn find(nodes: &Nodes, root: &Root, key: &[u8]) -> Result<Option<Found>> {
    find_below(nodes, &nodes.load(&root.link, root.level)?, key)
}

/// The entry of `key`, if it is below a node that is at hand.
pub(crate) fn find_below(nodes: &Nodes, top: &Arc<Node>, key: &[u8]) -> Result<Option<Found>> {
    let mut held: Option<Arc<Node>> = None;
    loop {
        let node = held.as_ref().unwrap_or(top);
        held = Some(match &node.body {
            Body::Leaf(entries) => {
                let found = entries.search(key).ok();
                return Ok(found.map(|index| Found { leaf: Arc::clone(node), index }));
            }
            Body::Inner { keys, children } => {
                nodes.load(&children[Node::child_index(keys, key)].link, node.level - 1)?
            }
        });
    }
}

/// What `take` makes of the value of `key`, if the key is there.
pub(crate) fn get<T>(
    nodes: &Nodes,
    root: &Root,
    key: &[u8],
    take: impl FnOnce(&[u8]) -> T,
) -> Result<Option<T>> {
    Ok(find(nodes, root, key)?.map(|found| take(found.value())))
}

/// How many entries have keys below `key`.
pub(crate) fn rank(nodes: &Nodes, root: &Root, key: &[u8]) -> Result<u64> {
    let mut before = 0;
    let mut node = nodes.load(&root.link, root.level)?;
    loop {
        let next = match &node.body {
            Body::Leaf(entries) => {
                let (Ok(i) | Err(i)) = entries.search(key);
                return Ok(before + i as u64);
            }
            Body::Inner { keys, children } => {
                let i = Node::child_index(keys, key);
                before += children[..i].iter().map(|child| child.entries).sum::<u64>();
                nodes.load(&children[i].link, node.level - 1)?
            }
        };
        node = next;
    }
}

/// An entry taken out of a tree.
pub(crate) type Entry = (Vec<u8>, Vec<u8>);

/// A place between two entries of a tree. Holds the nodes on its path.
#[derive(Debug, Default, Clone)]
pub(crate) struct Cursor {
    /// From the root down: node, and the child gone down to, or the record that comes next.
    path: Vec<(Arc<Node>, usize)>,
}

impl Cursor {
    /// Stands before the first entry whose key is at or above `key`.
    pub fn seek(nodes: &Nodes, root: &Root, key: &[u8]) -> Result<Cursor> {
        let mut cursor = Cursor::default();
        let mut link = root.link.clone();
        for level in (0..=root.level).rev() {
            let node = nodes.load(&link, level)?;
            let index = match &node.body {
                Body::Leaf(entries) => match entries.search(key) {
                    Ok(i) | Err(i) => i,
                },
                Body::Inner { keys, children } => {
                    let i = Node::child_index(keys, key);
                    link = children[i].link.clone();
                    i
                }
            };
            cursor.path.push((node, index));
        }
        Ok(cursor)
    }

    /// Stands before the last entry whose key is at or below `key`; when there is none, before the
    /// first entry.
    pub fn seek_floor(nodes: &Nodes, root: &Root, key: &[u8]) -> Result<Cursor> {
        let mut cursor = Cursor::seek(nodes, root, key)?;
        let stands_at_key = cursor.path.last().is_some_and(|(leaf, index)| match &leaf.body {
            Body::Leaf(entries) => *index < entries.len() && entries.key(*index) == key,
            Body::Inner { .. } => false,
        });
        if !stands_at_key {
            cursor.back(nodes)?;
        }
        Ok(cursor)
    }

    /// Stands after the last entry.
    pub fn seek_end(nodes: &Nodes, root: &Root) -> Result<Cursor> {
        let mut cursor = Cursor::default();
        cursor.path.push((nodes.load(&root.link, root.level)?, 0));
        cursor.descend_last(nodes)?;
        Ok(cursor)
    }

    /// The entry that comes next in the leaf where the cursor stands.
    pub fn peek(&self) -> Option<Found> {
        let (leaf, index) = self.path.last()?;
        (*index < leaf.records()).then(|| Found { leaf: Arc::clone(leaf), index: *index })
    }

    /// The entry that comes next, which the cursor passes; `None` at the end, where it stays.
    pub fn forward(&mut self, nodes: &Nodes) -> Result<Option<Found>> {
        loop {
            let Some((leaf, index)) = self.path.last_mut() else { return Ok(None) };
            if *index < leaf.records() {
                *index += 1;
                return Ok(Some(Found { leaf: Arc::clone(leaf), index: *index - 1 }));
            }
            let inner = &self.path[..self.path.len() - 1];
            let Some(up) = inner.iter().rposition(|(node, i)| i + 1 < node.records()) else {
                return Ok(None);
            };
            self.path.truncate(up + 1);
            self.path[up].1 += 1;
            self.descend(nodes, |_| 0)?;
        }
    }

    /// The entry that comes before, which the cursor passes; `None` at the start, where it stays.
    pub fn back(&mut self, nodes: &Nodes) -> Result<Option<Found>> {
        loop {
            let Some((leaf, index)) = self.path.last_mut() else { return Ok(None) };
            if *index > 0 {
                *index -= 1;
                return Ok(Some(Found { leaf: Arc::clone(leaf), index: *index }));
            }
            let inner = &self.path[..self.path.len() - 1];
            let Some(up) = inner.iter().rposition(|(_, i)| *i > 0) else { return Ok(None) };
            self.path.truncate(up + 1);
            self.path[up].1 -= 1;
            self.descend_below(nodes)?;
        }
    }

    /// Goes down to the end of the last leaf below the node that the path ends at.
    fn descend_last(&mut self, nodes: &Nodes) -> Result<()> {
        if let Some((node, index)) = self.path.last_mut() {
            *index = last_index(node);
        }
        self.descend_below(nodes)
    }

    /// Goes down to the end of the last leaf below the child that the path names.
    fn descend_below(&mut self, nodes: &Nodes) -> Result<()> {
        self.descend(nodes, last_index)
    }

    fn descend(&mut self, nodes: &Nodes, index: impl Fn(&Node) -> usize) -> Result<()> {
        while let Some((node, i)) = self.path.last()
            && let Body::Inner { children, .. } = &node.body
        {
            let child = nodes.load(&children[*i].link, node.level - 1)?;
            Bounds::below(self.path.iter().map(|(node, at)| (&**node, *at))).admit(&child)?;
            let index = index(&child);
            self.path.push((child, index));
        }
        Ok(())
    }

    /// The entry that comes next, copied; `None` at the end.
    pub fn next(&mut self, nodes: &Nodes) -> Result<Option<Entry>> {
        let found = self.forward(nodes)?;
        Ok(found.map(|found| (found.key().to_vec(), found.value().to_vec())))
    }
}

/// The last child of an inner node, or the place after the last record of a leaf.
fn last_index(node: &Node) -> usize {
    match node.level {
        0 => node.records(),
        _ => node.records() - 1,
    }
}
