//! A segment's bitmap: one bit a block, 16384 of them.

use super::span::Span;
use crate::format::chunks::Chunks;
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

    /// Sets or clears a run. Returns how many bits changed.
    pub fn set(&mut self, span: Span, value: bool) -> u64 {
        let mut changed = 0;
        let (mut at, end) = (span.at, span.end().min(SEGMENT_BLOCKS));
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

    /// Zeros in some chunks.
    pub fn zeros_in(&self, chunks: Chunks) -> u64 {
        let words = (0..).zip(self.0.chunks_exact(CHUNK_WORDS));
        let chosen = words.filter(|(chunk, _)| chunks.contains(*chunk));
        chosen.flat_map(|(_, words)| words).map(|word| u64::from(word.count_zeros())).sum()
    }

    /// Runs of at least `blocks_min` zeros in some chunks.
    pub fn zeros_of_chunks(&self, chunks: Chunks, blocks_min: u64) -> Vec<Span> {
        let mut spans: Vec<Span> = Vec::new();
        let places =
            chunks.iter().flat_map(|chunk| chunk * CHUNK_BLOCKS..(chunk + 1) * CHUNK_BLOCKS);
        for at in places.filter(|at| !self.get(*at)) {
            match spans.last_mut() {
                Some(last) if last.end() == at => last.blocks += 1,
                _ => spans.push(Span { at, blocks: 1 }),
            }
        }
        spans.retain(|span| span.blocks >= blocks_min);
        spans
    }

    pub fn chunk_is_clear(&self, chunk: u64) -> bool {
        let first = chunk as usize * CHUNK_WORDS;
        self.0[first..first + CHUNK_WORDS].iter().all(|w| *w == 0)
    }

    /// Pairs of zeros, at an even place and the odd one after it, in the words that hold a run,
    /// without chunks in `skip`.
    pub fn pairs_near(&self, span: Span, skip: Chunks) -> u64 {
        let words = (span.at / 64) as usize..span.end().div_ceil(64).min(WORDS as u64) as usize;
        words.map(|i| u64::from(self.word(i, skip).pairs().0.count_ones())).sum()
    }

    /// Pairs of zeros of which a part lies in a run.
    pub fn pairs_touched(&self, span: Span) -> u64 {
        let both = |pair: &u64| !self.get(2 * pair) && !self.get(2 * pair + 1);
        (span.at / 2..span.end().div_ceil(2)).filter(both).count() as u64
    }

    /// A zero that belongs to no pair. Chunks in `skip` don't count.
    pub fn find_single(&self, skip: Chunks) -> Option<u64> {
        let words = (0..WORDS).map(|i| (i as u64, self.word(i, skip)));
        words.into_iter().find_map(|(i, word)| {
            let single = !word.0 & word.paired().0;
            (single != 0).then(|| i * 64 + u64::from(single.trailing_zeros()))
        })
    }

    /// A word, or ones where it is to be skipped.
    fn word(&self, i: usize, skip: Chunks) -> Word {
        Word(if skip.contains((i / CHUNK_WORDS) as u64) { u64::MAX } else { self.0[i] })
    }

    /// The first run of `wanted` zeros, or the longest run there is. Chunks in `skip` don't count.
    pub fn find_zeros(&self, skip: Chunks, wanted: u64) -> Option<Span> {
        find(|i| self.word(i, skip), wanted)
    }

    /// As [`Bits::find_zeros`], of zeros in pairs only.
    pub fn find_pairs(&self, skip: Chunks, wanted: u64) -> Option<Span> {
        find(|i| self.word(i, skip).paired(), wanted)
    }
}

/// The bits of 64 blocks.
#[derive(Clone, Copy)]
struct Word(u64);

impl Word {
    /// The even places of pairs of zeros.
    fn pairs(self) -> Word {
        const EVEN: u64 = 0x5555_5555_5555_5555;
        Word(!self.0 & (!self.0 >> 1) & EVEN)
    }

    /// A word in which only those zeros are left that stand in pairs.
    fn paired(self) -> Word {
        let Word(even) = self.pairs();
        Word(!(even | even << 1))
    }
}

