//! Names of directory entries: which there can be, and how messages show them.

use crate::{Error, NAME_BYTES_MAX, Result};

/// Refuses what cannot name an entry of a directory, whether it comes from a caller or from the
/// store. `.` and `..` are left to the front end.
pub(crate) fn check_name(name: &[u8]) -> Result<()> {
    if name.len() > NAME_BYTES_MAX {
        return Err(Error::NameTooLong { bytes: name.len(), bytes_max: NAME_BYTES_MAX });
    }
    if name.is_empty() || name == b"." || name == b".." || name.contains(&b'/') || name.contains(&0)
    {
        return Err(Error::Invalid("not a name: empty, '.', '..', or with '/' or NUL in it"));
    }
    Ok(())
}

/// A name or a path for messages, without control characters.
pub(crate) fn shown(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for letter in String::from_utf8_lossy(bytes).chars() {
        if letter.is_control() { out.extend(letter.escape_default()) } else { out.push(letter) }
    }
    out
}
