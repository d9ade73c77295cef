//! How the keys of named tables begin in a branch's tree: `T`, the length of the name, the name.

pub(crate) const TABLE: u8 = b'T';
pub(crate) const NAME_BYTES_MAX: usize = 64;

/// The name of the table that a key of the tree belongs to.
#[inline]
pub(crate) fn name_in(key: &[u8]) -> Option<&str> {
    let (len, rest) = key.strip_prefix(&[TABLE])?.split_first()?;
    let len = usize::from(*len);
    if len == 0 || len > NAME_BYTES_MAX {
        return None;
    }
    std::str::from_utf8(rest.get(..len)?).ok()
}
