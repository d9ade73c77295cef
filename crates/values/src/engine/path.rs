//! Where an item is, or would be: the child in each node, then the place in the leaf.

use arrayvec::ArrayVec;

use super::node::{Inner, Node};
use super::shape::TreeShape;

/// Levels of inner nodes that a path can hold. With two children for each node, that is 16 million
/// leaves. With thirty-two, it is more than memory holds.
pub(crate) const HEIGHT_MAX: usize = 24;

/// How to find something in a tree of one shape.
pub(crate) trait Seek<K: TreeShape> {
    /// The child of `inner` to descend to.
    fn child(&mut self, inner: &Inner<K>) -> usize;
    /// The place in a leaf: `Ok` if the item is there, `Err` if it would be.
    fn slot(&mut self, items: &[K::Item]) -> Result<usize, usize>;
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Path {
    pub(crate) steps: ArrayVec<u8, HEIGHT_MAX>,
    pub(crate) slot: usize,
}

/// Finds a path. `Err` is where the item would be.
#[inline]
pub(crate) fn locate<K: TreeShape>(root: &Node<K>, mut seek: impl Seek<K>) -> Result<Path, Path> {
    let mut path = Path::default();
    let mut node = root;
    loop {
        match node {
            Node::Inner(inner) => {
                let step = seek.child(inner);
                path.steps.push(step as u8);
                node = &inner.children[step];
            }
            Node::Leaf(chunk) => {
                return match seek.slot(chunk.items()) {
                    Ok(slot) => Ok(Path { slot, ..path }),
                    Err(slot) => Err(Path { slot, ..path }),
                };
            }
        }
    }
}

/// Finds an item without its path.
#[inline]
pub(crate) fn find<K: TreeShape>(root: &Node<K>, mut seek: impl Seek<K>) -> Option<&K::Item> {
    let mut node = root;
    loop {
        match node {
            Node::Inner(inner) => node = &inner.children[seek.child(inner)],
            Node::Leaf(chunk) => {
                let items = chunk.items();
                return seek.slot(items).ok().map(|slot| &items[slot]);
            }
        }
    }
}
