//! Parallel iteration: leaves are shared out among threads.

use alloc::vec::Vec;
use rayon::iter::{IntoParallelIterator, ParallelIterator};

use crate::{HashMap, OrdMap, Seq};

/// Implements parallel iteration over the leaves of a collection.
macro_rules! leaves_in_parallel {
    ($value:ident<$($param:ident),+ $(; $hasher:ident)?>, $item:ty, $leaf:ty, $each:expr) => {
        impl<'a, $($param: Sync + 'a),+ $(, $hasher: Sync)?> $value<$($param),+ $(, $hasher)?> {
            /// The entries in parallel, leaf by leaf; order is kept where the consumer keeps it.
            pub fn par_iter(&'a self) -> impl ParallelIterator<Item = $item> {
                let leaves: Vec<&'a [$leaf]> = self.tree.leaves().collect();
                leaves.into_par_iter().flat_map_iter(|leaf| leaf.iter().map($each))
            }
        }
    };
}

leaves_in_parallel!(Seq<T>, &'a T, T, |item| item);
leaves_in_parallel!(OrdMap<K, V>, (&'a K, &'a V), (K, V), |(key, value)| (key, value));
leaves_in_parallel!(HashMap<K, V; S>, (&'a K, &'a V), crate::hash::Slot<K, V>, |slot| (&slot.key, &slot.value));
