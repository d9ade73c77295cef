//! Nodes of the trie: a leaf, or a branch that shares out the next bits of the hash among its children.
//!
//! A branch has a slot for each value of these bits. A child covers an aligned run of slots, a power of two of them:
//! a leaf many, a branch always one. A byte for each slot names its child, so that two loads find it without a search
//! or a branch, and there are no more children than needed.

use core::array;
use core::borrow::Borrow;
use core::mem;
use core::ops::Range;
use triomphe::Arc;

use super::leaf::Leaf;
use crate::engine::chunk::arc_bytes;
use crate::stats;

/// Bits of the hash that one branch looks at.
const BITS: u32 = if cfg!(test) { 3 } else { 6 };
/// Slots of a branch.
pub(crate) const SLOTS: usize = 1 << BITS;
/// The number of the child that covers each slot.
pub(crate) type Slots = [u8; SLOTS];
/// Children that branches of the smaller sizes hold.
const FEW: usize = if cfg!(test) { 2 } else { 4 };
const SOME: usize = if cfg!(test) { 4 } else { 16 };
/// Branches on the way to the deepest leaf.
pub(crate) const DEPTH_MAX: u32 = u32::BITS.div_ceil(BITS);

/// Bytes of a full leaf, unless entries are so large that it would hold fewer than 8. Entries of 256 bytes still get leaves
/// of 32: of half the size, a thousand would lie at a depth that reads cannot foresee.
const LEAF_BYTES: usize = 9216;

/// Entries that a leaf holds before it is split: by bytes, as far as one comparison of all its hashes pays.
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
    Few(Arc<Branch<K, V, FEW>>),
    Some(Arc<Branch<K, V, SOME>>),
    Full(Arc<Branch<K, V, SLOTS>>),
}

pub(crate) struct Branch<K, V, const N: usize> {
    /// Entries below this branch.
    len: usize,
    /// The number of the child that covers each slot; rising by one where a child begins.
    slots: Slots,
    /// As many as `slots` names, then empty leaves.
    kids: [Node<K, V>; N],
}

/// A branch of any size, for changing.
pub(crate) struct BranchMut<'a, K, V> {
    pub(crate) len: &'a mut usize,
    pub(crate) slots: &'a mut Slots,
    /// The children, and the room for more.
    pub(crate) kids: &'a mut [Node<K, V>],
}

/// Number of children.
fn count(slots: &Slots) -> usize {
    usize::from(slots[SLOTS - 1]) + 1
}

/// The slots of the child that covers `slot`.
pub(crate) fn span(slots: &Slots, slot: u32) -> Range<u32> {
    let kid = slots[slot as usize];
    let start = slots.partition_point(|other| *other < kid);
    let end = slots.partition_point(|other| *other <= kid);
    start as u32..end as u32
}

impl<'a, K, V> BranchMut<'a, K, V> {
    /// The child that covers a slot.
    #[inline]
    pub(crate) fn kid(self, slot: u32) -> &'a mut Node<K, V> {
        &mut self.kids[usize::from(self.slots[slot as usize])]
    }
}

impl<K, V, const N: usize> Branch<K, V, N> {
    #[inline(always)]
    fn kid(&self, slot: u32) -> &Node<K, V> {
        // The mask says what holds anyway, for a check less.
        &self.kids[usize::from(self.slots[slot as usize % SLOTS]) & (N - 1)]
    }

    fn copy(&self) -> Arc<Self> {
        stats::copied(size_of::<Self>());
        let mut kids = self.kids[..count(&self.slots)].iter();
        let kids = array::from_fn(|_| kids.next().cloned().unwrap_or_default());
        Arc::new(Branch { len: self.len, slots: self.slots, kids })
    }

    /// Moves what a branch of another size holds.
    fn moved(from: BranchMut<'_, K, V>) -> Arc<Self> {
        let mut kids = from.kids.iter_mut();
        let kids = array::from_fn(|_| kids.next().map(mem::take).unwrap_or_default());
        Arc::new(Branch { len: *from.len, slots: *from.slots, kids })
    }

    fn parts(&mut self) -> BranchMut<'_, K, V> {
        BranchMut { len: &mut self.len, slots: &mut self.slots, kids: &mut self.kids }
    }
}

impl<K, V> Clone for Node<K, V> {
    #[inline]
    fn clone(&self) -> Self {
        match self {
            Node::Leaf(leaf) => Node::Leaf(leaf.clone()),
            Node::Few(branch) => Node::Few(branch.clone()),
            Node::Some(branch) => Node::Some(branch.clone()),
            Node::Full(branch) => Node::Full(branch.clone()),
        }
    }
}

impl<K, V> Default for Node<K, V> {
    fn default() -> Self {
        Node::Leaf(Leaf::Empty)
    }
}

impl<K, V> Node<K, V> {
    /// The leaf where a hash belongs.
    #[inline(always)]
    pub(crate) fn leaf(&self, hash: u32, mut depth: u32) -> &Leaf<K, V> {
        let mut node = self;
        loop {
            node = match node {
                Node::Leaf(leaf) => return leaf,
                Node::Few(branch) => branch.kid(slot(hash, depth)),
                Node::Some(branch) => branch.kid(slot(hash, depth)),
                Node::Full(branch) => branch.kid(slot(hash, depth)),
            };
            depth += 1;
        }
    }

    /// The entry of a key, below `depth` branches.
    #[inline(always)]
    pub(crate) fn find<Q: Eq + ?Sized>(&self, hash: u32, depth: u32, key: &Q) -> Option<&(K, V)>
    where
        K: Borrow<Q>,
    {
        let leaf = self.leaf(hash, depth);
        leaf.find(hash, key).map(|at| &leaf.entries()[at])
    }

