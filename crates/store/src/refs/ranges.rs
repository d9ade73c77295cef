//! Changes of counts over ranges of blocks: touching ranges split, sums of zero vanish.

use std::collections::BTreeMap;

#[derive(Debug, Default, Clone)]
pub(crate) struct RangeDeltas {
    /// Start → (end, delta); ranges don't overlap and no delta is zero.
    map: BTreeMap<u64, (u64, i64)>,
}

impl RangeDeltas {
    /// The delta at `addr`, and where it may change next.
    pub fn at(&self, addr: u64) -> (i64, u64) {
        if let Some((_, (end, delta))) = self.map.range(..=addr).next_back()
            && *end > addr
        {
            return (*delta, *end);
        }
        (0, self.map.range(addr + 1..).next().map_or(u64::MAX, |(start, _)| *start))
    }

    pub fn add(&mut self, start: u64, end: u64, delta: i64) {
        self.split_at(start);
        self.split_at(end);
        let mut at = start;
        while at < end {
            let (old, until) = self.at(at);
            let until = until.min(end);
            if old + delta == 0 {
                self.map.remove(&at);
            } else {
                self.map.insert(at, (until, old + delta));
            }
            at = until;
        }
        self.join(start);
        self.join(end);
    }

    /// Makes `addr` the start of a range if it lies inside one.
    fn split_at(&mut self, addr: u64) {
        if let Some((start, (end, delta))) =
            self.map.range(..addr).next_back().map(|(s, v)| (*s, *v))
            && end > addr
        {
            self.map.insert(start, (addr, delta));
            self.map.insert(addr, (end, delta));
        }
    }

    /// Joins the range that starts at `addr` to the one before it, if they agree.
    fn join(&mut self, addr: u64) {
        let Some((end, delta)) = self.map.get(&addr).copied() else { return };
        if let Some((_, before)) = self.map.range_mut(..addr).next_back()
            && before.0 == addr
            && before.1 == delta
        {
            before.0 = end;
            self.map.remove(&addr);
        }
    }

    /// How many ranges there are.
    pub fn len(&self) -> usize {
        self.map.len()
    }

    pub fn iter(&self) -> impl Iterator<Item = (u64, u64, i64)> {
        self.map.iter().map(|(start, (end, delta))| (*start, *end, *delta))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn range_deltas_equal_a_sum_per_block(adds in prop::collection::vec((0..200u64, 1..40u64, -2..3i64), 0..80)) {
            let mut deltas = RangeDeltas::default();
            let mut model = vec![0i64; 256];
            for (start, len, delta) in adds {
                if delta == 0 { continue }
                deltas.add(start, start + len, delta);
                model[start as usize..(start + len) as usize].iter_mut().for_each(|d| *d += delta);
            }
            for (addr, expected) in model.iter().enumerate() {
                let (delta, until) = deltas.at(addr as u64);
                prop_assert_eq!(delta, *expected);
                prop_assert!(until > addr as u64);
                prop_assert!((addr as u64..until.min(256)).all(|a| model[a as usize] == delta));
            }
            prop_assert!(deltas.iter().all(|(s, e, d)| s < e && d != 0));
        }
    }
}
