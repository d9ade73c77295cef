//! The tree as collections hold it: a root, whose `clone` counts one reference.

use alloc::vec::Vec;
use core::mem;

use super::chunk::Chunk;
use super::fixed_vec::FixedVec;
use super::insert;
use super::iter::Items;
use super::iter_mut::ItemsMut;
use super::join::concat;
use super::length::grown;
use super::node::{Node, unique};
use super::path::{Path, Seek, find, locate};
use super::shape::{TreeMut, TreeShape};
use super::{build, remove, split};

pub(crate) struct Tree<K: TreeShape> {
    pub(crate) root: Node<K>,
}

impl<K: TreeShape> Clone for Tree<K> {
    #[inline]
    fn clone(&self) -> Self {
        Tree { root: self.root.clone() }
    }
}

impl<K: TreeShape> Tree<K> {
    pub(crate) const fn new() -> Self {
        Tree { root: Node::Leaf(Chunk::Empty) }
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.root.len()
    }

    /// Returns `true` if both are the same node. They are then equal.
    #[inline]
    pub(crate) fn same(&self, other: &Self) -> bool {
        self.root.same(&other.root)
    }

    #[inline]
    pub(crate) fn find(&self, seek: impl Seek<K>) -> Option<&K::Item> {
        find(&self.root, seek)
    }

    pub(crate) fn locate(&self, seek: impl Seek<K>) -> Result<Path, Path> {
        locate(&self.root, seek)
    }

    /// The item at a path that was found.
    pub(crate) fn at(&self, path: &Path) -> &K::Item {
        &self.leaf(path)[path.slot]
    }

    /// The items of the leaf at the end of a path.
    fn leaf(&self, path: &Path) -> &[K::Item] {
        let below = |node, step: &u8| -> &Node<K> { &Node::children(node)[usize::from(*step)] };
        path.steps.iter().fold(&self.root, below).items()
    }

    pub(crate) fn items(&self) -> Items<'_, K> {
        Items::all(&self.root)
    }

    /// The leaves in order, without those that hold nothing.
    pub(crate) fn leaves(&self) -> impl Iterator<Item = &[K::Item]> {
        let mut rest = alloc::vec![core::slice::from_ref(&self.root).iter()];
        core::iter::from_fn(move || {
            loop {
                match rest.last_mut()?.next() {
                    Some(Node::Inner(inner)) => rest.push(inner.children.iter()),
                    Some(Node::Leaf(chunk)) if chunk.len() > 0 => return Some(chunk.items()),
                    Some(Node::Leaf(_)) => {}
                    None => {
                        rest.pop();
                    }
                }
            }
        })
    }

    pub(crate) fn first(&self) -> Option<&K::Item> {
        (self.len() > 0).then(|| self.root.first())
    }

    pub(crate) fn last(&self) -> Option<&K::Item> {
        let mut node = &self.root;
        while let Some(child) = node.children().last() {
            node = child;
        }
        node.items().last()
    }

    /// The path of the last item, or of the empty place in an empty tree.
    pub(crate) fn last_path(&self) -> Path {
        let mut path = Path::default();
        let mut node = &self.root;
        while let Some(child) = node.children().last() {
            path.steps.push((node.children().len() - 1) as u8);
            node = child;
        }
        path.slot = node.items().len().saturating_sub(1);
        path
    }

    /// The path of the first item.
    pub(crate) fn first_path(&self) -> Path {
        let mut path = Path::default();
        for _ in 0..self.root.height() {
            path.steps.push(0);
        }
        path
    }
}

impl<K: TreeMut> Tree<K> {
    pub(crate) fn build(items: impl IntoIterator<Item = K::Item>) -> Self {
        Tree { root: build::build(items) }
    }

    /// The item at a path that was found, mutably. A shared path is copied.
    #[inline]
    pub(crate) fn at_mut(&mut self, path: &Path) -> &mut K::Item {
        &mut self.leaf_mut(path).items_mut()[path.slot]
    }

    pub(crate) fn leaf_mut(&mut self, path: &Path) -> &mut Chunk<K::Item> {
        insert::leaf_mut(&mut self.root, path)
    }

    #[inline]
    #[track_caller]
    pub(crate) fn insert(&mut self, path: &Path, item: K::Item) {
        self.count_one_more();
        insert::insert(&mut self.root, path, item);
    }

    /// Inserts an item at a path, and returns it mutably.
    pub(crate) fn insert_mut(&mut self, path: &Path, item: K::Item) -> &mut K::Item {
        let splits = self.leaf(path).len() >= K::LEAF;
        // A full leaf is split, and nodes above it may be. Then only the number of items before it
        // is sure to remain.
        let before = if splits { self.before(path) } else { 0 };
        self.insert(path, item);
        if splits {
            let path = self.nth(before);
            return self.at_mut(&path);
        }
        self.at_mut(path)
    }

