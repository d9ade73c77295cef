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
use core::borrow::Borrow;
use core::convert::Infallible;
use core::fmt;
use core::hash::{BuildHasher, Hash};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::engine::chunk::Chunk;
use crate::engine::kind::{Grow, Kind};
use crate::engine::node::{FANOUT, Inner, Node};
use crate::engine::path::HEIGHT_MAX;
use crate::engine::rebase::rebase;
use crate::engine::tree::Tree;
use crate::hash::{HashMap, Hashed, Slot};
use crate::ord::{OrdMap, Ordered};
use crate::seq::Seq;
use crate::seq::kind::Sequence;
use crate::usage::{Rooted, Value};

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

/// A stored node: items, or the height and each child's length, mark and id.
#[derive(Serialize, Deserialize)]
enum Record<T, M, Id> {
    Leaf(Vec<T>),
    Inner(u32, Vec<(u64, M, Id)>),
}

/// A value that can be kept.
#[expect(private_bounds, reason = "sealed: a value is a tree of this crate")]
pub trait Kept: Value + Restore {
    /// Makes nodes that equal those of `base` one with them, as after a load; returns the bytes that are freed by it.
    /// Compares everything that is not shared yet: O(n).
    fn rebase_on(&mut self, base: &Self) -> usize;
}

/// A value that can be made of a tree.
pub(crate) trait Restore: Rooted<Kind: Grow> {
    /// The value over a tree that was loaded, with what else belongs to it (a hasher) as in `like`; `None` when the items
    /// are not in the value's order.
    fn restore(like: &Self, tree: Tree<Self::Kind>) -> Option<Self>
    where
        Self: Sized;
}

/// The values of one type that one store keeps: which node has which id, and every such node.
///
/// Nodes stay in memory as long as the pool holds them; [`Pool::forget`] lets go.
#[expect(private_bounds, reason = "sealed: a value is a tree of this crate")]
pub struct Pool<V: Restore, S: NodeStore> {
    store: S,
    ids: BTreeMap<usize, S::Id>,
    nodes: BTreeMap<S::Id, Node<V::Kind>>,
}

type RecordOf<V, S> = Record<
    <<V as Rooted>::Kind as Kind>::Item,
    <<V as Rooted>::Kind as Kind>::Mark,
    <S as NodeStore>::Id,
>;

