//! Reading a tree: one key, the entry at or before a key, and ranges in order.

use super::link::Root;
use super::node::{Body, Node};
use super::nodes::Nodes;
use crate::error::Result;
use std::sync::Arc;

/// What `take` makes of the value of `key`, if the key is there.
pub(crate) fn get<T>(
    nodes: &Nodes,
    root: &Root,
    key: &[u8],
    take: impl FnOnce(&[u8]) -> T,
) -> Result<Option<T>> {
    let mut level = root.level;
    let mut node = nodes.load(&root.link, level)?;
    loop {
        let next = match &node.body {
            Body::Leaf(entries) => {
                return Ok(entries.search(key).ok().map(|i| take(entries.value(i))));
            }
            Body::Inner { keys, children } => {
                level -= 1;
                nodes.load(&children[Node::child_index(keys, key)].link, level)?
            }
        };
        node = next;
    }
}

/// An entry taken out of a tree.
pub(crate) type Entry = (Vec<u8>, Vec<u8>);

/// A place in a tree, moving upwards. Holds the nodes on its path.
#[derive(Debug, Default, Clone)]
pub(crate) struct Cursor {
    /// From the root down: node, and index of the child or record that comes next.
    path: Vec<(Arc<Node>, usize)>,
}

impl Cursor {
    /// Stands before the first entry whose key is at or above `key`.
    pub fn seek(nodes: &Nodes, root: &Root, key: &[u8]) -> Result<Cursor> {
        Self::descend(nodes, root, key, false)
    }

    /// Stands before the last entry whose key is at or below `key`; when there is none, before the
    /// first entry.
    pub fn seek_floor(nodes: &Nodes, root: &Root, key: &[u8]) -> Result<Cursor> {
        Self::descend(nodes, root, key, true)
    }

    fn descend(nodes: &Nodes, root: &Root, key: &[u8], floor: bool) -> Result<Cursor> {
        let mut cursor = Cursor::default();
        let mut link = root.link.clone();
        for level in (0..=root.level).rev() {
            let node = nodes.load(&link, level)?;
            let index = match &node.body {
                Body::Leaf(entries) => match entries.search(key) {
                    Ok(i) => i,
                    Err(0) if floor => {
                        cursor.path.push((node, 0));
                        cursor.step_back(nodes)?;
                        return Ok(cursor);
                    }
                    Err(i) => i - usize::from(floor),
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

    /// Moves to the last record of the leaf before this one; stays where it is if there is none.
    fn step_back(&mut self, nodes: &Nodes) -> Result<()> {
        let Some(up) = (0..self.path.len().saturating_sub(1)).rev().find(|i| self.path[*i].1 > 0)
        else {
            return Ok(());
        };
        self.path.truncate(up + 1);
        self.path[up].1 -= 1;
        loop {
            let (node, index) = &self.path[self.path.len() - 1];
            let child = match &node.body {
                Body::Inner { children, .. } => {
                    nodes.load(&children[*index].link, node.level - 1)?
                }
                Body::Leaf(_) => return Ok(()),
            };
            let last = child.records().saturating_sub(1);
            self.path.push((child, last));
        }
    }

    /// The entry that comes next; `None` at the end.
    pub fn next(&mut self, nodes: &Nodes) -> Result<Option<Entry>> {
        loop {
            let Some((node, index)) = self.path.last_mut() else { return Ok(None) };
            match &node.body {
                Body::Leaf(entries) if *index < entries.len() => {
                    let entry = (entries.key(*index).to_vec(), entries.value(*index).to_vec());
                    *index += 1;
                    return Ok(Some(entry));
                }
                Body::Leaf(_) => {
                    self.path.pop();
                    self.forward();
                }
                Body::Inner { children, .. } if *index < children.len() => {
                    let child = nodes.load(&children[*index].link, node.level - 1)?;
                    self.path.push((child, 0));
                }
                Body::Inner { .. } => {
                    self.path.pop();
                    self.forward();
                }
            }
        }
    }

    fn forward(&mut self) {
        if let Some((_, index)) = self.path.last_mut() {
            *index += 1;
        }
    }
}
