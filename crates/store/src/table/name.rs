//! Where a table lies in its branch: `T`, the length of its name, the name, then the key. Raw keys
//! keep away from there, see [`crate::txn`].

use crate::error::{Error, Result, limit};
use crate::format::layout::KEY_BYTES_MAX;
use crate::format::table_key::{NAME_BYTES_MAX, TABLE};

/// What the keys of a table begin with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Prefix(Vec<u8>);

impl Prefix {
    pub fn of(name: &str) -> Result<Prefix> {
        if name.is_empty() || name.len() > NAME_BYTES_MAX {
            let why = "it must have 1 to 64 bytes";
            return Err(Error::NameInvalid { thing: "a table", name: name.into(), why });
        }
        Ok(Prefix([&[TABLE, name.len() as u8], name.as_bytes()].concat()))
    }

    pub fn key(&self, key: &[u8]) -> Vec<u8> {
        [&self.0, key].concat()
    }

    /// The key in the branch, of an entry that may be put there.
    pub fn key_to_put(&self, key: &[u8]) -> Result<Vec<u8>> {
        limit("a key in a table of this name", key.len(), KEY_BYTES_MAX - self.0.len())?;
        Ok(self.key(key))
    }

    /// What `look` makes of the whole key; nothing if no table has such long ones.
    pub fn with_key<T>(
        &self,
        key: &[u8],
        look: impl FnOnce(&[u8]) -> Result<Option<T>>,
    ) -> Result<Option<T>> {
        let mut whole = [0; KEY_BYTES_MAX];
        let len = self.0.len() + key.len();
        if len > KEY_BYTES_MAX {
            return Ok(None);
        }
        whole[..self.0.len()].copy_from_slice(&self.0);
        whole[self.0.len()..len].copy_from_slice(key);
        look(&whole[..len])
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The table's own part of a branch's key.
    pub fn strip<'k>(&self, key: &'k [u8]) -> Option<&'k [u8]> {
        key.strip_prefix(self.0.as_slice())
    }

    /// The first key after all of the table's.
    pub fn end(&self) -> Vec<u8> {
        // The name's last byte is no 255, as no text has one.
        let mut end = self.0.clone();
        if let Some(last) = end.last_mut() {
            *last += 1;
        }
        end
    }
}

/// The least that a key of a table can be.
pub(crate) fn tables_from() -> [u8; 2] {
    [TABLE, 1]
}

/// More than any key of a table can be.
pub(crate) fn tables_end() -> [u8; 2] {
    [TABLE, NAME_BYTES_MAX as u8 + 1]
}
