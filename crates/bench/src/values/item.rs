//! The values that are stored.

/// A value that can be made and read whole.
pub trait Item: Clone + Eq + Send + Sync + 'static {
    /// Its name in rows. Empty for the usual one.
    const NAME: &'static str;

    fn make(seed: u64) -> Self;

    /// The sum of everything in it.
    fn sum(&self) -> u64;
}

impl Item for u64 {
    const NAME: &'static str = "";

    fn make(seed: u64) -> Self {
        seed
    }

    fn sum(&self) -> u64 {
        *self
    }
}

impl Item for [u8; 256] {
    const NAME: &'static str = "× 256 bytes";

    fn make(seed: u64) -> Self {
        [seed as u8; 256]
    }

    fn sum(&self) -> u64 {
        self.iter().map(|byte| u64::from(*byte)).sum()
    }
}
