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
    pub fn finish_checkpoint(&mut self) {
        self.frozen.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_layer_is_cut_for_a_checkpoint_and_says_nothing_once_that_is_durable() {
        let mut overlay = Overlay::default();
        overlay.set("kept", Some(1));
        overlay.set("gone", None);
        let cut = overlay.cut();
        assert_eq!(cut, Layer::from([("kept", Some(1)), ("gone", None)]));
        overlay.set("kept", Some(2));
        let known = |overlay: &Overlay<&'static str, u32>| {
            ["kept", "gone", "other"].map(|key| overlay.get(key))
        };
        assert_eq!(known(&overlay), [Some(Some(2)), Some(None), None]);
        overlay.finish_checkpoint();
        assert_eq!(known(&overlay), [Some(Some(2)), None, None]);
        assert_eq!(overlay.cut(), Layer::from([("kept", Some(2))]));
    }
}