    #[inline]
    #[track_caller]
    pub(crate) fn push(&mut self, item: K::Item) {
        self.count_one_more();
        insert::push(&mut self.root, item);
    }

    /// Panics if one more item could not be counted.
    #[inline]
    #[track_caller]
    fn count_one_more(&self) {
        if let Node::Inner(inner) = &self.root {
            grown(inner.len, 1);
        }
    }

    pub(crate) fn replace_in_leaf(&mut self, path: &Path, gone: usize, items: &[K::Item]) -> bool {
        insert::replace_in_leaf(&mut self.root, path, gone, items)
    }

    pub(crate) fn remove(&mut self, path: &Path) -> K::Item {
        remove::remove(&mut self.root, path)
    }

    /// Splits off the items from `path` on.
    pub(crate) fn split_off(&mut self, path: &Path) -> Self {
        let (left, right) = split::split(mem::take(&mut self.root), path);
        self.root = left;
        Tree { root: right }
    }

    #[track_caller]
    pub(crate) fn append(&mut self, right: Self) {
        grown(self.len(), right.len());
        self.root = concat(mem::take(&mut self.root), right.root);
    }

    pub(crate) fn items_mut(&mut self) -> ItemsMut<'_, K> {
        ItemsMut::all(&mut self.root)
    }

    /// Number of items before a path.
    pub(crate) fn before(&self, path: &Path) -> usize {
        let (mut node, mut before) = (&self.root, path.slot);
        for step in &path.steps {
            let step = usize::from(*step);
            before += node.children()[..step].iter().map(Node::len).sum::<usize>();
            node = &node.children()[step];
        }
        before
    }

    /// Removes the items that are marked, and returns them in order. None is after the last mark.
    /// If few items are removed, leaves that lose nothing stay shared.
    pub(crate) fn extract(&mut self, marked: &[bool]) -> Vec<K::Item> {
        let count = marked.iter().filter(|doomed| **doomed).count();
        if count == 0 {
            return Vec::new();
        }
        if count * 8 > self.len() {
            let (mut kept, mut out) =
                (Vec::with_capacity(self.len() - count), Vec::with_capacity(count));
            let marks = marked.iter().copied().chain(core::iter::repeat(false));
            for (item, doomed) in mem::take(self).into_items().zip(marks) {
                if doomed { out.push(item) } else { kept.push(item) }
            }
            *self = Tree::build(kept);
            return out;
        }
        let mut out: Vec<K::Item> = (0..marked.len())
            .rev()
            .filter(|at| marked[*at])
            .map(|at| {
                let path = self.nth(at);
                self.remove(&path)
            })
            .collect();
        out.reverse();
        out
    }

    /// The path of the item with `at` items before it. Reads every length on the way down.
    pub(crate) fn nth(&self, mut at: usize) -> Path {
        let mut path = Path::default();
        let mut node = &self.root;
        while let Node::Inner(inner) = node {
            let last = inner.children.len() - 1;
            let step = inner.children[..last].iter().position(|child| {
                let inside = at < child.len();
                if !inside {
                    at -= child.len();
                }
                inside
            });
            let step = step.unwrap_or(last);
            path.steps.push(step as u8);
            node = &inner.children[step];
        }
        path.slot = at;
        path
    }

    pub(crate) fn into_items(self) -> super::iter::IntoItems<K> {
        super::iter::IntoItems::new(self)
    }

    /// Removes the first leaf, or the last, from the tree.
    pub(crate) fn pop_leaf(&mut self, front: bool) -> Option<Chunk<K::Item>> {
        let leaf = pop_leaf(&mut self.root, front)?;
        if self.root.len() == 0 {
            self.root = Node::default();
        }
        Some(leaf)
    }
}

fn pop_leaf<K: TreeMut>(node: &mut Node<K>, front: bool) -> Option<Chunk<K::Item>> {
    let arc = match node {
        Node::Leaf(chunk) => {
            let leaf = mem::replace(chunk, Chunk::Empty);
            return (leaf.len() > 0).then_some(leaf);
        }
        Node::Inner(arc) => arc,
    };
    let inner = unique(arc);
    let at = if front { 0 } else { inner.children.len().checked_sub(1)? };
    let leaf = pop_leaf(inner.children.get_mut(at)?, front)?;
    inner.len -= leaf.len();
    if front {
        K::shift(&mut inner.marks[1..], -(leaf.len() as isize));
    }
    if inner.children[at].len() == 0 {
        drop((inner.children.remove(at), inner.marks.remove(at)));
    }
    Some(leaf)
}

impl<K: TreeShape> Default for Tree<K> {
    fn default() -> Self {
        Tree::new()
    }
}
