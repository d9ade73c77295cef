//! The stored form of a trie's nodes: entries without hashes, children with the slot at which each
//! begins.

use alloc::vec::Vec;
use core::borrow::Borrow;
use core::hash::{BuildHasher, Hash};
use core::ptr;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::leaf::Leaf;
use super::map::HashMap;
use super::node::{DEPTH_MAX, Node, SLOTS, slot, span};
use super::set::HashSet;
use super::trie::{Trie, rank};
use crate::persist::{NodeStore, Persist, PersistError, Pool, Restore, Stored};

impl<K: Clone, V: Clone> Stored for Node<K, V> {
    type Item = (K, V);
    type Mark = u8;

    const LEVELS_MAX: usize = DEPTH_MAX as usize;

    fn len(&self) -> usize {
        self.len()
    }

    fn fits(&self, _levels: usize) -> bool {
        true
    }

    fn items(&self) -> &[(K, V)] {
        match self {
            Node::Leaf(leaf) => leaf.entries(),
            _ => &[],
        }
    }

    fn marks(&self) -> Vec<u8> {
        let Some(slots) = self.slots() else { return Vec::new() };
        let begins = |at: &usize| *at == 0 || slots[*at] != slots[*at - 1];
        (0..SLOTS).filter(begins).map(|at| at as u8).collect()
    }

    fn over(children: Vec<(u8, Self)>) -> Option<Self> {
        // Each child covers an aligned run of slots. Only a leaf covers several.
        let ends = children.iter().skip(1).map(|child| usize::from(child.0)).chain([SLOTS]);
        let fits = |((start, child), end): (&(u8, Self), usize)| {
            let start = usize::from(*start);
            let width = end.checked_sub(start).filter(|width| width.is_power_of_two());
            let leaf = matches!(child, Node::Leaf(_));
            width.is_some_and(|width| start % width == 0 && (leaf || width == 1 && child.len() > 0))
        };
        if children.first()?.0 != 0 || !children.iter().zip(ends).all(fits) {
            return None;
        }
        let mut slots = [0; SLOTS];
        for (start, _) in &children[1..] {
            slots[usize::from(*start)..].iter_mut().for_each(|child| *child += 1);
        }
        Some(Node::over(slots, children.into_iter().map(|(_, child)| child)))
    }
}

impl<K: Hash + Eq + Clone, V: Clone, H: BuildHasher + Clone> Restore for HashMap<K, V, H> {
    fn leaf(like: &Self, items: Vec<(K, V)>) -> Option<Node<K, V>> {
        let (mut leaf, room) = (Leaf::Empty, items.len());
        for entry in items {
            leaf.push(rank(&like.hasher, &entry.0), entry, room);
        }
        Some(Node::Leaf(leaf))
    }

    fn restore(like: &Self, root: Node<K, V>) -> Option<Self> {
        let map = HashMap { trie: Trie { root }, hasher: like.hasher.clone() };
        // A key must be where a look-up for it ends.
        let in_place = |entry: &(K, V)| {
            let found = map.trie.find(rank(&map.hasher, &entry.0), &entry.0);
            found.is_some_and(|found| ptr::eq(found, entry))
        };
        let sound =
            deepest(&map.trie.root) <= DEPTH_MAX as usize && map.trie.entries().all(in_place);
        sound.then_some(map)
    }
}

/// Branches between this node and the deepest leaf.
fn deepest<K, V>(node: &Node<K, V>) -> usize {
    node.children().iter().map(|child| deepest(child) + 1).max().unwrap_or(0)
}

impl<K: Hash + Eq + Clone, V: Clone + Eq, H: BuildHasher + Clone> Persist for HashMap<K, V, H> {
    fn rebase_on(&mut self, base: &Self) -> usize {
        rebase(&mut self.trie.root, &base.trie.root)
    }
}

impl<T: Hash + Eq + Clone, H: BuildHasher + Clone> Restore for HashSet<T, H> {
    fn leaf(like: &Self, items: Vec<(T, ())>) -> Option<Node<T, ()>> {
        HashMap::leaf(&like.map, items)
    }