#[expect(private_bounds, reason = "sealed: a value is a tree of this crate")]
impl<V, S> Pool<V, S>
where
    V: Kept,
    V::Kind: Grow<Item: Serialize + DeserializeOwned, Mark: Serialize + DeserializeOwned>,
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

    /// Writes the nodes of a value that the store lacks, children first, and returns the id of its root.
    ///
    /// # Errors
    ///
    /// When the store fails or an item cannot be encoded; what was written until then stays known.
    pub fn save(&mut self, value: &V) -> Result<S::Id, KeepError<S::Error>> {
        let empty = Node::default();
        self.save_node(value.tree().map_or(&empty, |tree| &tree.root))
    }

    fn save_node(&mut self, node: &Node<V::Kind>) -> Result<S::Id, KeepError<S::Error>> {
        if let Some(id) = self.ids.get(&node.address()) {
            return Ok(id.clone());
        }
        let bytes = match node {
            // Items and marks are written where they lie; the stored form is that of [`Record`].
            Node::Leaf(chunk) => postcard::to_allocvec(&(0u32, chunk.items())),
            Node::Inner(inner) => {
                let mut kids = Vec::with_capacity(inner.kids.len());
                for (kid, mark) in inner.kids.iter().zip(&inner.marks) {
                    kids.push((kid.len() as u64, mark, self.save_node(kid)?));
                }
                postcard::to_allocvec(&(1u32, inner.height, kids))
            }
        };
        let id =
            self.store.put(&bytes.map_err(|_| KeepError::Encode)?).map_err(KeepError::Store)?;
        if node.address() != 0 {
            self.ids.insert(node.address(), id.clone());
            self.nodes.insert(id.clone(), node.clone());
        }
        Ok(id)
    }

    /// The value under an id, sharing every node that the pool knows; `like` gives what is not stored (a map's hasher).
    ///
    /// # Errors
    ///
    /// When the store fails, or what it holds is not a value of this type in its order.
    pub fn load(&mut self, id: &S::Id, like: &V) -> Result<V, KeepError<S::Error>> {
        let root = self.load_node(id, HEIGHT_MAX as u32)?;
        V::restore(like, Tree { root }).ok_or(KeepError::Order)
    }

    fn record(&self, id: &S::Id) -> Result<RecordOf<V, S>, KeepError<S::Error>> {
        let bytes = self.store.get(id).map_err(KeepError::Store)?;
        postcard::from_bytes(&bytes).map_err(|_| KeepError::NotANode)
    }

    fn load_node(&mut self, id: &S::Id, below: u32) -> Result<Node<V::Kind>, KeepError<S::Error>> {
        if let Some(node) = self.nodes.get(id) {
            // A node is at its height wherever it is named.
            return if node.height() < below { Ok(node.clone()) } else { Err(KeepError::NotANode) };
        }
        let node = match self.record(id)? {
            Record::Leaf(items) => Node::Leaf(Chunk::of(items.len(), &mut items.into_iter())),
            Record::Inner(height, stored) => {
                if height == 0 || height >= below || stored.is_empty() || stored.len() > FANOUT {
                    return Err(KeepError::NotANode);
                }
                let mut kids = Vec::with_capacity(stored.len());
                let mut len = 0usize;
                for (_, _, id) in stored {
                    let kid = self.load_node(&id, height)?;
                    len = len.checked_add(kid.len()).ok_or(KeepError::NotANode)?;
                    if kid.len() == 0 || kid.height() + 1 != height || isize::try_from(len).is_err()
                    {
                        return Err(KeepError::NotANode);
                    }
                    kids.push(kid);
                }
                Inner::over(kids)
            }
        };
        if node.address() != 0 {
            self.ids.insert(node.address(), id.clone());
            self.nodes.insert(id.clone(), node.clone());
        }
        Ok(node)
    }

    /// The leaf that `pick` leads to, reading one node a level; `pick` chooses among the lengths and marks of children.
    fn leaf(
        &self,
        id: &S::Id,
        mut pick: impl FnMut(&[(u64, <V::Kind as Kind>::Mark, S::Id)]) -> usize,
    ) -> Result<Vec<<V::Kind as Kind>::Item>, KeepError<S::Error>> {
        let mut id = id.clone();
        let mut below = HEIGHT_MAX as u32;
        loop {
            match self.record(&id)? {
                Record::Leaf(items) => return Ok(items),
                Record::Inner(height, kids) if height < below && !kids.is_empty() => {
                    below = height;
                    let step = pick(&kids).min(kids.len() - 1);
                    id = kids[step].2.clone();
                }
                Record::Inner(..) => return Err(KeepError::NotANode),
            }
        }
    }
}

impl<T: Clone + Serialize + DeserializeOwned + Eq, S: NodeStore> Pool<Seq<T>, S> {
    /// One item of a kept sequence, without loading the rest.
    ///
    /// # Errors
    ///
    /// When the store fails, or what it holds is not a sequence of this type.
    pub fn read(&self, id: &S::Id, index: u64) -> Result<Option<T>, KeepError<S::Error>> {
        let mut at = index;
        let mut items = self.leaf(id, |kids| {
            let mut step = 0;
            while step + 1 < kids.len() && at >= kids[step].0 {
                at -= kids[step].0;
                step += 1;
            }
            step
        })?;
        let slot = usize::try_from(at).ok().filter(|at| *at < items.len());
        Ok(slot.map(|at| items.swap_remove(at)))
    }
}

impl<K, V, S> Pool<OrdMap<K, V>, S>
where
    K: Ord + Clone + Serialize + DeserializeOwned,
    V: Eq + Clone + Serialize + DeserializeOwned,
    S: NodeStore,
{
    /// One value of a kept map, without loading the rest.
    ///
    /// # Errors
    ///
    /// When the store fails, or what it holds is not a map of this type.
    pub fn read<Q: Ord + ?Sized>(
        &self,
        id: &S::Id,
        key: &Q,
    ) -> Result<Option<V>, KeepError<S::Error>>
    where
        K: Borrow<Q>,
    {
        let items = self.leaf(id, |kids| kids[1..].partition_point(|kid| kid.1.borrow() <= key))?;
        Ok(items.into_iter().find(|item| item.0.borrow() == key).map(|item| item.1))
    }
}

