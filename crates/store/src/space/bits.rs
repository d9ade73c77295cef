//! A segment's bitmap: one bit a block, 16384 of them.

use crate::format::layout::{CHUNK_BLOCKS, SEGMENT_BLOCKS};

const WORDS: usize = (SEGMENT_BLOCKS / 64) as usize;
const CHUNK_WORDS: usize = (CHUNK_BLOCKS / 64) as usize;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Bits(Box<[u64]>);

impl Bits {
    pub const BYTES: usize = WORDS * 8;

    pub fn clear() -> Bits {
        Bits(vec![0; WORDS].into())
    }

    pub fn from_bytes(bytes: &[u8]) -> Bits {
        Bits(
            bytes
                .chunks_exact(8)
                .map(|c| u64::from_le_bytes(c.try_into().unwrap_or_default()))
                .collect(),
        )
    }

    pub fn to_bytes(&self) -> Vec<u8> {
        self.0.iter().flat_map(|word| word.to_le_bytes()).collect()
    }

    pub fn get(&self, at: u64) -> bool {
        self.0[(at / 64) as usize] >> (at % 64) & 1 != 0
    }

    /// Sets or clears a run; how many bits changed.
    pub fn set(&mut self, at: u64, len: u64, value: bool) -> u64 {
        let mut changed = 0;
        let (mut at, end) = (at, (at + len).min(SEGMENT_BLOCKS));
        while at < end {
            let count = (64 - at % 64).min(end - at);
            let mask = (u64::MAX >> (64 - count)) << (at % 64);
            let word = &mut self.0[(at / 64) as usize];
            let before = word.count_ones();
            if value {
                *word |= mask
            } else {
                *word &= !mask
            }
            changed += u64::from(word.count_ones().abs_diff(before));
            at += count;
        }
        changed
    }

    pub fn zeros(&self) -> u64 {
        self.0.iter().map(|w| u64::from(w.count_zeros())).sum()
    }

    /// Zeros in the chunks of a mask.
    pub fn zeros_in(&self, chunks: u64) -> u64 {
        let words = self.0.chunks_exact(CHUNK_WORDS).enumerate();
        let chosen = words.filter(|(chunk, _)| chunks >> chunk & 1 != 0);
        chosen.flat_map(|(_, words)| words).map(|word| u64::from(word.count_zeros())).sum()
    }

    /// Runs of at least `blocks` zeros in the chunks of a mask.
    pub fn zeros_of_chunks(&self, chunks: u64, blocks: u64) -> Vec<(u64, u64)> {
        let mut runs: Vec<(u64, u64)> = Vec::new();
        let chosen = (0..64).filter(|chunk| chunks >> chunk & 1 != 0);
        let places = chosen.flat_map(|chunk| chunk * CHUNK_BLOCKS..(chunk + 1) * CHUNK_BLOCKS);
        for at in places.filter(|at| !self.get(*at)) {
            match runs.last_mut() {
                Some(last) if last.0 + last.1 == at => last.1 += 1,
                _ => runs.push((at, 1)),
            }
        }
        runs.retain(|run| run.1 >= blocks);
        runs
    }

    pub fn chunk_is_clear(&self, chunk: u64) -> bool {
        let first = chunk as usize * CHUNK_WORDS;
        self.0[first..first + CHUNK_WORDS].iter().all(|w| *w == 0)
    }

    /// The first run of `wanted` zeros, or the longest run there is. Chunks in `skip` don't count.
    pub fn find_zeros(&self, skip: u64, wanted: u64) -> Option<(u64, u64)> {
        let mut longest = (0, 0);
        let mut run = (0, 0);
        let word_at =
            |i: usize| if skip >> (i / CHUNK_WORDS) & 1 != 0 { u64::MAX } else { self.0[i] };
        for i in 0..WORDS {
            let (word, mut bit) = (word_at(i), 0);
            while bit < 64 {
                let rest = word >> bit;
                if rest & 1 != 0 {
                    bit += u64::from(rest.trailing_ones());
                    run.1 = 0;
                    continue;
                }
                let zeros = u64::from(rest.trailing_zeros()).min(64 - bit);
                if run.1 == 0 {
                    run.0 = i as u64 * 64 + bit;
                }
                run.1 += zeros;
                bit += zeros;
                if run.1 >= wanted {
                    return Some(run);
                }
                if run.1 > longest.1 {
                    longest = run;
                }
            }
        }
        (longest.1 > 0).then_some(longest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_bitmap_finds_the_first_fitting_run(taken in prop::collection::vec((0..SEGMENT_BLOCKS, 1..600u64), 0..60), wanted in 1..2000u64) {
            let mut bits = Bits::clear();
            let mut model = vec![false; SEGMENT_BLOCKS as usize];
            for (at, len) in taken {
                bits.set(at, len, true);
                model.iter_mut().skip(at as usize).take(len as usize).for_each(|b| *b = true);
            }
            prop_assert_eq!(bits.zeros(), model.iter().filter(|b| !**b).count() as u64);
            prop_assert_eq!(&Bits::from_bytes(&bits.to_bytes()), &bits);
            let mut runs = Vec::new();
            let mut start = None;
            for (i, busy) in model.iter().chain([&true]).enumerate() {
                match (busy, start) {
                    (false, None) => start = Some(i),
                    (true, Some(s)) => { runs.push((s as u64, (i - s) as u64)); start = None; }
                    _ => {}
                }
            }
            let found = bits.find_zeros(0, wanted);
            match runs.iter().find(|r| r.1 >= wanted) {
                Some(run) => prop_assert!(found.is_some_and(|f| f.0 == run.0 && f.1 >= wanted)),
                None => prop_assert_eq!(found.map(|f| f.1), runs.iter().map(|r| r.1).max()),
            }
        }
    }
}
