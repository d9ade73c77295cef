//! What a repair copied, and what it could not.

/// Losses of a report at most: a store full of damage is as damaged with a thousand as with a
/// million.
const LOSSES_MAX: usize = 1000;

/// Something that could not be copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loss {
    /// What is lost, and why.
    pub what: String,
    /// Where, as far as the store knows: it does not know what its branches hold.
    pub place: String,
    /// Of entries: the branch in the new store, the first key, and the first key after them; the
    /// same key twice for a single entry, none where they go to the end.
    pub keys: Option<(String, Vec<u8>, Option<Vec<u8>>)>,
}

/// What a repair copied, and what it could not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RepairReport {
    /// What was lost; empty when everything was copied.
    pub lost: Vec<Loss>,
    /// Branches and snapshots in the new store.
    pub branches: u64,
    /// Entries copied; those that a branch shares with the one it was forked from count once.
    pub entries: u64,
    /// Blocks of data copied, counted likewise.
    pub blocks: u64,
}

impl RepairReport {
    pub(super) fn lose(&mut self, what: impl Into<String>, place: impl Into<String>) {
        self.lose_part(Loss { what: what.into(), place: place.into(), keys: None });
    }

    pub(super) fn lose_part(&mut self, loss: Loss) {
        if self.lost.len() < LOSSES_MAX {
            self.lost.push(loss);
        }
    }
}
