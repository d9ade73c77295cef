//! From a key of a branch to the file that it belongs to.

use tine_store::ReadTxn;

use crate::path::Paths;
use crate::{Result, key};

/// Describes what lies at a key, for messages: the data of a file, say. Returns `None` if the
/// branch holds no file tree, or the key is not one of it.
pub fn locate(txn: &ReadTxn, at: &[u8]) -> Result<Option<String>> {
    if txn.get(key::HEADER)?.is_none() {
        return Ok(None);
    }
    if at == key::HEADER {
        return Ok(Some("the header of the file tree".into()));
    }
    let Some((letter, ino, _)) = key::parse(at) else { return Ok(None) };
    let what = match letter {
        key::INODE => "the attributes of",
        key::BUCKET => "the entries of",
        key::DATA => "the data of",
        key::TARGET => "the target of",
        key::XATTR => "the extended attributes of",
        key::LINK => "the names of",
        key::ORPHAN => "the note of the nameless",
        key::HOST => "the record of the host of",
        _ => return Ok(None),
    };
    Ok(Some(format!("{what} {}", Paths::new(txn)?.shown_or_number(ino))))
}
