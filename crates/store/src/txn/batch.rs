//! Puts and deletes of one transaction, gathered as the journal will hold them.
//!
//! A put appends its bytes and remembers where they are; nothing is sorted before the commit, which
//! needs the changes in the order of their keys and of each key only the last.

use crate::format::change::{encode_delete, encode_put};
use crate::format::codec::Writer;
use crate::tree::Change;

/// Where one change lies in the bytes.
#[derive(Debug, Clone, Copy)]
struct Slot {
    key: usize,
    key_len: u16,
    /// Length of the value; a delete has none.
    value_len: Option<u16>,
}

/// Bytes between key and value: the value's length.
const GAP_BYTES: usize = 2;

#[derive(Default)]
pub(crate) struct Batch {
    encoded: Writer,
    /// Changes in `encoded`.
    made: u32,
    slots: Vec<Slot>,
}

impl std::fmt::Debug for Batch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Batch({} changes, {} bytes)", self.slots.len(), self.encoded.0.len())
    }
}

impl Batch {
    pub fn put(&mut self, key: &[u8], value: &[u8]) {
        let at = encode_put(&mut self.encoded, key, value);
        self.note(at, key, Some(value.len() as u16));
    }

    pub fn delete(&mut self, key: &[u8]) {
        let at = encode_delete(&mut self.encoded, key);
        self.note(at, key, None);
    }

    fn note(&mut self, at: usize, key: &[u8], value_len: Option<u16>) {
        self.made += 1;
        self.slots.push(Slot { key: at, key_len: key.len() as u16, value_len });
    }

    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// The changes, one after the other, as the journal holds them, and how many that are.
    pub fn encoded(&self) -> (&[u8], u32) {
        (&self.encoded.0, self.made)
    }

    /// Whether it puts nothing.
    pub fn only_deletes(&self) -> bool {
        self.slots.iter().all(|slot| slot.value_len.is_none())
    }

    fn key(&self, slot: &Slot) -> &[u8] {
        &self.encoded.0[slot.key..slot.key + usize::from(slot.key_len)]
    }

    fn change(&self, slot: &Slot) -> Change<'_> {
        let start = slot.key + usize::from(slot.key_len) + GAP_BYTES;
        let value = |len| &self.encoded.0[start..start + usize::from(len)];
        Change { key: self.key(slot), value: slot.value_len.map(value) }
    }

    /// The changes: in the order in which they were made, or sorted.
    pub fn changes(&self) -> impl DoubleEndedIterator<Item = Change<'_>> {
        self.slots.iter().map(|slot| self.change(slot))
    }

    /// Of a sorted batch, the changes from `key` on.
    pub fn changes_from(&self, key: &[u8]) -> impl Iterator<Item = Change<'_>> {
        let first = self.slots.partition_point(|slot| self.key(slot) < key);
        self.slots[first..].iter().map(|slot| self.change(slot))
    }

    /// Of a sorted batch, the change of `key`.
    pub fn change_of(&self, key: &[u8]) -> Option<Change<'_>> {
        self.changes_from(key).next().filter(|change| change.key == key)
    }

    /// Sorts the changes by key and leaves the last of each. What the journal will hold stays.
    pub fn sort(&mut self) {
        let [first, rest @ ..] = self.slots.as_slice() else { return };
        // Keys of one table begin alike: what tells them apart comes after that.
        let first = self.key(first);
        let alike = rest.iter().fold(first.len(), |alike, slot| {
            let both = first[..alike].iter().zip(self.key(slot));
            both.take_while(|(a, b)| a == b).count()
        });
        let head = |slot: &Slot| {
            let mut head = [0; 8];
            let tail = &self.key(slot)[alike..];
            let len = tail.len().min(8);
            head[..len].copy_from_slice(&tail[..len]);
            u64::from_be_bytes(head)
        };
        let mut order: Vec<(u64, Slot)> =
            self.slots.iter().map(|slot| (head(slot), *slot)).collect();
        order.sort_unstable_by(|(head, slot), (other_head, other)| {
            // Of one key the later change lies after the earlier.
            let keys = || self.key(slot).cmp(self.key(other)).then(slot.key.cmp(&other.key));
            head.cmp(other_head).then_with(keys)
        });
        let mut sorted: Vec<Slot> = Vec::with_capacity(order.len());
        for (_, slot) in order {
            match sorted.last_mut() {
                Some(last) if self.key(last) == self.key(&slot) => *last = slot,
                _ => sorted.push(slot),
            }
        }
        self.slots = sorted;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #[test]
        fn a_batch_sorts_to_the_last_change_of_each_key(
            changes in prop::collection::vec((prop::collection::vec(0..3u8, 0..12), any::<Option<u8>>()), 0..60),
        ) {
            let mut batch = Batch::default();
            let mut model = BTreeMap::new();
            for (key, value) in &changes {
                match value {
                    Some(value) => batch.put(key, &[*value]),
                    None => batch.delete(key),
                }
                model.insert(key.clone(), value.map(|v| vec![v]));
            }
            batch.sort();
            let sorted: Vec<_> = batch
                .changes()
                .map(|change| (change.key.to_vec(), change.value.map(<[u8]>::to_vec)))
                .collect();
            prop_assert_eq!(sorted, model.into_iter().collect::<Vec<_>>());
        }
    }
}
