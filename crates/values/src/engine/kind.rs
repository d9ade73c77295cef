//! What differs between a sequence, an ordered map and a text, as the tree sees them.

use super::node::Node;
use super::room::Room;

/// How many items of `item_bytes` a leaf of about `leaf_bytes` takes: a power of two, at least 8.
pub(crate) const fn leaf_items(item_bytes: usize, leaf_bytes: usize) -> usize {
    if cfg!(test) {
        return 4;
    }
    let most = if item_bytes == 1 { 1024 } else { 128 };
    let fit = leaf_bytes / if item_bytes == 0 { 1 } else { item_bytes };
    let mut count = 8;
    while count * 2 <= fit && count * 2 <= most {
        count *= 2;
    }
    count
}

/// Most that [`Kind::AHEAD`] may be.
pub(crate) const AHEAD_MAX: usize = 16;

/// The items of a tree and the marks between its children.
pub(crate) trait Kind: Sized {
    type Item;
    type Mark;

    /// Children of a full inner node.
    const FANOUT: usize;
    /// Room for the marks of so many children.
    type Marks: Room<Self::Mark>;
    /// Room for so many children.
    type Kids: Room<Node<Self>>;

    /// Items that a leaf holds before it is cut; a power of two.
    const LEAF: usize;

    /// Leaves that reading everything looks up before it reads the first of them, so that their cache misses are under way
    /// together. One where most leaves lie in memory as they do in the tree: there the processor looks ahead by itself.
    const AHEAD: usize = 1;

    /// Items before the child with this mark, where marks are positions.
    fn start(_mark: &Self::Mark) -> Option<usize> {
        None
    }
}

/// What it takes to change a tree.
pub(crate) trait Grow: Kind<Item: Clone, Mark: Clone> {
    /// The mark of a child that begins with `first`, as if it were the first child of its parent.
    fn mark(first: &Self::Item) -> Self::Mark;

    /// The mark of a child that is not empty, as if it were the first child of its parent.
    fn mark_of(kid: &Node<Self>) -> Self::Mark {
        Self::mark(kid.first())
    }

    /// Moves marks that are positions by `by` items.
    fn shift(_marks: &mut [Self::Mark], _by: isize) {}

    /// The place nearest to `near` where a leaf may be cut, 0 or the length when there is none between.
    fn cut(_items: &[Self::Item], near: usize) -> usize {
        near
    }
}
