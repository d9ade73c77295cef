//! Items by mutable reference, in order from both ends. A node is made unique when the iteration
//! reaches it, not before.

use alloc::boxed::Box;
use core::slice;

use super::node::{Node, unique};
use super::path::Path;
use super::shape::TreeMut;

/// What is left of one node: the children not yet opened, and the one opened at each end.
pub(crate) enum ItemsMut<'a, K: TreeMut> {
    Leaf(slice::IterMut<'a, K::Item>),
    Inner {
        children: slice::IterMut<'a, Node<K>>,
        front: Option<Box<Self>>,
        back: Option<Box<Self>>,
    },
}

impl<'a, K: TreeMut> ItemsMut<'a, K> {
    pub(crate) fn all(node: &'a mut Node<K>) -> Self {
        match node {
            Node::Leaf(chunk) => ItemsMut::Leaf(chunk.items_mut().iter_mut()),
            Node::Inner(arc) => ItemsMut::Inner {
                children: unique(arc).children.iter_mut(),
                front: None,
                back: None,
            },
        }
    }

    /// The items from one path up to another, excluding it. `None` stands for an end of the tree.
    pub(crate) fn between(node: &'a mut Node<K>, from: Option<&Path>, to: Option<&Path>) -> Self {
        Self::part(node, 0, from, to)
    }

    fn part(node: &'a mut Node<K>, depth: usize, from: Option<&Path>, to: Option<&Path>) -> Self {
        let arc = match node {
            Node::Leaf(chunk) => {
                let items = chunk.items_mut();
                let end = to.map_or(items.len(), |path| path.slot);
                let start = from.map_or(0, |path| path.slot);
                return ItemsMut::Leaf(items[start..end].iter_mut());
            }
            Node::Inner(arc) => arc,
        };
        let children: &mut [Node<K>] = &mut unique(arc).children;
        let start = from.map_or(0, |path| usize::from(path.steps[depth]));
        let end = to.map_or(children.len() - 1, |path| usize::from(path.steps[depth]));
        let children = &mut children[start..=end];
        match children {
            [child] => Self::part(child, depth + 1, from, to),
            [first, rest @ .., last] => ItemsMut::Inner {
                front: Some(Box::new(Self::part(first, depth + 1, from, None))),
                back: Some(Box::new(Self::part(last, depth + 1, None, to))),
                children: rest.iter_mut(),
            },
            [] => ItemsMut::Leaf([].iter_mut()),
        }
    }
}

impl<'a, K: TreeMut> Iterator for ItemsMut<'a, K> {
    type Item = &'a mut K::Item;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        match self {
            ItemsMut::Leaf(items) => items.next(),
            ItemsMut::Inner { children, front, back } => loop {
                if let Some(item) = front.as_mut().and_then(|open| open.next()) {
                    return Some(item);
                }
                match children.next() {
                    Some(child) => *front = Some(Box::new(Self::all(child))),
                    None => return back.as_mut()?.next(),
                }
            },
        }
    }

    fn fold<B, F: FnMut(B, Self::Item) -> B>(self, init: B, mut f: F) -> B {
        fn all<'a, K: TreeMut, B>(
            items: ItemsMut<'a, K>,
            init: B,
            f: &mut dyn FnMut(B, &'a mut K::Item) -> B,
        ) -> B {
            match items {
                ItemsMut::Leaf(items) => items.fold(init, f),
                ItemsMut::Inner { children, front, back } => {
                    let mut folded = init;
                    if let Some(front) = front {
                        folded = all(*front, folded, f);
                    }
                    for child in children {
                        folded = all(ItemsMut::all(child), folded, f);
                    }
                    match back {
                        Some(back) => all(*back, folded, f),
                        None => folded,
                    }
                }
            }
        }
        all(self, init, &mut f)
    }
}

impl<K: TreeMut> DoubleEndedIterator for ItemsMut<'_, K> {
    fn next_back(&mut self) -> Option<Self::Item> {
        match self {
            ItemsMut::Leaf(items) => items.next_back(),
            ItemsMut::Inner { children, front, back } => loop {
                if let Some(item) = back.as_mut().and_then(|open| open.next_back()) {
                    return Some(item);
                }
                match children.next_back() {
                    Some(child) => *back = Some(Box::new(Self::all(child))),
                    None => return front.as_mut()?.next_back(),
                }
            },
        }
    }
}