    fn restore(like: &Self, root: Self::Node) -> Option<Self> {
        HashMap::restore(&like.map, root).map(|map| HashSet { map })
    }
}

impl<T: Hash + Eq + Clone, H: BuildHasher + Clone> Persist for HashSet<T, H> {
    fn rebase_on(&mut self, base: &Self) -> usize {
        self.map.rebase_on(&base.map)
    }
}

/// Replaces nodes that equal the nodes of `base` at the same place. Returns the bytes that this
/// shares.
fn rebase<K: Eq + Clone, V: Eq + Clone>(node: &mut Node<K, V>, base: &Node<K, V>) -> usize {
    if node.same(base) {
        return 0;
    }
    let mut bytes = 0;
    let equal = match (node.slots(), base.slots()) {
        (None, None) => node.items() == base.items(),
        (Some(ours), Some(theirs)) => {
            let alike = ours == theirs;
            // Children that cover the same slots.
            let pairs: Vec<(u8, u8)> = (0..SLOTS as u32)
                .filter(|at| span(ours, *at) == span(theirs, *at) && span(ours, *at).start == *at)
                .map(|at| (ours[at as usize], theirs[at as usize]))
                .collect();
            let Some(branch) = node.branch_mut() else { return 0 };
            for (ours, theirs) in pairs {
                let theirs = &base.children()[usize::from(theirs)];
                bytes += rebase(&mut branch.children[usize::from(ours)], theirs);
            }
            alike && node.children().iter().zip(base.children()).all(|(a, b)| a.same(b))
        }
        _ => false,
    };
    if equal {
        bytes += node.heap_bytes();
        *node = base.clone();
    }
    bytes
}

impl<K, V, H, S> Pool<HashMap<K, V, H>, S>
where
    K: Hash + Eq + Clone + Serialize + DeserializeOwned,
    V: Eq + Clone + Serialize + DeserializeOwned,
    H: BuildHasher + Clone,
    S: NodeStore,
{
    /// Reads one value of a stored map, without loading the rest. `hasher` is the one with which
    /// the map was saved.
    ///
    /// # Errors
    ///
    /// Fails if the store fails, or what it holds is not a map of this type.
    pub fn read<Q: Hash + Eq + ?Sized>(
        &self,
        id: &S::Id,
        key: &Q,
        hasher: &H,
    ) -> Result<Option<V>, PersistError<S::Error>>
    where
        K: Borrow<Q>,
    {
        let items = self.leaf(id, towards(rank(hasher, key)))?;
        Ok(items.into_iter().find(|entry| entry.0.borrow() == key).map(|entry| entry.1))
    }
}

impl<T, H, S> Pool<HashSet<T, H>, S>
where
    T: Hash + Eq + Clone + Serialize + DeserializeOwned,
    H: BuildHasher + Clone,
    S: NodeStore,
{
    /// Returns `true` if a stored set holds an item, without loading the rest. `hasher` is the one
    /// with which the set was saved.
    ///
    /// # Errors
    ///
    /// Fails if the store fails, or what it holds is not a set of this type.
    pub fn contains<Q: Hash + Eq + ?Sized>(
        &self,
        id: &S::Id,
        item: &Q,
        hasher: &H,
    ) -> Result<bool, PersistError<S::Error>>
    where
        T: Borrow<Q>,
    {
        let items = self.leaf(id, towards(rank(hasher, item)))?;
        Ok(items.iter().any(|own| own.0.borrow() == item))
    }
}

/// Chooses the child on the path to a hash. It is called once for each level.
fn towards<Id>(hash: u32) -> impl FnMut(&[(u64, u8, Id)]) -> usize {
    let mut depth = 0;
    move |children| {
        let slot = slot(hash, depth);
        depth += 1;
        children[1..].partition_point(|child| u32::from(child.1) <= slot)
    }
}
