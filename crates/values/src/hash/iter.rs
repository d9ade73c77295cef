//! Iterators over a [`HashMap`](super::HashMap).

use super::entries::{Entries, EntriesMut, IntoEntries};
use super::trie::Trie;

crate::iterators::iterators!(Entries, EntriesMut, IntoEntries of K, V);

impl<'a, K, V> Iter<'a, K, V> {
    pub(super) fn new(trie: &'a Trie<K, V>) -> Self {
        Iter(trie.entries())
    }
}

impl<'a, K: Clone, V: Clone> IterMut<'a, K, V> {
    pub(super) fn new(trie: &'a mut Trie<K, V>) -> Self {
        IterMut { len: trie.root.len(), items: EntriesMut::new(&mut trie.root) }
    }
}

impl<K, V> IntoIter<K, V> {
    pub(super) fn new(trie: Trie<K, V>) -> Self {
        IntoIter(IntoEntries::new(trie.root))
    }
}
