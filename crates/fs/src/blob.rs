//! Values longer than one entry of the store: split into chunks under one prefix, numbered from 0.
//!
//! An empty value is one empty chunk, which distinguishes it from none. All chunks but the last are
//! full, none is missing, and no value is longer than the longest that can be put: anything else is
//! damage.

use std::ops::Bound;

use tine_store::{ReadTxn, VALUE_BYTES_MAX, Value, WriteTxn};

use crate::{Error, Result, XATTR_BYTES_MAX, key};

/// The longest value: that of an extended attribute.
const BYTES_MAX: usize = XATTR_BYTES_MAX;

fn chunk_key(prefix: &[u8], chunk: usize) -> Vec<u8> {
    [prefix, &(chunk as u16).to_be_bytes()].concat()
}

/// The whole value under a prefix.
pub(crate) fn get(txn: &ReadTxn, prefix: &[u8]) -> Result<Option<Vec<u8>>> {
    let Some(mut value) = txn.get(&chunk_key(prefix, 0))? else { return Ok(None) };
    if value.len() == VALUE_BYTES_MAX {
        let what = "a value in chunks";
        let damaged = || match key::parse(prefix) {
            Some((_, ino, _)) => Error::Damaged { ino, what },
            None => Error::DamagedTree { what },
        };
        let first = chunk_key(prefix, 1);
        let rest = txn.range(Bound::Included(&first), Bound::Excluded(&key::after(prefix)));
        for (at, entry) in (1..).zip(rest) {
            let (key, Value::Bytes(chunk)) = entry? else { return Err(damaged()) };
            if !append(&mut value, &chunk) || key != chunk_key(prefix, at) {
                return Err(damaged());
            }
        }
    }
    Ok(Some(value))
}

/// Appends a chunk. Returns `false` if it may not follow, or the value would be too long.
fn append(value: &mut Vec<u8>, chunk: &[u8]) -> bool {
    let follows = value.len().is_multiple_of(VALUE_BYTES_MAX) && !chunk.is_empty();
    let fits = value.len() + chunk.len() <= BYTES_MAX;
    if follows && fits {
        value.extend_from_slice(chunk);
    }
    follows && fits
}

/// A value in chunks, whole or not.
pub(crate) struct Found {
    pub prefix: Vec<u8>,
    /// Every key that belongs to it, those of wrong chunks included.
    pub keys: Vec<Vec<u8>>,
    /// The value, if its chunks are as [`put`] writes them.
    pub value: Option<Vec<u8>>,
}

/// All values in chunks under a letter, in order.
pub(crate) fn all(txn: &ReadTxn, letter: u8) -> impl Iterator<Item = Result<Found>> + use<> {
    let mut entries =
        txn.range(Bound::Included(&[letter]), Bound::Excluded(&[letter + 1])).peekable();
    std::iter::from_fn(move || {
        let (key, value) = match entries.next()? {
            Ok(entry) => entry,
            Err(error) => return Some(Err(error.into())),
        };
        let prefix = key[..key.len().saturating_sub(2).max(1)].to_vec();
        let mut value = match value {
            Value::Bytes(bytes) if key == chunk_key(&prefix, 0) => Some(bytes),
            _ => None,
        };
        let mut keys = vec![key];
        let same = |key: &[u8]| key.len() == prefix.len() + 2 && key.starts_with(&prefix);
        while let Some(Ok((key, chunk))) =
            entries.next_if(|entry| entry.as_ref().is_ok_and(|(key, _)| same(key)))
        {
            value =
                value.filter(|_| key == chunk_key(&prefix, keys.len())).and_then(|mut value| {
                    matches!(chunk, Value::Bytes(bytes) if append(&mut value, &bytes))
                        .then_some(value)
                });
            keys.push(key);
        }
        Some(Ok(Found { prefix, keys, value }))
    })
}

/// Sets the value under a prefix; a transaction does so at most once for each.
pub(crate) fn put(txn: &mut WriteTxn<'_>, prefix: &[u8], value: &[u8]) -> Result<()> {
    delete(txn, prefix)?;
    if value.is_empty() {
        txn.put(&chunk_key(prefix, 0), value)?;
    }
    for (at, chunk) in value.chunks(VALUE_BYTES_MAX).enumerate() {
        txn.put(&chunk_key(prefix, at), chunk)?;
    }
    Ok(())
}

/// Removes everything under a prefix.
pub(crate) fn delete(txn: &mut WriteTxn<'_>, prefix: &[u8]) -> Result<()> {
    let entries = txn.view().range(Bound::Included(prefix), Bound::Excluded(&key::after(prefix)));
    for entry in entries {
        txn.delete(&entry?.0)?;
    }
    Ok(())
}
