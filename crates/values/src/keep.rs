//! Values kept in a store, node by node: saving writes only the nodes that the store lacks.
//!
//! A node is written once, under the id that the store gives it; a [`Pool`] remembers which node in memory has which id
//! and holds it, so that it stays as it was written. A fork of a kept value then costs its changed nodes.
//! Loading shares what the pool knows already, and [`Kept::rebase_on`] restores sharing with values that it does not know.
//!
//! ```
//! use tine_values::Seq;
//! use tine_values::keep::{MemoryStore, Pool};
//!
//! let mut pool = Pool::new(MemoryStore::default());
//! let first: Seq<u64> = (0..100_000).collect();
//! let id = pool.save(&first)?;
//! let before = pool.store().bytes();
//! let mut second = first.clone();
//! second.push(7);
//! let other = pool.save(&second)?;
//! assert!(pool.store().bytes() - before < 4096);
//! assert_eq!(pool.read(&other, 100_000)?, Some(7)); // reads one path
//! assert_eq!(pool.load(&id, &Seq::new())?, first);
//! # Ok::<(), tine_values::keep::KeepError<std::convert::Infallible>>(())
//! ```

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::convert::Infallible;
use core::fmt;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::engine::chunk::Chunk;
use crate::engine::kind::Grow;
use crate::engine::node::{Inner, Node};
use crate::engine::path::HEIGHT_MAX;
use crate::usage::{Counted, Rooted, Value};

/// A place for nodes: bytes in, an id out, and back.
pub trait NodeStore {
    /// The name of a stored node.
    type Id: Clone + Ord + Serialize + DeserializeOwned;
    /// What may go wrong in the store.
    type Error;

    /// Stores the bytes of a node.
    ///
    /// # Errors
    ///
    /// When the store cannot take them.
    fn put(&mut self, node: &[u8]) -> Result<Self::Id, Self::Error>;

    /// The bytes of a node.
    ///
    /// # Errors
    ///
    /// When the store does not have it or cannot read it.
    fn get(&self, id: &Self::Id) -> Result<Vec<u8>, Self::Error>;
}

/// A store in memory; for tests, and as an example of a store.
#[derive(Clone, Debug, Default)]
pub struct MemoryStore {
    nodes: Vec<Vec<u8>>,
}

impl MemoryStore {
    /// Bytes of all nodes.
    pub fn bytes(&self) -> usize {
        self.nodes.iter().map(Vec::len).sum()
    }

    /// Number of nodes.
    pub fn nodes(&self) -> usize {
        self.nodes.len()
    }
}

impl NodeStore for MemoryStore {
    type Id = u64;
    type Error = Infallible;

    fn put(&mut self, node: &[u8]) -> Result<u64, Infallible> {
        self.nodes.push(node.to_vec());
        Ok(self.nodes.len() as u64 - 1)
    }

    fn get(&self, id: &u64) -> Result<Vec<u8>, Infallible> {
        let node = usize::try_from(*id).ok().and_then(|at| self.nodes.get(at));
        // Bytes that are no node make an error one level up, as in a store that lost them.
        Ok(node.cloned().unwrap_or_default())
    }
}

/// Why a value could not be kept or loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeepError<E> {
    /// The store failed.
    Store(E),
    /// An item could not be written in the store's format.
    Encode,
    /// Stored bytes are not a node of this type: the id is of another type, or the store is damaged.
    NotANode,
    /// Stored nodes are not in the order that this value needs: another hasher, another `Ord`, or damage.
    Order,
}

impl<E: fmt::Display> fmt::Display for KeepError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KeepError::Store(error) => write!(f, "the node store failed: {error}"),
            KeepError::Encode => f.write_str("an item could not be encoded; check its Serialize"),
            KeepError::NotANode => f.write_str(
                "stored bytes are not a node of this type; check that the id belongs to it",
            ),
            KeepError::Order => f.write_str(
                "stored items are not in order; load hash maps with the hasher that they were saved with",
            ),
        }
    }
}

impl<E: fmt::Debug + fmt::Display> core::error::Error for KeepError<E> {}

/// A stored node: items, or each child's length, mark and id.
#[derive(Serialize, Deserialize)]
enum Record<T, M, Id> {
    Leaf(Vec<T>),
    Inner(Vec<(u64, M, Id)>),
}

/// A node as it is stored: a leaf of items, or children with a mark each.
pub(crate) trait Stored: Counted + Clone + Default {
    type Item;
    type Mark;