fn find(word_at: impl Fn(usize) -> Word, wanted: u64) -> Option<Span> {
    let mut longest = Span { at: 0, blocks: 0 };
    let mut run = Span { at: 0, blocks: 0 };
    for i in 0..WORDS {
        let (Word(word), mut bit) = (word_at(i), 0);
        while bit < 64 {
            let rest = word >> bit;
            if rest & 1 != 0 {
                bit += u64::from(rest.trailing_ones());
                run.blocks = 0;
                continue;
            }
            let zeros = u64::from(rest.trailing_zeros()).min(64 - bit);
            if run.blocks == 0 {
                run.at = i as u64 * 64 + bit;
            }
            run.blocks += zeros;
            bit += zeros;
            if run.blocks >= wanted {
                return Some(run);
            }
            if run.blocks > longest.blocks {
                longest = run;
            }
        }
    }
    (longest.blocks > 0).then_some(longest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Runs of free blocks among those of which `counts` holds.
    fn runs(model: &[bool], counts: impl Fn(usize) -> bool) -> Vec<Span> {
        let mut runs: Vec<Span> = Vec::new();
        let mut open = false;
        for (at, busy) in model.iter().enumerate() {
            let free = !busy && counts(at);
            match runs.last_mut() {
                Some(run) if free && open => run.blocks += 1,
                _ if free => runs.push(Span { at: at as u64, blocks: 1 }),
                _ => {}
            }
            open = free;
        }
        runs
    }

    proptest! {
        #[test]
        fn a_bitmap_finds_the_first_fitting_run(
            changes in prop::collection::vec((0..SEGMENT_BLOCKS, 1..600u64, prop::bool::weighted(0.8)), 0..60),
            chunks: u64,
            wanted in 1..2000u64,
        ) {
            let chunks = Chunks(chunks);
            let mut bits = Bits::clear();
            let mut model = vec![false; SEGMENT_BLOCKS as usize];
            for (at, len, busy) in changes {
                let mut changed = 0;
                for one in model.iter_mut().skip(at as usize).take(len as usize) {
                    changed += u64::from(*one != busy);
                    *one = busy;
                }
                prop_assert_eq!(bits.set(Span { at, blocks: len }, busy), changed);
            }
            let is_in = |set: Chunks, at: usize| set.contains(at as u64 / CHUNK_BLOCKS);
            let chosen = |at: usize| is_in(chunks, at);
            let free = |of: &dyn Fn(usize) -> bool| runs(&model, of).iter().map(|run| run.blocks).sum::<u64>();
            prop_assert_eq!((bits.zeros(), bits.zeros_in(chunks)), (free(&|_| true), free(&chosen)));
            prop_assert!((0..SEGMENT_BLOCKS).all(|at| bits.get(at) == model[at as usize]));
            for (chunk, blocks) in model.chunks(CHUNK_BLOCKS as usize).enumerate() {
                prop_assert_eq!(bits.chunk_is_clear(chunk as u64), !blocks.contains(&true));
            }
            prop_assert_eq!(&Bits::from_bytes(&bits.to_bytes()), &bits);
            let mut long = runs(&model, chosen);
            long.retain(|run| run.blocks >= wanted / 10);
            prop_assert_eq!(bits.zeros_of_chunks(chunks, wanted / 10), long);
            let pair_at = |at: usize| !model[at & !1] && !model[at | 1];
            for skip in [Chunks::NONE, chunks, Chunks::ALL] {
                let counts = |at: usize| !is_in(skip, at);
                let paired = runs(&model, |at| counts(at) && pair_at(at));
                let blocks = paired.iter().map(|run| run.blocks).sum::<u64>();
                prop_assert_eq!(2 * bits.pairs_near(Span { at: 0, blocks: SEGMENT_BLOCKS }, skip), blocks);
                let found = bits.find_pairs(skip, wanted);
                match paired.iter().find(|run| run.blocks >= wanted) {
                    Some(run) => prop_assert_eq!(found.map(|found| found.at), Some(run.at)),
                    None => prop_assert_eq!(found.map(|f| f.blocks), paired.iter().map(|run| run.blocks).max()),
                }
                let single = (0..model.len()).find(|at| counts(*at) && !model[*at] && !pair_at(*at));
                prop_assert_eq!(bits.find_single(skip), single.map(|at| at as u64));
            }
            let touched = (0..SEGMENT_BLOCKS as usize / 2).filter(|pair| {
                let run = wanted as usize..wanted as usize + 77;
                pair_at(2 * pair) && (run.contains(&(2 * pair)) || run.contains(&(2 * pair + 1)))
            });
            prop_assert_eq!(bits.pairs_touched(Span { at: wanted, blocks: 77 }), touched.count() as u64);
            for skip in [Chunks::NONE, chunks, Chunks::ALL] {
                let runs = runs(&model, |at| !is_in(skip, at));
                let found = bits.find_zeros(skip, wanted);
                match runs.iter().find(|run| run.blocks >= wanted) {
                    Some(run) => prop_assert!(found.is_some_and(|f| f.at == run.at && (wanted..=run.blocks).contains(&f.blocks))),
                    None => {
                        let longest = runs.iter().map(|run| run.blocks).max();
                        prop_assert_eq!(found, runs.iter().find(|run| Some(run.blocks) == longest).copied());
                    }
                }
            }
        }
    }
}
