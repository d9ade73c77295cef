//! Bytes of values: what one holds, what it shares with others, and what many versions take
//! together.
//!
//! This counts the nodes of the tree, exactly as requested from the allocator. What items own on
//! the heap (the text of a `String`) is not included. Reference counts are read as they are at that
//! moment: while other threads clone and drop, a usage is a sample.

use alloc::collections::{BTreeMap, BTreeSet};

use crate::engine::node::Node;
use crate::engine::shape::TreeShape;

/// Heap bytes of the nodes of one value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Usage {
    /// All nodes, each once: `shared + exclusive`.
    pub total: usize,
    /// Nodes that another owner also reaches.
    pub shared: usize,
    /// Nodes that only this value reaches, and that dropping it frees.
    pub exclusive: usize,
    /// Number of nodes.
    pub nodes: usize,
    /// Levels of nodes, 0 for an empty value.
    pub depth: usize,
}

/// A value made of reference-counted nodes: every collection of this crate.
#[expect(private_bounds, reason = "sealed: a value is a tree of this crate")]
pub trait Value: Clone + Rooted {
    /// Bytes of this value's nodes. Visits every node.
    fn usage(&self) -> Usage {
        let mut usage = Usage::default();
        if let Some(root) = self.root().filter(|root| root.address() != 0) {
            measure(root, true, 1, &mut usage, &mut BTreeSet::new());
        }
        usage
    }

    /// Returns `true` if no other value shares the root. A write then copies only lower nodes that
    /// are shared.
    fn is_unique(&self) -> bool {
        self.root().is_none_or(Counted::is_unique)
    }
}

/// A reference-counted node of any tree.
pub(crate) trait Counted: Sized {
    /// Equal addresses are the same node. A node without heap has the address 0.
    fn address(&self) -> usize;
    fn is_unique(&self) -> bool;
    /// Bytes of heap that this node allocated, without its children and without what its items own.
    fn heap_bytes(&self) -> usize;
    fn children(&self) -> &[Self];
}

/// Forwards to the methods of the same names.
macro_rules! counted {
    ($($node:ty, $kind:ident $(, $also:ident)? $(: $bound:ident)?;)*) => {$(
        impl<$kind $(: $bound)? $(, $also)?> Counted for $node {
            fn address(&self) -> usize {
                self.address()
            }

            fn is_unique(&self) -> bool {
                self.is_unique()
            }

            fn heap_bytes(&self) -> usize {
                self.heap_bytes()
            }

            fn children(&self) -> &[Self] {
                self.children()
            }
        }
    )*};
}

counted! {
    crate::engine::node::Node<K>, K: TreeShape;
    crate::hash::Node<K, V>, K, V;
}

/// What has a tree inside.
pub(crate) trait Rooted {
    type Node: Counted;

    /// The root, unless the value is so small that it has none.
    fn root(&self) -> Option<&Self::Node>;
}

fn measure(
    node: &impl Counted,
    alone: bool,
    level: usize,
    usage: &mut Usage,
    seen: &mut BTreeSet<usize>,
) {
    if node.address() == 0 {
        return;
    }
    usage.depth = usage.depth.max(level);
    let alone = alone && node.is_unique();
    if !alone && !seen.insert(node.address()) {
        return;
    }
    let bytes = node.heap_bytes();
    usage.total += bytes;
    usage.nodes += 1;
    if alone {
        usage.exclusive += bytes;
    } else {
        usage.shared += bytes;
    }
    for child in node.children() {
        measure(child, alone, level + 1, usage, seen);
    }
}

/// What a version added to a [`Tracker`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Added {
    /// Bytes of nodes that no version added before.
    pub new_bytes: usize,
    /// Bytes of nodes that earlier versions also hold. A node that the version holds in several
    /// places counts in each. The sum saturates at `usize::MAX`.
    pub shared_bytes: usize,
}

/// Counts the bytes of many versions together, each node once.
///
/// The versions must stay alive while they are tracked: nodes are identified by address.
///
/// ```
/// use tine_values::{Seq, Tracker, Value};
///
/// let first: Seq<u64> = (0..100_000).collect();
/// let mut second = first.clone();
/// second.set(5, 0);
/// let mut tracker = Tracker::new();
/// tracker.add(&first);
/// let added = tracker.add(&second);
/// assert!(added.new_bytes < 4096 && added.shared_bytes > 700_000);
/// ```
#[derive(Clone, Debug, Default)]
pub struct Tracker {
    /// Bytes of each node that was seen and of those below it, as [`Added::shared_bytes`] counts
    /// them.
    seen: BTreeMap<usize, usize>,
    total: usize,
}

impl Tracker {
    /// Makes a tracker without versions.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a version. Visits only nodes that no version before it holds.
    pub fn add<V: Value>(&mut self, version: &V) -> Added {
        let mut added = Added::default();
        if let Some(root) = version.root() {
            self.visit(root, &mut added);
        }
        self.total += added.new_bytes;
        added
    }

    /// Bytes of all versions together.
    pub fn total_bytes(&self) -> usize {
        self.total
    }

    fn visit(&mut self, node: &impl Counted, added: &mut Added) -> usize {
        if node.address() == 0 {
            return 0;
        }
        if let Some(below) = self.seen.get(&node.address()) {
            added.shared_bytes = added.shared_bytes.saturating_add(*below);
            return *below;
        }
        let own = node.heap_bytes();
        added.new_bytes += own;
        let below = |sum: usize, child| sum.saturating_add(self.visit(child, added));
        let below = node.children().iter().fold(own, below);
        self.seen.insert(node.address(), below);
        below
    }
}

macro_rules! values {
    ($($value:ident<$($param:ident),+> of $node:ty, |$self:ident| $root:expr $(, $hasher:ident)?;)*) => {$(
        impl<$($param),+ $(, $hasher: Clone)?> Rooted for crate::$value<$($param),+ $(, $hasher)?> {
            type Node = $node;

            fn root(&self) -> Option<&$node> {
                let $self = self;
                Some(&$root)
            }
        }

        impl<$($param),+ $(, $hasher: Clone)?> Value for crate::$value<$($param),+ $(, $hasher)?> {}
    )*};
}

values! {
    Seq<T> of Node<crate::seq::shape::Sequence<T>>, |seq| seq.tree.root;
    OrdMap<K, V> of Node<crate::ord::Ordered<K, V>>, |map| map.tree.root;
    OrdSet<T> of Node<crate::ord::Ordered<T, ()>>, |set| set.map.tree.root;
    HashMap<K, V> of crate::hash::Node<K, V>, |map| map.trie.root, S;
    HashSet<T> of crate::hash::Node<T, ()>, |set| set.map.trie.root, S;
}

impl Rooted for crate::Bytes {
    type Node = Node<crate::seq::shape::Sequence<u8>>;

    fn root(&self) -> Option<&Self::Node> {
        self.as_tree().map(|seq| &seq.tree.root)
    }
}

impl Value for crate::Bytes {}

impl Rooted for crate::Text {
    type Node = Node<crate::text::Utf8>;

    fn root(&self) -> Option<&Self::Node> {
        self.as_tree().map(|tree| &tree.root)
    }
}

impl Value for crate::Text {}
