//! Changes over what the system tree of the last checkpoint says: live ones, and those of the
//! checkpoint that is being written.

use std::collections::BTreeMap;

/// `None` marks a removed key.
type Layer<K, V> = BTreeMap<K, Option<V>>;

#[derive(Debug)]
pub(crate) struct Overlay<K, V> {
    live: Layer<K, V>,
    frozen: Layer<K, V>,
}

impl<K, V> Default for Overlay<K, V> {
    fn default() -> Self {
        Overlay { live: Layer::new(), frozen: Layer::new() }
    }
}

impl<K: Ord + Clone, V: Clone> Overlay<K, V> {
    pub fn set(&mut self, key: K, value: Option<V>) {
        self.live.insert(key, value);
    }

    /// `None`: the layers say nothing of the key.
    pub fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<Option<V>>
    where
        K: std::borrow::Borrow<Q>,
    {
        self.live.get(key).or_else(|| self.frozen.get(key)).cloned()
    }

    /// A checkpoint cuts here; what it has to bring into the system tree.
    pub fn cut(&mut self) -> Layer<K, V> {
        self.frozen = std::mem::take(&mut self.live);
        self.frozen.clone()
    }

    /// The checkpoint is durable.
    pub fn settle(&mut self) {
        self.frozen.clear();
    }
}
