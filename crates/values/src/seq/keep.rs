//! Sequences in a node store.

use alloc::vec::Vec;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Seq;
use crate::engine::rebase::rebase;
use crate::engine::tree::Tree;
use crate::keep::{KeepError, Kept, NodeStore, Pool, Restore, leaf};

impl<T: Clone> Restore for Seq<T> {
    fn leaf(_like: &Self, items: Vec<T>) -> Option<Self::Node> {
        Some(leaf(items))
    }

    fn restore(_like: &Self, root: Self::Node) -> Option<Self> {
        Some(Seq { tree: Tree { root } })
    }
}

impl<T: Clone + Eq> Kept for Seq<T> {
    fn rebase_on(&mut self, base: &Self) -> usize {
        rebase(&mut self.tree.root, &base.tree.root, &|a, b| a == b)
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
