//! Sorted (key, value) records of one node, back to back in one buffer.

use crate::error::Error;
use crate::format::extent::Extent;
use std::cmp::Ordering;

/// Bytes that a record takes on disk besides its key suffix and value.
pub(crate) const RECORD_OVERHEAD: usize = 4;

#[derive(Debug, Clone, Default)]
pub(crate) struct Entries {
    /// Per record: key, then value.
    bytes: Vec<u8>,
    /// Per record: start in `bytes`, and length of its key.
    slots: Vec<(u32, u16)>,
    /// Per record: the first bytes of its key after those that all keys begin with. A search looks
    /// here first, where many lie in one line of the processor's cache.
    heads: Vec<u32>,
    /// How many bytes `heads` leave out: all keys have them in common, and perhaps more.
    alike: usize,
}

/// Orders keys as far as four bytes can, after the first `alike`.
fn head(key: &[u8], alike: usize) -> u32 {
    let tail = key.get(alike..).unwrap_or_default();
    match tail.first_chunk() {
        Some(four) => u32::from_be_bytes(*four),
        None => tail.iter().zip([24, 16, 8]).map(|(byte, shift)| u32::from(*byte) << shift).sum(),
    }
}

impl Entries {
    /// The extents among the values.
    pub fn extents(&self) -> impl Iterator<Item = crate::Result<Extent>> {
        let values = (0..self.len()).map(|i| self.value(i));
        let extents = values.filter(|value| Extent::peek_blocks(value) > 0);
        extents.map(|value| Extent::decode(value).map_err(|m| Error::damaged(m.0)))
    }

    /// Bytes of the records that name no data.
    pub fn plain_bytes(&self) -> u64 {
        let plain = (0..self.len()).filter(|&i| Extent::peek_blocks(self.value(i)) == 0);
        plain.map(|i| (self.key(i).len() + self.value(i).len()) as u64).sum()
    }

    pub fn with_capacity(bytes: usize, records: usize) -> Entries {
        Entries {
            bytes: Vec::with_capacity(bytes),
            slots: Vec::with_capacity(records),
            heads: Vec::with_capacity(records),
            alike: 0,
        }
    }

    /// A copy with room for an eighth more, so that the first change does not move all of it again.
    pub fn roomy_copy(&self) -> Entries {
        let more = |len: usize| len + len / 8 + 1;
        let mut copy = Entries::with_capacity(more(self.bytes.len()), more(self.len()));
        copy.bytes.extend_from_slice(&self.bytes);
        copy.slots.extend_from_slice(&self.slots);
        copy.heads.extend_from_slice(&self.heads);
        copy.alike = self.alike;
        copy
    }

    pub fn len(&self) -> usize {
        self.slots.len()
    }

    fn end(&self, i: usize) -> usize {
        self.slots.get(i + 1).map_or(self.bytes.len(), |s| s.0 as usize)
    }

    pub fn key(&self, i: usize) -> &[u8] {
        let (start, key) = self.slots[i];
        &self.bytes[start as usize..start as usize + usize::from(key)]
    }

    pub fn value(&self, i: usize) -> &[u8] {
        let (start, key) = self.slots[i];
        &self.bytes[start as usize + usize::from(key)..self.end(i)]
    }

    /// Bytes of key and value of a record.
    pub fn record_bytes(&self, i: usize) -> usize {
        self.end(i) - self.slots[i].0 as usize
    }

    /// Bytes of all keys and values.
    pub fn bytes_len(&self) -> usize {
        self.bytes.len()
    }

    /// The record with the key, or the place where it would stand.
    pub fn search(&self, key: &[u8]) -> Result<usize, usize> {
        self.search_from(0, key)
    }

    /// As [`Entries::search`], where all records before `from` have lower keys.
    pub fn search_from(&self, from: usize, key: &[u8]) -> Result<usize, usize> {
        let wanted = head(key, self.alike);
        let mut low = from + self.heads[from..].partition_point(|head| *head < wanted);
        let mut high = low;
        while self.heads.get(high) == Some(&wanted) {
            high += 1;
        }
        while low < high {
            let mid = (low + high) / 2;
            match self.key(mid).cmp(key) {
                Ordering::Less => low = mid + 1,
                Ordering::Greater => high = mid,
                Ordering::Equal => return Ok(mid),
            }
        }
        Err(self.place_without_head(from, low, key))
    }

    /// The place of a key that is not here: `place`, unless it begins otherwise than all keys do.
    fn place_without_head(&self, from: usize, place: usize, key: &[u8]) -> usize {
        if self.alike == 0 || from == self.len() {
            return place;
        }
        let alike = &self.key(from)[..self.alike];
        match key[..key.len().min(self.alike)].cmp(alike) {
            Ordering::Less => from,
            Ordering::Equal => place,
            Ordering::Greater => self.len(),
        }
    }

