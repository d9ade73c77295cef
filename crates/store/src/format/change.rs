//! Puts and deletes as journal records hold them. A transaction gathers them in this form.

use super::codec::Writer;

pub(crate) const OP_PUT: u8 = 1;
pub(crate) const OP_DELETE: u8 = 2;

/// Bytes of a put or delete in front of its key: kind and length.
const KEY_AT: usize = 3;

/// Appends a put; where its key lies. Its value follows, with its length in front.
pub(crate) fn encode_put(w: &mut Writer, key: &[u8], value: &[u8]) -> usize {
    let at = w.0.len() + KEY_AT;
    w.u8(OP_PUT).short(key).short(value);
    at
}

/// Appends a delete; where its key lies.
pub(crate) fn encode_delete(w: &mut Writer, key: &[u8]) -> usize {
    let at = w.0.len() + KEY_AT;
    w.u8(OP_DELETE).short(key);
    at
}
