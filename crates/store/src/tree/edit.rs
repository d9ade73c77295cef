//! Changing a tree: shadow the path, change the leaf, split or merge on the way back.
//!
//! Everything that can fail (loading and shadowing nodes) happens on the way down, and shadowing
//! changes no content: a call that fails leaves the tree with the content it had.

use super::entries::Entries;
use super::node::{BODY_BYTES, Body, Child, Link, Node, entry_bytes};
use super::nodes::Nodes;
use super::root::Root;
use crate::error::Result;
use crate::format::ids::Generation;
use std::sync::Arc;

/// Decides which nodes of a tree may change in place, and learns which were superseded.
pub(crate) trait ShadowPolicy {
    /// The generation in which new nodes are born.
    fn birth(&self) -> Generation;
    /// Nodes born later are known to be private.
    fn share_gen(&self) -> Generation;
    /// A copy took the place of `node` in this tree.
    fn superseded(&self, node: &Arc<Node>) -> Result<()>;
    /// The tree has one node more.
    fn grew(&self);
}

/// How a change moved the sums of a subtree.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct SumsDelta {
    pub entries: i64,
    pub bytes: i64,
}

/// A node that a split cut off to the right, and the key where it begins.
pub(super) type Piece = (Vec<u8>, Arc<Node>);

/// A tree open for changes.
pub(crate) struct Tree<'a, O> {
    pub nodes: &'a Nodes,
    pub policy: &'a O,
    pub root: &'a mut Root,
}

impl<O: ShadowPolicy> Tree<'_, O> {
    /// Puts a key; replaces its value if it is there.
    pub fn put(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        let mut sums = SumsDelta::default();
        let writer = Writer { nodes: self.nodes, policy: self.policy };
        let pieces = writer.put(&mut self.root.link, self.root.level, key, value, &mut sums)?;
        self.add_sums(sums);
        self.grow_root(&writer, pieces);
        Ok(())
    }

    /// Removes a key. Returns `true` if it was there.
    pub fn remove(&mut self, key: &[u8]) -> Result<bool> {
        let mut sums = SumsDelta::default();
        let writer = Writer { nodes: self.nodes, policy: self.policy };
        writer.remove(&mut self.root.link, self.root.level, key, &mut sums)?;
        self.add_sums(sums);
        self.shrink();
        Ok(sums.entries != 0)
    }

    /// Shadows the path to `key`, so that a change there needs no more nodes loaded.
    pub fn shadow_path(&mut self, key: &[u8]) -> Result<()> {
        let writer = Writer { nodes: self.nodes, policy: self.policy };
        let (mut link, mut level) = (&mut self.root.link, self.root.level);
        loop {
            match &mut writer.shadow(link, level)?.body {
                Body::Leaf(_) => return Ok(()),
                Body::Inner { keys, children } => {
                    link = &mut children[Node::child_index(keys, key)].link;
                    level -= 1;
                }
            }
        }
    }

    pub(super) fn add_sums(&mut self, sums: SumsDelta) {
        self.root.entries = self.root.entries.wrapping_add_signed(sums.entries);
        self.root.bytes = self.root.bytes.wrapping_add_signed(sums.bytes);
    }

    /// Puts roots above what was split off the old one, level by level.
    pub(super) fn grow_root(&mut self, writer: &Writer<'_, O>, mut pieces: Vec<Piece>) {
        while !pieces.is_empty() {
            pieces = self.add_root(writer, pieces);
        }
    }

    /// Puts a new root above the old one and the nodes split off it; what is split off that one.
    fn add_root(&mut self, writer: &Writer<'_, O>, pieces: Vec<Piece>) -> Vec<Piece> {
        let mut keys = Entries::default();
        keys.push(&[], &[], &[]);
        let old = match &self.root.link {
            Link::Mem(node) => Child::of(Arc::clone(node)),
            Link::Disk(_) => unreachable!("a root that was split is in memory"),
        };
        let mut children = vec![old];
        for (separator, node) in pieces {
            keys.push(&[], &separator, &[]);
            children.push(Child::of(node));
        }
        self.policy.grew();
        self.root.level += 1;
        let mut root =
            Node::new(self.policy.birth(), self.root.level, Body::Inner { keys, children });
        let pieces = writer.split(&mut root, false);
        self.root.link = Link::Mem(Arc::new(root));
        pieces
    }

    /// Takes away roots with a single child, or with none. Such a root was just changed, so it is
    /// owned and in memory.
    pub(super) fn shrink(&mut self) {
        loop {
            let Link::Mem(node) = &self.root.link else { return };
            match &node.body {
                Body::Inner { children, .. }
                    if children.len() == 1 && node.place.get().is_none() =>
                {
                    self.root.link = children[0].link.clone();
                    self.root.level -= 1;
                }
                Body::Inner { children, .. } if children.is_empty() => {
                    self.root.link = Link::Mem(Arc::new(Node::empty(self.policy.birth())));
                    self.root.level = 0;
                }
                _ => return,
            }
        }
    }
}

