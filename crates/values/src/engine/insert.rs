//! Insertion along a known path, which splits full nodes on the way back up.
//!
//! Marks that a split may need are cloned on the way down, before anything changes, so that the way
//! up only moves.

use alloc::vec::Vec;
use core::mem;
use triomphe::Arc;

use super::chunk::Chunk;
use super::fixed_vec::FixedVec;
use super::node::{Inner, Node, unique};
use super::path::Path;
use super::shape::TreeMut;

/// The path down to the place of an insertion.
pub(crate) trait Route<K: TreeMut> {
    fn step(&mut self, inner: &Inner<K>) -> usize;
    fn slot(&mut self, len: usize) -> usize;
}

/// A path found before.
pub(crate) struct Along<'a> {
    path: &'a Path,
    depth: usize,
}

impl<K: TreeMut> Route<K> for Along<'_> {
    #[inline]
    fn step(&mut self, _inner: &Inner<K>) -> usize {
        self.depth += 1;
        usize::from(self.path.steps[self.depth - 1])
    }

    #[inline]
    fn slot(&mut self, _len: usize) -> usize {
        self.path.slot
    }
}

/// After the last item.
pub(crate) struct AtEnd;

impl<K: TreeMut> Route<K> for AtEnd {
    #[inline]
    fn step(&mut self, inner: &Inner<K>) -> usize {
        inner.children.len() - 1
    }

    #[inline]
    fn slot(&mut self, len: usize) -> usize {
        len
    }
}

/// The right neighbour that a split made, and its mark as a first child.
type Split<K> = Option<(<K as super::shape::TreeShape>::Mark, Node<K>)>;

/// Inserts an item at a path.
#[inline]
pub(crate) fn insert<K: TreeMut>(root: &mut Node<K>, path: &Path, item: K::Item) {
    if let Err(item) = insert_in_place(root, path, item) {
        insert_copying(root, path, item);
    }
}

/// The common case: the whole path has one owner and its leaf has room. Lengths are incremented on
/// the way down, and decremented again if it turns out not to be the common case.
#[inline]
fn insert_in_place<K: TreeMut>(
    root: &mut Node<K>,
    path: &Path,
    item: K::Item,
) -> Result<(), K::Item> {
    let mut counted = 0;
    let mut node = &mut *root;
    let item = loop {
        match node {
            Node::Leaf(chunk) if chunk.len() < K::LEAF => match chunk.try_insert(path.slot, item) {
                Ok(()) => return Ok(()),
                Err(item) => break item,
            },
            Node::Leaf(_) => break item,
            Node::Inner(arc) => {
                let Some(inner) = Arc::get_mut(arc) else { break item };
                let step = usize::from(path.steps[counted]);
                inner.len += 1;
                K::shift(&mut inner.marks[step + 1..], 1);
                counted += 1;
                node = &mut inner.children[step];
            }
        }
    };
    count_back(root, Along { path, depth: 0 }, counted);
    Err(item)
}

/// Nodes of the path are shared, or its leaf is full.
#[cold]
#[inline(never)]
fn insert_copying<K: TreeMut>(root: &mut Node<K>, path: &Path, item: K::Item) {
    let leaf = leaf_mut(root, path);
    if leaf.len() < K::LEAF {
        leaf.make_unique();
        // Only moves from here on.
        count_up(root, path).insert(path.slot, item);
    } else {
        insert_by(root, Along { path, depth: 0 }, item);
    }
}

/// The leaf at the end of a path, mutably. Shared nodes above it are copied.
#[inline]
pub(crate) fn leaf_mut<'a, K: TreeMut>(
    mut node: &'a mut Node<K>,
    path: &Path,
) -> &'a mut Chunk<K::Item> {
    let mut steps = path.steps.iter();
    loop {
        match node {
            Node::Inner(arc) => {
                let step = steps.next().map_or(0, |step| usize::from(*step));
                node = &mut unique(arc).children[step];
            }
            Node::Leaf(chunk) => return chunk,
        }
    }
}

/// Counts one item more along a path, and returns its leaf.
#[inline]
fn count_up<'a, K: TreeMut>(mut node: &'a mut Node<K>, path: &Path) -> &'a mut Chunk<K::Item> {
    let mut steps = path.steps.iter();
    loop {
        match node {
            Node::Inner(arc) => {
                let inner = unique(arc);
                let step = steps.next().map_or(0, |step| usize::from(*step));
                inner.len += 1;
                K::shift(&mut inner.marks[step + 1..], 1);
                node = &mut inner.children[step];
            }
            Node::Leaf(chunk) => return chunk,
        }
    }
}