    /// Inner nodes from the root to the deepest leaf at most.
    const LEVELS_MAX: usize;

    fn len(&self) -> usize;

    /// Whether the node may stand above `levels` of inner nodes; what only the whole tree tells is left to
    /// [`Restore::restore`].
    fn fits(&self, levels: usize) -> bool;

    /// The items of a leaf.
    fn items(&self) -> &[Self::Item];

    /// The mark of each child.
    fn marks(&self) -> Vec<Self::Mark>;

    /// A node over stored children; `None` when they are not those of one node.
    fn over(kids: Vec<(Self::Mark, Self)>) -> Option<Self>;
}

impl<K: Grow> Stored for Node<K> {
    type Item = K::Item;
    type Mark = K::Mark;

    const LEVELS_MAX: usize = HEIGHT_MAX;

    fn len(&self) -> usize {
        self.len()
    }

    fn fits(&self, levels: usize) -> bool {
        self.height() as usize <= levels
    }

    fn items(&self) -> &[K::Item] {
        self.items()
    }

    fn marks(&self) -> Vec<K::Mark> {
        match self {
            Node::Leaf(_) => Vec::new(),
            Node::Inner(inner) => inner.marks.iter().cloned().collect(),
        }
    }

    fn over(kids: Vec<(K::Mark, Self)>) -> Option<Self> {
        let height = kids.first()?.1.height();
        let fits = |kid: &Self| kid.len() > 0 && kid.height() == height;
        let whole = kids.len() <= K::FANOUT && (height as usize) < HEIGHT_MAX;
        let sound = whole && kids.iter().all(|(_, kid)| fits(kid));
        // Stored marks are for reading single items; those of a loaded node are made from its children.
        sound.then(|| Inner::over(kids.into_iter().map(|(_, kid)| kid)))
    }
}

/// A value that can be kept.
#[expect(private_bounds, reason = "sealed: a value is a tree of this crate")]
pub trait Kept: Value + Restore {
    /// Makes nodes that equal those of `base` one with them, as after a load; returns the bytes that are freed by it.
    /// Compares everything that is not shared yet: O(n).
    fn rebase_on(&mut self, base: &Self) -> usize;
}

/// A value that can be made of a tree.
pub(crate) trait Restore: Rooted<Node: Stored> + Sized {
    /// The nodes to write; of a value that lies inline, one made for the purpose.
    fn nodes(&self) -> Self::Node {
        self.root().cloned().unwrap_or_default()
    }

    /// A leaf of stored items; `None` when no leaf of this type holds such.
    fn leaf(like: &Self, items: Vec<<Self::Node as Stored>::Item>) -> Option<Self::Node>;

    /// The value over a tree that was loaded, with what else belongs to it (a hasher) as in `like`; `None` when the items
    /// are not in the value's order.
    fn restore(like: &Self, root: Self::Node) -> Option<Self>;
}

/// The values of one type that one store keeps: which node has which id, and every such node.
///
/// Nodes stay in memory as long as the pool holds them; [`Pool::forget`] lets go.
#[expect(private_bounds, reason = "sealed: a value is a tree of this crate")]
pub struct Pool<V: Restore, S: NodeStore> {
    store: S,
    ids: BTreeMap<usize, S::Id>,
    nodes: BTreeMap<S::Id, V::Node>,
}

type Item<V> = <<V as Rooted>::Node as Stored>::Item;
type Mark<V> = <<V as Rooted>::Node as Stored>::Mark;
type RecordOf<V, S> = Record<Item<V>, Mark<V>, <S as NodeStore>::Id>;

