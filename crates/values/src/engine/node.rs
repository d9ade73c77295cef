//! Nodes: a leaf, or an inner node with the marks that separate its children.

use alloc::vec::Vec;
use triomphe::Arc;

use super::chunk::{Chunk, arc_bytes};
use super::kind::{Grow, Kind};
use super::room::Room;
use crate::stats;

pub(crate) enum Node<K: Kind> {
    Leaf(Chunk<K::Item>),
    Inner(Arc<Inner<K>>),
}

pub(crate) struct Inner<K: Kind> {
    /// Items below this node.
    pub(crate) len: usize,
    /// 1 above leaves, one more each level up.
    pub(crate) height: u32,
    pub(crate) marks: K::Marks,
    pub(crate) kids: K::Kids,
}

impl<K: Kind> Clone for Node<K> {
    #[inline]
    fn clone(&self) -> Self {
        match self {
            Node::Leaf(chunk) => Node::Leaf(chunk.clone()),
            Node::Inner(inner) => Node::Inner(inner.clone()),
        }
    }
}

impl<K: Kind> Default for Node<K> {
    fn default() -> Self {
        Node::Leaf(Chunk::Empty)
    }
}

impl<K: Kind> Node<K> {
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

    /// Equal addresses are the same node; every empty leaf has the address 0.
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

    /// Bytes of heap that this node asked for, without its children and without what its items own.
    pub(crate) fn heap_bytes(&self) -> usize {
        match self {
            Node::Leaf(chunk) => chunk.heap_bytes(),
            Node::Inner(_) => arc_bytes::<Inner<K>>(),
        }
    }

    pub(crate) fn kids(&self) -> &[Node<K>] {
        match self {
            Node::Leaf(_) => &[],
            Node::Inner(inner) => &inner.kids,
        }
    }

    pub(crate) fn items(&self) -> &[K::Item] {
        match self {
            Node::Leaf(chunk) => chunk.items(),
            Node::Inner(_) => &[],
        }
    }

    /// The first item; the node must not be empty.
    pub(crate) fn first(&self) -> &K::Item {
        let mut node = self;
        loop {
            match node {
                Node::Inner(inner) => node = &inner.kids[0],
                Node::Leaf(chunk) => return &chunk.items()[0],
            }
        }
    }

    /// The node as a root: one without children is an empty leaf, one with a single child is that child.
    pub(crate) fn plain(mut self) -> Self {
        while let Node::Inner(inner) = &self {
            self = match &*inner.kids {
                [] => Node::default(),
                [kid] => kid.clone(),
                _ => break,
            };
        }
        self
    }

    /// Whether the node holds so little that it should be joined with a neighbour.
    pub(crate) fn is_thin(&self) -> bool {
        match self {
            Node::Leaf(chunk) => chunk.len() * 4 < K::LEAF.max(5),
            Node::Inner(inner) => inner.kids.len() < K::FANOUT / 2,
        }
    }
}

/// The node for changing, copied first when shared; the children are counted, not copied.
#[inline]
pub(crate) fn unique<K: Grow>(arc: &mut Arc<Inner<K>>) -> &mut Inner<K> {
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
fn copy<K: Grow>(arc: &mut Arc<Inner<K>>) {
    stats::copied(size_of::<Inner<K>>());
    *arc = Arc::new(Inner {
        len: arc.len,
        height: arc.height,
        marks: arc.marks.copy(),
        kids: arc.kids.copy(),
    });
}

impl<K: Grow> Inner<K> {
    pub(crate) fn empty(height: u32) -> Self {
        Inner { len: 0, height, marks: K::Marks::default(), kids: K::Kids::default() }
    }

    /// A node over children of one height, at most [`Kind::FANOUT`] of them.
    pub(crate) fn over(kids: impl IntoIterator<Item = Node<K>>) -> Node<K> {
        let mut inner = Inner::empty(0);
        for kid in kids {
            inner.height = kid.height() + 1;
            inner.push(kid);
        }
        Node::Inner(Arc::new(inner))
    }

    pub(crate) fn is_full(&self) -> bool {
        self.kids.len() == K::FANOUT
    }

    /// Appends a child; there must be room.
    pub(crate) fn push(&mut self, kid: Node<K>) {
        let mut mark = K::mark_of(&kid);
        K::shift(core::slice::from_mut(&mut mark), self.len as isize);
        self.len += kid.len();
        self.marks.push(mark);
        self.kids.push(kid);
    }

    /// Puts a child before all others; there must be room.
    pub(crate) fn push_front(&mut self, kid: Node<K>) {
        if let Some(first) = self.kids.first() {
            self.marks[0] = K::mark_of(first);
        }
        let mark = K::mark_of(&kid);
        let len = kid.len();
        self.len += len;
        K::shift(&mut self.marks, len as isize);
        self.marks.insert(0, mark);
        self.kids.insert(0, kid);
    }

    pub(crate) fn pop(&mut self) -> Option<Node<K>> {
        let kid = self.kids.pop()?;
        self.marks.pop();
        self.len -= kid.len();
        Some(kid)
    }

    pub(crate) fn pop_front(&mut self) -> Option<Node<K>> {
        if self.kids.is_empty() {
            return None;
        }
        let (kid, mark) = (self.kids.remove(0), self.marks.remove(0));
        self.len -= kid.len();
        K::shift(&mut self.marks, -(kid.len() as isize));
        drop(mark);
        Some(kid)
    }

    /// Appends the children of a right neighbour, whose first mark is made a true one; there must be room.
    pub(crate) fn append(&mut self, right: &mut Inner<K>) {
        if let Some(first) = right.kids.first() {
            right.marks[0] = K::mark_of(first);
        }
        K::shift(&mut right.marks, self.len as isize);
        self.len += right.len;
        right.len = 0;
        self.marks.append(&mut right.marks);
        self.kids.append(&mut right.kids);
    }

    /// Cuts off the children from `at` on. Runs nothing of the user's.
    pub(crate) fn split_off(&mut self, at: usize) -> Self {
        let (kids, mut marks) = (self.kids.split_off(at), self.marks.split_off(at));
        let before = match marks.first().and_then(K::start) {
            Some(start) => start,
            None => self.len - kids.iter().map(Node::len).sum::<usize>(),
        };
        K::shift(&mut marks, -(before as isize));
        let right = Inner { len: self.len - before, height: self.height, marks, kids };
        self.len = before;
        right
    }
}

/// Nodes gathered for a parent, in order.
pub(crate) type Nodes<K> = Vec<Node<K>>;
