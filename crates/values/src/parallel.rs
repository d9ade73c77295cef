//! Parallel iteration: leaves are distributed among threads.

use alloc::vec::Vec;
use rayon::iter::{IntoParallelIterator, ParallelIterator};

use crate::{HashMap, OrdMap, Seq};

/// Implements parallel iteration over the leaves of a collection.
macro_rules! leaves_in_parallel {
    ($value:ident<$($param:ident),+ $(; $hasher:ident)?>, $item:ty, $leaf:ty, |$self:ident| $leaves:expr, $each:expr) => {
        impl<'a, $($param: Sync + 'a),+ $(, $hasher: Sync)?> $value<$($param),+ $(, $hasher)?> {
            /// The entries in parallel, leaf by leaf, in order if the consumer keeps the order.
            pub fn par_iter(&'a self) -> impl ParallelIterator<Item = $item> {
                let $self = self;
                let leaves: Vec<&'a [$leaf]> = $leaves.collect();
                leaves.into_par_iter().flat_map_iter(|leaf| leaf.iter().map($each))
            }
        }
    };
}

leaves_in_parallel!(Seq<T>, &'a T, T, |seq| seq.tree.leaves(), |item| item);
leaves_in_parallel!(OrdMap<K, V>, (&'a K, &'a V), (K, V), |map| map.tree.leaves(), |(key, value)| (key, value));
leaves_in_parallel!(HashMap<K, V; S>, (&'a K, &'a V), (K, V), |map| map.trie.leaves(), |(key, value)| (key, value));