#[expect(private_bounds, reason = "sealed: a value is a tree of this crate")]
impl<V, S> Pool<V, S>
where
    V: Kept,
    V::Node: Stored<Item: Serialize + DeserializeOwned, Mark: Serialize + DeserializeOwned>,
    S: NodeStore,
{
    /// A pool over a store.
    pub fn new(store: S) -> Self {
        Pool { store, ids: BTreeMap::new(), nodes: BTreeMap::new() }
    }

    /// The store.
    pub fn store(&self) -> &S {
        &self.store
    }

    /// The store for changing.
    pub fn store_mut(&mut self) -> &mut S {
        &mut self.store
    }

    /// Lets go of all nodes. What is saved next is written anew, what is loaded next is read anew.
    pub fn forget(&mut self) {
        self.ids.clear();
        self.nodes.clear();
    }

    /// Writes the nodes of a value that the store lacks, children first, and returns the id of its root. A value that
    /// lies inline has no nodes and is written each time, as one leaf.
    ///
    /// # Errors
    ///
    /// When the store fails or an item cannot be encoded; what was written until then stays known.
    pub fn save(&mut self, value: &V) -> Result<S::Id, KeepError<S::Error>> {
        self.save_node(&value.nodes())
    }

    fn save_node(&mut self, node: &V::Node) -> Result<S::Id, KeepError<S::Error>> {
        if let Some(id) = self.ids.get(&node.address()) {
            return Ok(id.clone());
        }
        // Items are written where they lie; the stored form is that of [`Record`].
        let bytes = if node.kids().is_empty() {
            postcard::to_allocvec(&(0u32, node.items()))
        } else {
            let mut kids = Vec::with_capacity(node.kids().len());
            for (kid, mark) in node.kids().iter().zip(node.marks()) {
                kids.push((kid.len() as u64, mark, self.save_node(kid)?));
            }
            postcard::to_allocvec(&(1u32, kids))
        };
        let id =
            self.store.put(&bytes.map_err(|_| KeepError::Encode)?).map_err(KeepError::Store)?;
        self.know(&id, node);
        Ok(id)
    }

    fn know(&mut self, id: &S::Id, node: &V::Node) {
        if node.address() != 0 {
            self.ids.insert(node.address(), id.clone());
            self.nodes.insert(id.clone(), node.clone());
        }
    }

    /// The value under an id, sharing every node that the pool knows; `like` gives what is not stored (a map's hasher).
    ///
    /// # Errors
    ///
    /// When the store fails, or what it holds is not a value of this type in its order.
    pub fn load(&mut self, id: &S::Id, like: &V) -> Result<V, KeepError<S::Error>> {
        let root = self.load_node(id, like, V::Node::LEVELS_MAX)?;
        V::restore(like, root).ok_or(KeepError::Order)
    }

    fn record(&self, id: &S::Id) -> Result<RecordOf<V, S>, KeepError<S::Error>> {
        let bytes = self.store.get(id).map_err(KeepError::Store)?;
        postcard::from_bytes(&bytes).map_err(|_| KeepError::NotANode)
    }

    /// The node under an id, with `levels` of inner nodes at most.
    fn load_node(
        &mut self,
        id: &S::Id,
        like: &V,
        levels: usize,
    ) -> Result<V::Node, KeepError<S::Error>> {
        if let Some(node) = self.nodes.get(id) {
            return node.fits(levels).then(|| node.clone()).ok_or(KeepError::NotANode);
        }
        let node = match self.record(id)? {
            Record::Leaf(items) => V::leaf(like, items).ok_or(KeepError::NotANode)?,
            Record::Inner(stored) => {
                let below = levels.checked_sub(1).ok_or(KeepError::NotANode)?;
                let mut kids = Vec::with_capacity(stored.len());
                let mut len = 0usize;
                for (_, mark, id) in stored {
                    let kid = self.load_node(&id, like, below)?;
                    len = len.checked_add(kid.len()).ok_or(KeepError::NotANode)?;
                    isize::try_from(len).map_err(|_| KeepError::NotANode)?;
                    kids.push((mark, kid));
                }
                V::Node::over(kids).ok_or(KeepError::NotANode)?
            }
        };
        self.know(id, &node);
        Ok(node)
    }

    /// The leaf that `pick` leads to, reading one node a level; `pick` chooses among the lengths and marks of children.
    pub(crate) fn leaf(
        &self,
        id: &S::Id,
        mut pick: impl FnMut(&[(u64, Mark<V>, S::Id)]) -> usize,
    ) -> Result<Vec<Item<V>>, KeepError<S::Error>> {
        let mut id = id.clone();
        for _ in 0..=V::Node::LEVELS_MAX {
            match self.record(&id)? {
                Record::Leaf(items) => return Ok(items),
                Record::Inner(kids) if !kids.is_empty() => {
                    let step = pick(&kids).min(kids.len() - 1);
                    id = kids[step].2.clone();
                }
                Record::Inner(_) => break,
            }
        }
        Err(KeepError::NotANode)
    }
}

/// A leaf of the tree over stored items.
pub(crate) fn leaf<K: Grow>(items: Vec<K::Item>) -> Node<K> {
    Node::Leaf(Chunk::of(items.len(), &mut items.into_iter()))
}
