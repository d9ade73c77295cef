//! Nodes of the trie: a leaf, or a branch that distributes its children by the next bits of the
//! hash.
//!
//! A branch has a slot for each value of these bits. A child covers an aligned run of slots, whose
//! length is a power of two: a leaf may cover many, and a branch always covers one. A byte for each
//! slot names its child, so that two loads find it without a search or a conditional jump, and
//! there are no more children than needed.

use alloc::vec::Vec;
use core::borrow::Borrow;
use core::mem;
use core::ops::Range;
use triomphe::{Arc, HeaderSlice};

use super::leaf::Leaf;
use crate::engine::chunk::arc_bytes;
use crate::stats;

/// Bits of the hash that one branch looks at.
const BITS: u32 = if cfg!(test) { 3 } else { 6 };
/// Slots of a branch.
pub(crate) const SLOTS: usize = 1 << BITS;
/// The number of the child that covers each slot.
pub(crate) type Slots = [u8; SLOTS];
/// Branches on the path to the deepest leaf.
pub(crate) const DEPTH_MAX: u32 = u32::BITS.div_ceil(BITS);

/// Bytes of a full leaf, unless entries are so large that it would hold fewer than 8. Entries of
/// 256 bytes still get leaves of 32 entries: with half of that, the depth of a thousand entries
/// would vary, and reads could not predict it.
const LEAF_BYTES: usize = 9216;

/// Entries that a leaf holds before it is split. The limit is in bytes, and in entries as far as
/// comparing all hashes at once is worth it.
pub(crate) const fn leaf_max<K, V>() -> usize {
    if cfg!(test) {
        return 4;
    }
    let mut count = 32;
    while count > 8 && count * (size_of::<(K, V)>() + size_of::<u32>()) > LEAF_BYTES {
        count /= 2;
    }
    count
}

/// The slot of a hash in a branch with `depth` branches above it.
#[inline(always)]
pub(crate) fn slot(hash: u32, depth: u32) -> u32 {
    (hash << (BITS * depth)) >> (u32::BITS - BITS)
}

pub(crate) enum Node<K, V> {
    Leaf(Leaf<K, V>),
    Branch(Arc<Branch<K, V>>),
}

/// A branch: its head, and as many children as the head's slots name.
pub(crate) type Branch<K, V> = HeaderSlice<Head, [Node<K, V>]>;

pub(crate) struct Head {
    /// Entries below this branch.
    len: usize,
    /// The number of the child that covers each slot. It rises by one where a child begins.
    slots: Slots,
}

/// A branch by mutable reference.
pub(crate) struct BranchMut<'a, K, V> {
    pub(crate) len: &'a mut usize,
    pub(crate) slots: &'a mut Slots,
    pub(crate) children: &'a mut [Node<K, V>],
}

/// The slots of the child that covers `slot`.
pub(crate) fn span(slots: &Slots, slot: u32) -> Range<u32> {
    let child = slots[slot as usize];
    let start = slots.partition_point(|other| *other < child);
    let end = slots.partition_point(|other| *other <= child);
    start as u32..end as u32
}

impl<'a, K, V> BranchMut<'a, K, V> {
    /// The child that covers a slot.
    #[inline]
    pub(crate) fn child(self, slot: u32) -> &'a mut Node<K, V> {
        &mut self.children[usize::from(self.slots[slot as usize])]
    }
}

/// A branch over `count` children.
fn branch<K, V>(
    len: usize,
    slots: Slots,
    count: usize,
    child: impl FnMut(usize) -> Node<K, V>,
) -> Arc<Branch<K, V>> {
    Arc::from_header_and_iter(Head { len, slots }, (0..count).map(child))
}

#[cold]
#[inline(never)]
fn copy<K, V>(from: &Branch<K, V>) -> Arc<Branch<K, V>> {
    stats::copied(size_of_val(from));
    branch(from.header.len, from.header.slots, from.slice.len(), |at| from.slice[at].clone())
}

impl<K, V> Clone for Node<K, V> {
    #[inline]
    fn clone(&self) -> Self {
        match self {
            Node::Leaf(leaf) => Node::Leaf(leaf.clone()),
            Node::Branch(branch) => Node::Branch(branch.clone()),
        }
    }
}

impl<K, V> Default for Node<K, V> {
    fn default() -> Self {
        Node::Leaf(Leaf::Empty)
    }
}

