//! Storing values node by node: saving writes only the nodes that the store lacks.
//!
//! A node is written once, under the id that the store gives it. A [`Pool`] remembers which node in
//! memory has which id, and holds the node, so that it stays as it was written. To save a fork of a
//! stored value then costs only its changed nodes. Loading shares the nodes that the pool knows,
//! and [`Persist::rebase_on`] restores sharing with values that it does not know.
//!
//! ```
//! use tine_values::Seq;
//! use tine_values::persist::{MemoryStore, Pool};
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
//! # Ok::<(), tine_values::persist::PersistError<std::convert::Infallible>>(())
//! ```

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::convert::Infallible;
use core::fmt;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::engine::chunk::Chunk;
use crate::engine::node::{Inner, Node};
use crate::engine::path::HEIGHT_MAX;
use crate::engine::shape::TreeMut;
use crate::usage::{Counted, Rooted, Value};

/// Stores nodes: it takes bytes and returns an id, and the reverse.
pub trait NodeStore {
    /// Names a stored node.
    type Id: Clone + Ord + Serialize + DeserializeOwned;
    /// What may go wrong in the store.
    type Error;

    /// Stores the bytes of a node.
    ///
    /// # Errors
    ///
    /// Fails if the store cannot store them.
    fn put(&mut self, node: &[u8]) -> Result<Self::Id, Self::Error>;

    /// The bytes of a node.
    ///
    /// # Errors
    ///
    /// Fails if the store does not have it or cannot read it.
    fn get(&self, id: &Self::Id) -> Result<Vec<u8>, Self::Error>;
}

/// A store in memory, for tests and as an example.
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
        // Empty bytes are not a node, so the caller reports an error, as for a store that lost the
        // node.
        Ok(node.cloned().unwrap_or_default())
    }
}

/// Why a value could not be saved or loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PersistError<E> {
    /// The store failed.
    Store(E),
    /// An item could not be written in the store's format.
    Encode,
    /// Stored bytes are not a node of this type: the id is of another type, or the store is
    /// damaged.
    NotANode,
    /// Stored nodes are not in the order that this value needs: another hasher, another `Ord`, or
    /// damage.
    Order,
}

impl<E: fmt::Display> fmt::Display for PersistError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PersistError::Store(error) => write!(f, "the node store failed: {error}"),
            PersistError::Encode => f.write_str("an item could not be encoded; check its Serialize"),
            PersistError::NotANode => f.write_str(
                "stored bytes are not a node of this type; check that the id belongs to it",
            ),
            PersistError::Order => f.write_str(
                "stored items are not in order; load hash maps with the hasher that they were saved with",
            ),
        }
    }
}

impl<E: fmt::Debug + fmt::Display> core::error::Error for PersistError<E> {}

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

    /// The most inner nodes on a path from the root to a leaf.
    const LEVELS_MAX: usize;

    fn len(&self) -> usize;

    /// Returns `true` if the node may stand above `levels` of inner nodes. [`Restore::restore`]
    /// checks what only the whole tree shows.
    fn fits(&self, levels: usize) -> bool;

    /// The items of a leaf.
    fn items(&self) -> &[Self::Item];

    /// The mark of each child.
    fn marks(&self) -> Vec<Self::Mark>;

    /// Makes a node over stored children. Returns `None` if they are not the children of one node.
    fn over(children: Vec<(Self::Mark, Self)>) -> Option<Self>;
}

impl<K: TreeMut> Stored for Node<K> {
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

    fn over(children: Vec<(K::Mark, Self)>) -> Option<Self> {
        let height = children.first()?.1.height();
        let fits = |child: &Self| child.len() > 0 && child.height() == height;
        let whole = children.len() <= K::FANOUT && (height as usize) < HEIGHT_MAX;
        let sound = whole && children.iter().all(|(_, child)| fits(child));
        // Stored marks serve reads of single items. Those of a loaded node are made from its
        // children.
        sound.then(|| Inner::over(children.into_iter().map(|(_, child)| child)))
    }
}

/// A value that can be stored.
#[expect(private_bounds, reason = "sealed: a value is a tree of this crate")]
pub trait Persist: Value + Restore {
    /// Replaces nodes that equal nodes of `base` by these, for instance after a load. Returns the
    /// bytes that this frees. Compares everything that is not shared yet: O(n).
    fn rebase_on(&mut self, base: &Self) -> usize;
}

/// A value that can be made from a tree.
pub(crate) trait Restore: Rooted<Node: Stored> + Sized {
    /// The nodes to write. For an inline value, a node is made.
    fn nodes(&self) -> Self::Node {
        self.root().cloned().unwrap_or_default()
    }

    /// Makes a leaf of stored items. Returns `None` if a leaf of this type cannot hold them.
    fn leaf(like: &Self, items: Vec<<Self::Node as Stored>::Item>) -> Option<Self::Node>;

    /// Makes a value of a tree that was loaded. What else belongs to it (a hasher) is taken from
    /// `like`. Returns `None` if the items are not in the value's order.
    fn restore(like: &Self, root: Self::Node) -> Option<Self>;
}

