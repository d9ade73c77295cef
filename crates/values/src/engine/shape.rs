//! What differs between the trees of a sequence, an ordered map and a text.

use super::fixed_vec::FixedVec;
use super::node::Node;

/// How many items of `item_bytes` fit a leaf of about `leaf_bytes`: a power of two, at least 8.
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

/// The limit of [`TreeShape::AHEAD`].
pub(crate) const AHEAD_MAX: usize = 16;

/// The items of a tree and the marks between its children.
pub(crate) trait TreeShape: Sized {
    type Item;
    type Mark;

    /// Children of a full inner node.
    const FANOUT: usize;
    /// Holds the marks of a full node.
    type Marks: FixedVec<Self::Mark>;
    /// Holds the children of a full node.
    type Children: FixedVec<Node<Self>>;

    /// Items that a leaf holds before it is split, a power of two.
    const LEAF: usize;

    /// How many leaves a full iteration looks up before it reads the first of them, so that their
    /// cache misses overlap. Use 1 if leaves are mostly contiguous in memory: the hardware
    /// prefetcher then suffices.
    const AHEAD: usize = 1;

    /// Items before the child with this mark, if marks are positions.
    fn start(_mark: &Self::Mark) -> Option<usize> {
        None
    }
}

/// What changing a tree needs in addition.
pub(crate) trait TreeMut: TreeShape<Item: Clone, Mark: Clone> {
    /// The mark of a child that begins with `first`, as if it were the first child of its parent.
    fn mark(first: &Self::Item) -> Self::Mark;

    /// The mark of a non-empty child, as if it were the first child of its parent.
    fn mark_of(child: &Node<Self>) -> Self::Mark {
        Self::mark(child.first())
    }

    /// Moves marks that are positions by `by` items.
    fn shift(_marks: &mut [Self::Mark], _by: isize) {}

    /// The place nearest to `near` where a leaf may be split. 0 or the length if there is none in
    /// between.
    fn split_point(_items: &[Self::Item], near: usize) -> usize {
        near
    }
}