    pub(crate) fn len(&self) -> usize {
        match self {
            Node::Leaf(leaf) => leaf.len(),
            Node::Few(branch) => branch.len,
            Node::Some(branch) => branch.len,
            Node::Full(branch) => branch.len,
        }
    }

    /// Which child covers each slot; `None` for a leaf.
    pub(crate) fn slots(&self) -> Option<&Slots> {
        match self {
            Node::Leaf(_) => None,
            Node::Few(branch) => Some(&branch.slots),
            Node::Some(branch) => Some(&branch.slots),
            Node::Full(branch) => Some(&branch.slots),
        }
    }

    pub(crate) fn kids(&self) -> &[Node<K, V>] {
        let kids: &[Node<K, V>] = match self {
            Node::Leaf(_) => &[],
            Node::Few(branch) => &branch.kids,
            Node::Some(branch) => &branch.kids,
            Node::Full(branch) => &branch.kids,
        };
        &kids[..self.slots().map_or(0, count)]
    }

    /// Equal addresses are the same node; every empty leaf has the address 0.
    pub(crate) fn address(&self) -> usize {
        match self {
            Node::Leaf(leaf) => leaf.address(),
            Node::Few(branch) => branch.heap_ptr() as usize,
            Node::Some(branch) => branch.heap_ptr() as usize,
            Node::Full(branch) => branch.heap_ptr() as usize,
        }
    }

    pub(crate) fn same(&self, other: &Self) -> bool {
        self.address() == other.address()
    }

    pub(crate) fn is_unique(&self) -> bool {
        match self {
            Node::Leaf(leaf) => leaf.is_unique(),
            Node::Few(branch) => branch.is_unique(),
            Node::Some(branch) => branch.is_unique(),
            Node::Full(branch) => branch.is_unique(),
        }
    }

    /// Bytes of heap that this node asked for, without its children and without what its entries own.
    pub(crate) fn heap_bytes(&self) -> usize {
        match self {
            Node::Leaf(leaf) => leaf.heap_bytes(),
            Node::Few(_) => arc_bytes::<Branch<K, V, FEW>>(),
            Node::Some(_) => arc_bytes::<Branch<K, V, SOME>>(),
            Node::Full(_) => arc_bytes::<Branch<K, V, SLOTS>>(),
        }
    }

    /// The branch for changing, copied first when shared; `None` for a leaf. Runs nothing of the user's.
    #[inline]
    pub(crate) fn branch_mut(&mut self) -> Option<BranchMut<'_, K, V>> {
        macro_rules! unique {
            ($arc:ident) => {{
                if !$arc.is_unique() {
                    *$arc = $arc.copy();
                }
                Arc::get_mut($arc).map(Branch::parts)
            }};
        }
        match self {
            Node::Leaf(_) => None,
            Node::Few(branch) => unique!(branch),
            Node::Some(branch) => unique!(branch),
            Node::Full(branch) => unique!(branch),
        }
    }

    /// A branch over children in order, with the one that covers each slot.
    pub(crate) fn over(mut slots: Slots, kids: impl IntoIterator<Item = Self>) -> Self {
        let mut kids = kids.into_iter();
        let mut all: [Self; SLOTS] = array::from_fn(|_| kids.next().unwrap_or_default());
        let mut len = all.iter().map(Node::len).sum();
        Self::fitting(BranchMut { len: &mut len, slots: &mut slots, kids: &mut all })
    }

    /// The smallest branch that holds what a branch holds, which is left empty.
    fn fitting(from: BranchMut<'_, K, V>) -> Self {
        match count(from.slots) {
            count if count <= FEW => Node::Few(Branch::moved(from)),
            count if count <= SOME => Node::Some(Branch::moved(from)),
            _ => Node::Full(Branch::moved(from)),
        }
    }

    /// Cuts the slots of a child at `slot`; `kid` covers those from there on.
    pub(crate) fn cut(&mut self, slot: u32, kid: Self) {
        let Some(branch) = self.branch_mut() else { return };
        let count = count(branch.slots);
        if count == branch.kids.len() {
            let grown = if count < SOME {
                Node::Some(Branch::moved(branch))
            } else {
                Node::Full(Branch::moved(branch))
            };
            *self = grown;
            return self.cut(slot, kid);
        }
        let at = usize::from(branch.slots[slot as usize]) + 1;
        branch.slots[slot as usize..].iter_mut().for_each(|kid| *kid += 1);
        branch.kids[at..=count].rotate_right(1);
        branch.kids[at] = kid;
    }

    /// Puts `kid` in the place of the children that cover a run of slots.
    pub(crate) fn unite(&mut self, slots: Range<u32>, kid: Self) {
        let Some(branch) = self.branch_mut() else { return };
        let slots = slots.start as usize..slots.end as usize;
        let first = branch.slots[slots.start];
        let gone = branch.slots[slots.end - 1] - first;
        branch.slots[slots.end..].iter_mut().for_each(|kid| *kid -= gone);
        branch.slots[slots].fill(first);
        let first = usize::from(first);
        branch.kids[first] = kid;
        branch.kids[first + 1..].rotate_left(usize::from(gone));
        self.fit();
    }

    /// Moves a branch with few children to a smaller size.
    fn fit(&mut self) {
        let count = self.slots().map_or(0, count);
        let roomy = match self {
            Node::Full(_) => count * 2 <= SOME,
            Node::Some(_) => count * 2 <= FEW,
            _ => false,
        };
        if roomy {
            let Some(branch) = self.branch_mut() else { return };
            *self = Self::fitting(branch);
        }
    }
}
