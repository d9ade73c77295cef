//! Values longer than one entry of the store: cut into chunks under one prefix, numbered from 0.
//!
//! An empty value is one empty chunk, so that it is told from none.

use std::ops::Bound;

use tine_store::{ReadTxn, VALUE_BYTES_MAX, Value, WriteTxn};

use crate::{Result, key};

fn chunk_key(prefix: &[u8], chunk: usize) -> Vec<u8> {
    [prefix, &(chunk as u16).to_be_bytes()].concat()
}

/// The whole value under a prefix.
pub(crate) fn get(txn: &ReadTxn, prefix: &[u8]) -> Result<Option<Vec<u8>>> {
    let Some(mut value) = txn.get(&chunk_key(prefix, 0))? else { return Ok(None) };
    if value.len() == VALUE_BYTES_MAX {
        let first = chunk_key(prefix, 1);
        for entry in txn.range(Bound::Included(&first), Bound::Excluded(&key::after(prefix))) {
            if let (_, Value::Bytes(chunk)) = entry? {
                value.extend_from_slice(&chunk);
            }
        }
    }
    Ok(Some(value))
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