impl<K, V, H, S> Pool<HashMap<K, V, H>, S>
where
    K: Hash + Eq + Clone + Serialize + DeserializeOwned,
    V: Eq + Clone + Serialize + DeserializeOwned,
    H: BuildHasher + Clone,
    S: NodeStore,
{
    /// One value of a kept map, without loading the rest; `hasher` is the one that the map was saved with.
    ///
    /// # Errors
    ///
    /// When the store fails, or what it holds is not a map of this type.
    pub fn read<Q: Hash + Eq + ?Sized>(
        &self,
        id: &S::Id,
        key: &Q,
        hasher: &H,
    ) -> Result<Option<V>, KeepError<S::Error>>
    where
        K: Borrow<Q>,
    {
        let hash = crate::hash::rank(hasher, key);
        let items = self.leaf(id, |kids| kids[1..].partition_point(|kid| kid.1 <= hash))?;
        Ok(items.into_iter().find(|slot| slot.key.borrow() == key).map(|slot| slot.value))
    }
}

impl<T: Clone> Restore for Seq<T> {
    fn restore(_like: &Self, tree: Tree<Sequence<T>>) -> Option<Self> {
        Some(Seq { tree })
    }
}

impl<T: Clone + Eq> Kept for Seq<T> {
    fn rebase_on(&mut self, base: &Self) -> usize {
        rebase(&mut self.tree.root, &base.tree.root, &|a, b| a == b)
    }
}

impl<K: Ord + Clone, V: Clone> Restore for OrdMap<K, V> {
    fn restore(_like: &Self, tree: Tree<Ordered<K, V>>) -> Option<Self> {
        let map = OrdMap { tree };
        map.keys().is_sorted_by(|a, b| a < b).then_some(map)
    }
}

impl<K: Ord + Clone, V: Clone + Eq> Kept for OrdMap<K, V> {
    fn rebase_on(&mut self, base: &Self) -> usize {
        rebase(&mut self.tree.root, &base.tree.root, &|a, b| a == b)
    }
}

impl<K: Hash + Eq + Clone, V: Clone, H: BuildHasher + Clone> Restore for HashMap<K, V, H> {
    fn restore(like: &Self, tree: Tree<Hashed<K, V>>) -> Option<Self> {
        let map = HashMap { tree, hasher: like.hasher.clone() };
        let ranked = |slot: &Slot<K, V>| slot.hash == crate::hash::rank(&map.hasher, &slot.key);
        let sound = map.tree.items().map(|slot| slot.hash).is_sorted()
            && map.tree.items().all(ranked)
            && whole_runs(&map.tree.root, &mut None);
        sound.then_some(map)
    }
}

/// Whether no run of one hash is cut by a leaf's end, and no key stands twice in one.
fn whole_runs<K: Eq, V>(node: &Node<Hashed<K, V>>, last: &mut Option<u32>) -> bool {
    let items = node.items();
    if let (Some(first), Some(end)) = (items.first(), items.last()) {
        let once = |at: usize| {
            let same = items[..at].iter().rev().take_while(|slot| slot.hash == items[at].hash);
            same.filter(|slot| slot.key == items[at].key).count() == 0
        };
        let whole = *last != Some(first.hash) && (1..items.len()).all(once);
        *last = Some(end.hash);
        return whole;
    }
    node.kids().iter().all(|kid| whole_runs(kid, last))
}

impl<K: Hash + Eq + Clone, V: Clone + Eq, H: BuildHasher + Clone> Kept for HashMap<K, V, H> {
    fn rebase_on(&mut self, base: &Self) -> usize {
        rebase(&mut self.tree.root, &base.tree.root, &|a, b| {
            a.hash == b.hash && a.key == b.key && a.value == b.value
        })
    }
}
