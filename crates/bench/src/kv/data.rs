//! The pairs that all subjects store: random keys of 24 bytes and values of 150 bytes, the same in
//! each run.

/// A key. It is random, so that keys that are written one after another are far apart in the tree.
pub type Key = [u8; 24];
/// A value.
pub type Value = [u8; 150];
/// What is stored.
pub type Pair = (Key, Value);

/// A xorshift generator (Marsaglia 2003).
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    pub fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&self.next().to_le_bytes()[..chunk.len()]);
        }
    }
}

/// The next pair that a generator makes.
pub fn pair(random: &mut Random) -> Pair {
    let (mut key, mut value) = ([0; 24], [0; 150]);
    random.fill(&mut key);
    random.fill(&mut value);
    (key, value)
}

/// `count` pairs. Another seed gives other keys.
pub fn pairs(count: usize, seed: u64) -> Vec<Pair> {
    let mut random = Random::new(seed);
    (0..count).map(|_| pair(&mut random)).collect()
}

/// `count` keys of `pairs`, drawn at random.
pub fn some_keys(pairs: &[Pair], count: usize, seed: u64) -> Vec<Key> {
    let mut random = Random::new(seed);
    (0..count).map(|_| pairs[random.below(pairs.len())].0).collect()
}
