//! A hash map as the tree sees it: entries in the order of 32 bits of their hash; marks are such hashes.
//!
//! Entries of one hash lie in one leaf, in any order, so that a look-up reads one leaf and a fork's diff pairs leaves.

use core::borrow::Borrow;
use core::hash::{BuildHasher, Hash};
use core::marker::PhantomData;

use crate::engine::kind::{Grow, Kind, leaf_items};
use crate::engine::node::Inner;
use crate::engine::path::Seek;

/// Bytes of a full leaf.
const LEAF_BYTES: usize = 1024;

#[derive(Clone)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct Slot<K, V> {
    pub(crate) hash: u32,
    pub(crate) key: K,
    pub(crate) value: V,
}

pub(crate) struct Hashed<K, V>(PhantomData<(K, V)>);

impl<K, V> Kind for Hashed<K, V> {
    type Item = Slot<K, V>;
    type Mark = u32;

    const LEAF: usize = leaf_items(size_of::<Slot<K, V>>(), LEAF_BYTES);
    /// Hashes do not arrive in order; and a run of one hash must not be cut.
    const APPENDS: bool = false;
}

impl<K: Clone, V: Clone> Grow for Hashed<K, V> {
    fn mark(first: &Slot<K, V>) -> u32 {
        first.hash
    }

    fn cut(items: &[Slot<K, V>], near: usize) -> usize {
        let Some(hash) = items.get(near).map(|slot| slot.hash) else { return items.len() };
        match items[..near].partition_point(|slot| slot.hash < hash) {
            0 => items.partition_point(|slot| slot.hash <= hash),
            cut => cut,
        }
    }
}

/// The bits of a hash that entries are ordered by, mixed for hashers that leave some bits idle.
pub(crate) fn rank<S: BuildHasher, Q: Hash + ?Sized>(hasher: &S, key: &Q) -> u32 {
    let hash = hasher.hash_one(key);
    ((hash ^ (hash >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as u32
}

/// Finds a key by its hash.
pub(crate) struct Hit<'a, Q: ?Sized> {
    pub(crate) hash: u32,
    pub(crate) key: &'a Q,
}

impl<K: Borrow<Q>, V, Q: Eq + ?Sized> Seek<Hashed<K, V>> for Hit<'_, Q> {
    #[inline]
    fn child(&mut self, inner: &Inner<Hashed<K, V>>) -> usize {
        inner.marks[1..].partition_point(|mark| *mark <= self.hash)
    }

    #[inline]
    fn slot(&mut self, items: &[Slot<K, V>]) -> Result<usize, usize> {
        let mut at = items.partition_point(|slot| slot.hash < self.hash);
        while let Some(slot) = items.get(at).filter(|slot| slot.hash == self.hash) {
            if slot.key.borrow() == self.key {
                return Ok(at);
            }
            at += 1;
        }
        Err(at)
    }
}