pub(super) struct Writer<'a, O> {
    pub nodes: &'a Nodes,
    pub policy: &'a O,
}

impl<O: ShadowPolicy> Writer<'_, O> {
    /// The node that `link` points to, changeable: as it is when this tree is its sole owner, else
    /// a copy.
    pub fn shadow<'n>(&self, link: &'n mut Link, level: u8) -> Result<&'n mut Node> {
        let in_place = match link {
            Link::Mem(node) => {
                node.birth > self.policy.share_gen()
                    && node.place.get().is_none()
                    && Arc::get_mut(node).is_some()
            }
            Link::Disk(_) => false,
        };
        if !in_place {
            let old = self.nodes.load(link, level)?;
            let copy = Arc::new(old.copy_born(self.policy.birth()));
            self.policy.superseded(&old)?;
            *link = Link::Mem(copy);
        }
        let Link::Mem(node) = link else { unreachable!("a shadowed node is in memory") };
        let node = Arc::get_mut(node).expect("a shadowed node has one pointer");
        // A parent is never older than its child; raising the birth of a private node is free.
        node.birth = node.birth.max(self.policy.birth());
        Ok(node)
    }

    fn put(
        &self,
        link: &mut Link,
        level: u8,
        key: &[u8],
        value: &[u8],
        sums: &mut SumsDelta,
    ) -> Result<Vec<Piece>> {
        let node = self.shadow(link, level)?;
        let at_end = match &mut node.body {
            Body::Leaf(entries) => {
                let place = entries.search(key);
                put_record(entries, place, (key, value), sums);
                entries.key(entries.len() - 1) == key
            }
            Body::Inner { keys, children } => {
                let i = Node::child_index(keys, key);
                if i == 0 && key < keys.key(0) {
                    // The child with lower keys was removed once. What splits off this one must
                    // still belong after it.
                    keys.replace_key(0, key);
                }
                let pieces = self.put(&mut children[i].link, level - 1, key, value, sums)?;
                children[i].entries = children[i].entries.wrapping_add_signed(sums.entries);
                children[i].bytes = children[i].bytes.wrapping_add_signed(sums.bytes);
                let at_end = i + 1 == children.len() && !pieces.is_empty();
                insert_siblings(keys, children, i, pieces);
                at_end
            }
        };
        Ok(self.split(node, at_end))
    }

    /// Cuts a node into as many as it needs; those to its right. One cut is enough unless keys lost
    /// a prefix that all of them had in common.
    fn split(&self, node: &mut Node, at_end: bool) -> Vec<Piece> {
        if !node.overfull() {
            return Vec::new();
        }
        let (separator, mut right) = self.split_in_two(node, at_end);
        let mut pieces = self.split(node, false);
        let behind = self.split(&mut right, false);
        pieces.push((separator, Arc::new(right)));
        pieces.extend(behind);
        pieces
    }

    /// Cuts a node in two: in the middle, or at its end while keys arrive in order.
    fn split_in_two(&self, node: &mut Node, at_end: bool) -> (Vec<u8>, Node) {
        let at = match &node.body {
            Body::Leaf(entries) => split_place(entries, at_end, super::entries::RECORD_OVERHEAD),
            Body::Inner { keys, .. } => split_place(keys, at_end, 64),
        };
        self.split_at(node, at)
    }

    /// Cuts off the records from `at` on.
    pub fn split_at(&self, node: &mut Node, at: usize) -> (Vec<u8>, Node) {
        let (separator, body) = match &mut node.body {
            Body::Leaf(entries) => {
                let right = entries.split_off(at);
                (separator(entries.key(at - 1), right.key(0)), Body::Leaf(right))
            }
            Body::Inner { keys, children } => {
                let right = keys.split_off(at);
                let children = children.split_off(at);
                (right.key(0).to_vec(), Body::Inner { keys: right, children })
            }
        };
        self.policy.grew();
        (separator, Node::new(self.policy.birth(), node.level, body))
    }

    fn remove(&self, link: &mut Link, level: u8, key: &[u8], sums: &mut SumsDelta) -> Result<()> {
        let node = self.shadow(link, level)?;
        match &mut node.body {
            Body::Leaf(entries) => {
                if let Ok(i) = entries.search(key) {
                    sums.entries -= 1;
                    sums.bytes -= entry_bytes(key, entries.value(i)) as i64;
                    entries.remove(i);
                }
            }
            Body::Inner { keys, children } => {
                let i = Node::child_index(keys, key);
                self.remove(&mut children[i].link, level - 1, key, sums)?;
                children[i].entries = children[i].entries.wrapping_add_signed(sums.entries);
                children[i].bytes = children[i].bytes.wrapping_add_signed(sums.bytes);
                if sums.entries != 0 {
                    self.merge_underfull(keys, children, i, level - 1);
                }
            }
        }
        Ok(())
    }

    /// Drops child `i` if it is empty, or merges it with a neighbour if both are nearly so. A
    /// neighbour that can't be read now is left for the next removal: the tree is whole as it is.
    pub fn merge_underfull(
        &self,
        keys: &mut Entries,
        children: &mut Vec<Child>,
        i: usize,
        level: u8,
    ) {
        let Link::Mem(child) = &children[i].link else { return };
        if child.records() == 0 {
            keys.remove(i);
            children.remove(i);
            return;
        }
        if child.body_bytes() > BODY_BYTES / 4 || children.len() == 1 {
            return;
        }
        let left = if i + 1 < children.len() { i } else { i - 1 };
        let Ok(neighbour) =
            self.nodes.load(&children[if left == i { i + 1 } else { left }].link, level)
        else {
            return;
        };
        if loose_bytes(child) + loose_bytes(&neighbour) > BODY_BYTES * 3 / 4 {
            return;
        }
        drop(neighbour);
        let (head, tail) = children.split_at_mut(left + 1);
        let (Ok(into), Ok(from)) =
            (self.shadow(&mut head[left].link, level), self.shadow(&mut tail[0].link, level))
        else {
            return;
        };
        merge(into, from, keys.key(left + 1));
        head[left].entries += tail[0].entries;
        head[left].bytes += tail[0].bytes;
        keys.remove(left + 1);
        children.remove(left + 1);
    }
}