/// Replaces `gone` items from a path on by `items`, if all of it happens in one leaf, which then is
/// at least half full and not too long. Returns `true` if it did. For shapes whose marks are
/// positions.
pub(crate) fn replace_in_leaf<K: TreeMut>(
    root: &mut Node<K>,
    path: &Path,
    gone: usize,
    items: &[K::Item],
) -> bool {
    let leaf = path.steps.iter().fold(&*root, |node, step| &node.children()[usize::from(*step)]);
    let Node::Leaf(chunk) = leaf else { return false };
    let range = path.slot..path.slot + gone;
    if range.end > chunk.len() {
        return false;
    }
    let count = chunk.len() - gone + items.len();
    if count > K::LEAF || count * 2 < K::LEAF {
        return false;
    }
    // The user's code runs here. Only moves from here on.
    let replaced = chunk.replaced(range, items);
    let by = items.len() as isize - gone as isize;
    let mut node = root;
    for step in &path.steps {
        let Node::Inner(arc) = node else { return false };
        let inner = unique(arc);
        inner.len = inner.len.wrapping_add_signed(by);
        K::shift(&mut inner.marks[usize::from(*step) + 1..], by);
        node = &mut inner.children[usize::from(*step)];
    }
    *node = Node::Leaf(replaced);
    true
}

/// Inserts an item after the last.
#[inline]
pub(crate) fn push<K: TreeMut>(root: &mut Node<K>, item: K::Item) {
    if let Err(item) = push_in_place(root, item) {
        insert_by(root, AtEnd, item);
    }
}

/// The common case: the whole right edge has one owner and its leaf has room. Lengths are
/// incremented on the way down, and decremented again if it turns out not to be the common case.
#[inline]
fn push_in_place<K: TreeMut>(root: &mut Node<K>, item: K::Item) -> Result<(), K::Item> {
    let mut counted = 0;
    let mut node = &mut *root;
    let item = loop {
        match node {
            Node::Leaf(chunk) if chunk.len() < K::LEAF => match chunk.try_push(item) {
                Ok(()) => return Ok(()),
                Err(item) => break item,
            },
            Node::Leaf(_) => break item,
            Node::Inner(arc) => {
                let Some(inner) = Arc::get_mut(arc) else { break item };
                inner.len += 1;
                counted += 1;
                match inner.children.last_mut() {
                    Some(last) => node = last,
                    None => break item,
                }
            }
        }
    };
    count_back(root, AtEnd, counted);
    Err(item)
}

/// Decrements what was counted on the first levels of a route, where every node has one owner.
#[cold]
fn count_back<K: TreeMut>(mut node: &mut Node<K>, mut route: impl Route<K>, levels: usize) {
    for _ in 0..levels {
        let Node::Inner(arc) = node else { return };
        let Some(inner) = Arc::get_mut(arc) else { return };
        let step = route.step(inner);
        inner.len -= 1;
        K::shift(&mut inner.marks[step + 1..], -1);
        node = &mut inner.children[step];
    }
}

#[inline(never)]
fn insert_by<K: TreeMut>(root: &mut Node<K>, mut route: impl Route<K>, item: K::Item) {
    // The mark of the old root in a new root separates nothing, but a value is needed. It is made
    // before the change.
    let spare = match &*root {
        Node::Inner(inner) if !inner.is_full() => None,
        Node::Leaf(chunk) if chunk.len() < K::LEAF => None,
        full => Some(K::mark_of(full)),
    };
    let mut unused = Vec::new();
    let split = descend(root, &mut route, item, true, &mut unused);
    if let (Some((mut mark, right)), Some(spare)) = (split, spare) {
        let left = mem::take(root);
        K::shift(core::slice::from_mut(&mut mark), left.len() as isize);
        let mut top = Inner::<K>::empty(left.height() + 1);
        top.len = left.len() + right.len();
        top.marks.push(spare);
        top.marks.push(mark);
        top.children.push(left);
        top.children.push(right);
        *root = Node::Inner(Arc::new(top));
    }
}