impl<K, V> Node<K, V> {
    /// The leaf where a hash belongs. It takes few instructions: the more look-ups the processor
    /// holds at once, the more of them wait for memory at the same time.
    #[inline(always)]
    pub(crate) fn leaf(&self, hash: u32, depth: u32) -> &Leaf<K, V> {
        let mut node = self;
        let mut rest = hash.unbounded_shl(BITS * depth);
        loop {
            match node {
                Node::Leaf(leaf) => return leaf,
                Node::Branch(branch) => {
                    let slot = rest >> (u32::BITS - BITS);
                    node = &branch.slice[usize::from(branch.header.slots[slot as usize])];
                }
            }
            rest <<= BITS;
        }
    }

    /// The entry of a key, below `depth` branches.
    #[inline(always)]
    pub(crate) fn find<Q: Eq + ?Sized>(&self, hash: u32, depth: u32, key: &Q) -> Option<&(K, V)>
    where
        K: Borrow<Q>,
    {
        self.leaf(hash, depth).get(hash, key)
    }

    pub(crate) fn len(&self) -> usize {
        match self {
            Node::Leaf(leaf) => leaf.len(),
            Node::Branch(branch) => branch.header.len,
        }
    }

    /// Which child covers each slot. `None` for a leaf.
    pub(crate) fn slots(&self) -> Option<&Slots> {
        match self {
            Node::Leaf(_) => None,
            Node::Branch(branch) => Some(&branch.header.slots),
        }
    }

    pub(crate) fn children(&self) -> &[Node<K, V>] {
        match self {
            Node::Leaf(_) => &[],
            Node::Branch(branch) => &branch.slice,
        }
    }

    /// Equal addresses are the same node. Every empty leaf has the address 0.
    pub(crate) fn address(&self) -> usize {
        match self {
            Node::Leaf(leaf) => leaf.address(),
            Node::Branch(branch) => branch.heap_ptr() as usize,
        }
    }

    pub(crate) fn same(&self, other: &Self) -> bool {
        self.address() == other.address()
    }

    pub(crate) fn is_unique(&self) -> bool {
        match self {
            Node::Leaf(leaf) => leaf.is_unique(),
            Node::Branch(branch) => branch.is_unique(),
        }
    }

    /// Bytes of heap that this node allocated, without its children and without what its entries
    /// own.
    pub(crate) fn heap_bytes(&self) -> usize {
        match self {
            Node::Leaf(leaf) => leaf.heap_bytes(),
            Node::Branch(branch) => {
                arc_bytes::<HeaderSlice<Head, [Self; 0]>>() + size_of_val(&branch.slice)
            }
        }
    }

    /// The branch, mutably, copied first if it is shared. `None` for a leaf. Runs none of the
    /// user's code.
    #[inline]
    pub(crate) fn branch_mut(&mut self) -> Option<BranchMut<'_, K, V>> {
        let Node::Branch(branch) = self else { return None };
        if !branch.is_unique() {
            *branch = copy(branch);
        }
        Arc::get_mut(branch).map(|branch| {
            let Head { len, slots } = &mut branch.header;
            BranchMut { len, slots, children: &mut branch.slice }
        })
    }

    /// Makes a branch over children in order, with the child that covers each slot.
    pub(crate) fn over(slots: Slots, children: impl IntoIterator<Item = Self>) -> Self {
        let mut children: Vec<Self> = children.into_iter().collect();
        let len = children.iter().map(Node::len).sum();
        Node::Branch(branch(len, slots, children.len(), |at| mem::take(&mut children[at])))
    }

    /// Splits the slots of a child at `slot`. `child` covers those from there on.
    pub(crate) fn split_child(&mut self, slot: u32, mut child: Self) {
        let Some(BranchMut { len, slots, children }) = self.branch_mut() else { return };
        let at = usize::from(slots[slot as usize]) + 1;
        slots[slot as usize..].iter_mut().for_each(|child| *child += 1);
        let longer = branch(*len, *slots, children.len() + 1, |own| match own {
            own if own < at => mem::take(&mut children[own]),
            own if own > at => mem::take(&mut children[own - 1]),
            _ => mem::take(&mut child),
        });
        *self = Node::Branch(longer);
    }

    /// Replaces the children that cover a run of slots by `child`.
    pub(crate) fn unite(&mut self, run: Range<u32>, child: Self) {
        let Some(BranchMut { len, slots, children }) = self.branch_mut() else { return };
        let run = run.start as usize..run.end as usize;
        let first = slots[run.start];
        let gone = slots[run.end - 1] - first;
        slots[run.end..].iter_mut().for_each(|child| *child -= gone);
        slots[run].fill(first);
        let (first, gone) = (usize::from(first), usize::from(gone));
        children[first] = child;
        let shorter = branch(*len, *slots, children.len() - gone, |own| {
            mem::take(&mut children[if own <= first { own } else { own + gone }])
        });
        *self = Node::Branch(shorter);
    }
}