    /// Computes the heads anew, as far to the right in the keys as they can be.
    pub fn sharpen(&mut self) {
        let alike = self.prefix_len();
        if alike != self.alike || self.heads.len() != self.len() {
            self.alike = alike;
            self.heads = (0..self.len()).map(|i| head(self.key(i), alike)).collect();
        }
    }

    /// Takes the head of a record in that has its place already.
    fn insert_head(&mut self, i: usize) {
        let one = if i == 0 { self.len() - 1 } else { 0 };
        let both = self.key(i).iter().zip(self.key(one));
        let alike = both.take(self.alike).take_while(|(a, b)| a == b).count();
        if alike < self.alike {
            self.heads.insert(i, 0);
            self.alike = alike;
            self.heads = (0..self.len()).map(|i| head(self.key(i), alike)).collect();
        } else {
            self.heads.insert(i, head(self.key(i), self.alike));
        }
    }

    /// Puts a record at the end; the caller keeps the order.
    pub fn push(&mut self, prefix: &[u8], suffix: &[u8], value: &[u8]) {
        self.slots.push((self.bytes.len() as u32, (prefix.len() + suffix.len()) as u16));
        self.bytes.extend_from_slice(prefix);
        self.bytes.extend_from_slice(suffix);
        self.bytes.extend_from_slice(value);
        self.insert_head(self.len() - 1);
    }

    /// Puts a record at the end whose value begins with `tag`.
    pub fn push_tagged(&mut self, key: &[u8], tag: u8, value: &[u8]) {
        self.slots.push((self.bytes.len() as u32, key.len() as u16));
        self.bytes.extend_from_slice(key);
        self.bytes.push(tag);
        self.bytes.extend_from_slice(value);
        self.insert_head(self.len() - 1);
    }

    /// Puts some records of another node at the end.
    pub fn extend(&mut self, other: &Entries, records: std::ops::Range<usize>) {
        if records.is_empty() {
            return;
        }
        let start = other.slots[records.start].0;
        let shift = self.bytes.len() as u32;
        self.bytes.extend_from_slice(&other.bytes[start as usize..other.end(records.end - 1)]);
        let first = self.len();
        self.slots.extend(other.slots[records.clone()].iter().map(|s| (s.0 - start + shift, s.1)));
        let begins = |entries: &Entries, i: usize| entries.key(i)[..entries.alike].to_vec();
        if first > 0 && begins(self, 0) != begins(other, records.start) {
            self.heads.clear();
            self.sharpen();
        } else {
            self.alike = other.alike;
            self.heads.extend_from_slice(&other.heads[records]);
        }
    }

    pub fn insert(&mut self, i: usize, key: &[u8], value: &[u8]) {
        if i == self.slots.len() {
            return self.push(&[], key, value);
        }
        let start = self.slots[i].0;
        let grown = key.len() + value.len();
        self.open_gap(start as usize, 0, grown);
        self.bytes[start as usize..][..key.len()].copy_from_slice(key);
        self.bytes[start as usize + key.len()..][..value.len()].copy_from_slice(value);
        self.slots.insert(i, (start, key.len() as u16));
        self.slots[i + 1..].iter_mut().for_each(|s| s.0 += grown as u32);
        self.insert_head(i);
    }

    /// Makes the `old` bytes at `at` into `new` bytes, moving what follows.
    fn open_gap(&mut self, at: usize, old: usize, new: usize) {
        let tail = at + old..self.bytes.len();
        if new > old {
            self.bytes.resize(self.bytes.len() + new - old, 0);
        }
        self.bytes.copy_within(tail.clone(), at + new);
        self.bytes.truncate(at + new + tail.len());
    }

    pub fn replace(&mut self, i: usize, value: &[u8]) {
        let (start, key) = self.slots[i];
        let at = start as usize + usize::from(key);
        let old = self.end(i) - at;
        if old != value.len() {
            self.open_gap(at, old, value.len());
            let shift = value.len().wrapping_sub(old) as u32;
            self.slots[i + 1..].iter_mut().for_each(|s| s.0 = s.0.wrapping_add(shift));
        }
        self.bytes[at..at + value.len()].copy_from_slice(value);
    }

    pub fn remove(&mut self, i: usize) {
        let (start, end) = (self.slots[i].0 as usize, self.end(i));
        self.bytes.drain(start..end);
        self.slots.remove(i);
        self.heads.remove(i);
        self.slots[i..].iter_mut().for_each(|s| s.0 -= (end - start) as u32);
    }

    /// Changes a key in place; the caller keeps the order.
    pub fn replace_key(&mut self, i: usize, key: &[u8]) {
        let value = self.value(i).to_vec();
        self.remove(i);
        self.insert(i, key, &value);
    }

