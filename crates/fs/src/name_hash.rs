//! The hash of names, by which a directory's entries are found and listed.

use std::hash::{BuildHasher, RandomState};

use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Makes the hashes of one file tree unpredictable, so that a user cannot choose names that
/// collide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seed(pub u64);

/// The hash of a name, of 56 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NameHash(pub u64);

/// The seed under which all names share one hash: names that do so by themselves cannot be found.
#[cfg(test)]
pub(crate) const ALL_SHARE: Seed = Seed(0x5eed);

impl Seed {
    /// An unpredictable seed for a new tree.
    pub fn random() -> Seed {
        Seed(RandomState::new().hash_one(0u64))
    }

    /// The hash of a name. It is never 0, so that the positions of entries leave room for `.` and
    /// `..`.
    pub fn hash(self, name: &[u8]) -> NameHash {
        #[cfg(test)]
        if self == ALL_SHARE {
            return NameHash(1);
        }
        NameHash((xxh3_64_with_seed(name, self.0) >> 8).max(1))
    }
}
