//! Changes of counts over ranges of blocks: touching ranges split, sums of zero vanish.

use crate::format::block::BlockAddr;
use std::collections::BTreeMap;
use std::ops::Range;

#[derive(Debug, Default, Clone)]
pub(crate) struct RangeDeltas {
    /// By their starts; ranges don't overlap and no delta is zero.
    map: BTreeMap<BlockAddr, Delta>,
}

/// What a range changes by, and the address after it.
#[derive(Debug, Clone, Copy)]
struct Delta {
    end: BlockAddr,
    delta: i64,
}

impl RangeDeltas {
    /// The delta at `addr`, and where it may change next.
    pub fn at(&self, addr: BlockAddr) -> (i64, BlockAddr) {
        if let Some((_, range)) = self.map.range(..=addr).next_back()
            && range.end > addr
        {
            return (range.delta, range.end);
        }
        (0, self.map.range(addr + 1..).next().map_or(BlockAddr::MAX, |(start, _)| *start))
    }

    pub fn add(&mut self, blocks: Range<BlockAddr>, delta: i64) {
        let Range { start, end } = blocks;
        self.split_at(start);
        self.split_at(end);
        let mut at = start;
        while at < end {
            let (old, until) = self.at(at);
            let until = until.min(end);
            if old + delta == 0 {
                self.map.remove(&at);
            } else {
                self.map.insert(at, Delta { end: until, delta: old + delta });
            }
            at = until;
        }
        self.join(start);
        self.join(end);
    }

    /// Makes `addr` the start of a range if it lies inside one.
    fn split_at(&mut self, addr: BlockAddr) {
        if let Some((_, before)) = self.map.range_mut(..addr).next_back()
            && before.end > addr
        {
            let behind = *before;
            before.end = addr;
            self.map.insert(addr, behind);
        }
    }

    /// Joins the range that starts at `addr` to the one before it, if they agree.
    fn join(&mut self, addr: BlockAddr) {
        let Some(range) = self.map.get(&addr).copied() else { return };
        if let Some((_, before)) = self.map.range_mut(..addr).next_back()
            && before.end == addr
            && before.delta == range.delta
        {
            before.end = range.end;
            self.map.remove(&addr);
        }
    }

    /// How many ranges there are.
    pub fn len(&self) -> usize {
        self.map.len()
    }

    /// Each range with its delta.
    pub fn iter(&self) -> impl Iterator<Item = (Range<BlockAddr>, i64)> {
        self.map.iter().map(|(start, range)| (*start..range.end, range.delta))
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
                deltas.add(BlockAddr(start)..BlockAddr(start + len), delta);
                model[start as usize..(start + len) as usize].iter_mut().for_each(|d| *d += delta);
            }
            for (addr, expected) in (0..).zip(&model) {
                let (delta, until) = deltas.at(BlockAddr(addr));
                prop_assert_eq!(delta, *expected);
                prop_assert!(until > BlockAddr(addr));
                prop_assert!((addr..until.0.min(256)).all(|a| model[a as usize] == delta));
            }
            prop_assert!(deltas.iter().all(|(range, delta)| !range.is_empty() && delta != 0));
        }
    }
}
