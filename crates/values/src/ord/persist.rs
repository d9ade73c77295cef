//! Ordered maps and sets in a node store.

use alloc::vec::Vec;
use core::borrow::Borrow;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{OrdMap, OrdSet};
use crate::engine::rebase::rebase;
use crate::engine::tree::Tree;
use crate::persist::{NodeStore, Persist, PersistError, Pool, Restore, leaf};

impl<K: Ord + Clone, V: Clone> Restore for OrdMap<K, V> {
    fn leaf(_like: &Self, items: Vec<(K, V)>) -> Option<Self::Node> {
        Some(leaf(items))
    }

    fn restore(_like: &Self, root: Self::Node) -> Option<Self> {
        let map = OrdMap { tree: Tree { root } };
        map.keys().is_sorted_by(|a, b| a < b).then_some(map)
    }
}

impl<K: Ord + Clone, V: Clone + Eq> Persist for OrdMap<K, V> {
    fn rebase_on(&mut self, base: &Self) -> usize {
        rebase(&mut self.tree.root, &base.tree.root, &|a, b| a == b)
    }
}

impl<T: Ord + Clone> Restore for OrdSet<T> {
    fn leaf(like: &Self, items: Vec<(T, ())>) -> Option<Self::Node> {
        OrdMap::leaf(&like.map, items)
    }

    fn restore(like: &Self, root: Self::Node) -> Option<Self> {
        OrdMap::restore(&like.map, root).map(|map| OrdSet { map })
    }
}

impl<T: Ord + Clone> Persist for OrdSet<T> {
    fn rebase_on(&mut self, base: &Self) -> usize {
        self.map.rebase_on(&base.map)
    }
}

impl<K, V, S> Pool<OrdMap<K, V>, S>
where
    K: Ord + Clone + Serialize + DeserializeOwned,
    V: Eq + Clone + Serialize + DeserializeOwned,
    S: NodeStore,
{
    /// Reads one value of a stored map, without loading the rest.
    ///
    /// # Errors
    ///
    /// Fails if the store fails, or what it holds is not a map of this type.
    pub fn read<Q: Ord + ?Sized>(
        &self,
        id: &S::Id,
        key: &Q,
    ) -> Result<Option<V>, PersistError<S::Error>>
    where
        K: Borrow<Q>,
    {
        let items = self
            .leaf(id, |children| children[1..].partition_point(|child| child.1.borrow() <= key))?;
        Ok(items.into_iter().find(|item| item.0.borrow() == key).map(|item| item.1))
    }
}

impl<T, S> Pool<OrdSet<T>, S>
where
    T: Ord + Clone + Serialize + DeserializeOwned,
    S: NodeStore,
{
    /// Returns `true` if a stored set holds an item, without loading the rest.
    ///
    /// # Errors
    ///
    /// Fails if the store fails, or what it holds is not a set of this type.
    pub fn contains<Q: Ord + ?Sized>(
        &self,
        id: &S::Id,
        item: &Q,
    ) -> Result<bool, PersistError<S::Error>>
    where
        T: Borrow<Q>,
    {
        let items = self
            .leaf(id, |children| children[1..].partition_point(|child| child.1.borrow() <= item))?;
        Ok(items.iter().any(|own| own.0.borrow() == item))
    }
}