fn descend<K: TreeMut>(
    node: &mut Node<K>,
    route: &mut impl Route<K>,
    item: K::Item,
    last: bool,
    unused: &mut Vec<K::Mark>,
) -> Split<K> {
    let arc = match node {
        Node::Leaf(chunk) => {
            let at = route.slot(chunk.len());
            return insert_in_leaf::<K>(chunk, at, item, last);
        }
        Node::Inner(arc) => arc,
    };
    let inner = unique(arc);
    let step = route.step(inner);
    let spare = inner.is_full().then(|| inner.marks[K::FANOUT / 2].clone());
    let last = last && step + 1 == inner.children.len();
    let split = descend(&mut inner.children[step], route, item, last, unused);
    // Only moves from here on.
    inner.len += 1;
    match split {
        None => {
            K::shift(&mut inner.marks[step + 1..], 1);
            // Its `Drop` is the user's code and waits until the tree is whole.
            unused.extend(spare);
            None
        }
        Some((mut mark, child)) => {
            let start = K::start(&inner.marks[step]).unwrap_or(0) + inner.children[step].len();
            K::shift(core::slice::from_mut(&mut mark), start as isize);
            K::shift(&mut inner.marks[step + 1..], 1);
            match spare {
                None => {
                    inner.marks.insert(step + 1, mark);
                    inner.children.insert(step + 1, child);
                    None
                }
                Some(spare) => Some(split_full(inner, step + 1, mark, child, spare, last)),
            }
        }
    }
}

/// Splits a full node while inserting one more child at `at`.
fn split_full<K: TreeMut>(
    inner: &mut Inner<K>,
    at: usize,
    mut mark: K::Mark,
    child: Node<K>,
    mut spare: K::Mark,
    last: bool,
) -> (K::Mark, Node<K>) {
    if last {
        // Grows at the end: this node stays full and the next begins with the new child.
        let child_len = child.len();
        inner.len -= child_len;
        let before = inner.len as isize;
        K::shift(core::slice::from_mut(&mut mark), -before);
        reset::<K>(&mut spare);
        let mut right = Inner::<K>::empty(inner.height);
        right.len = child_len;
        right.marks.push(spare);
        right.children.push(child);
        return (mark, Node::Inner(Arc::new(right)));
    }
    let half = K::FANOUT / 2;
    // `len` already counts the new child, which is in neither half yet.
    let child_len = child.len();
    inner.len -= child_len;
    if at <= half {
        // Marks from `at` on already count the new child: take it out for the split, and put it
        // back after.
        K::shift(&mut inner.marks[at..], -(child_len as isize));
        let right = inner.split_off(half);
        inner.len += child_len;
        K::shift(&mut inner.marks[at..], child_len as isize);
        inner.marks.insert(at, mark);
        inner.children.insert(at, child);
        reset::<K>(&mut spare);
        (spare, Node::Inner(Arc::new(right)))
    } else {
        K::shift(&mut inner.marks[at..], -(child_len as isize));
        let mut right = inner.split_off(half);
        let at = at - half;
        K::shift(core::slice::from_mut(&mut mark), -(inner.len as isize));
        right.len += child_len;
        K::shift(&mut right.marks[at..], child_len as isize);
        right.marks.insert(at, mark);
        right.children.insert(at, child);
        reset::<K>(&mut spare);
        (spare, Node::Inner(Arc::new(right)))
    }
}

/// Turns a mark that is a position into that of a first child.
pub(crate) fn reset<K: TreeMut>(mark: &mut K::Mark) {
    if let Some(start) = K::start(mark) {
        K::shift(core::slice::from_mut(mark), -(start as isize));
    }
}

#[inline]
fn insert_in_leaf<K: TreeMut>(
    chunk: &mut Chunk<K::Item>,
    at: usize,
    item: K::Item,
    last: bool,
) -> Split<K> {
    if chunk.len() < K::LEAF {
        chunk.insert(at, item);
        return None;
    }
    split_leaf::<K>(chunk, at, item, last)
}

#[cold]
#[inline(never)]
fn split_leaf<K: TreeMut>(
    chunk: &mut Chunk<K::Item>,
    at: usize,
    item: K::Item,
    last: bool,
) -> Split<K> {
    if last && at == chunk.len() {
        let mark = K::mark(&item);
        let mut right = Chunk::with_room(K::LEAF);
        right.push(item);
        return Some((mark, Node::Leaf(right)));
    }
    let middle = K::split_point(chunk.items(), chunk.len() / 2);
    if middle == 0 || middle == chunk.len() {
        // One run that must not be split: the leaf outgrows its size.
        chunk.insert(at, item);
        return None;
    }
    let mark = K::mark(&chunk.items()[middle]);
    let mut right = chunk.halve(middle);
    if at <= middle {
        chunk.insert(at, item);
    } else {
        right.insert(at - middle, item);
    }
    Some((mark, Node::Leaf(right)))
}
