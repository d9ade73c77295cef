//! Sequences in a node store.

use alloc::vec::Vec;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Seq;
use crate::engine::rebase::rebase;
use crate::engine::tree::Tree;
use crate::persist::{NodeStore, Persist, PersistError, Pool, Restore, leaf};

impl<T: Clone> Restore for Seq<T> {
    fn leaf(_like: &Self, items: Vec<T>) -> Option<Self::Node> {
        Some(leaf(items))
    }

    fn restore(_like: &Self, root: Self::Node) -> Option<Self> {
        Some(Seq { tree: Tree { root } })
    }
}

impl<T: Clone + Eq> Persist for Seq<T> {
    fn rebase_on(&mut self, base: &Self) -> usize {
        rebase(&mut self.tree.root, &base.tree.root, &|a, b| a == b)
    }
}

impl<T: Clone + Serialize + DeserializeOwned + Eq, S: NodeStore> Pool<Seq<T>, S> {
    /// Reads one item of a stored sequence, without loading the rest.
    ///
    /// # Errors
    ///
    /// Fails if the store fails, or what it holds is not a sequence of this type.
    pub fn read(&self, id: &S::Id, index: u64) -> Result<Option<T>, PersistError<S::Error>> {
        let mut at = index;
        let mut items = self.leaf(id, |children| {
            let mut step = 0;
            while step + 1 < children.len() && at >= children[step].0 {
                at -= children[step].0;
                step += 1;
            }
            step
        })?;
        let slot = usize::try_from(at).ok().filter(|at| *at < items.len());
        Ok(slot.map(|at| items.swap_remove(at)))
    }
}