/// Puts a record at the place where a search found its key, or where the key belongs.
pub(super) fn put_record(
    entries: &mut Entries,
    place: std::result::Result<usize, usize>,
    (key, value): (&[u8], &[u8]),
    sums: &mut SumsDelta,
) {
    sums.bytes += entry_bytes(key, value) as i64;
    match place {
        Ok(i) => {
            sums.bytes -= entry_bytes(key, entries.value(i)) as i64;
            entries.replace(i, value);
        }
        Err(i) => {
            sums.entries += 1;
            entries.insert(i, key, value);
        }
    }
}

/// Takes the nodes split off child `i` in after it.
pub(super) fn insert_siblings(
    keys: &mut Entries,
    children: &mut Vec<Child>,
    i: usize,
    pieces: Vec<Piece>,
) {
    for (at, (separator, node)) in (i + 1..).zip(pieces) {
        let sibling = Child::of(node);
        children[i].entries = children[i].entries.wrapping_sub(sibling.entries);
        children[i].bytes = children[i].bytes.wrapping_sub(sibling.bytes);
        keys.insert(at, &separator, &[]);
        children.insert(at, sibling);
    }
}

fn split_place(entries: &Entries, at_end: bool, per_record: usize) -> usize {
    if at_end { entries.len() - 1 } else { entries.middle(per_record) }
}

/// The shortest key that is above `left` and not above `right`.
fn separator(left: &[u8], right: &[u8]) -> Vec<u8> {
    let common = left.iter().zip(right).take_while(|(a, b)| a == b).count();
    right[..(common + 1).min(right.len())].to_vec()
}

fn loose_bytes(node: &Node) -> usize {
    node.body_bytes()
        + match &node.body {
            Body::Leaf(entries) => entries.prefix_len() * entries.len(),
            Body::Inner { keys, .. } => keys.prefix_len() * keys.len() + 64,
        }
}

/// Moves all of `from` after `into`. `bound` is the parent's key for `from`.
fn merge(into: &mut Node, from: &mut Node, bound: &[u8]) {
    match (&mut into.body, &mut from.body) {
        (Body::Leaf(left), Body::Leaf(right)) => left.append(right),
        (Body::Inner { keys, children }, Body::Inner { keys: right, children: moved }) => {
            // The first child of `from` also holds keys between the bound and its own key.
            right.replace_key(0, bound);
            keys.append(right);
            children.append(moved);
        }
        _ => unreachable!("neighbours have the same level"),
    }
}
