//! What differs between two snapshots.

use crate::error::Result;
use crate::tree::Difference;
use crate::txn::{ReadTxn, Value, value_of};

/// A key whose entry differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The key.
    pub key: Vec<u8>,
    /// Its entry before; `None` if it was not there.
    pub before: Option<Value>,
    /// Its entry after; `None` if it is gone.
    pub after: Option<Value>,
}

/// Iterates the changes from one snapshot to another in order of their keys. Subtrees that both
/// share are skipped, so the cost follows the changes. Two extents of equal length that name
/// different blocks count as a change, whatever the blocks hold.
#[derive(Debug)]
pub struct Diff {
    before: ReadTxn,
    _after: ReadTxn,
    walk: Option<Difference>,
}

/// Compares two snapshots of one store.
///
/// # Errors
/// [`Error::NotInherited`](crate::Error::NotInherited); the iterator yields damage and I/O errors.
pub fn diff(before: &ReadTxn, after: &ReadTxn) -> Result<Diff> {
    before.shared.engine()?;
    let walk = Difference::new(&before.root, &after.root);
    Ok(Diff { before: before.clone(), _after: after.clone(), walk: Some(walk) })
}

impl Iterator for Diff {
    type Item = Result<Change>;

    fn next(&mut self) -> Option<Result<Change>> {
        let walk = self.walk.as_mut()?;
        let step = self.before.shared.engine().and_then(|engine| walk.next(&engine.nodes));
        if !matches!(step, Ok(Some(_))) {
            self.walk = None;
        }
        let change = |(key, before, after): (_, Option<Vec<u8>>, Option<Vec<u8>>)| Change {
            key,
            before: before.as_deref().map(value_of),
            after: after.as_deref().map(value_of),
        };
        step.map(|found| found.map(change)).transpose()
    }
}