/// The values of one type in one store: which node has which id, and the nodes themselves.
///
/// Nodes stay in memory for as long as the pool holds them. [`Pool::forget`] releases them.
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
    V: Persist,
    V::Node: Stored<Item: Serialize + DeserializeOwned, Mark: Serialize + DeserializeOwned>,
    S: NodeStore,
{
    /// Makes a pool over a store.
    pub fn new(store: S) -> Self {
        Pool { store, ids: BTreeMap::new(), nodes: BTreeMap::new() }
    }

    /// The store.
    pub fn store(&self) -> &S {
        &self.store
    }

    /// The store, mutably.
    pub fn store_mut(&mut self) -> &mut S {
        &mut self.store
    }

    /// Releases all nodes. What is saved next is written again, and what is loaded next is read
    /// again.
    pub fn forget(&mut self) {
        self.ids.clear();
        self.nodes.clear();
    }

    /// Writes the nodes of a value that the store lacks, children first, and returns the id of its
    /// root. An inline value has no nodes and is written each time, as one leaf.
    ///
    /// # Errors
    ///
    /// Fails if the store fails or an item cannot be encoded. The pool still knows what was written
    /// before.
    pub fn save(&mut self, value: &V) -> Result<S::Id, PersistError<S::Error>> {
        self.save_node(&value.nodes())
    }

    fn save_node(&mut self, node: &V::Node) -> Result<S::Id, PersistError<S::Error>> {
        if let Some(id) = self.ids.get(&node.address()) {
            return Ok(id.clone());
        }
        // Items are encoded in place. The stored form is that of [`Record`].
        let bytes = if node.children().is_empty() {
            postcard::to_allocvec(&(0u32, node.items()))
        } else {
            let mut children = Vec::with_capacity(node.children().len());
            for (child, mark) in node.children().iter().zip(node.marks()) {
                children.push((child.len() as u64, mark, self.save_node(child)?));
            }
            postcard::to_allocvec(&(1u32, children))
        };
        let id = self
            .store
            .put(&bytes.map_err(|_| PersistError::Encode)?)
            .map_err(PersistError::Store)?;
        self.know(&id, node);
        Ok(id)
    }

    fn know(&mut self, id: &S::Id, node: &V::Node) {
        if node.address() != 0 {
            self.ids.insert(node.address(), id.clone());
            self.nodes.insert(id.clone(), node.clone());
        }
    }

    /// Loads the value under an id, sharing every node that the pool knows. What is not stored (a
    /// map's hasher) is taken from `like`.
    ///
    /// # Errors
    ///
    /// Fails if the store fails, or what it holds is not a value of this type in its order.
    pub fn load(&mut self, id: &S::Id, like: &V) -> Result<V, PersistError<S::Error>> {
        let root = self.load_node(id, like, V::Node::LEVELS_MAX)?;
        V::restore(like, root).ok_or(PersistError::Order)
    }

    fn record(&self, id: &S::Id) -> Result<RecordOf<V, S>, PersistError<S::Error>> {
        let bytes = self.store.get(id).map_err(PersistError::Store)?;
        postcard::from_bytes(&bytes).map_err(|_| PersistError::NotANode)
    }

    /// Loads the node under an id, with at most `levels` of inner nodes.
    fn load_node(
        &mut self,
        id: &S::Id,
        like: &V,
        levels: usize,
    ) -> Result<V::Node, PersistError<S::Error>> {
        if let Some(node) = self.nodes.get(id) {
            return node.fits(levels).then(|| node.clone()).ok_or(PersistError::NotANode);
        }
        let node = match self.record(id)? {
            Record::Leaf(items) => V::leaf(like, items).ok_or(PersistError::NotANode)?,
            Record::Inner(stored) => {
                let below = levels.checked_sub(1).ok_or(PersistError::NotANode)?;
                let mut children = Vec::with_capacity(stored.len());
                let mut len = 0usize;
                for (_, mark, id) in stored {
                    let child = self.load_node(&id, like, below)?;
                    len = len.checked_add(child.len()).ok_or(PersistError::NotANode)?;
                    isize::try_from(len).map_err(|_| PersistError::NotANode)?;
                    children.push((mark, child));
                }
                V::Node::over(children).ok_or(PersistError::NotANode)?
            }
        };
        self.know(id, &node);
        Ok(node)
    }

    /// Reads the leaf to which `pick` leads, one node for each level. `pick` chooses a child by
    /// lengths and marks.
    pub(crate) fn leaf(
        &self,
        id: &S::Id,
        mut pick: impl FnMut(&[(u64, Mark<V>, S::Id)]) -> usize,
    ) -> Result<Vec<Item<V>>, PersistError<S::Error>> {
        let mut id = id.clone();
        for _ in 0..=V::Node::LEVELS_MAX {
            match self.record(&id)? {
                Record::Leaf(items) => return Ok(items),
                Record::Inner(children) if !children.is_empty() => {
                    let step = pick(&children).min(children.len() - 1);
                    id = children[step].2.clone();
                }
                Record::Inner(_) => break,
            }
        }
        Err(PersistError::NotANode)
    }
}

/// Makes a leaf of stored items.
pub(crate) fn leaf<K: TreeMut>(items: Vec<K::Item>) -> Node<K> {
    Node::Leaf(Chunk::of(items.len(), &mut items.into_iter()))
}