    pub fn split_off(&mut self, i: usize) -> Entries {
        let at = self.slots.get(i).map_or(self.bytes.len(), |s| s.0 as usize);
        let bytes = self.bytes.split_off(at);
        let mut slots = self.slots.split_off(i);
        slots.iter_mut().for_each(|s| s.0 -= at as u32);
        let heads = self.heads.split_off(i);
        let mut right = Entries { bytes, slots, heads, alike: self.alike };
        self.sharpen();
        right.sharpen();
        right
    }

    pub fn append(&mut self, other: &Entries) {
        self.extend(other, 0..other.len());
    }

    /// Bytes that all keys have in common: those of the first and the last have.
    pub fn prefix_len(&self) -> usize {
        if self.slots.is_empty() {
            return 0;
        }
        let (first, last) = (self.key(0), self.key(self.len() - 1));
        first.iter().zip(last).take_while(|(a, b)| a == b).count()
    }

    /// Bytes on disk, without the node's header and with keys cut by their common prefix.
    pub fn disk_bytes(&self) -> usize {
        let prefix = self.prefix_len();
        self.bytes.len() + self.len() * RECORD_OVERHEAD + prefix - self.len() * prefix
    }

    /// Where to split so that both halves take about the same space. At least one record goes to
    /// each side.
    pub fn middle(&self, per_record: usize) -> usize {
        let weight = |i: usize| self.slots[i].0 as usize + i * per_record;
        let half = (self.bytes.len() + self.len() * per_record) / 2;
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let mid = (low + high) / 2;
            if weight(mid) < half { low = mid + 1 } else { high = mid }
        }
        // `low` begins at or past the middle; the record before it may straddle the middle.
        let nearer = low > 0 && low < self.len() && half - weight(low - 1) < weight(low) - half;
        (if nearer || low == self.len() { low - 1 } else { low }).clamp(1, self.len() - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    #[test]
    fn a_roomy_copy_takes_a_record_where_it_lies() {
        let mut entries = Entries::default();
        (0..40u8).for_each(|i| entries.push(b"k", &[i], b"a value"));
        entries.sharpen();
        let mut copy = entries.roomy_copy();
        let place = copy.bytes.as_ptr();
        assert_eq!(copy.search(b"k\x07"), Ok(7));
        copy.insert(40, b"k\x28", b"a value");
        assert_eq!((copy.bytes.as_ptr(), copy.search(b"k\x28")), (place, Ok(40)));
        assert_eq!((copy.key(39), copy.value(39)), (entries.key(39), entries.value(39)));
    }

    proptest! {
        #[test]
        fn a_search_finds_the_place_of_any_key(
            keys in prop::collection::btree_set(prop::collection::vec(0..3u8, 0..9), 0..40),
            inserted in prop::collection::vec(prop::collection::vec(0..3u8, 0..9), 0..20),
            sought in prop::collection::vec(prop::collection::vec(0..3u8, 0..9), 40),
        ) {
            let mut entries = Entries::default();
            let mut model: Vec<Vec<u8>> = keys.into_iter().collect();
            model.iter().for_each(|key| entries.push(&[], key, b"v"));
            entries.sharpen();
            for key in inserted {
                if let Err(i) = entries.search(&key) {
                    entries.insert(i, &key, b"w");
                    model.insert(model.binary_search(&key).unwrap_err(), key);
                }
            }
            // As nodes are cut and merged.
            let half = model.len() / 2;
            let mut left = entries.clone();
            let right = left.split_off(half);
            left.append(&right);
            for key in &sought {
                prop_assert_eq!(left.search(key), model.binary_search(key));
            }
            for key in sought {
                prop_assert_eq!(entries.search(&key), model.binary_search(&key));
                if model.get(half).is_some_and(|middle| *middle <= key) {
                    prop_assert_eq!(entries.search_from(half, &key), model.binary_search(&key));
                }
            }
        }

        #[test]
        fn records_behave_as_a_sorted_map(ops in prop::collection::vec((any::<u8>(), prop::collection::vec(any::<u8>(), 0..6), 0..4u8), 1..200)) {
            let mut entries = Entries::default();
            let mut model = BTreeMap::new();
            for (key, value, what) in ops {
                let key = vec![b'k', key];
                match (entries.search(&key), what) {
                    (Ok(i), 0) => { entries.remove(i); model.remove(&key); }
                    (Ok(i), _) => { entries.replace(i, &value); model.insert(key, value); }
                    (Err(i), _) => { entries.insert(i, &key, &value); model.insert(key, value); }
                }
                let got: Vec<_> = (0..entries.len()).map(|i| (entries.key(i).to_vec(), entries.value(i).to_vec())).collect();
                prop_assert_eq!(got, model.clone().into_iter().collect::<Vec<_>>());
            }
            if entries.len() > 1 {
                let at = entries.middle(RECORD_OVERHEAD);
                let mut left = entries.clone();
                let right = left.split_off(at);
                prop_assert!(left.len() > 0 && right.len() > 0);
                left.append(&right);
                prop_assert_eq!(left.bytes, entries.bytes);
            }
        }
    }
}
