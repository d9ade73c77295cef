//! Nodes: a leaf, or an inner node with the marks that separate its children.

use alloc::vec::Vec;
use triomphe::Arc;

use super::chunk::{Chunk, arc_bytes};
use super::fixed_vec::FixedVec;
use super::shape::{TreeMut, TreeShape};
use crate::stats;

pub(crate) enum Node<K: TreeShape> {
    Leaf(Chunk<K::Item>),
    Inner(Arc<Inner<K>>),
}

pub(crate) struct Inner<K: TreeShape> {
    /// Items below this node.
    pub(crate) len: usize,
    /// 1 above leaves, and one more for each level up.
    pub(crate) height: u32,
    pub(crate) marks: K::Marks,
    pub(crate) children: K::Children,
}

impl<K: TreeShape> Clone for Node<K> {
    #[inline]
    fn clone(&self) -> Self {
        match self {
            Node::Leaf(chunk) => Node::Leaf(chunk.clone()),
            Node::Inner(inner) => Node::Inner(inner.clone()),
        }
    }
}

impl<K: TreeShape> Default for Node<K> {
    fn default() -> Self {
        Node::Leaf(Chunk::Empty)
    }
}

impl<K: TreeShape> Node<K> {
    #[inline]
    pub(crate) fn len(&self) -> usize {
        match self {
            Node::Leaf(chunk) => chunk.len(),
            Node::Inner(inner) => inner.len,
        }
    }

    pub(crate) fn height(&self) -> u32 {
        match self {
            Node::Leaf(_) => 0,
            Node::Inner(inner) => inner.height,
        }
    }

    /// Equal addresses are the same node. Every empty leaf has the address 0.
    pub(crate) fn address(&self) -> usize {
        match self {
            Node::Leaf(chunk) => chunk.address(),
            Node::Inner(inner) => inner.heap_ptr() as usize,
        }
    }

    pub(crate) fn same(&self, other: &Self) -> bool {
        self.address() == other.address()
    }

    pub(crate) fn is_unique(&self) -> bool {
        match self {
            Node::Leaf(chunk) => chunk.is_unique(),
            Node::Inner(inner) => inner.is_unique(),
        }
    }

    /// Bytes of heap that this node allocated, without its children and without what its items own.
    pub(crate) fn heap_bytes(&self) -> usize {
        match self {
            Node::Leaf(chunk) => chunk.heap_bytes(),
            Node::Inner(_) => arc_bytes::<Inner<K>>(),
        }
    }

    pub(crate) fn children(&self) -> &[Node<K>] {
        match self {
            Node::Leaf(_) => &[],
            Node::Inner(inner) => &inner.children,
        }
    }

    pub(crate) fn items(&self) -> &[K::Item] {
        match self {
            Node::Leaf(chunk) => chunk.items(),
            Node::Inner(_) => &[],
        }
    }

    /// The first item. The node must not be empty.
    pub(crate) fn first(&self) -> &K::Item {
        let mut node = self;
        loop {
            match node {
                Node::Inner(inner) => node = &inner.children[0],
                Node::Leaf(chunk) => return &chunk.items()[0],
            }
        }
    }

    /// The node as a root: a node without children becomes an empty leaf, and a node with a single
    /// child becomes that child.
    pub(crate) fn plain(mut self) -> Self {
        while let Node::Inner(inner) = &self {
            self = match &*inner.children {
                [] => Node::default(),
                [child] => child.clone(),
                _ => break,
            };
        }
        self
    }

    /// Returns `true` if the node should be joined with a neighbour because it holds so little.
    pub(crate) fn is_thin(&self) -> bool {
        match self {
            Node::Leaf(chunk) => chunk.len() * 4 < K::LEAF.max(5),
            Node::Inner(inner) => inner.children.len() < K::FANOUT / 2,
        }
    }
}

/// The node, mutably. It is copied first if it is shared: the children are counted, not copied.
#[inline]
pub(crate) fn unique<K: TreeMut>(arc: &mut Arc<Inner<K>>) -> &mut Inner<K> {
    if !arc.is_unique() {
        copy(arc);
    }
    match Arc::get_mut(arc) {
        Some(inner) => inner,
        None => unreachable!("the node was just made unique"),
    }
}

#[cold]
#[inline(never)]
fn copy<K: TreeMut>(arc: &mut Arc<Inner<K>>) {
    stats::copied(size_of::<Inner<K>>());
    *arc = Arc::new(Inner {
        len: arc.len,
        height: arc.height,
        marks: arc.marks.copy(),
        children: arc.children.copy(),
    });
}

impl<K: TreeMut> Inner<K> {
    pub(crate) fn empty(height: u32) -> Self {
        Inner { len: 0, height, marks: K::Marks::default(), children: K::Children::default() }
    }

    /// Makes a node over children of one height, at most [`TreeShape::FANOUT`] of them.
    pub(crate) fn over(children: impl IntoIterator<Item = Node<K>>) -> Node<K> {
        let mut inner = Inner::empty(0);
        for child in children {
            inner.height = child.height() + 1;
            inner.push(child);
        }
        Node::Inner(Arc::new(inner))
    }

    pub(crate) fn is_full(&self) -> bool {
        self.children.len() == K::FANOUT
    }

    /// Appends a child. There must be room.
    pub(crate) fn push(&mut self, child: Node<K>) {
        let mut mark = K::mark_of(&child);
        K::shift(core::slice::from_mut(&mut mark), self.len as isize);
        self.len += child.len();
        self.marks.push(mark);
        self.children.push(child);
    }

    /// Inserts a child before all others. There must be room.
    pub(crate) fn push_front(&mut self, child: Node<K>) {
        if let Some(first) = self.children.first() {
            self.marks[0] = K::mark_of(first);
        }
        let mark = K::mark_of(&child);
        let len = child.len();
        self.len += len;
        K::shift(&mut self.marks, len as isize);
        self.marks.insert(0, mark);
        self.children.insert(0, child);
    }

    pub(crate) fn pop(&mut self) -> Option<Node<K>> {
        let child = self.children.pop()?;
        self.marks.pop();
        self.len -= child.len();
        Some(child)
    }

    pub(crate) fn pop_front(&mut self) -> Option<Node<K>> {
        if self.children.is_empty() {
            return None;
        }
        let (child, mark) = (self.children.remove(0), self.marks.remove(0));
        self.len -= child.len();
        K::shift(&mut self.marks, -(child.len() as isize));
        drop(mark);
        Some(child)
    }

    /// Appends the children of a right neighbour, and makes its first mark a separating one. There
    /// must be room.
    pub(crate) fn append(&mut self, right: &mut Inner<K>) {
        if let Some(first) = right.children.first() {
            right.marks[0] = K::mark_of(first);
        }
        K::shift(&mut right.marks, self.len as isize);
        self.len += right.len;
        right.len = 0;
        self.marks.append(&mut right.marks);
        self.children.append(&mut right.children);
    }

    /// Splits off the children from `at` on. Runs none of the user's code.
    pub(crate) fn split_off(&mut self, at: usize) -> Self {
        let (children, mut marks) = (self.children.split_off(at), self.marks.split_off(at));
        let before = match marks.first().and_then(K::start) {
            Some(start) => start,
            None => self.len - children.iter().map(Node::len).sum::<usize>(),
        };
        K::shift(&mut marks, -(before as isize));
        let right = Inner { len: self.len - before, height: self.height, marks, children };
        self.len = before;
        right
    }
}

/// Nodes gathered for a parent, in order.
pub(crate) type Nodes<K> = Vec<Node<K>>;
